/** OpenID AuthZEN 1.0: every case of the certification scenario, asked of a space and over HTTP. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, startTestService, type TestService } from '../support/service.ts';
import { certification, makeCertificationSpace } from './certification-space.ts';

interface Expectation {
  readonly status: number;
  readonly contentType?: string;
  readonly decision?: boolean;
  readonly decisionIsBoolean?: boolean;
  readonly contextIsObjectIfPresent?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly sameEachTime?: boolean;
  readonly evaluations?: { readonly length: number; readonly decisions: (boolean | null)[] };
  readonly results?: {
    readonly include?: readonly object[];
    readonly everyType?: string;
    readonly itemKeys?: readonly string[];
    readonly sameAs?: string;
    readonly empty?: boolean;
    readonly isArray?: boolean;
  };
  readonly page?: Readonly<Record<string, unknown>>;
  readonly metadata?: {
    readonly required?: readonly string[];
    readonly policyDecisionPointEqualsBaseUrl?: boolean;
    readonly httpsUrlIfPresent?: readonly string[];
  };
}

interface Case {
  readonly id: string;
  readonly sublevel: string;
  readonly title: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: unknown;
    readonly rawBody?: string;
  };
  readonly expect: Expectation;
}

const SPACE = 'authzen-cert';
const ORIGIN = 'https://data.example';
const cases = certification.cases as readonly Case[];

let service: TestService;
const answers = new Map<string, Answer>();

beforeAll(async () => {
  service = await startTestService({ config: { publicUrl: ORIGIN } });
  await makeCertificationSpace(service, SPACE);
});
afterAll(async () => service?.[Symbol.asyncDispose]());

async function send({ request }: Case): Promise<Answer> {
  const { method, path, headers, body, rawBody } = request;
  const isDiscovery = path.startsWith('/.well-known/');
  const text = JSON.stringify(body)?.replaceAll(/\$\{([\w-]+)\.page\.next_token\}/g, (_all, id) =>
    String(answers.get(id as string)?.body.page.next_token),
  );
  return service.ask(
    method,
    isDiscovery ? path.replace('${tenant}', `spaces/${SPACE}`) : `/spaces/${SPACE}${path}`,
    isDiscovery ? { headers } : { role: 'authority', headers, body: rawBody ?? text },
  );
}

describe('the certification scenario', () => {
  test.each(cases.map((each) => [each.id, each.title, each] as const))(
    '%s %s',
    async (id, _title, each) => {
      const answer = await send(each);
      answers.set(id, answer);
      const expected = each.expect;
      expect(answer.status, answer.text).toBe(expected.status);
      if (expected.contentType)
        expect(answer.headers.get('content-type')).toMatch(expected.contentType);
      for (const [name, value] of Object.entries(expected.headers ?? {}))
        expect(answer.headers.get(name)).toBe(value);
      if (expected.status !== 200) return;
      checkDecision(answer, expected);
      checkResults(answer, expected);
      checkMetadata(answer, expected, each.request.path);
      if (expected.sameEachTime) {
        for (let i = 0; i < 5; i++)
          // oxlint-disable-next-line no-await-in-loop -- one after the other is what is meant
          expect((await send(each)).text).toBe(answer.text);
      }
    },
  );

  test('a type with a charset is JSON too', async () => {
    const { path, body } = (cases[0] as Case).request;
    const headers = { 'content-type': 'application/json; charset=utf-8' };
    const answer = await service.ask('POST', `/spaces/${SPACE}${path}`, {
      role: 'authority',
      headers,
      body,
    });
    expect([answer.status, answer.body]).toEqual([200, { decision: true }]);
  });

  test('a member that an item has replaces the one beside the list, whole', async () => {
    const answer = await service.ask('POST', `/spaces/${SPACE}/access/v1/evaluations`, {
      role: 'authority',
      body: {
        subject: { type: 'user', id: 'bob' },
        action: { name: 'write' },
        resource: { type: 'record', id: 'record-9', properties: { status: 'archived' } },
        // Nothing of the other one's properties is left: nobody has said that this one is archived.
        evaluations: [{}, { resource: { type: 'record', id: 'record-9' } }],
      },
    });
    expect(answer.body).toEqual({ evaluations: [{ decision: true }, { decision: false }] });
  });

  test('every case of the file was run', () => {
    expect(answers.size).toBe(84);
  });
});

function checkDecision({ body }: Answer, expected: Expectation): void {
  // Strict clients compare whole answers: there is nothing beside the decision.
  if (expected.decision !== undefined) expect(body).toEqual({ decision: expected.decision });
  if (expected.decisionIsBoolean || expected.contextIsObjectIfPresent) {
    expect(typeof body.decision).toBe('boolean');
    expect(Object.keys(body)).toEqual(['decision']);
  }
  if (!expected.evaluations) return;
  const { length, decisions } = expected.evaluations;
  expect(body.evaluations).toHaveLength(length);
  for (const [i, decision] of decisions.entries()) {
    const item = body.evaluations[i];
    expect(typeof item.decision).toBe('boolean');
    if (decision !== null) expect(item.decision).toBe(decision);
    if (decision === true && !item.context?.code) expect(item).toEqual({ decision: true });
  }
}

function checkResults({ body }: Answer, { results, page }: Expectation): void {
  if (results) {
    expect(Array.isArray(body.results)).toBe(true);
    if (results.empty) expect(body).toEqual({ results: [] });
    for (const item of results.include ?? []) expect(body.results).toContainEqual(item);
    for (const item of body.results as Record<string, unknown>[]) {
      if (results.everyType) expect(item['type']).toBe(results.everyType);
      // Known clients compare texts: the order of keys counts too.
      if (results.itemKeys) expect(Object.keys(item)).toEqual(results.itemKeys);
    }
    if (results.sameAs) expect(body.results).toEqual(answers.get(results.sameAs)?.body.results);
  }
  if (page) {
    expect(Object.keys(body)[0]).toBe('page');
    expect(typeof body.page.next_token).toBe('string');
    expect(Number.isInteger(body.page.count)).toBe(true);
    if (page['emptyAtEnd']) expect(body.page.next_token).toBe('');
  }
}

function checkMetadata({ body }: Answer, { metadata }: Expectation, path: string): void {
  if (!metadata) return;
  for (const name of metadata.required ?? []) expect(body[name]).toBeDefined();
  for (const name of metadata.httpsUrlIfPresent ?? [])
    if (body[name] !== undefined) expect(new URL(body[name]).protocol).toBe('https:');
  if (metadata.policyDecisionPointEqualsBaseUrl) {
    const base = path.includes('${tenant}') ? `${ORIGIN}/spaces/${SPACE}` : ORIGIN;
    expect(body.policy_decision_point).toBe(base);
  }
}
