/** The database goes away under the running service, and comes back. */

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect } from '../../src/db/connection.ts';
import { ACCESS_REQUEST } from '../support/access-request.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { type OwnServer, startOwnServer } from './database.ts';

let stack: AsyncDisposableStack;
let server: OwnServer;
let service: TestService;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  server = stack.use(await startOwnServer());
  service = stack.use(await startTestService({ config: { databaseUrl: server.url } }));
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
    body: ACCESS_REQUEST,
  });
  return { answer, ms: performance.now() - started };
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
  await server.kill();
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

  await server.start();
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
  await using connection = connect(server.url, 1);
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
  await server.kill();
  const statuses = (await first).map(({ answer }) => answer.status);
  expect(statuses.every((status) => status === 201 || status === 503)).toBe(true);
  await server.start();
  await until(async () => (await submit('probe')).answer.status === 201);
  const again = await Promise.all(keys.map((key) => submit(key)));
  expect(again.map(({ answer }) => answer.status)).toEqual(keys.map(() => 201));
  await using connection = connect(server.url, 1);
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
    await server.signal('SIGSTOP');
    let tried: Tried[];
    try {
      tried = await Promise.all(Array.from({ length: 20 }, (_, i) => submit(`frozen-${i}`)));
    } finally {
      await server.signal('SIGCONT');
    }
    expect(new Set(tried.map(({ answer }) => answer.status))).toEqual(new Set([503]));
    expect(Math.max(...tried.map(({ ms }) => ms))).toBeLessThan(30_000);
    await until(async () => (await submit('probe')).answer.status === 201);
  },
  60_000,
);
