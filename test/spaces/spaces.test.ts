/** Spaces: who keeps and who asks them, what their attributes rest on, and what they find. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';

let service: TestService;
/** Another replica on the same database and keys. */
let replica: TestService;
let database: Client;

beforeAll(async () => {
  service = await startTestService();
  replica = await startTestService({
    config: { databaseUrl: service.config.databaseUrl, dataDir: service.config.dataDir },
  });
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await replica[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
});

const AUTHORITY: Ask = { role: 'authority' };
const KEEPER: Ask = { role: 'steward', claims: { organisation: 'moh' } };
const CALLER: Ask = { role: 'holder', claims: { organisation: 'nisr' } };
const STRANGER: Ask = { role: 'steward', claims: { organisation: 'rab' } };

const OWNERS = `
policy: owners
rules:
  - id: OWNER
    applies: { fact: resource.properties.owner_id, eq: { fact: subject.id } }
    outcome: permit
  - id: LEVEL
    applies: { fact: action.name, eq: publish }
    holds: { fact: subject.properties.level, gteq: { fact: resource.properties.level } }
    then: permit
    otherwise: review
  - id: CREDIT
    applies: { fact: action.name, eq: publish }
    outcome: oblige
    obligation:
      sentence: { en: Name the owner. }
      due: throughout
      evidence: { en: The publication. }
`;

const SPACE = {
  title: { en: 'Owners' },
  callers: ['nisr'],
  attributes: {
    'subject.properties.level': { type: 'integer', source: 'stored' },
    'resource.properties.owner_id': { type: 'text', source: 'request_over_stored' },
    'resource.properties.level': { type: 'integer', source: 'request_over_stored' },
  },
  actions: [{ name: 'read' }, { name: 'publish' }],
  policies: { owners: OWNERS },
};

const USERS = [
  { type: 'user', id: 'ann', properties: { level: 3 } },
  { type: 'user', id: 'ben', properties: { level: 1 } },
];
const RECORDS = [
  { type: 'record', id: 'one', properties: { owner_id: 'ann', level: 2 } },
  { type: 'record', id: 'two', properties: { owner_id: 'ben', level: 3 } },
  { type: 'record', id: 'three' },
];

let names = 0;

/** A space of moh's with the entities above. */
async function makeSpace(changes: object = {}, as: Ask = KEEPER): Promise<string> {
  const id = `space-${++names}`;
  const made = await service.ask('POST', '/v1/spaces', {
    ...as,
    body: { ...SPACE, id, ...changes },
  });
  expect(made.status, made.text).toBe(201);
  const body = { put: [...USERS, ...RECORDS] };
  const filled = await service.ask('POST', `/v1/spaces/${id}/entities`, { ...as, body });
  expect(filled.status, filled.text).toBe(200);
  return id;
}

interface Entity {
  readonly type: string;
  readonly id: string;
  readonly properties?: object;
}

function question(subject: string | Entity, action: string, resource: string | Entity, more = {}) {
  return {
    subject: typeof subject === 'string' ? { type: 'user', id: subject } : subject,
    action: { name: action },
    resource: typeof resource === 'string' ? { type: 'record', id: resource } : resource,
    ...more,
  };
}

const ask = (space: string, body: unknown, as: Ask = KEEPER, of = service): Promise<Answer> =>
  of.ask('POST', `/spaces/${space}/access/v1/evaluation`, { ...as, body });

describe('who may do what', () => {
  test('a steward keeps spaces of their organisation, and the authority all; others cannot tell that they are there', async () => {
    const id = await makeSpace();
    const body = question('ann', 'read', 'one');
    // oxlint-disable-next-line no-await-in-loop
    for (const as of [KEEPER, CALLER, AUTHORITY])
      expect((await ask(id, body, as)).body).toEqual({ decision: true });
    const hidden = await ask(id, body, STRANGER);
    const missing = await ask('no-such-space', body, STRANGER);
    expect(hidden).toMatchObject({ status: 404, text: missing.text });
    const paths = [
      ['GET', `/v1/spaces/X`, {}],
      ['PATCH', '/v1/spaces/X', { headers: { 'If-Match': '"1"' }, body: { logged: true } }],
      ['POST', '/v1/spaces/X/retire', { headers: { 'If-Match': '"1"' } }],
      ['GET', '/v1/spaces/X/entities', {}],
      ['POST', '/v1/spaces/X/entities', { body: { put: [] } }],
      ['POST', '/spaces/X/access/v1/search/action', { body }],
    ] as const;
    for (const [method, path, rest] of paths) {
      // oxlint-disable-next-line no-await-in-loop
      const [there, nowhere] = await Promise.all(
        [id, 'no-such-space'].map((name) =>
          service.ask(method, path.replace('X', name), { ...STRANGER, ...rest }),
        ),
      );
      expect([method, path, there?.status]).toEqual([method, path, 404]);
      expect(there?.text).toBe(nowhere?.text);
    }
  });

  test('who may only ask sees what asking needs, and no policies', async () => {
    const id = await makeSpace();
    const { body } = await service.ask('GET', `/v1/spaces/${id}`, CALLER);
    expect(body.attributes).toEqual(SPACE.attributes);
    for (const name of ['policies', 'callers', 'entities', 'logged'])
      expect(body).not.toHaveProperty(name);
    const listed = await service.ask('GET', '/v1/spaces', CALLER);
    const ids = listed.body.items.map((each: { id: string }) => each.id);
    expect(ids).toEqual(expect.arrayContaining(['national', 'kenya', id]));
    const others = await service.ask('GET', '/v1/spaces', STRANGER);
    expect(others.body.items.map((each: { id: string }) => each.id)).not.toContain(id);
  });

  test('a steward makes none for another organisation; a name is taken for ever', async () => {
    const foreign = { ...SPACE, id: 'foreign', organisation: 'nisr' };
    expect((await service.ask('POST', '/v1/spaces', { ...KEEPER, body: foreign })).status).toBe(
      400,
    );
    for (const id of ['national', 'kenya', await makeSpace()]) {
      // oxlint-disable-next-line no-await-in-loop
      const answer = await service.ask('POST', '/v1/spaces', { ...KEEPER, body: { ...SPACE, id } });
      expect(answer).toMatchObject({ status: 409, body: { code: 'already_exists' } });
    }
    const nobody = { ...SPACE, id: 'of-nobody', organisation: 'no-such-organisation' };
    const unknown = await service.ask('POST', '/v1/spaces', { ...AUTHORITY, body: nobody });
    expect(unknown).toMatchObject({ status: 422, body: { code: 'unknown_reference' } });
  });
});

describe('what an answer rests on', () => {
  test('a fact compares with a fact; each attribute comes from who says it', async () => {
    const id = await makeSpace();
    const yes = { decision: true };
    const no = { decision: false };
    expect((await ask(id, question('ann', 'read', 'one'))).body).toEqual(yes);
    expect((await ask(id, question('ben', 'read', 'one'))).body).toEqual(no);
    const claimed = { type: 'record', id: 'one', properties: { owner_id: 'ben' } };
    expect((await ask(id, question('ben', 'read', claimed))).body).toEqual(yes);
    const liar = { type: 'user', id: 'ben', properties: { level: 9 } };
    const answer = await ask(id, question(liar, 'publish', 'one', { options: { explain: true } }));
    expect(answer.body.decision).toBe(false);
    expect(answer.body.context.ignored_attributes).toEqual([
      { attribute: 'subject.properties.level', differs: true },
    ]);
    const honest = { type: 'user', id: 'ben', properties: { level: 1 } };
    const same = await ask(id, question(honest, 'publish', 'one', { options: { explain: true } }));
    expect(same.body.context.ignored_attributes).toEqual([
      { attribute: 'subject.properties.level', differs: false },
    ]);
  });

  test('a review is told from a no, an obligation has the shape of the profile', async () => {
    const id = await makeSpace();
    expect((await ask(id, question('ben', 'publish', 'one'))).body).toEqual({
      decision: false,
      context: { outcome: 'review', obligations: expect.any(Array) },
    });
    expect((await ask(id, question('ann', 'publish', 'one'))).body).toEqual({
      decision: true,
      context: {
        obligations: [
          {
            id: 'CREDIT',
            type: 'custom',
            properties: {
              kind: 'CREDIT',
              sentence: { en: 'Name the owner.' },
              due: 'throughout',
              evidence: { en: 'The publication.' },
            },
          },
        ],
      },
    });
  });

  test('what nobody says is unknown, and unknown does not permit', async () => {
    const id = await makeSpace();
    const stranger = await ask(
      id,
      question('eve', 'publish', 'three', { options: { explain: true } }),
    );
    expect(stranger.body.context).toMatchObject({ outcome: 'review' });
    expect(stranger.body.context.missing_facts).toEqual([
      'resource.properties.owner_id',
      'subject.properties.level',
      'resource.properties.level',
    ]);
  });

  test('names of prototypes are names like any other', async () => {
    const attributes = {
      'subject.properties.constructor': { type: 'text', source: 'request' },
      'resource.properties.__proto__': { type: 'text', source: 'request_over_stored' },
    };
    const policy = `
policy: names
rules:
  - { id: AA, applies: { fact: subject.properties.constructor, eq: yes-it-is }, outcome: permit }
  - { id: BB, applies: { fact: resource.properties.__proto__, eq: secret }, outcome: deny }
`;
    const id = await makeSpace({ attributes, policies: { names: policy } });
    const said = (subject: string, resource: string) =>
      `{"subject":{"type":"user","id":"ann","properties":${subject}},"action":{"name":"read"},
        "resource":{"type":"record","id":"one","properties":${resource}}}`;
    const decision = async (text: string) => (await ask(id, text)).body.decision;
    expect(await decision(said('{}', '{"__proto__":"open"}'))).toBe(false);
    expect(await decision(said('{"constructor":"yes-it-is"}', '{"__proto__":"open"}'))).toBe(true);
    expect(await decision(said('{"constructor":"yes-it-is"}', '{"__proto__":"secret"}'))).toBe(
      false,
    );
    expect(({} as Record<string, unknown>)['level']).toBeUndefined();
  });

  test('a policy counts on its days', async () => {
    const late = OWNERS.replace('rules:', 'in_force: { from: 2999-01-01 }\nrules:');
    const over = OWNERS.replace(
      'rules:',
      'in_force: { from: 2000-01-01, until: 2001-01-01 }\nrules:',
    );
    for (const owners of [late, over]) {
      // oxlint-disable-next-line no-await-in-loop
      const id = await makeSpace({ policies: { owners } });
      // oxlint-disable-next-line no-await-in-loop
      expect((await ask(id, question('ann', 'read', 'one'))).body).toEqual({ decision: false });
    }
  });
});

describe('changing a space', () => {
  test('counts at once here, within a second on another replica, and nobody overwrites anybody', async () => {
    const id = await makeSpace();
    const body = question('ben', 'read', 'one');
    expect((await ask(id, body, KEEPER, replica)).body.decision).toBe(false);
    const everyone = `policy: everyone\nrules:\n  - { id: ALL, outcome: permit }\n`;
    const patch = { policies: { owners: null, everyone } };
    const change = (tag: string) =>
      service.ask('PATCH', `/v1/spaces/${id}`, {
        ...KEEPER,
        headers: { 'If-Match': tag },
        body: patch,
      });
    const changed = await change('"1"');
    expect(changed.body.policies).toEqual({ everyone });
    expect(changed.headers.get('etag')).toBe('"2"');
    expect((await change('"1"')).status).toBe(412);
    expect((await ask(id, body)).body.decision).toBe(true);
    await expect
      .poll(async () => (await ask(id, body, KEEPER, replica)).body.decision, { timeout: 3_000 })
      .toBe(true);
    const ended = await service.ask('POST', `/v1/spaces/${id}/retire`, {
      ...KEEPER,
      headers: { 'If-Match': '"2"' },
    });
    expect(ended.body.status).toBe('retired');
    expect((await ask(id, body)).status).toBe(404);
    await expect
      .poll(async () => (await ask(id, body, KEEPER, replica)).status, { timeout: 3_000 })
      .toBe(404);
    const { rows } = await database.query<{ version: number }>(
      'select version from space_version where space = $1 order by version',
      [id],
    );
    expect(rows.map(({ version }) => version)).toEqual([1, 2, 3]);
  });

  test('entities come and go, all or none, here at once and elsewhere within a second', async () => {
    const id = await makeSpace();
    const body = question('ann', 'read', 'new');
    const put = { type: 'record', id: 'new', properties: { owner_id: 'ann' } };
    const send = (change: object) =>
      service.ask('POST', `/v1/spaces/${id}/entities`, { ...KEEPER, body: change });
    expect((await ask(id, body, KEEPER, replica)).body.decision).toBe(false);
    expect((await send({ put: [put] })).body.entities).toBe(6);
    expect((await ask(id, body)).body.decision).toBe(true);
    await expect
      .poll(async () => (await ask(id, body, KEEPER, replica)).body.decision, { timeout: 3_000 })
      .toBe(true);
    const wrong = { ...put, properties: { owner_id: 7 } };
    const refused = await send({ put: [{ ...put, id: 'newer' }, wrong] });
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_facts' } });
    expect(refused.body.errors[0].path).toBe('/put/1/properties');
    expect((await send({ put: [put, put] })).status).toBe(400);
    expect((await send({ put: [put], remove: [{ type: 'record', id: 'new' }] })).status).toBe(400);
    expect(
      (await send({ remove: [put].map(({ type, id: name }) => ({ type, id: name })) })).body
        .entities,
    ).toBe(5);
    expect((await send({ remove: [{ type: 'record', id: 'never' }] })).body.entities).toBe(5);
    expect((await ask(id, body)).body.decision).toBe(false);
    await expect
      .poll(async () => (await ask(id, body, KEEPER, replica)).body.decision, { timeout: 3_000 })
      .toBe(false);
    const listed: string[] = [];
    let path = `/v1/spaces/${id}/entities?limit=2`;
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop
      const page = await service.ask('GET', path, KEEPER);
      listed.push(...page.body.items.map((each: Entity) => `${each.type} ${each.id}`));
      if (page.body.next_cursor === null) break;
      path = `/v1/spaces/${id}/entities?limit=2&cursor=${page.body.next_cursor}`;
    }
    expect(listed).toEqual(['record one', 'record three', 'record two', 'user ann', 'user ben']);
  });

  test.each([
    [
      'a policy with mistakes',
      {
        policies: {
          bad: 'policy: bad\nrules:\n  - id: BAD\n    applies: { fact: subject.ids, eq: x }\n    outcome: permit\n',
        },
      },
      {
        status: 422,
        body: { code: 'invalid_policy', errors: [{ path: expect.stringMatching(/^bad:4:/) }] },
      },
    ],
    [
      'two policies with a rule of one id',
      { policies: { one: OWNERS, two: OWNERS } },
      { status: 422, body: { code: 'invalid_policy' } },
    ],
    [
      'an attribute of nobody',
      { attributes: { 'resource.owner': { type: 'text' } } },
      { status: 400, body: { code: 'invalid_request' } },
    ],
    [
      'a stored action',
      { attributes: { 'action.properties.x': { type: 'text', source: 'stored' } } },
      { status: 400, body: { code: 'invalid_facts' } },
    ],
    [
      'one property of two sources',
      {
        attributes: {
          'resource.properties.a.x': { type: 'text', source: 'stored' },
          'resource.properties.a.y': { type: 'text', source: 'request' },
        },
      },
      { status: 400, body: { code: 'invalid_facts' } },
    ],
  ])('%s is refused with its place', async (_what, change, expected) => {
    const body = { ...SPACE, id: `space-${++names}`, ...change };
    expect(await service.ask('POST', '/v1/spaces', { ...KEEPER, body })).toMatchObject(expected);
  });
});

describe('a space that logs', () => {
  test('has every answer and every search on the record, once', async () => {
    const id = await makeSpace({ logged: true });
    const body = question('ann', 'read', 'one');
    const answer = await ask(id, { ...body, evaluations: [{}, {}] });
    expect(answer.body.context.event_id).toMatch(/^[0-9a-f-]{36}$/);
    const { action: _action, ...rest } = body;
    await service.ask('POST', `/spaces/${id}/access/v1/search/action`, { ...KEEPER, body: rest });
    await service.ask('POST', `/spaces/${id}/access/v1/evaluations`, {
      ...KEEPER,
      body: { ...body, evaluations: [{}, {}, {}] },
    });
    const { rows } = await database.query<{ type: string; outcome: string; body: Buffer }>(
      'select type, outcome, body from audit_event where $1 = any(subject_ids) order by event_id',
      [id],
    );
    const logged = rows.map(({ type, outcome }) => `${type} ${outcome}`);
    expect(logged.slice(2).toSorted()).toEqual([
      ...Array.from({ length: 4 }, () => 'evaluateAccessInSpace permit'),
      'searchActionsInSpace success',
    ]);
    const search = rows.find(({ type }) => type === 'searchActionsInSpace');
    expect(JSON.parse(search?.body.toString() ?? '')).toMatchObject({ space: id, count: 2 });
  });
});

describe('a search', () => {
  const level = fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined });
  const entity = (type: string) =>
    fc.record({
      type: fc.constant(type),
      id: fc.stringMatching(/^[a-zA-Z0-9 é_/-]{1,12}$/),
      properties: fc.record(
        {
          level: level.filter((each) => each !== undefined),
          owner_id: fc.constantFrom('u1', 'u2'),
        },
        { requiredKeys: [] },
      ),
    });

  test('finds those entities for which an evaluation says yes, page by page, whatever they are', async () => {
    const id = await makeSpace();
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(entity('user'), { maxLength: 8, selector: (each) => each.id }),
        fc.uniqueArray(entity('record'), { maxLength: 12, selector: (each) => each.id }),
        fc.constantFrom('read', 'publish'),
        fc.integer({ min: 1, max: 5 }),
        async (users, records, action, limit) => {
          const old = await service.ask('GET', `/v1/spaces/${id}/entities?limit=200`, KEEPER);
          const all = [...users, ...records];
          const put = new Set(all.map((each) => `${each.type} ${each.id}`));
          const remove = (old.body.items as Entity[])
            .filter((each) => !put.has(`${each.type} ${each.id}`))
            .map((each) => ({ type: each.type, id: each.id }));
          const body = { put: all, remove };
          await service.ask('POST', `/v1/spaces/${id}/entities`, { ...KEEPER, body });
          const user = users[0]?.id ?? 'nobody';
          const record = records[0]?.id ?? 'nothing';
          const evaluated = async (questions: object[]): Promise<boolean[]> => {
            if (questions.length === 0) return [];
            const path = `/spaces/${id}/access/v1/evaluations`;
            const answer = await service.ask('POST', path, {
              ...KEEPER,
              body: { action: { name: action }, evaluations: questions },
            });
            return answer.body.evaluations.map(({ decision }: { decision: boolean }) => decision);
          };
          const search = async (side: string, asked: object): Promise<string[]> => {
            const found: string[] = [];
            let page: object = { limit };
            for (;;) {
              // oxlint-disable-next-line no-await-in-loop
              const answer = await service.ask('POST', `/spaces/${id}/access/v1/search/${side}`, {
                ...KEEPER,
                body: { ...asked, page },
              });
              found.push(...answer.body.results.map((each: Entity) => each.id));
              if (answer.body.page.next_token === '') return found;
              page = { token: answer.body.page.next_token };
            }
          };
          const subject = { type: 'user', id: user };
          const resource = { type: 'record', id: record };
          const base = { subject, action: { name: action }, resource };
          const ofRecords = await evaluated(
            records.map((each) => ({ subject, resource: { type: 'record', id: each.id } })),
          );
          const ofUsers = await evaluated(
            users.map((each) => ({ resource, subject: { type: 'user', id: each.id } })),
          );
          const expected = (of: Entity[], answers: boolean[], isThere: boolean): string[] =>
            isThere
              ? of
                  .filter((_each, i) => answers[i])
                  .map((each) => each.id)
                  .toSorted()
              : [];
          const foundRecords = await search('resource', { ...base, resource: { type: 'record' } });
          expect(foundRecords.toSorted()).toEqual(expected(records, ofRecords, users.length > 0));
          const foundUsers = await search('subject', { ...base, subject: { type: 'user' } });
          expect(foundUsers.toSorted()).toEqual(expected(users, ofUsers, records.length > 0));
        },
      ),
      { numRuns: 40 },
    );
  });
});

const LEVELS = `
policy: levels
rules:
  - id: LEVEL
    applies: { fact: action.name, eq: read }
    holds: { fact: subject.properties.level, gteq: { fact: resource.properties.level } }
    then: permit
    otherwise: deny
`;

describe('a batch', () => {
  test('answers each item as the question by itself, whatever its items share', async () => {
    const id = await makeSpace({ policies: { levels: LEVELS } });
    const level = fc.integer({ min: 0, max: 4 });
    const name = fc.constantFrom('a', 'b', 'c', 'unknown');
    const properties = fc.record(
      { level, owner_id: fc.constantFrom('a', 'b') },
      { requiredKeys: [] },
    );
    const sent = fc.option(properties, { nil: undefined });
    const part = (type: string) =>
      fc.record(
        {
          type: fc.constant(type),
          id: name,
          properties: sent.filter((each) => each !== undefined),
        },
        { requiredKeys: ['type', 'id'] },
      );
    const action = fc.record({ name: fc.constantFrom('read', 'read', 'nothing') });
    const own = fc.record(
      { subject: part('user'), action, resource: part('record') },
      { requiredKeys: ['resource'] },
    );
    const item = fc.oneof(own, fc.record({ resource: part('record') }));
    const askAt = async (path: string, body: object) =>
      (await service.ask('POST', `/spaces/${id}/access/v1/${path}`, { ...KEEPER, body })).body;
    await fc.assert(
      fc.asyncProperty(
        fc.array(properties, { minLength: 6, maxLength: 6 }),
        part('user'),
        action,
        fc.array(item, { minLength: 1, maxLength: 12 }),
        async (stored, subject, common, evaluations) => {
          const put = stored.map((each, i) => ({
            type: i < 3 ? 'user' : 'record',
            id: 'abc'[i % 3],
            properties: each,
          }));
          await service.ask('POST', `/v1/spaces/${id}/entities`, { ...KEEPER, body: { put } });
          const defaults = { subject, action: common };
          const { evaluations: all } = await askAt('evaluations', { ...defaults, evaluations });
          for (const [i, each] of evaluations.entries()) {
            // oxlint-disable-next-line no-await-in-loop -- one at a time is the point
            expect(all[i]).toEqual(await askAt('evaluation', { ...defaults, ...each }));
          }
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe('ODRL as it is', () => {
  const duo = readFileSync(
    join(import.meta.dirname, '../vectors/duo-odrl-dpv/DUO_0000022.ttl'),
    'utf8',
  );
  const bindings = {
    'https://w3id.org/duodrl#TemplateLocation': 'RW',
    'https://w3id.org/duodrl#TemplateDataset': 'genomes',
  };
  const asked = (place: string) => ({
    subject: { type: 'user', id: 'ann' },
    action: { name: 'use' },
    resource: { type: 'dataset', id: 'genomes' },
    context: { spatial: place },
  });

  test('a rule that others wrote decides in a space: Rwanda may, Japan may not', async () => {
    const odrl = { where: { format: 'turtle', document: duo, bindings } };
    const id = await makeSpace({ attributes: {}, policies: {}, odrl });
    const shown = await service.ask('GET', `/v1/spaces/${id}`, KEEPER);
    expect(shown.body.odrl).toEqual(odrl);
    const needed = await service.ask('GET', `/v1/spaces/${id}`, CALLER);
    expect(Object.keys(needed.body.attributes)).toEqual(['context.spatial']);
    expect((await ask(id, asked('RW'))).body).toEqual({ decision: true });
    expect((await ask(id, asked('JP'))).body).toEqual({ decision: false });
  });

  test('one that cannot be read is refused with name, place and reason', async () => {
    const odrl = { where: { format: 'turtle', document: duo } };
    const body = { ...SPACE, id: `space-${++names}`, odrl };
    const answer = await service.ask('POST', '/v1/spaces', { ...KEEPER, body });
    expect(answer).toMatchObject({ status: 422, body: { code: 'invalid_policy' } });
    expect(answer.body.errors[0].path).toMatch(/^where: /);
  });
});

describe("another country's pack", () => {
  test('says whether it would let data go, by what the caller and our registers say', async () => {
    const kenya = await service.ask('GET', '/v1/spaces/kenya', CALLER);
    expect(kenya.body).toMatchObject({ kind: 'pack', status: 'active' });
    const metadata = await service.ask('GET', '/.well-known/authzen-configuration/spaces/kenya');
    expect(metadata.body).not.toHaveProperty('search_resource_endpoint');
    const dataset = {
      type: 'dataset',
      id: 'of-kenya',
      properties: { classification: 'public', personal_data: 'none' },
    };
    const body = {
      subject: { type: 'project', id: 'somebody' },
      action: { name: 'use', properties: { purpose: 'statistics' } },
      resource: dataset,
      context: { locations: { storage: ['KE'], processing: ['JP'], access_from: ['JP'] } },
      options: { explain: true },
    };
    const answer = await ask('kenya', body, CALLER);
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body.context.reasons.length).toBeGreaterThan(0);
    for (const { policy } of answer.body.context.reasons) expect(policy).toMatch(/^ke-/);
    const wrong = { ...body, context: { locations: { storage: ['XX'] } } };
    expect((await ask('kenya', wrong, CALLER)).status).toBe(400);
    const search = await service.ask('POST', '/spaces/kenya/access/v1/search/subject', {
      ...CALLER,
      body: { ...body, subject: { type: 'project' } },
    });
    expect(search.status).toBe(404);
  });
});
