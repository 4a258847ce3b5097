/**
 * The turn of a year when things go wrong: replicas whose clocks differ, a process that is killed in
 * the middle of it, a database that comes back from before it, and one of the release before.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadLogKeys } from '../../src/audit/keys.ts';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect } from '../../src/db/connection.ts';
import { demoToken } from '../../src/demo.ts';
import { type Acknowledged, requestAccess } from '../support/access-request.ts';
import { copyDatabase, createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { type Hold, holdAt, type OwnServer, startOwnServer } from './database.ts';
import { spawnService } from './process.ts';

const STEM = 'log.test.example/turn';
const LANES = 6;
const SIGNED = 'select * from log_signed order by log_id';

async function query<Row extends object>(url: string, sql: string): Promise<Row[]> {
  const client = new Client(url);
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Everything has its index, and each shard is published as far as it goes. */
function caughtUp(url: string): Promise<void> {
  return until(async () => {
    const [row] = await query<{ done: boolean }>(
      url,
      `select bool_and(h.size = p.size) and count(p) = count(*)
         and not exists (select from audit_pending) as done
       from log_head h left join log_published p using (log_id)`,
    );
    return row?.done === true;
  });
}

async function register(service: TestService, id: string): Promise<Acknowledged> {
  const { status, body } = await service.ask('POST', '/v1/datasets', {
    role: 'steward',
    claims: { organisation: 'moh' },
    body: { id, title: { en: 'Turned' } },
  });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return body;
}

/** Each is in the log once, in the shard that its receipt names; and the log verifies. */
async function expectWhole(
  url: string,
  dataDir: string,
  acknowledged: readonly Acknowledged[],
): Promise<void> {
  const rows = await query<{ event_id: string; leaf_hash: string; origin: string }>(
    url,
    `select l.event_id, encode(l.leaf_hash, 'base64') as leaf_hash, h.origin
     from log_leaf l join log_head h using (log_id)`,
  );
  const there = new Map(rows.map((row) => [row.event_id, row]));
  for (const { event_id, leaf_hash, receipt } of acknowledged) {
    expect(there.get(event_id)).toEqual({ event_id, leaf_hash, origin: decodeJwt(receipt).iss });
  }
  const [counts] = await query(
    url,
    `select (select count(*)::int from audit_event) as events, (select count(*)::int from log_leaf) as leaves,
       (select count(*)::int from audit_event where type = 'turnLog') + 1 as shards,
       (select sum(size)::int from log_head) as sizes, (select count(*)::int from log_head) as heads`,
  );
  expect(counts).toMatchObject({ events: there.size, leaves: there.size, sizes: there.size });
  expect(counts).toMatchObject({ shards: (counts as { heads: number }).heads });
  await using connection = connect(url, 1);
  const keys = await loadLogKeys(join(dataDir, 'keys'));
  const origins = await query<{ origin: string }>(url, 'select origin from log_head');
  const verifiers = origins.flatMap(({ origin }) => keys.checkpoints(origin));
  expect(await verifyStoredLog(connection.db, { verifiers })).toMatchObject({
    ok: true,
    problems: [],
    pending: 0,
    signatureVerified: true,
  });
}

test('three replicas whose clocks differ turn once, while all of them write: nothing is lost, doubled or out of order', async () => {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await createTestDatabase());
  const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-turn-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const url = database.connectionString;
  // The tokens of the demo end after today: a turn that has been is tried.
  const clocks = [0, 1, 2].map(() => new Date('2024-12-31T23:59:59Z'));
  const replicas: TestService[] = [];
  for (const [i] of clocks.entries()) {
    replicas.push(
      stack.use(
        await startTestService({
          clock: () => clocks[i] ?? new Date(),
          config: { databaseUrl: url, dataDir, logOrigin: `${STEM}/2024` },
        }),
      ),
    );
  }
  const token = await demoToken(dataDir, 'partner');
  const acknowledged: Acknowledged[][] = [];
  const load = { on: true };
  // Each lane asks for the next thing when it has the answer of the last, of another replica.
  const lanes = Array.from({ length: LANES }, async (_, lane) => {
    const own: Acknowledged[] = (acknowledged[lane] = []);
    for (let i = 0; load.on; i++) {
      const replica = replicas[(lane + i) % 3];
      if (!replica) throw new Error('no replica');
      own.push(
        i % 2 === 0
          ? await requestAccess(replica.url, token, `turn-${lane}-${i}`)
          : await register(replica, `turn-${lane}-${i}`),
      );
    }
  });
  const more = async (): Promise<void> => {
    const before = acknowledged.map(({ length }) => length);
    await until(async () => acknowledged.every(({ length }, i) => length >= (before[i] ?? 0) + 4));
  };
  await until(async () => acknowledged.length === LANES);
  await more();
  for (const i of [1, 2, 0]) {
    clocks[i] = new Date('2025-01-01T00:00:01Z');
    await more();
  }
  clocks[1] = new Date('2024-12-31T23:00:00Z');
  await more();
  load.on = false;
  await Promise.all(lanes);
  await caughtUp(url);
  const heads = await query<{ origin: string }>(url, 'select origin from log_head order by log_id');
  expect(heads.map(({ origin }) => origin)).toEqual([`${STEM}/2024`, `${STEM}/2025`]);
  await expectWhole(url, dataDir, acknowledged.flat());
  const rows = await query<{ event_id: string; place: number }>(
    url,
    'select event_id, (base + idx)::int as place from log_leaf join log_head using (log_id)',
  );
  const places = new Map(rows.map(({ event_id, place }) => [event_id, place]));
  for (const own of acknowledged) {
    const order = own.map(({ event_id }) => places.get(event_id) ?? -1);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
  }
  expect(replicas.flatMap(({ warnings }) => warnings)).toEqual([]);
}, 180_000);

describe('a process that is killed', () => {
  let server: OwnServer;
  let dataDir: string;
  let year = 2020;

  beforeAll(async () => {
    server = await startOwnServer();
    dataDir = await mkdtemp(join(tmpdir(), 'umutungo-turn-killed-'));
    await using first = serviceIn(year);
    await requestAccess(await first.url, await demoToken(dataDir, 'partner'), 'first');
    await caughtUp(server.url);
  }, 180_000);
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await rm(dataDir, { recursive: true, force: true });
  });

  function serviceIn(at: number) {
    return spawnService({
      DATABASE_URL: server.url,
      DATA_DIR: dataDir,
      DEMO: 'on',
      PORT: '0',
      DATABASE_POOL: '5',
      LOG_ORIGIN: `${STEM}-killed/2020`,
      CLOCK: `${at}-06-01T00:00:00Z`,
    });
  }

  const heads = (): Promise<{ origin: string; size: number; root: string }[]> =>
    query(
      server.url,
      "select origin, size::int, encode(root, 'hex') as root from log_head order by log_id",
    );

  // Each turns to a year of its own. `isDone`: the turn had been committed.
  const steps: Readonly<Record<string, { hold: () => Promise<Hold>; isDone: boolean }>> = {
    'before the head of the new shard is there': {
      hold: () => holdAt(server.url, 'log_head', 'new.size = 0'),
      isDone: false,
    },
    'before the event that begins it is there': {
      hold: () => holdAt(server.url, 'audit_event', "new.type = 'turnLog'"),
      isDone: false,
    },
    'before that event has its index': {
      hold: () => holdAt(server.url, 'log_leaf', 'new.idx = 0'),
      isDone: false,
    },
    'after the turn, before the new shard is signed': {
      hold: () => holdAt(server.url, 'log_signed', 'new.size < 3'),
      isDone: true,
    },
    'when it is signed, before it is published': {
      hold: () => holdAt(server.url, 'log_published', 'new.size < 3'),
      isDone: true,
    },
  };
  test.each(Object.entries(steps))(
    '%s: there is the old shard alone or both, and the next process goes on',
    async (_name, { hold, isDone }) => {
      const before = await heads();
      const held = await hold();
      year += 1;
      const killed = serviceIn(year);
      await held.reached;
      const service = isDone ? await killed.url.catch(() => undefined) : undefined;
      const acknowledged =
        service === undefined
          ? []
          : [await requestAccess(service, await demoToken(dataDir, 'partner'), `in-${year}`)];
      await killed.end('SIGKILL');
      expect((await heads()).length).toBe(before.length + (isDone ? 1 : 0));
      await held[Symbol.asyncDispose]();
      await using next = serviceIn(year);
      const token = await demoToken(dataDir, 'partner');
      acknowledged.push(await requestAccess(await next.url, token, `after-${year}`));
      await caughtUp(server.url);
      const after = await heads();
      expect(after.map(({ origin }) => origin)).toEqual([
        ...before.map(({ origin }) => origin),
        `${STEM}-killed/${year}`,
      ]);
      expect(after.slice(0, before.length - 1)).toEqual(before.slice(0, -1));
      await expectWhole(server.url, dataDir, acknowledged);
      await next.end('SIGTERM');
    },
    180_000,
  );
});

describe('a database that was restored to a state from before the turn', () => {
  test.each([
    ['in the old year', new Date('2024-12-31T23:30:00Z'), /has ended, and this database goes on/],
    [
      'in the new year, in which it turns once more',
      new Date('2025-01-01T01:00:00Z'),
      /does not extend its last checkpoint|fewer than the \d+ that were signed/,
    ],
  ])(
    'is not signed %s',
    async (_name, at, problem) => {
      await using stack = new AsyncDisposableStack();
      const database = stack.use(await createTestDatabase());
      const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-turn-restored-'));
      stack.defer(() => rm(dataDir, { recursive: true, force: true }));
      let now = new Date('2024-12-31T23:00:00Z');
      const start = ({ connectionString }: TestDatabase) =>
        startTestService({
          clock: () => now,
          config: { databaseUrl: connectionString, dataDir, logOrigin: `${STEM}-restored/2024` },
        });
      const first = await start(database);
      await register(first, 'before');
      await caughtUp(database.connectionString);
      await first[Symbol.asyncDispose]();
      const backup = stack.use(await copyDatabase(database));

      now = new Date('2025-01-01T00:30:00Z');
      const second = await start(database);
      await until(async () => (await second.ask('GET', '/log/shards')).body.items.length === 2);
      await second[Symbol.asyncDispose]();

      now = at;
      const restored = await start(backup);
      const status = async () =>
        (await restored.ask('GET', '/v1/audit/status', { role: 'authority' })).body.problem;
      const signed = await query(backup.connectionString, SIGNED);
      const kept = (await restored.ask('GET', '/log/checkpoint')).text;
      await register(restored, 'after');
      // Before it turns once more, the old shard goes on as well.
      await until(async () => problem.test((await status()) ?? ''));
      expect(await query(backup.connectionString, SIGNED)).toEqual(signed);
      expect((await restored.ask('GET', '/log/checkpoint')).text).toBe(kept);
      await restored[Symbol.asyncDispose]();

      // The database that has everything is signed as before.
      now = new Date('2025-01-01T02:00:00Z');
      const whole = await start(database);
      await register(whole, 'whole');
      await caughtUp(database.connectionString);
      await whole[Symbol.asyncDispose]();
    },
    180_000,
  );
});

test('a database of the release before becomes the first shard as it is, and the log turns from it', async () => {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await createTestDatabase());
  const url = database.connectionString;
  const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-turn-old-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const origin = `${STEM}-old/2023`;
  let now = new Date('2024-03-01T00:00:00Z');
  const start = () =>
    startTestService({
      clock: () => now,
      config: { databaseUrl: url, dataDir, logOrigin: origin },
    });
  const old = await start();
  await register(old, 'old');
  await caughtUp(url);
  await old[Symbol.asyncDispose]();
  await query(
    url,
    `drop trigger log_head_final on log_head; drop trigger log_head_no_delete on log_head;
     drop function refuse_changing_final; alter table log_head drop column year, drop column base;
     alter table decision drop column evaluation, drop column facts_erased;
     drop function erase_facts;
     alter table cut_off_decision drop constraint cut_off_decision_pkey;
     alter table cut_off_decision drop column decision;
     alter table cut_off_decision add constraint cut_off_request_pkey primary key (run, outcome, access_request);
     alter table cut_off_decision rename to cut_off_request;
     alter table erasure drop column refusal, drop column ended_by, drop column ended_at, drop column end_event;
     drop index erasure_open;
     drop function is_erased;
     drop function whole_document; drop table decision_part;
     delete from kysely_migration where name >= '0011'`,
  );
  const picture = (): Promise<unknown[]> =>
    query(
      url,
      `select log_id, origin, l.idx, l.event_id, l.leaf_hash, e.leaf, e.body from log_leaf l
       join log_head using (log_id) join audit_event e using (event_id) where log_id = 1 order by idx`,
    );
  const before = await picture();

  now = new Date('2026-01-02T00:00:00Z');
  await using service = await start();
  await until(async () => (await service.ask('GET', '/log/shards')).body.items.length === 2);
  await register(service, 'new');
  await caughtUp(url);
  const { items } = (await service.ask('GET', '/log/shards')).body;
  expect(items).toMatchObject([
    { year: 2024, origin, is_final: true },
    { year: 2026, origin: `${STEM}-old/2026`, is_final: false },
  ]);
  // What the service of this release wrote before it turned came to it.
  expect((await picture()).slice(0, before.length)).toEqual(before);
  await expectWhole(url, dataDir, []);
});
