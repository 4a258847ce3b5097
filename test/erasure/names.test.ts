/** The names of people in columns: each goes with the name in the event that it is of, and only so. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { policyText, samples } from '../http/samples.ts';
import { AT_HOME } from '../support/access-request.ts';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';

const ASKER = { role: 'authority' } as const;
const SECOND = { role: 'authority', claims: { subject: 'second-officer' } } as const;
const THIRD = { role: 'authority', claims: { subject: 'third-officer' } } as const;

let service: TestService;
let database: Client;

beforeAll(async () => {
  service = await startTestService();
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await service[Symbol.asyncDispose]();
});

/** The service as somebody asks it, where nobody else is named. */
function askedBy(subject: string): TestService {
  return {
    ...service,
    ask: (method, path, ask: Ask = {}) =>
      service.ask(method, path, { ...ask, claims: { subject, ...ask.claims } }),
  };
}

async function good(answer: Promise<Answer>): Promise<Answer['body']> {
  const { status, text, body } = await answer;
  expect(status, text).toBeLessThan(300);
  return body;
}

function sequenced(): Promise<void> {
  return until(
    async () => (await service.ask('GET', '/v1/audit/status', ASKER)).body.pending === 0,
  );
}

const ask = async (scope: object, who: object = ASKER): Promise<string> => {
  const body = { scope, reason: 'recorded_in_error' };
  return (await good(service.ask('POST', '/v1/audit/erasures', { ...who, body }))).erasure.id;
};
const approve = (id: string, who: object = SECOND): Promise<Answer> =>
  service.ask('POST', `/v1/audit/erasures/${id}/approve`, who);

async function erased(scope: object): Promise<Answer> {
  await sequenced();
  return approve(await ask(scope));
}

interface Hold {
  readonly id: string;
  readonly event_id: string;
  readonly placed_by: string;
  readonly lifted_by: string | null;
  readonly scope: object;
}

async function placed(who: object, scope: object): Promise<Hold> {
  const body = { scope, reason: 'audit' };
  return (await good(service.ask('POST', '/v1/audit/holds', { ...who, body }))).hold;
}
const lift = (id: string, who: object): Promise<Answer> =>
  service.ask('POST', `/v1/audit/holds/${id}/lift`, who);

async function holdOf(id: string): Promise<Hold> {
  const { items } = await good(service.ask('GET', '/v1/audit/holds?limit=200', ASKER));
  return items.find((hold: Hold) => hold.id === id);
}

async function pseudonymOf(event: string): Promise<string> {
  const { rows } = await database.query('select actor from audit_event where event_id = $1', [
    event,
  ]);
  return rows[0].actor;
}

async function columnsThatName(): Promise<{ table: string; column: string }[]> {
  const { rows } = await database.query(
    `select table_name as table, column_name as column from information_schema.columns
     where table_schema = 'public' and data_type in ('text', 'ARRAY')
       and (column_name like '%\\_by' or column_name in ('actor', 'editors'))
     order by 1, 2`,
  );
  return rows;
}

async function columnsWith(name: string): Promise<string[]> {
  const found: string[] = [];
  for (const { table, column } of await columnsThatName()) {
    const { rows } = await database.query(
      `select from "${table}" where position($1 in "${column}"::text) > 0 limit 1`,
      [name],
    );
    if (rows.length > 0) found.push(`${table}.${column}`);
  }
  return found;
}

test('whoever did everything that can be done is named in every such column, and in none once they are erased', async () => {
  const name = 'Officer Mutesi';
  const own = askedBy(name);
  for (const [id, sample] of Object.entries(samples)) {
    const { method, path, ...rest } = await sample(id === 'withdrawErasure' ? own : service);
    const headers = { ...rest.headers, 'idempotency-key': id };
    await good(own.ask(method, path, { ...rest, headers }));
  }
  const approved = await samples['approvePolicyVersion']?.(service);
  const { headers } = await service.ask('POST', approved?.path ?? '', approved);
  const policy = headers.get('location') ?? (approved?.path ?? '').replace(/\/approve$/, '');
  const etag = headers.get('etag') ?? '';
  await good(own.ask('POST', `${policy}/withdraw`, { ...ASKER, headers: { 'if-match': etag } }));
  const all = (await columnsThatName()).map(({ table, column }) => `${table}.${column}`);
  // In the log's own table there is never but the pseudonym.
  expect(await columnsWith(name)).toEqual(all.filter((each) => each !== 'audit_event.actor'));
  const answer = await erased({ actor: name });
  expect(answer.status, answer.text).toBe(200);
  expect(await columnsWith(name)).toEqual([]);
  expect(service.warnings).toEqual([]);
});

describe('of a hold', () => {
  const officer = (subject: string) => ({ role: 'authority', claims: { subject } }) as const;
  const scope = { dataset: 'nobody-knows-it' };

  test('the names of who placed and who lifted it go, each with its own event, for their pseudonyms', async () => {
    const [first, other] = [officer('Officer Kamana'), officer('Officer Ingabire')];
    const { id, event_id } = await placed(first, scope);
    const lifted = (await good(lift(id, other))).hold;
    expect((await erased({ actor: 'Officer Kamana' })).status).toBe(200);
    const before = { ...lifted, placed_by: await pseudonymOf(event_id) };
    expect(await holdOf(id)).toEqual(before);
    expect((await erased({ actor: 'Officer Ingabire' })).status).toBe(200);
    expect(await holdOf(id)).toEqual({
      ...before,
      lifted_by: await pseudonymOf(lifted.lift_event),
    });
  });

  test('that stands the name goes as well, and the hold holds on', async () => {
    const steward = { role: 'steward', claims: { subject: 'steward-held-on' } } as const;
    const body = { id: 'held-on', title: { en: 'Held on' } };
    const held = await good(service.ask('POST', '/v1/datasets', { ...steward, body }));
    const { id } = await placed(officer('Officer Gatera'), { person: steward.claims.subject });
    expect((await erased({ actor: 'Officer Gatera' })).status).toBe(200);
    expect(await holdOf(id)).toMatchObject({
      placed_by: expect.not.stringContaining('Gatera'),
      scope: { person: steward.claims.subject },
    });
    const values = [{ event_id: held.event_id, paths: ['/dataset/document/title'] }];
    expect((await erased({ values })).body.code).toBe('legal_hold');
    expect((await lift(id, ASKER)).status).toBe(200);
  });

  test('the person goes with the value of its event, once it is lifted and not before', async () => {
    const { id, event_id } = await placed(ASKER, { person: 'Habimana Jean' });
    const values = [{ event_id, paths: ['/subject'] }];
    expect((await erased({ values })).body.code).toBe('legal_hold');
    await good(lift(id, ASKER));
    expect((await erased({ values })).status).toBe(200);
    expect((await holdOf(id)).scope).toEqual({ person: null });
    expect(await placed(ASKER, { person: 'Habimana Jean' })).toMatchObject({
      scope: { person: 'Habimana Jean' },
    });
  });

  test('nothing is placed on nobody', async () => {
    const body = { scope: { person: null }, reason: 'audit' };
    const answer = await service.ask('POST', '/v1/audit/holds', { ...ASKER, body });
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  });

  test('the database takes a pseudonym for a name that was erased, and no other change', async () => {
    const { id, event_id } = await placed(officer('Officer Nkusi'), { person: 'Somebody Else' });
    const lifted = (await good(lift(id, officer('Officer Rugwiro')))).hold;
    const set = (change: string, ...values: string[]) =>
      database.query(`update legal_hold set ${change} where id = '${id}'`, values);
    const refused = (change: string, ...values: string[]) =>
      expect(set(change, ...values), change).rejects.toThrow('not changed');
    // Nothing was erased yet.
    await refused('placed_by = $1', await pseudonymOf(event_id));
    await refused('lifted_by = $1', await pseudonymOf(lifted.lift_event));
    await refused(`scope = '{"person": null}'`);
    const values = [{ event_id, paths: ['/actor', '/subject'] }];
    expect((await erased({ values })).status).toBe(200);
    for (const change of [
      "placed_by = 'Somebody Else'",
      "lifted_by = 'Somebody Else'",
      'lifted_by = placed_by',
      'lifted_by = null',
      'lifted_at = null, lifted_by = null, lift_event = null',
      "lifted_at = now() + interval '1 day'",
      `scope = '{"person": "Somebody Else"}'`,
      "scope = '{}'",
      "reason = 'other'",
      'reference = null, placed_at = now()',
      'event_id = lift_event',
    ])
      await refused(change);
    const standing = await placed(ASKER, { person: 'Somebody Else' });
    await expect(
      database.query(
        `update legal_hold set scope = '{"person": null}', event_id = '${event_id}' where id = '${standing.id}'`,
      ),
    ).rejects.toThrow('not changed');
  });

  test('lifted and losing two names at the same moment, nobody waits for somebody who waits for them', async () => {
    for (let i = 0; i < 20; i++) {
      const names = [`Officer Racing ${i}`, `Officer Runner ${i}`];
      const held: Hold[] = [];
      for (const name of names) held.push(await placed(officer(name), { person: 'nobody-at-all' }));
      await sequenced();
      const asked: string[] = [];
      for (const actor of names) asked.push(await ask({ actor }));
      const all = await Promise.all([
        ...asked.map((each) => approve(each)),
        ...held.map(({ id }) => lift(id, ASKER)),
      ]);
      expect(all.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      for (const { id } of held) {
        expect(await holdOf(id)).toMatchObject({
          placed_by: expect.not.stringContaining('Officer'),
          lifted_by: 'demo-authority',
        });
      }
    }
    // Tried again, they would pass all the same.
    const { rows } = await database.query(
      'select deadlocks::int from pg_stat_database where datname = current_database()',
    );
    expect(rows).toEqual([{ deadlocks: 0 }]);
  });
});

test('what was erased before rows lost their names loses them with the upgrade', async () => {
  const name = 'Officer Kayitesi';
  const own = askedBy(name);
  const rows = ['submitAccessRequest', 'placeHold', 'liftHold', 'requestErasure', 'registerSpace'];
  for (const id of [...rows, 'approveErasure', 'refuseErasure', 'assessCutOff']) {
    const sample = await samples[id]?.(service);
    await good(own.ask(sample?.method ?? '', sample?.path ?? '', sample));
  }
  const columns = await columnsWith(name);
  const tables = [...new Set(columns.map((each) => each.split('.')[0] ?? ''))];
  const copies = tables.map((table) => `create temporary table "was_${table}" as table "${table}"`);
  await database.query(copies.join(';'));
  expect((await erased({ actor: name })).status).toBe(200);
  const pictures = () =>
    Promise.all(
      tables.map((table) => database.query(`select t::text from "${table}" t order by 1`)),
    );
  const after = await pictures();
  // As the release before left them.
  const back = columns.map((each) => {
    const [table, column] = each.split('.');
    const key = table === 'space_version' ? 'space' : 'id';
    return `update "${table}" t set "${column}" = w."${column}" from "was_${table}" w
      where w."${key}" = t."${key}" and w."${column}" = '${name}'`;
  });
  await database.query(
    [
      'set session_replication_role = replica',
      ...back,
      'set session_replication_role = default',
    ].join(';'),
  );
  expect(await columnsWith(name)).toEqual(columns);
  const file = join(import.meta.dirname, '../../migrations/0014_erased_names.sql');
  const upgrade = (await readFile(file, 'utf8')).replace(
    'create function',
    'create or replace function',
  );
  await database.query(`begin; ${upgrade}; commit`);
  expect(await columnsWith(name)).toEqual([]);
  expect((await pictures()).map(({ rows: all }) => all)).toEqual(after.map(({ rows: all }) => all));
});

test('the name of one event goes from the rows of that event, and from no others', async () => {
  const claims = { subject: 'Partner Uwineza' };
  const request = async (): Promise<{ id: string; decision: { id: string; event_id: string } }> =>
    good(
      service.ask('POST', '/v1/access-requests', {
        role: 'partner',
        claims,
        body: { ...AT_HOME, dataset: 'nhic-idsr-cases' },
      }),
    );
  const [one, other] = [await request(), await request()];
  const values = [{ event_id: one.decision.event_id, paths: ['/actor'] }];
  expect((await erased({ values })).status).toBe(200);
  const { rows } = await database.query(
    `select r.id, r.created_by as asked_by, d.created_by as decided_for from access_request r
     join decision d on d.id = r.decision where r.id = any($1) order by r.id`,
    [[one.id, other.id]],
  );
  const pseudonym = await pseudonymOf(one.decision.event_id);
  expect(rows).toEqual([
    { id: one.id, asked_by: pseudonym, decided_for: pseudonym },
    { id: other.id, asked_by: claims.subject, decided_for: claims.subject },
  ]);
});

describe('whoever asked or wrote stays one person, although their name is gone', () => {
  const asker = { role: 'authority', claims: { subject: 'Officer Bizimana' } } as const;

  test('and is not the second one of an erasure that is open; they may withdraw it', async () => {
    const open = [await ask({ actor: 'nobody-1' }, asker), await ask({ actor: 'nobody-2' }, asker)];
    expect((await erased({ actor: asker.claims.subject })).status).toBe(200);
    const [first = '', second = ''] = open;
    const row = await good(service.ask('GET', `/v1/audit/erasures/${first}`, ASKER));
    expect(row.requested_by).toBe(await pseudonymOf(row.request_event));
    expect((await approve(first, asker)).body.code).toBe('second_person_required');
    const body = { reason: 'not_founded' };
    const refuse = `/v1/audit/erasures/${first}/refuse`;
    expect((await service.ask('POST', refuse, { ...asker, body })).body.code).toBe(
      'second_person_required',
    );
    const withdraw = `/v1/audit/erasures/${second}/withdraw`;
    expect((await service.ask('POST', withdraw, THIRD)).body.code).toBe('forbidden');
    expect((await service.ask('POST', withdraw, asker)).status).toBe(200);
    expect((await approve(first, THIRD)).status).toBe(200);
  });

  test('nor has their own traces erased by what they asked for', async () => {
    const own = await good(
      service.ask('POST', '/v1/audit/holds', {
        ...asker,
        body: { scope: { dataset: 'nobody-knows-it' }, reason: 'audit' },
      }),
    );
    await sequenced();
    const open = await ask({ values: [{ event_id: own.event_id, paths: ['/actor'] }] }, asker);
    const { request_event } = await good(service.ask('GET', `/v1/audit/erasures/${open}`, ASKER));
    const asking = [{ event_id: request_event, paths: ['/actor'] }];
    expect((await erased({ values: asking })).status).toBe(200);
    expect((await approve(open)).body.code).toBe('second_person_required');
  });

  test('and does not approve the policy that they wrote', async () => {
    const author = { role: 'authority', claims: { subject: 'Officer Munyana' } } as const;
    const { document, cases } = policyText('munyana-policy');
    const { layer: _layer, owner: _owner, ...rest } = JSON.parse(document);
    const body = { document: JSON.stringify({ ...rest, layer: 'national_choice' }), cases };
    const drafted = await service.ask('POST', '/v1/policies', { ...author, body });
    expect(drafted.status, drafted.text).toBe(201);
    const path = drafted.headers.get('location') ?? '';
    const step = async (name: string, who: object): Promise<Answer> => {
      const etag = (await service.ask('GET', path, ASKER)).headers.get('etag') ?? '';
      return service.ask('POST', `${path}/${name}`, { ...who, headers: { 'if-match': etag } });
    };
    await good(step('check', author));
    expect((await erased({ actor: author.claims.subject })).status).toBe(200);
    expect((await step('approve', author)).body.code).toBe('second_person_required');
    expect((await step('approve', THIRD)).status).toBe(200);
  });
});
