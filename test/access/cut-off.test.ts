/** Which permitted requests an event cut off: as the service itself answers just before it and just after it. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AT_HOME } from '../support/access-request.ts';
import { clinicVisits } from '../http/samples.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

const AUDITOR = { role: 'auditor' } as const;
const STEWARD = { role: 'steward', claims: { organisation: 'moh' } } as const;
const AUTHORITY = { role: 'authority' } as const;
const FIRST_DAY = new Date('2026-06-10T10:00:00Z');
let now = FIRST_DAY;
let service: TestService;
let client: Client;

beforeAll(async () => {
  service = await startTestService({ clock: () => now });
  client = new Client(service.config.databaseUrl ?? '');
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await service[Symbol.asyncDispose]();
});

async function good(answer: Promise<Answer>): Promise<Answer> {
  const { status, text } = await answer;
  expect(status, text).toBeLessThan(300);
  return answer;
}

let made = 0;
/** A dataset of which people are on record; two agreed. */
async function newDataset(): Promise<string> {
  const id = `cut-off-${++made}`;
  await good(service.ask('POST', '/v1/datasets', { ...STEWARD, body: { id, ...clinicVisits } }));
  for (const subject of ['p-1', 'p-2']) await say(id, subject, 'given');
  return id;
}

/** Returns the event. */
async function say(dataset: string, subject: string, status: string): Promise<string> {
  const body = { purpose: AT_HOME.purpose, subject, status, at: now.toISOString() };
  const path = `/v1/datasets/${dataset}/consent-records`;
  return (await good(service.ask('POST', path, { ...STEWARD, body }))).body.event_id;
}

/** An agreement of its own, to be changed. */
async function newAgreement(): Promise<string> {
  const { body: like } = await service.ask('GET', '/v1/agreements/agr-illus-16', AUTHORITY);
  const { version: _version, created_at: _c, updated_at: _u, ...rest } = like;
  const body = { ...rest, id: `agr-cut-off-${++made}` };
  await good(service.ask('POST', '/v1/agreements', { ...AUTHORITY, body }));
  return body.id;
}

async function patch(path: string, body: object, ask: object = AUTHORITY): Promise<string> {
  const etag = (await service.ask('GET', path, AUTHORITY)).headers.get('etag') ?? '';
  const headers = { 'if-match': etag };
  return (await good(service.ask('PATCH', path, { ...ask, headers, body }))).body.event_id;
}

async function decide(dataset: string, changes: object = {}) {
  const body = { ...AT_HOME, dataset, ...changes };
  const answer = await good(service.ask('POST', '/v1/access-requests', { role: 'partner', body }));
  return { id: answer.body.id as string, decision: answer.body.decision };
}

async function permitted(dataset: string, changes: object = {}): Promise<string> {
  const { id, decision } = await decide(dataset, changes);
  expect(decision.effect, decision.summary).toBe('permit');
  return id;
}

/** The same, asked at the decision point, with what a register knows better than the caller. */
async function evaluated(dataset: string, { agreement }: { readonly agreement: string } = AT_HOME) {
  const { project, agreement: _agreement, purpose, ...context } = AT_HOME;
  const body = {
    subject: { type: 'project', id: project },
    action: { name: 'use', properties: { purpose } },
    resource: { type: 'dataset', id: dataset },
    context: { ...context, agreement, sector: 'tax' },
    options: { explain: true },
  };
  const ask = { role: 'partner', body } as const;
  const { body: answer } = await good(service.ask('POST', '/access/v1/evaluation', ask));
  return { decision: answer.decision, id: answer.context.evaluation_id as string };
}

interface Fell {
  readonly kind: 'access_request' | 'evaluation';
  readonly access_request: string;
  readonly decision_id: string;
  readonly outcome: string;
  readonly [other: string]: unknown;
}

async function cutOff(event: string) {
  const started = await good(service.ask('POST', `/v1/audit/events/${event}/cut-offs`, AUDITOR));
  const at = started.headers.get('location') ?? '';
  let run = started.body;
  while (run.status === 'running') {
    await sleep(20);
    run = (await service.ask('GET', at, AUDITOR)).body;
  }
  expect(run).toMatchObject({ status: 'done', failure: null, done: run.total });
  return { at, run, fell: await pages(`${at}/requests`, 200) };
}

async function pages(path: string, limit: number): Promise<Fell[]> {
  const items: Fell[] = [];
  for (
    let next: string | undefined = `${path}${path.includes('?') ? '&' : '?'}limit=${limit}`;
    next;
  ) {
    const answer: Answer = await service.ask('GET', next, AUDITOR);
    expect(answer.status, answer.text).toBe(200);
    items.push(...answer.body.items);
    next = /^<([^>]+)>/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  return items;
}

function counts(run: Answer['body']): Record<string, number> {
  const { total, stands, cut_off, refused_before, ended, unknown } = run;
  return { total, stands, cut_off, refused_before, ended, unknown };
}

const NONE = { total: 0, stands: 0, cut_off: 0, refused_before: 0, ended: 0, unknown: 0 };

describe('a withdrawal of consent', () => {
  let dataset: string;
  let [long, short, spoilt] = ['', '', ''];
  let withdrawal: string;
  let answered: Answer['body'];
  let found: Awaited<ReturnType<typeof cutOff>>;

  beforeAll(async () => {
    now = FIRST_DAY;
    dataset = await newDataset();
    const agreement = await newAgreement();
    long = await permitted(dataset);
    short = await permitted(dataset, { duration: { from: '2026-06-10', until: '2026-06-20' } });
    spoilt = await permitted(dataset, { agreement });
    await permitted(await newDataset());
    now = new Date('2026-07-01T10:00:00Z');
    await patch(`/v1/agreements/${agreement}`, { binding: false });
    await permitted(dataset);
    withdrawal = await say(dataset, 'p-2', 'withdrawn');
    answered = (await decide(dataset)).decision;
    found = await cutOff(withdrawal);
  });

  test('cuts off what the service refuses from then on, for the same rules', async () => {
    const { run, fell } = found;
    expect(answered.effect).toBe('deny');
    expect(counts(run)).toEqual({ ...NONE, total: 4, cut_off: 2, refused_before: 1, ended: 1 });
    expect(run).toMatchObject({
      event: withdrawal,
      at: now.toISOString(),
      rules: [{ rule: 'RW-DPP-WITHDRAW', count: 2 }],
    });
    const [cut] = fell.filter(({ access_request }) => access_request === long);
    expect(cut).toMatchObject({
      outcome: 'cut_off',
      effect: 'deny',
      rules: answered.deny,
      rules_removed: [],
      refusal: null,
      dataset,
      project: 'idsr-forecasting',
      purpose: 'outbreak_forecasting',
    });
  });

  test('tells apart what had ended, and what was refused already', async () => {
    const { fell } = found;
    const [ended] = fell.filter(({ access_request }) => access_request === short);
    expect(ended).toMatchObject({ outcome: 'ended', until: '2026-06-20', rules: [] });
    const [refused] = fell.filter(({ access_request }) => access_request === spoilt);
    expect(refused).toMatchObject({ outcome: 'refused_before' });
    expect(refused?.['effect']).not.toBe('permit');
    expect(refused?.['rules']).not.toEqual([]);
  });

  test('has cut off the same whatever the registers say today', async () => {
    now = new Date('2026-07-05T10:00:00Z');
    const consent = { ...clinicVisits.consent, withdrawal_filterable: true };
    await patch(`/v1/datasets/${dataset}`, { consent }, STEWARD);
    await say(dataset, 'p-2', 'given');
    await say(dataset, 'p-3', 'given');
    const after = await cutOff(withdrawal);
    expect(counts(after.run)).toEqual(counts(found.run));
    expect(after.fell).toEqual(found.fell);
  });

  test('in pages of any size and one outcome at a time is the same', async () => {
    const { at, fell } = found;
    for (const limit of [1, 2, 3]) expect(await pages(`${at}/requests`, limit)).toEqual(fell);
    for (const outcome of ['cut_off', 'refused_before', 'ended', 'unknown']) {
      const own = fell.filter((each) => each.outcome === outcome);
      expect(await pages(`${at}/requests?outcome=${outcome}`, 1)).toEqual(own);
    }
  });

  test('that takes nothing away cuts nothing off', async () => {
    const other = await newDataset();
    const consent = { ...clinicVisits.consent, withdrawal_filterable: true };
    await patch(`/v1/datasets/${other}`, { consent }, STEWARD);
    await permitted(other);
    const { run } = await cutOff(await say(other, 'p-1', 'withdrawn'));
    expect(counts(run)).toEqual({ ...NONE, total: 1, stands: 1 });
  });

  test('of the last person is told by its own rule, and only for the purpose', async () => {
    const other = await newDataset();
    const consent = { ...clinicVisits.consent, withdrawal_filterable: true };
    await patch(`/v1/datasets/${other}`, { consent }, STEWARD);
    await permitted(other);
    await say(other, 'p-1', 'withdrawn');
    const { run } = await cutOff(await say(other, 'p-2', 'withdrawn'));
    expect(counts(run)).toEqual({ ...NONE, total: 1, cut_off: 1 });
    expect(run.rules).toEqual([{ rule: 'RW-DPP-CONSENT', count: 1 }]);
  });

  test('of before totals were kept is answered with "unknown", and never guessed', async () => {
    const other = await newDataset();
    const asked = await permitted(other);
    const event = await say(other, 'p-1', 'withdrawn');
    await client.query(
      `insert into consent_total_version (dataset, purpose, at, given, refused, withdrawn, given_by_parent, given_covering_transfer)
       values ($1, 'academic_research', $2, 1, 0, 0, 0, 0)`,
      [other, '2027-01-01T00:00:00Z'],
    );
    const { run, fell } = await cutOff(event);
    expect(counts(run)).toEqual({ ...NONE, total: 1, unknown: 1 });
    expect(fell).toMatchObject([{ access_request: asked, outcome: 'unknown', effect: null }]);
  });
});

describe('an evaluation of the decision point', () => {
  test('is cut off by a withdrawal as the request that asks for the same is, and says what it is', async () => {
    now = new Date('2026-07-08T10:00:00Z');
    const dataset = await newDataset();
    const request = await permitted(dataset);
    const evaluation = await evaluated(dataset);
    await evaluated(await newDataset());
    expect(evaluation.decision).toBe(true);
    const withdrawal = await say(dataset, 'p-2', 'withdrawn');
    expect(await evaluated(dataset)).toMatchObject({ decision: false });
    const { at, run, fell } = await cutOff(withdrawal);
    expect(counts(run)).toEqual({ ...NONE, total: 2, cut_off: 2 });
    expect(run.rules).toEqual([{ rule: 'RW-DPP-WITHDRAW', count: 2 }]);
    const [asked, own] = ['access_request', 'evaluation'].map((each) =>
      fell.find(({ kind }) => kind === each),
    );
    expect(asked).toMatchObject({ kind: 'access_request', access_request: request });
    expect(own).toEqual({
      ...asked,
      kind: 'evaluation',
      access_request: null,
      decision_id: evaluation.id,
    });
    for (const limit of [1, 2]) expect(await pages(`${at}/requests`, limit)).toEqual(fell);
  });

  test('is cut off by the end of the agreement that it named, and was refused already after that', async () => {
    const dataset = await newDataset();
    const agreement = await newAgreement();
    const { id, decision } = await evaluated(dataset, { agreement });
    expect(decision).toBe(true);
    const other = await evaluated(dataset);
    const ended = await patch(`/v1/agreements/${agreement}`, { valid_until: '2026-07-07' });
    const { run, fell } = await cutOff(ended);
    expect(counts(run)).toEqual({ ...NONE, total: 1, cut_off: 1 });
    expect(fell).toMatchObject([{ kind: 'evaluation', decision_id: id, agreement }]);
    const withdrawal = await cutOff(await say(dataset, 'p-2', 'withdrawn'));
    expect(withdrawal.fell).toMatchObject([
      { decision_id: other.id, outcome: 'cut_off' },
      { decision_id: id, outcome: 'refused_before', purpose: AT_HOME.purpose },
    ]);
  });

  test('of before its kind was kept is found by its event', async () => {
    const dataset = await newDataset();
    const { id } = await evaluated(dataset);
    await client.query('update decision set evaluation = false');
    const migration = await readFile(
      join(import.meta.dirname, '../../migrations/0012_evaluations_and_open_erasures.sql'),
      'utf8',
    );
    await client.query(/^update decision d[^;]+;/m.exec(migration)?.[0] ?? '');
    const { fell } = await cutOff(await say(dataset, 'p-2', 'withdrawn'));
    expect(fell).toMatchObject([{ kind: 'evaluation', decision_id: id }]);
  });
});

describe('a policy', () => {
  const CASES = '[{ id: NOTHING, dataset: {}, request: {}, expected: { decision: deny } }]';
  const title = { en: 'A policy of a test' };

  async function draft(dataset: string, from: string, outcome: string): Promise<string> {
    const policy = `cut-off-policy-${++made}`;
    const document = JSON.stringify({
      policy,
      version: 1,
      layer: 'steward',
      owner: 'moh',
      concern: 'residency',
      title,
      instrument: 'national-choice',
      in_force: { from },
      target: { fact: 'dataset.id', eq: dataset },
      rules: [
        {
          id: policy.toUpperCase(),
          title,
          sentence: title,
          outcome,
          cites: [{ instrument: 'national-choice', article: 'test', confidence: 'high' }],
        },
      ],
    });
    const ask = { ...STEWARD, body: { document, cases: CASES } };
    return (await good(service.ask('POST', '/v1/policies', ask))).headers.get('location') ?? '';
  }

  async function step(path: string, name: string, who: object): Promise<string> {
    const etag = (await service.ask('GET', path, AUTHORITY)).headers.get('etag') ?? '';
    const headers = { 'if-match': etag };
    return (await good(service.ask('POST', `${path}/${name}`, { ...who, headers }))).body.event_id;
  }

  async function approved(dataset: string, from = '2026-01-01', outcome = 'deny') {
    const path = await draft(dataset, from, outcome);
    await step(path, 'check', STEWARD);
    return { path, event: await step(path, 'approve', AUTHORITY) };
  }

  test('that comes into force cuts off by its rule; its withdrawal cuts off nothing', async () => {
    now = new Date('2026-07-10T10:00:00Z');
    const [dataset, other] = [await newDataset(), await newDataset()];
    const asked = await permitted(dataset);
    await permitted(other);
    const { path, event } = await approved(dataset, '2026-01-01', 'review');
    const { run, fell } = await cutOff(event);
    const rule = path.split('/')[3]?.toUpperCase();
    expect(run).toMatchObject({ cut_off: 1, rules: [{ rule, count: 1 }] });
    expect(fell.filter(({ outcome }) => outcome === 'cut_off')).toMatchObject([
      { access_request: asked, effect: 'review', rules: [rule] },
    ]);
    now = new Date('2026-07-10T11:00:00Z');
    await step(path, 'withdraw', STEWARD);
    const gone = await step(path, 'withdraw', { ...AUTHORITY, claims: { subject: 'other' } });
    const { run: after, fell: none } = await cutOff(gone);
    expect(after).toMatchObject({ cut_off: 0 });
    expect(none.filter(({ access_request }) => access_request === asked)).toMatchObject([
      { outcome: 'refused_before', rules: [rule] },
    ]);
  });

  test('approved before its first day cuts off on that day', async () => {
    now = new Date('2026-07-11T10:00:00Z');
    const dataset = await newDataset();
    const asked = await permitted(dataset);
    const until = { from: '2026-07-11', until: '2026-07-20' };
    const short = await permitted(dataset, { duration: until });
    const { event } = await approved(dataset, '2026-08-05');
    const later = await permitted(dataset);
    const { run, fell } = await cutOff(event);
    // Midnight in Kigali.
    expect(run.at).toBe('2026-08-04T22:00:00.000Z');
    const own = fell.filter((each) => each['dataset'] === dataset);
    const outcomes = new Map(own.map((each) => [each.access_request, each.outcome]));
    expect(outcomes).toEqual(
      new Map([
        [asked, 'cut_off'],
        [later, 'cut_off'],
        [short, 'ended'],
      ]),
    );
  });
});

describe('a register', () => {
  test('that ends an agreement or loses a dataset cuts off what rested on it', async () => {
    now = new Date('2026-07-12T10:00:00Z');
    const dataset = await newDataset();
    const agreement = await newAgreement();
    const asked = await permitted(dataset, { agreement });
    await permitted(dataset);
    const ended = await patch(`/v1/agreements/${agreement}`, { valid_until: '2026-07-11' });
    const after = (await decide(dataset, { agreement })).decision;
    const { run, fell } = await cutOff(ended);
    expect(counts(run)).toEqual({ ...NONE, total: 1, cut_off: 1 });
    expect(fell).toMatchObject([
      { access_request: asked, effect: after.effect, rules: after[after.effect] },
    ]);
    const path = `/v1/datasets/${dataset}`;
    const etag = (await service.ask('GET', path, AUTHORITY)).headers.get('etag') ?? '';
    const headers = { 'if-match': etag };
    const retired = await good(service.ask('POST', `${path}/retire`, { ...STEWARD, headers }));
    const lost = await cutOff(retired.body.event_id);
    expect(counts(lost.run)).toEqual({ ...NONE, total: 2, cut_off: 1, refused_before: 1 });
    expect(lost.fell[0]).toMatchObject({ outcome: 'cut_off', refusal: 'retired', effect: null });
  });
});

test('an event that decides nothing for others has cut off nothing that could be asked about', async () => {
  const { id, decision } = await decide(await newDataset());
  const ask = (event: string) => service.ask('POST', `/v1/audit/events/${event}/cut-offs`, AUDITOR);
  expect(await ask(decision.event_id)).toMatchObject({
    status: 409,
    body: { code: 'wrong_status' },
  });
  expect((await ask(id)).status).toBe(404);
  const { at } = await cutOff(await say(await newDataset(), 'p-1', 'withdrawn'));
  const [run] = at.split('/').toReversed();
  const strange = await service.ask(
    'GET',
    `/v1/audit/events/${decision.event_id}/cut-offs/${run}`,
    AUDITOR,
  );
  expect(strange.status).toBe(404);
});

test('an event whose body was changed is not believed', async () => {
  const event = await say(await newDataset(), 'p-1', 'withdrawn');
  await client.query('alter table audit_event disable trigger audit_event_append_only');
  await client.query(`update audit_event set body = '{}' where event_id = $1`, [event]);
  await client.query('alter table audit_event enable trigger audit_event_append_only');
  const answer = await service.ask('POST', `/v1/audit/events/${event}/cut-offs`, AUDITOR);
  expect(answer).toMatchObject({ status: 409, body: { code: 'wrong_status' } });
});
