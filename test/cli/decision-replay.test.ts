/** `umutungo decision replay` as an auditor runs it: exit codes, and what is said. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { umutungo } from '../faults/process.ts';
import { accessRequest } from '../http/samples.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { startTestService } from '../support/service.ts';
import { shell } from './shell.ts';

let stack: AsyncDisposableStack;
let client: Client;
let env: Record<string, string>;
let id: string;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-replay-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const { connectionString } = stack.use(await createTestDatabase());
  const service = await startTestService({ config: { databaseUrl: connectionString, dataDir } });
  const { body } = await service.ask('POST', '/v1/access-requests', {
    role: 'partner',
    body: accessRequest,
  });
  ({ id } = body.decision);
  await service[Symbol.asyncDispose]();
  env = { DATABASE_URL: connectionString, DATA_DIR: dataDir };
  client = new Client(connectionString);
  await client.connect();
  stack.defer(() => client.end());
}, 60_000);
afterAll(() => stack.disposeAsync());

const run = (...args: string[]) => shell(['decision', 'replay', ...args], env);

test('the same is one line and 0; the report is JSON', async () => {
  const { code, stdout } = await run(id);
  expect(stdout).toMatch(new RegExp(`^SAME ${id}: .*SHA-256 [0-9a-f]{64}`));
  expect(stdout.trim().split('\n')).toHaveLength(1);
  expect(code).toBe(0);
  const whole = await run(id, '--json');
  expect(JSON.parse(whole.stdout)).toMatchObject({ decision: id, same: true, differences: [] });
  expect(whole.code).toBe(0);
});

test('what differs is named, and 1', async () => {
  await client.query(
    `update decision set document = replace(document, '"effect":"permit"', '"effect":"deny"') where id = $1`,
    [id],
  );
  const { code, stdout } = await umutungo(['decision', 'replay', id], env);
  expect(stdout).toContain(
    'DIFFERENT answer_differs at effect: stored "deny", decided again "permit"',
  );
  expect(stdout).toContain('DIFFERENT document_differs_from_event');
  expect(code).toBe(1);
  const whole = await run(id, '--json');
  expect(JSON.parse(whole.stdout)).toMatchObject({ same: false });
  expect(whole.code).toBe(1);
});

test('what cannot be replayed is 2, with why', async () => {
  for (const unknown of ['00000000-0000-7000-8000-000000000000', 'no-id', "' or 1=1"]) {
    const { code, stdout, stderr } = await run(unknown);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`There is no decision ${unknown}.`);
  }
  const { DATABASE_URL: _url, ...nowhere } = env;
  const { code, stderr } = await shell(['decision', 'replay', id], nowhere);
  expect(stderr).toContain('There is no database');
  expect(code).toBe(2);
});
