import * as fc from 'fast-check';
import { compileCondition } from '../../src/pdp/compile.ts';
import type { Condition, Constant, Operator } from '../../src/pdp/condition.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import type { Facts, Frame } from '../../src/pdp/facts.ts';
import { loadFacts, type Program, scopeOf } from '../../src/pdp/program.ts';
import { built, policyDocument, ruleOf, smallPack, withFact } from './support.ts';

const title = { en: 'Title' };
const fact = (type: string, more: object = {}): object => ({
  type,
  source: 'request',
  title,
  basis: 'test',
  ...more,
});

/** Facts of every type and every meaning of absence, with few values. */
export const vocabulary: object = smallPack({
  facts: {
    'request.as_of': fact('datetime'),
    'request.yes': fact('boolean'),
    'request.no': fact('boolean', { absent: 'none' }),
    'request.count': fact('integer', { minimum: 0, maximum: 3 }),
    'request.limit': fact('integer', { minimum: 1, maximum: 3, absent: 'none' }),
    'request.share': fact('number', { minimum: 0, maximum: 1, absent: { counts_as: 0 } }),
    'request.from': fact('date'),
    'request.until': fact('date', { absent: 'none' }),
    'request.purpose': fact('code'),
    'request.other': fact('code', { absent: 'none' }),
    'request.asked': fact('enum', { values: ['low', 'high'], ranks: { low: 0, high: 2 } }),
    'dataset.allowed': fact('enum', {
      values: ['lowest', 'middle', 'unranked'],
      ranks: { lowest: 0, middle: 1 },
      absent: { counts_as: 'lowest' },
    }),
    'request.codes': fact('set', { of: 'code' }),
    'request.words': fact('set', { of: 'code', absent: 'none' }),
    'request.kinds': fact('set', {
      of: 'enum',
      values: ['low', 'high'],
      absent: { counts_as: ['low'] },
    }),
    'request.place': fact('country'),
    'request.places': fact('set', { of: 'country' }),
    'request.people': fact('list'),
    'request.people.place': fact('country'),
    'request.people.purpose': fact('code'),
    'request.paper': fact('object', { absent: 'none' }),
    'request.paper.until': fact('date'),
    'request.paper.purposes': fact('set', { of: 'code' }),
    'request.paper.copy': fact('object', { absent: 'none' }),
    'request.paper.copy.sealed': fact('boolean', { absent: { counts_as: false } }),
    'request.paper.readers': fact('list'),
    'request.paper.readers.place': fact('country'),
    'request.paper.pages': fact('integer', { minimum: 0, maximum: 3, absent: { counts_as: 2 } }),
    'request.thing': fact('object'),
    'request.thing.flag': fact('boolean', { absent: 'none' }),
    'request.consent': fact('object', { absent: { counts_as: { covered: false, codes: [] } } }),
    'request.consent.covered': fact('boolean'),
    'request.consent.codes': fact('set', { of: 'code' }),
  },
  derived: {
    sure: { title, condition: { and: ['request.yes', { not: 'request.no' }] } },
    doubt: { title, condition: { or: ['sure', { fact: 'request.count', gt: 1 }] } },
    abroad: { title, union: ['request.places', 'request.people.place'], without_home: true },
    words: { title, union: ['request.codes', 'request.words', 'request.paper.purposes'] },
  },
});

/** The rules that random conditions refer to. */
export const RULES: readonly object[] = [
  ruleOf('R-ONE', {
    applies: { or: ['request.yes', { nonempty: 'abroad' }] },
    holds: { fact: 'request.count', lteq: { fact: 'request.limit' } },
    otherwise: 'deny',
  }),
  ruleOf('R-TWO', {
    applies: { and: [{ applies: 'R-ONE' }, { holds: 'R-ONE' }] },
    holds: { fact: 'request.purpose', isA: 'care' },
    otherwise: [{ when: 'request.no', effect: 'review' }, { effect: 'deny' }],
  }),
];

export const small: Program = built(vocabulary, policyDocument(RULES));
const scope = scopeOf(small);

const CODES = [
  'care',
  'hiv_care',
  'hiv_trial',
  'research',
  'trade',
  'fair_trade',
  'other-1',
  'else',
];
const PLACES = ['RW', 'KE', 'UG', 'JP'];
const DATES = ['2026-01-01', '2026-01-02', '2026-01-03'];
const INSTANTS = ['2025-12-31T21:59:59Z', '2025-12-31T22:00:00Z', '2026-01-01T22:00:00Z'];
const subsets = (items: readonly string[]): string[][] =>
  items.reduce<string[][]>((sets, item) => [...sets, ...sets.map((set) => [...set, item])], [[]]);

/** Values of each fact to try out; a fact may always be left out. */
const VALUES: Readonly<Record<string, readonly unknown[]>> = {
  'request.as_of': INSTANTS,
  'request.yes': [true, false],
  'request.no': [true, false],
  'request.count': [0, 1, 2, 3],
  'request.limit': [1, 2, 3],
  'request.share': [0, 0.25, 0.5, 0.75, 1],
  'request.from': DATES,
  'request.until': DATES,
  'request.purpose': CODES,
  'request.other': CODES,
  'request.asked': ['low', 'high'],
  'dataset.allowed': ['lowest', 'middle', 'unranked'],
  'request.codes': subsets(['care', 'hiv_trial', 'else', 'fair_trade']),
  'request.words': subsets(['care', 'research', 'else', 'trade']),
  'request.kinds': subsets(['low', 'high']),
  'request.place': PLACES,
  'request.places': subsets(['RW', 'KE', 'JP']),
  'request.people': [
    [],
    [{}],
    [{ place: 'RW' }],
    [{ place: 'KE', purpose: 'care' }],
    [{ purpose: 'else' }],
    [
      { place: 'RW', purpose: 'care' },
      { place: 'JP', purpose: 'hiv_trial' },
    ],
  ],
  'request.paper': [
    {},
    { copy: {} },
    { copy: { sealed: true }, until: DATES[1] },
    { purposes: ['care'], pages: 1, readers: [] },
    { readers: [{ place: 'KE' }, { place: 'RW' }] },
    { purposes: [], until: DATES[0], pages: 3 },
    { purposes: ['care', 'else'], until: DATES[2], pages: 0 },
  ],
  'request.thing': [{}, { flag: true }, { flag: false }],
  'request.consent': [
    {},
    { covered: true },
    { covered: false, codes: ['care'] },
    { covered: true, codes: ['care', 'else'] },
  ],
};

const STRINGS = [
  'request.purpose',
  'request.other',
  'request.place',
  'request.asked',
  'dataset.allowed',
  'home',
];
const SETS = [
  'request.codes',
  'request.words',
  'request.kinds',
  'request.places',
  'request.people.place',
  'request.people.purpose',
  'request.paper.purposes',
  'request.paper.readers.place',
  'request.consent.codes',
  'abroad',
  'words',
];
const DATE_FACTS = ['request.from', 'request.until', 'request.paper.until', 'today'];
const NUMBERS = ['request.count', 'request.limit', 'request.share', 'request.paper.pages'];
const BOOLEANS = [
  'request.yes',
  'request.no',
  'request.paper.copy.sealed',
  'request.thing.flag',
  'request.consent.covered',
  'sure',
  'doubt',
];
const OBJECTS = [
  'request.people',
  'request.paper',
  'request.paper.copy',
  'request.thing',
  'request.consent',
];

const from = <T>(...items: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...items);
const compare = (
  facts: readonly string[],
  operators: readonly Operator[],
  right: fc.Arbitrary<Constant>,
  others: readonly string[] = facts,
): fc.Arbitrary<Condition> =>
  fc
    .tuple(
      from(...facts),
      from(...operators),
      fc.oneof(
        right.map((constant) => ({ constant })),
        from(...others).map((other) => ({ fact: other })),
      ),
    )
    .map(([of, operator, to]): Condition => ({ kind: 'compare', fact: of, operator, right: to }));

const codes = from(...CODES.slice(0, 6), 'else', 'RW', 'KE', 'low');
const lists = fc.uniqueArray(codes, { maxLength: 3 });

export const leaf: fc.Arbitrary<Condition> = fc
  .oneof(
    compare(BOOLEANS, ['eq', 'neq'], fc.boolean()),
    compare(NUMBERS, ['eq', 'neq', 'lt', 'lteq', 'gt', 'gteq'], from(0, 0.5, 1, 2, 3)),
    compare(DATE_FACTS, ['eq', 'neq', 'lt', 'lteq', 'gt', 'gteq'], from(...DATES)),
    compare(['request.as_of'], ['eq', 'neq', 'lt', 'lteq', 'gt', 'gteq'], from(...INSTANTS)),
    compare(
      ['request.asked', 'dataset.allowed'],
      ['lt', 'lteq', 'gt', 'gteq'],
      from('low', 'high', 'lowest', 'middle'),
    ),
    compare(STRINGS, ['eq', 'neq', 'isA'], codes),
    compare(STRINGS, ['isA', 'isAnyOf', 'isNoneOf', 'isPartOf'], lists, [...STRINGS, ...SETS]),
    compare([...STRINGS, ...SETS], ['isA', 'overlaps'], fc.oneof(lists, codes), [
      ...STRINGS,
      ...SETS,
    ]),
    compare(
      [...STRINGS, ...BOOLEANS, ...NUMBERS],
      ['isAnyOf', 'isNoneOf', 'isPartOf'],
      from('EAC', 'care'),
      [...SETS, ...STRINGS, ...BOOLEANS, ...NUMBERS, ...DATE_FACTS],
    ),
    compare(
      SETS,
      ['isAnyOf', 'isNoneOf', 'isPartOf', 'isAllOf', 'hasPart'],
      fc.oneof(lists, codes, from('EAC')),
      [...SETS, ...STRINGS, ...NUMBERS],
    ),
    from(...SETS).map((of): Condition => ({ kind: 'nonempty', fact: of })),
    from(...STRINGS, ...SETS, ...DATE_FACTS, ...NUMBERS, ...BOOLEANS, ...OBJECTS).map(
      (of): Condition => ({ kind: 'exists', fact: of }),
    ),
    fc
      .tuple(from('applies', 'holds'), from('R-ONE', 'R-TWO'))
      .map(([kind, rule]): Condition => ({ kind: kind as 'applies', rule })),
    fc.boolean().map((value): Condition => ({ kind: 'constant', value })),
  )
  .filter(compiles);

/** Wrong pairs of types are refused elsewhere. */
function compiles(condition: Condition): boolean {
  try {
    compileCondition(condition, scope, []);
    return true;
  } catch {
    return false;
  }
}

const LONG = ['care', 'KE', ...Array.from({ length: 9 }, (_, i) => `far-${i}`)];
const RIGHTS: readonly { constant: Constant }[] = [
  [1, 0.5, true, false, '2026-01-02', '2025-12-31T22:00:00Z'],
  ['care', 'research', 'RW', 'low', 'middle', 'EAC'],
  [[], ['care'], ['KE'], ['care', 'KE'], ['low', 'else'], LONG],
]
  .flat()
  .map((constant) => ({ constant }));
const OTHERS = [
  ['request.count', 'request.limit', 'request.until', 'today', 'request.no', 'sure'],
  ['request.purpose', 'request.other', 'request.place', 'dataset.allowed', 'home'],
  ['request.codes', 'request.words', 'request.people.place', 'abroad', 'words'],
].flat();

const ORDERINGS: readonly Operator[] = ['eq', 'neq', 'lt', 'lteq', 'gt', 'gteq'];
const OF_SETS: readonly Operator[] = ['hasPart', 'isPartOf', 'isAnyOf', 'isNoneOf', 'isAllOf'];
const OPERATORS: readonly Operator[] = [...ORDERINGS, 'isA', 'overlaps', ...OF_SETS];

/** One comparison of every kind of fact with every kind of constant and of fact. */
function comparisons(operator: Operator): Condition[] {
  return [...NUMBERS, ...DATE_FACTS, ...BOOLEANS, ...STRINGS, ...SETS, 'request.as_of']
    .flatMap((of) =>
      [...RIGHTS, ...OTHERS.map((other) => ({ fact: other }))].map(
        (right): Condition => ({ kind: 'compare', fact: of, operator, right }),
      ),
    )
    .filter(compiles);
}

/** Of every kind of fact, whether it is stated and whether it has members. */
const PRESENCES: readonly Condition[] = [
  ...[...STRINGS, ...SETS, ...DATE_FACTS, ...NUMBERS, ...BOOLEANS, ...OBJECTS].map(
    (of): Condition => ({ kind: 'exists', fact: of }),
  ),
  ...SETS.map((of): Condition => ({ kind: 'nonempty', fact: of })),
];

/** Single conditions of every kind, by their operators. */
export const KINDS: readonly (readonly [string, readonly Condition[]])[] = [
  ...OPERATORS.map((operator) => [operator, comparisons(operator)] as const),
  ['presence', PRESENCES],
];

export const tree: fc.Arbitrary<Condition> = fc.letrec<{ node: Condition }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    leaf,
    fc
      .tuple(
        from<'and' | 'or' | 'xone'>('and', 'or', 'xone'),
        fc.array(tie('node'), { minLength: 1, maxLength: 4 }),
      )
      .map(([kind, of]): Condition => ({ kind, of })),
    tie('node').map((of): Condition => ({ kind: 'not', of })),
  ),
})).node;

const random: fc.Arbitrary<Facts> = fc
  .record(
    Object.fromEntries(
      Object.entries(VALUES).map(([path, values]) => [
        path,
        fc.option(from(...values), { nil: undefined, freq: 4 }),
      ]),
    ),
  )
  .map((values) =>
    Object.entries(values).reduce<Facts>(
      (facts, [path, value]) => withFact(facts, path, value),
      {},
    ),
  );

/** Random cases, and their frames after a decision. */
export const CASES: readonly Facts[] = fc.sample(random, { numRuns: 4000, seed: 7 });
export const frames: readonly Frame[] = CASES.map((facts) => {
  const frame = loadFacts(small, facts);
  evaluate(small, frame);
  return frame;
});
