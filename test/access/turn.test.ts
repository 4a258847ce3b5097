/**
 * Who had access, and what an event cut off, where the year turns in between: permits in the shard
 * that has ended, what cuts them off in the next one, and each event where the answers say it is.
 */

import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compactVerify, importJWK } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseVerifierKey } from '../../src/tlog/note-key.ts';
import { verifyProofFile } from '../../src/tlog/proof-file.ts';
import { AT_HOME } from '../support/access-request.ts';
import { clinicVisits } from '../http/samples.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';

const POLICIES = join(import.meta.dirname, '../../policies');
const ORIGIN = 'log.test.example/access-turn';
const AUDITOR = { role: 'auditor' } as const;
const AUTHORITY = { role: 'authority' } as const;
const SECOND = { role: 'authority', claims: { subject: 'second-officer' } } as const;
const STEWARD = { role: 'steward', claims: { organisation: 'moh' } } as const;
const AGREEMENT = 'agr-turn';

// The tokens of the demo end after today: a turn that has been is tried. Kigali is two hours ahead.
const EVENING = new Date('2023-12-31T20:00:00Z');
const NEW_YEAR_IN_KIGALI = '2023-12-31T22:00:00.000Z';
const AFTER_MIDNIGHT_THERE = new Date('2023-12-31T22:30:00Z');
const AFTER_THE_TURN = new Date('2024-01-01T00:00:05Z');
const RETENTION_HAS_PASSED = new Date('2025-06-01T00:00:00Z');

let now = EVENING;
let folder: string;
let service: TestService;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'umutungo-access-turn-'));
  service = await startTestService({
    // No two things at one moment: their order is told by it.
    clock: () => (now = new Date(now.getTime() + 1)),
    config: { packDir: await earlierPack(), logOrigin: `${ORIGIN}/2023` },
  });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** The nation's pack as if all of it had begun with its law, with a record that is kept for a year. */
async function earlierPack(): Promise<string> {
  await cp(POLICIES, join(folder, 'policies'), { recursive: true });
  const pack = join(folder, 'policies/rwanda');
  const edit = async (file: string, from: string | RegExp, to: string): Promise<void> => {
    const path = join(pack, file);
    await writeFile(path, (await readFile(path, 'utf8')).replace(from, to));
  };
  await edit('pack.yaml', 'record_years: 6', 'record_years: 1');
  for (const file of await readdir(join(pack, 'rules')))
    await edit(`rules/${file}`, /(?<=^in_force: \{ from: )[-0-9]+/m, '2021-10-15');
  return pack;
}

async function good(answer: Promise<Answer>): Promise<Answer> {
  const { status, text } = await answer;
  expect(status, text).toBeLessThan(300);
  return answer;
}

/** One as that of the demo, which has begun. */
async function newAgreement(id: string): Promise<string> {
  const { body: like } = await service.ask('GET', '/v1/agreements/agr-illus-16', AUTHORITY);
  const { version: _version, created_at: _created, updated_at: _updated, ...rest } = like;
  const body = { ...rest, id, valid_from: '2023-01-01' };
  await good(service.ask('POST', '/v1/agreements', { ...AUTHORITY, body }));
  return id;
}

async function newDataset(id: string): Promise<string> {
  const body = { id, ...clinicVisits };
  await good(service.ask('POST', '/v1/datasets', { ...STEWARD, body }));
  for (const subject of ['p-1', 'p-2']) await say(id, subject, 'given');
  return id;
}

/** Returns the event. */
async function say(dataset: string, subject: string, status: string): Promise<string> {
  const body = { purpose: AT_HOME.purpose, subject, status, at: now.toISOString() };
  const path = `/v1/datasets/${dataset}/consent-records`;
  return (await good(service.ask('POST', path, { ...STEWARD, body }))).body.event_id;
}

interface Decided {
  readonly id: string;
  readonly decision: {
    readonly id: string;
    readonly effect: string;
    readonly summary: string;
    readonly event_id: string;
    readonly index: number | null;
    readonly leaf_hash: string;
    readonly receipt: string;
    readonly deny: readonly string[];
  };
}

async function decide(dataset: string, changes: object = {}, key?: string): Promise<Decided> {
  const body = { ...AT_HOME, agreement: AGREEMENT, dataset, ...changes };
  const headers = key === undefined ? {} : { 'idempotency-key': key };
  const ask = { role: 'partner', body, headers } as const;
  return (await good(service.ask('POST', '/v1/access-requests', ask))).body;
}

async function permitted(dataset: string, changes?: object, key?: string): Promise<Decided> {
  const decided = await decide(dataset, changes, key);
  expect(decided.decision.effect, decided.decision.summary).toBe('permit');
  return decided;
}

async function evaluated(dataset: string): Promise<string> {
  const { project, agreement: _agreement, purpose, ...context } = AT_HOME;
  const body = {
    subject: { type: 'project', id: project },
    action: { name: 'use', properties: { purpose } },
    resource: { type: 'dataset', id: dataset },
    context: { ...context, agreement: AGREEMENT },
    options: { explain: true },
  };
  const ask = { role: 'partner', body } as const;
  const { body: answer } = await good(service.ask('POST', '/access/v1/evaluation', ask));
  expect(answer.decision).toBe(true);
  return answer.context.evaluation_id;
}

async function patch(path: string, body: object, who: object = AUTHORITY): Promise<string> {
  const etag = (await service.ask('GET', path, AUTHORITY)).headers.get('etag') ?? '';
  const ask = { ...who, headers: { 'if-match': etag }, body };
  return (await good(service.ask('PATCH', path, ask))).body.event_id;
}

/** A steward's policy for one dataset that sends it to a person, approved. Returns the event. */
async function approvedPolicy(dataset: string, from: string): Promise<string> {
  const policy = `policy-of-${dataset}`;
  const title = { en: 'A policy of a test' };
  const rule = {
    id: policy.toUpperCase(),
    title,
    sentence: title,
    outcome: 'review',
    cites: [{ instrument: 'national-choice', article: 'test', confidence: 'high' }],
  };
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
    rules: [rule],
  });
  const cases = '[{ id: NOTHING, dataset: {}, request: {}, expected: { decision: deny } }]';
  const ask = { ...STEWARD, body: { document, cases } };
  const path = (await good(service.ask('POST', '/v1/policies', ask))).headers.get('location') ?? '';
  const step = async (name: string, who: object): Promise<Answer> => {
    const etag = (await service.ask('GET', path, AUTHORITY)).headers.get('etag') ?? '';
    return good(service.ask('POST', `${path}/${name}`, { ...who, headers: { 'if-match': etag } }));
  };
  await step('check', STEWARD);
  return (await step('approve', AUTHORITY)).body.event_id;
}

interface Access {
  readonly id: string;
  readonly decision_id: string;
  readonly event_id: string;
}

async function had(dataset: string, on: string, limit = 200): Promise<Access[]> {
  const items: Access[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const path = `/v1/datasets/${dataset}/access?on=${on}&limit=${limit}${cursor && `&cursor=${cursor}`}`;
    const { body }: Answer = await good(service.ask('GET', path, AUTHORITY));
    items.push(...body.items);
    cursor = body.next_cursor;
  }
  return items;
}

async function cutOff(event: string) {
  const started = await good(service.ask('POST', `/v1/audit/events/${event}/cut-offs`, AUDITOR));
  const at = started.headers.get('location') ?? '';
  let run = started.body;
  while (run.status === 'running') {
    await sleep(20);
    run = (await service.ask('GET', at, AUDITOR)).body;
  }
  expect(run).toMatchObject({ status: 'done', failure: null, event });
  const { body } = await good(service.ask('GET', `${at}/requests?limit=200`, AUDITOR));
  const { total, stands, cut_off, refused_before, ended, unknown } = run;
  return {
    run,
    counts: { total, stands, cut_off, refused_before, ended, unknown },
    fell: body.items as {
      access_request: string | null;
      decision_id: string;
      outcome: string;
      rules: string[];
    }[],
    outcomes: new Map<string, string>(
      body.items.map((each: { decision_id: string; outcome: string }) => [
        each.decision_id,
        each.outcome,
      ]),
    ),
  };
}

async function eventOf(id: string): Promise<Answer['body']> {
  return (await good(service.ask('GET', `/v1/audit/events/${id}`, AUTHORITY))).body;
}

async function shards(): Promise<
  { year: number; origin: string; size: number; vkeys: readonly string[] }[]
> {
  return (await service.ask('GET', '/log/shards')).body.items;
}

function caughtUp(): Promise<void> {
  return until(async () => {
    const { body } = await service.ask('GET', '/v1/audit/status', AUTHORITY);
    return body.pending === 0 && body.published?.size === body.size;
  });
}

/** The event is in the shard of a year, where its index says, and its proof is of that shard. */
async function expectIn(year: number, eventId: string): Promise<void> {
  const event = await eventOf(eventId);
  expect(event.shard).toBe(year);
  const shard = (await shards()).find((each) => each.year === year);
  const verifiers = (shard?.vkeys ?? []).flatMap((vkey) => {
    const parsed = parseVerifierKey(vkey);
    return parsed.ok ? [parsed.verifier] : [];
  });
  const { text } = await service.ask('GET', `/v1/audit/events/${eventId}/proof`, AUTHORITY);
  const leaf = Buffer.from(event.leaf_hash, 'base64');
  expect(verifyProofFile(text, leaf, verifiers)).toMatchObject({
    ok: true,
    index: event.index,
    checkpoint: { origin: `${ORIGIN}/${year}` },
  });
}

const NONE = { total: 0, stands: 0, cut_off: 0, refused_before: 0, ended: 0, unknown: 0 };

describe('a turn between the permits and what cuts them off', () => {
  const visits = 'turn-visits';
  let [old, kigali, fresh, short, spoilt]: Decided[] = [];
  let evaluation: string;
  let agreement: string;
  let beforeTheTurn: Access[];
  let [early, late, spoiling, withdrawal] = ['', '', '', ''];
  let answered: Decided;
  let found: Awaited<ReturnType<typeof cutOff>>;

  beforeAll(async () => {
    await newDataset(visits);
    for (const id of ['turn-early', 'turn-late']) await newDataset(id);
    await newAgreement(AGREEMENT);
    agreement = await newAgreement('agr-turn-spoilt');
    old = await permitted(visits, {}, 'old');
    evaluation = await evaluated(visits);
    short = await permitted(visits, { duration: { from: '2023-12-31', until: '2023-12-31' } });
    spoilt = await permitted(visits, { agreement });
    for (const id of ['turn-early', 'turn-late']) await permitted(id);
    early = await approvedPolicy('turn-early', '2024-01-01');
    now = AFTER_MIDNIGHT_THERE;
    kigali = await permitted(visits);
    beforeTheTurn = await had(visits, '2024-01-01');
    await caughtUp();
    now = AFTER_THE_TURN;
    await until(async () => (await shards()).length === 2);
    spoiling = await patch(`/v1/agreements/${agreement}`, { binding: false });
    fresh = await permitted(visits);
    late = await approvedPolicy('turn-late', '2023-01-01');
    withdrawal = await say(visits, 'p-2', 'withdrawn');
    answered = await decide(visits);
    await caughtUp();
    found = await cutOff(withdrawal);
    await caughtUp();
  }, 60_000);

  const ids = (items: readonly (Access | Decided | undefined)[]) => items.map((each) => each?.id);

  test('who had access on a day of either year: by the day of the pack’s time zone, in pages of any size', async () => {
    expect(ids(await had(visits, '2023-12-30'))).toEqual([]);
    expect(ids(await had(visits, '2023-12-31'))).toEqual(ids([spoilt, short, old]));
    const day = await had(visits, '2024-01-01');
    expect(ids(day)).toEqual(ids([fresh, kigali, spoilt, old]));
    for (const limit of [1, 2, 3]) expect(await had(visits, '2024-01-01', limit)).toEqual(day);
    // What was answered before the turn is answered after it, with the new one before all of it.
    expect(day.slice(1)).toEqual(beforeTheTurn);
  });

  test('each of them names the event that proves it, in the shard that it is in', async () => {
    const [newest, ...older] = await had(visits, '2024-01-01');
    await expectIn(2024, newest?.event_id ?? '');
    for (const { event_id, decision_id } of older) {
      await expectIn(2023, event_id);
      expect((await eventOf(event_id)).subject_ids).toContain(decision_id);
    }
  });

  test('a request that is repeated after the turn is answered as it was, with the receipt of its shard', async () => {
    const again = await decide(visits, {}, 'old');
    expect(again.id).toBe(old?.id);
    expect(again.decision).toEqual({ ...old?.decision, index: again.decision.index });
    expect(again.decision.index).toBe((await eventOf(again.decision.event_id)).index);
    const { keys } = (await service.ask('GET', '/log/jwks.json')).body;
    const { payload } = await compactVerify(again.decision.receipt, await importJWK(keys[0]));
    expect(JSON.parse(Buffer.from(payload).toString())).toMatchObject({ iss: `${ORIGIN}/2023` });
  });

  test('a withdrawal of consent cuts off what was permitted in both shards, for the rules of the next answer', async () => {
    expect(answered.decision.effect).toBe('deny');
    expect(found.counts).toEqual({ ...NONE, total: 6, cut_off: 4, refused_before: 1, ended: 1 });
    expect(found.outcomes).toEqual(
      new Map([
        [old?.decision.id, 'cut_off'],
        [kigali?.decision.id, 'cut_off'],
        [fresh?.decision.id, 'cut_off'],
        [evaluation, 'cut_off'],
        [short?.decision.id, 'ended'],
        [spoilt?.decision.id, 'refused_before'],
      ]),
    );
    for (const { outcome, rules } of found.fell)
      if (outcome === 'cut_off') expect(rules).toEqual(answered.decision.deny);
  });

  test('what is found leads to the permit’s event in the old shard, and the run’s own to the new one', async () => {
    await expectIn(2024, withdrawal);
    await expectIn(2024, found.run.event_id);
    expect((await eventOf(found.run.event_id)).subject_ids).toContain(withdrawal);
    for (const decided of [old, kigali, short, spoilt]) {
      const path = `/v1/decisions/${decided?.decision.id}`;
      const { event_id } = (await good(service.ask('GET', path, AUDITOR))).body;
      await expectIn(2023, event_id);
    }
  });

  test('an agreement that changed on both sides of the turn is read as it was before each change', async () => {
    const back = await patch(`/v1/agreements/${agreement}`, { binding: true });
    const after = await cutOff(spoiling);
    expect(after.counts).toEqual({ ...NONE, total: 1, cut_off: 1 });
    expect(after.outcomes.get(spoilt?.decision.id ?? '')).toBe('cut_off');
    expect((await cutOff(back)).counts).toEqual({ ...NONE, total: 1, refused_before: 1 });
  });

  test('where a clock is behind, in the old year, the log says what was there before a change and what came after it', async () => {
    now = new Date('2023-12-31T23:00:00Z');
    const dataset = await newDataset('turn-behind');
    const path = `/v1/datasets/${dataset}`;
    const named = await newAgreement('agr-turn-behind');
    const terms = `/v1/agreements/${named}`;
    const asked = await permitted(dataset, { agreement: named });
    now = new Date('2024-01-01T00:10:00Z');
    await patch(terms, { binding: false });
    await patch(path, { permitted_purposes: ['academic_research'] }, STEWARD);
    now = new Date('2023-12-31T23:59:58Z');
    const titled = await patch(terms, { title: { en: 'Late' } });
    const described = await patch(path, { description: { en: 'Late' } }, STEWARD);
    now = new Date('2023-12-31T23:59:55Z');
    await patch(terms, { binding: true });
    await patch(path, { permitted_purposes: ['outbreak_forecasting'] }, STEWARD);
    now = new Date('2024-01-01T00:20:00Z');
    await caughtUp();
    for (const event of [titled, described]) {
      await expectIn(2024, event);
      expect((await cutOff(event)).outcomes.get(asked.decision.id)).toBe('refused_before');
    }
  });

  test('where a clock is ahead, what it permitted before a withdrawal is cut off by it', async () => {
    now = new Date('2023-12-31T23:00:00Z');
    const dataset = await newDataset('turn-ahead');
    now = new Date('2024-01-01T00:10:00Z');
    const asked = await permitted(dataset);
    const point = await evaluated(dataset);
    now = new Date('2023-12-31T23:59:58Z');
    const withdrawn = await say(dataset, 'p-2', 'withdrawn');
    now = new Date('2024-01-01T00:11:00Z');
    const consent = { model: 'individual', withdrawal_filterable: true };
    await patch(`/v1/datasets/${dataset}`, { consent }, STEWARD);
    const later = await permitted(dataset);
    await caughtUp();
    const { counts, outcomes } = await cutOff(withdrawn);
    expect(counts).toEqual({ ...NONE, total: 2, cut_off: 2 });
    expect([...outcomes.keys()].toSorted()).toEqual([asked.decision.id, point].toSorted());
    expect(outcomes.has(later.decision.id)).toBe(false);
  });

  test('a policy cuts off from its first day on where the pack is at home, whichever shard its event is in', async () => {
    await expectIn(2023, early);
    const first = await cutOff(early);
    expect(first.run.at).toBe(NEW_YEAR_IN_KIGALI);
    expect(first.counts).toMatchObject({ cut_off: 1, refused_before: 0, unknown: 0 });
    expect(first.run.rules).toEqual([{ rule: 'POLICY-OF-TURN-EARLY', count: 1 }]);
    await expectIn(2024, late);
    const second = await cutOff(late);
    expect(second.run.at).toBe((await eventOf(late)).time);
    expect(second.run.rules).toEqual([{ rule: 'POLICY-OF-TURN-LATE', count: 1 }]);
  });

  test('the same is found once the bodies of the old shard are gone', async () => {
    const day = await had(visits, '2024-01-01');
    now = RETENTION_HAS_PASSED;
    await until(async () => (await shards()).length === 3);
    const body = { scope: { shard: 2023 }, reason: 'purpose_fulfilled' };
    const asked = await good(service.ask('POST', '/v1/audit/erasures', { ...AUTHORITY, body }));
    const path = `/v1/audit/erasures/${asked.body.erasure.id}`;
    await good(service.ask('POST', `${path}/approve`, SECOND));
    await until(async () => (await service.ask('GET', path, AUTHORITY)).body.status === 'done');
    await caughtUp();
    expect((await eventOf(short?.decision.event_id ?? '')).body).toBeNull();
    expect(await had(visits, '2024-01-01')).toEqual(day);
    for (const { event_id } of day.slice(1)) await expectIn(2023, event_id);
    const again = await cutOff(withdrawal);
    expect(again.counts).toEqual(found.counts);
    expect(again.fell).toEqual(found.fell);
    expect((await cutOff(spoiling)).counts).toEqual({ ...NONE, total: 1, cut_off: 1 });
    await caughtUp();
    await expectIn(2025, again.run.event_id);
    expect(service.warnings).toEqual([]);
  });
});
