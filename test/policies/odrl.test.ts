/** Import, export and comparison over HTTP. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parsePolicy } from '../../src/pdp/document.ts';
import { startTestService, type TestService } from '../support/service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service[Symbol.asyncDispose]());

const VERSION = '/v1/policies/rw-choice-sovereignty/versions/1';
const turtle = (rule: string): string =>
  `@prefix odrl: <http://www.w3.org/ns/odrl/2/> . @prefix ex: <http://example.org/> .
   ex:policy a odrl:Set ; odrl:permission [ odrl:target ex:data ; odrl:action odrl:use ; ${rule} ] .`;
const bindings = { 'http://example.org/data': 'nhic-idsr-cases' };
const purpose = (name: string): string =>
  `odrl:constraint [ odrl:leftOperand odrl:purpose ; odrl:operator odrl:eq ; odrl:rightOperand "${name}" ]`;

describe('a stored version', () => {
  test.each([
    ['jsonld', 'application/ld+json; charset=utf-8'],
    ['turtle', 'text/turtle; charset=utf-8'],
  ])('as %s comes back equal', async (format, type) => {
    const written = await service.ask('GET', VERSION, { role: 'steward' });
    const exported = await service.ask('GET', `${VERSION}?format=${format}`, { role: 'steward' });
    expect(exported.status).toBe(200);
    expect(exported.headers.get('content-type')).toBe(type);
    const back = await service.ask('POST', '/v1/policies/import', {
      role: 'steward',
      body: { format, text: exported.text },
    });
    expect(back.status).toBe(200);
    const { document } = back.body as { document: string };
    const [before, after] = [written.text, document].map((text) => parsePolicy('policy', text));
    expect(after?.ok && after.source.content).toEqual(before?.ok && before.source.content);
  });

  test('as something else is refused', async () => {
    const answer = await service.ask('GET', `${VERSION}?format=xml`, { role: 'steward' });
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  });
});

describe('an import', () => {
  const ask = (body: object, role: 'steward' | 'partner' = 'steward') =>
    service.ask('POST', '/v1/policies/import', { role, body: { format: 'turtle', ...body } });

  test('can be drafted as it is', async () => {
    const imported = await ask({
      text: turtle(purpose('academic_research')),
      bindings,
      owner: 'moh',
      policy: 'moh-from-odrl',
    });
    expect(imported).toMatchObject({ status: 200, body: { attributes: {}, terms: {} } });
    const { document } = imported.body as { document: string };
    const drafted = await service.ask('POST', '/v1/policies', {
      role: 'steward',
      body: { document },
    });
    expect(drafted).toMatchObject({ status: 201, body: { policy: 'moh-from-odrl' } });
  });

  test('for a space says which facts and words it needs', async () => {
    const answer = await ask({
      profile: 'space',
      text: turtle(
        'odrl:constraint [ odrl:leftOperand odrl:purpose ; odrl:operator odrl:isA ; odrl:rightOperand ex:care ]',
      ),
    });
    expect(answer).toMatchObject({
      status: 200,
      body: {
        attributes: { 'action.properties.purpose': { type: 'code', source: 'request' } },
        terms: { 'http://example.org/care': { title: { en: 'care' } }, read: { broader: ['use'] } },
      },
    });
  });

  test('of what has no meaning here says why, and where', async () => {
    const answer = await ask({ text: turtle('odrl:duty [ odrl:consequence [ ] ]'), bindings });
    expect(answer).toMatchObject({
      status: 422,
      body: { code: 'invalid_policy', errors: [{ path: expect.stringMatching(/^\/text /) }] },
    });
    expect(answer.text).toMatch(/a decision comes before/);
  });

  test('is for those who write policies', async () => {
    expect(await ask({ text: turtle(purpose('x')) }, 'partner')).toMatchObject({ status: 403 });
  });
});

describe('a comparison', () => {
  const ask = (a: object, b: object) =>
    service.ask('POST', '/v1/policies/compare', { role: 'partner', body: { a, b } });
  const isAny = (...codes: string[]): object => ({
    constraint: { fact: 'request.locations.storage', isPartOf: codes },
  });

  test('of constraints has a request that shows each answer', async () => {
    expect(await ask(isAny('RW'), isAny('RW', 'KE'))).toMatchObject({
      status: 200,
      body: {
        a_implies_b: { answer: 'yes' },
        b_implies_a: { answer: 'no', witness: { request: { locations: { storage: ['KE'] } } } },
        equal: { answer: 'no' },
        together: { answer: 'yes' },
        conflict: { answer: 'no' },
      },
    });
  });

  test('of policies reads ours and ODRL', async () => {
    const exported = await service.ask('GET', `${VERSION}?format=turtle`, { role: 'partner' });
    const written = await service.ask('GET', VERSION, { role: 'partner' });
    expect(
      await ask({ document: exported.text, format: 'turtle' }, { document: written.text }),
    ).toMatchObject({ status: 200, body: { equal: { answer: 'yes' } } });
    const odrl = (name: string) => ({
      document: turtle(purpose(name)),
      format: 'turtle',
      bindings,
    });
    const answer = await ask(odrl('academic_research'), odrl('hiv_care'));
    expect(answer.body).toMatchObject({
      together: { answer: 'no' },
      conflict: { answer: 'yes', witness: { dataset: { id: 'nhic-idsr-cases' } } },
    });
  });

  const wrong: Readonly<Record<string, readonly [object, object, string, RegExp]>> = {
    'one of each': [isAny('RW'), { document: 'x' }, 'invalid_request', /beside a constraint/],
    'both at once': [{ ...isAny('RW'), document: 'x' }, isAny('RW'), 'invalid_request', /either/],
    'a fact that there is not': [
      { constraint: { fact: 'request.nothing', eq: 1 } },
      isAny('RW'),
      'invalid_policy',
      /no fact/,
    ],
    'no policy': [{ document: 'x' }, { document: 'y' }, 'invalid_policy', /./],
    'a constraint too deep': [
      { constraint: JSON.parse(`${'{"not":'.repeat(50)}true${'}'.repeat(50)}`) as object },
      isAny('RW'),
      'malformed_request',
      /./,
    ],
  };
  test.each(Object.entries(wrong))('%s is refused', async (_name, [a, b, code, message]) => {
    const answer = await ask(a, b);
    expect(answer.body).toMatchObject({ code });
    expect(answer.text).toMatch(message);
  });
});
