/** No event, no change: when the record cannot be written, nothing happened and the caller learns it. */

import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ACCESS_REQUEST } from '../support/access-request.ts';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';

let service: TestService;
let database: Client;

beforeAll(async () => {
  service = await startTestService();
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
  await database.query(`
    create function break_record() returns trigger language plpgsql as $$
    begin raise exception 'the disk of the record is on fire'; end $$`);
});
afterAll(async () => {
  await database.end();
  await service[Symbol.asyncDispose]();
});
afterEach(async () => {
  await database.query('drop trigger if exists broken on audit_event');
  await database.query('drop trigger if exists broken on audit_pending');
});

/** From now on events are refused, all of them or those that a condition names. */
async function breakRecord(table: 'audit_event' | 'audit_pending', when = 'true'): Promise<void> {
  await database.query(
    `create trigger broken before insert on ${table} for each row when (${when}) execute function break_record()`,
  );
}

const TABLES = [
  'organisation',
  'agreement',
  'project',
  'registration',
  'authorisation',
  'dataset',
  'dataset_version',
  'consent_record',
  'consent_total',
  'decision',
  'access_request',
  'idempotency_key',
  'audit_event',
];

/** Everything that a change may touch, as one text. */
async function picture(): Promise<string> {
  const parts: string[] = [];
  for (const table of TABLES) {
    const { rows } = await database.query<{ all: string }>(
      `select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) as all from ${table} t`,
    );
    parts.push(`${table} ${rows[0]?.all ?? ''}`);
  }
  return parts.join('\n');
}

/** As the service answers it: `ask` holds answers against the contract, which has no such status. */
async function raw(
  method: string,
  path: string,
  { role, claims, headers, body }: Ask,
): Promise<Pick<Answer, 'status' | 'body'>> {
  const response = await fetch(service.url + path, {
    method,
    headers: {
      authorization: `Bearer ${await service.token(role ?? 'auditor', claims)}`,
      'content-type': 'application/json',
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

const first = { 'if-match': '"1"' };
const CHANGES: readonly (readonly [string, string, string, Ask])[] = [
  [
    'registering a dataset',
    'POST',
    '/v1/datasets',
    {
      role: 'steward',
      headers: { 'idempotency-key': 'k1' },
      body: { id: 'unrecorded', title: { en: 'x' } },
    },
  ],
  [
    'changing a dataset',
    'PATCH',
    '/v1/datasets/nhic-idsr-cases',
    { role: 'steward', headers: first, body: { licence: 'none' } },
  ],
  [
    'retiring a dataset',
    'POST',
    '/v1/datasets/nhic-idsr-cases/retire',
    { role: 'steward', headers: first },
  ],
  [
    'recording consent',
    'POST',
    '/v1/datasets/nhic-idsr-cases/consent-records',
    {
      role: 'steward',
      body: { purpose: 'hiv_care', subject: 's', status: 'given', at: '2026-01-01T00:00:00Z' },
    },
  ],
  [
    'registering an organisation',
    'POST',
    '/v1/organisations',
    {
      role: 'authority',
      body: { id: 'unrecorded', name: { en: 'x' }, country: 'RW', legal_form: 'ngo' },
    },
  ],
  [
    'changing an agreement',
    'PATCH',
    '/v1/agreements/agr-illus-16',
    { role: 'authority', headers: first, body: { binding: false } },
  ],
  [
    'revoking a registration',
    'PATCH',
    '/v1/registrations/registration-rbc',
    { role: 'authority', headers: first, body: { revoked: true } },
  ],
  [
    'asking for access',
    'POST',
    '/v1/access-requests',
    { role: 'partner', headers: { 'idempotency-key': 'k2' }, body: ACCESS_REQUEST },
  ],
  [
    'simulating',
    'POST',
    '/v1/decisions/simulate',
    { role: 'steward', body: { dataset: 'nhic-idsr-cases', request: { purpose: 'any' } } },
  ],
];

describe('while events cannot be written', () => {
  for (const table of ['audit_event', 'audit_pending'] as const) {
    for (const [what, method, path, ask] of CHANGES) {
      test(`${what} is an error and leaves nothing (${table} refuses)`, async () => {
        const before = await picture();
        await breakRecord(table);
        const answer = await raw(method, path, ask);
        expect(answer.status).toBeGreaterThanOrEqual(500);
        expect(JSON.stringify(answer.body)).not.toContain('fire');
        expect(await picture()).toBe(before);
      });
    }
  }

  test('the same calls work once they can be written again', async () => {
    for (const [, method, path, ask] of CHANGES.filter(([what]) => what !== 'retiring a dataset')) {
      const answer = await service.ask(method, path, ask);
      expect(answer.status).toBeLessThan(300);
    }
  });
});

function good(): Promise<Pick<Answer, 'status'>> {
  return raw('POST', '/v1/access-requests', { role: 'partner', body: ACCESS_REQUEST });
}

function bad(): Promise<Pick<Answer, 'status'>> {
  const claims = { organisation: 'rbc', projects: ['malaria-forecasting'] };
  const body = { ...ACCESS_REQUEST, project: 'malaria-forecasting', agreement: 'agr-illus-02' };
  return raw('POST', '/v1/access-requests', { role: 'partner', claims, body });
}

test('a database whose disk is full answers 503 with Retry-After, and nothing is left', async () => {
  await database.query(`
    create function fill_disk() returns trigger language plpgsql as $$
    begin raise exception 'could not extend file' using errcode = 'disk_full'; end $$;
    create trigger broken before insert on audit_event for each row execute function fill_disk()`);
  const before = await picture();
  const asks: readonly (readonly [string, Ask])[] = [
    ['/v1/access-requests', { role: 'partner', body: ACCESS_REQUEST }],
    ['/v1/datasets', { role: 'steward', body: { id: 'on-full-disk', title: { en: 'x' } } }],
  ];
  for (const [path, ask] of asks) {
    const answer = await service.ask('POST', path, ask);
    expect([answer.status, answer.headers.has('retry-after')]).toEqual([503, true]);
  }
  expect(await picture()).toBe(before);
});

test('an event that cannot be written fails its own request and not those that are committed with it', async () => {
  await breakRecord('audit_event', `new.subject_ids @> array['malaria-forecasting']`);
  const before = await picture();
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, i) => (i % 3 === 1 ? bad() : good())),
  );
  expect(answers.map(({ status }) => status)).toEqual(
    Array.from({ length: 30 }, (_, i) => (i % 3 === 1 ? 500 : 201)),
  );
  expect(await picture()).not.toBe(before);
  const { rows } = await database.query(
    `select count(*)::int as n from access_request where project = 'malaria-forecasting'`,
  );
  expect(rows).toEqual([{ n: 0 }]);
});
