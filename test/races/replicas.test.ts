/** Two replicas of the service on one database: one log, one answer a key, one winner a version. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadLogKeys } from '../../src/audit/keys.ts';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect, type Database } from '../../src/db/connection.ts';
import { openCheckpoint } from '../../src/tlog/checkpoint.ts';
import { verifyConsistency } from '../../src/tlog/proof.ts';
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

let stack: AsyncDisposableStack;
let database: TestDatabase;
let connection: Database;
let dataDir: string;
let replicas: readonly [TestService, TestService];

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  database = stack.use(await createTestDatabase());
  dataDir = await mkdtemp(join(tmpdir(), 'umutungo-replicas-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  connection = stack.use(connect(database.connectionString, 2));
  const config = { databaseUrl: database.connectionString, dataDir };
  const first = stack.use(await startTestService({ config }));
  replicas = [first, stack.use(await startTestService({ config }))];
});
afterAll(() => stack.disposeAsync());

const MOH = { role: 'steward', claims: { organisation: 'moh' } } as const;
const REQUEST = {
  dataset: 'nhic-idsr-cases',
  project: 'idsr-forecasting',
  agreement: 'agr-illus-16',
  purpose: 'outbreak_forecasting',
};

function replica(i: number): TestService {
  return i % 2 === 0 ? replicas[0] : replicas[1];
}

/** One of four kinds of write, through one of the replicas. */
function write(i: number): Promise<Answer> {
  const service = replica(Math.floor(i / 4));
  switch (i % 4) {
    case 0:
      return service.ask('POST', '/v1/datasets', {
        ...MOH,
        body: { id: `race-${i}`, title: { en: `Race ${i}` } },
      });
    case 1:
      return service.ask('POST', '/v1/datasets/moh-hiv-tracker/consent-records', {
        ...MOH,
        body: {
          purpose: 'hiv_care',
          subject: `s-${i}`,
          status: 'given',
          at: '2026-01-01T00:00:00Z',
        },
      });
    case 2:
      return service.ask('POST', '/v1/decisions/simulate', {
        ...MOH,
        body: { dataset: 'nhic-idsr-cases', request: { purpose: 'outbreak_forecasting' } },
      });
    default:
      return service.ask('POST', '/v1/access-requests', { role: 'partner', body: REQUEST });
  }
}

function recordedIn({ body }: Answer): { event_id: string; leaf_hash: string } {
  return body.decision ?? body;
}

/** Waits until every event has its index. */
async function sequenced(): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const row = await connection.db
      .selectFrom('audit_pending')
      .select((each) => each.fn.countAll().as('n'))
      .executeTakeFirstOrThrow();
    if (Number(row.n) === 0) return;
    await sleep(50);
  }
  throw new Error('events still wait for their index');
}

function leaves(): Promise<{ idx: number; event_id: string; leaf_hash: Buffer }[]> {
  return connection.db
    .selectFrom('log_leaf')
    .select(['idx', 'event_id', 'leaf_hash'])
    .orderBy('idx')
    .execute();
}

function idsOf(list: readonly { event_id: string }[]): string[] {
  return list.map(({ event_id }) => event_id).toSorted();
}

/** Statuses of answers, in order of their number. */
function statuses(answers: readonly Answer[]): number[] {
  return answers.map(({ status }) => status).toSorted((a, b) => a - b);
}

function warnings(): string[] {
  return replicas.flatMap((each) => each.warnings);
}

describe('the log of two replicas under load', () => {
  test('has every acknowledged event once, at indices without a gap, and verifies', async () => {
    const answers = await Promise.all(Array.from({ length: 400 }, (_, i) => write(i)));
    expect([...new Set(statuses(answers))]).toEqual([200, 201]);
    await sequenced();
    const log = await leaves();
    expect(log.map(({ idx }) => idx)).toEqual(log.map((_, i) => i));
    const events = await connection.db.selectFrom('audit_event').select('event_id').execute();
    expect(idsOf(log)).toEqual(idsOf(events));
    const hashes = new Map(log.map((leaf) => [leaf.event_id, leaf.leaf_hash.toString('base64')]));
    for (const { event_id, leaf_hash } of answers.map(recordedIn)) {
      expect(hashes.get(event_id)).toBe(leaf_hash);
    }
    const checkpoints = (await loadLogKeys(join(dataDir, 'keys'))).checkpoints(
      replicas[0].config.logOrigin,
    );
    const report = await verifyStoredLog(connection.db, { verifiers: checkpoints });
    expect(report).toMatchObject({ ok: true, problems: [], pending: 0, size: log.length });
    expect(warnings()).toEqual([]);
  });

  test('orders an event after those that were acknowledged before it was asked for', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 24; i++) ids.push(recordedIn(await write(1_000 + 5 * i)).event_id);
    await sequenced();
    const at = new Map((await leaves()).map(({ event_id, idx }) => [event_id, idx]));
    const order = ids.map((id) => at.get(id) ?? -1);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(order).not.toContain(-1);
  });

  test('publishes checkpoints that each extend the one before, whichever replica is asked', async () => {
    const checkpoints = (await loadLogKeys(join(dataDir, 'keys'))).checkpoints(
      replicas[0].config.logOrigin,
    );
    const load = { done: false };
    const written = Promise.all(
      Array.from({ length: 8 }, async (_, lane) => {
        for (let i = 0; i < 25; i++) await write(10_000 + 4 * (lane * 1_000 + i) + (i % 4));
      }),
    ).finally(() => (load.done = true));
    const seen: { size: number; root: Uint8Array }[] = [];
    for (let i = 0; !load.done || i < 2; i++) {
      const opened = openCheckpoint(
        (await replica(i).ask('GET', '/log/checkpoint')).text,
        checkpoints,
      );
      if (!opened.ok) throw new Error(opened.reason);
      seen.push(opened.checkpoint);
      await sleep(20);
    }
    await written;
    const steps = new Map(seen.map((each) => [each.size, each]));
    const sizes = [...steps.keys()].toSorted((a, b) => a - b);
    expect(sizes.length).toBeGreaterThan(2);
    expect(seen.map(({ size }) => size)).toEqual(
      seen.map(({ size }) => size).toSorted((a, b) => a - b),
    );
    for (const [i, to] of sizes.entries()) {
      const from = sizes[i - 1];
      if (from === undefined) continue;
      const { body } = await replica(i).ask('GET', `/log/consistency?from=${from}&to=${to}`);
      const proof = (body.proof as string[]).map((hash) => Buffer.from(hash, 'base64'));
      const [older, newer] = [steps.get(from), steps.get(to)];
      if (!older || !newer) throw new Error('unreachable');
      const checked = verifyConsistency({
        from,
        to,
        fromRoot: older.root,
        toRoot: newer.root,
        proof,
      });
      expect(checked).toEqual({ ok: true });
    }
    expect(warnings()).toEqual([]);
  });
});

describe('the same at once at two replicas', () => {
  test('one Idempotency-Key makes one access request', async () => {
    for (let round = 0; round < 8; round++) {
      const headers = { 'idempotency-key': `replicas-${round}` };
      const answers = await Promise.all(
        [0, 1, 2, 3].map((i) =>
          replica(i).ask('POST', '/v1/access-requests', {
            role: 'partner',
            headers,
            body: REQUEST,
          }),
        ),
      );
      expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
      expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    }
  });

  test('one Idempotency-Key registers one dataset', async () => {
    for (let round = 0; round < 8; round++) {
      const headers = { 'idempotency-key': `dataset-${round}` };
      const body = { id: `once-${round}`, title: { en: 'Once' } };
      const answers = await Promise.all(
        [0, 1, 2, 3].map((i) => replica(i).ask('POST', '/v1/datasets', { ...MOH, headers, body })),
      );
      expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
      expect(new Set(answers.map((answer) => answer.body.event_id)).size).toBe(1);
    }
  });

  test('two bodies under one Idempotency-Key: one is made, the other refused', async () => {
    for (let round = 0; round < 10; round++) {
      const headers = { 'idempotency-key': `bodies-${round}` };
      const answers = await Promise.all(
        [0, 1].map((i) =>
          replica(i).ask('POST', '/v1/access-requests', {
            role: 'partner',
            headers,
            body: { ...REQUEST, fields_scope: i === 0 ? 'minimum' : 'full' },
          }),
        ),
      );
      expect(statuses(answers)).toEqual([201, 422]);
    }
  });

  test('of two stewards who change one version exactly one wins, and nobody is overwritten', async () => {
    const made = await replica(0).ask('POST', '/v1/datasets', {
      ...MOH,
      body: { id: 'contested', title: { en: 'Contested' } },
    });
    expect(made.status).toBe(201);
    for (let version = 1; version <= 10; version++) {
      const answers = await Promise.all(
        [0, 1, 2, 3].map((i) =>
          replica(i).ask('PATCH', '/v1/datasets/contested', {
            ...MOH,
            headers: { 'if-match': `"${version}"` },
            body: { provenance: { en: `of steward ${i}` } },
          }),
        ),
      );
      expect(statuses(answers)).toEqual([200, 412, 412, 412]);
      const won = answers.find(({ status }) => status === 200);
      const { body } = await replica(version).ask('GET', '/v1/datasets/contested', MOH);
      expect(body.version).toBe(version + 1);
      expect(body.provenance).toEqual(won?.body.provenance);
    }
  });

  test('of two authorities who change one agreement exactly one wins', async () => {
    const authority = { role: 'authority' } as const;
    const { headers } = await replica(0).ask('GET', '/v1/agreements/agr-illus-07', authority);
    const etag = headers.get('etag') ?? '';
    const answers = await Promise.all(
      [0, 1].map((i) =>
        replica(i).ask('PATCH', '/v1/agreements/agr-illus-07', {
          ...authority,
          headers: { 'if-match': etag },
          body: { valid_until: `2029-0${i + 1}-01` },
        }),
      ),
    );
    expect(statuses(answers)).toEqual([200, 412]);
  });

  test('one id is registered once', async () => {
    for (let round = 0; round < 10; round++) {
      const body = { id: `same-id-${round}`, title: { en: 'Same' } };
      const answers = await Promise.all(
        [0, 1].map((i) => replica(i).ask('POST', '/v1/datasets', { ...MOH, body })),
      );
      expect(statuses(answers)).toEqual([201, 409]);
    }
    expect(warnings()).toEqual([]);
  });
});

describe('the first start of two replicas at once', () => {
  test('on an empty database brings both up, with one schema, one pack and one demo', async () => {
    await using own = new AsyncDisposableStack();
    const empty = own.use(await createEmptyDatabase());
    const folder = await mkdtemp(join(tmpdir(), 'umutungo-first-'));
    own.defer(() => rm(folder, { recursive: true, force: true }));
    const config = { databaseUrl: empty.connectionString, dataDir: folder };
    const started = await Promise.allSettled([
      startTestService({ config }),
      startTestService({ config }),
    ]);
    const services = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    for (const service of services) own.use(service);
    const refusals = started.flatMap((each) =>
      each.status === 'rejected' ? [String(each.reason)] : [],
    );
    expect(refusals).toEqual([]);
    const { db } = own.use(connect(empty.connectionString, 1));
    const types = await db
      .selectFrom('audit_event')
      .select((each) => ['type', each.fn.countAll().as('n')])
      .groupBy('type')
      .execute();
    const byType = Object.fromEntries(types.map(({ type, n }) => [type, Number(n)]));
    expect(byType).toMatchObject({
      reloadPack: 1,
      registerDataset: 84,
      registerOrganisation: 13,
      registerAgreement: 7,
      registerProject: 8,
      registerRegistration: 5,
      registerAuthorisation: 13,
    });
  });
});
