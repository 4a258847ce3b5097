/** Erasing a whole shard of the log: the bodies go, and what they were is proved as before. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadLogKeys } from '../../src/audit/keys.ts';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect } from '../../src/db/connection.ts';
import { pruneShards } from '../../src/erasure/prune.ts';
import { parseVerifierKey } from '../../src/tlog/note-key.ts';
import { verifyProofFile } from '../../src/tlog/proof-file.ts';
import { shell } from '../cli/shell.ts';
import { requestAccess } from '../support/access-request.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';

const OVERSEER = { role: 'authority' } as const;
const SECOND = { role: 'authority', claims: { subject: 'second-officer' } } as const;
const VERIFIER = join(import.meta.dirname, '../../verifier/verify.mjs');
const WORD = 'umugezi';

// The tokens of the demo end after today: years that have been are tried.
let now = new Date('2016-06-01T00:00:00Z');
let service: TestService;
let database: Client;
let folder: string;
/** Events of the first shard: of a dataset, and of a project that changed once. */
let ofDataset: string;
let registered: string;
let changed: string;
let pruning: string;
/** Of the second shard: requests that were permitted, one until 2018, one until 2030. */
const requested: string[] = [];

beforeAll(async () => {
  service = await startTestService({
    clock: () => now,
    config: { logOrigin: 'log.test.example/prune/2016' },
  });
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
  folder = await mkdtemp(join(tmpdir(), 'umutungo-prune-'));
  ofDataset = (await dataset('old')).event_id;
  const project = await service.ask('POST', '/v1/projects', {
    ...OVERSEER,
    body: {
      id: 'wells',
      title: { en: 'Wells' },
      organisation: 'moh',
      purposes: ['outbreak_forecasting'],
      sector: 'health',
      stage: 'pilot',
    },
  });
  if (project.status !== 201) throw new Error(project.text);
  registered = project.body.event_id;
  const change = await service.ask('PATCH', '/v1/projects/wells', {
    ...OVERSEER,
    headers: {
      'if-match': project.headers.get('etag') ?? '',
      'content-type': 'application/merge-patch+json',
    },
    body: { title: { en: 'Wells and rivers' } },
  });
  if (change.status !== 200) throw new Error(change.text);
  changed = change.body.event_id;
  await caughtUp();
  now = new Date('2017-06-01T00:00:00Z');
  await until(async () => (await shards()).length === 2);
  await dataset('victim');
  await dataset('newer');
  const token = await service.token('partner');
  for (const key of ['one', 'two'])
    requested.push((await requestAccess(service.url, token, key)).event_id);
  await caughtUp();
}, 60_000);
afterAll(async () => {
  await database.end();
  await service[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function dataset(id: string): Promise<{ event_id: string }> {
  const { status, body, text } = await service.ask('POST', '/v1/datasets', {
    role: 'steward',
    claims: { organisation: 'moh' },
    body: { id, title: { en: `Register of ${WORD}` } },
  });
  expect(status, text).toBe(201);
  return body;
}

async function shards(): Promise<{ year: number; size: number; vkeys: string[] }[]> {
  return (await service.ask('GET', '/log/shards')).body.items;
}

function caughtUp(): Promise<void> {
  return until(async () => {
    const { size, pending, published } = (await service.ask('GET', '/v1/audit/status', OVERSEER))
      .body;
    return pending === 0 && published?.size === size;
  });
}

const ask = (year: number): Promise<Answer> =>
  service.ask('POST', '/v1/audit/erasures', {
    ...OVERSEER,
    body: { scope: { shard: year }, reason: 'purpose_fulfilled' },
  });
const approve = (id: string, who: object = SECOND): Promise<Answer> =>
  service.ask('POST', `/v1/audit/erasures/${id}/approve`, who);
const bodyOf = async (event: string): Promise<Answer['body']> =>
  (await service.ask('GET', `/v1/audit/events/${event}`, OVERSEER)).body;

async function found(query: string): Promise<{ event_id: string }[]> {
  const path = `/v1/audit/search?limit=200&${query}`;
  return (await service.ask('GET', path, OVERSEER)).body.items;
}

describe('is refused', () => {
  let id: string;
  test('of a shard that has not ended, or is not there', async () => {
    for (const year of [2017, 2015]) {
      const { status, body } = await ask(year);
      expect([status, body.code, body.errors[0].expected]).toEqual([
        422,
        'unknown_reference',
        expect.stringContaining('has ended: 2016'),
      ]);
    }
  });
  test('to whoever asked for it', async () => {
    const asked = await ask(2016);
    expect(asked.status, asked.text).toBe(201);
    ({ id } = asked.body.erasure);
    expect((await approve(id, OVERSEER)).body.code).toBe('second_person_required');
  });
  test('while who did what in it has to be kept', async () => {
    const { status, body } = await approve(id);
    expect([status, body.code]).toEqual([409, 'retention_runs']);
  });
  test('while a hold covers any of it', async () => {
    now = new Date('2023-06-01T00:00:00Z');
    await until(async () => (await shards()).length === 3);
    // The first request has expired by now.
    expect((await approve(id)).body.code).toBe('wrong_status');
    ({ id } = (await ask(2016)).body.erasure);
    for (const scope of [
      { dataset: 'old' },
      { person: 'demo-steward' },
      { entries: { shard: 2016, start: 3, end: 5 } },
      { entries: { shard: 2016, start: 9_999 } },
    ]) {
      const held = await service.ask('POST', '/v1/audit/holds', {
        ...OVERSEER,
        body: { scope, reason: 'court_proceedings' },
      });
      expect(held.status, held.text).toBe(201);
      const refused = 'start' in (scope.entries ?? {}) && scope.entries?.start === 9_999;
      if (!refused) expect((await approve(id)).body.code).toBe('legal_hold');
      const lift = `/v1/audit/holds/${held.body.hold.id}/lift`;
      expect((await service.ask('POST', lift, OVERSEER)).status).toBe(200);
    }
    pruning = id;
  });
});

describe('once it is approved', () => {
  beforeAll(async () => {
    const { status, body, text } = await approve(pruning);
    if (status !== 200 || body.erasure.status !== 'approved') throw new Error(text);
    await until(async () => {
      const path = `/v1/audit/erasures/${pruning}`;
      return (await service.ask('GET', path, OVERSEER)).body.status === 'done';
    });
    await caughtUp();
  }, 60_000);

  test('the bodies are gone, with all that lies beside them, and events say by whom', async () => {
    const { body, values, erased, actor } = await bodyOf(ofDataset);
    const { event_id } = (await service.ask('GET', `/v1/audit/erasures/${pruning}`, OVERSEER)).body;
    expect([body, values]).toEqual([null, []]);
    expect(erased.length).toBeGreaterThan(0);
    expect(new Set(erased.map((each: { erased_by: string }) => each.erased_by))).toEqual(
      new Set([event_id]),
    );
    expect(actor).not.toContain('demo');
    const said = (await bodyOf(event_id)).body;
    const [{ size } = { size: 0 }] = await shards();
    expect(said.shard).toMatchObject({ origin: 'log.test.example/prune/2016', size });
    expect((await found(`text=${WORD}`)).map((each) => each.event_id)).not.toContain(ofDataset);
    expect((await found('dataset=old')).map((each) => each.event_id)).toContain(ofDataset);
  });

  test('what registers were until they next changed stays, and registers are as they are', async () => {
    expect((await bodyOf(registered)).body).toBeNull();
    expect((await bodyOf(changed)).body.project.id).toBe('wells');
    const { body } = await service.ask('GET', '/v1/datasets/old', OVERSEER);
    expect(body.title).toEqual({ en: `Register of ${WORD}` });
    const { rows } = await database.query(
      `select type, count(*)::int from audit_event e join log_leaf l using (event_id) where log_id = 1 and body is not null
       and type !~ '^(register|change)(Organisation|Agreement|Project|Registration|Authorisation)$' group by type`,
    );
    expect(rows).toEqual([]);
  });

  test('newer shards have lost nothing', async () => {
    const { rows } = await database.query(
      'select count(*)::int as gone from audit_event join log_leaf using (event_id) where log_id > 1 and body is null',
    );
    expect(rows).toEqual([{ gone: 0 }]);
  });

  test('the log verifies and says how many bodies went; every event is proved as before', async () => {
    await using connection = connect(service.config.databaseUrl ?? '', 2);
    const report = await verifyStoredLog(connection.db, {});
    expect(report).toMatchObject({ ok: true, problems: [] });
    const { rows } = await database.query(
      'select count(*)::int as gone from audit_event where body is null',
    );
    expect(report.pruned).toBe(rows[0].gone);
    const { text } = await service.ask('GET', `/v1/audit/events/${ofDataset}/proof`, OVERSEER);
    const { leaf_hash } = await bodyOf(ofDataset);
    const vkeys = (await shards())[0]?.vkeys.map((vkey) => parseVerifierKey(vkey)) ?? [];
    const verifiers = vkeys.flatMap((each) => (each.ok ? each.verifier : []));
    expect(verifyProofFile(text, Buffer.from(leaf_hash, 'base64'), verifiers).ok).toBe(true);
    const at = `${service.url}/log/shards/2016`;
    const token = await service.token('authority');
    expect(await shell(['log', 'verify', at, '--token', token])).toMatchObject({ code: 0 });
  });

  test('an export of it verifies, and says how much is gone', async () => {
    const path = '/v1/audit/export?shard=2016';
    const file = join(folder, 'export.jsonl');
    await writeFile(file, (await service.ask('GET', path, OVERSEER)).text);
    const said = await new Promise<string>((resolve) => {
      execFile(process.execPath, [VERIFIER, file], (_error, stdout) => resolve(stdout));
    });
    expect(said).toMatch(
      /^OK .* values are erased, \d+ of them by events that are not in this export/,
    );
  });

  test('a body of another shard that is said to have gone with it is found', async () => {
    await using connection = connect(service.config.databaseUrl ?? '', 2);
    const { event_id } = (await service.ask('GET', `/v1/audit/erasures/${pruning}`, OVERSEER)).body;
    await database.query('begin');
    await database.query(
      `with victim as (select event_id, leaf from log_leaf join audit_event using (event_id) where log_id = 2 and idx = 1)
       insert into erased_value select event_id, convert_from(leaf, 'utf8')::json ->> 'body_sha256', null, now(), $1 from victim`,
      [event_id],
    );
    await database.query(
      'update audit_event set body = null, disclosures = null where event_id = (select event_id from log_leaf where log_id = 2 and idx = 1)',
    );
    await database.query('commit');
    const report = await verifyStoredLog(connection.db, {});
    expect(report.problems).toMatchObject([{ code: 'erasure_unfounded', index: 1 }]);
  });
});

test('a hold that came after the approval keeps its events, and a permit that has not ended its own', async () => {
  // As if each had been permitted, and the second shard's erasure approved.
  await database.query('set session_replication_role = replica');
  await database.query(
    `update audit_event set outcome = 'permit',
       type = case event_id when $1 then type else 'evaluateAccesses' end where event_id in ($1, $2)`,
    requested,
  );
  for (const [i, date] of ['2018-01-01', '2030-01-01'].entries()) {
    await database.query(
      `update decision set effect = 'permit',
         document = (document::jsonb || jsonb_build_object('expiry', jsonb_build_object('date', $2::text)))::text
       where event_id = $1`,
      [requested[i], date],
    );
  }
  // Of several in one event it is enough that one has not ended.
  await database.query(
    `with other as (
       insert into decision select gen_random_uuid(), simulation, effect, dataset, project, created_by, created_at,
         (document::jsonb || '{"expiry": {"date": "2018-01-01"}}')::text, event_id
       from decision where event_id = $1 returning id
     ) update audit_event set subject_ids = array[(select id::text from other)] || subject_ids where event_id = $1`,
    [requested[1]],
  );
  await database.query(
    `insert into erasure select gen_random_uuid(), 'approved', '{"shard": 2017}', reason, reference, requested_by,
       requested_at, request_event, approved_by, approved_at, event_id, 0 from erasure where id = $1`,
    [pruning],
  );
  await database.query('set session_replication_role = default');
  const held = await service.ask('POST', '/v1/audit/holds', {
    ...OVERSEER,
    body: { scope: { dataset: 'newer' }, reason: 'court_proceedings' },
  });
  await using connection = connect(service.config.databaseUrl ?? '', 2);
  const keys = await loadLogKeys(join(service.config.dataDir, 'keys'));
  const run = (): Promise<void> =>
    pruneShards({ db: connection.db, clock: () => now, log: { keys } });
  const left = async (): Promise<unknown[]> => {
    const { rows } = await database.query(
      `select e.event_id = $1 as permit, 'newer' = any(e.subject_ids) as held, s.status
       from log_leaf l join audit_event e using (event_id), erasure s
       where log_id = 2 and body is not null and s.scope ->> 'shard' = '2017'
         and e.type in ('registerDataset', 'submitAccessRequest', 'evaluateAccesses')`,
      [requested[1]],
    );
    return rows;
  };
  await run();
  const { rows: askers } = await database.query(
    `select d.event_id, d.created_by = e.actor as nameless, r.created_by = d.created_by as alike,
       d.facts_erased as factless, r.request = '{}' as silent
     from decision d join audit_event e using (event_id) join access_request r on r.decision = d.id
     where d.event_id = any($1) order by array_position($1::uuid[], d.event_id)`,
    [requested],
  );
  expect(askers).toEqual([
    { event_id: requested[0], nameless: true, alike: true, factless: true, silent: true },
    { event_id: requested[1], nameless: false, alike: true, factless: false, silent: false },
  ]);
  const permitted = { permit: true, held: false };
  expect(await left()).toEqual(
    expect.arrayContaining([
      { ...permitted, status: 'approved' },
      { permit: false, held: true, status: 'approved' },
    ]),
  );
  expect(await left()).toHaveLength(2);
  await service.ask('POST', `/v1/audit/holds/${held.body.hold.id}/lift`, OVERSEER);
  await run();
  expect(await left()).toEqual([{ ...permitted, status: 'done' }]);
});
