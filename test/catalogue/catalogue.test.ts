/** The catalogue: datasets, their versions, their facts, lists and search. */

import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';

const START = new Date('2026-10-15T09:00:00+02:00');
const MOH = { role: 'steward', claims: { organisation: 'moh' } } as const;
const RBC = { role: 'steward', claims: { organisation: 'rbc' } } as const;
const PARTNER = { role: 'partner' } as const;
const AUDITOR = { role: 'auditor' } as const;

let now = START;
let service: TestService;
let database: Client;

beforeAll(async () => {
  service = await startTestService({ clock: () => now });
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await service[Symbol.asyncDispose]();
});

const DCAT = {
  title: {
    en: 'Malaria surveillance',
    fr: 'Surveillance du paludisme',
    rw: 'Ikurikiranabikorwa rya malariya',
  },
  description: { en: 'Weekly counts by district.', fr: 'Chiffres hebdomadaires par district.' },
  keyword: ['malaria', 'surveillance'],
  theme: ['http://publications.europa.eu/resource/authority/data-theme/HEAL'],
  language: ['en', 'rw'],
  identifier: 'RW-MOH-0001',
  landing_page: 'https://example.org/malaria',
  issued: '2024-02-29',
  modified: '2026-10-01',
  spatial: ['Nyagatare', 'Gisagara'],
  temporal: { start_date: '2020-01-01', end_date: '2025-12-31' },
  accrual_periodicity: 'weekly',
  creator: 'Ministry of Health',
  access_rights: 'On request',
  provenance: { en: 'Reported by facilities.' },
  contact_point: { name: 'Data desk', email: 'data@example.org', url: 'https://example.org/desk' },
  distribution: [
    {
      title: { en: 'Table' },
      media_type: 'text/csv',
      access_url: 'https://example.org/malaria.csv',
      byte_size: 123_456,
      checksum: `sha256:${'0a'.repeat(32)}`,
    },
  ],
};

/** Every fact that a steward may state, by the pack's own list; the test below holds it complete. */
const FACTS = {
  sector: 'health',
  classification: 'confidential',
  personal_data: 'indirect',
  sensitive_categories: ['health_status', 'genetic'],
  subject_groups: ['patients', 'children_u16'],
  subject_count: 85_000,
  deidentification: 'pseudonymised',
  small_cell_min: 5,
  lawful_basis: 'consent',
  consent: {
    model: 'parental',
    purposes: ['outbreak_forecasting'],
    coverage_pct: 71.5,
    withdrawn_count: 3,
    last_withdrawal_at: '2026-09-01T10:00:00+02:00',
    withdrawal_filterable: true,
    transfer_abroad_covered: false,
  },
  permitted_purposes: ['outbreak_forecasting'],
  prohibited_purposes: ['advertising'],
  storage_policy: 'rw_primary',
  retention_until: '2031-12-31',
  statistical_confidentiality: true,
  licence: 'CC-BY-4.0',
  sovereignty: {
    outputs_allowed: ['statistics', 'dashboard'],
    weights_custody: 'joint_escrow',
    foreign_jurisdiction: 'review',
    min_local_engineer_share: 0.5,
    min_training_hours: 120,
    benefit_sharing_required: true,
  },
  duo: {
    codes: ['DS', 'TS', 'GS'],
    diseases: ['MONDO:0004992'],
    locations: ['RW'],
    until: '2030-12-31',
    moratorium_until: '2027-12-31',
    institutions: ['rbc'],
    projects: ['idsr-forecasting'],
    research_types: ['cohort'],
  },
};

function register(body: Record<string, unknown>, ask: Ask = MOH): Promise<Answer> {
  return service.ask('POST', '/v1/datasets', { ...ask, body });
}

async function registered(body: Record<string, unknown>, ask: Ask = MOH): Promise<Answer['body']> {
  const answer = await register({ title: { en: 'Untitled' }, ...body }, ask);
  expect(answer).toMatchObject({ status: 201 });
  return answer.body;
}

function get(path: string, ask: Ask = MOH): Promise<Answer> {
  return service.ask('GET', `/v1/datasets${path}`, ask);
}

function patch(
  id: string,
  version: number | string | undefined,
  body: unknown,
  ask: Ask = MOH,
): Promise<Answer> {
  const etag = typeof version === 'number' ? `"${version}"` : version;
  const headers = etag === undefined ? {} : { 'if-match': etag };
  return service.ask('PATCH', `/v1/datasets/${id}`, { ...ask, headers, body });
}

function retire(id: string, version: number, ask: Ask = MOH): Promise<Answer> {
  return service.ask('POST', `/v1/datasets/${id}/retire`, {
    ...ask,
    headers: { 'if-match': `"${version}"` },
  });
}

/** Every row of a list, page by page. */
async function all(query: string, ask: Ask = AUDITOR, path = ''): Promise<Answer['body'][]> {
  const items: Answer['body'][] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { body, status }: Answer = await get(
      `${path}?${query}${cursor && `&cursor=${cursor}`}`,
      ask,
    );
    expect(status).toBe(200);
    items.push(...body.items);
    cursor = body.next_cursor;
  }
  return items;
}

async function found(q: string, ask: Ask = PARTNER): Promise<string[]> {
  const items = await all(`limit=200&q=${encodeURIComponent(q)}`, ask);
  return items.map(({ id }) => id as string);
}

function without(body: Answer['body'], ...keys: string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body as object).filter(([key]) => !keys.includes(key)));
}

function once(key: string, body: Record<string, unknown>, ask: Ask = MOH): Promise<Answer> {
  const headers = { 'idempotency-key': key };
  return service.ask('POST', '/v1/datasets', { ...ask, headers, body });
}

/** An answer as it is but for the index that its event may have got in the meantime. */
function settled(text: string): string {
  return text.replace(/"index":(null|\d+)/, '"index":0');
}

/** A cursor of the right form that no list has given out. */
function forged(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

const RECORDED = ['event_id', 'leaf_hash', 'index', 'receipt'];

describe('registering', () => {
  test('keeps all of DCAT and every fact, and reads it back equal', async () => {
    const { body: facts } = await service.ask('GET', '/v1/facts', MOH);
    const listed = (facts.items as { path: string; type: string }[])
      .filter(({ path, type }) => path.startsWith('dataset.') && type !== 'object')
      .map(({ path }) => path.split('.').slice(1))
      .filter(([first]) => !['id', 'title', 'publisher'].includes(first ?? ''));
    for (const [first = '', second] of listed) {
      const value = (FACTS as Record<string, unknown>)[first] as
        | Record<string, unknown>
        | undefined;
      expect(second === undefined ? value : value?.[second]).not.toBeUndefined();
    }
    const body = await registered({ id: 'everything', status: 'active', ...DCAT, ...FACTS });
    const expected = {
      id: 'everything',
      status: 'active',
      version: 1,
      publisher: 'moh',
      created_at: START.toISOString(),
      updated_at: START.toISOString(),
      ...DCAT,
      ...FACTS,
    };
    expect(without(body, ...RECORDED)).toEqual(expected);
    expect((await get('/everything', PARTNER)).body).toEqual(expected);
    expect((await get('/everything/versions/1', PARTNER)).body).toEqual(expected);
    expect((await all('limit=200', PARTNER)).find(({ id }) => id === 'everything')).toEqual(
      expected,
    );
  });

  test('leaves what is not said unknown: absent, neither null nor false nor empty', async () => {
    const body = await registered({ id: 'bare', licence: null });
    expect(Object.keys(without(body, ...RECORDED)).toSorted()).toEqual(
      ['created_at', 'id', 'publisher', 'status', 'title', 'updated_at', 'version'].toSorted(),
    );
    expect(body.status).toBe('draft');
    expect((await get('/bare')).body).toEqual(without(body, ...RECORDED));
    const simulation = await service.ask('POST', '/v1/decisions/simulate', {
      ...MOH,
      body: { dataset: 'bare', request: { purpose: 'academic_research' } },
    });
    expect(simulation.body.missing_facts).toEqual(
      expect.arrayContaining([
        'dataset.classification',
        'dataset.personal_data',
        'dataset.permitted_purposes',
      ]),
    );
    expect(simulation.body.effect).not.toBe('permit');
  });

  test('says where each impossible value is, and stores nothing', async () => {
    const answer = await register({
      id: 'impossible',
      title: { en: 'x' },
      classification: 'secret',
      subject_count: -1,
      clasification: 'public',
      sovereignty: { weights_custody: 'nobody' },
      consent: { coverage_pct: 101 },
    });
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_facts']);
    const paths = answer.body.errors.map(({ path }: { path: string }) => path);
    expect(paths.toSorted()).toEqual(
      [
        '/classification',
        '/clasification',
        '/consent/coverage_pct',
        '/sovereignty/weights_custody',
        '/subject_count',
      ].toSorted(),
    );
    expect((await get('/impossible')).status).toBe(404);
  });

  test('of a text with characters that no database keeps is refused as the mistake of the caller', async () => {
    for (const extra of [
      { licence: 'a\u0000b' },
      { title: { en: 'a\u0000b' } },
      { creator: 'a\u001fb' },
    ]) {
      const answer = await register({ id: 'control', title: { en: 'x' }, ...extra });
      expect(answer).toMatchObject({ status: 400 });
    }
  });

  test('is for the own organisation, and an id is taken once', async () => {
    const foreign = await register({ id: 'foreign', title: { en: 'x' }, publisher: 'rbc' });
    expect([foreign.status, foreign.body.errors[0].path]).toEqual([400, '/publisher']);
    const taken = await register({ id: 'nhic-idsr-cases', title: { en: 'x' } }, RBC);
    expect([taken.status, taken.body.code]).toEqual([409, 'already_exists']);
  });
});

describe('an Idempotency-Key on registration', () => {
  test('gives a retry the same bytes, but for the index that the event has by then', async () => {
    const body = { zeta: undefined, id: 'retried', ...DCAT, ...FACTS };
    const first = await once('retry', body);
    const second = await once('retry', body);
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(settled(second.text)).toBe(settled(first.text));
    for (const header of ['etag', 'location'])
      expect(second.headers.get(header)).toBe(first.headers.get(header));
    expect(await all('limit=50', MOH, '/retried/versions')).toHaveLength(1);
  });

  test('gives the answer of then, also after the dataset was changed', async () => {
    const body = { id: 'retried-late', title: { en: 'Before' } };
    const first = await once('late', body);
    expect((await patch('retried-late', 1, { title: { en: 'After' } })).status).toBe(200);
    const second = await once('late', body);
    expect(second.body).toEqual({ ...first.body, index: second.body.index });
    expect(second.headers.get('etag')).toBe('"1"');
  });

  test('with another body is refused, also for another id', async () => {
    await once('reused', { id: 'reused-a', title: { en: 'x' } });
    const answer = await once('reused', { id: 'reused-b', title: { en: 'x' } });
    expect([answer.status, answer.body.code]).toEqual([422, 'idempotency_key_reused']);
    expect((await get('/reused-b')).status).toBe(404);
  });

  test('of calls at once makes one dataset and one event', async () => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => once('at-once', { id: 'made-once', title: { en: 'x' } })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(12).fill(201));
    expect(new Set(answers.map(({ body }) => body.event_id)).size).toBe(1);
    const events = await service.ask('GET', '/v1/audit/events?subject=made-once', AUDITOR);
    expect(events.body.items).toHaveLength(1);
  });

  test('belongs to one actor', async () => {
    expect((await once('actors', { id: 'actor-a', title: { en: 'x' } })).status).toBe(201);
    const other = {
      role: 'steward',
      claims: { organisation: 'rbc', subject: 'somebody-else' },
    } as const;
    expect((await once('actors', { id: 'actor-b', title: { en: 'x' } }, other)).status).toBe(201);
  });
});

describe('a change', () => {
  test('makes a new version; earlier ones stay readable and as they were', async () => {
    await registered({ id: 'versions', status: 'active', title: { en: 'One' }, licence: 'A' });
    const one = (await get('/versions/versions/1')).body;
    now = new Date('2026-10-16T09:00:00Z');
    const two = await patch('versions', 1, { title: { en: 'Two', fr: 'Deux' }, licence: null });
    now = START;
    expect(two.headers.get('etag')).toBe('"2"');
    expect(two.body).toMatchObject({
      version: 2,
      title: { en: 'Two', fr: 'Deux' },
      updated_at: '2026-10-16T09:00:00.000Z',
    });
    expect(two.body).not.toHaveProperty('licence');
    const three = await patch('versions', 2, { sector: 'health' });
    expect(three.body.version).toBe(3);
    expect((await get('/versions/versions/1')).body).toEqual(one);
    expect((await get('/versions/versions/2')).body).toEqual(without(two.body, ...RECORDED));
    expect((await get('/versions')).body).toEqual(without(three.body, ...RECORDED));
    const list = await all('limit=2', MOH, '/versions/versions');
    expect(list.map(({ version }) => version)).toEqual([3, 2, 1]);
    expect((await get('/versions/versions/4')).status).toBe(404);
    const events = await service.ask('GET', '/v1/audit/events?subject=versions', AUDITOR);
    const types = events.body.items.map(({ type }: { type: string }) => type);
    expect(types.toSorted()).toEqual(['changeDataset', 'changeDataset', 'registerDataset']);
  });

  test('is a merge patch (RFC 7396): null removes a fact, objects merge, the rest stays', async () => {
    await registered({ id: 'merged', ...DCAT, ...FACTS });
    const answer = await patch('merged', 1, {
      retention_until: null,
      sovereignty: { weights_custody: null, min_training_hours: 0 },
      title: { rw: null },
      consent: null,
    });
    expect(answer.status).toBe(200);
    const { weights_custody: _custody, ...sovereignty } = FACTS.sovereignty;
    const { en, fr } = DCAT.title;
    const { retention_until: _until, consent: _consent, ...facts } = FACTS;
    expect((await get('/merged')).body).toEqual({
      ...(await get('/merged/versions/1')).body,
      ...DCAT,
      ...facts,
      version: 2,
      title: { en, fr },
      sovereignty: { ...sovereignty, min_training_hours: 0 },
      retention_until: undefined,
      consent: undefined,
    });
  });

  test('needs the version that was read: 428 without, 412 with an old or a foreign one', async () => {
    await registered({ id: 'guarded' });
    const statuses: number[] = [];
    for (const etag of [
      undefined,
      '"0"',
      '"2"',
      '*',
      'W/"1"',
      '1',
      '"1',
      '"99999999999999999999"',
      '"1", "2"',
    ]) {
      statuses.push((await patch('guarded', etag, { licence: 'x' })).status);
    }
    expect(statuses).toEqual([428, ...Array<number>(8).fill(412)]);
    expect((await get('/guarded')).body.version).toBe(1);
    expect((await patch('guarded', 1, { licence: 'x' })).status).toBe(200);
    expect((await patch('guarded', 1, { licence: 'y' })).status).toBe(412);
    expect((await retire('guarded', 1)).status).toBe(412);
  });

  test('by two stewards at once: exactly one wins, and the other is told', async () => {
    await registered({ id: 'two-stewards' });
    for (let version = 1; version <= 8; version++) {
      const answers = await Promise.all(
        ['a', 'b', 'c'].map((licence) => patch('two-stewards', version, { licence })),
      );
      const statuses = answers.map(({ status }) => status).toSorted((a, b) => a - b);
      expect(statuses).toEqual([200, 412, 412]);
      const won = answers.find(({ status }) => status === 200);
      expect((await get('/two-stewards')).body.licence).toBe(won?.body.licence);
    }
    expect(await all('limit=200', MOH, '/two-stewards/versions')).toHaveLength(9);
  });

  test("of the register's own members is refused; repeating them is not", async () => {
    const { created_at } = await registered({ id: 'managed' });
    for (const [key, value] of Object.entries({
      id: 'other',
      publisher: 'rbc',
      version: 7,
      created_at: '2020-01-01T00:00:00Z',
    })) {
      const answer = await patch('managed', 1, { [key]: value });
      expect([answer.status, answer.body.errors[0].path]).toEqual([400, `/${key}`]);
    }
    expect(
      (await patch('managed', 1, { id: 'managed', publisher: 'moh', created_at, licence: 'x' }))
        .status,
    ).toBe(200);
    expect((await patch('managed', 2, { title: null })).status).toBe(400);
    expect((await patch('managed', 2, { status: 'retired' })).status).toBe(400);
    expect((await patch('managed', 2, { classification: 'secret' })).body.code).toBe(
      'invalid_facts',
    );
    expect((await get('/managed')).body.version).toBe(2);
  });

  test('is for the stewards of the publisher: 403 where others may read, 404 where they may not', async () => {
    await registered({ id: 'readable', status: 'active' });
    await registered({ id: 'unreadable' });
    expect((await patch('readable', 1, { licence: 'x' }, RBC)).status).toBe(403);
    const hidden = await patch('unreadable', 1, { licence: 'x' }, RBC);
    const missing = await patch('no-such-dataset', 1, { licence: 'x' }, RBC);
    expect([hidden.status, hidden.text]).toEqual([404, missing.text]);
  });
});

describe('drafts and retired datasets', () => {
  test('are seen by the stewards of the publisher, auditors and the authority, and by nobody else', async () => {
    await registered({ id: 'a-draft', title: { en: 'Draft zebrafish' } });
    for (const ask of [MOH, AUDITOR, { role: 'authority' } as const]) {
      expect((await get('/a-draft', ask)).status).toBe(200);
      expect(await found('zebrafish', ask)).toEqual(['a-draft']);
    }
    for (const ask of [PARTNER, RBC, { role: 'holder' } as const]) {
      const hidden = await get('/a-draft', ask);
      expect([hidden.status, hidden.text]).toEqual([404, (await get('/no-such', ask)).text]);
      expect((await get('/a-draft/versions', ask)).status).toBe(404);
      expect(await found('zebrafish', ask)).toEqual([]);
    }
  });

  test('versions from before the publication stay hidden, and the list does not end at them', async () => {
    await registered({ id: 'published-later', title: { en: 'Secret working title' } });
    for (let version = 1; version <= 6; version++) {
      // Active at the even versions: draft ones lie between those that may be seen.
      const status = version % 2 === 1 ? 'active' : 'draft';
      expect(
        (await patch('published-later', version, { status, title: { en: `Title ${version + 1}` } }))
          .status,
      ).toBe(200);
    }
    expect((await patch('published-later', 7, { status: 'active' })).status).toBe(200);
    const seen = await all('limit=2', PARTNER, '/published-later/versions');
    expect(seen.map(({ version }) => version)).toEqual([8, 6, 4, 2]);
    expect((await get('/published-later/versions/1', PARTNER)).status).toBe(404);
    expect((await get('/published-later/versions/1')).status).toBe(200);
  });

  test('retired means no change and no permit any more, while everything stays readable for its stewards', async () => {
    await registered({
      id: 'to-retire',
      status: 'active',
      permitted_purposes: ['any'],
      personal_data: 'none',
      classification: 'public',
    });
    const ask = (): Promise<Answer> =>
      service.ask('POST', '/v1/access-requests', {
        ...PARTNER,
        body: {
          dataset: 'to-retire',
          project: 'idsr-forecasting',
          purpose: 'academic_research',
          output: { type: 'statistics' },
          locations: { storage: ['RW'], processing: ['RW'], access_from: ['RW'] },
        },
      });
    const before = await ask();
    expect(before.body.decision.effect).toBe('permit');
    const retired = await retire('to-retire', 1);
    expect(retired.body).toMatchObject({
      status: 'retired',
      version: 2,
      permitted_purposes: ['any'],
    });
    const after = await ask();
    expect([after.status, after.body.code]).toEqual([422, 'unknown_reference']);
    const again = await retire('to-retire', 2);
    expect([again.status, again.body.code]).toEqual([409, 'retired']);
    expect((await patch('to-retire', 2, { licence: 'x' })).body.code).toBe('retired');
    expect((await patch('to-retire', 2, { status: 'active' })).body.code).toBe('retired');
    const simulated = await service.ask('POST', '/v1/decisions/simulate', {
      ...MOH,
      body: { dataset: 'to-retire', request: {} },
    });
    expect([simulated.status, simulated.body.code]).toEqual([409, 'retired']);
    expect((await get('/to-retire')).body.version).toBe(2);
    expect((await get('/to-retire', PARTNER)).status).toBe(404);
    expect(
      (await service.ask('GET', `/v1/access-requests/${before.body.id}`, PARTNER)).status,
    ).toBe(200);
  });
});

describe('lists', () => {
  test('page through hundreds of rows with one timestamp, while rows come, and lose or repeat none', async () => {
    const ids = Array.from({ length: 230 }, (_, i) => `page-${String(i * 7919).padStart(7, '0')}`);
    await Promise.all(ids.map((id) => registered({ id, sector: 'land', status: 'active' })));
    const seen: string[] = [];
    let pages = 0;
    for (let cursor: string | null = ''; cursor !== null; pages++) {
      const { body }: Answer = await get(
        `?sector=land&limit=17${cursor && `&cursor=${cursor}`}`,
        PARTNER,
      );
      seen.push(...body.items.map(({ id }: { id: string }) => id));
      // In the same instant, before and after the present place of the list.
      await registered({ id: `page-new-${pages}`, sector: 'land', status: 'active' });
      await registered({ id: `a-page-new-${pages}`, sector: 'land', status: 'active' });
      cursor = body.next_cursor;
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(ids.filter((id) => !seen.includes(id))).toEqual([]);
    expect(seen).toEqual(seen.toSorted().toReversed());
  });

  test('narrow by publisher, sector, classification and status, alone and together', async () => {
    const everything = await all('limit=200');
    const filters = [
      { publisher: 'moh' },
      { sector: 'health' },
      { classification: 'confidential' },
      { status: 'draft' },
      { status: 'active', publisher: 'moh', sector: 'health', classification: 'confidential' },
    ];
    for (const filter of filters) {
      const query = new URLSearchParams({ ...filter, limit: '3' }).toString();
      const expected = everything.filter((row) =>
        Object.entries(filter).every(([key, value]) => row[key] === value),
      );
      expect(expected.length).toBeGreaterThan(0);
      expect((await all(query)).map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
    }
  });

  test('show a steward the drafts of their own organisation and of no other', async () => {
    const rows = await all('limit=200&status=draft', MOH);
    expect(rows.length).toBeGreaterThan(0);
    expect(new Set(rows.map(({ publisher }) => publisher))).toEqual(new Set(['moh']));
    expect(await all('limit=200&status=draft', PARTNER)).toEqual([]);
  });

  test('refuse a cursor that they did not give out', async () => {
    for (const cursor of [
      'x',
      forged([]),
      forged(['2026-01-01T00:00:00Z']),
      forged(["'; drop table dataset; --", 'a']),
      forged([1, 2]),
      forged({}),
    ]) {
      const answer = await get(`?cursor=${cursor}`);
      expect([answer.status, answer.body.errors[0].path]).toEqual([400, 'cursor']);
    }
  });

  test('link to the next page, on all but the last', async () => {
    const first = await get('?limit=2&publisher=nisr', PARTNER);
    const link = /^<(\S+)>; rel="next"$/.exec(first.headers.get('link') ?? '')?.[1] ?? '';
    expect(link).toContain('publisher=nisr');
    const next = await service.ask('GET', link, PARTNER);
    expect(next.body.items).toHaveLength(2);
    expect(next.body.items[0].id).not.toBe(first.body.items[0].id);
    expect((await get('?limit=200&publisher=rbc', PARTNER)).headers.has('link')).toBe(false);
  });
});

describe('search', () => {
  const studies = JSON.parse(
    readFileSync(join(import.meta.dirname, '../../demo/nisr-studies.json'), 'utf8'),
  ) as { datasets: { id: string; title: Record<string, string>; identifier: string }[] };

  beforeAll(async () => {
    const texts: Record<string, Record<string, string>> = {
      'search-en': { en: 'Children living in mountainous districts' },
      'search-fr': { fr: 'Enquêtes sur les ménages agricoles' },
      'search-rw': { rw: "Ibarura rusange ry'abaturage n'imiturire" },
      'search-nfd': { fr: 'E\u0301le\u0300ves de l\u2019e\u0301cole' },
      'search-years': { en: 'Harvest 2016-2017, cost/benefit, e-services' },
      'search-and': { en: 'Research & development' },
    };
    for (const [id, title] of Object.entries(texts))
      await registered({ id, title, status: 'active' });
    await registered({
      id: 'search-body',
      title: { en: 'Nothing in the name' },
      description: { en: 'About wetlands and their otters' },
      keyword: ['marshland'],
      identifier: 'KGL-77/2',
      creator: 'Institute of Ornithology',
      status: 'active',
    });
  });

  const FINDS: readonly (readonly [string, string, string])[] = [
    ['an English word in another form', 'child mountain', 'search-en'],
    ['an English plural', 'district', 'search-en'],
    ['a French word in another form', 'enquête ménage', 'search-fr'],
    ['French in capitals', 'ENQUÊTES', 'search-fr'],
    ['Kinyarwanda as written', "ibarura ry'abaturage", 'search-rw'],
    ['a Kinyarwanda word inside an elision', 'imiturire', 'search-rw'],
    ['the beginning of a word', 'mounta', 'search-en'],
    ['composed accents where the text has combining ones', '\u00e9l\u00e8ves', 'search-nfd'],
    ['combining accents where the query has them too', 'e\u0301cole', 'search-nfd'],
    ['the second year of a range', 'harvest 2017', 'search-years'],
    ['a word after a slash', 'benefit', 'search-years'],
    ['a part of a hyphenated word', 'services', 'search-years'],
    ['a word of the description', 'otter', 'search-body'],
    ['a keyword', 'marshlands', 'search-body'],
    ['the identifier', 'KGL-77/2', 'search-body'],
    ['the creator', 'ornithology', 'search-body'],
  ];
  for (const [what, q, id] of FINDS) {
    test(`finds by ${what}`, async () => {
      expect(await found(q)).toContain(id);
    });
  }

  test('needs every word', async () => {
    expect(await found('mountainous otters')).toEqual([]);
    expect(await found('children unfindable')).toEqual([]);
  });

  test('follows a change of the title', async () => {
    await registered({ id: 'search-renamed', title: { en: 'Platypus' }, status: 'active' });
    expect(await found('platypus')).toEqual(['search-renamed']);
    await patch('search-renamed', 1, { title: { en: 'Axolotl' } });
    expect([await found('platypus'), await found('axolotl')]).toEqual([[], ['search-renamed']]);
  });

  test('of nothing but punctuation finds nothing, and is no error', async () => {
    for (const q of ['!!!', "'", '&', ':*', '<->', '()', ' ', '%', '\\', '--', '🦓']) {
      expect(await found(q)).toEqual([]);
    }
  });

  test('takes any text as words: no query language, no injection, no error', async () => {
    const before = (await database.query('select count(*) as n from dataset')).rows;
    for (const q of [
      "'; drop table dataset; --",
      "a' | b & !c:*",
      'children & !mountainous',
      "$1 ${x} %s \\'",
      "') or ('1'='1",
      'x'.repeat(200),
    ]) {
      const answer = await get(`?q=${encodeURIComponent(q)}`, PARTNER);
      expect(answer.status).toBe(200);
    }
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }), async (q) => {
        const answer = await get(`?limit=1&q=${encodeURIComponent(q)}`, PARTNER);
        // What the contract refuses, for its length in code units, is a 400 and never a 500.
        expect([200, 400]).toContain(answer.status);
      }),
      { numRuns: 80 },
    );
    expect((await database.query('select count(*) as n from dataset')).rows).toEqual(before);
  });

  test('combines with filters and pages', async () => {
    const both = await all('limit=5&q=census&publisher=nisr', PARTNER);
    expect(both.length).toBeGreaterThan(5);
    expect(new Set(both.map(({ id }) => id)).size).toBe(both.length);
    expect(await all('limit=5&q=census&publisher=moh', PARTNER)).toEqual([]);
  });

  test('the 76 studies of the statistics institute are there, each found by its title and its identifier', async () => {
    expect(studies.datasets).toHaveLength(76);
    const rows = await all('limit=200&publisher=nisr', PARTNER);
    const ids = rows.map(({ id }) => id as string).filter((id) => id.startsWith('nisr-study-'));
    expect(ids).toHaveLength(76);
    for (const { id, title, identifier } of studies.datasets) {
      const words = (Object.values(title)[0] ?? '').match(/[\p{L}\p{N}]+/gu) ?? [];
      expect(await found(words.slice(0, 12).join(' '))).toContain(id);
      expect(await found(identifier)).toContain(id);
    }
    // Their policy facts are unknown, and stay so.
    const study = rows.find(({ id }) => id === 'nisr-study-109');
    expect(study).not.toHaveProperty('classification');
    expect(study.title.en).toBe('Rwanda Population and Housing Census 2022');
  });
});
