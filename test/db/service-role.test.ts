/** The service as a role that owns nothing: all of its work, and none of what would rewrite the record. */

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadLogKeys } from '../../src/audit/keys.ts';
import { turn } from '../../src/audit/sequencer.ts';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect } from '../../src/db/connection.ts';
import { prepareDatabase } from '../../src/db/migrate.ts';
import { samples } from '../http/samples.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestService, type TestService } from '../support/service.ts';

const ROLE = `t_service_${randomBytes(4).toString('hex')}`;
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
  const origin = await turn(connection.db, keys, now);
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
});
