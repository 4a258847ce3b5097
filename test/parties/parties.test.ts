/** Organisations, agreements, projects, registrations and authorisations, and how they count in a decision. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';

const NOW = new Date('2026-10-15T09:00:00+02:00');
const AUTHORITY = { role: 'authority' } as const;
const RECORDED = ['event_id', 'leaf_hash', 'index', 'receipt'];

let service: TestService;
let made = 0;

beforeAll(async () => {
  service = await startTestService({ clock: () => NOW });
});
afterAll(() => service[Symbol.asyncDispose]());

type Register = 'organisations' | 'agreements' | 'projects' | 'registrations' | 'authorisations';

function register(kind: Register, body: unknown, ask: Ask = AUTHORITY): Promise<Answer> {
  return service.ask('POST', `/v1/${kind}`, { ...ask, body });
}

function get(kind: Register, path: string, ask: Ask = AUTHORITY): Promise<Answer> {
  return service.ask('GET', `/v1/${kind}${path}`, ask);
}

async function patch(kind: Register, id: string, body: unknown, etag?: string): Promise<Answer> {
  const current = etag ?? (await get(kind, `/${id}`)).headers.get('etag') ?? '';
  return service.ask('PATCH', `/v1/${kind}/${id}`, {
    ...AUTHORITY,
    headers: { 'if-match': current },
    body,
  });
}

async function all(kind: Register, ask: Ask = AUTHORITY, query = ''): Promise<string[]> {
  const ids: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { body }: Answer = await get(
      kind,
      `?limit=3${query}${cursor && `&cursor=${cursor}`}`,
      ask,
    );
    ids.push(...body.items.map(({ id }: { id: string }) => id));
    cursor = body.next_cursor;
  }
  return ids;
}

function without(body: Answer['body'], ...keys: string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body as object).filter(([key]) => !keys.includes(key)));
}

const SAMPLES: Readonly<Record<Register, Record<string, unknown>>> = {
  organisations: {
    id: 'sample',
    name: { en: 'Sample', rw: 'Urugero' },
    country: 'KE',
    legal_form: 'ngo',
    homepage: 'https://example.org',
  },
  agreements: {
    id: 'sample',
    title: { en: 'Sample' },
    kinds: ['dsa', 'transfer_contract'],
    binding: true,
    sectors: ['health'],
    purposes: ['outbreak_forecasting'],
    valid_from: '2026-01-01',
    valid_until: '2028-02-29',
    signatories: ['moh', 'rbc'],
    subprocessors_authorised: ['A cloud'],
  },
  projects: {
    id: 'sample',
    organisation: 'rbc',
    title: { en: 'Sample' },
    purposes: ['outbreak_forecasting'],
    sector: 'health',
    stage: 'pilot',
    team: [{ role: 'engineer', country: 'RW', count: 3 }],
    poc: { max_subjects: 100, districts: ['Huye'], end: '2027-01-31' },
    knowledge_transfer: { local_engineer_share: 0.5, training_hours: 10, handover_plan: true },
    benefit_sharing: false,
  },
  registrations: {
    id: 'sample',
    kind: 'ncsa_registration',
    organisation: 'moh',
    fields: { no: 'N-1', role: 'both', valid_until: '2028-01-01' },
    revoked: false,
  },
  authorisations: {
    id: 'sample',
    kind: 'ethics_approval',
    project: 'idsr-forecasting',
    dataset: 'nhic-idsr-cases',
    fields: { body: 'RNEC', ref: 'R-1', valid_until: '2027-01-01' },
    revoked: false,
  },
};
const CHANGES: Readonly<Record<Register, Record<string, unknown>>> = {
  organisations: { homepage: null, name: { fr: 'Exemple' } },
  agreements: { subprocessors_authorised: null, binding: false },
  projects: { poc: null, benefit_sharing: true },
  registrations: { revoked: true },
  authorisations: { dataset: null, fields: { ref: null } },
};
const KINDS = Object.keys(SAMPLES) as Register[];

describe('each register', () => {
  for (const kind of KINDS) {
    test(`${kind}: what is registered is read back, changed from the version that was read, and logged`, async () => {
      const sample = SAMPLES[kind];
      const first = await register(kind, sample);
      expect(first).toMatchObject({ status: 201 });
      expect(first.headers.get('location')).toBe(`/v1/${kind}/sample`);
      const times = { created_at: NOW.toISOString(), updated_at: NOW.toISOString() };
      expect(without(first.body, ...RECORDED)).toEqual({ ...sample, version: 1, ...times });
      const read = await get(kind, '/sample');
      expect(read.body).toEqual({ ...sample, version: 1, ...times });
      expect(read.headers.get('etag')).toBe('"1"');

      const again = await register(kind, sample);
      expect([again.status, again.body.code]).toEqual([409, 'already_exists']);

      const path = `/v1/${kind}/sample`;
      const change = CHANGES[kind];
      expect((await service.ask('PATCH', path, { ...AUTHORITY, body: change })).status).toBe(428);
      const changed = await patch(kind, 'sample', change, '"1"');
      expect(changed).toMatchObject({ status: 200, body: { version: 2 } });
      expect((await patch(kind, 'sample', change, '"1"')).status).toBe(412);
      const now = (await get(kind, '/sample')).body;
      expect(now).toEqual(without(changed.body, ...RECORDED));
      for (const [key, value] of Object.entries(change)) {
        // What was removed is absent, not null.
        if (value === null) expect(now).not.toHaveProperty(key);
      }

      const events = await service.ask('GET', '/v1/audit/events?subject=sample&limit=200', {
        role: 'auditor',
      });
      const name = kind.slice(0, -1);
      const types = (events.body.items as { type: string; body: object }[])
        .filter(({ body }) => name in body)
        .map(({ type }) => type);
      const Name = name.charAt(0).toUpperCase() + name.slice(1);
      expect(types.toSorted()).toEqual([`change${Name}`, `register${Name}`]);
    });

    test(`${kind}: only the authority writes, and what is refused leaves nothing`, async () => {
      const body = { ...SAMPLES[kind], id: 'refused' };
      for (const role of ['steward', 'partner', 'auditor', 'holder'] as const) {
        expect((await register(kind, body, { role })).status).toBe(403);
      }
      expect((await register(kind, { ...body, surprise: 1 })).status).toBe(400);
      expect((await register(kind, { ...body, version: 1 })).status).toBe(400);
      expect((await get(kind, '/refused')).status).toBe(404);
    });

    test(`${kind}: the list has each row once, in the order of ids`, async () => {
      const ids = await all(kind);
      expect(ids).toEqual([...new Set(ids)].toSorted());
      expect(ids).toContain('sample');
    });

    test(`${kind}: an id cannot be changed`, async () => {
      expect((await patch(kind, 'sample', { id: 'renamed' })).status).toBeGreaterThanOrEqual(400);
      expect((await get(kind, '/renamed')).status).toBe(404);
      expect((await get(kind, '/sample')).status).toBe(200);
    });
  }
});

describe('references and values', () => {
  const REFUSED: readonly (readonly [
    string,
    Register,
    Record<string, unknown>,
    number,
    string,
    string,
  ])[] = [
    [
      'an agreement signed by nobody registered',
      'agreements',
      { signatories: ['moh', 'nobody'] },
      422,
      'unknown_reference',
      '/signatories/1',
    ],
    [
      'a project of no organisation',
      'projects',
      { organisation: 'nobody' },
      422,
      'unknown_reference',
      '/organisation',
    ],
    [
      'a registration of no organisation',
      'registrations',
      { organisation: 'nobody' },
      422,
      'unknown_reference',
      '/organisation',
    ],
    [
      'an authorisation of no project',
      'authorisations',
      { project: 'nothing' },
      422,
      'unknown_reference',
      '/project',
    ],
    [
      'an authorisation for no dataset',
      'authorisations',
      { dataset: 'nothing' },
      422,
      'unknown_reference',
      '/dataset',
    ],
    [
      'a country that does not exist',
      'organisations',
      { country: 'XX' },
      400,
      'invalid_request',
      '/country',
    ],
    [
      'a legal form that the pack does not have',
      'organisations',
      { legal_form: 'gmbh' },
      400,
      'invalid_facts',
      '/legal_form',
    ],
    [
      'a kind of agreement that the pack does not have',
      'agreements',
      { kinds: ['dsa', 'handshake'] },
      400,
      'invalid_facts',
      '/kinds/1',
    ],
    [
      'a sector that the pack does not have',
      'agreements',
      { sectors: ['wizardry'] },
      400,
      'invalid_facts',
      '/sectors/0',
    ],
    [
      'an agreement that ends before it begins',
      'agreements',
      { valid_from: '2028-03-01' },
      400,
      'invalid_facts',
      '/valid_until',
    ],
    [
      'a date that does not exist',
      'agreements',
      { valid_until: '2027-02-29' },
      400,
      'invalid_request',
      '/valid_until',
    ],
    [
      'a project in a sector that the pack does not have',
      'projects',
      { sector: 'wizardry' },
      400,
      'invalid_facts',
      '/sector',
    ],
    [
      'a stage that the pack does not have',
      'projects',
      { stage: 'dream' },
      400,
      'invalid_facts',
      '/stage',
    ],
    [
      'a share above one',
      'projects',
      { knowledge_transfer: { local_engineer_share: 1.5 } },
      400,
      'invalid_request',
      '/knowledge_transfer/local_engineer_share',
    ],
    [
      'a kind of registration that the pack does not have',
      'registrations',
      { kind: 'driving_licence' },
      400,
      'invalid_facts',
      '/kind',
    ],
    [
      'a kind of authorisation that is a registration',
      'authorisations',
      { kind: 'ncsa_registration' },
      400,
      'invalid_facts',
      '/kind',
    ],
    [
      'a field that the kind does not have',
      'authorisations',
      { fields: { stamp: 'red' } },
      400,
      'invalid_facts',
      '/fields/stamp',
    ],
    [
      'a field with an impossible date',
      'authorisations',
      { fields: { valid_until: '2027-02-30' } },
      400,
      'invalid_facts',
      '/fields/valid_until',
    ],
    [
      'a country of an authorisation that does not exist',
      'authorisations',
      { kind: 'ncsa_transfer_authorisation', fields: { countries: ['JP', 'ZZ'] } },
      400,
      'invalid_facts',
      '/fields/countries/1',
    ],
    [
      'a result of a disclosure test that does not exist',
      'authorisations',
      { kind: 'disclosure_test', fields: { result: 'maybe' } },
      400,
      'invalid_facts',
      '/fields/result',
    ],
    [
      'a disclosure test without a result',
      'authorisations',
      { kind: 'disclosure_test', fields: {} },
      400,
      'invalid_facts',
      '/fields/result',
    ],
  ];
  for (const [what, kind, changes, status, code, path] of REFUSED) {
    test(`${what} is refused with its place, and nothing is stored`, async () => {
      const answer = await register(kind, { ...SAMPLES[kind], id: 'mistaken', ...changes });
      expect([answer.status, answer.body.code]).toEqual([status, code]);
      expect(answer.body.errors.map((each: { path: string }) => each.path)).toContain(path);
      expect((await get(kind, '/mistaken')).status).toBe(404);
    });
  }

  test('a change is held to the same as a registration', async () => {
    const before = (await get('agreements', '/agr-illus-16')).body;
    const wrong = await patch('agreements', 'agr-illus-16', { valid_until: '2020-01-01' });
    expect([wrong.status, wrong.body.code]).toEqual([400, 'invalid_facts']);
    const nobody = await patch('agreements', 'agr-illus-16', { signatories: ['nobody'] });
    expect([nobody.status, nobody.body.code]).toEqual([422, 'unknown_reference']);
    expect((await patch('agreements', 'agr-illus-16', { binding: null })).status).toBe(400);
    expect((await get('agreements', '/agr-illus-16')).body).toEqual(before);
  });
});

describe('who sees what', () => {
  const partner = {
    role: 'partner',
    claims: { organisation: 'jp-engineering', projects: ['idsr-forecasting'] },
  } as const;
  const steward = { role: 'steward', claims: { organisation: 'moh' } } as const;

  test('a partner: own projects, own agreements, own records; the rest does not exist, byte for byte', async () => {
    expect(await all('projects', partner)).toEqual(['idsr-forecasting']);
    expect(await all('agreements', partner)).toEqual(['agr-illus-16']);
    expect(await all('registrations', partner)).toEqual(['registration-jp-engineering']);
    const own = await all('authorisations', partner);
    expect(own.every((id) => id.startsWith('idsr-forecasting') || id === 'sample')).toBe(true);
    for (const [kind, id] of [
      ['projects', 'malaria-forecasting'],
      ['agreements', 'agr-illus-02'],
      ['registrations', 'registration-rbc'],
      ['authorisations', 'malaria-forecasting-dpia'],
    ] as const) {
      const hidden = await get(kind, `/${id}`, partner);
      const missing = await get(kind, '/no-such-thing', partner);
      expect([hidden.status, hidden.text]).toEqual([404, missing.text]);
    }
    expect(await all('agreements', partner, '&organisation=rbc')).toEqual([]);
  });

  test('a steward: all projects and records, agreements of their own organisation', async () => {
    expect((await all('projects', steward)).length).toBeGreaterThan(7);
    const agreements = await all('agreements', steward);
    expect(agreements).toEqual(
      expect.arrayContaining(['agr-illus-02', 'agr-illus-16', 'mou-illus-01']),
    );
    expect(agreements).not.toContain('agr-illus-07');
    expect((await get('agreements', '/agr-illus-07', steward)).status).toBe(404);
  });

  test('everybody sees organisations; auditors and the authority see everything', async () => {
    expect((await all('organisations', { role: 'holder' })).length).toBeGreaterThan(12);
    expect(await all('agreements', { role: 'auditor' })).toEqual(await all('agreements'));
    expect(await all('agreements', AUTHORITY, '&organisation=rbc')).toEqual([
      'agr-illus-02',
      'agr-illus-04',
      'sample',
    ]);
    expect(await all('authorisations', AUTHORITY, '&project=adaptive-tutor')).toEqual([
      'adaptive-tutor-disclosure-test',
      'adaptive-tutor-dpia',
    ]);
  });
});

describe('in a decision', () => {
  /** A project of its own, of a partner of its own, with everything that a permit needs. */
  interface Team {
    readonly organisation: string;
    readonly project: string;
    readonly agreement: string;
    readonly registration: string;
  }

  async function must(kind: Register, body: Record<string, unknown>): Promise<void> {
    expect(await register(kind, body)).toMatchObject({ status: 201 });
  }

  async function team(): Promise<Team> {
    const name = `team-${made++}`;
    const [agreement, registration] = [`agreement-${name}`, `registration-${name}`];
    await must('organisations', {
      id: name,
      name: { en: 'Team' },
      country: 'JP',
      legal_form: 'private_company',
    });
    await must('projects', {
      id: name,
      organisation: name,
      title: { en: 'Team' },
      purposes: ['outbreak_forecasting'],
      sector: 'health',
      stage: 'pilot',
      knowledge_transfer: { local_engineer_share: 1, training_hours: 500 },
    });
    await must('agreements', {
      ...SAMPLES.agreements,
      id: agreement,
      kinds: ['processor_contract', 'transfer_contract'],
      signatories: ['moh', name],
    });
    await must('registrations', {
      id: registration,
      kind: 'ncsa_registration',
      organisation: name,
      fields: { valid_until: '2027-12-31' },
    });
    await must('authorisations', {
      id: `${name}-dpia`,
      kind: 'dpia',
      project: name,
      fields: { ref: 'DPIA-1', date: '2026-01-01' },
    });
    return { organisation: name, project: name, agreement, registration };
  }

  async function authorise(
    { project }: Team,
    id: string,
    fields: Record<string, unknown>,
    more: Record<string, unknown> = {},
  ): Promise<string> {
    const name = `${project}-${id}`;
    await must('authorisations', {
      id: name,
      kind: 'ncsa_transfer_authorisation',
      project,
      fields: { no: name, recipients: [], valid_until: '2027-06-30', ...fields },
      ...more,
    });
    return name;
  }

  /** Asks to look at the IDSR records from these countries. */
  async function decide(
    { organisation, project, agreement }: Team,
    from: string[],
  ): Promise<Answer['body']> {
    const answer = await service.ask('POST', '/v1/access-requests', {
      role: 'partner',
      claims: { organisation, projects: [project] },
      body: {
        dataset: 'nhic-idsr-cases',
        project,
        agreement,
        role: 'processor',
        purpose: 'outbreak_forecasting',
        locations: { storage: ['RW'], processing: ['RW'], access_from: from },
        hosting: { operator_jurisdiction: 'RW' },
        recipients: [],
        onward_transfer: false,
        fields_scope: 'minimum',
        output: { type: 'statistics', release_to: ['RW'] },
        automated_decision: 'none',
        transfer_ground: 'ncsa_authorisation',
      },
    });
    expect(answer).toMatchObject({ status: 201 });
    return answer.body.decision;
  }

  test('a registration counts until it is revoked, and its expiry denies', async () => {
    const own = await team();
    expect((await decide(own, ['RW'])).effect).toBe('permit');
    await patch('registrations', own.registration, { fields: { valid_until: '2026-10-15' } });
    expect((await decide(own, ['RW'])).effect).toBe('permit');
    await patch('registrations', own.registration, { fields: { valid_until: '2026-10-14' } });
    expect((await decide(own, ['RW'])).deny).toEqual(['RW-DPP-REG']);
    await patch('registrations', own.registration, {
      fields: { valid_until: '2027-12-31' },
      revoked: true,
    });
    expect((await decide(own, ['RW'])).deny).toEqual(['RW-DPP-REG']);
    await patch('registrations', own.registration, { revoked: false });
    expect((await decide(own, ['RW'])).effect).toBe('permit');
  });

  test('a transfer authorisation counts for its countries, until it ends or is revoked', async () => {
    const own = await team();
    expect((await decide(own, ['JP'])).deny).toEqual(['RW-DPP-XFER']);
    const id = await authorise(own, 'all', { countries: ['JP'] });
    const permitted = await decide(own, ['JP']);
    expect([permitted.effect, permitted.expiry]).toMatchObject([
      'permit',
      { name: 'transfer_authorisation', date: '2027-06-30' },
    ]);
    expect((await decide(own, ['JP', 'US'])).deny).toEqual(['RW-DPP-XFER']);
    await patch('authorisations', id, { fields: { valid_until: '2026-10-14' } });
    expect((await decide(own, ['JP'])).deny).toEqual(['RW-DPP-XFER']);
    await patch('authorisations', id, { fields: { valid_until: '2027-06-30' }, revoked: true });
    expect((await decide(own, ['JP'])).deny).toEqual(['RW-DPP-XFER']);
  });

  test('one for this very dataset wins over one for all, and one for another dataset is passed over', async () => {
    const own = await team();
    await authorise(own, 'all', { countries: ['JP', 'US'], valid_until: '2029-01-01' });
    await authorise(
      own,
      'other',
      { countries: ['KE'], valid_until: '2030-01-01' },
      { dataset: 'moh-hiv-tracker' },
    );
    expect((await decide(own, ['JP', 'US'])).effect).toBe('permit');
    expect((await decide(own, ['KE'])).effect).toBe('deny');
    const narrow = await authorise(
      own,
      'this',
      { countries: ['JP'] },
      { dataset: 'nhic-idsr-cases' },
    );
    expect((await decide(own, ['JP', 'US'])).deny).toEqual(['RW-DPP-XFER']);
    expect((await decide(own, ['JP'])).expiry).toMatchObject({ date: '2027-06-30' });
    await patch('authorisations', narrow, { revoked: true });
    expect((await decide(own, ['JP', 'US'])).effect).toBe('permit');
  });

  test('two authorisations never add up to a third', async () => {
    const own = await team();
    await authorise(own, 'jp', { countries: ['JP'] });
    await authorise(own, 'us', { countries: ['US'] });
    expect((await decide(own, ['JP', 'US'])).deny).toEqual(['RW-DPP-XFER']);
  });

  test('records of another project or organisation do not count', async () => {
    const [own, other] = [await team(), await team()];
    await authorise(other, 'all', { countries: ['JP'] });
    expect((await decide(own, ['JP'])).deny).toEqual(['RW-DPP-XFER']);
    await patch('registrations', own.registration, { revoked: true });
    expect((await decide(own, ['RW'])).deny).toEqual(['RW-DPP-REG']);
  });

  test('an agreement counts within its dates, its sectors and its purposes, and only when it binds', async () => {
    const own = await team();
    const after = async (change: Record<string, unknown>): Promise<string[]> => {
      expect((await patch('agreements', own.agreement, change)).status).toBe(200);
      const { deny } = await decide(own, ['RW']);
      return deny;
    };
    expect(await after({ valid_until: '2026-10-15' })).toEqual([]);
    expect(await after({ valid_until: '2026-10-14' })).toEqual(['AGR-TERM']);
    expect(await after({ valid_until: '2028-01-01', valid_from: '2026-10-16' })).toEqual([
      'AGR-TERM',
    ]);
    expect(await after({ valid_from: '2026-10-15' })).toEqual([]);
    expect(await after({ sectors: ['land'] })).toEqual(['AGR-SCOPE']);
    expect(await after({ sectors: ['health'], purposes: ['academic_research'] })).toEqual([
      'AGR-SCOPE',
    ]);
    expect(await after({ purposes: ['outbreak_forecasting'], kinds: ['dsa'] })).toEqual([
      'RW-DPP-PROC',
    ]);
    expect(await after({ kinds: ['processor_contract'], binding: false })).toEqual(['AGR-BIND']);
    expect(await after({ binding: true, signatories: ['moh', own.organisation] })).toEqual([]);
    expect(await after({ binding: true })).toEqual([]);
  });

  test('a proof of concept ends with its day', async () => {
    const own = await team();
    await patch('projects', own.project, { poc: { max_subjects: 0, end: '2026-10-15' } });
    const last = await decide(own, ['RW']);
    expect([last.effect, last.expiry]).toMatchObject([
      'permit',
      { name: 'proof_of_concept', date: '2026-10-15' },
    ]);
    await patch('projects', own.project, { poc: { end: '2026-10-14' } });
    expect((await decide(own, ['RW'])).deny).toEqual(['SOV-POC']);
    await patch('projects', own.project, { poc: null });
    expect((await decide(own, ['RW'])).effect).toBe('permit');
  });
});
