/** Callers who mean harm, and those who are careless, at every AuthZEN endpoint of a space and of the nation. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, startTestService, type TestService } from '../support/service.ts';
import { makeCertificationSpace } from './certification-space.ts';

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
  await makeCertificationSpace(service, 'hostile');
});
afterAll(async () => service?.[Symbol.asyncDispose]());

const subject = { type: 'user', id: 'alice' };
const action = { name: 'read' };
const resource = { type: 'record', id: 'record-1' };
const question = { subject, action, resource };

const ROOTS = ['', '/spaces/hostile', '/spaces/national', '/spaces/kenya'];
const ENDPOINTS = [
  'evaluation',
  'evaluations',
  'search/subject',
  'search/resource',
  'search/action',
] as const;
const everywhere = ROOTS.flatMap((root) =>
  ENDPOINTS.map((each) => [`${root}/access/v1/${each}`] as const),
);

const ask = (path: string, body: unknown, headers = {}): Promise<Answer> =>
  service.ask('POST', path, { role: 'authority', headers, body });

const INTERNALS = /node_modules|\.ts\b|\n\s+at |postgres|SQLSTATE|TypeError|RangeError/;

describe.each(everywhere)('%s', (path) => {
  const malformed: Readonly<Record<string, unknown>> = {
    'no object': [],
    null: 'null',
    'a number': '7',
    'a text': '"x"',
    'broken off': '{"subject":',
    'a member twice': '{"subject":{"type":"user","id":"a","id":"b"},"action":{"name":"read"}}',
    'half a character': '{"subject":{"type":"user","id":"\\ud800"}}',
    'no UTF-8': new Uint8Array([0x7b, 0xff, 0x7d]),
    'a subject that is a list': { ...question, subject: [] },
    'a subject that is null': { ...question, subject: null },
    'a type that is a number': { ...question, subject: { type: 1, id: 'a' } },
    'properties that are a list': {
      ...question,
      resource: { ...resource, properties: [] },
      subject: { ...subject, properties: [] },
    },
    'a context that is a text': { ...question, context: 'x' },
    'forty-one levels': `{"subject":${'['.repeat(41)}${']'.repeat(41)}}`,
  };
  test.each(Object.entries(malformed))(
    '%s is a 400 that says what, and nothing of the inside',
    async (_name, body) => {
      const answer = await ask(path, body);
      expect(answer.status, answer.text).toBe(400);
      expect(answer.text).not.toMatch(INTERNALS);
      expect(answer.body.detail.length).toBeGreaterThan(10);
    },
  );

  test('fields that nobody knows are ignored, wherever they are', async () => {
    const extra = { unknown: { nested: [1] }, constructor: 1, toString: 'x', hasOwnProperty: 0 };
    const send = (more: object) =>
      ask(path, {
        subject: { ...subject, ...more, properties: more },
        action: { ...action, ...more, properties: more },
        resource: { ...resource, ...more, properties: more },
        context: more,
        options: more,
        page: more,
        ...more,
      });
    const [plain, noisy] = [await send({}), await send(extra)];
    const without = ({ status, text }: Answer) => ({
      status,
      text: text.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID'),
    });
    expect(without(noisy)).toEqual(without(plain));
  });

  test('nobody is told more without a token, or with a role that may not ask', async () => {
    const nobody = await service.ask('POST', path, { body: question });
    expect(nobody.status).toBe(401);
    expect(nobody.headers.get('www-authenticate')).toBe('Bearer');
    const auditor = await service.ask('POST', path, { role: 'auditor', body: question });
    expect(auditor.status).toBe(403);
  });
});

describe.each(ROOTS)('a batch at "%s"', (root) => {
  const path = `${root}/access/v1/evaluations`;

  test('of ten thousand is refused whole, before any of it is answered', async () => {
    const evaluations = Array.from({ length: 10_000 }, () => ({}));
    const answer = await ask(path, { ...question, evaluations });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ path: '/evaluations' }] } });
  });

  test('has an answer for each item, whatever the items are', async () => {
    const evaluations = [
      {},
      null,
      'x',
      7,
      [],
      { subject: 'alice' },
      { action: { name: 123 } },
      { resource: { type: 'record' } },
      { context: 7 },
      { subject: { type: 'user', id: 'a', properties: 7 } },
    ];
    const answer = await ask(path, { ...question, evaluations });
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body.evaluations).toHaveLength(evaluations.length);
    for (const item of answer.body.evaluations.slice(1)) {
      expect(item.decision).toBe(false);
      expect(item.context.error.status).toBe(400);
      expect(item.context.error.message).not.toMatch(INTERNALS);
    }
  });
});

describe('pages of a space', () => {
  const path = '/spaces/hostile/access/v1/search/subject';
  const search = { subject: { type: 'user' }, action, resource };
  const tokenOf = async (): Promise<string> =>
    (await ask(path, { ...search, page: { limit: 1 } })).body.page.next_token as string;

  test('a token goes on where it was given, again and again, and with its own limit only', async () => {
    const token = await tokenOf();
    const next = await ask(path, { ...search, page: { token } });
    expect(next.body.results).toEqual([{ type: 'user', id: 'bob' }]);
    expect((await ask(path, { ...search, page: { token, limit: 1 } })).text).toBe(next.text);
    expect((await ask(path, { ...search, page: { token, limit: 2 } })).status).toBe(400);
  });

  test.each([
    ['with another action', { ...search, action: { name: 'write' } }, path],
    ['with another resource', { ...search, resource: { type: 'record', id: 'record-2' } }, path],
    ['with another context', { ...search, context: { ip: '10.0.0.1' } }, path],
    ['at another search', { ...question }, '/spaces/hostile/access/v1/search/action'],
    ['in another space', search, '/access/v1/search/subject'],
  ])('a token %s is refused', async (_name, body, at) => {
    const answer = await ask(at, { ...body, page: { token: await tokenOf() } });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ path: '/page/token' }] } });
  });

  test('a token that was made up, cut or turned is refused', async () => {
    const token = await tokenOf();
    const [payload = '', seal = ''] = token.split('.');
    const other = Buffer.from('{"after":"aaa","limit":1}').toString('base64url');
    // oxlint-disable-next-line no-await-in-loop
    for (const forged of [
      payload,
      `${payload}.`,
      `.${seal}`,
      `${other}.${seal}`,
      `${payload}.${seal.slice(1)}`,
      `${token}.${seal}`.slice(1),
      'x'.repeat(5_000),
      '../../etc/passwd',
    ])
      expect((await ask(path, { ...search, page: { token: forged } })).status, forged).toBe(400);
  });

  test.each([0, -1, 1.5, 1_001, '1'])('a limit of %s is refused', async (limit) => {
    expect((await ask(path, { ...search, page: { limit } })).status).toBe(400);
  });
});

test('the request id comes back with errors too, and cannot smuggle a header', async () => {
  const answer = await ask('/spaces/hostile/access/v1/evaluation', '{', { 'X-Request-ID': 'mine' });
  expect([answer.status, answer.headers.get('x-request-id')]).toEqual([400, 'mine']);
});
