/** Stored decisions are decided again, however many policies came since, and each damage is found and named. */

import { readdirSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Migrator } from 'kysely/migration';
import { sql } from 'kysely';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decide } from '../../src/access/decision.ts';
import { canonicalText } from '../../src/audit/canonical.ts';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect, type Db } from '../../src/db/connection.ts';
import { newId, sha256 } from '../../src/ids.ts';
import { casesOf } from '../../src/pdp/cases.ts';
import { compilePack, readPackFolder } from '../../src/policies/files.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { accessRequest, policyText } from '../http/samples.ts';
import { createEmptyDatabase } from '../support/postgres.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

const ROOT = join(import.meta.dirname, '../..');
const PACK = join(ROOT, 'policies/rwanda');
const NOBODYS_UUID = '00000000-0000-7000-8000-000000000000';

let service: TestService;
let client: Client;
let packDir: string;
/** Decisions by the age in which they were made. */
const ages: Record<string, string> = {};

const ask = (role: 'steward' | 'authority' | 'partner', path: string, rest = {}): Promise<Answer> =>
  service.ask('POST', path, { role, ...rest });

async function made(age: string): Promise<void> {
  const request = await ask('partner', '/v1/access-requests', { body: accessRequest });
  expect(request.status, request.text).toBe(201);
  ages[`a request ${age}`] = request.body.decision.id;
  const simulation = await ask('partner', '/v1/decisions/simulate', {
    body: {
      dataset: { classification: 'public', publisher: 'moh' },
      request: { purpose: 'academic_research' },
    },
  });
  expect(simulation.status, simulation.text).toBe(200);
  ages[`a simulation ${age}`] = simulation.body.id;
}

/** A file of the pack gets another version, and other words. */
async function reload(file: string, from: string, to: string): Promise<void> {
  const path = join(packDir, file);
  const text = await readFile(path, 'utf8');
  const changed = text.replace(/^version: \d+/m, (line) => `version: ${Number(line.slice(9)) + 1}`);
  expect(changed).toContain(from);
  await writeFile(path, changed.replace(from, to));
  const answer = await ask('authority', '/v1/pack/reload');
  expect(answer.status, answer.text).toBe(200);
}

async function step(path: string, what: string, role: 'steward' | 'authority', etag: string) {
  const answer = await ask(role, `${path}/${what}`, { headers: { 'if-match': etag } });
  expect(answer.status, answer.text).toBe(200);
  return answer.headers.get('etag') ?? '';
}

beforeAll(async () => {
  packDir = await mkdtemp(join(tmpdir(), 'umutungo-pack-'));
  await cp(PACK, packDir, { recursive: true });
  service = await startTestService({ config: { packDir } });
  client = new Client(service.config.databaseUrl ?? '');
  await client.connect();
  await made('of the first pack');
  await reload('rules/agreement.yaml', 'effect: deny', 'effect: review');
  await made('after a policy of the pack changed');
  const { document, cases } = policyText('replayed');
  const about = document.replace('no-such-dataset', 'nhic-idsr-cases');
  const drafted = await ask('steward', '/v1/policies', { body: { document: about, cases } });
  const path = drafted.headers.get('location') ?? '';
  await step(path, 'check', 'steward', drafted.headers.get('etag') ?? '');
  let etag = await step(path, 'approve', 'authority', drafted.headers.get('etag') ?? '');
  await made('under a steward’s policy');
  etag = await step(path, 'withdraw', 'steward', etag);
  await step(path, 'withdraw', 'authority', etag);
  await made('after that was withdrawn');
  await reload('pack.yaml', 'reviewed_by:', 'reviewed_by:');
  await made('of a new pack');
  for (let i = 0; i < 3; i++) await reload('rules/choice-residency.yaml', 'version', 'version');
  await made('many versions later');
});
afterAll(async () => {
  await client.end();
  await service[Symbol.asyncDispose]();
  await rm(packDir, { recursive: true });
});

const replay = (id: string, from: TestService = service): Promise<Answer> =>
  from.ask('GET', `/v1/decisions/${id}/replay`, { role: 'auditor' });

test('decisions of every age come out the same, byte for byte', async () => {
  expect(Object.keys(ages)).toHaveLength(12);
  const versions = new Set<string>();
  for (const [age, id] of Object.entries(ages)) {
    const { status, text, body } = await replay(id);
    expect(status, text).toBe(200);
    expect(body, age).toMatchObject({ decision: id, same: true, differences: [] });
    expect(body.recomputed_sha256, age).toBe(body.stored_sha256);
    expect(body.event_sha256, age).toBe(body.stored_sha256);
    const { rows } = await client.query<{ document: string }>(
      'select whole_document(document) as document from decision where id = $1',
      [id],
    );
    expect(sha256(rows[0]?.document ?? '')).toBe(body.stored_sha256);
    for (const version of body.versions) {
      expect(version.state).toBe('whole');
      versions.add(`${version.name} ${version.version}`);
    }
  }
  const of = (name: string): number => [...versions].filter((each) => each.startsWith(name)).length;
  expect([of('rwanda '), of('rw-agreement '), of('replayed ')]).toEqual([2, 2, 1]);
});

describe('a replay is read', () => {
  test('by those who may read the decision, and is not there for others', async () => {
    const id = ages['a request many versions later'] ?? '';
    const others = { organisation: 'example-lab', projects: ['climate-model'], subject: 'other' };
    const as = (role: 'partner' | 'steward' | 'holder', of: string, claims = {}) =>
      service.ask('GET', `/v1/decisions/${of}/replay`, { role, claims });
    expect((await as('partner', id)).status).toBe(200);
    expect((await as('steward', id)).status).toBe(200);
    expect((await as('holder', id)).status).toBe(403);
    for (const [role, claims] of [
      ['partner', others],
      ['steward', { organisation: 'nisr', subject: 'of-nisr' }],
    ] as const) {
      const hidden = await as(role, id, claims);
      expect(hidden).toMatchObject({ status: 404, body: { code: 'not_found' } });
      expect((await as(role, NOBODYS_UUID, claims)).text).toBe(hidden.text);
    }
  });
});

/** What an administrator changes with the triggers off, for as long as a test looks. */
async function damaged(
  statement: string,
  values: unknown[],
  look: () => Promise<void>,
): Promise<void> {
  await client.query('set session_replication_role = replica');
  const tables = [
    'decision',
    'decision_part',
    'policy_version',
    'pack_version',
    'audit_event',
    'access_request',
  ];
  for (const table of tables)
    await client.query(`create temp table kept_${table} as table ${table}`);
  try {
    const { rowCount } = await client.query(statement, values);
    expect(rowCount).toBe(1);
    await look();
  } finally {
    for (const table of tables) {
      await client.query(`delete from ${table}`);
      await client.query(`insert into ${table} select * from kept_${table}`);
      await client.query(`drop table kept_${table}`);
    }
    await client.query('set session_replication_role = origin');
  }
}

describe('damage is found and named', () => {
  const BOUND = { code: 'document_differs_from_event', at: 'document' };
  interface Damage {
    readonly statement: string;
    readonly found: readonly object[];
    /** Whether it could be decided again. */
    readonly decided: boolean;
  }
  const damages: Readonly<Record<string, Damage>> = {
    'an answer that was changed': {
      statement: `update decision set document = replace(document, '"effect":"permit"', '"effect":"review"') where id = $1`,
      found: [
        { code: 'answer_differs', at: 'effect', detail: 'stored "review", decided again "permit"' },
        { ...BOUND, detail: expect.stringContaining('was changed afterwards') },
        { code: 'row_differs_from_document', at: 'decision.effect' },
        { code: 'row_differs_from_document', at: 'access_request.effect' },
      ],
      decided: true,
    },
    'an answer that is set out otherwise': {
      statement: `update decision set document = whole_document(document) || ' ' where id = $1`,
      found: [{ code: 'answer_differs', at: 'document' }, BOUND],
      decided: true,
    },
    'a fact that the caller sent': {
      statement: `update decision set document = replace(document, '"Tokyo team"', '"Osaka team"') where id = $1`,
      found: [BOUND, { code: 'fact_differs_from_register', at: 'request.recipients' }],
      decided: true,
    },
    'a fact of the dataset': {
      statement: `update decision set document = regexp_replace(whole_document(document), '"title":\\{"en":"[^"]*', '"title":{"en":"Another') where id = $1`,
      found: [BOUND, { code: 'fact_differs_from_register', at: 'dataset.title.en' }],
      decided: true,
    },
    'what its dataset said, kept for many': {
      statement: `update decision_part set text = replace(text, '"classification":"confidential"', '"classification":"internal"')
        where sha256 = decode(substring((select document from decision where id = $1) from '"dataset":"([0-9a-f]{64})'), 'hex')`,
      found: [BOUND, { code: 'fact_differs_from_register', at: 'dataset.classification' }],
      decided: true,
    },
    'what its dataset said that is gone': {
      statement: `delete from decision_part
        where sha256 = decode(substring((select document from decision where id = $1) from '"dataset":"([0-9a-f]{64})'), 'hex')`,
      found: [{ code: 'document_damaged', at: 'document' }, BOUND],
      decided: false,
    },
    'a document that is none any more': {
      statement: `update decision set document = left(document, 100) where id = $1`,
      found: [{ code: 'document_damaged', at: 'document' }, BOUND],
      decided: false,
    },
    'a column that lists read': {
      statement: `update decision set effect = 'deny' where id = $1`,
      found: [{ code: 'row_differs_from_document', at: 'decision.effect' }],
      decided: true,
    },
    'the text of a policy': {
      statement: `update policy_version set document = document || '# ' where policy = 'rw-agreement' and version = 2 and $1::uuid is not null`,
      found: [{ code: 'version_damaged', at: 'policy rw-agreement version 2' }],
      decided: false,
    },
    'the text of the pack': {
      statement: `update pack_version set document = replace(document, 'RW', 'XX') where version = (select max(version) from pack_version) and $1::uuid is not null`,
      found: [{ code: 'version_damaged', at: expect.stringMatching(/^pack rwanda version \d+$/) }],
      decided: false,
    },
    'a policy that is gone': {
      statement: `delete from policy_version where policy = 'rw-agreement' and version = 2 and $1::uuid is not null`,
      found: [{ code: 'version_missing', at: 'policy rw-agreement version 2' }],
      decided: false,
    },
    'the body of its event': {
      statement: `update audit_event set body = convert_to(replace(convert_from(body, 'UTF8'), 'decision_sha256":"', 'decision_sha256":"0'), 'UTF8')
        where event_id = (select event_id from decision where id = $1)`,
      found: [{ code: 'event_damaged' }],
      decided: true,
    },
    'an event that is gone': {
      statement:
        'delete from audit_event where event_id = (select event_id from decision where id = $1)',
      found: [{ code: 'event_missing' }],
      decided: true,
    },
  };
  test.each(Object.entries(damages))('%s', async (_name, { statement, found, decided }) => {
    const id = ages['a request many versions later'] ?? '';
    await damaged(statement, [id], async () => {
      const { status, text, body } = await replay(id);
      expect(status, text).toBe(200);
      expect(body.same).toBe(false);
      for (const each of found)
        expect(body.differences, text).toContainEqual(expect.objectContaining(each));
      expect(body.differences, text).toHaveLength(found.length);
      expect(body.recomputed_sha256 !== null).toBe(decided);
    });
    expect((await replay(id)).body).toMatchObject({ same: true });
  });

  test('a policy whose stored text was changed decides nothing', async () => {
    const text = `update policy_version set document = replace(document, 'effect: review', 'effect: permit')
      where policy = 'rw-agreement' and version = 2 and $1::text is not null`;
    await damaged(text, [''], async () => {
      // One that starts on it refuses to; one that runs has the text that it has checked.
      const config = { ...service.config, port: 0 };
      await expect(startTestService({ config })).rejects.toThrow('stored damaged');
      expect((await ask('partner', '/v1/access-requests', { body: accessRequest })).status).toBe(
        201,
      );
    });
  });
});

describe('a decision from before policies had a life', () => {
  /** Brings a database to a schema of the past. */
  async function migrateTo(db: Db, name: string): Promise<void> {
    const folder = join(ROOT, 'migrations');
    const migrations = Object.fromEntries(
      readdirSync(folder).map((file) => {
        const text = readFileSync(join(folder, file), 'utf8');
        return [
          file.replace('.sql', ''),
          { up: async (tx: Db) => void (await sql.raw(text).execute(tx)) },
        ];
      }),
    );
    const provider = { getMigrations: async () => migrations };
    const { error } = await new Migrator({ db, provider }).migrateTo(name);
    expect(error).toBeUndefined();
  }

  test('comes out the same after it', async () => {
    await using database = await createEmptyDatabase();
    const files = await readPackFolder(PACK);
    const program = compilePack(files);
    const file = join(ROOT, 'policies/cases/rwanda.json');
    const cases = casesOf(file, readFileSync(file, 'utf8'));
    const at = '2025-10-15T07:00:00.000Z';
    const ids = cases.map(() => newId(Date.parse(at)));
    {
      await using old = connect(database.connectionString, 1);
      await migrateTo(old.db, '0002_log');
      const texts = [
        { table: 'pack_version', name: 'rwanda', version: 1, text: files.pack.text },
        ...files.policies.map(({ text }, i) => ({
          table: 'policy_version',
          name: program.policies[i]?.policy,
          version: program.policies[i]?.version,
          text,
        })),
      ];
      for (const { table, name, version, text } of texts) {
        const column = table === 'pack_version' ? 'pack' : 'policy';
        await sql`insert into ${sql.table(table)} (sha256, ${sql.ref(column)}, version, document, created_at, event_id)
          values (${sha256(text)}, ${name}, ${version}, ${text}, ${at}, ${NOBODYS_UUID})`.execute(
          old.db,
        );
      }
      await sql`insert into pack_in_force (pack_sha256, policy_sha256, since)
        values (${program.packSha256}, ${program.policies.map((each) => each.sha256)}, ${at})`.execute(
        old.db,
      );
      for (const [i, { facts }] of cases.entries()) {
        const { stored } = decide(program, facts, { asOf: at, simulation: true });
        const document = canonicalText(stored);
        const event_id = newId(Date.parse(at));
        // As that release had it: with everything in the body.
        const body = canonicalText({
          decision: ids[i],
          decision_sha256: sha256(document),
          actor: 'somebody',
          salt: 's',
        });
        const shown = { event_id, type: 'simulateDecision', time: at, actor: 'x', role: 'auditor' };
        const leaf = Buffer.from(
          canonicalText({
            ...shown,
            v: 1,
            subject_ids: [],
            outcome: stored.effect,
            body_sha256: sha256(body),
            nonce: 'n',
          }),
        );
        await sql`insert into audit_event (event_id, type, time, actor, role, subject_ids, outcome, leaf, body)
          values (${event_id}, ${shown.type}, ${at}, 'x', 'auditor', '{}', ${stored.effect}, ${leaf},
            ${Buffer.from(body)})`.execute(old.db);
        await sql`insert into audit_pending (event_id, leaf_hash)
          values (${event_id}, ${Buffer.from(leafHash(leaf))})`.execute(old.db);
        await sql`insert into decision (id, simulation, effect, created_by, created_at, document, event_id)
          values (${ids[i]}, true, ${stored.effect}, 'somebody', ${at}, ${document}, ${event_id})`.execute(
          old.db,
        );
      }
    }
    await using later = await startTestService({
      config: { databaseUrl: database.connectionString, packDir },
    });
    for (const id of ids) expect((await replay(id, later)).body).toMatchObject({ same: true });
    const events = await later.ask('GET', '/v1/audit/events?type=simulateDecision', {
      role: 'authority',
    });
    expect(events.body.items[0]).toMatchObject({ actor: 'somebody', values: [], erased: [] });
    await using now = connect(database.connectionString, 1);
    expect(await verifyStoredLog(now.db, {})).toMatchObject({ ok: true, erased: 0 });
    expect(later.warnings).toEqual([]);
  });
});
