/** "What may my project use?" over HTTP: the list says what a request would be answered. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';

const START = new Date('2026-10-15T09:00:00+02:00');
const AUTHORITY = { role: 'authority' } as const;
const MOH = { role: 'steward', claims: { organisation: 'moh' } } as const;

interface DemoRequest extends Record<string, unknown> {
  readonly scenario: string;
  readonly dataset: string;
  readonly project: string;
  readonly purpose: string;
}
const demo = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../demo/scenarios.json'), 'utf8'),
) as { requests: DemoRequest[]; projects: { id: string; organisation: string }[] };

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ clock: () => START });
});
afterAll(() => service[Symbol.asyncDispose]());

function partnerOf(project: string): Pick<Ask, 'role' | 'claims'> {
  const organisation = demo.projects.find(({ id }) => id === project)?.organisation;
  return { role: 'partner', claims: { organisation, projects: [project] } };
}

const requestOf = (scenario: string): DemoRequest =>
  demo.requests.find((each) => each.scenario === scenario) ?? (demo.requests[0] as DemoRequest);

type Parameters = Readonly<Record<string, string | readonly string[] | undefined>>;

/** The parameters that say what a request says. */
function parametersOf(request: DemoRequest): Parameters {
  const { locations, hosting, output, duration, recipients } = request as {
    locations?: Record<string, string[]>;
    hosting?: Record<string, string>;
    output?: { type?: string; release_to?: string[]; custody?: string };
    duration?: Record<string, string>;
    recipients?: { country: string }[];
  };
  const text = (name: string): string | undefined => {
    const value = request[name] as string | boolean | null | undefined;
    return value === undefined || value === null ? undefined : String(value);
  };
  return {
    usable_by: request.project,
    purpose: request.purpose,
    agreement: text('agreement'),
    role: text('role'),
    action: text('action'),
    store_in: locations?.['storage'],
    process_in: locations?.['processing'],
    access_from: locations?.['access_from'],
    hosting_provider: hosting?.['provider'],
    hosting_jurisdiction: hosting?.['operator_jurisdiction'],
    keys_held_by: hosting?.['keys_held_by'],
    recipients: recipients && [...new Set(recipients.map(({ country }) => country))],
    onward_transfer: text('onward_transfer'),
    fields_scope: text('fields_scope'),
    deidentification: text('deidentification'),
    output_type: output?.type,
    release_to: output?.release_to,
    custody: output?.custody,
    transfer_ground: text('transfer_ground'),
    from: duration?.['from'],
    until: duration?.['until'],
    automated_decision: text('automated_decision'),
    safeguards: request['safeguards'] as string[] | undefined,
  };
}

function pathOf(parameters: Parameters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) continue;
    const values = [value].flat();
    for (const each of values.length === 0 ? [''] : values) query.append(name, each);
  }
  return `/v1/datasets?${query.toString()}`;
}

function list(parameters: Parameters, ask: Ask): Promise<Answer> {
  return service.ask('GET', pathOf(parameters), ask);
}

interface Item {
  readonly id: string;
  readonly usable?: string;
}

/** All pages; each item is on one of them. */
async function all(parameters: Parameters, ask: Ask): Promise<Item[]> {
  const items: Item[] = [];
  let path: string | undefined = pathOf(parameters);
  while (path !== undefined) {
    const answer: Answer = await service.ask('GET', path, ask);
    expect(answer.status, answer.text.slice(0, 500)).toBe(200);
    items.push(...(answer.body as { items: Item[] }).items);
    path = /<(.*)>/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  expect(new Set(items.map(({ id }) => id)).size).toBe(items.length);
  return items;
}

/** What a request of the project for each of the datasets is answered; deny and refusals are none. */
async function answers(
  request: DemoRequest,
  ids: readonly string[],
): Promise<Record<string, string>> {
  const effects: Record<string, string> = {};
  const { scenario: _name, ...body } = request;
  for (const dataset of ids) {
    const answer = await service.ask('POST', '/v1/access-requests', {
      ...partnerOf(request.project),
      body: { ...body, dataset },
    });
    const effect = answer.status === 201 ? answer.body.decision.effect : 'deny';
    if (effect !== 'deny') effects[dataset] = effect;
  }
  return effects;
}

const effectsOf = (items: readonly Item[]): Record<string, string> =>
  Object.fromEntries(items.map(({ id, usable }) => [id, usable ?? '']));

/** Every dataset that requests of the demo are about, and some that none is about. */
async function someDatasets(): Promise<string[]> {
  const { body } = await service.ask('GET', '/v1/datasets?limit=12&status=active', AUTHORITY);
  const newest = (body.items as Item[]).map(({ id }) => id);
  return [...new Set([...demo.requests.map(({ dataset }) => dataset), ...newest])];
}

describe('The list of what a project may use', () => {
  test.each(demo.requests.map((request) => [request.scenario, request] as const))(
    'says what a request would be answered: %s',
    async (_name, request) => {
      const ids = await someDatasets();
      const items = await all(
        { ...parametersOf(request), usable: 'review', limit: '3' },
        partnerOf(request.project),
      );
      const listed = effectsOf(items.filter(({ id }) => ids.includes(id)));
      expect(listed).toEqual(await answers(request, ids));
      const permitted = await all(parametersOf(request), partnerOf(request.project));
      expect(permitted.map(({ id }) => id)).toEqual(
        items.filter(({ usable }) => usable === 'permit').map(({ id }) => id),
      );
    },
  );

  test('counts an authorisation for one dataset for that dataset alone', async () => {
    const request = requestOf('RW-S02');
    const model = { ...parametersOf(request), output_type: 'model_weights', usable: 'review' };
    const body = {
      ...request,
      output: { ...(request['output'] as object), type: 'model_weights' },
    };
    const ids = await someDatasets();
    for (const [i, dataset] of [undefined, ...ids.slice(0, 3)].entries()) {
      if (dataset !== undefined) {
        const made = await service.ask('POST', '/v1/authorisations', {
          ...AUTHORITY,
          body: {
            id: `usable-${i}`,
            kind: 'ncsa_storage_authorisation',
            project: request.project,
            dataset,
            fields: { no: `N ${i}`, countries: ['KE'], valid_until: '2028-01-01' },
          },
        });
        expect(made.status).toBe(201);
      }
      const abroad = { ...model, store_in: ['KE'] };
      const items = await all(abroad, partnerOf(request.project));
      const asked = {
        ...body,
        locations: { ...(request['locations'] as object), storage: ['KE'] },
      };
      expect(effectsOf(items.filter(({ id }) => ids.includes(id)))).toEqual(
        await answers(asked, ids),
      );
    }
  });

  test('has datasets whose own purpose is asked for, and no drafts or retired ones', async () => {
    const body = {
      title: { en: 'Counts' },
      classification: 'public',
      personal_data: 'none',
      deidentification: 'aggregate',
      permitted_purposes: ['crop_yield_forecasting'],
      sovereignty: { foreign_jurisdiction: 'allow' },
    };
    for (const status of ['active', 'draft'] as const) {
      await service.ask('POST', '/v1/datasets', {
        ...MOH,
        body: { ...body, id: `cattle-${status}`, status },
      });
    }
    // As it was registered before purposes that the pack has not were refused.
    const client = new Client(service.config.databaseUrl ?? '');
    await client.connect();
    await client.query(
      `update dataset set document = jsonb_set(document, '{permitted_purposes}', '["counting_cattle"]')
       where id like 'cattle-%'`,
    );
    await client.end();
    const request = requestOf('RW-S02');
    const asked = { ...parametersOf(request), purpose: 'counting_cattle' };
    const found = async (ask: Ask): Promise<string[]> =>
      (await all(asked, ask)).map(({ id }) => id);
    expect(await found(partnerOf(request.project))).toEqual(['cattle-active']);
    expect(await found(MOH)).toEqual(['cattle-active']);
    const now = await service.ask('GET', '/v1/datasets/cattle-active', MOH);
    await service.ask('POST', '/v1/datasets/cattle-active/retire', {
      ...MOH,
      headers: { 'if-match': now.headers.get('etag') ?? '' },
    });
    const retired = await service.ask('GET', '/v1/datasets/cattle-active', MOH);
    expect(retired.body.status).toBe('retired');
    const { status, body: problem } = await list(asked, MOH);
    expect(status).toBe(400);
    expect(problem.errors).toEqual([
      { path: 'purpose', expected: expect.stringMatching(/^one of /) as string },
    ]);
  });

  test('combines with the filters and the text search of the catalogue', async () => {
    const request = requestOf('RW-S02');
    const ask = partnerOf(request.project);
    const parameters = { ...parametersOf(request), usable: 'review' };
    const whole = await all(parameters, ask);
    for (const filter of [
      { sector: 'health' },
      { q: 'malaria' },
      { publisher: 'moh' },
      { status: 'draft' },
      { classification: 'public' },
    ]) {
      const { body } = await service.ask('GET', pathOf({ ...filter, limit: '200' }), ask);
      const plain = new Set((body.items as Item[]).map(({ id }) => id));
      const both = await all({ ...parameters, ...filter }, ask);
      expect(both).toEqual(whole.filter(({ id }) => plain.has(id)));
    }
  });

  test('says when and from which versions it was computed', async () => {
    const request = requestOf('RW-S02');
    const { body } = await list(parametersOf(request), partnerOf(request.project));
    const { body: pack } = await service.ask('GET', '/v1/pack', AUTHORITY);
    expect(body.computed).toEqual({
      as_of: START.toISOString(),
      pack: { pack: pack.pack, version: pack.version, sha256: pack.sha256 },
      policies: pack.policies,
      left_out: [],
    });
    const plain = await service.ask('GET', '/v1/datasets', AUTHORITY);
    expect(plain.body).not.toHaveProperty('computed');
  });

  test('takes an unknown fact as unknown, and an empty list as none', async () => {
    const request = requestOf('RW-S02');
    const ask = partnerOf(request.project);
    const { recipients: _recipients, ...unsaid } = parametersOf(request);
    const permitted = await all({ ...unsaid, recipients: [] }, ask);
    expect(permitted.length).toBeGreaterThan(0);
    const open = await all({ ...unsaid, usable: 'review' }, ask);
    const closed = await all({ ...unsaid, recipients: [], usable: 'review' }, ask);
    expect(effectsOf(open)).not.toEqual(effectsOf(closed));
    for (const { id, usable } of open)
      if (usable === 'permit') expect(effectsOf(closed)[id]).toBe('permit');
  });

  test.each([
    [{ usable_by: undefined }, 'invalid_request', 'usable_by'],
    [{ purpose: undefined }, 'invalid_request', 'purpose'],
    [
      { usable_by: undefined, purpose: undefined, usable: 'review' },
      'invalid_request',
      'usable_by',
    ],
    [{ usable: 'deny' }, 'invalid_request', 'usable'],
    [{ usable_by: 'nobodys' }, 'unknown_reference', 'usable_by'],
    [{ usable_by: 'idsr-forecasting' }, 'unknown_reference', 'usable_by'],
    [{ agreement: 'nobodys' }, 'unknown_reference', 'agreement'],
    [{ agreement: 'agr-illus-16' }, 'unknown_reference', 'agreement'],
    [{ purpose: 'any' }, 'invalid_facts', 'purpose'],
    [{ purpose: 'academic_reserch' }, 'invalid_facts', 'purpose'],
    [{ role: 'thief' }, 'invalid_facts', 'role'],
    [{ store_in: ['RW', 'XX'] }, 'invalid_facts', 'store_in'],
    [{ process_in: ['RW', 'KE', 'kenya'] }, 'invalid_facts', 'process_in'],
    [{ access_from: ["RW'--"] }, 'invalid_facts', 'access_from'],
    [{ recipients: ['XX'] }, 'invalid_facts', 'recipients'],
    [{ release_to: ['RW', 'RW'] }, 'invalid_request', 'release_to'],
    [{ hosting_jurisdiction: 'XX' }, 'invalid_request', 'hosting_jurisdiction'],
    [{ keys_held_by: 'me' }, 'invalid_facts', 'keys_held_by'],
    [{ onward_transfer: 'perhaps' }, 'invalid_request', 'onward_transfer'],
    [{ fields_scope: 'some' }, 'invalid_facts', 'fields_scope'],
    [{ deidentification: 'none' }, 'invalid_facts', 'deidentification'],
    [{ output_type: 'film' }, 'invalid_facts', 'output_type'],
    [{ custody: 'mine' }, 'invalid_facts', 'custody'],
    [{ transfer_ground: 'whim' }, 'invalid_facts', 'transfer_ground'],
    [{ from: '2026-02-30' }, 'invalid_request', 'from'],
    [{ until: '2026-10-14' }, 'invalid_facts', 'until'],
    [{ from: '2028-01-01', until: '2027-01-01' }, 'invalid_facts', 'until'],
    [{ automated_decision: 'yes' }, 'invalid_facts', 'automated_decision'],
    [{ safeguards: ['luck'] }, 'invalid_facts', 'safeguards'],
    [{ cursor: 'forged' }, 'invalid_request', 'cursor'],
  ])('refuses %o: %s at %s', async (changes, code, at) => {
    const request = requestOf('RW-S02');
    const answer = await list({ ...parametersOf(request), ...changes }, partnerOf(request.project));
    expect(answer.status, answer.text.slice(0, 500)).toBeGreaterThanOrEqual(400);
    expect(answer.body.code).toBe(code);
    expect(answer.body.errors.map(({ path }: { path: string }) => path.split('/')[0])).toContain(
      at,
    );
  });

  test('is answered to whoever may see the project, and to nobody else', async () => {
    const request = requestOf('RW-S02');
    const parameters = parametersOf(request);
    const own = await all(parameters, partnerOf(request.project));
    for (const ask of [AUTHORITY, MOH, { role: 'auditor' }] as const)
      expect(await all(parameters, ask)).toEqual(own);
    for (const ask of [partnerOf('idsr-forecasting'), { role: 'holder' }] as const)
      expect((await list(parameters, ask)).body.code).toBe('unknown_reference');
  });
});

test('a policy that is too intricate for a list takes its own datasets off it, and no others', async () => {
  const request = requestOf('RW-S12');
  const path = pathOf({ ...parametersOf(request), usable: 'review', limit: '200' });
  const partner = partnerOf(request.project);
  const before = await service.ask('GET', path, partner);
  expect(before.body.computed.left_out).toEqual([]);
  const title = { en: 'Each rule twice in the next' };
  const cites = [{ instrument: 'national-choice', article: 'test', confidence: 'high' }];
  const rules = Array.from({ length: 250 }, (_, i) => ({
    id: `T-CHAIN-${i}`,
    title,
    sentence: title,
    cites,
    ...(i === 0
      ? { holds: { fact: 'dataset.subject_count', lt: 10 } }
      : {
          applies: {
            xone: [
              { applies: `T-CHAIN-${i - 1}` },
              { fact: 'dataset.subject_count', lt: i * 7 },
              { not: { holds: `T-CHAIN-${Math.max(0, i - 2)}` } },
            ],
          },
          holds: {
            or: [{ holds: `T-CHAIN-${i - 1}` }, { fact: 'dataset.subject_count', gt: i * 3 }],
          },
        }),
    otherwise: 'review',
  }));
  const document = JSON.stringify({
    policy: 'moh-chain',
    version: 1,
    layer: 'steward',
    owner: 'moh',
    concern: 'consent',
    title,
    instrument: 'national-choice',
    in_force: { from: '2026-01-01' },
    rules,
  });
  const cases = '[{ id: NOTHING, dataset: {}, request: {}, expected: { decision: deny } }]';
  const draft = await service.ask('POST', '/v1/policies', { ...MOH, body: { document, cases } });
  const at = { headers: { 'if-match': draft.headers.get('etag') ?? '' } };
  const version = draft.headers.get('location') ?? '';
  await service.ask('POST', `${version}/check`, { ...MOH, ...at });
  const approved = await service.ask('POST', `${version}/approve`, { ...AUTHORITY, ...at });
  expect(approved.status, approved.text).toBe(200);
  const after = await service.ask('GET', path, partner);
  expect(after.status, after.text).toBe(200);
  expect(after.body.computed.left_out).toEqual(['moh']);
  const others = (answer: Answer): unknown[] =>
    (answer.body.items as { id: string; publisher: string; usable: string }[])
      .filter(({ publisher }) => publisher !== 'moh')
      .map(({ id, usable }) => [id, usable]);
  expect(others(after)).toEqual(others(before));
  expect(before.body.items.length).toBeGreaterThan(after.body.items.length);
});
