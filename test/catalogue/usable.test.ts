/** "What may my project use?": SQL, evaluation and explanation say the same of every dataset. */

import fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { factsOfDataset } from '../../src/access/facts.ts';
import type { Dataset } from '../../src/catalogue/dataset.ts';
import { readUsableDatasets, type UsableDataset } from '../../src/catalogue/usable.ts';
import type { ConsentTotal } from '../../src/consent/consent.ts';
import { readTotals } from '../../src/consent/store.ts';
import { connect, type Database, transact } from '../../src/db/connection.ts';
import { buildExtension } from '../../src/pdp/build.ts';
import { boundTo, withExtensions } from '../../src/pdp/compose.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { explain } from '../../src/pdp/explain.ts';
import { Predicates } from '../../src/pdp/predicate.ts';
import { type Extension, loadFacts, type Program } from '../../src/pdp/program.ts';
import { residual } from '../../src/pdp/residual.ts';
import {
  build,
  built,
  mutatedFacts,
  policyDocument,
  program as rwanda,
  ruleOf,
  smallPack,
} from '../pdp/support.ts';
import { migrate } from '../../src/db/migrate.ts';
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const DATASETS = 3_000;
const RWANDAN = 500;
const PUBLISHERS = ['moh', 'rbc', 'nisr'];
const PURPOSES = ['care', 'hiv_care', 'research'];

let server: TestDatabase;
let database: Database;
let client: Client;
let datasets: readonly Dataset[];
let totals: ReadonlyMap<string, readonly ConsentTotal[]>;

beforeAll(async () => {
  server = await createTestDatabase();
  database = connect(server.connectionString, 2);
  client = new Client(server.connectionString);
  await client.connect();
  for (const id of PUBLISHERS) {
    await client.query(
      `insert into organisation values ($1, 1, '{}', 'RW', 'public_body', null, now(), now())`,
      [id],
    );
  }
  await store([
    ...fc.sample(row, { seed: 20261015, numRuns: DATASETS }),
    ...fc.sample(rwandanRow, { seed: 20261015, numRuns: RWANDAN }),
  ]);
}, 120_000);
afterAll(async () => {
  await client.end();
  await database[Symbol.asyncDispose]();
  await server.drop();
});

// Codes, a date that may be a code, and texts that would end a text, an array or a name in SQL.
const WORDS = [
  'care',
  'hiv_care',
  'hiv_trial',
  'fair_trade',
  'any',
  '2026-01-01',
  '__proto__',
  'constructor',
];
const HOSTILE = [`'; drop table dataset; --`, `"}{,\\`, '$1 ? ?| :x', 'é 中 \u{1F600}', ' ', ''];
const COUNTRIES = ['RW', 'KE', 'JP'];
const word = fc.constantFrom(...WORDS, ...HOSTILE.slice(0, 3));
const place = fc.constantFrom(...COUNTRIES);
const day = fc.constantFrom('2026-10-14', '2026-10-15', '2026-10-16', '0001-01-01');
const notDay = fc.constantFrom('2026-02-30', '0000-01-01', '2026-10-15T00:00:00Z', '20261015');
const moment = fc.constantFrom(
  '2026-10-15T08:59:59.9999Z',
  '2026-10-15T11:00:00+02:00',
  '2026-10-15t09:00:00.001z',
  '2026-10-16T03:00:00+18:00',
  '2026-10-15T24:00:00Z',
);
const number = fc.constantFrom(0, 1, 2, 0.5, 71.5, 100, 1e300, -0.1, 0.1);

/** What a dataset may state as a fact of a type, and sometimes something else. */
function stated(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const other = fc.oneof(
    word,
    number,
    fc.boolean(),
    day,
    notDay,
    fc.constant({}),
    fc.constant([]),
    fc.constant([1, 'care']),
    fc.constant(null),
  );
  return fc.oneof({ weight: 8, arbitrary: value }, { weight: 1, arbitrary: other });
}
const words = fc.uniqueArray(
  fc.oneof({ weight: 6, arbitrary: word }, { weight: 1, arbitrary: fc.constantFrom(...HOSTILE) }),
  { maxLength: 3 },
);
const places = fc.uniqueArray(place, { maxLength: 3 });
const object = (members: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> =>
  fc.record(members, { requiredKeys: [] });

const documents = object({
  sector: stated(fc.constantFrom('health', 'education')),
  code: stated(word),
  level: stated(fc.constantFrom('low', 'middle', 'high', 'beyond')),
  flag: stated(fc.boolean()),
  number: stated(number),
  day: stated(fc.oneof(day, notDay)),
  at: stated(moment),
  codes: stated(words),
  places: stated(places),
  box: stated(
    object({
      code: stated(word),
      number: stated(number),
      codes: stated(words),
      inner: stated(object({ flag: stated(fc.boolean()), codes: stated(words) })),
    }),
  ),
  group: stated(object({ code: stated(word), flag: stated(fc.boolean()) })),
  people: stated(fc.array(stated(object({ place: stated(place) })), { maxLength: 3 })),
  subject_count: stated(fc.constantFrom(0, 4, 7, 12)),
  consent: stated(
    object({
      model: stated(fc.constantFrom('individual', 'care')),
      purposes: stated(fc.uniqueArray(fc.constantFrom(...PURPOSES), { maxLength: 2 })),
      coverage_pct: stated(number),
      withdrawn_count: stated(fc.constantFrom(0, 1)),
      last_withdrawal_at: stated(moment),
      withdrawal_filterable: stated(fc.boolean()),
      transfer_abroad_covered: stated(fc.boolean()),
    }),
  ),
  // Members of DCAT: no facts, whatever they are called.
  keyword: fc.constant(['care']),
}) as fc.Arbitrary<Record<string, unknown>>;

const count = fc.constantFrom(0, 1, 3);
const total = fc.record({
  purpose: fc.constantFrom(...PURPOSES),
  given: count,
  refused: count,
  withdrawn: count,
  covering: fc.constantFrom('all', 'none'),
  last: fc.constantFrom(null, '2026-10-15 09:00:00.001999+00', '2026-10-15 08:59:59.9+00'),
});

const row = fc.record({
  publisher: fc.constantFrom(...PUBLISHERS),
  document: documents,
  totals: fc.uniqueArray(total, { maxLength: 2, selector: (each) => each.purpose }),
});
/** Datasets of the shipped pack's cases, changed at random. */
const rwandanRow = fc.tuple(row, mutatedFacts).map(([each, { dataset }]) => {
  const { id: _id, title: _title, publisher: _publisher, ...document } = dataset as Row['document'];
  return { ...each, document };
});
type Row = typeof row extends fc.Arbitrary<infer T> ? T : never;

/** Half of the datasets get their consent records after they are registered, half before a change. */
async function store(rows: readonly Row[]): Promise<void> {
  const values = rows.map(({ publisher, document }, i) => ({
    id: `ds-${i}`,
    publisher,
    document: { ...document, title: { en: `Title ${i}` } },
  }));
  await client.query(
    `insert into dataset (id, version, status, publisher, document, search, created_at, updated_at)
     select id, 1, 'active', publisher, document, '', timestamptz '2026-01-01Z' + row_number() over () * interval '1 s', now()
     from jsonb_to_recordset($1) as r(id text, publisher text, document jsonb)`,
    [JSON.stringify(values)],
  );
  const consent = rows.flatMap((each, i) =>
    each.totals.map(({ covering, last, ...rest }) => ({
      dataset: `ds-${i}`,
      ...rest,
      given_by_parent: 0,
      given_covering_transfer: covering === 'all' ? rest.given : 0,
      last_withdrawal_at: last,
    })),
  );
  await client.query(
    `insert into consent_total select * from jsonb_populate_recordset(null::consent_total, $1)`,
    [JSON.stringify(consent)],
  );
  await client.query(`update dataset set version = 2 where id like '%0'`);
  // The server does so by itself within a minute; until then it would join row by row.
  await client.query('analyze');
  const found = await database.db
    .selectFrom('dataset')
    .select(['id', 'version', 'status', 'publisher', 'document', 'created_at', 'updated_at'])
    .execute();
  datasets = found as Dataset[];
  const all = await readTotals(
    database.db,
    datasets.map(({ id }) => id),
  );
  totals = Map.groupBy(all, ({ dataset }) => dataset);
}

const ranks = { low: 0, middle: 1, high: 2 };
const title = { en: 'Title' };
type Spec = Readonly<Record<string, unknown>>;
const spec = (type: string, more: Spec = {}): Spec => ({
  type,
  source: 'register',
  title,
  basis: 'test',
  ...more,
});

/** The facts of a pack of its own: what absence means is drawn anew. */
const pack: fc.Arbitrary<object> = fc
  .record({
    code: absence(fc.constantFrom('care', 'any')),
    level: absence(fc.constantFrom('low', 'high')),
    flag: absence(fc.boolean()),
    number: absence(fc.constantFrom(0, 1)),
    day: absence(fc.constant('2026-10-15')),
    at: absence(fc.constant('2026-10-15T09:00:00Z')),
    codes: absence(words),
    places: absence(places),
    box: absence(
      object({
        code: fc.constant('care'),
        codes: fc.constant(['any']),
        inner: fc.constant({ flag: true }),
      }),
    ),
    inner: absence(object({ flag: fc.boolean() })),
    consent: absence(fc.constant({ model: 'none', purposes: [], coverage_pct: 0 })),
    coverage: absence(fc.constant(0)),
    sector: absence(fc.constant('health')),
    combining: fc.constantFrom({}, { combining: 'review_first' }),
    closed: fc.constantFrom({}, { closed: ['purposes'] }),
  })
  .map(({ combining, closed, ...absent }) => {
    const dataset: Record<string, Spec> = {
      id: spec('code', { absent: 'none' }),
      title: spec('text'),
      publisher: spec('code', { absent: 'none' }),
      sector: spec('code', absent.sector),
      code: spec('code', absent.code),
      level: spec('enum', { values: ['low', 'middle', 'high'], ranks, ...absent.level }),
      flag: spec('boolean', absent.flag),
      number: spec('number', absent.number),
      day: spec('date', absent.day),
      at: spec('datetime', absent.at),
      codes: spec('set', { of: 'code', ...absent.codes }),
      places: spec('set', { of: 'country', ...absent.places }),
      box: spec('object', absent.box),
      'box.code': spec('code', absent.code),
      'box.number': spec('number', absent.number),
      'box.codes': spec('set', { of: 'code', ...absent.codes }),
      'box.inner': spec('object', absent.inner),
      'box.inner.flag': spec('boolean', absent.flag),
      'box.inner.codes': spec('set', { of: 'code' }),
      'group.code': spec('code', absent.code),
      'group.flag': spec('boolean'),
      people: spec('list'),
      'people.place': spec('country'),
      subject_count: spec('integer'),
      consent: spec('object', absent.consent),
      'consent.model': spec('code'),
      'consent.purposes': spec('set', { of: 'code', ...absent.codes }),
      'consent.coverage_pct': spec('number', absent.coverage),
      'consent.withdrawn_count': spec('integer'),
      'consent.last_withdrawal_at': spec('datetime', absent.at),
      'consent.withdrawal_filterable': spec('boolean'),
      'consent.transfer_abroad_covered': spec('boolean', absent.flag),
      // The same place, read as another type.
      keyword: spec('set', { of: 'code' }),
    };
    const request: Record<string, Spec> = {
      as_of: spec('datetime'),
      purpose: spec('code'),
      sector: spec('code', absent.flag),
      code: spec('code', absent.code),
      level: spec('enum', {
        values: ['low', 'middle', 'high'],
        ranks: { low: 1, high: 1, middle: 2 },
        ...absent.level,
      }),
      flag: spec('boolean'),
      number: spec('number', absent.number),
      day: spec('date'),
      at: spec('datetime'),
      codes: spec('set', { of: 'code', ...absent.codes }),
      places: spec('set', { of: 'country' }),
      people: spec('list'),
      'people.place': spec('country'),
    };
    const named = (root: string, specs: Record<string, Spec>): [string, Spec][] =>
      Object.entries(specs).map(([path, each]) => [`${root}.${path}`, each]);
    return smallPack({
      ...combining,
      ...closed,
      facts: Object.fromEntries([...named('dataset', dataset), ...named('request', request)]),
      derived: {
        likely: {
          title,
          condition: { and: ['dataset.flag', { not: { fact: 'dataset.code', eq: 'any' } }] },
        },
        asked: { title, condition: { or: ['request.flag', 'likely'] } },
        words: { title, union: ['dataset.codes', 'dataset.box.codes', 'request.codes'] },
        abroad: { title, union: ['request.places', 'dataset.places'], without_home: true },
        anywhere: { title, union: ['abroad', 'dataset.people.place', 'request.people.place'] },
      },
    });
  });

function absence(value: fc.Arbitrary<unknown>): fc.Arbitrary<Spec> {
  return fc.oneof(
    fc.constant({}),
    fc.constant({ absent: 'none' }),
    value.map((counts_as) => ({ absent: { counts_as } })),
  );
}

const TEXTS = [
  'dataset.code',
  'dataset.box.code',
  'dataset.group.code',
  'dataset.sector',
  'dataset.id',
  'dataset.publisher',
  'dataset.title',
  'dataset.consent.model',
  'request.purpose',
  'request.code',
  'request.sector',
  'home',
];
const WORD_SETS = [
  'dataset.codes',
  'dataset.box.codes',
  'dataset.box.inner.codes',
  'dataset.consent.purposes',
  'dataset.keyword',
  'request.codes',
  'words',
];
const PLACE_SETS = [
  'dataset.places',
  'dataset.people.place',
  'request.places',
  'request.people.place',
  'abroad',
  'anywhere',
];
const NUMBERS = [
  'dataset.number',
  'dataset.box.number',
  'dataset.subject_count',
  'dataset.consent.coverage_pct',
  'dataset.consent.withdrawn_count',
  'request.number',
];
const DAYS = ['dataset.day', 'request.day', 'today'];
const MOMENTS = ['dataset.at', 'dataset.consent.last_withdrawal_at', 'request.at', 'request.as_of'];
const LEVELS = ['dataset.level', 'request.level'];
const FLAGS = [
  'dataset.flag',
  'dataset.group.flag',
  'dataset.box.inner.flag',
  'dataset.consent.transfer_abroad_covered',
  'dataset.consent.withdrawal_filterable',
  'request.flag',
  'likely',
  'asked',
];
const OBJECTS = [
  'dataset.box',
  'dataset.box.inner',
  'dataset.consent',
  'dataset.people',
  'request.people',
];

const from = (names: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...names);
const factOf = (names: readonly string[]): fc.Arbitrary<unknown> =>
  from(names).map((fact) => ({ fact }));
const comparison = (
  names: readonly string[],
  operators: readonly string[],
  right: fc.Arbitrary<unknown>,
): fc.Arbitrary<unknown> =>
  fc
    .tuple(from(names), fc.constantFrom(...operators), right)
    .map(([fact, operator, value]) => ({ fact, [operator]: value }));
const ORDERINGS = ['lt', 'lteq', 'gt', 'gteq'];
const wordConstant = fc.constantFrom(
  'care',
  'trade',
  'hiv_care',
  'any',
  'moh',
  'rbc',
  'ds-7',
  'health',
  '2026-01-01',
  `'; drop table dataset; --`,
);
const wordConstants = fc.oneof(wordConstant, fc.uniqueArray(wordConstant, { maxLength: 3 }));
const placeConstants = fc.oneof(place, fc.constant('EAC'), fc.uniqueArray(place, { maxLength: 3 }));

const leaf: fc.Arbitrary<unknown> = fc.oneof(
  from(FLAGS),
  comparison(TEXTS, ['eq', 'neq'], fc.oneof(wordConstant, factOf(TEXTS))),
  comparison(
    TEXTS,
    ['isA', 'isAnyOf', 'isNoneOf', 'isPartOf'],
    fc.oneof(wordConstants, factOf(TEXTS)),
  ),
  comparison(TEXTS, ['isAnyOf', 'isNoneOf', 'isPartOf'], factOf([...WORD_SETS, ...PLACE_SETS])),
  comparison(TEXTS, ['isA', 'overlaps'], fc.oneof(wordConstants, factOf(WORD_SETS))),
  comparison(WORD_SETS, ['isA', 'overlaps'], fc.oneof(wordConstants, factOf(WORD_SETS))),
  comparison(
    WORD_SETS,
    ['isAnyOf', 'isNoneOf', 'isPartOf', 'hasPart', 'isAllOf'],
    fc.oneof(wordConstants, factOf([...WORD_SETS, ...TEXTS])),
  ),
  comparison(
    PLACE_SETS,
    ['isAnyOf', 'isNoneOf', 'hasPart', 'isAllOf'],
    fc.oneof(place, places, factOf([...PLACE_SETS, ...TEXTS])),
  ),
  comparison(PLACE_SETS, ['isPartOf'], fc.oneof(placeConstants, factOf([...PLACE_SETS, ...TEXTS]))),
  comparison(
    WORD_SETS,
    ['isAnyOf', 'isPartOf', 'hasPart'],
    factOf([...NUMBERS, ...DAYS, ...FLAGS]),
  ),
  comparison(
    [...NUMBERS, ...DAYS, ...FLAGS],
    ['isAnyOf', 'isNoneOf', 'isPartOf'],
    factOf(WORD_SETS),
  ),
  comparison(NUMBERS, [...ORDERINGS, 'eq', 'neq'], fc.oneof(number, factOf(NUMBERS))),
  comparison(DAYS, [...ORDERINGS, 'eq', 'neq'], fc.oneof(day, factOf(DAYS))),
  comparison(
    MOMENTS,
    [...ORDERINGS, 'eq', 'neq'],
    fc.oneof(fc.constant('2026-10-15T09:00:00.001Z'), factOf(MOMENTS)),
  ),
  comparison(
    LEVELS,
    [...ORDERINGS, 'eq'],
    fc.oneof(fc.constantFrom('low', 'middle', 'high'), factOf(LEVELS)),
  ),
  comparison(FLAGS, ['eq', 'neq'], fc.oneof(fc.boolean(), factOf(FLAGS))),
  from([
    ...TEXTS,
    ...WORD_SETS,
    ...PLACE_SETS,
    ...NUMBERS,
    ...DAYS,
    ...MOMENTS,
    ...LEVELS,
    ...FLAGS,
    ...OBJECTS,
  ]).map((fact) => ({ exists: fact })),
  from([...WORD_SETS, ...PLACE_SETS]).map((fact) => ({ nonempty: fact })),
);

/** A condition; `rules` are those that it may refer to. */
function conditionOf(rules: readonly string[]): fc.Arbitrary<unknown> {
  const holding = rules.filter((id) => id.endsWith('-H'));
  const references = [
    ...(rules.length > 0 ? [from(rules).map((id) => ({ applies: id }))] : []),
    ...(holding.length > 0 ? [from(holding).map((id) => ({ holds: id }))] : []),
  ];
  const part = fc.oneof({ weight: 5, arbitrary: leaf }, ...references);
  const list = (of: fc.Arbitrary<unknown>) => fc.array(of, { minLength: 1, maxLength: 4 });
  const deeper = fc.oneof(
    { weight: 3, arbitrary: part },
    { weight: 1, arbitrary: part.map((of) => ({ not: of })) },
    { weight: 1, arbitrary: list(part).map((of) => ({ and: of })) },
    { weight: 1, arbitrary: list(part).map((of) => ({ or: of })) },
    { weight: 1, arbitrary: list(part).map((of) => ({ xone: of })) },
  );
  return fc.oneof(
    { weight: 3, arbitrary: deeper },
    { weight: 1, arbitrary: list(deeper).map((of) => ({ or: of })) },
    { weight: 1, arbitrary: list(deeper).map((of) => ({ not: { and: of } })) },
  );
}

const effect = fc.constantFrom('permit', 'deny', 'review');

function ruleFor(id: string, rules: readonly string[]): fc.Arbitrary<object> {
  const condition = conditionOf(rules);
  const outcomes = fc.oneof(
    effect,
    fc
      .tuple(condition, effect, effect)
      .map(([when, first, last]) => [{ when, effect: first }, { effect: last }]),
  );
  const applies = fc.oneof(
    fc.constant({}),
    condition.map((each) => ({ applies: each })),
  );
  if (!id.endsWith('-H'))
    return fc
      .record({ applies, outcome: outcomes })
      .map(({ applies: at, outcome }) => ruleOf(id, { ...at, outcome }));
  const then = fc.oneof(
    fc.constant({}),
    effect.map((each) => ({ then: each })),
  );
  return fc
    .record({ applies, then, holds: condition, otherwise: outcomes })
    .map(({ applies: at, then: yes, holds, otherwise }) =>
      ruleOf(id, { ...at, ...yes, holds, otherwise }),
    );
}

const BASE = ['R1', 'R2-H', 'R3-H', 'R4'];
const baseRules = fc.tuple(...BASE.map((id, i) => ruleFor(id, BASE.slice(0, i))));
const permitting = ruleOf('PERMIT', { outcome: 'permit' });

/** A policy of a steward or of the nation, about all or some datasets. */
function extensionOf(i: number): fc.Arbitrary<object> {
  const own = [`X${i}-H`, `Y${i}`];
  return fc
    .record({
      owner: fc.constantFrom('moh', 'rbc', undefined),
      target: fc.option(datasetCondition, { nil: undefined }),
      rules: fc.tuple(
        ruleFor(own[0] ?? '', BASE),
        ruleFor(own[1] ?? '', [...BASE, ...own.slice(0, 1)]),
      ),
    })
    .map(({ owner, target, rules }) =>
      policyDocument(choices(rules), {
        policy: `x${i}`,
        layer: owner === undefined ? 'national_choice' : 'steward',
        instrument: 'choice',
        ...(owner === undefined ? {} : { owner }),
        ...(target === undefined ? {} : { target }),
      }),
    );
}

const datasetCondition = leaf.filter(
  (each) => !JSON.stringify(each).match(/request\.|today|home|likely|asked|words|abroad|anywhere/),
);

function choices(rules: readonly object[]): object[] {
  const cites = [{ instrument: 'choice', article: 'test', confidence: 'high' }];
  return rules.map((rule) => ({ ...rule, cites }));
}

const request = object({
  purpose: fc.constantFrom(...PURPOSES, 'unheard_of'),
  code: word,
  level: fc.constantFrom('low', 'middle', 'high'),
  flag: fc.boolean(),
  number,
  day,
  at: moment.filter((each) => !each.includes('T24')),
  codes: words,
  places,
  people: fc.array(object({ place }), { maxLength: 2 }),
}) as fc.Arbitrary<Record<string, unknown>>;

function extensionOn(base: Program, document: object): Extension {
  const made = buildExtension(base, { file: 'extension.yaml', text: JSON.stringify(document) });
  if (made.ok) return made.value;
  throw new Error(made.problems.map(({ message }) => message).join());
}

function programOf(
  thePack: object,
  rules: readonly object[],
  extensions: readonly object[],
): Program {
  const base = built(thePack, policyDocument([permitting, ...rules]));
  return withExtensions(
    base,
    extensions.map((document) => extensionOn(base, document)),
  );
}

const AS_OF = '2026-10-15T09:00:00.001Z';

type Effect = 'permit' | 'review' | 'deny';
interface Part {
  readonly exceptions?: ReadonlyMap<string, Effect>;
  readonly after?: Dataset | undefined;
  readonly limit?: number;
  /** Only what is permitted at once. */
  readonly isPermit?: boolean;
}

/** Usable datasets by SQL over the residual, newest first. */
async function listed(
  program: Program,
  asked: Record<string, unknown>,
  { exceptions = new Map(), after, limit = DATASETS + RWANDAN + 1, isPermit = false }: Part = {},
): Promise<readonly UsableDataset[]> {
  const predicates = new Predicates();
  const { and, or, never } = predicates;
  const { allowed, permitted, review, clear } = residual(
    program,
    { ...asked, as_of: AS_OF },
    { 'request.sector': 'sector' },
    predicates,
  );
  const question = {
    usable: isPermit ? and(clear, permitted) : and(allowed, or(permitted, review)),
    review: isPermit ? never : review,
    purpose: String(asked['purpose']),
    exceptions,
  };
  return transact(database.db, (tx) =>
    readUsableDatasets(tx, question, { allOf: null, after }, limit),
  );
}

/** The effect for each dataset. */
async function bySql(
  program: Program,
  asked: Record<string, unknown>,
): Promise<Map<string, Effect>> {
  const effects = new Map<string, Effect>(datasets.map(({ id }) => [id, 'deny']));
  for (const { id, usable } of await listed(program, asked)) effects.set(id, usable);
  const permitted = await listed(program, asked, { isPermit: true });
  expect(permitted.every(({ usable }) => usable === 'permit')).toBe(true);
  expect(permitted.map(({ id }) => id).toSorted()).toEqual(
    [...effects].flatMap(([id, each]) => (each === 'permit' ? id : [])).toSorted(),
  );
  return effects;
}

function factsFor(dataset: Dataset, asked: Record<string, unknown>) {
  const facts = factsOfDataset(dataset, totals.get(dataset.id) ?? [], asked['purpose']);
  return { dataset: facts, request: { ...asked, as_of: AS_OF, sector: facts['sector'] ?? null } };
}

/** The datasets of which SQL, evaluation and explanation do not say the same. */
async function disagreements(
  program: Program,
  asked: Record<string, unknown>,
  each = 1,
): Promise<unknown[]> {
  const effects = await bySql(program, asked);
  return datasets.flatMap((dataset, i) => {
    const facts = factsFor(dataset, asked);
    const bound = boundTo(program, facts);
    const evaluated = evaluate(bound, loadFacts(bound, facts)).effect;
    const explained = i % each === 0 ? explain(bound, facts).effect : evaluated;
    const sql = effects.get(dataset.id);
    return sql === evaluated && explained === evaluated
      ? []
      : [
          {
            id: dataset.id,
            sql,
            evaluated,
            explained,
            document: dataset.document,
            totals: totals.get(dataset.id),
          },
        ];
  });
}

describe('SQL, evaluation and explanation', () => {
  test('say the same of every dataset, whatever the pack, the policies and the request', async () => {
    await fc.assert(
      fc.asyncProperty(
        pack,
        baseRules,
        fc.tuple(extensionOf(0), extensionOf(1)),
        request,
        async (thePack, rules, extensions, asked) => {
          const program = programOf(thePack, rules, extensions);
          expect((await disagreements(program, asked, 10)).slice(0, 1)).toEqual([]);
        },
      ),
      { numRuns: Number(process.env['RUNS'] ?? 15) },
    );
  }, 600_000);

  test('give the same in pages, datasets that are decided by themselves among them', async () => {
    const some = fc.uniqueArray(
      fc.tuple(
        fc.integer({ min: 0, max: DATASETS - 1 }).map((i) => `ds-${i}`),
        fc.constantFrom<Effect>('permit', 'review', 'deny'),
      ),
      { selector: ([id]) => id, maxLength: 4 },
    );
    await fc.assert(
      fc.asyncProperty(
        pack,
        baseRules,
        request,
        some,
        fc.nat(),
        async (thePack, rules, asked, decided, at) => {
          const program = programOf(thePack, rules, []);
          const exceptions = new Map(decided);
          const effects = new Map([...(await bySql(program, asked)), ...exceptions]);
          const expected = datasets
            .filter(({ id }) => effects.get(id) !== 'deny')
            .toSorted((a, b) => (a.created_at < b.created_at ? 1 : -1))
            .map(({ id }) => ({ id, usable: effects.get(id) }));
          const shown = ({ id, usable }: UsableDataset) => ({ id, usable });
          const whole = await listed(program, asked, { exceptions });
          expect(whole.map(shown)).toEqual(expected);
          const last = at % (whole.length + 1);
          const page = await listed(program, asked, {
            exceptions,
            after: whole[last - 1],
            limit: 5,
          });
          expect(page.map(shown)).toEqual(expected.slice(last, last + 5));
        },
      ),
      { numRuns: 6 },
    );
  }, 600_000);

  test('say the same by the shipped pack with policies of stewards and of the nation', async () => {
    const cites = [{ instrument: 'national-choice', article: 'test', confidence: 'high' }];
    const own = (i: number, parts: object, rule: object): Extension =>
      extensionOn(
        rwanda,
        policyDocument([ruleOf(`X${i}`, { ...rule, cites })], {
          policy: `x${i}`,
          layer: 'owner' in parts ? 'steward' : 'national_choice',
          instrument: 'national-choice',
          ...parts,
        }),
      );
    const program = withExtensions(rwanda, [
      own(
        1,
        { owner: 'moh' },
        { holds: { fact: 'dataset.subject_count', lt: 5000 }, otherwise: 'deny' },
      ),
      own(
        2,
        { owner: 'rbc', target: { fact: 'dataset.sector', eq: 'health' } },
        { outcome: 'review' },
      ),
      own(3, { target: { fact: 'dataset.consent.coverage_pct', lt: 50 } }, { outcome: 'review' }),
      own(4, { target: { fact: 'dataset.id', isAnyOf: ['ds-3', 'ds-3001'] } }, { outcome: 'deny' }),
    ]);
    await fc.assert(
      fc.asyncProperty(mutatedFacts, async ({ request: asked }) => {
        const found = await disagreements(program, asked as Record<string, unknown>, 5);
        expect(found.slice(0, 1)).toEqual([]);
      }),
      { numRuns: 6 },
    );
  }, 600_000);

  test('say the same of every single test', async () => {
    await fc.assert(
      fc.asyncProperty(pack, leaf, request, async (thePack, condition, asked) => {
        const rules = [
          ruleOf('DENY', { applies: { not: condition }, holds: condition, otherwise: 'deny' }),
        ];
        const made = build(thePack, policyDocument([permitting, ...rules]));
        fc.pre(made.ok);
        expect(
          (await disagreements(programOf(thePack, rules, []), asked, 100)).slice(0, 1),
        ).toEqual([]);
      }),
      { numRuns: 40 },
    );
  }, 600_000);
});

describe('Many limits of one fact', () => {
  const where = fc.constantFrom<object | boolean>(
    true,
    { fact: 'dataset.code', eq: 'care' },
    { fact: 'dataset.code', isAnyOf: ['hiv_care', 'any'] },
    { fact: 'dataset.flag', eq: true },
    { not: { fact: 'dataset.codes', hasPart: 'care' } },
  );
  /** Rules that hold where one fact is on one side of a number, each of another one. */
  const limits = fc
    .record({
      fact: fc.constantFrom('number', 'subject_count', 'day', 'box.number', 'consent.coverage_pct'),
      operator: fc.constantFrom('lt', 'lteq', 'gt', 'gteq'),
      isAny: fc.boolean(),
      isNot: fc.boolean(),
      each: fc.array(fc.record({ where, at: fc.nat(2) }), { minLength: 3, maxLength: 7 }),
      otherwise: fc.constantFrom('deny', 'review'),
    })
    .map(({ fact, operator, isAny, isNot, each, otherwise }) => {
      const all = each.map(({ where: applies, at }) => {
        const value = fact === 'day' ? `2026-10-1${4 + at}` : at;
        const limit = { fact: `dataset.${fact}`, [operator]: value };
        return { applies, holds: isNot ? { not: limit } : limit };
      });
      if (!isAny) return all.map((one, i) => ruleOf(`L-${i}`, { ...one, otherwise }));
      const or = all.map(({ applies, holds }) => ({ and: [applies, holds] }));
      return [ruleOf('L', { holds: { or }, otherwise })];
    });

  test('are one comparison each, and say the same', async () => {
    await fc.assert(
      fc.asyncProperty(pack, limits, request, async (thePack, rules, asked) => {
        const made = build(thePack, policyDocument([permitting, ...rules]));
        fc.pre(made.ok);
        expect(
          (await disagreements(programOf(thePack, rules, []), asked, 100)).slice(0, 1),
        ).toEqual([]);
      }),
      { numRuns: Number(process.env['RUNS'] ?? 15) },
    );
  }, 600_000);

  test('and more words than the protocol has parameters for are asked all the same', async () => {
    const [drawn] = fc.sample(fc.tuple(pack, request), { seed: 3, numRuns: 1 });
    if (!drawn) throw new Error('nothing was drawn');
    const [thePack, asked] = drawn;
    // Some 140,000 words, fewer than 500 of them different.
    const rules = Array.from({ length: 40 }, (_, i) =>
      ruleOf(`M-${i}`, {
        holds: {
          xone: Array.from({ length: 12 }, (_each, k) => ({
            fact: 'dataset.codes',
            isPartOf: [`w-${i}`, `w-${k}`, 'care'],
          })),
        },
        otherwise: 'review',
      }),
    );
    const program = programOf(thePack, rules, []);
    expect((await disagreements(program, asked, 1_000)).slice(0, 1)).toEqual([]);
  }, 60_000);
});

describe('The stored facts of datasets', () => {
  const PICTURE = `
    select dataset, created_at, active, consented, profile, apart, facts
    from dataset_facts join fact_profile on sha256 = profile order by dataset`;

  test('are made by an upgrade of the datasets and consent records that are there', async () => {
    await using old = await createEmptyDatabase();
    await migrate(old.connectionString);
    const upgraded = new Client(old.connectionString);
    await upgraded.connect();
    try {
      await upgraded.query(`
        drop table dataset_facts, fact_profile, fact_apart;
        drop function keep_dataset_facts, keep_consented cascade;
        drop function store_facts, instant_ms;
        drop table impact_change, impact, decision_part;
        drop function whole_document;
        drop table space_entity, space_version, space;
        drop table log_signed, log_published, witnessed_log, event_block, event_term;
        drop function refuse_shrinking;
        alter table decision drop column evaluation, drop column facts_erased;
        drop function erase_facts;
        drop table cut_off_decision, cut_off, consent_total_version;
        drop table erased_value, erasure, legal_hold;
        drop function refuse_all_but_erasing, refuse_all_but_lifting, is_erased cascade;
        alter table audit_event drop column disclosures;
        alter table consent_record drop column salt;
        drop function refuse_changing_final cascade;
        drop trigger log_head_no_delete on log_head;
        alter table log_head drop column year, drop column base;
        delete from kysely_migration where name >= '0005_dataset_facts'`);
      for (const table of ['organisation', 'dataset', 'consent_total']) {
        const { rows } = await client.query(`select json_agg(t) as all from ${table} t`);
        await upgraded.query(
          `insert into ${table} select * from json_populate_recordset(null::${table}, $1)`,
          [JSON.stringify((rows[0] as { all: unknown }).all)],
        );
      }
      await migrate(old.connectionString);
      expect((await upgraded.query(PICTURE)).rows).toEqual((await client.query(PICTURE)).rows);
    } finally {
      await upgraded.end();
    }
  });

  test('are shared by datasets that differ in numbers, dates and titles only', async () => {
    const { rows } = await client.query(
      `select count(distinct profile)::integer as profiles from dataset_facts where dataset like 'same-%'`,
    );
    expect(rows).toEqual([{ profiles: 0 }]);
    await client.query('begin');
    await client.query(`
      insert into dataset (id, version, status, publisher, document, search, created_at, updated_at)
      select 'same-' || i, 1, 'active', 'moh', jsonb_build_object('title', jsonb_build_object('en', 'T' || i),
        'number', i, 'day', (date '2026-01-01' + i)::text, 'codes', case when i % 2 = 0 then '["a", "b"]'::jsonb else '["b", "a", "a"]' end), '', now(), now()
      from generate_series(1, 50) i`);
    const after = await client.query(
      `select count(distinct profile)::integer as profiles from dataset_facts where dataset like 'same-%'`,
    );
    await client.query('rollback');
    expect(after.rows).toEqual([{ profiles: 1 }]);
  });
});
