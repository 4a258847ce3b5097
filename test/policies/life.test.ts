import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dayInZone, formatDate } from '../../src/pdp/calendar.ts';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';
import { accessRequest } from '../http/samples.ts';

const DATASET = 'nhic-idsr-cases';

const WHO = {
  writer: { role: 'steward', claims: { subject: 'writer' } },
  second: { role: 'steward', claims: { subject: 'second' } },
  stranger: { role: 'steward', claims: { organisation: 'nisr', subject: 'of-nisr' } },
  authority: { role: 'authority' },
  otherAuthority: { role: 'authority', claims: { subject: 'other-authority' } },
  partner: { role: 'partner' },
  auditor: { role: 'auditor' },
} as const satisfies Readonly<Record<string, Ask>>;
type Who = keyof typeof WHO;

let service: TestService;
const ask = (who: Who, method: string, path: string, rest: Ask = {}): Promise<Answer> =>
  service.ask(method, path, { ...WHO[who], ...rest });

let names = 0;
interface Parts {
  readonly policy?: string;
  readonly version?: number;
  readonly owner?: string | null;
  readonly from?: string;
  readonly until?: string;
  readonly target?: unknown;
  readonly rule?: object;
  readonly id?: string;
}

function policyOf({ policy = `p${++names}`, version = 1, owner = 'moh', ...rest }: Parts = {}): {
  policy: string;
  document: string;
} {
  const title = { en: 'A policy of a test' };
  const document = JSON.stringify({
    policy,
    version,
    layer: owner === null ? 'national_choice' : 'steward',
    ...(owner === null ? {} : { owner }),
    concern: 'residency',
    title,
    instrument: 'national-choice',
    in_force: { from: rest.from ?? '2026-01-01', ...(rest.until && { until: rest.until }) },
    target: rest.target ?? { fact: 'dataset.id', eq: DATASET },
    rules: [
      {
        id: rest.id ?? `T-${policy.toUpperCase()}`,
        title,
        sentence: { en: 'The steward wants it so.' },
        ...(rest.rule ?? {
          holds: { fact: 'request.locations.access_from', isPartOf: ['RW'] },
          otherwise: 'deny',
        }),
        cites: [{ instrument: 'national-choice', article: 'test', confidence: 'high' }],
      },
    ],
  });
  return { policy, document };
}

/** A case that passes whatever the policy says: nothing permits what is asked by nobody. */
const CASES = JSON.stringify([
  { id: 'NOTHING', dataset: {}, request: {}, expected: { decision: 'deny' } },
]);

/** The day in the pack's time zone, so many days from now: policies are in force by that. */
function dayAtHome(days: number): string {
  return formatDate(dayInZone('Africa/Kigali')(Date.now()) + days);
}

async function drafted(
  who: Who,
  parts: Parts = {},
  cases: string | undefined = CASES,
): Promise<{ path: string; etag: string; policy: string }> {
  const { policy, document } = policyOf(parts);
  const answer = await ask(who, 'POST', '/v1/policies', { body: { document, cases } });
  expect(answer.status, answer.text).toBe(201);
  return {
    policy,
    path: answer.headers.get('location') ?? '',
    etag: answer.headers.get('etag') ?? '',
  };
}

const step = (who: Who, path: string, what: string, etag: string): Promise<Answer> =>
  ask(who, 'POST', `${path}/${what}`, { headers: { 'if-match': etag } });

/** Drafts, checks, and approves by another person. */
async function inForce(parts: Parts = {}, by: [Who, Who] = ['writer', 'second']) {
  const made = await drafted(by[0], parts);
  expect(await step(by[0], made.path, 'check', made.etag)).toMatchObject({
    status: 200,
    body: { status: 'checked', report: { passed: true } },
  });
  const approved = await step(by[1], made.path, 'approve', made.etag);
  expect(approved.status, approved.text).toBe(200);
  return { ...made, etag: approved.headers.get('etag') ?? '' };
}

async function withdrawn({ path, etag }: { path: string; etag: string }, by: [Who, Who]) {
  const asked = await step(by[0], path, 'withdraw', etag);
  expect(asked, asked.text).toMatchObject({
    status: 200,
    body: { status: expect.stringMatching(/^(in_force|approved)$/) as string },
  });
  return step(by[1], path, 'withdraw', asked.headers.get('etag') ?? '');
}

/** What is answered to the request of the demo that is permitted by the pack alone. */
async function decision(): Promise<Answer['body']> {
  const answer = await ask('partner', 'POST', '/v1/access-requests', { body: accessRequest });
  expect(answer.status, answer.text).toBe(201);
  return answer.body.decision;
}

const namesInForce = async (on?: string): Promise<string[]> => {
  const { body } = await ask('auditor', 'GET', `/v1/policies${on ? `?on=${on}` : ''}`);
  return (body.items as { policy: string; version: number }[]).map(
    ({ policy, version }) => `${policy} ${version}`,
  );
};

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service[Symbol.asyncDispose]());

describe("A steward's policy", () => {
  test('is drafted, checked, approved by a second person, decides, and is withdrawn by two', async () => {
    expect((await decision()).effect).toBe('permit');
    const made = await inForce();
    const denied = await decision();
    const rule = `T-${made.policy.toUpperCase()}`;
    expect(denied).toMatchObject({ effect: 'deny', deny: [rule] });
    expect(denied.policies.at(-1)).toMatchObject({ policy: made.policy, version: 1 });
    expect(denied.reasons[0]).toMatchObject({ rule, layer: 'steward' });
    const again = await ask('partner', 'GET', `/v1/decisions/${denied.id}`);
    expect({ ...again.body, index: null }).toEqual(denied);
    expect(await namesInForce()).toContain(`${made.policy} 1`);
    // Without it, the request above is permitted: that takes the authority.
    const refused = await withdrawn(made, ['writer', 'second']);
    expect(refused).toMatchObject({ status: 403, body: { code: 'authority_required' } });
    const { headers } = await ask('writer', 'GET', `${made.path}/status`);
    const done = await step('authority', made.path, 'withdraw', headers.get('etag') ?? '');
    expect(done).toMatchObject({ status: 200, body: { status: 'withdrawn' } });
    expect((await decision()).effect).toBe('permit');
    expect(await namesInForce()).not.toContain(`${made.policy} 1`);
    // The past stays as it was.
    expect((await ask('partner', 'GET', `/v1/decisions/${denied.id}`)).body).toMatchObject({
      effect: 'deny',
      deny: [rule],
    });
  });

  test('is about the datasets of its target and its owner alone', async () => {
    const made = await inForce({ target: { fact: 'dataset.sector', eq: 'health' } });
    const { body } = await ask('partner', 'POST', '/v1/decisions/simulate', {
      body: { dataset: { sector: 'health', publisher: 'nisr' }, request: {} },
    });
    expect(body.policies.map(({ policy }: { policy: string }) => policy)).not.toContain(
      made.policy,
    );
    expect((await decision()).deny).toContain(`T-${made.policy.toUpperCase()}`);
    await withdrawn(made, ['writer', 'authority']);
  });

  test('replaces its earlier version from its own first day, and the past can be asked', async () => {
    const first = await inForce();
    const later = await inForce(
      {
        policy: first.policy,
        version: 2,
        from: '2999-01-01',
        rule: { outcome: 'review' },
      },
      ['writer', 'authority'],
    );
    const statuses = async (): Promise<string[]> =>
      (await ask('auditor', 'GET', `/v1/policies/${first.policy}/versions`)).body.items.map(
        ({ status }: { status: string }) => status,
      );
    expect(await statuses()).toEqual(['approved', 'in_force']);
    expect(await namesInForce()).toContain(`${first.policy} 1`);
    expect(await namesInForce('2999-01-01')).toContain(`${first.policy} 2`);
    expect(await namesInForce('2999-01-01')).not.toContain(`${first.policy} 1`);
    expect(await namesInForce(dayAtHome(0))).toContain(`${first.policy} 1`);
    expect(await namesInForce('2020-01-01')).toEqual([]);
    await withdrawn(later, ['writer', 'second']);
    await withdrawn(first, ['writer', 'authority']);
    expect((await decision()).effect).toBe('permit');
  });

  test('that ended leaves its earlier version in force, also when it is withdrawn', async () => {
    const first = await inForce();
    const past = { policy: first.policy, from: '2026-01-02', until: '2026-01-03' };
    const ended = await inForce({ ...past, version: 2 }, ['writer', 'authority']);
    expect(await namesInForce()).toContain(`${first.policy} 1`);
    const asked = await step('writer', ended.path, 'withdraw', ended.etag);
    expect(asked.body.status).toBe('ended');
    const gone = await step('second', ended.path, 'withdraw', asked.headers.get('etag') ?? '');
    expect(gone.body.status, gone.text).toBe('withdrawn');
    expect(await namesInForce()).toContain(`${first.policy} 1`);
    await withdrawn(first, ['writer', 'authority']);
  });

  test('waits no longer when two people want it so, and what it was to replace stays', async () => {
    expect((await decision()).effect).toBe('permit');
    const rule = { outcome: 'deny' };
    const first = await inForce({ rule });
    const waiting = { policy: first.policy, version: 2, from: '2999-01-01', rule };
    const later = await inForce(waiting);
    expect((await withdrawn(later, ['writer', 'second'])).status).toBe(200);
    expect((await decision()).effect).toBe('deny');
    await withdrawn(first, ['writer', 'authority']);
  });

  test('does not go unnoticed behind a version that soon ends', async () => {
    expect((await decision()).effect).toBe('permit');
    const rule = { outcome: 'deny' };
    const first = await inForce({ rule });
    const until = dayAtHome(1);
    const brief = await inForce({ policy: first.policy, version: 2, until, rule });
    const { headers } = await step('writer', first.path, 'withdraw', first.etag);
    const etag = headers.get('etag') ?? '';
    expect(await step('second', first.path, 'withdraw', etag)).toMatchObject({
      status: 403,
      body: { code: 'authority_required' },
    });
    await withdrawn(brief, ['writer', 'authority']);
    expect((await step('authority', first.path, 'withdraw', etag)).status).toBe(200);
    expect((await decision()).effect).toBe('permit');
  });

  test.each([
    ['no case at all', undefined, { total: 0, failed: [] }],
    [
      'a case that fails',
      JSON.stringify([{ id: 'WRONG', dataset: {}, request: {}, expected: { decision: 'permit' } }]),
      {
        total: 1,
        failed: [{ id: 'WRONG', problems: [expect.stringContaining('expected permit')] }],
      },
    ],
  ])('with %s is not checked, and not approved', async (_name, cases, report) => {
    const { policy, document } = policyOf();
    const body = cases === undefined ? { document } : { document, cases };
    const made = await ask('writer', 'POST', '/v1/policies', { body });
    const path = `/v1/policies/${policy}/versions/1`;
    const etag = made.headers.get('etag') ?? '';
    expect(await step('writer', path, 'check', etag)).toMatchObject({
      status: 200,
      body: { status: 'draft', report: { passed: false, cases: report } },
    });
    expect(await step('second', path, 'approve', etag)).toMatchObject({
      status: 409,
      body: { code: 'wrong_status' },
    });
    expect(await step('writer', path, 'withdraw', etag)).toMatchObject({
      status: 200,
      body: { status: 'withdrawn' },
    });
  });

  test('is not approved by one who wrote it, whoever changed it last', async () => {
    const made = await drafted('writer');
    const changed = await ask('second', 'PUT', made.path, {
      headers: { 'if-match': made.etag },
      body: {
        document: policyOf({ policy: made.policy, rule: { outcome: 'review' } }).document,
        cases: CASES,
      },
    });
    expect(changed.status, changed.text).toBe(200);
    const etag = changed.headers.get('etag') ?? '';
    await step('writer', made.path, 'check', etag);
    for (const who of ['writer', 'second'] as const) {
      expect(await step(who, made.path, 'approve', etag)).toMatchObject({
        status: 403,
        body: { code: 'second_person_required' },
      });
    }
    expect(await step('authority', made.path, 'approve', made.etag)).toMatchObject({ status: 412 });
    expect(await step('authority', made.path, 'approve', etag)).toMatchObject({ status: 200 });
    expect((await decision()).effect).toBe('review');
    const { headers } = await ask('auditor', 'GET', `${made.path}/status`);
    await withdrawn({ path: made.path, etag: headers.get('etag') ?? '' }, ['writer', 'authority']);
  });

  test('that was approved is never edited, not even in the database', async () => {
    const made = await inForce({ rule: { outcome: 'review' } });
    const { document } = policyOf({ policy: made.policy });
    expect(
      await ask('writer', 'PUT', made.path, {
        headers: { 'if-match': made.etag },
        body: { document },
      }),
    ).toMatchObject({ status: 409, body: { code: 'wrong_status' } });
    const client = new Client(service.config.databaseUrl ?? '');
    await client.connect();
    await expect(
      client.query("update policy_version set document = document || ' ' where policy = $1", [
        made.policy,
      ]),
    ).rejects.toThrow('never edited');
    await client.end();
    await withdrawn(made, ['writer', 'authority']);
  });
});

describe('Who may do what', () => {
  test('a draft is its organisation’s: to others it is not there', async () => {
    const made = await drafted('writer');
    const missing = await ask('stranger', 'GET', '/v1/policies/nothing-here/versions/1');
    for (const who of ['stranger', 'partner'] as const) {
      for (const path of [made.path, `${made.path}/status`]) {
        const answer = await ask(who, 'GET', path);
        expect([answer.status, answer.text], path).toEqual([404, missing.text]);
      }
      expect((await ask(who, 'GET', `/v1/policies/${made.policy}/versions`)).status).toBe(404);
    }
    expect((await step('stranger', made.path, 'check', made.etag)).text).toBe(missing.text);
    expect((await ask('second', 'GET', made.path)).status).toBe(200);
    expect((await ask('auditor', 'GET', `${made.path}/status`)).body).toMatchObject({
      editors: ['writer'],
    });
    const own = await ask('second', 'GET', '/v1/policy-drafts?status=draft');
    expect(own.body.items.map(({ policy }: { policy: string }) => policy)).toContain(made.policy);
    const others = await ask('stranger', 'GET', '/v1/policy-drafts');
    expect(others.body.items).toEqual([]);
  });

  test('a steward writes for their own organisation, the authority for the nation', async () => {
    for (const [who, parts] of [
      ['writer', { owner: 'nisr' }],
      ['writer', { owner: null }],
      ['authority', { owner: 'moh' }],
    ] as const) {
      const { document } = policyOf(parts);
      const answer = await ask(who, 'POST', '/v1/policies', { body: { document, cases: CASES } });
      expect(answer, who).toMatchObject({ status: 422, body: { code: 'invalid_policy' } });
    }
  });

  test('a national policy takes two people of the authority, and is about every dataset', async () => {
    const made = await drafted('authority', { owner: null, rule: { outcome: 'review' } });
    await step('authority', made.path, 'check', made.etag);
    expect(await step('authority', made.path, 'approve', made.etag)).toMatchObject({ status: 403 });
    expect(await step('writer', made.path, 'approve', made.etag)).toMatchObject({ status: 404 });
    const approved = await step('otherAuthority', made.path, 'approve', made.etag);
    expect(approved.status, approved.text).toBe(200);
    expect((await decision()).review).toContain(`T-${made.policy.toUpperCase()}`);
    await withdrawn({ path: made.path, etag: approved.headers.get('etag') ?? '' }, [
      'authority',
      'otherAuthority',
    ]);
    expect((await decision()).effect).toBe('permit');
  });

  test('the pack’s policies are changed in its files alone', async () => {
    const { document } = policyOf({ policy: 'rw-agreement', version: 9, owner: null });
    expect(await ask('authority', 'POST', '/v1/policies', { body: { document } })).toMatchObject({
      status: 422,
      body: { errors: [{ path: '/document' }] },
    });
    expect(
      await step('authority', '/v1/policies/rw-agreement/versions/1', 'withdraw', '"1"'),
    ).toMatchObject({ status: 409, body: { code: 'wrong_status' } });
  });
});

describe('A draft is refused with what is wrong, and nothing is stored', () => {
  const wrong: Readonly<Record<string, [object, RegExp, RegExp]>> = {
    'a fact that does not exist': [
      { rule: { holds: { fact: 'request.purpos', eq: 'x' }, otherwise: 'deny' } },
      /^(document|.* version 1):\d+:\d+$/,
      /did you mean request\.purpose/,
    ],
    'an operator that does not exist': [
      { rule: { holds: { fact: 'request.purpose', equals: 'x' }, otherwise: 'deny' } },
      /:\d+:\d+$/,
      /unknown operator/,
    ],
    'a target of the request': [
      { target: { fact: 'request.purpose', eq: 'x' } },
      /:\d+:\d+$/,
      /target reads/,
    ],
    'days that end before they begin': [{ until: '2025-12-31' }, /:\d+:\d+$/, /"until" is before/],
    'a fact that does not exist, on days that are past': [
      {
        until: '2026-01-01',
        rule: { holds: { fact: 'request.nothing', eq: 1 }, otherwise: 'deny' },
      },
      /:\d+:\d+$/,
      /request\.nothing/,
    ],
    'a text that no database takes': [
      { target: { fact: 'dataset.id', isNoneOf: ['a\0b'] } },
      /:\d+:\d+$/,
      /without \\0/,
    ],
    'half a character': [
      { target: { fact: 'dataset.id', isNoneOf: ['a\ud800b'] } },
      /:\d+:\d+$/,
      /half characters/,
    ],
    'a rule id of the pack': [{ id: 'AGR-BIND' }, /:\d+:\d+$/, /there is another rule/],
    'a version that skips one': [{ version: 3 }, /document/, /version 1/],
  };
  test.each(Object.entries(wrong))('%s', async (_name, [parts, path, expected]) => {
    const { policy, document } = policyOf(parts);
    const answer = await ask('writer', 'POST', '/v1/policies', {
      body: { document, cases: CASES },
    });
    expect(answer, answer.text).toMatchObject({ status: 422, body: { code: 'invalid_policy' } });
    expect(answer.body.errors[0].path).toMatch(path);
    expect(answer.body.errors[0].expected).toMatch(expected);
    expect((await ask('writer', 'GET', `/v1/policies/${policy}/versions`)).status).toBe(404);
  });

  test('a rule id that another policy of the steward has', async () => {
    const made = await inForce({ rule: { outcome: 'review' } });
    const { document } = policyOf({ id: `T-${made.policy.toUpperCase()}` });
    expect(await ask('second', 'POST', '/v1/policies', { body: { document } })).toMatchObject({
      status: 422,
      body: { errors: [{ rule: `T-${made.policy.toUpperCase()}` }] },
    });
    await withdrawn(made, ['writer', 'authority']);
  });

  test('texts that are longer than anybody writes', async () => {
    const { document } = policyOf();
    const long = ' '.repeat(131_072);
    for (const body of [{ document: document + long }, { document, cases: CASES + long }]) {
      expect(await ask('writer', 'POST', '/v1/policies', { body })).toMatchObject({
        status: 400,
        body: { code: 'invalid_request' },
      });
    }
  });

  test('cases that are none', async () => {
    for (const cases of ['- {}', '[', 'a: &a [*a]', `- ${'x'.repeat(10)}`]) {
      const { document } = policyOf();
      expect(
        await ask('writer', 'POST', '/v1/policies', { body: { document, cases } }),
        cases,
      ).toMatchObject({ status: 422, body: { code: 'invalid_policy' } });
    }
  });
});

test('of two approvals of one version at once, one is made', async () => {
  const made = await drafted('writer', { rule: { outcome: 'review' } });
  await step('writer', made.path, 'check', made.etag);
  const answers = await Promise.all(
    (['second', 'authority', 'otherAuthority'] as const).map((who) =>
      step(who, made.path, 'approve', made.etag),
    ),
  );
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 412, 412]);
});

test('of two withdrawals at once that only together permit more, one takes the authority', async () => {
  let ahead = 0;
  await using later = await startTestService({ clock: () => new Date(Date.now() + ahead) });
  const there = (who: Who, method: string, path: string, rest: Ask = {}): Promise<Answer> =>
    later.ask(method, path, { ...WHO[who], ...rest });
  const tell = (who: Who, path: string, what: string, etag: string | null): Promise<Answer> =>
    there(who, 'POST', `${path}/${what}`, { headers: { 'if-match': etag ?? '' } });
  const body = accessRequest;
  expect((await there('partner', 'POST', '/v1/access-requests', { body })).status).toBe(201);
  ahead = 60_000;
  const asked: { path: string; etag: string | null }[] = [];
  for (let i = 0; i < 2; i++) {
    const { document } = policyOf();
    const made = await there('writer', 'POST', '/v1/policies', {
      body: { document, cases: CASES },
    });
    const path = made.headers.get('location') ?? '';
    await tell('writer', path, 'check', '"1"');
    const approved = await tell('second', path, 'approve', '"1"');
    const { headers } = await tell('writer', path, 'withdraw', approved.headers.get('etag'));
    asked.push({ path, etag: headers.get('etag') });
  }
  const answers = await Promise.all(
    asked.map(({ path, etag }) => tell('second', path, 'withdraw', etag)),
  );
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 403]);
  expect(answers.find(({ status }) => status === 403)?.body.code).toBe('authority_required');
});

test('nothing here was a defect', () => {
  expect(service.warnings).toEqual([]);
});
