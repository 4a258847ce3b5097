import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';
import { operations, samplePath } from './operations.ts';
import { accessRequest, consent } from './samples.ts';

const NOBODYS_UUID = '00000000-0000-7000-8000-000000000000';

const WHO = {
  steward: { role: 'steward' },
  otherSteward: { role: 'steward', claims: { organisation: 'nisr', subject: 'steward-of-nisr' } },
  partner: { role: 'partner' },
  colleague: { role: 'partner', claims: { subject: 'colleague' } },
  otherPartner: {
    role: 'partner',
    claims: { organisation: 'example-lab', projects: ['climate-model'], subject: 'partner-of-lab' },
  },
  projectless: { role: 'partner', claims: { projects: [], subject: 'newcomer' } },
  holder: { role: 'holder' },
  auditor: { role: 'auditor' },
  authority: { role: 'authority' },
} as const satisfies Readonly<Record<string, Ask>>;
type Who = keyof typeof WHO;
const everybody = Object.keys(WHO) as Who[];

let service: TestService;
/** Paths and ids by what they are, filled once the service has them. */
const ids: Record<string, string> = {};

const ask = (who: Who, method: string, path: string, rest: Ask = {}): Promise<Answer> =>
  service.ask(method, path, { ...WHO[who], ...rest });

async function made(who: Who, path: string, body: object): Promise<Answer> {
  const answer = await ask(who, 'POST', path, { body });
  if (answer.status >= 300) throw new Error(answer.text);
  return answer;
}

beforeAll(async () => {
  service = await startTestService();
  const titled = { title: { en: 'x' } };
  await made('steward', '/v1/datasets', { id: 'moh-draft', ...titled });
  await made('steward', '/v1/datasets', { id: 'moh-retired', status: 'active', ...titled });
  await ask('steward', 'POST', '/v1/datasets/moh-retired/retire', {
    headers: { 'if-match': '"1"' },
  });
  await made('steward', '/v1/datasets', { id: 'moh-wavering', status: 'active', ...titled });
  for (const [version, status] of [
    ['1', 'draft'],
    ['2', 'active'],
    ['3', 'draft'],
    ['4', 'draft'],
    ['5', 'active'],
  ]) {
    await ask('steward', 'PATCH', '/v1/datasets/moh-wavering', {
      headers: { 'if-match': `"${version}"` },
      body: { status },
    });
  }
  await made('otherSteward', '/v1/datasets', { id: 'nisr-draft', ...titled });
  await made('steward', '/v1/datasets/nhic-idsr-cases/consent-records', {
    ...consent,
    subject: 'p-1',
  });
  const request = await made('partner', '/v1/access-requests', accessRequest);
  ids['request'] = request.body.id;
  ids['decision'] = request.body.decision.id;
  ids['event'] = request.body.decision.event_id;
  const other = await made('otherPartner', '/v1/access-requests', {
    dataset: 'meteo-station-observations',
    project: 'climate-model',
    purpose: 'climate_model_training',
  });
  ids['otherRequest'] = other.body.id;
  ids['otherDecision'] = other.body.decision.id;
  ids['otherEvent'] = other.body.decision.event_id;
  const simulation = {
    dataset: { classification: 'public' },
    request: { purpose: 'academic_research' },
  };
  const byPartner = await made('partner', '/v1/decisions/simulate', simulation);
  ids['simulation'] = byPartner.body.id;
  ids['simulationEvent'] = byPartner.body.event_id;
  ids['stewardSimulation'] = (
    await made('steward', '/v1/decisions/simulate', { ...simulation, dataset: 'moh-draft' })
  ).body.id;
  const { body } = await ask('auditor', 'GET', '/v1/audit/events?type=registerAgreement&limit=1');
  ids['authorityEvent'] = body.items[0].event_id;
});
afterAll(() => service[Symbol.asyncDispose]());

/** All that an answer says: status, body, and every header but the time. */
function everything({ status, headers, text }: Answer): unknown {
  return { status, text, headers: [...headers].filter(([name]) => name !== 'date') };
}

const at = (path: string): string =>
  path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => ids[name] ?? name);

interface Hidden {
  /** What is there, and the same path of what is not. */
  readonly there: string;
  readonly nowhere: string;
  readonly from: readonly Who[];
  readonly to: readonly Who[];
}

const insiders: readonly Who[] = ['auditor', 'authority'];
const outsiders: readonly Who[] = [
  'otherSteward',
  'partner',
  'otherPartner',
  'projectless',
  'holder',
];

const hidden: readonly Hidden[] = [
  ...['', '/versions', '/versions/1'].flatMap((rest): Hidden[] => [
    {
      there: `/v1/datasets/moh-draft${rest}`,
      nowhere: `/v1/datasets/nothing${rest}`,
      from: outsiders,
      to: ['steward', ...insiders],
    },
    {
      there: `/v1/datasets/moh-retired${rest}`,
      nowhere: `/v1/datasets/nothing${rest}`,
      from: outsiders,
      to: ['steward', ...insiders],
    },
  ]),
  {
    there: '/v1/datasets/moh-wavering/versions/2',
    nowhere: '/v1/datasets/moh-wavering/versions/77',
    from: outsiders,
    to: ['steward', ...insiders],
  },
  ...['/consent', '/consent-records'].map(
    (rest): Hidden => ({
      there: `/v1/datasets/nhic-idsr-cases${rest}`,
      nowhere: `/v1/datasets/nothing${rest}`,
      from: ['otherSteward'],
      to: ['steward', ...insiders],
    }),
  ),
  {
    there: '/v1/access-requests/{request}',
    nowhere: `/v1/access-requests/${NOBODYS_UUID}`,
    from: ['otherPartner', 'projectless', 'otherSteward'],
    to: ['partner', 'colleague', 'steward', ...insiders],
  },
  {
    there: '/v1/access-requests/{otherRequest}',
    nowhere: `/v1/access-requests/${NOBODYS_UUID}`,
    from: ['partner', 'steward', 'otherSteward'],
    to: ['otherPartner', ...insiders],
  },
  {
    there: '/v1/access-requests/{decision}',
    nowhere: `/v1/access-requests/${NOBODYS_UUID}`,
    from: ['partner', 'auditor'],
    to: [],
  },
  {
    there: '/v1/decisions/{decision}',
    nowhere: `/v1/decisions/${NOBODYS_UUID}`,
    from: ['otherPartner', 'projectless', 'otherSteward'],
    to: ['partner', 'colleague', 'steward', ...insiders],
  },
  {
    there: '/v1/decisions/{otherDecision}',
    nowhere: `/v1/decisions/${NOBODYS_UUID}`,
    from: ['partner', 'steward'],
    to: ['otherPartner', ...insiders],
  },
  {
    there: '/v1/decisions/{simulation}',
    nowhere: `/v1/decisions/${NOBODYS_UUID}`,
    from: ['colleague', 'otherPartner', 'steward'],
    to: ['partner', ...insiders],
  },
  {
    there: '/v1/decisions/{stewardSimulation}',
    nowhere: `/v1/decisions/${NOBODYS_UUID}`,
    from: ['partner', 'otherSteward'],
    to: ['steward', ...insiders],
  },
  {
    there: '/v1/audit/events/{event}',
    nowhere: `/v1/audit/events/${NOBODYS_UUID}`,
    from: ['otherPartner', 'projectless'],
    to: ['partner', 'colleague', ...insiders],
  },
  {
    there: '/v1/audit/events/{simulationEvent}',
    nowhere: `/v1/audit/events/${NOBODYS_UUID}`,
    from: ['otherPartner', 'colleague', 'projectless'],
    to: ['partner', ...insiders],
  },
  {
    there: '/v1/audit/events/{authorityEvent}',
    nowhere: `/v1/audit/events/${NOBODYS_UUID}`,
    from: ['partner', 'otherPartner'],
    to: insiders,
  },
  {
    there: '/v1/audit/events/{authorityEvent}/proof',
    nowhere: `/v1/audit/events/${NOBODYS_UUID}/proof`,
    from: ['partner', 'otherPartner'],
    to: insiders,
  },
  {
    there: '/v1/agreements/agr-illus-16',
    nowhere: '/v1/agreements/nothing',
    from: ['otherPartner', 'otherSteward'],
    to: ['partner', 'colleague', 'projectless', 'steward', ...insiders],
  },
  {
    there: '/v1/projects/idsr-forecasting',
    nowhere: '/v1/projects/nothing',
    from: ['otherPartner', 'projectless'],
    to: ['partner', 'steward', 'otherSteward', ...insiders],
  },
  {
    there: '/v1/registrations/registration-jp-engineering',
    nowhere: '/v1/registrations/nothing',
    from: ['otherPartner'],
    to: ['partner', 'steward', ...insiders],
  },
  {
    there: '/v1/authorisations/idsr-forecasting-dpia',
    nowhere: '/v1/authorisations/nothing',
    from: ['otherPartner', 'projectless'],
    to: ['partner', 'steward', ...insiders],
  },
];

describe('what one may not see is not there', () => {
  test.each(hidden)('$there', async ({ there, nowhere, from, to }) => {
    for (const who of to)
      expect(await ask(who, 'GET', at(there)), who).toMatchObject({ status: 200 });
    for (const who of from) {
      const [forbidden, unknown] = [
        await ask(who, 'GET', at(there)),
        await ask(who, 'GET', at(nowhere)),
      ];
      expect(forbidden, who).toMatchObject({ status: 404, body: { code: 'not_found' } });
      expect(everything(forbidden), who).toEqual(everything(unknown));
    }
  });

  const changes: readonly (readonly [string, string, string, Ask])[] = [
    [
      'PATCH',
      '/v1/datasets/moh-draft',
      '/v1/datasets/nothing',
      { body: { classification: 'public' }, headers: { 'if-match': '"1"' } },
    ],
    [
      'PATCH',
      '/v1/datasets/moh-draft',
      '/v1/datasets/nothing',
      { body: { classification: 'public' } },
    ],
    [
      'PATCH',
      '/v1/datasets/moh-draft',
      '/v1/datasets/nothing',
      { body: { colour: 'red' }, headers: { 'if-match': '"9"' } },
    ],
    [
      'POST',
      '/v1/datasets/moh-draft/retire',
      '/v1/datasets/nothing/retire',
      { headers: { 'if-match': '"1"' } },
    ],
    [
      'POST',
      '/v1/datasets/moh-draft/consent-records',
      '/v1/datasets/nothing/consent-records',
      { body: { ...consent, subject: 'p-1' } },
    ],
    [
      'POST',
      '/v1/datasets/nhic-idsr-cases/consent-records/bulk',
      '/v1/datasets/nothing/consent-records/bulk',
      { body: { records: [{ ...consent, subject: 'p-1' }] } },
    ],
  ];
  test.each(changes)(
    '%s %s neither, for whoever is no steward of it',
    async (method, there, nowhere, rest) => {
      const [forbidden, unknown] = [
        await ask('otherSteward', method, there, rest),
        await ask('otherSteward', method, nowhere, rest),
      ];
      expect(forbidden).toMatchObject({ status: 404 });
      expect(everything(forbidden)).toEqual(everything(unknown));
    },
  );

  const references: Readonly<
    Record<string, readonly [Who, string, (name: string) => object, readonly string[]]>
  > = {
    'a draft, for a request': [
      'partner',
      '/v1/access-requests',
      (dataset) => ({ ...accessRequest, dataset }),
      ['moh-draft', 'moh-retired', 'nisr-draft'],
    ],
    "another's project, for a request": [
      'partner',
      '/v1/access-requests',
      (project) => ({ ...accessRequest, project }),
      ['climate-model'],
    ],
    "another's agreement, for a request": [
      'partner',
      '/v1/access-requests',
      (agreement) => ({ ...accessRequest, agreement }),
      ['agr-illus-07'],
    ],
    'a draft, for a simulation': [
      'partner',
      '/v1/decisions/simulate',
      (dataset) => ({ dataset, request: {} }),
      ['moh-draft', 'moh-retired'],
    ],
    "another's draft, for a steward's simulation": [
      'otherSteward',
      '/v1/decisions/simulate',
      (dataset) => ({ dataset, request: {} }),
      ['moh-draft', 'moh-retired'],
    ],
    "another's project, for a simulation": [
      'partner',
      '/v1/decisions/simulate',
      (project) => ({ dataset: {}, request: { project } }),
      ['climate-model'],
    ],
    "another's agreement, for a simulation": [
      'partner',
      '/v1/decisions/simulate',
      (agreement) => ({ dataset: {}, request: { agreement } }),
      ['agr-illus-07'],
    ],
    "another's agreement with one's own project, for a simulation": [
      'partner',
      '/v1/decisions/simulate',
      (agreement) => ({ dataset: {}, request: { project: 'idsr-forecasting', agreement } }),
      ['agr-illus-07'],
    ],
  };
  test.each(Object.entries(references))('%s', async (_name, [who, path, body, names]) => {
    const unknown = await ask(who, 'POST', path, { body: body('nothing') });
    expect(unknown).toMatchObject({ status: 422, body: { code: 'unknown_reference' } });
    for (const name of names)
      expect(everything(await ask(who, 'POST', path, { body: body(name) })), name).toEqual(
        everything(unknown),
      );
  });

  test("somebody else's Idempotency-Key", async () => {
    const headers = { 'idempotency-key': 'the-same' };
    const first = await ask('partner', 'POST', '/v1/access-requests', {
      body: accessRequest,
      headers,
    });
    const second = await ask('colleague', 'POST', '/v1/access-requests', {
      body: accessRequest,
      headers,
    });
    expect(first).toMatchObject({ status: 201, body: { created_by: 'demo-partner' } });
    expect(second).toMatchObject({ status: 201, body: { created_by: 'colleague' } });
    expect(second.body.id).not.toBe(first.body.id);
  });

  test('an id that is taken by a draft of another says no more than that it is taken', async () => {
    const taken = (id: string): Promise<Answer> =>
      ask('steward', 'POST', '/v1/datasets', { body: { id, title: { en: 'x' } } });
    expect(everything(await taken('nisr-draft'))).toEqual(
      everything(await taken('nisr-eicv7-tables')),
    );
  });
});

interface List {
  readonly list: string;
  readonly item: (item: Record<string, string>) => readonly string[];
}

const lists: readonly List[] = [
  { list: '/v1/datasets', item: ({ id }) => [`/v1/datasets/${id}`] },
  { list: '/v1/datasets?q=x', item: ({ id }) => [`/v1/datasets/${id}`] },
  { list: '/v1/datasets?publisher=moh', item: ({ id }) => [`/v1/datasets/${id}`] },
  { list: '/v1/datasets?status=draft', item: ({ id }) => [`/v1/datasets/${id}`] },
  { list: '/v1/datasets?status=retired', item: ({ id }) => [`/v1/datasets/${id}`] },
  {
    list: '/v1/datasets/moh-wavering/versions',
    item: ({ id, version }) => [`/v1/datasets/${id}/versions/${version}`],
  },
  ...['organisations', 'agreements', 'projects', 'registrations', 'authorisations'].map(
    (register): List => ({ list: `/v1/${register}`, item: ({ id }) => [`/v1/${register}/${id}`] }),
  ),
  { list: '/v1/agreements?organisation=moh', item: ({ id }) => [`/v1/agreements/${id}`] },
  { list: '/v1/projects?organisation=jp-engineering', item: ({ id }) => [`/v1/projects/${id}`] },
  {
    list: '/v1/registrations?organisation=jp-engineering',
    item: ({ id }) => [`/v1/registrations/${id}`],
  },
  {
    list: '/v1/authorisations?project=idsr-forecasting',
    item: ({ id }) => [`/v1/authorisations/${id}`],
  },
  {
    list: '/v1/access-requests',
    item: ({ id, decision_id }) => [`/v1/access-requests/${id}`, `/v1/decisions/${decision_id}`],
  },
  {
    list: '/v1/access-requests?dataset=nhic-idsr-cases',
    item: ({ id }) => [`/v1/access-requests/${id}`],
  },
  {
    list: '/v1/access-requests?project=idsr-forecasting',
    item: ({ id }) => [`/v1/access-requests/${id}`],
  },
];

/** Everything in a list, by following its links. Undefined where the list is not for this role. */
async function walk(who: Who, { list, item }: List, limit: number): Promise<string[] | undefined> {
  const found: string[] = [];
  let path: string | undefined = `${list}${list.includes('?') ? '&' : '?'}limit=${limit}`;
  while (path !== undefined) {
    const answer: Answer = await ask(who, 'GET', path);
    if (answer.status === 403) return undefined;
    expect(answer, `${who} ${path}`).toMatchObject({ status: 200 });
    expect(answer.body.items.length).toBeLessThanOrEqual(limit);
    found.push(...(answer.body.items as Record<string, string>[]).flatMap((each) => item(each)));
    path = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
    expect(path !== undefined).toBe(answer.body.next_cursor !== null);
  }
  return found;
}

describe('a list', () => {
  test.each(lists)(
    '$list holds what each caller may read one by one, and no more or less',
    async (list) => {
      const all = (await walk('auditor', list, 200)) ?? [];
      expect(all.length, 'an empty list proves nothing').toBeGreaterThan(
        list.list.includes('q=x') ? -1 : 0,
      );
      let seen = 0;
      for (const who of everybody) {
        const found = await walk(who, list, 200);
        if (found === undefined) continue;
        seen += 1;
        expect(new Set(found).size).toBe(found.length);
        expect(all, who).toEqual(expect.arrayContaining(found));
        for (const path of all) {
          const { status } = await ask(who, 'GET', path);
          expect({ who, path, status }).toEqual({
            who,
            path,
            status: found.includes(path) ? 200 : 404,
          });
        }
      }
      expect(seen).toBeGreaterThanOrEqual(6);
    },
  );

  test.each(lists)('$list is the same in small pages as in a large one', async (list) => {
    for (const who of ['auditor', 'steward', 'partner', 'otherPartner'] as const) {
      const [whole, pages] = [
        await walk(who, list, 200),
        await walk(who, list, list.list === '/v1/datasets' ? 9 : 1),
      ];
      expect(pages, who).toEqual(whole);
    }
  });

  test('cannot be asked for what is of others', async () => {
    const empty = [
      '/v1/datasets?status=draft',
      '/v1/datasets?status=retired',
      '/v1/agreements?organisation=moh',
      '/v1/projects?organisation=jp-engineering',
      '/v1/registrations?organisation=jp-engineering',
      '/v1/authorisations?project=idsr-forecasting',
      '/v1/access-requests?project=idsr-forecasting',
      '/v1/access-requests?dataset=nhic-idsr-cases',
    ];
    for (const path of empty)
      expect((await ask('otherPartner', 'GET', path)).body, path).toEqual({
        items: [],
        next_cursor: null,
      });
    expect((await ask('projectless', 'GET', '/v1/access-requests')).body.items).toEqual([]);
  });

  test('cannot be led beyond what one may see by the cursor of another', async () => {
    const { body } = await ask('auditor', 'GET', '/v1/access-requests?limit=1');
    const { items } = (
      await ask('otherPartner', 'GET', `/v1/access-requests?cursor=${body.next_cursor}`)
    ).body;
    expect(
      (items as { project: string }[]).every(({ project }) => project === 'climate-model'),
    ).toBe(true);
  });
});

describe('stewards act for their own organisation', () => {
  const path = '/v1/datasets/nhic-idsr-cases';
  const acts: readonly (readonly [string, string, Ask, number])[] = [
    ['PATCH', path, { body: { classification: 'public' }, headers: { 'if-match': '"1"' } }, 403],
    ['POST', `${path}/retire`, { headers: { 'if-match': '"1"' } }, 403],
    ['POST', `${path}/consent-records`, { body: { ...consent, subject: 'p-2' } }, 404],
    [
      'POST',
      `${path}/consent-records/bulk`,
      { body: { records: [{ ...consent, subject: 'p-2' }] } },
      404,
    ],
    ['GET', `${path}/consent-records`, {}, 404],
    [
      'POST',
      '/v1/datasets',
      { body: { id: 'moh-by-nisr', publisher: 'moh', title: { en: 'x' } } },
      400,
    ],
  ];
  test.each(acts)('%s %s is none of another steward', async (method, target, rest, status) => {
    const before = await ask('auditor', 'GET', path);
    expect((await ask('otherSteward', method, target, rest)).status).toBe(status);
    expect(await ask('auditor', 'GET', path)).toMatchObject({ status: 200, text: before.text });
  });

  test('what they register is of their organisation', async () => {
    expect(await ask('otherSteward', 'GET', '/v1/datasets/nisr-draft')).toMatchObject({
      body: { publisher: 'nisr' },
    });
  });
});

describe('auditors', () => {
  test('read everything', async () => {
    const reads = operations.filter(({ method }) => method === 'GET');
    const closed = reads.filter(({ open, roles }) => !open && !roles.includes('auditor'));
    expect(closed.map(({ id }) => id)).toEqual([]);
    for (const operation of reads.filter(({ open }) => !open))
      expect([200, 404], operation.id).toContain(
        (await ask('auditor', 'GET', samplePath(operation))).status,
      );
  });

  test('change nothing: 403 on every mutation', async () => {
    // Two texts are compared, and nothing is kept; what was found of the record is kept, and nothing of it changed.
    const readings = ['comparePolicies', 'assessCutOff'];
    const changes = operations.filter(
      ({ method, id }) => method !== 'GET' && !readings.includes(id),
    );
    expect(changes.length).toBeGreaterThanOrEqual(17);
    for (const operation of changes) {
      const answer = await ask(
        'auditor',
        operation.method,
        samplePath(operation),
        operation.takesBody ? { body: {} } : {},
      );
      expect(answer, operation.id).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    }
  });
});

test('nothing here was a defect', () => {
  expect(service.warnings).toEqual([]);
});
