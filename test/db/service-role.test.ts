/** The service as a role that owns nothing: all of its work, and none of what would rewrite the record. */

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/audit/disclosures.ts';
import { loadLogKeys } from '../../src/audit/keys.ts';
import { turn } from '../../src/audit/sequencer.ts';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect } from '../../src/db/connection.ts';
import { prepareDatabase } from '../../src/db/migrate.ts';
import { samples } from '../http/samples.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestService, type TestService } from '../support/service.ts';

const ROLE = `t_service_${randomBytes(4).toString('hex')}`;
const VERIFIER = join(import.meta.dirname, '../../verifier/verify.mjs');
const PASSWORD = randomBytes(12).toString('hex');

let database: TestDatabase;
let owner: Client;
let service: TestService;
let role: Client;

beforeAll(async () => {
  database = await createTestDatabase();
  await prepareDatabase(database.connectionString);
  owner = new Client(database.connectionString);
  await owner.connect();
  await owner.query(`create role ${ROLE} login password '${PASSWORD}' in role umutungo_service`);
  const url = new URL(database.connectionString);
  url.username = ROLE;
  url.password = PASSWORD;
  service = await startTestService({ config: { databaseUrl: url.href } });
  role = new Client(url.href);
  await role.connect();
});
afterAll(async () => {
  await role.end();
  await service[Symbol.asyncDispose]();
  await owner.end();
  const last = new Client(database.connectionString);
  await last.connect();
  await last.query(`drop role ${ROLE}`);
  await last.end();
  await database.drop();
});

test.each(Object.keys(samples))('%s works', async (id) => {
  const sample = await samples[id]?.(service);
  if (!sample) throw new Error(`no sample of ${id}`);
  const { method, path, ...rest } = sample;
  const answer = await service.ask(method, path, rest);
  expect([200, 201], answer.text).toContain(answer.status);
});

test('the log is sequenced, signed, indexed and verifies', async () => {
  for (let tries = 0; ; tries++) {
    const { body } = await service.ask('GET', '/v1/audit/status', { role: 'authority' });
    if (body.pending === 0 && body.published?.size === body.size) break;
    if (tries > 400) throw new Error(JSON.stringify(body));
    await sleep(25);
  }
  await using connection = connect(service.config.databaseUrl ?? '', 1);
  const report = await verifyStoredLog(connection.db, {});
  expect(report).toMatchObject({ ok: true, problems: [] });
  expect(report.erased).toBeGreaterThan(0);
  expect(service.warnings).toEqual([]);
});

test('a second start, and one beside it, need no more rights', async () => {
  await using second = await startTestService({
    config: { databaseUrl: service.config.databaseUrl, dataDir: service.config.dataDir },
  });
  expect((await second.ask('GET', '/readyz')).status).toBe(200);
});

test('the log turns to a new year', async () => {
  await using connection = connect(service.config.databaseUrl ?? '', 1);
  const keys = await loadLogKeys(join(service.config.dataDir, 'keys'));
  const now = new Date(Date.UTC(new Date().getUTCFullYear() + 1, 0, 1));
  const { origin = '' } = (await turn(connection.db, keys, now)) ?? {};
  expect(origin).toMatch(new RegExp(`/${now.getUTCFullYear()}$`));
  for (let tries = 0; ; tries++) {
    const { text } = await service.ask('GET', '/log/checkpoint');
    if (text.startsWith(`${origin}\n`)) break;
    if (tries > 400) throw new Error(text);
    await sleep(25);
  }
  expect(service.warnings).toEqual([]);
});

describe('what is recorded stays', () => {
  const DENIED =
    /permission denied|must be owner|append-only|never deleted|never goes back|not changed/;
  test.each([
    ...['event_id', 'type', 'time', 'actor', 'role', 'subject_ids', 'outcome', 'leaf'].map(
      (column) => `update audit_event set ${column} = ${column}`,
    ),
    'update audit_event set body = null',
    'update audit_event set disclosures = null',
    ...[
      'audit_event',
      'log_leaf',
      'log_tile',
      'log_checkpoint',
      'erased_value',
      'dataset_version',
    ].flatMap((table) => [`delete from ${table}`, `truncate ${table} cascade`]),
    ...[
      'log_leaf',
      'log_tile',
      'log_checkpoint',
      'erased_value',
      'in_force_history',
      'pack_version',
    ].map(
      (table) =>
        `do $$ begin execute (select format('update ${table} set %1$I = %1$I', column_name) from information_schema.columns where table_name = '${table}' limit 1); end $$`,
    ),
    'update decision set document = document',
    'update decision set effect = effect',
    'delete from decision',
    'update access_request set request = request',
    'delete from access_request',
    'update log_head set origin = origin',
    'delete from log_head',
    'update log_signed set size = size - 1',
    'delete from log_published',
    'truncate audit_pending',
    'update audit_pending set leaf_hash = leaf_hash',
    "update legal_hold set scope = '{}'",
    "update legal_hold set placed_by = 'somebody'",
    "update legal_hold set lifted_by = 'somebody' where lifted_at is not null",
    'delete from legal_hold',
    'delete from dataset',
    'alter table audit_event disable trigger all',
    'drop trigger audit_event_append_only on audit_event',
    'set session_replication_role = replica',
    "create or replace function refuse_change() returns trigger language plpgsql as 'begin return new; end'",
    'create table mine (x int)',
    'drop table log_leaf cascade',
    'grant all on audit_event to public',
    'alter role current_user superuser',
  ])('%s is refused', async (statement) => {
    const before = await owner.query('select count(*) from audit_event');
    await role.query('begin');
    try {
      if (statement.startsWith('grant')) {
        // PostgreSQL warns and grants nothing where there is nothing to grant.
        await role.query(statement);
        const { rows } = await role.query(
          `select from information_schema.table_privileges where table_name = 'audit_event' and grantee = 'PUBLIC'`,
        );
        expect(rows).toEqual([]);
      } else await expect(role.query(statement)).rejects.toThrow(DENIED);
    } finally {
      await role.query('rollback');
    }
    expect((await owner.query('select count(*) from audit_event')).rows).toEqual(before.rows);
  });

  test('a decision keeps its facts while its event has its body', async () => {
    const picture = () => owner.query('select id, document from decision order by id');
    const before = (await picture()).rows;
    expect(before.length).toBeGreaterThan(0);
    await role.query(
      'select erase_facts(array(select event_id from audit_event where body is not null))',
    );
    expect((await picture()).rows).toEqual(before);
  });

  test.each(['table', 'view'])(
    'nor does a %s of its own stand for what was erased',
    async (kind) => {
      const picture = () => owner.query('select id, document from decision order by id');
      const before = (await picture()).rows;
      await role.query('begin');
      const said = 'select event_id, null::text as path from audit_event';
      await role.query(`create temporary ${kind} erased_value as ${said}`);
      await role.query(`create temporary ${kind} audit_event as select * from public.audit_event`);
      await role.query('grant select on pg_temp.erased_value, pg_temp.audit_event to public');
      await role.query('select erase_facts(array(select event_id from public.audit_event))');
      await role.query('commit; discard temp');
      expect((await picture()).rows).toEqual(before);
    },
  );
});

/**
 * What a service in wrong hands may do all the same: take a value out and say that it was erased. No
 * event of the log says so, and both verifiers look for it. An export says nothing of what is not in
 * it: there the second one counts what it cannot judge. Last here: the log is damaged after it.
 */
describe('an erasure that is pretended with the rights of the service', () => {
  let folder: string;
  let real: { event_id: string; erased_by: string };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'umutungo-role-'));
    const { rows } = await role.query('select event_id, erased_by from erased_value limit 1');
    real = rows[0];
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** An event whose values are all there, with the digests of what lies beside it. */
  async function victim(): Promise<{ event_id: string; idx: number; digests: string[] }> {
    const { rows } = await role.query<{ event_id: string; idx: string; disclosures: string }>(
      `select event_id, idx, disclosures from audit_event join log_leaf using (event_id)
       where disclosures <> '' and type = 'registerDataset'
         and log_id = 1
         and not exists (select from erased_value v where v.event_id = audit_event.event_id)
       order by idx limit 1`,
    );
    const [row] = rows;
    if (!row) throw new Error('there is no event to be robbed');
    return { ...row, idx: Number(row.idx), digests: row.disclosures.split('~').map(digestOf) };
  }

  async function pretend(
    event_id: string,
    digests: readonly string[],
    by: string,
    gone = 'disclosures = null',
  ): Promise<void> {
    for (const digest of digests) {
      await role.query(
        `insert into erased_value (event_id, digest, path, erased_at, erased_by)
         values ($1, $2, '/actor', now(), $3)`,
        [event_id, digest, by],
      );
    }
    await role.query(`update audit_event set ${gone} where event_id = $1`, [event_id]);
  }

  /** What both verifiers find at an index: that of the database, and that of an export. */
  async function found(idx: number): Promise<{ ours: string[]; theirs: string }> {
    await using connection = connect(service.config.databaseUrl ?? '', 1);
    const { problems } = await verifyStoredLog(connection.db, {});
    const file = join(folder, `${idx}.jsonl`);
    // Of the first shard: the log has turned since.
    const { year } = (await service.ask('GET', '/log/shards')).body.items[0];
    const path = `/v1/audit/export?shard=${year}`;
    const exported = await service.ask('GET', path, { role: 'authority' });
    await writeFile(file, exported.text);
    const vkeys = (await service.ask('GET', `/log/shards/${year}/vkeys`)).text.split('\n');
    const theirs = await new Promise<string>((resolve) => {
      execFile(process.execPath, [VERIFIER, file, '--vkey', vkeys[0] ?? ''], (_error, stdout) =>
        resolve(stdout),
      );
    });
    const ours = problems.filter(({ index }) => index === idx).map(({ code }) => code);
    return { ours: [...new Set(ours)], theirs };
  }

  const named = (idx: number) => ({
    ours: ['erasure_unfounded'],
    theirs: expect.stringContaining(`DAMAGED erasure_unfounded at index ${idx}:`),
  });

  test('by an event that is not there is found in the database, and counted in an export', async () => {
    const { event_id, idx, digests } = await victim();
    await pretend(event_id, digests, '00000000-0000-7000-8000-000000000001');
    const { ours, theirs } = await found(idx);
    expect(ours).toEqual(['erasure_unfounded']);
    expect(theirs).toContain(`${digests.length} of them by events that are not in this export`);
  });

  test.each([
    ['an event that is none of an erasure', (own: string) => own],
    ['the event of another erasure', () => real.erased_by],
  ])('by %s is found', async (_name, byOf) => {
    const { event_id, idx, digests } = await victim();
    await pretend(event_id, digests, byOf(event_id));
    expect(await found(idx)).toEqual(named(idx));
  });

  test('of a whole body is found', async () => {
    const { event_id, idx } = await victim();
    const { rows } = await role.query<{ leaf: Buffer }>(
      'select leaf from audit_event where event_id = $1',
      [event_id],
    );
    const { body_sha256 } = JSON.parse(String(rows[0]?.leaf));
    await pretend(event_id, [body_sha256], real.erased_by, 'body = null, disclosures = null');
    expect(await found(idx)).toEqual(named(idx));
  });
});
