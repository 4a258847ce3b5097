/** A request for an erasure that is not carried out: refused, withdrawn or expired, it names nobody any more. */

import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bodyOf } from '../../src/audit/event.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

const ASKER = { role: 'authority' } as const;
const SECOND = { role: 'authority', claims: { subject: 'second-officer' } } as const;
const DAY_MS = 86_400_000;
const START = new Date('2026-03-01T08:00:00Z');

let now = START;
let service: TestService;
let database: Client;

const start = (replica?: TestService): Promise<TestService> =>
  startTestService({
    clock: () => now,
    ...(replica && {
      config: { databaseUrl: replica.config.databaseUrl, dataDir: replica.config.dataDir },
    }),
  });

beforeAll(async () => {
  service = await start();
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await service[Symbol.asyncDispose]();
});

async function open(scope: object): Promise<string> {
  const body = { scope, reason: 'subject_request' };
  const answer = await service.ask('POST', '/v1/audit/erasures', { ...ASKER, body });
  expect(answer.status, answer.text).toBe(201);
  return answer.body.erasure.id;
}

function step(id: string, name: string, who: object, body?: object): Promise<Answer> {
  return service.ask('POST', `/v1/audit/erasures/${id}/${name}`, { ...who, ...(body && { body }) });
}

async function read(id: string): Promise<Answer['body']> {
  return (await service.ask('GET', `/v1/audit/erasures/${id}`, ASKER)).body;
}

async function events(
  type: string,
  id: string,
): Promise<{ id: string; role: string; body: Record<string, unknown> }[]> {
  const { rows } = await database.query<{
    event_id: string;
    role: string;
    body: Buffer;
    disclosures: string;
  }>('select * from audit_event where type = $1 and $2 = any(subject_ids)', [type, id]);
  return rows.map(({ event_id, role, ...row }) => ({ id: event_id, role, body: bodyOf(row) }));
}

async function rowOf(id: string): Promise<string> {
  const { rows } = await database.query('select e::text as text from erasure e where id = $1', [
    id,
  ]);
  return (rows[0] as { text: string }).text;
}

const SCOPES = [
  ['an actor', { actor: 'Uwera Nadine' }, { actor: null }],
  [
    'a consent record',
    { consent: { dataset: 'nhic-idsr-cases', subject: 'Uwera Nadine' } },
    { consent: { dataset: 'nhic-idsr-cases', subject: null } },
  ],
] as const;

describe.each(SCOPES)('of %s', (_name, scope, unnamed) => {
  test('is refused by another person, with a reason, and by nobody alone', async () => {
    const id = await open(scope);
    const body = { reason: 'has_to_be_kept', reference: 'RC-12' };
    expect(await step(id, 'refuse', ASKER, body)).toMatchObject({
      status: 403,
      body: { code: 'second_person_required' },
    });
    expect((await read(id)).scope).toEqual(scope);
    const refused = await step(id, 'refuse', SECOND, body);
    expect(refused.status, refused.text).toBe(200);
    expect(await read(id)).toEqual(refused.body.erasure);
    expect(refused.body.erasure).toMatchObject({
      status: 'refused',
      scope: unnamed,
      refusal: 'has_to_be_kept',
      ended_by: 'second-officer',
      ended_at: now.toISOString(),
      end_event: refused.body.event_id,
      event_id: null,
      erased: 0,
    });
    expect(await rowOf(id)).not.toContain('Uwera');
    const [event, ...more] = await events('refuseErasure', id);
    expect(more).toEqual([]);
    expect(event).toMatchObject({ id: refused.body.event_id, body: { erasure: id, ...body } });
    expect(JSON.stringify(event)).not.toContain('Uwera');
  });

  test('is withdrawn by who asked, and by nobody else', async () => {
    const id = await open(scope);
    expect(await step(id, 'withdraw', SECOND)).toMatchObject({
      status: 403,
      body: { code: 'forbidden' },
    });
    const withdrawn = await step(id, 'withdraw', ASKER);
    expect(withdrawn.body.erasure).toMatchObject({
      status: 'withdrawn',
      scope: unnamed,
      refusal: null,
    });
    expect(await rowOf(id)).not.toContain('Uwera');
    expect(await events('withdrawErasure', id)).toMatchObject([{ body: { erasure: id } }]);
  });

  test('expires after the days of the pack, while the service was away, once for all replicas', async () => {
    const { body: pack } = await service.ask('GET', '/v1/pack', ASKER);
    const { days, cites } = pack.retention.open_request;
    expect(cites[0]).toMatchObject({ confidence: expect.any(String) });
    now = START;
    const id = await open(scope);
    now = new Date(START.getTime() + days * DAY_MS - 1);
    const young = await open(scope);
    await using early = await start(service);
    expect((await read(id)).status).toBe('requested');
    now = new Date(now.getTime() + 1);
    // Not swept yet, and still too late.
    expect(await step(id, 'approve', SECOND)).toMatchObject({
      status: 409,
      body: { code: 'wrong_status', detail: expect.stringContaining('expired') },
    });
    await early[Symbol.asyncDispose]();
    const replicas = await Promise.all([start(service), start(service)]);
    for (const replica of replicas) await replica[Symbol.asyncDispose]();
    const [event, ...more] = await events('expireErasure', id);
    expect(more).toEqual([]);
    expect(event).toMatchObject({ role: 'service', body: { erasure: id } });
    expect(await read(id)).toMatchObject({
      status: 'expired',
      scope: unnamed,
      ended_by: 'umutungo',
      end_event: event?.id,
    });
    expect(await rowOf(id)).not.toContain('Uwera');
    expect((await read(young)).status).toBe('requested');
    await step(young, 'withdraw', ASKER);
  });
});

test('what has ended ends in no other way', async () => {
  const ends: readonly (readonly [string, object, object?])[] = [
    ['refuse', SECOND, { reason: 'not_founded' }],
    ['withdraw', ASKER],
    ['approve', SECOND],
  ];
  for (const [name, who, body] of ends.slice(0, 2)) {
    const id = await open({ actor: 'nobody-at-all' });
    expect((await step(id, name, who, body)).status).toBe(200);
    for (const [again, by, what] of ends) {
      expect(await step(id, again, by, what), again).toMatchObject({
        status: 409,
        body: { code: 'wrong_status' },
      });
    }
  }
});

test('refused, withdrawn and approved at the same moment it ends in one way', async () => {
  const id = await open({ actor: 'nobody-at-all' });
  const answers = await Promise.all([
    step(id, 'refuse', SECOND, { reason: 'not_founded' }),
    step(id, 'withdraw', ASKER),
    step(id, 'approve', SECOND),
  ]);
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(answers.filter(({ status }) => status === 409)).toHaveLength(2);
  const ends = await Promise.all(
    ['refuseErasure', 'withdrawErasure', 'approveErasure'].map((type) => events(type, id)),
  );
  expect(ends.flat()).toHaveLength(1);
});

test('the name of who ended it goes with the rest of their name', async () => {
  const officer = { role: 'authority', claims: { subject: 'Officer Mugabo' } } as const;
  const id = await open({ actor: 'nobody-at-all' });
  const refused = await step(id, 'refuse', officer, { reason: 'asked_in_error' });
  expect(refused.body.erasure.ended_by).toBe('Officer Mugabo');
  await expect
    .poll(async () => {
      const path = `/v1/audit/events/${refused.body.event_id}`;
      return (await service.ask('GET', path, ASKER)).body.index;
    })
    .not.toBeNull();
  const body = { scope: { actor: 'Officer Mugabo' }, reason: 'recorded_in_error' };
  const asked = await service.ask('POST', '/v1/audit/erasures', { ...ASKER, body });
  expect((await step(asked.body.erasure.id, 'approve', SECOND)).status).toBe(200);
  expect(await rowOf(id)).not.toContain('Mugabo');
});
