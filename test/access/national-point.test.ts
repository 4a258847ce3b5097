/** The nation's policies as an AuthZEN decision point: what it answers, what it records, what it finds. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StoredDecision } from '../../src/access/decision.ts';
import { bodyOf } from '../../src/audit/event.ts';
import { sha256 } from '../../src/ids.ts';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';

const ROOT = join(import.meta.dirname, '../..');

interface DemoRequest extends Record<string, unknown> {
  readonly scenario: string;
  readonly dataset: string;
  readonly project: string;
}
const demo = JSON.parse(readFileSync(join(ROOT, 'demo/scenarios.json'), 'utf8')) as {
  requests: DemoRequest[];
  projects: { id: string; organisation: string }[];
};

const ORIGIN = 'https://data.example';
let now = new Date('2026-10-15T09:00:00+02:00');
let service: TestService;
let database: Client;

beforeAll(async () => {
  service = await startTestService({
    clock: () => (now = new Date(now.getTime() + 1)),
    config: { publicUrl: ORIGIN },
  });
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await service[Symbol.asyncDispose]();
});

function partnerOf(project: string): Pick<Ask, 'role' | 'claims'> {
  const organisation = demo.projects.find(({ id }) => id === project)?.organisation;
  return { role: 'partner', claims: { organisation, projects: [project], subject: project } };
}

/** Two decisions are never of the same instant. */
function withoutInstants(reasons: unknown): unknown {
  return JSON.parse(JSON.stringify(reasons).replaceAll(/"\d{4}-\d\d-\d\dT[^"]*Z"/g, '"then"'));
}

/** A request of the demo as an AuthZEN question; purpose and output are the action's. */
function questionOf({ scenario: _scenario, dataset, project, ...request }: DemoRequest) {
  const { action = 'use', purpose, output, ...context } = request;
  return {
    subject: { type: 'project', id: project },
    action: { name: String(action), properties: { purpose, output } },
    resource: { type: 'dataset', id: dataset },
    context: context as Record<string, unknown>,
  };
}

function evaluate(request: DemoRequest, options = {}): Promise<Answer> {
  const body = { ...questionOf(request), options };
  return service.ask('POST', '/access/v1/evaluation', { ...partnerOf(request.project), body });
}

async function events(type: string): Promise<{ outcome: string; body: Record<string, unknown> }[]> {
  const { rows } = await database.query<{ outcome: string; body: Buffer; disclosures: string }>(
    'select outcome, body, disclosures from audit_event where type = $1 order by event_id',
    [type],
  );
  return rows.map(({ outcome, ...row }) => ({ outcome, body: bodyOf(row) }));
}

describe('an evaluation', () => {
  test.each(demo.requests.map((each) => [each.scenario, each] as const))(
    '%s is answered as the access request is, and is a decision of its own',
    async (_scenario, request) => {
      const { scenario: _name, ...body } = request;
      const as = partnerOf(request.project);
      const submitted = await service.ask('POST', '/v1/access-requests', { ...as, body });
      const answer = await evaluate(request, { explain: true });
      expect(answer.status, answer.text).toBe(200);
      const { decision } = submitted.body;
      const { context } = answer.body;
      expect(answer.body.decision).toBe(decision.effect === 'permit');
      expect(context.outcome).toBe(decision.effect);
      expect(withoutInstants(context.reasons)).toEqual(withoutInstants(decision.reasons));
      expect(context.missing_facts).toEqual(decision.missing_facts);
      expect(context.access_request !== undefined).toBe(decision.effect === 'review');
      const replay = await service.ask('GET', `/v1/decisions/${context.evaluation_id}/replay`, {
        role: 'auditor',
      });
      expect(replay.body, replay.text).toMatchObject({ same: true });
      const event = await service.ask('GET', `/v1/audit/events/${context.event_id}`, {
        role: 'auditor',
      });
      expect(event.body).toMatchObject({ type: 'evaluateAccess', outcome: decision.effect });
    },
  );

  test('says nothing more than it must where nobody asks why', async () => {
    for (const request of demo.requests) {
      // oxlint-disable-next-line no-await-in-loop
      const { body } = await evaluate(request);
      const allowed = ['outcome', 'evaluation_id', 'evaluated_at', 'access_request', 'obligations'];
      const names = Object.keys(body.context ?? {});
      expect(names.filter((name) => !allowed.includes(name))).toEqual([]);
      if (!body.decision && !names.includes('access_request'))
        expect(body).toEqual({ decision: false });
    }
  });
});

/** The demo's first request that is answered so. */
async function requestThatIs(effect: string): Promise<DemoRequest> {
  for (const request of demo.requests) {
    // oxlint-disable-next-line no-await-in-loop -- until one is found
    const { body } = await evaluate(request, { explain: true });
    if (body.context.outcome === effect) return request;
  }
  throw new Error(`no demo request is answered with ${effect}`);
}

describe('what a caller says of what registers know', () => {
  test('changes nothing, and the explanation and the record name it', async () => {
    const request = await requestThatIs('deny');
    const plain = await evaluate(request, { explain: true });
    const question = questionOf(request);
    const body = {
      ...question,
      subject: { ...question.subject, properties: { country: 'RW', name: 'x' } },
      resource: {
        ...question.resource,
        properties: { classification: 'public', personal_data: 'none', constructor: 1 },
      },
      context: {
        ...question.context,
        sector: 'health',
        as_of: '2020-01-01T00:00:00Z',
        ethics_approval: { valid_until: '2099-01-01' },
        time: '2025-06-27T18:03-07:00',
        __proto__: { role: 'controller' },
      },
      options: { explain: true },
    };
    const answer = await service.ask('POST', '/access/v1/evaluation', {
      ...partnerOf(request.project),
      body,
    });
    const { reasons, ignored_attributes } = answer.body.context;
    expect(withoutInstants(reasons)).toEqual(withoutInstants(plain.body.context.reasons));
    const names = ignored_attributes.map(({ attribute }: { attribute: string }) => attribute);
    expect(names.toSorted()).toEqual([
      'dataset.classification',
      'dataset.personal_data',
      'request.as_of',
      'request.ethics_approval',
      'request.requester.country',
      'request.requester.name',
      'request.sector',
    ]);
    expect(
      ignored_attributes.find(
        ({ attribute }: { attribute: string }) => attribute === 'request.as_of',
      ),
    ).toEqual({ attribute: 'request.as_of', differs: true });
    const last = (await events('evaluateAccess')).at(-1);
    expect(last?.body['ignored_facts']).toEqual(expect.arrayContaining(['dataset.classification']));
  });

  test('what carries on is in the record: activity, algorithm and trace, and nothing that is none', async () => {
    const request = await requestThatIs('permit');
    const question = questionOf(request);
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const send = (properties: object, context: object) =>
      service.ask('POST', '/access/v1/evaluation', {
        ...partnerOf(request.project),
        body: {
          ...question,
          action: {
            ...question.action,
            properties: { ...question.action.properties, ...properties },
          },
          context: { ...question.context, ...context },
        },
      });
    await send(
      {
        processing_activity_id: 'https://register.example/activities/7',
        algorithm_id: 'https://algorithms.example/a/1',
      },
      { traceparent },
    );
    expect((await events('evaluateAccess')).at(-1)?.body).toMatchObject({
      processing_activity_id: 'https://register.example/activities/7',
      algorithm_id: 'https://algorithms.example/a/1',
      traceparent,
    });
    await send({ processing_activity_id: 'no URI', algorithm_id: 7 }, { traceparent: '00-0-0-0' });
    const { body = {} } = (await events('evaluateAccess')).at(-1) ?? {};
    for (const name of ['processing_activity_id', 'algorithm_id', 'traceparent'])
      expect(body).not.toHaveProperty(name);
  });

  test('impossible values are a 400 that says where; purpose may be left out and is then missing', async () => {
    const request = await requestThatIs('permit');
    const question = questionOf(request);
    const as = partnerOf(request.project);
    const wrong = { ...question, context: { ...question.context, locations: { storage: ['XX'] } } };
    const refused = await service.ask('POST', '/access/v1/evaluation', { ...as, body: wrong });
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_facts' } });
    const silent = {
      ...question,
      action: { name: 'use' },
      options: { explain: true },
    };
    const answer = await service.ask('POST', '/access/v1/evaluation', { ...as, body: silent });
    expect(answer.body.decision).toBe(false);
    expect(answer.body.context.missing_facts).not.toEqual([]);
  });
});

describe('what is not there for the caller', () => {
  test('is answered no, the same whether it is hidden or not there, and is on the record', async () => {
    const [mine, other] = demo.projects;
    const question = questionOf(demo.requests[0] as DemoRequest);
    const as = partnerOf(mine?.id ?? '');
    const before = (await events('evaluateAccess')).length;
    const ids = [other?.id, 'no-such-project', '../etc', '__proto__', ''];
    const answers = [];
    for (const id of ids) {
      const body = { ...question, subject: { type: 'project', id } };
      // oxlint-disable-next-line no-await-in-loop
      const answer = await service.ask('POST', '/access/v1/evaluation', { ...as, body });
      const { evaluation_id, ...context } = answer.body.context;
      expect(evaluation_id).toMatch(/^[0-9a-f-]{36}$/);
      answers.push({ ...answer.body, context });
    }
    for (const answer of answers)
      expect(answer).toEqual({
        decision: false,
        context: {
          error: { status: 404, message: 'The request names something that does not exist.' },
        },
      });
    const logged = (await events('evaluateAccess')).slice(before);
    expect(logged.map(({ outcome }) => outcome)).toEqual(ids.map(() => 'deny'));
  });

  test('a subject that is no project, a resource that is no dataset', async () => {
    const question = questionOf(demo.requests[0] as DemoRequest);
    const as = partnerOf(demo.requests[0]?.project ?? '');
    for (const change of [
      { subject: { type: 'user', id: 'alice' } },
      { resource: { type: 'record', id: 'record-1' } },
    ]) {
      const body = { ...question, ...change };
      // oxlint-disable-next-line no-await-in-loop
      const answer = await service.ask('POST', '/access/v1/evaluation', { ...as, body });
      expect(answer.body).toMatchObject({ decision: false, context: { error: { status: 404 } } });
    }
  });

  test("a dataset's holder asks for anybody's project; the holder of another dataset does not", async () => {
    const request = await requestThatIs('permit');
    const { rows } = await database.query<{ publisher: string }>(
      'select publisher from dataset where id = $1',
      [request.dataset],
    );
    const ask = (organisation: string) =>
      service.ask('POST', '/access/v1/evaluation', {
        role: 'holder',
        claims: { organisation },
        body: questionOf(request),
      });
    expect((await ask(rows[0]?.publisher ?? '')).body.decision).toBe(true);
    expect((await ask('another-holder')).body.context.error.status).toBe(404);
  });
});

describe('several evaluations', () => {
  const AUTHORITY = { role: 'authority' } as const;
  const AUDITOR = { role: 'auditor' } as const;

  interface Recorded {
    readonly event_id: string;
    readonly outcome: string;
    readonly subject_ids: string[];
    readonly leaf: Buffer;
    readonly body: Record<string, unknown> & { readonly decisions: Record<string, unknown>[] };
  }

  /** What `work` answers, and the events that it leaves, whose type is `evaluateAccesses`. */
  async function logged(work: () => Promise<Answer>): Promise<[Answer, Recorded[]]> {
    const { rows: before } = await database.query('select event_id from audit_event');
    const answer = await work();
    const { rows } = await database.query<
      Omit<Recorded, 'body'> & { body: Buffer; disclosures: string }
    >(
      `select event_id, outcome, subject_ids, leaf, body, disclosures from audit_event
       where type = 'evaluateAccesses' and event_id <> all($1) order by event_id`,
      [before.map(({ event_id }: { event_id: string }) => event_id)],
    );
    return [answer, rows.map((row) => ({ ...row, body: bodyOf(row) as Recorded['body'] }))];
  }

  /** A decision as it is stored, by its id. */
  async function storedOf(id: unknown) {
    const { rows } = await database.query<{
      event_id: string;
      dataset: string;
      project: string;
      document: string;
    }>(
      'select event_id, dataset, project, whole_document(document) as document from decision where id = $1',
      [id],
    );
    const [row] = rows;
    if (!row) throw new Error(`no decision ${String(id)}`);
    return { ...row, stored: JSON.parse(row.document) as StoredDecision };
  }

  /** What evaluations say, without what is of each alone. */
  const told = (answers: readonly Answer['body'][]) =>
    answers.map(({ decision, context }) => {
      const { evaluation_id, evaluated_at, event_id, access_request, ...same } = context;
      expect([evaluation_id, evaluated_at, event_id]).not.toContain(undefined);
      return { decision, review: access_request?.endpoint, same: withoutInstants(same) };
    });

  test('are answered as each is alone, and those that are alike are in one event', async () => {
    const alone = [];
    for (const request of demo.requests) {
      const body = { ...questionOf(request), options: { explain: true } };
      // oxlint-disable-next-line no-await-in-loop
      alone.push(await service.ask('POST', '/access/v1/evaluation', { ...AUTHORITY, body }));
    }
    const evaluations = [...demo.requests, ...demo.requests].map((each) => questionOf(each));
    const [answer, recorded] = await logged(() =>
      service.ask('POST', '/access/v1/evaluations', {
        ...AUTHORITY,
        body: { evaluations, options: { explain: true } },
      }),
    );
    const once = told(alone.map(({ body }) => body));
    expect(told(answer.body.evaluations)).toEqual([...once, ...once]);

    const likeness = new Set<string>();
    const named: unknown[] = [];
    for (const { event_id, outcome, subject_ids, body } of recorded) {
      const { decisions, deny, review, obligations } = body;
      const datasets = new Set(decisions.map(({ dataset }) => dataset));
      const ids = decisions.map(({ decision }) => decision);
      named.push(...ids);
      for (const { decision, decision_sha256, dataset } of decisions) {
        // oxlint-disable-next-line no-await-in-loop
        const { document, stored, ...row } = await storedOf(decision);
        expect(row).toMatchObject({ event_id, dataset });
        expect(sha256(document)).toBe(decision_sha256);
        expect(stored).toMatchObject({ effect: outcome, deny, review, obligations });
        expect(subject_ids).toEqual([...ids, ...datasets, row.project]);
        likeness.add(JSON.stringify([row.project, outcome, deny, review, obligations]));
        // oxlint-disable-next-line no-await-in-loop
        const replay = await service.ask(
          'GET',
          `/v1/decisions/${String(decision)}/replay`,
          AUDITOR,
        );
        expect(replay.body, replay.text).toMatchObject({ same: true, event_id });
      }
    }
    const given = answer.body.evaluations.map(
      ({ context }: { context: { evaluation_id: string } }) => context.evaluation_id,
    );
    expect(named).toHaveLength(given.length);
    expect(new Set(named)).toEqual(new Set(given));
    expect(recorded).toHaveLength(likeness.size);
  });

  test('that share what is asked are answered as each is alone, whatever the registers say of their datasets', async () => {
    const { rows } = await database.query<{ id: string }>(
      "select id from dataset where status = 'active' order by id",
    );
    const ids = rows.map(({ id }) => id);
    const request = await requestThatIs('permit');
    const { resource: _resource, ...shared } = questionOf(request);
    // What is authorised for one dataset is said of that one and of no other.
    await database.query(
      `insert into authorisation (id, version, kind, project, dataset, fields, revoked, created_at, updated_at)
       values ('of-one', 1, 'ethics_approval', $1, $2, '{"body": "of one"}', false, now(), now())`,
      [request.project, ids[40]],
    );
    const options = { explain: true };
    const as = partnerOf(request.project);
    const alone: Answer['body'][] = [];
    for (const id of ids) {
      const body = { ...shared, resource: { type: 'dataset', id }, options };
      // oxlint-disable-next-line no-await-in-loop
      alone.push((await service.ask('POST', '/access/v1/evaluation', { ...as, body })).body);
    }
    const twice = [...ids.slice(30, 50), ...ids, ...ids.slice(35, 45)];
    const evaluations = twice.map((id) => ({ resource: { type: 'dataset', id } }));
    const { body } = await service.ask('POST', '/access/v1/evaluations', {
      ...as,
      body: { ...shared, evaluations, options },
    });
    const once = told(alone);
    expect(told(body.evaluations)).toEqual([...once.slice(30, 50), ...once, ...once.slice(35, 45)]);
    const ethics = async (i: number) => {
      const { stored } = await storedOf(body.evaluations[i].context.evaluation_id);
      return (stored.facts.request as { ethics_approval?: { body?: string } }).ethics_approval
        ?.body;
    };
    expect([await ethics(9), await ethics(10), await ethics(11)]).toEqual([
      undefined,
      'of one',
      undefined,
    ]);
    for (const { context } of body.evaluations) {
      const path = `/v1/decisions/${context.evaluation_id}/replay`;
      // oxlint-disable-next-line no-await-in-loop
      expect((await service.ask('GET', path, AUDITOR)).body).toMatchObject({ same: true });
    }
    await database.query("update authorisation set revoked = true where id = 'of-one'");
  });

  test("a dataset's holder asks for anybody's project among others, and of other datasets does not", async () => {
    const request = await requestThatIs('permit');
    const { rows } = await database.query<{ publisher: string; other: string }>(
      `select publisher, (select id from dataset o where o.publisher <> d.publisher and status = 'active' limit 1) as other
       from dataset d where id = $1`,
      [request.dataset],
    );
    const { resource, ...shared } = questionOf(request);
    const other = { ...resource, id: rows[0]?.other };
    const { body } = await service.ask('POST', '/access/v1/evaluations', {
      role: 'holder',
      claims: { organisation: rows[0]?.publisher },
      body: {
        ...shared,
        evaluations: [resource, other, resource, other].map((each) => ({ resource: each })),
      },
    });
    const seen = body.evaluations.map(
      (each: Answer['body']) => each.context?.error?.status ?? each.decision,
    );
    expect(seen).toEqual([true, 404, true, 404]);
  });

  test('of more than a hundred are in several events, each small enough for the log', async () => {
    const { rows } = await database.query<{ id: string }>(
      "select id from dataset where status = 'active' order by id",
    );
    const request = await requestThatIs('deny');
    const { resource: _resource, ...shared } = questionOf(request);
    const evaluations = Array.from({ length: 430 }, (_, i) => {
      if (i % 50 === 7) return { resource: { type: 'dataset', id: `none-${i}` } };
      if (i % 50 === 9) return { resource: { type: 'dataset' } };
      if (i % 50 === 11)
        return {
          action: { name: 'use', properties: { purpose: 'any' } },
          resource: { type: 'dataset', id: rows[0]?.id },
        };
      return { resource: { type: 'dataset', id: rows[i % rows.length]?.id } };
    });
    const [answer, recorded] = await logged(() =>
      service.ask('POST', '/access/v1/evaluations', {
        ...partnerOf(request.project),
        body: { ...shared, evaluations, options: { explain: true } },
      }),
    );
    expect(answer.body.evaluations).toHaveLength(evaluations.length);
    const decided = new Map<unknown, string>();
    for (const [i, { decision, context }] of answer.body.evaluations.entries()) {
      const status = { 7: 404, 9: 400, 11: 400 }[i % 50];
      if (status !== undefined)
        expect({ decision, context }).toMatchObject({
          decision: false,
          context: { error: { status } },
        });
      else decided.set(context.evaluation_id, rows[i % rows.length]?.id ?? '');
    }
    const [unknown, others] = [
      recorded.filter(({ body }) => body['error'] !== undefined),
      recorded.filter(({ body }) => body['error'] === undefined),
    ];
    const named = others.flatMap(({ body: { decisions } }) =>
      decisions.map(({ decision, dataset }) => [decision, dataset] as const),
    );
    expect(new Map(named)).toEqual(decided);
    expect(named).toHaveLength(decided.size);
    for (const { leaf, body } of others) {
      expect(body.decisions.length).toBeLessThanOrEqual(100);
      expect(leaf.length).toBeLessThan(65_536);
    }
    const asked = evaluations.flatMap(({ resource }, i) => (i % 50 === 7 ? [resource] : []));
    expect(unknown).toMatchObject([
      {
        outcome: 'deny',
        body: { error: 'unknown_reference', questions: asked.map((resource) => ({ resource })) },
      },
    ]);
    expect(unknown[0]?.subject_ids).toHaveLength(asked.length);
  });

  test('about what is not there, with names of any length, leave a record that can be read', async () => {
    const [mine] = demo.projects;
    const { subject, ...shared } = questionOf(demo.requests[0] as DemoRequest);
    const long = 'é\u{1F600}'.repeat(150_000);
    const [answer, recorded] = await logged(() =>
      service.ask('POST', '/access/v1/evaluations', {
        ...partnerOf(mine?.id ?? ''),
        body: {
          ...shared,
          subject: { ...subject, id: long },
          evaluations: Array.from({ length: 230 }, () => ({})),
        },
      }),
    );
    const statuses = answer.body.evaluations.map(
      ({ context }: Answer['body']) => context.error.status,
    );
    expect(statuses).toEqual(Array(230).fill(404));
    const ids = answer.body.evaluations.map(({ context }: Answer['body']) => context.evaluation_id);
    expect(recorded.map(({ subject_ids }) => subject_ids.length)).toEqual([100, 100, 30]);
    expect(recorded.flatMap(({ subject_ids }) => subject_ids)).toEqual(ids);
    for (const { event_id, leaf } of recorded) {
      expect(leaf.length).toBeLessThan(65_536);
      // oxlint-disable-next-line no-await-in-loop
      const event = await service.ask('GET', `/v1/audit/events/${event_id}`, AUDITOR);
      expect(event.status).toBe(200);
      expect(event.text.length).toBeLessThan(200_000);
      const { value } = event.body.values.find(
        ({ path }: { path: string }) => path === '/questions',
      );
      // Not half a character.
      expect(value[0].subject.id).toBe(long.slice(0, 200).toWellFormed());
    }
  });

  test('of more than may wait, those are refused that are not decided, and no others', async () => {
    const request = await requestThatIs('deny');
    const { resource, ...shared } = questionOf(request);
    const count = async (): Promise<number> => {
      const { rows } = await database.query<{ many: number }>(
        'select count(*)::int as many from decision',
      );
      return rows[0]?.many ?? 0;
    };
    const before = await count();
    const body = {
      ...shared,
      evaluations: Array.from({ length: 950 }, () => ({ resource })),
      options: { explain: true },
    };
    const answers = await Promise.all(
      Array.from({ length: 12 }, () =>
        service.ask('POST', '/access/v1/evaluations', { ...partnerOf(request.project), body }),
      ),
    );
    let [decided, refused] = [0, 0];
    for (const { status, body: said } of answers) {
      if (status === 200) {
        const items = said.evaluations as { context: { error?: { status: number } } }[];
        const errors = items.flatMap(({ context }) => context.error?.status ?? []);
        expect(errors).toEqual(errors.map(() => 503));
        expect(errors.length).toBeLessThan(items.length);
        decided += items.length - errors.length;
        refused += errors.length;
      } else {
        expect([status, said.code]).toEqual([503, 'unavailable']);
        refused += body.evaluations.length;
      }
    }
    expect((await count()) - before).toBe(decided);
    expect([decided > 0, refused > 0]).toEqual([true, true]);
  });

  test('that say much are refused one by one: it would be kept for each', async () => {
    const request = await requestThatIs('permit');
    const { resource, ...shared } = questionOf(request);
    const recipients = Array.from({ length: 25 }, (_, i) => ({
      name: `${i}`.padEnd(1_000, 'x'),
      role: 'processor',
      country: 'RW',
    }));
    const { body } = await service.ask('POST', '/access/v1/evaluations', {
      ...partnerOf(request.project),
      body: {
        ...shared,
        resource,
        evaluations: [{}, { context: { ...shared.context, recipients } }, {}],
      },
    });
    const [first, second, third] = body.evaluations;
    expect([first.decision, third.decision]).toEqual([true, true]);
    expect(second).toMatchObject({ decision: false, context: { error: { status: 413 } } });
  });

  test('are found by what one of them has: dataset, effect and rule together', async () => {
    const evaluations = demo.requests.map((each) => questionOf(each));
    const [{ body }] = await logged(() =>
      service.ask('POST', '/access/v1/evaluations', { ...AUTHORITY, body: { evaluations } }),
    );
    expect(body.evaluations).toHaveLength(demo.requests.length);
    await until(async () => {
      const { rows } = await database.query('select from audit_pending limit 1');
      return rows.length === 0;
    });
    const { rows } = await database.query<{
      event_id: string;
      outcome: string;
      dataset: string;
      document: string;
    }>(
      `select e.event_id, e.outcome, d.dataset, d.document from decision d join audit_event e using (event_id)
       where e.type = 'evaluateAccesses'`,
    );
    const [datasets, rules] = [new Set<string>(), new Set<string>()];
    const has = new Map<string, Set<string>>();
    for (const { event_id, outcome, dataset, document } of rows) {
      const { deny, review, obligations } = JSON.parse(document) as StoredDecision;
      datasets.add(dataset);
      for (const rule of [...deny, ...review, ...obligations]) {
        rules.add(rule);
        const key = `${dataset} ${outcome} ${rule}`;
        has.set(key, (has.get(key) ?? new Set()).add(event_id));
      }
    }
    const some = <T>(all: Iterable<T>): T[] => [...all].filter((_, i) => i % 3 === 0);
    for (const dataset of some(datasets)) {
      for (const rule of some(rules)) {
        for (const effect of ['permit', 'deny', 'review']) {
          const query = new URLSearchParams({
            dataset,
            rule,
            effect,
            type: 'evaluateAccesses',
            limit: '100',
          });
          // oxlint-disable-next-line no-await-in-loop
          const found = await service.ask('GET', `/v1/audit/search?${query.toString()}`, AUDITOR);
          const ids = found.body.items.map(({ event_id }: { event_id: string }) => event_id);
          expect(new Set(ids)).toEqual(has.get(`${dataset} ${effect} ${rule}`) ?? new Set());
        }
      }
    }
  });

  test('of a project are read by its partner, in the record too', async () => {
    const request = await requestThatIs('deny');
    const [{ body }] = await logged(() =>
      service.ask('POST', '/access/v1/evaluations', {
        ...partnerOf(request.project),
        body: {
          evaluations: [questionOf(request), questionOf(request)],
          options: { explain: true },
        },
      }),
    );
    const [first, second] = body.evaluations;
    expect(first.context.event_id).toBe(second.context.event_id);
    const path = `/v1/audit/events/${first.context.event_id}`;
    expect((await service.ask('GET', path, partnerOf(request.project))).status).toBe(200);
    const stranger = demo.projects.find(({ id }) => id !== request.project)?.id ?? '';
    expect((await service.ask('GET', path, partnerOf(stranger))).status).toBe(404);
    const subject = second.context.evaluation_id;
    const found = await service.ask('GET', `/v1/audit/events?subject=${subject}`, AUDITOR);
    expect(found.body.items).toMatchObject([{ event_id: first.context.event_id }]);
  });

  test('after the one that ends the batch nothing is decided, and nothing is on the record', async () => {
    const yes = await requestThatIs('permit');
    const no = demo.requests.find(({ scenario }) => scenario !== yes.scenario) as DemoRequest;
    const { subject, context } = questionOf(yes);
    const other = { resource: { type: 'dataset', id: 'no-such-dataset' } };
    const before = (await events('evaluateAccess')).length;
    const { action, resource } = questionOf(yes);
    const answer = await service.ask('POST', '/access/v1/evaluations', {
      ...partnerOf(yes.project),
      body: {
        subject,
        context,
        action,
        options: { evaluations_semantic: 'deny_on_first_deny' },
        evaluations: [{ resource }, other, { resource }, { resource: questionOf(no).resource }],
      },
    });
    expect(answer.body.evaluations.map(({ decision }: { decision: boolean }) => decision)).toEqual([
      true,
      false,
    ]);
    expect((await events('evaluateAccess')).length - before).toBe(2);
  });

  test('items that are no questions are answered one by one', async () => {
    const request = await requestThatIs('permit');
    const answer = await service.ask('POST', '/access/v1/evaluations', {
      ...partnerOf(request.project),
      body: {
        ...questionOf(request),
        evaluations: [{}, 7, null, { subject: 'x' }, { action: { name: 1 } }, { context: [] }],
      },
    });
    expect(answer.status).toBe(200);
    const [first, ...rest] = answer.body.evaluations;
    expect(first.decision).toBe(true);
    for (const item of rest)
      expect(item).toMatchObject({ decision: false, context: { error: { status: 400 } } });
  });
});

describe('a search', () => {
  test('of datasets finds those that an evaluation permits, no other, page by page', async () => {
    const ids = (
      await database.query<{ id: string }>("select id from dataset where status = 'active'")
    ).rows;
    for (const request of demo.requests.slice(0, 6)) {
      const question = questionOf(request);
      const as = partnerOf(request.project);
      // oxlint-disable no-await-in-loop
      const batch = await service.ask('POST', '/access/v1/evaluations', {
        ...as,
        body: {
          ...question,
          evaluations: ids.map(({ id }) => ({ resource: { type: 'dataset', id } })),
        },
      });
      const permitted = ids
        .filter((_id, i) => batch.body.evaluations[i].decision)
        .map(({ id }) => id);
      const before = (await events('searchResources')).length;
      const found: string[] = [];
      let page: object = { limit: 2 };
      let pages = 0;
      for (;;) {
        const answer = await service.ask('POST', '/access/v1/search/resource', {
          ...as,
          body: { ...question, resource: { type: 'dataset' }, page },
        });
        expect(answer.status, answer.text).toBe(200);
        found.push(...answer.body.results.map(({ id }: { id: string }) => id));
        pages++;
        const { next_token } = answer.body.page;
        if (next_token === '') break;
        page = { token: next_token };
      }
      // oxlint-enable no-await-in-loop
      expect(found.toSorted(), request.scenario).toEqual(permitted.toSorted());
      const logged = (await events('searchResources')).slice(before);
      expect(logged).toHaveLength(pages);
      expect(logged.reduce((sum, { body }) => sum + Number(body['count']), 0)).toBe(found.length);
    }
  });

  test('of projects and of actions finds those that an evaluation permits', async () => {
    const request = await requestThatIs('permit');
    const question = questionOf(request);
    const everyone = await service.ask('POST', '/access/v1/search/subject', {
      role: 'authority',
      body: { ...question, subject: { type: 'project' } },
    });
    const permitted = [];
    for (const { id } of demo.projects) {
      const body = { ...question, subject: { type: 'project', id } };
      // oxlint-disable-next-line no-await-in-loop
      const answer = await service.ask('POST', '/access/v1/evaluation', {
        role: 'authority',
        body,
      });
      if (answer.body.decision) permitted.push({ type: 'project', id });
    }
    expect(permitted).not.toEqual([]);
    expect(everyone.body.results).toEqual(permitted.toSorted((a, b) => (a.id < b.id ? -1 : 1)));
    const { action: _action, ...without } = question;
    const actions = await service.ask('POST', '/access/v1/search/action', {
      ...partnerOf(request.project),
      body: { ...without, context: { ...question.context, ...question.action.properties } },
    });
    expect(actions.body).toEqual({ results: [{ name: 'use' }] });
  });

  test('a token is of one search, of one caller, and whole', async () => {
    const request = await requestThatIs('permit');
    const question = { ...questionOf(request), resource: { type: 'dataset' } };
    const as = partnerOf(request.project);
    const path = '/access/v1/search/resource';
    const send = (body: object, who: object = as) => service.ask('POST', path, { ...who, body });
    const first = await send({ ...question, page: { limit: 1 } });
    const token = first.body.page.next_token || 'e30.x';
    // oxlint-disable-next-line no-await-in-loop
    for (const page of [
      { token: `${token}x` },
      { token: token.slice(1) },
      { token: 'e30' },
      { token: '.' },
      { token: Buffer.from('{"after":"a","limit":1}').toString('base64url') },
    ])
      expect((await send({ ...question, page })).status).toBe(400);
    const other = { ...question, context: { ...question.context, onward_transfer: true } };
    expect((await send({ ...other, page: { token } })).status).toBe(400);
    expect((await send({ ...question, page: { token } }, { role: 'authority' })).status).toBe(400);
  });
});

describe('a review', () => {
  test('can be made an access request, whose task says how far it is', async () => {
    const request = await requestThatIs('review');
    const as = partnerOf(request.project);
    const { body: denial } = await evaluate(request);
    expect(denial.decision).toBe(false);
    const { outcome, evaluation_id, access_request } = denial.context;
    expect(outcome).toBe('review');
    expect(access_request.endpoint).toBe(`${ORIGIN}/access/v1/request`);
    const body = { ...questionOf(request), denial: { evaluation_id } };
    const headers = { 'Idempotency-Key': 'once' };
    const made = await service.ask('POST', '/access/v1/request', { ...as, headers, body });
    expect(made.status, made.text).toBe(201);
    const again = await service.ask('POST', '/access/v1/request', { ...as, headers, body });
    expect(again.body).toEqual(made.body);
    const { task } = made.body;
    expect(task.status).toBe('pending');
    const found = await service.ask('GET', made.headers.get('location') ?? '', as);
    expect(found.body).toEqual(made.body);
    const own = await service.ask('GET', `/v1/access-requests/${task.id}`, as);
    expect(own.body.decision.effect).toBe('review');
  });

  test('is nobody else’s, of no other question, and not for ever', async () => {
    const request = await requestThatIs('review');
    const as = partnerOf(request.project);
    const permitted = await evaluate(await requestThatIs('permit'), { explain: true });
    const { body } = await evaluate(request);
    const { evaluation_id } = body.context;
    const question = questionOf(request);
    const send = (change: object, who: object = as) =>
      service.ask('POST', '/access/v1/request', {
        ...who,
        body: { ...question, denial: { evaluation_id }, ...change },
      });
    const stranger = { ...as, claims: { ...as.claims, subject: 'somebody-else' } };
    for (const answer of [
      await send({}, stranger),
      await send({ resource: { type: 'dataset', id: 'nisr-study-1' } }),
      await send({ denial: { evaluation_id: permitted.body.context.evaluation_id } }),
      await send({ denial: { evaluation_id: '00000000-0000-7000-8000-000000000000' } }),
    ])
      expect(answer).toMatchObject({ status: 400, body: { code: 'not_requestable' } });
    now = new Date(now.getTime() + 25 * 3_600_000);
    expect(await send({})).toMatchObject({ status: 410, body: { code: 'expired_denial' } });
  });
});
