import { performance } from 'node:perf_hooks';
import pg from 'pg';
import { usableQuestion } from '../src/access/usable.ts';
import { readUsableDatasets } from '../src/catalogue/usable.ts';
import { readDatasets } from '../src/catalogue/store.ts';
import { connect, transact } from '../src/db/connection.ts';
import { buildExtension } from '../src/pdp/build.ts';
import { withExtensions } from '../src/pdp/compose.ts';
import type { Extension, Program } from '../src/pdp/program.ts';
import { Programs } from '../src/policies/programs.ts';
import type { Principal } from '../src/principal.ts';
import { median } from './client.ts';

const DATASETS = 100_000;
const ROUNDS = 9;
const PAGE = 50;
const NOW = new Date('2026-10-15T09:00:00+02:00');
const AUTHORITY: Principal = {
  actor: 'bench',
  role: 'authority',
  organisation: null,
  projects: [],
};

export interface UsableRow {
  readonly case: string;
  readonly found: number;
  readonly ms: number;
  /** To `select … order by created_at desc limit 50` in the same round. */
  readonly ratio: number;
}

/**
 * "What may my project use?" among 100,000 datasets under the pack and 300 more policies: of single
 * datasets, of publishers, of sectors, and on conditions. A page of 50 at the median; the question
 * is put together anew each time, as for a request.
 */
export async function measureUsable(url: string): Promise<UsableRow[]> {
  await using database = connect(url, 2);
  const client = new pg.Client(url);
  await client.connect();
  try {
    await fill(client);
  } finally {
    await client.end();
  }
  const { db } = database;
  const base = await new Programs().inForce(db, NOW);
  const program = withExtensions(base, extensionsOf(base));
  const page = async (each: Question): Promise<number> => {
    const question = usableQuestion({ inForce: async () => program, clock: () => NOW }, each);
    if (!question) throw new Error('nothing is asked');
    const rows = await transact(
      db,
      async (tx) =>
        readUsableDatasets(tx, await question(tx, AUTHORITY), { allOf: null }, PAGE + 1),
      'repeatable read',
    );
    return rows.length;
  };
  const rows: UsableRow[] = [];
  for (const [name, question] of Object.entries(QUESTIONS)) {
    const rounds: { ms: number; ratio: number; found: number }[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const plain = await timed(() => readDatasets(db, { allOf: null }, PAGE + 1));
      const asked = await timed(() => page(question));
      rounds.push({ ms: asked.ms, ratio: asked.ms / plain.ms, found: asked.value });
    }
    rows.push({
      case: name,
      found: rounds[0]?.found ?? 0,
      ms: Math.round(median(rounds.map(({ ms }) => ms)) * 10) / 10,
      ratio: Math.round(median(rounds.map(({ ratio }) => ratio)) * 10) / 10,
    });
  }
  return rows;
}

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const start = performance.now();
  const value = await work();
  return { ms: performance.now() - start, value };
}

type Question = Parameters<typeof usableQuestion>[1];

const AT_HOME = {
  usable_by: 'malaria-forecasting',
  agreement: 'agr-illus-02',
  role: 'joint_controller',
  store_in: ['RW'],
  process_in: ['RW'],
  access_from: ['RW'],
  hosting_jurisdiction: 'RW',
  recipients: [''],
  onward_transfer: false,
  fields_scope: 'minimum',
  output_type: 'dashboard',
  release_to: ['RW'],
  custody: 'rw_state',
  automated_decision: 'none',
  safeguards: ['access_logging'],
} as const satisfies Question extends infer Q ? Partial<Q> : never;

/** The purposes that datasets permit: one that many do, one that only the oldest do, one that none does. */
const QUESTIONS: Readonly<Record<string, Question>> = {
  'many are usable': { ...AT_HOME, purpose: 'outbreak_forecasting' },
  'many are usable, or after review': {
    ...AT_HOME,
    purpose: 'outbreak_forecasting',
    usable: 'review',
  },
  'the oldest 60 are usable': { ...AT_HOME, purpose: 'hiv_care' },
  'one in 100,000 is usable': { ...AT_HOME, purpose: 'insurance_pricing' },
  'no profile is usable': { ...AT_HOME, purpose: 'profiling_for_sale' },
  'profiles are usable, but no dataset: each for its own number': {
    ...AT_HOME,
    purpose: 'service_improvement',
  },
};

/**
 * Datasets that differ as real ones do: a publisher has some kinds of datasets, with facts that go
 * together; numbers and dates are each one's own. A tenth has consent records.
 */
async function fill(client: pg.Client): Promise<void> {
  // What was measured before has left datasets of one kind, which would be found here.
  await client.query(`delete from dataset_facts where dataset like 'bench-%'`);
  await client.query(`
    insert into organisation select 'use-' || i, 1, '{"en": "Bench"}', 'RW', 'public_body', null, now(), now()
    from generate_series(1, 200) i`);
  await client.query(
    `insert into dataset (id, version, status, publisher, sector, classification, document, search, created_at, updated_at)
     select 'use-' || i, 1, 'active', 'use-' || 1 + k % 200, facts ->> 'sector', facts ->> 'classification', facts,
       to_tsvector('simple', 'bench ' || i), timestamptz '2020-01-01Z' + i * interval '1 minute', now()
     from generate_series(1, ${DATASETS}) i,
       lateral (select hashint4(i) & 4095 as k) kind,
       lateral (select jsonb_build_object(
         'title', jsonb_build_object('en', 'Bench ' || i, 'rw', 'Ibarura ' || i),
         'description', jsonb_build_object('en', repeat('Counts by district and month. ', 8)),
         'sector', (array['health','education','agriculture','land','statistics','climate','tax','public_services'])[1 + k % 8],
         'classification', (array['public','internal','confidential','restricted'])[1 + k / 8 % 4],
         'personal_data', (array['none','none','indirect','direct'])[1 + k / 3 % 4],
         'deidentification', (array['aggregate','anonymised_tested','pseudonymised','identified','deidentified_untested'])[1 + k / 5 % 5],
         'sensitive_categories', to_jsonb((array['health_status','genetic','biometric'])[1 : k % 3]),
         'subject_groups', to_jsonb((array['adults','patients','children_u16'])[1 : 1 + k / 7 % 3]),
         'subject_count', 100 + i % 90000,
         'lawful_basis', (array['consent','public_duty','research_authorised','public_interest'])[1 + k / 11 % 4],
         'permitted_purposes', case
             when i <= 60 then '["hiv_care"]'::jsonb
             when i = 61 then '["insurance_pricing"]'
             else to_jsonb((array['outbreak_forecasting','public_health_planning','academic_research','service_improvement','education_planning'])[1 + k % 3 : 3 + k / 13 % 3]) || '["advertising"]' end,
         'storage_policy', (array['rw_only','rw_primary','any'])[1 + k / 17 % 3],
         'retention_until', (date '2028-01-01' + i % 3000)::text,
         'licence', 'Bench licence ' || k % 20,
         'consent', jsonb_build_object('model', 'individual', 'purposes', '["outbreak_forecasting"]'::jsonb,
           'coverage_pct', i % 100, 'withdrawn_count', 0, 'transfer_abroad_covered', k % 2 = 0),
         'sovereignty', jsonb_build_object('outputs_allowed', '["statistics", "dashboard"]'::jsonb,
           'weights_custody', 'rw_state', 'foreign_jurisdiction', (array['forbid','review','allow'])[1 + k / 19 % 3])
       ) || case when i <= 61 then '{"sector": "health", "personal_data": "none", "deidentification": "aggregate", "classification": "public"}'::jsonb else '{}' end as facts) document`,
  );
  await client.query(`
    insert into consent_total select 'use-' || i * 10, p, 50 + i % 40, 1, i % 3, 0, 50, null
    from generate_series(7, ${DATASETS / 10}) i, unnest(array['outbreak_forecasting', 'academic_research']) p`);
  await client.query('analyze dataset, dataset_facts, fact_profile, consent_total');
}

const CITES = [{ instrument: 'national-choice', article: 'bench', confidence: 'high' }];

/** 75 of each kind; most say something of the request, some also of the dataset. */
function extensionsOf(base: Program): Extension[] {
  return Array.from({ length: 300 }, (_, i) => {
    const publisher = `use-${1 + (i % 200)}`;
    const targets = [
      {
        owner: publisher,
        target: { fact: 'dataset.id', isAnyOf: [`use-${i * 7}`, `use-${i * 11}`] },
      },
      { owner: publisher },
      { target: { fact: 'dataset.sector', eq: SECTORS[Math.floor(i / 4) % SECTORS.length] } },
      {
        target: {
          and: [
            { fact: 'dataset.classification', isAnyOf: ['confidential', 'restricted'] },
            { fact: 'dataset.lawful_basis', eq: BASES[i % BASES.length] },
            { fact: 'dataset.subject_groups', hasPart: GROUPS[i % GROUPS.length] },
          ],
        },
      },
    ];
    const bound: { owner?: string; target?: object } = targets[i % 4] ?? {};
    const holds = [
      { fact: 'request.locations.processing', isPartOf: ['RW'] },
      { fact: 'request.safeguards', isAnyOf: ['access_logging', 'secure_enclave'] },
      {
        or: [
          { fact: 'request.fields_scope', eq: 'minimum' },
          { fact: 'dataset.storage_policy', eq: 'any' },
        ],
      },
      { fact: 'dataset.subject_count', lt: 1_000 * (1 + (i % 90)) },
      {
        or: [
          { fact: 'dataset.deidentification', eq: 'aggregate' },
          { fact: 'dataset.small_cell_min', gteq: 5 + (i % 7) },
        ],
      },
    ][i % 5];
    const rule = {
      id: `BENCH-${i}`,
      title: { en: 'Bench' },
      sentence: { en: 'Bench' },
      cites: CITES,
      applies: { not: { fact: 'request.purpose', isAnyOf: ['hiv_care', 'insurance_pricing'] } },
      holds,
      otherwise: i % 3 === 0 ? 'deny' : 'review',
    };
    const own = {
      ...rule,
      id: `BENCH-OWN-${i}`,
      applies: { fact: 'request.purpose', eq: 'service_improvement' },
      holds: { fact: 'dataset.subject_count', lt: 1 + (i % 90) },
      otherwise: 'deny',
    };
    const text = JSON.stringify({
      policy: `bench-${i}`,
      version: 1,
      layer: bound.owner === undefined ? 'national_choice' : 'steward',
      concern: 'sovereignty',
      title: { en: 'Bench' },
      instrument: 'national-choice',
      in_force: { from: '2026-01-01' },
      ...bound,
      rules: i % 4 === 2 ? [rule, own] : [rule],
    });
    const built = buildExtension(base, { file: `bench-${i}`, text });
    if (!built.ok) throw new Error(built.problems.map(({ message }) => message).join());
    return built.value;
  });
}

const SECTORS = [
  'health',
  'education',
  'agriculture',
  'land',
  'statistics',
  'climate',
  'tax',
  'public_services',
];
const BASES = ['consent', 'public_duty', 'research_authorised', 'public_interest'];
const GROUPS = ['adults', 'patients', 'children_u16'];
