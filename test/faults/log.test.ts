/**
 * The log after faults: replicas that are killed at any moment, a crash at each step of publishing,
 * a database that comes back from an older backup.
 */

import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { sealEvent } from '../../src/audit/event.ts';
import { folderGuard, type Guard } from '../../src/audit/guard.ts';
import { loadLogKeys } from '../../src/audit/keys.ts';
import { type Publisher, publish } from '../../src/audit/publisher.ts';
import { openLog, sequence } from '../../src/audit/sequencer.ts';
import { readNewestCheckpoint, readSigned } from '../../src/audit/log-store.ts';
import { insertEvent } from '../../src/audit/store.ts';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { Witnesses } from '../../src/audit/witnesses.ts';
import { connect, transact } from '../../src/db/connection.ts';
import { demoToken } from '../../src/demo.ts';
import { openCheckpoint } from '../../src/tlog/checkpoint.ts';
import {
  type Acknowledged,
  type Evaluated,
  evaluateTogether,
  requestAccess,
} from '../support/access-request.ts';
import { copyDatabase, createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { verifyTiles } from '../../src/tlog/verify-tiles.ts';
import { type ServiceProcess, spawnService } from './process.ts';

const ORIGIN = 'log.test.example/faults/2026';
const KILLS = 9;
const LANES = 8;
/** Alike but for their datasets, of which one is asked about twice. */
const DATASETS = ['nhic-idsr-cases', 'nisr-study-120', 'nisr-study-119', 'nhic-idsr-cases'];

/** Three replicas on one database, of which one is killed and started again, again and again. */
class Replicas implements AsyncDisposable {
  readonly #env: Readonly<Record<string, string>>;
  readonly #running: (ServiceProcess | undefined)[] = [];
  constructor(env: Readonly<Record<string, string>>) {
    this.#env = env;
  }
  async start(i: number): Promise<void> {
    const service = spawnService(this.#env);
    this.#running[i] = service;
    await service.url;
  }
  async kill(i: number): Promise<void> {
    const service = this.#running[i];
    this.#running[i] = undefined;
    await service?.end('SIGKILL');
  }
  /** The address of one that runs; rejects while the one that was chosen does not. */
  url(i: number): Promise<string> {
    return this.#running[i]?.url ?? Promise.reject(new Error('it was killed'));
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const service of this.#running) await service?.[Symbol.asyncDispose]();
  }
}

test('three replicas killed at random moments lose and double nothing, and never sign two stories', async () => {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await createTestDatabase());
  const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-replicas-killed-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const replicas = stack.use(
    new Replicas({
      DATABASE_URL: database.connectionString,
      DEMO: 'on',
      DATA_DIR: dataDir,
      PORT: '0',
      DATABASE_POOL: '5',
      LOG_ORIGIN: ORIGIN,
    }),
  );
  await replicas.start(0);
  await Promise.all([replicas.start(1), replicas.start(2)]);
  const token = await demoToken(dataDir, 'partner');
  const acknowledged = new Map<string, Acknowledged>();
  const checkpoints: string[] = [];
  const load = { on: true };
  const lanes = Array.from({ length: LANES }, async (_, lane) => {
    for (let i = 0; load.on; i++) {
      const key = `${lane}-${i}`;
      // Until some replica answers: each key stands for one request, however often it is asked for.
      while (!acknowledged.has(key)) {
        try {
          acknowledged.set(key, await requestAccess(await replicas.url(randomInt(3)), token, key));
        } catch {
          await sleep(20);
        }
      }
    }
  });
  const evaluated: Evaluated[] = [];
  const several = Array.from({ length: 2 }, async () => {
    while (load.on) {
      try {
        evaluated.push(
          ...(await evaluateTogether(await replicas.url(randomInt(3)), token, DATASETS)),
        );
      } catch {
        await sleep(20);
      }
    }
  });
  const watcher = (async () => {
    while (load.on) {
      const note = await replicas
        .url(randomInt(3))
        .then(async (url) => (await fetch(`${url}/log/checkpoint`)).text())
        .catch(() => undefined);
      if (note?.startsWith(ORIGIN) && checkpoints.at(-1) !== note) checkpoints.push(note);
      await sleep(50);
    }
  })();
  for (let kill = 0; kill < KILLS; kill++) {
    const before = acknowledged.size;
    while (acknowledged.size < before + LANES) await sleep(5);
    await sleep(randomInt(0, 500));
    const victim = kill % 3;
    await replicas.kill(victim);
    await replicas.start(victim);
  }
  load.on = false;
  await Promise.all([...lanes, ...several, watcher]);

  await using connection = connect(database.connectionString, 2);
  const { db } = connection;
  await until(async () => {
    const rows = await db.selectFrom('audit_pending').select('id').limit(1).execute();
    const newest = await readNewestCheckpoint(db);
    const head = await db.selectFrom('log_head').select('size').executeTakeFirstOrThrow();
    return rows.length === 0 && newest?.size === head.size;
  });
  const client = new Client(database.connectionString);
  await client.connect();
  stack.defer(() => client.end());
  const { rows } = await client.query<{ id: string; event_id: string; leaf_hash: Buffer }>(
    `select r.id, d.event_id, l.leaf_hash from access_request r
      join decision d on d.id = r.decision left join log_leaf l on l.event_id = d.event_id
      where r.id = any($1)`,
    [[...acknowledged.values()].map(({ id }) => id)],
  );
  const there = new Map(rows.map((row) => [row.id, row]));
  expect(acknowledged.size).toBeGreaterThan(KILLS * LANES);
  for (const { id, event_id, leaf_hash } of acknowledged.values()) {
    const row = there.get(id);
    expect([row?.event_id, row?.leaf_hash.toString('base64')]).toEqual([event_id, leaf_hash]);
  }
  // One request a key, one event a request, one index an event.
  const { rows: counts } = await client.query(
    `select (select count(*) from access_request where created_by <> 'umutungo') as requests,
      (select count(*) from audit_event where type = 'submitAccessRequest') as events,
      (select count(*) from idempotency_key) as keys,
      (select count(distinct event_id) = count(*) and max(idx) + 1 = count(*) from log_leaf) as once`,
  );
  const [{ requests, events, keys, once }] = counts;
  expect([events, once, Number(keys)]).toEqual([requests, true, acknowledged.size]);

  // What one event says of several evaluations is all there, and nothing else of it.
  const { rows: decisions } = await client.query<Evaluated>(
    'select id as evaluation_id, event_id from decision where evaluation',
  );
  const bodies = await client.query<{ event_id: string; body: Buffer }>(
    "select event_id, body from audit_event join log_leaf using (event_id) where type = 'evaluateAccesses'",
  );
  const said = bodies.rows.flatMap(({ event_id, body }) => {
    const { decisions: of } = JSON.parse(body.toString()) as { decisions: { decision: string }[] };
    return of.map(({ decision }) => `${decision} ${event_id}`);
  });
  const made = decisions.map(({ evaluation_id, event_id }) => `${evaluation_id} ${event_id}`);
  expect(said.toSorted()).toEqual(made.toSorted());
  const madeOnce = new Set(made);
  const told = evaluated.map(({ evaluation_id, event_id }) => `${evaluation_id} ${event_id}`);
  expect(told.filter((each) => !madeOnce.has(each))).toEqual([]);
  expect(new Set(told).size).toBeGreaterThan(KILLS * DATASETS.length);

  const signers = (await loadLogKeys(join(dataDir, 'keys'))).checkpoints(ORIGIN);
  const report = await verifyStoredLog(db, { verifiers: signers, trustedCheckpoints: checkpoints });
  expect(report).toMatchObject({ ok: true, problems: [], pending: 0, signatureVerified: true });
  expect(checkpoints.length).toBeGreaterThan(KILLS);
  const url = await replicas.url(0);
  const auditor = await demoToken(dataDir, 'authority', {});
  const tiles = await verifyTiles({
    verifiers: signers,
    trustedCheckpoints: checkpoints,
    read: async (path) => {
      const headers = { authorization: `Bearer ${auditor}` };
      const answer = await fetch(`${url}/log/${path}`, { headers });
      return answer.ok ? new Uint8Array(await answer.arrayBuffer()) : undefined;
    },
  });
  expect(tiles).toMatchObject({ ok: true, problems: [] });
}, 240_000);

describe('a crash while publishing', () => {
  /** A log of its own, to which events are appended by hand. */
  async function handLog(stack: AsyncDisposableStack) {
    const database = stack.use(await createTestDatabase());
    const { db } = stack.use(connect(database.connectionString, 2));
    const folder = await mkdtemp(join(tmpdir(), 'umutungo-publishing-'));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    await openLog(db, ORIGIN, new Date());
    const keys = await loadLogKeys(join(folder, 'keys'));
    const guard = folderGuard(join(folder, 'signed'));
    const publisher: Publisher = {
      db,
      keys,
      guardOf: () => guard,
      witnesses: undefined,
      clock: () => new Date(),
    };
    const append = async (): Promise<void> => {
      const input = {
        type: 'test',
        actor: 'a',
        role: 'r',
        subject_ids: [],
        outcome: 'success',
        body: {},
      };
      const event = sealEvent(input, new Date().toISOString(), (actor) => actor);
      await transact(db, (tx) => insertEvent(tx, event));
      await sequence(db);
    };
    return { db, publisher, append };
  }

  const crash = new Error('killed here');
  const steps: Readonly<Record<string, (publisher: Publisher) => Publisher>> = {
    'before what is signed is kept': (publisher) => ({
      ...publisher,
      guardOf: (origin): Guard => ({
        ...publisher.guardOf(origin),
        keep: () => Promise.reject(crash),
      }),
    }),
    'after it was kept outside the database, before it is in it': (publisher) => ({
      ...publisher,
      guardOf: (origin): Guard => ({
        ...publisher.guardOf(origin),
        keep: async (size, note) => {
          await publisher.guardOf(origin).keep(size, note);
          throw crash;
        },
      }),
    }),
    'after it was signed and kept, and the witnesses had answered': (publisher) => {
      const policy = { logs: [], witnesses: [], groups: [], quorum: 'none' };
      const witnesses = new Witnesses(policy, publisher.clock);
      witnesses.cosign = () => Promise.reject(crash);
      return { ...publisher, witnesses };
    },
  };
  test.each(Object.entries(steps))(
    '%s: the next one publishes, and extends what was signed',
    async (_name, broken) => {
      await using stack = new AsyncDisposableStack();
      const { db, publisher, append } = await handLog(stack);
      await append();
      await publish(publisher);
      const first = await readNewestCheckpoint(db);
      await append();
      await expect(publish(broken(publisher))).rejects.toThrow('killed here');
      expect((await readNewestCheckpoint(db))?.note).toBe(first?.note);
      await append();
      await publish(publisher);
      const last = await readNewestCheckpoint(db);
      expect([first?.size, last?.size]).toEqual([1, 3]);
      expect((await readSigned(db, 1))?.size).toBe(3);
      const kept = openCheckpoint(
        (await publisher.guardOf(ORIGIN).newest()) ?? '',
        publisher.keys.checkpoints(ORIGIN),
      );
      expect(kept).toMatchObject({ ok: true, checkpoint: { size: 3 } });
      expect(
        (await verifyStoredLog(db, { verifiers: publisher.keys.checkpoints(ORIGIN) })).ok,
      ).toBe(true);
    },
  );
});

describe('a database that was restored to an older state', () => {
  test('is not signed again, whatever it grows to; decisions go on, and the operator is told', async () => {
    await using stack = new AsyncDisposableStack();
    const database = stack.use(await createTestDatabase());
    const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-restored-'));
    stack.defer(() => rm(dataDir, { recursive: true, force: true }));
    const start = ({ connectionString }: TestDatabase) =>
      startTestService({ config: { databaseUrl: connectionString, dataDir, logOrigin: ORIGIN } });
    type Service = Awaited<ReturnType<typeof start>>;
    let registered = 0;
    const register = (service: Service) =>
      service.ask('POST', '/v1/datasets', {
        role: 'steward',
        claims: { organisation: 'moh' },
        body: { id: `restored-${registered++}`, title: { en: 'Restored' } },
      });
    const status = async (service: Service) =>
      (await service.ask('GET', '/v1/audit/status', { role: 'authority' })).body;
    const caughtUp = (service: Service) =>
      until(async () => {
        const { size, pending, published } = await status(service);
        return pending === 0 && published?.size === size;
      });

    const first = await start(database);
    await register(first);
    await caughtUp(first);
    await first[Symbol.asyncDispose]();
    const backup = stack.use(await copyDatabase(database));

    const second = await start(database);
    for (let i = 0; i < 5; i++) await register(second);
    await caughtUp(second);
    const signed = (await status(second)).size;
    await second[Symbol.asyncDispose]();

    const restored = await start(backup);
    const kept = (await restored.ask('GET', '/log/checkpoint')).text;
    await until(async () => (await status(restored)).problem !== null);
    expect((await status(restored)).problem).toMatch(
      new RegExp(`fewer than the ${signed} that were signed: a database was restored`),
    );
    for (let i = 0; (await status(restored)).size <= signed; i++) {
      expect((await register(restored)).status).toBe(201);
      if (i > 40) throw new Error('nothing is sequenced');
      await sleep(100);
    }
    await until(async () => (await status(restored)).problem?.includes('does not extend'));
    expect((await restored.ask('GET', '/log/checkpoint')).text).toBe(kept);
    await restored[Symbol.asyncDispose]();

    // The database that has everything is signed as before.
    const whole = await start(database);
    await register(whole);
    await caughtUp(whole);
    expect((await status(whole)).problem).toBeNull();
    await whole[Symbol.asyncDispose]();
  }, 60_000);
});
