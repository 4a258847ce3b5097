/**
 * Decisions are made from a copy of the registers: a change, by whoever and however, is either seen
 * or comes after the decision, in time and in the log.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StoredDecision } from '../../src/access/decision.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

let service: TestService;
let database: Client;
let other: Client;

beforeAll(async () => {
  service = await startTestService();
  database = new Client(service.config.databaseUrl ?? '');
  other = new Client(service.config.databaseUrl ?? '');
  await database.connect();
  await other.connect();
});
afterAll(async () => {
  await database.end();
  await other.end();
  await service[Symbol.asyncDispose]();
});

const DATASET = 'nhic-idsr-cases';
const REQUEST = {
  dataset: DATASET,
  project: 'idsr-forecasting',
  agreement: 'agr-illus-16',
  purpose: 'outbreak_forecasting',
};

function submit(): Promise<Answer> {
  return service.ask('POST', '/v1/access-requests', { role: 'partner', body: REQUEST });
}

/** What a decision rested on, without what is its own. */
async function basisOf(answer: Answer): Promise<string> {
  expect(answer.status).toBe(201);
  const { rows } = await database.query<{ document: string }>(
    'select whole_document(document) as document from decision where id = $1',
    [answer.body.decision.id],
  );
  const { pack, policies, facts } = JSON.parse(rows[0]?.document ?? '') as StoredDecision;
  const { id: _id, as_of: _asOf, ...request } = facts.request as Record<string, unknown>;
  return JSON.stringify({ pack, policies, dataset: facts.dataset, request });
}

async function decide(): Promise<string> {
  return basisOf(await submit());
}

/** Waits until so many in this database wait for a lock. */
async function waiting(many: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const { rowCount } = await database.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    if ((rowCount ?? 0) >= many) return;
    await sleep(10);
  }
  throw new Error('nobody waits for anybody');
}

/** The body of an event of several evaluations. */
interface Evaluated {
  readonly decisions?: readonly { readonly dataset: string; readonly dataset_version: number }[];
}

/** A change of each table that a decision reads, its undoing, and what only one of the two says. */
const CHANGES: Readonly<Record<string, readonly [change: string, undo: string, mark: RegExp]>> = {
  'a dataset': [
    `update dataset set document = document || '{"licence": "changed"}' where id = '${DATASET}'`,
    `update dataset set document = document - 'licence' where id = '${DATASET}'`,
    /"licence":"changed"/,
  ],
  'the first consent to a purpose': [
    `insert into consent_total (dataset, purpose, given, refused, withdrawn, given_by_parent, given_covering_transfer)
      values ('${DATASET}', 'outbreak_forecasting', 7, 0, 3, 0, 7)`,
    `delete from consent_total where dataset = '${DATASET}'`,
    /"withdrawn_count":3/,
  ],
  'a project': [
    `update project set knowledge_transfer = '{"training_hours": 1}' where id = 'idsr-forecasting'`,
    `update project set knowledge_transfer = '{"training_hours": 140}' where id = 'idsr-forecasting'`,
    /"training_hours":1}/,
  ],
  'an organisation': [
    `update organisation set country = 'FR' where id = 'jp-engineering'`,
    `update organisation set country = 'JP' where id = 'jp-engineering'`,
    /"country":"FR"/,
  ],
  'a registration': [
    `update registration set fields = fields || '{"number": "changed"}' where id = 'registration-jp-engineering'`,
    `update registration set fields = fields - 'number' where id = 'registration-jp-engineering'`,
    /"number":"changed"/,
  ],
  'a new authorisation': [
    `insert into authorisation (id, version, kind, project, dataset, fields, revoked, created_at, updated_at)
      values ('new', 1, 'ethics_approval', 'idsr-forecasting', null, '{"body": "changed"}', false, now(), now())`,
    `update authorisation set revoked = true where id = 'new'; delete from authorisation where id = 'new'`,
    /"body":"changed"/,
  ],
  'an agreement': [
    `update agreement set valid_until = '2031-03-03' where id = 'agr-illus-16'`,
    `update agreement set valid_until = '2030-12-31' where id = 'agr-illus-16'`,
    /"valid_until":"2031-03-03"/,
  ],
  'the policies in force': [
    `with next as (
      insert into in_force_history (generation, since, pack_sha256, policy_sha256, extension_sha256)
      select gen_random_uuid(), now(), pack_sha256, policy_sha256[1:1], '{}' from pack_in_force
      returning generation
    ) update pack_in_force set generation = (select generation from next)`,
    `update pack_in_force set generation = (select generation from in_force_history order by since limit 1)`,
    /"policies":\[{[^}]*}\]/,
  ],
};

describe.each(Object.entries(CHANGES))('%s that is changed', (_what, [change, undo, mark]) => {
  test('is seen by the next decision, although its facts are known', async () => {
    await database.query(undo);
    await decide();
    expect(await decide()).not.toMatch(mark);
    await database.query(change);
    expect(await decide()).toMatch(mark);
    await database.query(undo);
    expect(await decide()).not.toMatch(mark);
  });

  test('while a request is under way is waited for, and seen when it is committed', async () => {
    await database.query(undo);
    await decide();
    for (const [end, seen] of [
      ['rollback', false],
      ['commit', true],
    ] as const) {
      await other.query('begin');
      await other.query(change);
      const answer = submit();
      await waiting(1);
      await other.query(end);
      expect(mark.test(await basisOf(await answer))).toBe(seen);
    }
    await database.query(undo);
  });

  test('waits for a decision that has not seen it', async () => {
    await database.query(undo);
    await decide();
    await other.query('select pg_advisory_lock(1)');
    await database.query(`
      create function hold_on() returns trigger language plpgsql as $$
      begin perform pg_advisory_xact_lock_shared(1); return new; end $$;
      create trigger hold_on before insert on access_request for each row execute function hold_on()`);
    const answer = submit();
    await waiting(1);
    const third = new Client(service.config.databaseUrl ?? '');
    await third.connect();
    const order: string[] = [];
    const changed = third.query(change).then(() => order.push('changed'));
    const decided = answer.then(() => order.push('decided'));
    await waiting(2);
    expect(order).toEqual([]);
    await other.query('select pg_advisory_unlock(1)');
    await Promise.all([changed, decided]);
    await third.end();
    await database.query('drop trigger hold_on on access_request; drop function hold_on');
    expect(await basisOf(await answer)).not.toMatch(mark);
    expect(await decide()).toMatch(mark);
    await database.query(undo);
  });
});

test('a dataset that is retired while requests and evaluations pour in gets no decision after its retirement, in the log', async () => {
  const steward = { role: 'steward', claims: { organisation: 'moh' } } as const;
  await decide();
  const load = { on: true };
  const answers: Answer[] = [];
  const lanes = Array.from({ length: 12 }, async () => {
    while (load.on) answers.push(await submit());
  });
  const { dataset, project, agreement, ...asked } = REQUEST;
  const batches: Answer[] = [];
  const several = Array.from({ length: 4 }, async () => {
    while (load.on)
      batches.push(
        await service.ask('POST', '/access/v1/evaluations', {
          role: 'partner',
          body: {
            subject: { type: 'project', id: project },
            action: { name: 'use', properties: { ...asked, agreement } },
            evaluations: [dataset, 'nisr-study-120', dataset, 'nisr-study-119'].map((id) => ({
              resource: { type: 'dataset', id },
            })),
          },
        }),
      );
  });
  const path = `/v1/datasets/${DATASET}`;
  for (let i = 0; i < 12; i++) {
    const { headers } = await service.ask('GET', path, steward);
    const changed = await service.ask('PATCH', path, {
      ...steward,
      headers: { 'if-match': headers.get('etag') ?? '' },
      body: { provenance: { en: `the ${i}th change` } },
    });
    expect(changed.status).toBe(200);
    await sleep(10);
  }
  const { headers } = await service.ask('GET', path, steward);
  const retired = await service.ask('POST', `${path}/retire`, {
    ...steward,
    headers: { 'if-match': headers.get('etag') ?? '' },
  });
  expect(retired.status).toBe(200);
  load.on = false;
  await Promise.all([...lanes, ...several]);
  expect((await submit()).status).toBe(422);
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201, 422]));

  for (let tries = 0; tries < 200; tries++) {
    const { rowCount } = await database.query('select from audit_pending');
    if (rowCount === 0) break;
    await sleep(50);
  }
  const { rows } = await database.query<{ type: string; body: string; version: number }>(`
    select e.type, v.version, convert_from(e.body, 'UTF8') as body
    from log_leaf l join audit_event e using (event_id) left join dataset_version v using (event_id)
    where e.subject_ids @> array['${DATASET}'] order by l.idx`);
  let version = 0;
  let decisions = 0;
  let evaluated = 0;
  for (const row of rows) {
    if (row.version !== null) version = row.version;
    if (row.type === 'evaluateAccesses') {
      const body = JSON.parse(row.body) as Evaluated;
      const own = (body.decisions ?? []).filter((each) => each.dataset === DATASET);
      for (const each of own) expect(each.dataset_version).toBe(version);
      evaluated += own.length;
    } else if (row.type === 'submitAccessRequest') {
      const { dataset_version } = JSON.parse(row.body) as { dataset_version: number };
      expect(dataset_version).toBe(version);
      decisions++;
    }
  }
  expect(rows.at(-1)?.type).toBe('retireDataset');
  expect(version).toBeGreaterThan(12);
  expect(decisions).toBeGreaterThan(12);
  // Each answer that was no error is in the log, once.
  const answered = batches.flatMap(({ status, body }) => {
    expect(status).toBe(200);
    return [0, 2].filter((i) => body.evaluations[i].context?.error === undefined);
  });
  expect(evaluated).toBe(answered.length);
  expect(evaluated).toBeGreaterThan(12);
});
