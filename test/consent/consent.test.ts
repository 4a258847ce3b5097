/** Consent: what people said, the totals of it, and what a decision makes of them. */

import fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';

const NOW = new Date('2026-10-15T09:00:00+02:00');
const PURPOSES = ['screening_model_training', 'academic_research'] as const;
const RBC = { role: 'steward', claims: { organisation: 'rbc' } } as const;

interface Statement {
  readonly purpose: string;
  readonly subject: string;
  readonly status: 'given' | 'refused' | 'withdrawn';
  readonly at: string;
  readonly by_parent: boolean;
  readonly covers_transfer_abroad: boolean;
}

let service: TestService;
let database: Client;
let made = 0;

beforeAll(async () => {
  service = await startTestService({ clock: () => NOW });
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await service[Symbol.asyncDispose]();
});

function keyOf({ purpose, subject }: Statement): string {
  return `${purpose} ${subject}`;
}

/** A dataset of its own, with the facts of the demo's screening images. */
async function newDataset(facts: Record<string, unknown> = {}): Promise<string> {
  const id = `consent-${made++}`;
  const { body: images } = await service.ask('GET', '/v1/datasets/rbc-cervical-images', RBC);
  const {
    version: _version,
    publisher: _publisher,
    created_at: _c,
    updated_at: _u,
    ...rest
  } = images;
  const body = { ...rest, ...facts, id, status: 'active' };
  const answer = await service.ask('POST', '/v1/datasets', { ...RBC, body });
  expect(answer).toMatchObject({ status: 201 });
  return id;
}

function statement(changes: Partial<Statement> = {}): Statement {
  return {
    purpose: PURPOSES[0],
    subject: 'p-1',
    status: 'given',
    at: '2026-10-01T08:00:00Z',
    by_parent: false,
    covers_transfer_abroad: false,
    ...changes,
  };
}

function say(dataset: string, body: unknown, ask: Ask = RBC): Promise<Answer> {
  return service.ask('POST', `/v1/datasets/${dataset}/consent-records`, { ...ask, body });
}

function sayAll(dataset: string, batch: readonly Statement[], ask: Ask = RBC): Promise<Answer> {
  const path = `/v1/datasets/${dataset}/consent-records/bulk`;
  return service.ask('POST', path, { ...ask, body: { records: batch } });
}

async function totals(dataset: string): Promise<Answer['body'][]> {
  const { body } = await service.ask('GET', `/v1/datasets/${dataset}/consent`, RBC);
  return body.purposes;
}

async function records(dataset: string): Promise<Statement[]> {
  const items: Statement[] = [];
  let cursor = '';
  do {
    const path = `/v1/datasets/${dataset}/consent-records?limit=200${cursor}`;
    const { body } = await service.ask('GET', path, RBC);
    for (const { recorded_at: _recorded, ...item } of body.items) items.push(item);
    cursor = body.next_cursor ? `&cursor=${body.next_cursor}` : '';
  } while (cursor);
  return items;
}

/** What the totals of these records are, counted one by one. */
function recount(kept: readonly Statement[], subjectCount: number): Record<string, unknown>[] {
  return [...new Set(kept.map(({ purpose }) => purpose))].toSorted().map((purpose) => {
    const own = kept.filter((each) => each.purpose === purpose);
    const count = (status: string): number => own.filter((each) => each.status === status).length;
    const given = own.filter(({ status }) => status === 'given');
    const [g, w] = [count('given'), count('withdrawn')];
    return {
      purpose,
      given: g,
      refused: count('refused'),
      withdrawn: w,
      by_parent: given.filter(({ by_parent }) => by_parent).length,
      coverage_pct: (100 * (g + w)) / subjectCount,
      transfer_abroad_covered: g > 0 && given.every((each) => each.covers_transfer_abroad),
    };
  });
}

async function counts(): Promise<unknown> {
  const { rows } = await database.query(
    `select (select count(*) from consent_record) as records, (select count(*) from audit_event) as events,
       (select md5(string_agg(t::text, '|' order by t::text)) from consent_total t) as totals`,
  );
  return rows;
}

/** `dataset.consent` as the stored decision has read it. */
async function consentOf(decision: { id: string }): Promise<unknown> {
  const { rows } = await database.query<{ document: string }>(
    'select whole_document(document) as document from decision where id = $1',
    [decision.id],
  );
  return JSON.parse(rows[0]?.document ?? '{}').facts.dataset.consent;
}

describe('totals', () => {
  const SUBJECTS = 8;
  const statements = fc.record({
    purpose: fc.constantFrom(...PURPOSES),
    subject: fc.integer({ min: 1, max: SUBJECTS }).map((n) => `p-${n}`),
    status: fc.constantFrom('given', 'refused', 'withdrawn'),
    at: fc
      .integer({ min: 1, max: 28 })
      .map((day) => `2026-09-${String(day).padStart(2, '0')}T08:00:00.000Z`),
    by_parent: fc.boolean(),
    covers_transfer_abroad: fc.boolean(),
  });

  test('equal a recount of the records after any sequence of statements, one by one and in bulk', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            statements.map((each) => [each]),
            fc.uniqueArray(statements, { minLength: 1, maxLength: 6, selector: keyOf }),
          ),
          { minLength: 1, maxLength: 10 },
        ),
        async (sequence) => {
          const dataset = await newDataset({ subject_count: SUBJECTS });
          const kept = new Map<string, Statement>();
          for (const batch of sequence) {
            const older = batch.some((each) => each.at < (kept.get(keyOf(each))?.at ?? ''));
            const [only] = batch;
            const answer = await (batch.length === 1 && only
              ? say(dataset, only)
              : sayAll(dataset, batch));
            // All of a bulk, or nothing of it.
            expect(answer.status).toBe(older ? 409 : 200);
            if (older) continue;
            for (const each of batch) kept.set(keyOf(each), each);
            expect(answer.body.recorded).toBe(batch.length);
          }
          const expected = [...kept.values()];
          expect(await totals(dataset)).toMatchObject(recount(expected, SUBJECTS));
          const sorted = expected.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
          expect(await records(dataset)).toEqual(sorted);
        },
      ),
      { numRuns: 25 },
    );
  });

  test('count a person who withdraws as covered and withdrawn, from the moment they applied', async () => {
    const dataset = await newDataset({ subject_count: 4 });
    await sayAll(
      dataset,
      ['a', 'b', 'c'].map((subject) => statement({ subject })),
    );
    await say(
      dataset,
      statement({ subject: 'a', status: 'withdrawn', at: '2026-10-12T16:20:00+02:00' }),
    );
    expect(await totals(dataset)).toEqual([
      expect.objectContaining({
        given: 2,
        withdrawn: 1,
        coverage_pct: 75,
        last_withdrawal_at: '2026-10-12T14:20:00.000Z',
      }),
    ]);
  });

  test('have no coverage while the number of people is unknown', async () => {
    const dataset = await newDataset({ subject_count: null });
    await say(dataset, statement());
    expect(await totals(dataset)).toMatchObject([{ given: 1, coverage_pct: null }]);
  });

  test('cover transfer abroad only while every valid consent does', async () => {
    const dataset = await newDataset({ subject_count: 2 });
    const covered = async (): Promise<boolean> =>
      (await totals(dataset))[0].transfer_abroad_covered;
    await say(dataset, statement({ subject: 'a', covers_transfer_abroad: true }));
    expect(await covered()).toBe(true);
    await say(dataset, statement({ subject: 'b' }));
    expect(await covered()).toBe(false);
    // Who withdraws has no valid consent any more.
    await say(
      dataset,
      statement({ subject: 'b', status: 'withdrawn', at: '2026-10-02T00:00:00Z' }),
    );
    expect(await covered()).toBe(true);
    await say(dataset, statement({ subject: 'a', status: 'refused', at: '2026-10-02T00:00:00Z' }));
    expect(await covered()).toBe(false);
  });

  test('stay right when many write to one dataset at once', async () => {
    const dataset = await newDataset({ subject_count: 40 });
    const writes = Array.from({ length: 60 }, (_, i) => {
      const batch = Array.from({ length: 5 }, (__, k) =>
        statement({
          subject: `p-${(i * 3 + k) % 40}`,
          status: (['given', 'refused', 'withdrawn'] as const)[(i + k) % 3] ?? 'given',
          by_parent: i % 2 === 0,
          covers_transfer_abroad: k % 2 === 0,
          purpose: PURPOSES[i % 2] ?? PURPOSES[0],
        }),
      );
      return sayAll(dataset, batch);
    });
    expect(new Set((await Promise.all(writes)).map(({ status }) => status))).toEqual(
      new Set([200]),
    );
    expect(await totals(dataset)).toMatchObject(recount(await records(dataset), 40));
  });

  test('of ten thousand statements in one call are right, and the call leaves one event', async () => {
    const dataset = await newDataset({ subject_count: 12_500 });
    const bulk = Array.from({ length: 10_000 }, (_, i) =>
      statement({
        subject: `p${i}`,
        status: i % 10 === 0 ? 'withdrawn' : 'given',
        covers_transfer_abroad: true,
      }),
    );
    const answer = await sayAll(dataset, bulk);
    expect(answer).toMatchObject({ status: 200, body: { recorded: 10_000 } });
    expect(await totals(dataset)).toMatchObject([
      {
        given: 9_000,
        withdrawn: 1_000,
        refused: 0,
        coverage_pct: 80,
        transfer_abroad_covered: true,
      },
    ]);
    const { rows } = await database.query(
      `select count(*)::int as n from audit_event where type = 'recordConsents' and subject_ids @> array[$1]`,
      [dataset],
    );
    expect(rows).toEqual([{ n: 1 }]);
    const one = await sayAll(dataset, [...bulk, statement({ subject: 'one-more' })]);
    expect(one.status).toBe(400);
  });
});

describe('a statement is refused, and nothing is written,', () => {
  test('when a later one of the same person is on record; in bulk it takes the others with it', async () => {
    const dataset = await newDataset();
    await say(dataset, statement({ at: '2026-10-05T00:00:00Z', status: 'withdrawn' }));
    const before = await counts();
    const alone = await say(dataset, statement({ at: '2026-10-04T23:59:59Z' }));
    expect([alone.status, alone.body.code, alone.body.errors[0].path]).toEqual([
      409,
      'older_than_recorded',
      '/at',
    ]);
    const bulk = await sayAll(dataset, [
      statement({ subject: 'p-2' }),
      statement({ at: '2026-10-04T23:59:59Z' }),
    ]);
    expect([bulk.status, bulk.body.errors]).toMatchObject([409, [{ path: '/records/1/at' }]]);
    expect(await counts()).toEqual(before);
  });

  test('when one bulk has a person twice for a purpose, or a moment that is to come', async () => {
    const dataset = await newDataset();
    const before = await counts();
    const twice = await sayAll(dataset, [statement(), statement({ status: 'refused' })]);
    expect([twice.status, twice.body.errors]).toMatchObject([
      400,
      [{ path: '/records/1/subject' }],
    ]);
    const future = await say(dataset, statement({ at: '2026-10-15T07:06:00Z' }));
    expect([future.status, future.body.errors]).toMatchObject([400, [{ path: '/at' }]]);
    expect((await say(dataset, statement({ subject: 'Jean Bosco' }))).status).toBe(400);
    expect((await say(dataset, statement({ at: '2026-02-30T00:00:00Z' }))).status).toBe(400);
    expect(await counts()).toEqual(before);
    // A clock that runs a little ahead is none.
    expect((await say(dataset, statement({ at: '2026-10-15T07:04:00Z' }))).status).toBe(200);
  });

  test('when it comes from another organisation, to whom the dataset has no consent at all', async () => {
    const dataset = await newDataset();
    const other = { role: 'steward', claims: { organisation: 'moh' } } as const;
    const hidden = await say(dataset, statement(), other);
    const missing = await say('no-such-dataset', statement(), other);
    expect(hidden.status).toBe(404);
    expect(hidden.text).toBe(missing.text);
    for (const path of ['consent', 'consent-records']) {
      expect((await service.ask('GET', `/v1/datasets/${dataset}/${path}`, other)).status).toBe(404);
      expect(
        (await service.ask('GET', `/v1/datasets/${dataset}/${path}`, { role: 'auditor' })).status,
      ).toBe(200);
    }
    expect((await say(dataset, statement(), { role: 'authority' })).status).toBe(403);
  });
});

describe('records are listed', () => {
  test('by purpose and status, each once, whatever the page', async () => {
    const dataset = await newDataset();
    await sayAll(
      dataset,
      Array.from({ length: 45 }, (_, i) =>
        statement({
          subject: `p-${i}`,
          purpose: PURPOSES[i % 2] ?? PURPOSES[0],
          status: i % 3 === 0 ? 'refused' : 'given',
        }),
      ),
    );
    const seen: string[] = [];
    const base = `/v1/datasets/${dataset}/consent-records?limit=4&status=given&purpose=${PURPOSES[1]}`;
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body }: Answer = await service.ask(
        'GET',
        cursor === '' ? base : `${base}&cursor=${cursor}`,
        RBC,
      );
      seen.push(...body.items.map(({ subject }: Statement) => subject));
      cursor = body.next_cursor;
    }
    expect(new Set(seen).size).toBe(seen.length);
    const expected = Array.from({ length: 45 }, (_, i) => i).filter(
      (i) => i % 2 === 1 && i % 3 !== 0,
    );
    expect(seen).toEqual(expected.map((i) => `p-${i}`).toSorted());
  });
});

describe('a decision', () => {
  const team = {
    role: 'partner',
    claims: { organisation: 'university-team', projects: ['cervical-screening'] },
  } as const;

  async function decide(dataset: string, purpose: string = PURPOSES[0]): Promise<Answer['body']> {
    const answer = await service.ask('POST', '/v1/access-requests', {
      ...team,
      body: {
        dataset,
        project: 'cervical-screening',
        agreement: 'agr-illus-04',
        role: 'joint_controller',
        purpose,
        locations: { storage: ['RW'], processing: ['RW'], access_from: ['RW'] },
        hosting: { operator_jurisdiction: 'RW' },
        recipients: [],
        onward_transfer: false,
        fields_scope: 'minimum',
        output: { type: 'statistics', release_to: ['RW'] },
        automated_decision: 'none',
      },
    });
    expect(answer).toMatchObject({ status: 201 });
    return answer.body.decision;
  }

  test('reads what the steward declared where there are no records', async () => {
    const dataset = await newDataset();
    const decision = await decide(dataset);
    expect(decision.effect).toBe('permit');
    expect(await consentOf(decision)).toMatchObject({ coverage_pct: 100, withdrawn_count: 312 });
  });

  test('reads the records as soon as there is one, whatever the steward declared', async () => {
    const dataset = await newDataset({ subject_count: 200 });
    await sayAll(dataset, [
      statement({ subject: 'a', covers_transfer_abroad: true }),
      statement({ subject: 'b', status: 'withdrawn', at: '2026-10-10T10:00:00Z' }),
      statement({ subject: 'c', status: 'refused' }),
    ]);
    const decision = await decide(dataset);
    expect(await consentOf(decision)).toEqual({
      model: 'individual',
      withdrawal_filterable: true,
      purposes: [PURPOSES[0]],
      coverage_pct: 1,
      withdrawn_count: 1,
      last_withdrawal_at: '2026-10-10T10:00:00.000Z',
      transfer_abroad_covered: true,
    });
    const rules = decision.obligations.map(({ rule }: { rule: string }) => rule);
    expect(rules).toEqual(expect.arrayContaining(['RW-DPP-WITHDRAW', 'OBL-EXCLUDE-UNCOVERED']));
    const reason = decision.reasons.find(
      ({ rule }: { rule: string }) => rule === 'OBL-EXCLUDE-UNCOVERED',
    );
    expect(reason.facts).toContainEqual({
      fact: 'dataset.consent.coverage_pct',
      value: 1,
      source: 'register',
    });
  });

  test('denies a purpose that nobody consented to, though the steward declared it', async () => {
    const dataset = await newDataset({ permitted_purposes: ['any'] });
    await say(dataset, statement({ purpose: PURPOSES[1] }));
    const decision = await decide(dataset, PURPOSES[0]);
    expect(decision.deny).toEqual(['RW-DPP-CONSENT']);
    expect(await consentOf(decision)).toMatchObject({
      purposes: [PURPOSES[1]],
      coverage_pct: 0,
      withdrawn_count: 0,
    });
  });

  test('counts each purpose by itself', async () => {
    const dataset = await newDataset({ subject_count: 10, permitted_purposes: ['any'] });
    await sayAll(dataset, [
      ...['a', 'b', 'c', 'd', 'e'].map((subject) => statement({ subject })),
      statement({ subject: 'a', purpose: PURPOSES[1], covers_transfer_abroad: true }),
    ]);
    const [first, second] = [
      await decide(dataset, PURPOSES[0]),
      await decide(dataset, PURPOSES[1]),
    ];
    expect(await consentOf(first)).toMatchObject({
      coverage_pct: 50,
      transfer_abroad_covered: false,
    });
    expect(await consentOf(second)).toMatchObject({
      coverage_pct: 10,
      transfer_abroad_covered: true,
    });
  });

  test('denies from the moment that the last person withdraws', async () => {
    const dataset = await newDataset({ subject_count: 1 });
    await say(dataset, statement());
    expect((await decide(dataset)).effect).toBe('permit');
    await say(dataset, statement({ status: 'withdrawn', at: '2026-10-14T00:00:00Z' }));
    expect((await decide(dataset)).deny).toEqual(['RW-DPP-CONSENT']);
  });
});

describe('the record', () => {
  test('has no pseudonym of anybody, neither in leaves nor in the bodies beside them', async () => {
    const dataset = await newDataset();
    const subject = 'pseudonym-4711-zebra';
    await say(dataset, statement({ subject }));
    await sayAll(dataset, [
      statement({ subject, status: 'withdrawn', at: '2026-10-03T00:00:00Z' }),
    ]);
    expect(await records(dataset)).toHaveLength(1);
    const { rows } = await database.query(
      `select event_id from audit_event
       where position(convert_to($1, 'UTF8') in leaf) > 0 or position(convert_to($1, 'UTF8') in body) > 0
         or subject_ids::text like '%' || $1 || '%'`,
      [subject],
    );
    expect(rows).toEqual([]);
  });

  test('says how many statements of which kind, and binds them by a digest', async () => {
    const dataset = await newDataset();
    const { body } = await sayAll(dataset, [
      statement(),
      statement({ subject: 'p-2', status: 'refused' }),
    ]);
    const event = await service.ask('GET', `/v1/audit/events/${body.event_id}`, {
      role: 'auditor',
    });
    expect(event.body).toMatchObject({
      type: 'recordConsents',
      subject_ids: [dataset],
      role: 'steward',
    });
    expect(event.body.body).toMatchObject({
      dataset,
      purposes: [PURPOSES[0]],
      records: 2,
      statuses: { given: 1, refused: 1 },
      records_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });
});
