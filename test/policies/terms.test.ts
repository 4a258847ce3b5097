/** Terms over HTTP: listed with what is declared of them, called by any of their names, refused where they are none. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ask, startTestService, type TestService } from '../support/service.ts';

const IRI = 'https://w3id.org/dpv#AcademicResearch';
const MOH: Ask = { role: 'steward', claims: { organisation: 'moh' } };

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ clock: () => new Date('2026-10-15T09:00:00+02:00') });
});
afterAll(() => service[Symbol.asyncDispose]());

const facts = (purposes: readonly string[]) => ({
  title: { en: 'Counts' },
  permitted_purposes: purposes,
});

describe('a list of terms', () => {
  test('has labels, parents, IRIs, sources, and what is declared disjoint', async () => {
    const { status, body } = await service.ask('GET', '/v1/terms/purposes', { role: 'partner' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ list: 'purposes', closed: true });
    const of = (code: string): unknown =>
      (body.items as { code: string }[]).find((each) => each.code === code);
    expect(of('academic_research')).toMatchObject({
      iri: IRI,
      exact: 'dpv:AcademicResearch',
      title: { en: 'Academic research' },
      broader: ['dpv:ResearchAndDevelopment'],
      own: true,
    });
    expect(of('crop_yield_forecasting')).toMatchObject({
      iri: 'https://umutungo.example/ns/rw#crop_yield_forecasting',
      broader: ['dpv:PublicBenefit'],
    });
    expect(of('dpv:AcademicResearch')).toBeUndefined();
    expect(body.parts).toMatchObject(
      [{ part: 'dpv-purposes', source: { version: '2.3', licence: /W3C/ } }].map(
        ({ part, source: { version } }) => ({ part, source: { version } }),
      ),
    );
    expect(body.disjoint).toContainEqual(['dpv:CommercialPurpose', 'dpv:NonCommercialPurpose']);
  });

  test('of operations has the training of models, and one that is not there is not found', async () => {
    const { body } = await service.ask('GET', '/v1/terms/processing', { role: 'partner' });
    expect(body.items).toContainEqual(
      expect.objectContaining({ code: 'ai:ModelFineTuning', broader: ['ai:ModelTraining'] }),
    );
    const missing = await service.ask('GET', '/v1/terms/constructor', { role: 'partner' });
    expect(missing.status).toBe(404);
  });
});

describe('a purpose', () => {
  test('called by its IRI or CURIE is kept by its code, and asked for by either', async () => {
    for (const [id, name] of [
      ['by-iri', IRI],
      ['by-curie', 'dpv:AcademicResearch'],
    ] as const) {
      const body = { id, ...facts([name]) };
      const made = await service.ask('POST', '/v1/datasets', { ...MOH, body });
      expect(made.body.permitted_purposes).toEqual(['academic_research']);
      const decided = await service.ask('POST', '/v1/decisions/simulate', {
        role: 'authority',
        body: { dataset: id, request: { purpose: IRI } },
      });
      expect(decided.body.deny).not.toContain('RW-DPP-PURPOSE');
      expect(decided.status).toBe(200);
    }
  });

  test('with a typing mistake is refused by every register, with what was meant', async () => {
    const wrong = 'outbreak_forcasting';
    const meant = /did you mean outbreak_forecasting/;
    const agreement = {
      id: 'agr-typo',
      title: { en: 'Agreement' },
      kinds: ['dsa'],
      binding: true,
      sectors: ['health'],
      purposes: [wrong],
      valid_from: '2026-01-01',
      valid_until: '2027-01-01',
      signatories: ['moh'],
    };
    const project = {
      id: 'typo',
      organisation: 'moh',
      title: { en: 'Project' },
      purposes: [wrong],
      sector: 'health',
      stage: 'pilot',
    };
    const consent = { purpose: wrong, subject: 'p-1', at: '2026-10-01T09:00:00+02:00' };
    const records = '/v1/datasets/moh-hiv-tracker/consent-records';
    const asked: readonly (readonly [string, Ask])[] = [
      ['/v1/datasets', { ...MOH, body: { id: 'typo', ...facts([wrong]) } }],
      ['/v1/agreements', { role: 'authority', body: agreement }],
      ['/v1/projects', { role: 'authority', body: project }],
      [records, { ...MOH, body: { ...consent, status: 'given' } }],
    ];
    for (const [path, ask] of asked) {
      const answer = await service.ask('POST', path, ask);
      expect([path, answer.status]).toEqual([path, 400]);
      expect(JSON.stringify(answer.body.errors), path).toMatch(meant);
    }
    // Whoever once agreed to what the pack no longer has may still withdraw.
    const withdrawn = await service.ask('POST', records, {
      ...MOH,
      body: { ...consent, status: 'withdrawn' },
    });
    expect(withdrawn.status).toBe(200);
  });
});

describe('terms of use', () => {
  test('of a dataset bind a national request, and nothing changes without them', async () => {
    const open = {
      classification: 'public',
      personal_data: 'none',
      deidentification: 'aggregate',
      permitted_purposes: ['any'],
      storage_policy: 'any',
      sector: 'health',
      lawful_basis: 'public_interest',
    };
    const request = {
      purpose: 'academic_research',
      role: 'controller',
      locations: { storage: ['RW'], processing: ['RW'], access_from: ['RW'] },
      hosting: { operator_jurisdiction: 'RW' },
      recipients: [],
      output: { type: 'statistics', release_to: ['RW'] },
    };
    const decide = async (duo: unknown, purpose: unknown): Promise<unknown> => {
      const dataset = { ...open, ...(duo === undefined ? {} : { duo }) };
      const asked = { ...request, as_of: '2026-10-15T09:00:00+02:00', sector: 'health' };
      const { body } = await service.ask('POST', '/v1/decisions/simulate', {
        role: 'authority',
        body: {
          dataset,
          request: { ...asked, ...(purpose === undefined ? {} : { duo: purpose }) },
        },
      });
      return body.effect;
    };
    const cancer = { codes: ['DUO:0000007'], diseases: ['MONDO:0004992'] };
    expect(await decide(undefined, undefined)).toBe('permit');
    expect(await decide(cancer, { disease_restrictions: ['MONDO:0008903'] })).toBe('permit');
    expect(await decide(cancer, { hmb_research: true })).toBe('deny');
    expect(await decide(cancer, undefined)).toBe('review');
  });
});
