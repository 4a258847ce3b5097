/** The database goes away under the running service, and comes back. */

import { readFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect } from '../../src/db/connection.ts';
import { type EmbeddedPostgres, startEmbedded } from '../../src/db/embedded.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

let stack: AsyncDisposableStack;
let folder: string;
let server: EmbeddedPostgres;
let service: TestService;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  folder = await mkdtemp(join(tmpdir(), 'umutungo-away-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  server = await startEmbedded({ dataDir: folder });
  stack.defer(() => server.stop());
  service = stack.use(await startTestService({ config: { databaseUrl: server.connectionString } }));
});
afterAll(() => stack.disposeAsync());

interface Tried {
  readonly answer: Answer;
  readonly ms: number;
}

async function submit(key: string): Promise<Tried> {
  const started = performance.now();
  const answer = await service.ask('POST', '/v1/access-requests', {
    role: 'partner',
    headers: { 'idempotency-key': key },
    body: {
      dataset: 'nhic-idsr-cases',
      project: 'idsr-forecasting',
      agreement: 'agr-illus-16',
      purpose: 'outbreak_forecasting',
    },
  });
  return { answer, ms: performance.now() - started };
}

async function killServer(): Promise<void> {
  const [pid] = (await readFile(join(folder, 'postgres/postmaster.pid'), 'utf8')).split('\n');
  process.kill(Number(pid), 'SIGKILL');
}

/** Stops every process of the server in its tracks, as a network that swallows packets would. */
async function freeze(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  const [postmaster] = (await readFile(join(folder, 'postgres/postmaster.pid'), 'utf8')).split(
    '\n',
  );
  const children = await readFile(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8');
  for (const pid of [Number(postmaster), ...children.trim().split(' ').map(Number)]) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      // A worker may end of itself between the list and the signal.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (await condition()) return;
    await sleep(50);
  }
  throw new Error('It did not come to that in 15 seconds.');
}

test('a killed database gives 503 with Retry-After at once, and its return needs nobody', async () => {
  const tried: Tried[] = [];
  const load = { on: true };
  const lanes = Array.from({ length: 6 }, async (_, lane) => {
    for (let i = 0; load.on; i++) {
      tried.push(await submit(`${lane}-${i}`));
      await sleep(5);
    }
  });
  await sleep(500);
  await killServer();
  await until(async () => (await submit('probe')).answer.status === 503);
  // Reads, writes and readiness say so; the process itself is alive.
  const reads = await service.ask('GET', '/v1/datasets', { role: 'auditor' });
  expect(reads.body.code).toBe('unavailable');
  expect(reads.headers.get('retry-after')).toMatch(/^\d+$/);
  expect((await service.ask('GET', '/readyz')).status).toBe(503);
  expect((await service.ask('GET', '/livez')).status).toBe(200);
  const write = await service.ask('POST', '/v1/datasets', {
    role: 'steward',
    body: { id: 'while-away', title: { en: 'While away' } },
  });
  expect([write.status, write.headers.has('retry-after')]).toEqual([503, true]);
  await sleep(300);

  server = await startEmbedded({ dataDir: folder });
  await until(async () => (await submit('probe')).answer.status === 201);
  await sleep(500);
  load.on = false;
  await Promise.all(lanes);

  const statuses = new Set(tried.map(({ answer }) => answer.status));
  expect([...statuses].toSorted((a, b) => a - b)).toEqual([201, 503]);
  expect(Math.max(...tried.map(({ ms }) => ms))).toBeLessThan(8_000);
  const refused = tried.filter(({ answer }) => answer.status === 503);
  expect(refused.every(({ answer }) => answer.headers.has('retry-after'))).toBe(true);

  // What was acknowledged, before and after, is stored and in the log.
  const acknowledged = tried.filter(({ answer }) => answer.status === 201);
  await using connection = connect(server.connectionString, 1);
  await until(async () => {
    const report = await verifyStoredLog(connection.db, {});
    expect(report.problems).toEqual([]);
    return report.pending === 0;
  });
  const events = await connection.db
    .selectFrom('log_leaf')
    .innerJoin('decision', 'decision.event_id', 'log_leaf.event_id')
    .select(['decision.id'])
    .execute();
  const stored = new Set(events.map(({ id }) => id));
  const lost = acknowledged.filter(({ answer }) => !stored.has(answer.body.decision.id));
  expect(lost).toEqual([]);
  expect((await service.ask('GET', '/readyz')).status).toBe(200);
  // The checkpoint follows again.
  await until(async () => {
    const note = (await service.ask('GET', '/log/checkpoint')).text;
    return Number(note.split('\n')[1]) >= stored.size;
  });
  // The loss is said to the operator, without a stack of ours.
  expect(service.warnings.filter((line) => line.includes('TypeError'))).toEqual([]);
}, 60_000);

test('requests that got no answer for want of a database are made once when they are repeated', async () => {
  const keys = Array.from({ length: 30 }, (_, i) => `again-${i}`);
  const first = Promise.all(keys.map((key) => submit(key)));
  await sleep(3);
  await killServer();
  const statuses = (await first).map(({ answer }) => answer.status);
  expect(statuses.every((status) => status === 201 || status === 503)).toBe(true);
  server = await startEmbedded({ dataDir: folder });
  await until(async () => (await submit('probe')).answer.status === 201);
  const again = await Promise.all(keys.map((key) => submit(key)));
  expect(again.map(({ answer }) => answer.status)).toEqual(keys.map(() => 201));
  await using connection = connect(server.connectionString, 1);
  const made = await connection.db
    .selectFrom('idempotency_key')
    .select('resource')
    .where('key', 'like', 'again-%')
    .execute();
  expect(new Set(made.map(({ resource }) => resource))).toEqual(
    new Set(again.map(({ answer }) => answer.body.id as string)),
  );
});

test.runIf(process.platform === 'linux')(
  'a frozen database gives 503 within half a minute, to all who wait, and no hang',
  async () => {
    await freeze('SIGSTOP');
    let tried: Tried[];
    try {
      tried = await Promise.all(Array.from({ length: 20 }, (_, i) => submit(`frozen-${i}`)));
    } finally {
      await freeze('SIGCONT');
    }
    expect(new Set(tried.map(({ answer }) => answer.status))).toEqual(new Set([503]));
    expect(Math.max(...tried.map(({ ms }) => ms))).toBeLessThan(30_000);
    await until(async () => (await submit('probe')).answer.status === 201);
  },
  60_000,
);
