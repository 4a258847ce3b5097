/** Erasing from the record: what goes, what stays provable, and what may not go. */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canonicalText } from '../../src/audit/canonical.ts';
import { bodyOf, readLeaf } from '../../src/audit/event.ts';
import type { StoredDecision } from '../../src/access/decision.ts';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect, type Database } from '../../src/db/connection.ts';
import { counted } from '../../src/counted.ts';
import { newId, sha256 } from '../../src/ids.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { accessRequest, consent } from '../http/samples.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

const OVERSEER = { role: 'authority' } as const;
const SECOND = { role: 'authority', claims: { subject: 'second-officer' } } as const;
const PERSON = 'Nyiramahoro Espérance';
const VERIFIER = join(import.meta.dirname, '../../verifier/verify.mjs');

let service: TestService;
let database: Client;
let connection: Database;
let folder: string;

beforeAll(async () => {
  service = await startTestService();
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
  connection = connect(service.config.databaseUrl ?? '', 2);
  folder = await mkdtemp(join(tmpdir(), 'umutungo-erasure-'));
  // More than one block of the search index.
  for (let i = 0; i < 10; i++) {
    await Promise.all(Array.from({ length: 30 }, (_, k) => made(`filler-${i}-${k}`, 'Nobody')));
  }
});
afterAll(async () => {
  await connection[Symbol.asyncDispose]();
  await database.end();
  await service[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** Registers a dataset whose contact is a person; gives the id of its event. */
async function made(id: string, name: string, subject = 'steward-a'): Promise<string> {
  const { status, body, text } = await service.ask('POST', '/v1/datasets', {
    role: 'steward',
    claims: { organisation: 'moh', subject },
    body: { id, title: { en: 'Register of wells' }, contact_point: { name } },
  });
  expect(status, text).toBe(201);
  return body.event_id as string;
}

/** The same, once the event has its index. */
async function register(id: string, name: string, subject?: string): Promise<string> {
  return sequenced(await made(id, name, subject));
}

async function sequenced(eventId: string): Promise<string> {
  for (let tries = 0; tries < 400; tries++) {
    if ((await eventOf(eventId)).index !== null) return eventId;
    await sleep(25);
  }
  throw new Error('never sequenced');
}

async function eventOf(id: string): Promise<Answer['body']> {
  return (await service.ask('GET', `/v1/audit/events/${id}`, OVERSEER)).body;
}

const ask = (scope: object, reason = 'subject_request'): Promise<Answer> =>
  service.ask('POST', '/v1/audit/erasures', { ...OVERSEER, body: { scope, reason } });
const approve = (id: string): Promise<Answer> =>
  service.ask('POST', `/v1/audit/erasures/${id}/approve`, SECOND);

async function erased(scope: object, reason?: string): Promise<Answer> {
  const asked = await ask(scope, reason);
  expect(asked.status, asked.text).toBe(201);
  return approve(asked.body.erasure.id);
}

async function found(text: string): Promise<string[]> {
  const path = `/v1/audit/search?limit=200&text=${encodeURIComponent(text)}`;
  const { body } = await service.ask('GET', path, OVERSEER);
  return body.items.map(({ event_id }: { event_id: string }) => event_id);
}

async function exported(size: number): Promise<string> {
  const headers = { authorization: `Bearer ${await service.token('authority')}` };
  return (await fetch(`${service.url}/v1/audit/export?size=${size}`, { headers })).text();
}

async function publishedSize(): Promise<number> {
  for (;;) {
    const { body } = await service.ask('GET', '/v1/audit/status', OVERSEER);
    if (body.pending === 0 && body.published?.size === body.size) return body.size as number;
    await sleep(25);
  }
}

/** Exit code and words of the verifier of one file, with the log's key. */
async function verified(text: string): Promise<[number, string]> {
  const file = join(folder, 'export.jsonl');
  await writeFile(file, text);
  const { text: vkey } = await service.ask('GET', '/log/vkey');
  return new Promise((resolve) => {
    execFile('node', [VERIFIER, file, '--vkey', vkey.trim()], (error, stdout, stderr) =>
      resolve([typeof error?.code === 'number' ? error.code : 0, stdout + stderr]),
    );
  });
}

/** Every place of the database where a text stands. */
async function placesOf(text: string): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>(
    "select table_name as name from information_schema.tables where table_schema = 'public'",
  );
  // As it is, in bytes, and in base64 at each of the three places of a triple.
  const forms = [
    text,
    Buffer.from(text).toString('hex'),
    ...['', 'x', 'xx'].map((before) =>
      Buffer.from(before + text)
        .toString('base64url')
        .slice(before === '' ? 0 : 4, -4),
    ),
  ];
  const places: string[] = [];
  for (const { name } of rows) {
    const { rows: hits } = await database.query(
      `select from "${name}" t where exists
         (select from unnest($1::text[]) form where position(form in t::text) > 0) limit 1`,
      [forms],
    );
    if (hits.length > 0) places.push(name);
  }
  return places;
}

describe('a value that is erased', () => {
  let event: string;
  let answer: Answer;
  let before: Answer['body'];

  beforeAll(async () => {
    event = await register('erase-one', PERSON);
    before = await eventOf(event);
    for (let tries = 0; tries < 100; tries++) {
      const { rows } = await database.query('select from event_block');
      if (rows.length > 0) break;
      await sleep(50);
    }
    if ((await found('Nyiramahoro')).join() !== event) throw new Error('it was never found');
    answer = await erased({
      values: [{ event_id: event, paths: ['/dataset/document/contact_point'] }],
    });
  });

  test('is gone from the event, which says when and by which event it went, and from what is searched', async () => {
    expect(answer.status, answer.text).toBe(200);
    const after = await eventOf(event);
    expect(answer.body.erasure).toMatchObject({ status: 'done', erased: 1 });
    expect(after.erased).toEqual([
      {
        digest: expect.stringMatching(/^[\w-]{43}$/),
        path: '/dataset/document/contact_point',
        erased_at: answer.body.erasure.approved_at,
        erased_by: answer.body.event_id,
      },
    ]);
    expect(JSON.stringify(after)).not.toContain('Nyiramahoro');
    expect(await found('Nyiramahoro')).toEqual([]);
    expect(await found('wells')).toContain(event);
    const versions = await service.ask('GET', '/v1/datasets/erase-one/versions', {
      role: 'steward',
      claims: { organisation: 'moh' },
    });
    expect(versions.body.items[0].contact_point).toBeUndefined();
  });

  test('leaves the leaf, the body and all other values as they were', async () => {
    const after = await eventOf(event);
    for (const member of ['leaf', 'leaf_hash', 'body', 'actor', 'index'])
      expect(after[member]).toEqual(before[member]);
    const other = ({ path }: { path: string }): boolean => !path.endsWith('contact_point');
    expect(after.values).toEqual(before.values.filter(other));
  });

  test('is named by its digest in the event of the erasure, and not by what it was', async () => {
    const erasing = await eventOf(answer.body.event_id);
    const [{ digest }] = (await eventOf(event)).erased;
    expect(erasing.body.erased).toEqual([
      { event_id: event, digest, path: '/dataset/document/contact_point' },
    ]);
    expect(erasing.body).toMatchObject({
      reason: 'subject_request',
      cites: [{ instrument: 'law-058-2021', article: '23', confidence: 'high' }],
    });
    expect(JSON.stringify(erasing)).not.toContain('Nyiramahoro');
  });

  test('leaves a log that verifies, online and offline, and says how many values are gone', async () => {
    await sequenced(answer.body.event_id);
    const report = await verifyStoredLog(connection.db, {});
    expect(report).toMatchObject({ ok: true, problems: [] });
    expect(report.erased).toBeGreaterThanOrEqual(1);
    const text = await exported(await publishedSize());
    expect(await verified(text)).toEqual([
      0,
      expect.stringContaining(
        `${counted(report.erased, 'value is', 'values are')} erased, as its events say.`,
      ),
    ]);
    const elsewhere = text.replaceAll(answer.body.event_id, '00000000-0000-7000-8000-000000000001');
    expect((await verified(elsewhere))[0]).toBe(1);
    const unfounded = text.replace(/"erased_by":"[^"]*"/, `"erased_by":"${answer.body.event_id}x"`);
    expect((await verified(unfounded))[1]).not.toContain('as its events say');
  });

  test('is not erased again, and the erasure is not carried out twice', async () => {
    const { id } = answer.body.erasure;
    expect(await approve(id)).toMatchObject({ status: 409, body: { code: 'wrong_status' } });
  });

  test('cannot be put back or taken out by hand: the database refuses', async () => {
    const statements = [
      `update audit_event set disclosures = disclosures || '~x' where event_id = $1`,
      `update audit_event set role = 'auditor' where event_id = $1`,
      `update audit_event set body = body || 'x'::bytea where event_id = $1`,
      'delete from audit_event where event_id = $1',
      'delete from erased_value where event_id = $1',
    ];
    for (const statement of statements)
      await expect(database.query(statement, [event]), statement).rejects.toThrow('append-only');
    const untouched = await register('erase-by-hand', 'Nobody');
    await expect(
      database.query('update audit_event set disclosures = null where event_id = $1', [untouched]),
    ).rejects.toThrow('append-only');
  });
});

test('how long the record is kept, and on what grounds a value goes, is published with the pack', async () => {
  const { body } = await service.ask('GET', '/v1/pack', { role: 'partner' });
  expect(body.retention.record_years).toBeGreaterThanOrEqual(6);
  for (const { cites } of [body.retention, ...Object.values<typeof body>(body.retention.erasure)])
    expect(cites[0]).toMatchObject({ confidence: expect.any(String) });
});

describe('what may not go', () => {
  test('goes not by one person alone', async () => {
    const event = await register('erase-alone', PERSON);
    const { body } = await ask({
      values: [{ event_id: event, paths: ['/dataset/document/title'] }],
    });
    expect(
      await service.ask('POST', `/v1/audit/erasures/${body.erasure.id}/approve`, OVERSEER),
    ).toMatchObject({ status: 403, body: { code: 'second_person_required' } });
  });

  test('who did what stays while the retention runs, unless it should never have been recorded', async () => {
    const event = await register('erase-early', PERSON);
    for (const paths of [['/actor'], undefined]) {
      expect(
        await erased({ values: [{ event_id: event, ...(paths && { paths }) }] }),
      ).toMatchObject({
        status: 409,
        body: { code: 'retention_runs' },
      });
    }
    const answer = await erased({ values: [{ event_id: event }] }, 'recorded_in_error');
    expect(answer.status, answer.text).toBe(200);
    expect(await eventOf(event)).toMatchObject({
      body: null,
      values: [],
      erased: [{ path: null }],
    });
    expect((await eventOf(event)).actor).toBe(JSON.parse((await eventOf(event)).leaf).actor);
  });

  test('nothing for a value that is not there, or an event that comes twice', async () => {
    const event = await register('erase-typo', PERSON);
    for (const paths of [['/dataset/contact_point'], ['/actor', '/dataset/document/creator']]) {
      expect(await ask({ values: [{ event_id: event, paths }] })).toMatchObject({
        status: 422,
        body: {
          errors: [{ expected: expect.stringContaining('/dataset/document/contact_point') }],
        },
      });
    }
    const values = ['title', 'contact_point'].map((name) => ({
      event_id: event,
      paths: [`/dataset/document/${name}`],
    }));
    expect(await ask({ values })).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  });

  test('for a reason that the pack does not have', async () => {
    const event = await register('erase-reason', PERSON);
    expect(await ask({ values: [{ event_id: event }] }, 'because')).toMatchObject({
      status: 422,
      body: { code: 'unknown_reference' },
    });
  });

  test('whoever asks or approves has their own traces erased by nobody', async () => {
    const { body } = await ask({ actor: 'nobody-at-all' });
    await sequenced(body.event_id);
    const own = { values: [{ event_id: body.event_id, paths: ['/actor'] }] };
    expect(await erased(own, 'recorded_in_error')).toMatchObject({
      status: 403,
      body: { code: 'second_person_required' },
    });
  });

  test.each([
    ['a dataset', async () => ({ dataset: 'held-0' }), 'held-0'],
    ['a person', async () => ({ person: 'steward-held' }), 'held-1'],
    [
      'a range of entries',
      async (index: number) => ({ entries: { start: index, end: index + 1 } }),
      'held-2',
    ],
  ] as const)('under a legal hold of %s, until it is lifted', async (_name, scopeOf, id) => {
    const event = await register(id, PERSON, 'steward-held');
    const scope = await scopeOf((await eventOf(event)).index);
    const placed = await service.ask('POST', '/v1/audit/holds', {
      ...OVERSEER,
      body: { scope, reason: 'court_proceedings', reference: 'RC-12' },
    });
    expect(placed.status, placed.text).toBe(201);
    const { id: hold } = placed.body.hold;
    const what = { values: [{ event_id: event, paths: ['/dataset/document/contact_point'] }] };
    expect(await erased(what)).toMatchObject({ status: 409, body: { code: 'legal_hold' } });
    expect(JSON.stringify(await eventOf(event))).toContain(PERSON);
    const { body } = await service.ask('GET', '/v1/audit/holds', OVERSEER);
    expect(body.items).toContainEqual(placed.body.hold);
    const lift = `/v1/audit/holds/${hold}/lift`;
    expect((await service.ask('POST', lift, OVERSEER)).status).toBe(200);
    expect(await service.ask('POST', lift, OVERSEER)).toMatchObject({ status: 409 });
    expect(await erased(what)).toMatchObject({ status: 200 });
  });

  test('a hold that is placed at the same moment either stops it or comes after it', async () => {
    for (let i = 0; i < 10; i++) {
      const event = await register(`race-${i}`, PERSON);
      const asked = await ask({
        values: [{ event_id: event, paths: ['/dataset/document/title'] }],
      });
      const [gone, placed] = await Promise.all([
        approve(asked.body.erasure.id),
        service.ask('POST', '/v1/audit/holds', {
          ...OVERSEER,
          body: { scope: { dataset: `race-${i}` }, reason: 'audit' },
        }),
      ]);
      expect(placed.status).toBe(201);
      const isErased = (await eventOf(event)).erased.length === 1;
      expect([gone.status, isErased]).toEqual(isErased ? [200, true] : [409, false]);
    }
  });
});

describe('an event of an older release', () => {
  /** An event as it was before values lay beside the body. */
  async function older(id: string, name: string): Promise<string> {
    const event = await register(id, name, 'steward-old');
    const { rows } = await database.query<{ body: Buffer; disclosures: string; leaf: Buffer }>(
      'select * from audit_event where event_id = $1',
      [event],
    );
    const [row] = rows;
    if (!row) throw new Error('the event is gone');
    const event_id = newId(Date.now());
    const body = canonicalText({ ...bodyOf(row), salt: 'of the whole body' });
    const leaf = Buffer.from(
      canonicalText({ ...readLeaf(row.leaf), event_id, body_sha256: sha256(body) }),
    );
    await database.query(
      `insert into audit_event (event_id, type, time, actor, role, subject_ids, outcome, leaf, body)
       select $1, type, time, actor, role, subject_ids, outcome, $2, $3 from audit_event where event_id = $4`,
      [event_id, leaf, Buffer.from(body), event],
    );
    await database.query('insert into audit_pending (event_id, leaf_hash) values ($1, $2)', [
      event_id,
      Buffer.from(leafHash(leaf)),
    ]);
    await database.query('update dataset_version set event_id = $1 where event_id = $2', [
      event_id,
      event,
    ]);
    return sequenced(event_id);
  }

  test('is found, exported and verified as it was, and erased as a whole', async () => {
    const event = await older('old-one', 'Uwimana Vieille');
    expect(await found('Uwimana')).toContain(event);
    const before = await eventOf(event);
    expect(before).toMatchObject({ values: [], body: { actor: 'steward-old' } });
    const one = { values: [{ event_id: event, paths: ['/dataset/document/contact_point'] }] };
    expect((await ask(one)).status).toBe(422);
    const answer = await erased({ values: [{ event_id: event }] }, 'recorded_in_error');
    expect(answer.status, answer.text).toBe(200);
    const { leaf_hash, index } = before;
    expect(await eventOf(event)).toMatchObject({
      leaf_hash,
      index,
      body: null,
      erased: [{ path: null, digest: JSON.parse(before.leaf).body_sha256 }],
    });
    expect(await found('Uwimana')).not.toContain(event);
    const versions = await service.ask('GET', '/v1/datasets/old-one/versions', {
      role: 'steward',
      claims: { organisation: 'moh' },
    });
    expect(versions.body.items[0]).toMatchObject({ title: { zxx: '[erased]' } });
    expect(await verifyStoredLog(connection.db, {})).toMatchObject({ ok: true });
    expect((await verified(await exported(await publishedSize())))[0]).toBe(0);
  });

  test('loses its whole body where the name of its actor goes', async () => {
    const event = await older('old-two', 'Nobody');
    const answer = await erased({ actor: 'steward-old' }, 'recorded_in_error');
    expect(answer.status, answer.text).toBe(200);
    expect(await eventOf(event)).toMatchObject({ body: null });
    expect(await verifyStoredLog(connection.db, {})).toMatchObject({ ok: true });
  });
});

describe('an actor', () => {
  test('has their name erased wherever it stands, and keeps the pseudonym of the leaf', async () => {
    const name = 'Gasana Partner 77';
    const claims = {
      organisation: 'jp-engineering',
      projects: ['idsr-forecasting'],
      subject: name,
    };
    const asked = await service.ask('POST', '/v1/access-requests', {
      role: 'partner',
      claims,
      headers: { 'idempotency-key': 'erase-me' },
      body: accessRequest,
    });
    expect(asked.status, asked.text).toBe(201);
    const event = await sequenced(asked.body.decision.event_id);
    expect(await placesOf(name)).toEqual(
      expect.arrayContaining(['access_request', 'audit_event', 'decision', 'idempotency_key']),
    );
    const answer = await erased({ actor: name }, 'recorded_in_error');
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body.erasure).toMatchObject({ status: 'done', scope: { actor: null } });
    expect(await placesOf(name)).toEqual([]);
    const { actor, leaf } = await eventOf(event);
    expect(actor).toBe(JSON.parse(leaf).actor);
    const replay = await service.ask(
      'GET',
      `/v1/decisions/${asked.body.decision.id}/replay`,
      OVERSEER,
    );
    expect(replay.body).toMatchObject({ same: true });
  });
});

describe('what a decision was made from', () => {
  const MARK = 'Umurerwa of Karongi 31';
  const partner = {
    role: 'partner',
    claims: { organisation: 'jp-engineering', projects: ['idsr-forecasting'] },
  } as const;
  const recipients = [{ name: MARK, role: 'processor', country: 'RW' }];
  const { project, dataset, agreement, purpose, ...asked } = { ...accessRequest, recipients };
  const question = {
    subject: { type: 'project', id: project },
    action: { name: 'use', properties: { ...asked, agreement, purpose } },
    resource: { type: 'dataset', id: dataset },
    options: { explain: true },
  };

  /** Asks in each way that is decided; gives decisions with their events. */
  async function decided(): Promise<{ id: string; event_id: string }[]> {
    const post = async (path: string, body: object): Promise<Answer['body']> => {
      const answer = await service.ask('POST', path, { ...partner, body });
      expect([200, 201], answer.text).toContain(answer.status);
      return answer.body;
    };
    const request = await post('/v1/access-requests', { ...accessRequest, recipients });
    const simulated = await post('/v1/decisions/simulate', {
      dataset,
      request: { ...asked, project, agreement, purpose },
    });
    const one = await post('/access/v1/evaluation', question);
    const { evaluations } = await post('/access/v1/evaluations', {
      ...question,
      evaluations: [{}, {}],
    });
    const contexts = [one, ...evaluations].map(({ context }) => ({
      id: context.evaluation_id,
      event_id: context.event_id,
    }));
    requestId = request.id;
    return [request.decision, simulated, ...contexts].map(({ id, event_id }) => ({ id, event_id }));
  }
  let requestId = '';

  test('goes with the whole body of its event, wherever it stands, and nothing else does', async () => {
    const decisions = await decided();
    const kept = await service.ask('POST', '/v1/access-requests', {
      ...partner,
      body: accessRequest,
    });
    expect(await placesOf(MARK)).toEqual(expect.arrayContaining(['access_request', 'decision']));
    const read = async (path: string): Promise<Answer> => service.ask('GET', path, OVERSEER);
    const listed = await read(`/v1/access-requests?limit=200&dataset=${dataset}`);
    const recordOf = '/v1/organisations/moh/record-of-processing';
    const before = await read(recordOf);

    const events = new Set(decisions.map(({ event_id }) => event_id));
    for (const event of events) await sequenced(event);
    const answer = await erased(
      { values: [...events].map((event_id) => ({ event_id })) },
      'recorded_in_error',
    );
    expect(answer.status, answer.text).toBe(200);
    expect(await placesOf(MARK)).toEqual([]);

    for (const { id } of decisions) {
      for (const path of [`/v1/decisions/${id}`, `/v1/decisions/${id}/explanation`])
        expect(await read(path)).toMatchObject({ status: 410, body: { code: 'facts_erased' } });
      const replay = await read(`/v1/decisions/${id}/replay`);
      expect(replay.body).toMatchObject({
        same: false,
        differences: [{ code: 'event_erased' }, { code: 'facts_erased', at: 'document' }],
      });
    }
    expect((await read(`/v1/access-requests/${requestId}`)).body.code).toBe('facts_erased');
    // What was decided stays known: for what, for whom, by which rules and policies.
    const again = await read(`/v1/access-requests?limit=200&dataset=${dataset}`);
    const nameless = ({ body }: Answer) =>
      body.items.map(({ created_by: _name, ...item }: Record<string, unknown>) => item);
    expect(nameless(again)).toEqual(nameless(listed));
    const { rows } = await database.query<{ document: string }>(
      'select document from decision where id = any($1)',
      [decisions.map(({ id }) => id)],
    );
    expect(rows).toHaveLength(decisions.length);
    for (const { document } of rows) {
      const { policies, pack, deny } = JSON.parse(document) as StoredDecision;
      expect([pack.pack, policies.length > 0, Array.isArray(deny)]).toEqual(['rwanda', true, true]);
    }
    // Nobody trips over what is not there any more, nor counts it.
    expect((await read(recordOf)).status).toBe(before.status);
    const { rows: permits } = await database.query<{ erased: boolean; many: number }>(
      `select facts_erased as erased, count(*)::int as many from decision
       where effect = 'permit' and dataset = $1 and not simulation group by 1 order by 1`,
      [dataset],
    );
    expect(permits).toMatchObject([{ erased: false }, { erased: true }]);
    const [{ many: there } = { many: 0 }, { many: gone } = { many: 0 }] = permits;
    const withdrawn = await service.ask('POST', `/v1/datasets/${dataset}/consent-records`, {
      role: 'steward',
      body: { ...consent, subject: 'p-another', status: 'withdrawn' },
    });
    const unknownAfter = async (event: string): Promise<object[]> => {
      const cutOffs = `/v1/audit/events/${await sequenced(event)}/cut-offs`;
      const run = `${cutOffs}/${(await service.ask('POST', cutOffs, OVERSEER)).body.id}`;
      await expect
        .poll(async () => (await read(run)).body)
        .toMatchObject({ status: 'done', total: there + gone, unknown: gone });
      return (await read(`${run}/requests?outcome=unknown`)).body.items;
    };
    const fell = await unknownAfter(withdrawn.body.event_id);
    expect(fell).toHaveLength(gone);
    expect(fell).toContainEqual(
      expect.objectContaining({ access_request: requestId, agreement, purpose }),
    );
    // Of an agreement too, which evaluations name in their facts alone.
    const at = await read(`/v1/agreements/${agreement}`);
    const changed = await service.ask('PATCH', `/v1/agreements/${agreement}`, {
      ...OVERSEER,
      headers: { 'if-match': at.headers.get('etag') ?? '' },
      body: { valid_until: '2029-12-31' },
    });
    expect(changed.status, changed.text).toBe(200);
    for (const item of await unknownAfter(changed.body.event_id))
      expect(item).toMatchObject({ agreement, purpose });
    const { body } = await read(`/v1/decisions/${kept.body.decision.id}/replay`);
    expect(body).toMatchObject({ same: true });
  });

  test('stays while the body does: of no other event the database lets it go', async () => {
    const [first] = await decided();
    await database.query('select erase_facts(array(select event_id from audit_event))');
    expect(await placesOf(MARK)).toEqual(expect.arrayContaining(['access_request', 'decision']));
    const replay = await service.ask('GET', `/v1/decisions/${first?.id}/replay`, OVERSEER);
    expect(replay.body).toMatchObject({ same: true });
  });

  test('went with the upgrade where the body had gone before', async () => {
    const decisions = await decided();
    const ids = decisions.map(({ id }) => id);
    const picture = async () => {
      const { rows } = await database.query(
        `select d.document, d.facts_erased, r.request from decision d
         left join access_request r on r.decision = d.id where d.id = any($1) order by d.id`,
        [ids],
      );
      return rows;
    };
    const whole = await picture();
    const events = new Set(decisions.map(({ event_id }) => event_id));
    for (const event of events) await sequenced(event);
    await erased({ values: [...events].map((event_id) => ({ event_id })) }, 'recorded_in_error');
    const after = await picture();
    expect(after).not.toEqual(whole);
    // As the release before left them.
    for (const [i, id] of ids.toSorted().entries()) {
      const { document, request } = whole[i] as { document: string; request: unknown };
      await database.query('update decision set document = $2 where id = $1', [id, document]);
      await database.query(
        'update access_request set request = coalesce($2, request) where decision = $1',
        [id, request],
      );
    }
    await database.query(
      'alter table decision drop column facts_erased; drop function erase_facts',
    );
    const file = join(import.meta.dirname, '../../migrations/0016_erased_facts.sql');
    await database.query(`begin; ${await readFile(file, 'utf8')}; commit`);
    expect(await picture()).toEqual(after);
  });
});

describe('a consent record', () => {
  const path = '/v1/datasets/nhic-idsr-cases/consent-records';
  const say = (subject: string, status: string, at: string): Promise<Answer> =>
    service.ask('POST', path, { role: 'steward', body: { ...consent, subject, status, at } });

  test('stays while the person agrees, and goes once they do not; the counts stay', async () => {
    const subject = 'p-to-be-erased';
    const given = await say(subject, 'given', '2026-03-01T00:00:00Z');
    const saltOf = async (): Promise<string | undefined> => {
      const { rows } = await database.query<{ salt: string }>(
        'select salt from consent_record where subject = $1',
        [subject],
      );
      return rows[0]?.salt;
    };
    const salt = await saltOf();
    const record = {
      ...consent,
      subject,
      status: 'given',
      at: '2026-03-01T00:00:00Z',
      by_parent: false,
      covers_transfer_abroad: false,
    };
    const digest = sha256(canonicalText([sha256(canonicalText([salt, record]))]));
    expect((await eventOf(given.body.event_id)).body.records_sha256).toBe(digest);
    const scope = { consent: { dataset: 'nhic-idsr-cases', subject } };
    expect(await erased(scope)).toMatchObject({ status: 409, body: { code: 'wrong_status' } });
    await say(subject, 'withdrawn', '2026-04-01T00:00:00Z');
    expect(await saltOf()).toBe(salt);
    const totals = await service.ask('GET', '/v1/datasets/nhic-idsr-cases/consent', OVERSEER);
    const answer = await erased(scope);
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body.erasure).toMatchObject({
      erased: 1,
      scope: { consent: { dataset: 'nhic-idsr-cases', subject: null } },
    });
    const after = await service.ask('GET', '/v1/datasets/nhic-idsr-cases/consent', OVERSEER);
    expect(after.body).toEqual(totals.body);
    expect(await saltOf()).toBeUndefined();
  });
});

test('the log verifies after all of this, and nothing was a defect', async () => {
  await publishedSize();
  expect(await verifyStoredLog(connection.db, {})).toMatchObject({ ok: true, problems: [] });
  expect(service.warnings).toEqual([]);
});
