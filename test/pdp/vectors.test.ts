/**
 * What the analysis of policies answers to questions that were once made at random, in `vectors/`:
 * another implementation, or a faster one, must answer the same. After a change that is meant to
 * answer otherwise: UPDATE_GOLDEN=yes npx vitest run test/pdp/vectors.test.ts, and read why.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { analyse } from '../../src/pdp/analyse.ts';
import { parseCondition } from '../../src/pdp/condition.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { remedies } from '../../src/pdp/remedies.ts';
import { type Goal, type Satisfaction, satisfy } from '../../src/pdp/satisfy.ts';
import { conditionSource as sourceOf } from '../../src/pdp/source.ts';
import { RULES, small, tree, vocabulary } from './conditions.ts';
import { build, built, policyDocument, ruleOf, smallPack } from './support.ts';
import { packWithRemedies, titledProgram } from './titled.ts';
import { inParts, vectorsOf, written } from './vectors.ts';

type Asked = readonly (readonly [source: unknown, wanted: Goal['wanted']])[];

describe('Whether conditions can be met together', () => {
  const answer = (asked: Asked, limit?: number): Satisfaction => {
    const goals = asked.map(([source, wanted]) => ({
      condition: parseCondition(source, []),
      wanted,
    }));
    return satisfy(small, goals, limit === undefined ? {} : { limit });
  };
  const goal = fc.tuple(tree.map(sourceOf), fc.constantFrom<Goal['wanted'][]>(2, 0));
  const vectors = vectorsOf(
    'satisfy',
    () => fc.sample(fc.array(goal, { minLength: 1, maxLength: 3 }), { numRuns: 400, seed: 3 }),
    (asked) => answer(asked),
  );
  const chosen = vectorsOf<Asked, Satisfaction>('satisfy-chosen', undefined, (asked) =>
    answer(asked),
  );
  test.each(inParts([...chosen, ...vectors], 10))(
    'is answered as before, from %i on',
    (_, part) => {
      for (const { asked, answer: expected } of part)
        expect(written(answer(asked)), JSON.stringify(asked)).toEqual(expected);
    },
  );

  test('is left open as soon as the limit is reached, and not before', () => {
    for (const { asked, answer: expected } of vectors.filter((_, i) => i % 10 === 0)) {
      const { steps } = expected;
      expect(written(answer(asked, steps))).toEqual(expected);
      if (steps > 0)
        expect(answer(asked, steps - 1)).toEqual({ possible: 'unknown', reason: 'limit', steps });
    }
  });
});

type Rules = readonly object[];

const permit = ruleOf('A-PERMIT', { outcome: 'permit' });
const effect = fc.constantFrom<unknown>(
  'deny',
  'deny',
  'review',
  'permit',
  [{ when: { fact: 'request.count', lt: 2 }, effect: 'permit' }, { effect: 'deny' }],
  [{ when: 'request.no', effect: 'review' }, { effect: 'deny' }],
);

/** Rules about the same few facts, so that they get into one another's way. */
const leaf = fc.oneof(
  fc
    .tuple(fc.constantFrom('lt', 'gteq', 'eq', 'neq'), fc.nat(3))
    .map(([operator, value]) => ({ fact: 'request.count', [operator]: value })),
  fc
    .tuple(fc.constantFrom('isA', 'eq', 'neq'), fc.constantFrom('care', 'hiv_care', 'research'))
    .map(([operator, value]) => ({ fact: 'request.purpose', [operator]: value })),
  fc
    .tuple(fc.constantFrom('isPartOf', 'hasPart', 'isNoneOf'), fc.constantFrom('RW', 'KE', 'JP'))
    .map(([operator, value]) => ({
      fact: 'request.places',
      [operator]: operator === 'hasPart' ? value : [value],
    })),
  fc.constantFrom<unknown>('request.yes', { not: 'request.yes' }, { exists: 'request.paper' }),
);
const condition = fc.oneof(
  { weight: 3, arbitrary: leaf },
  fc.array(leaf, { minLength: 2, maxLength: 3 }).map((and) => ({ and })),
  fc.array(leaf, { minLength: 2, maxLength: 3 }).map((or) => ({ or })),
);
const rulesOf = (of: fc.Arbitrary<unknown>): fc.Arbitrary<Rules> =>
  fc
    .array(fc.record({ applies: of, holds: fc.option(of), effect }), {
      minLength: 2,
      maxLength: 4,
    })
    .map((parts) =>
      parts.map(({ applies, holds, effect: does }, i) =>
        ruleOf(
          `N-${i}`,
          holds === null ? { applies, outcome: does } : { applies, holds, otherwise: does },
        ),
      ),
    );

describe('What is wrong with policies', () => {
  const findings = (pack: object, more: Rules, rules: Rules): unknown =>
    analyse(
      built(
        pack,
        policyDocument([permit, ...more], { policy: 'first' }),
        policyDocument(rules, { policy: 'tested' }),
      ),
    );
  const near = vectorsOf(
    'analyse-near',
    () => fc.sample(rulesOf(condition), { numRuns: 150, seed: 4 }),
    (rules) => findings(smallPack(), [], rules),
  );
  const far = vectorsOf(
    'analyse-far',
    () =>
      fc.sample(
        rulesOf(tree.map(sourceOf)).filter(
          (rules) => build(vocabulary, policyDocument([permit, ...RULES, ...rules])).ok,
        ),
        { numRuns: 40, seed: 5 },
      ),
    (rules) => findings(vocabulary, RULES, rules),
  );
  const owned = (rules: Rules, of: object): unknown =>
    analyse(
      built(
        smallPack(),
        policyDocument([permit], { policy: 'first' }),
        policyDocument(
          rules.map((rule) => ({
            ...rule,
            cites: [{ instrument: 'choice', article: 'x', confidence: 'high' }],
          })),
          { policy: 'tested', layer: 'steward', instrument: 'choice', ...of },
        ),
      ),
      { policy: 'tested' },
    );
  const target = fc.constantFrom<object>(
    { owner: 'nisr' },
    { owner: 'nisr', target: { fact: 'dataset.allowed', eq: 'middle' } },
    {
      owner: 'nisr',
      target: {
        and: [
          { fact: 'dataset.allowed', lt: 'lowest' },
          { fact: 'dataset.allowed', neq: 'highest' },
        ],
      },
    },
    {
      owner: 'nisr',
      target: {
        and: [{ fact: 'dataset.publisher', neq: 'nisr' }, { exists: 'dataset.publisher' }],
      },
    },
  );
  const bound = vectorsOf(
    'analyse-owned',
    () => fc.sample(fc.record({ rules: rulesOf(condition), of: target }), { numRuns: 60, seed: 9 }),
    ({ rules, of }) => owned(rules, of),
  );
  const limited = vectorsOf(
    'analyse-limited',
    () =>
      fc.sample(
        fc.record({ rules: rulesOf(condition), limit: fc.constantFrom(0, 100, 500, 1000, 2000) }),
        { numRuns: 40, seed: 10 },
      ),
    ({ rules, limit }) =>
      analyse(built(smallPack(), policyDocument([permit, ...rules])), { limit }),
  );
  const count = (operator: string, value: number): object => ({
    fact: 'request.count',
    [operator]: value,
  });
  const allowed = (operator: string, value: string): object => ({
    fact: 'dataset.allowed',
    [operator]: value,
  });
  const rule = (id: string, parts: object): object =>
    ruleOf(id, {
      cites: [{ instrument: 'choice', article: 'x', confidence: 'high' }],
      ...parts,
    });
  const few = { and: [count('lt', 1), count('gt', 2)] };
  const total = { or: [count('gteq', 1), count('lt', 1)] };
  const apart = Array.from({ length: 15 }, (_, i) => ({ fact: 'request.other', neq: `far-${i}` }));
  interface Picked {
    readonly of?: object;
    readonly pack?: object;
    readonly rules: Rules;
    readonly others?: Rules;
    readonly limit?: number;
  }
  /** One for each kind of place, and for each sentence. */
  const PICKED: readonly Picked[] = [
    { rules: [rule('R-1', { applies: { not: { or: [few, 'request.yes'] } }, outcome: 'deny' })] },
    { rules: [rule('R-1', { applies: { xone: [few, 'request.yes'] }, outcome: 'deny' })] },
    { rules: [rule('R-1', { outcome: [{ when: few, effect: 'review' }, { effect: 'deny' }] })] },
    {
      rules: [
        rule('R-1', {
          holds: 'request.no',
          otherwise: [{ when: { or: ['request.yes', few] }, effect: 'review' }, { effect: 'deny' }],
        }),
      ],
    },
    { rules: [rule('R-1', { holds: { or: ['request.no', few] }, otherwise: 'deny' })] },
    { rules: [rule('R-1', { holds: few, otherwise: 'deny' })] },
    { rules: [rule('R-1', { applies: 'request.yes', holds: few, otherwise: 'deny' })] },
    {
      rules: [
        rule('R-1', { applies: 'request.yes', holds: few, then: 'permit', otherwise: 'deny' }),
      ],
    },
    {
      rules: [
        rule('R-1', {
          applies: 'request.yes',
          holds: few,
          then: 'permit',
          otherwise: [{ when: 'request.no', effect: 'review' }, { effect: 'deny' }],
        }),
      ],
    },
    { rules: [rule('R-1', { outcome: 'deny' })] },
    { rules: [rule('R-1', { applies: total, outcome: 'deny' })] },
    {
      rules: [
        rule('R-1', { outcome: [{ when: 'request.yes', effect: 'deny' }, { effect: 'deny' }] }),
      ],
    },
    {
      rules: [
        rule('R-1', {
          outcome: [
            { when: total, effect: 'review' },
            { when: 'request.yes', effect: 'permit' },
            { effect: 'deny' },
          ],
        }),
      ],
    },
    { rules: [rule('R-1', { applies: 'request.yes', holds: 'request.yes', otherwise: 'deny' })] },
    {
      rules: [
        rule('R-1', {
          applies: 'request.yes',
          holds: 'request.yes',
          otherwise: [{ when: 'request.no', effect: 'permit' }, { effect: 'deny' }],
        }),
      ],
    },
    {
      rules: [
        rule('R-1', {
          applies: 'request.yes',
          holds: 'request.no',
          otherwise: [{ when: { not: 'request.yes' }, effect: 'review' }, { effect: 'deny' }],
        }),
      ],
    },
    {
      of: { owner: 'nisr', target: { and: [allowed('eq', 'middle'), allowed('neq', 'highest')] } },
      rules: [
        rule('R-1', { applies: { and: [count('gt', 2), count('gt', 1)] }, outcome: 'review' }),
      ],
    },
    {
      of: { target: { and: [allowed('eq', 'middle'), allowed('neq', 'highest')] } },
      rules: [
        rule('R-1', { applies: { and: [count('gt', 2), count('gt', 1)] }, outcome: 'review' }),
      ],
    },
    {
      of: { owner: 'nisr', target: allowed('eq', 'middle') },
      rules: [rule('R-1', { applies: { and: [few, 'request.yes'] }, outcome: 'review' })],
    },
    {
      of: { owner: 'nisr' },
      rules: [
        rule('R-1', {
          applies: { and: [count('gt', 2), { fact: 'dataset.publisher', eq: 'other' }] },
          outcome: 'review',
        }),
      ],
    },
    {
      rules: [
        rule('R-1', { applies: { and: [count('gteq', 0), 'request.yes'] }, outcome: 'deny' }),
      ],
    },
    {
      rules: [
        rule('R-1', {
          holds: { not: { and: [count('gt', 1), count('gt', 0)] } },
          otherwise: 'deny',
        }),
      ],
    },
    ...[apart, [...apart, { exists: 'request.paper' }]].flatMap((parts) => [
      {
        rules: [
          rule('R-1', {
            applies: { and: [...parts, { fact: 'request.other', eq: 'x' }] },
            outcome: 'deny',
          }),
        ],
      },
      { rules: [rule('R-1', { applies: { and: [...parts, few] }, outcome: 'deny' })] },
      {
        rules: [
          rule('R-1', {
            applies: { and: [...parts, count('lt', 1), count('gt', 2)] },
            outcome: 'deny',
          }),
        ],
      },
    ]),
    {
      rules: [
        rule('R-1', {
          applies: { exists: 'request.count' },
          holds: count('lt', 2),
          otherwise: 'deny',
        }),
        ...Array.from({ length: 5 }, (_, i) =>
          rule(`S-${i}`, {
            applies: { exists: 'request.count' },
            holds: count('gt', i + 2),
            otherwise: 'deny',
          }),
        ),
      ],
    },
    {
      rules: [
        rule('R-1', { applies: 'request.yes', outcome: 'review' }),
        rule('R-2', { applies: { or: ['request.yes', 'request.no'] }, outcome: 'deny' }),
        rule('R-3', {
          applies: 'request.no',
          outcome: [{ when: 'request.yes', effect: 'deny' }, { effect: 'review' }],
        }),
      ],
    },
    ...[{}, { combining: 'review_first' }].flatMap((pack) => [
      {
        pack,
        rules: [
          rule('R-1', { applies: 'request.yes', outcome: 'review' }),
          rule('R-2', { applies: 'request.yes', outcome: 'deny' }),
          rule('R-3', { applies: { and: ['request.yes', 'request.no'] }, outcome: 'permit' }),
          rule('R-4', { applies: { and: ['request.yes', 'request.no'] }, outcome: 'review' }),
        ],
      },
      {
        pack,
        rules: [
          rule('R-1', { applies: 'request.yes', outcome: 'deny' }),
          rule('R-2', { applies: { not: 'request.yes' }, outcome: 'deny' }),
        ],
      },
      {
        pack,
        others: [],
        rules: [
          rule('R-1', { applies: 'request.yes', outcome: 'review' }),
          rule('R-2', { outcome: 'deny' }),
        ],
      },
      { pack, others: [], rules: [rule('R-1', { applies: 'request.yes', outcome: 'deny' })] },
    ]),
    {
      rules: [
        rule('R-1', { applies: 'request.yes', outcome: 'deny' }),
        rule('R-2', { applies: { not: 'request.yes' }, outcome: 'deny' }),
        rule('R-3', { applies: 'request.no', outcome: 'deny' }),
      ],
    },
    ...[{}, { combining: 'review_first' }].map((pack) => ({
      pack,
      rules: [
        rule('R-1', { applies: 'request.yes', outcome: 'deny' }),
        rule('R-2', { applies: { not: 'request.yes' }, outcome: 'deny' }),
        rule('R-3', { applies: 'request.no', outcome: 'review' }),
      ],
    })),
    {
      of: { owner: 'nisr', target: { fact: 'dataset.publisher', eq: 'nisr' } },
      rules: [rule('R-1', { applies: 'request.yes', outcome: 'review' })],
    },
    {
      rules: [
        rule('R-1', { applies: { and: ['request.yes', 'request.no'] }, outcome: 'deny' }),
        rule('R-2', { applies: { and: ['request.no', 'request.yes'] }, outcome: 'deny' }),
        rule('R-3', {
          applies: 'request.yes',
          holds: 'request.no',
          then: 'permit',
          otherwise: 'deny',
        }),
        rule('R-4', {
          applies: 'request.no',
          outcome: [{ when: 'request.yes', effect: 'deny' }, { effect: 'review' }],
        }),
      ],
    },
    { limit: 0, rules: [rule('R-1', { applies: 'request.yes', outcome: 'deny' })] },
    { limit: 0, others: [], rules: [rule('R-1', { applies: few, outcome: 'deny' })] },
  ];
  const pickedAnswer = ({ of = {}, pack, rules, others = [permit], limit }: Picked): unknown =>
    analyse(
      built(
        smallPack(pack as Record<string, unknown>),
        ...(others.length > 0 ? [policyDocument(others, { policy: 'first' })] : []),
        policyDocument(rules, {
          policy: 'tested',
          layer: 'owner' in of ? 'steward' : 'national_choice',
          instrument: 'choice',
          ...of,
        }),
      ),
      limit === undefined ? {} : { limit },
    );
  const picked = vectorsOf('analyse-picked', () => PICKED, pickedAnswer);
  test.each(inParts(picked, 1))('is found at each kind of place, in number %i', (_, part) => {
    for (const { asked, answer } of part)
      expect(written(pickedAnswer(asked)), JSON.stringify(asked)).toEqual(answer);
  });

  test.each(inParts(bound, 5))('is found in an owner’s, from %i on', (_, part) => {
    for (const { asked, answer } of part)
      expect(written(owned(asked.rules, asked.of)), JSON.stringify(asked)).toEqual(answer);
  });
  test.each(inParts(limited, 5))('is found as far as the limit lets, from %i on', (_, part) => {
    for (const { asked, answer } of part) {
      const program = built(smallPack(), policyDocument([permit, ...asked.rules]));
      const found = analyse(program, { limit: asked.limit });
      expect(written(found), JSON.stringify(asked)).toEqual(answer);
    }
  });
  test.each(inParts(near, 5))('is found in rules that are alike, from %i on', (_, part) => {
    for (const { asked, answer } of part)
      expect(written(findings(smallPack(), [], asked)), JSON.stringify(asked)).toEqual(answer);
  });
  test.each(inParts(far, 2))('is found in rules of any kind, from %i on', (_, part) => {
    for (const { asked, answer } of part)
      expect(written(findings(vocabulary, RULES, asked)), JSON.stringify(asked)).toEqual(answer);
  });
});

describe('The ways out', () => {
  const maybe = <T>(...values: readonly T[]): fc.Arbitrary<T | undefined> =>
    fc.option(fc.constantFrom(...values), { nil: undefined, freq: 3 });
  const some = (...values: readonly string[]): fc.Arbitrary<string[] | undefined> =>
    fc.option(fc.subarray([...values]), { nil: undefined, freq: 5 });
  const facts: fc.Arbitrary<Facts> = fc.record({
    dataset: fc.record({ allowed: maybe('lowest', 'middle', 'highest') }),
    request: fc.record({
      as_of: fc.constant('2026-10-15T10:00:00Z'),
      places: some('RW', 'KE', 'JP', 'US'),
      people: fc.array(fc.record({ place: maybe('RW', 'KE', 'JP') }), { maxLength: 3 }),
      asked: maybe('low', 'high'),
      codes: some('care', 'research', 'hiv_care'),
      words: some('care', 'hiv_care'),
      purpose: maybe('care', 'hiv_care', 'hiv_trial', 'research'),
      count: maybe(1, 2, 3, 4, 5),
      limit: maybe(1, undefined, undefined),
      share: maybe(0.25, 0.5, 0.75),
      yes: maybe(true, false),
      no: maybe(true, false),
      until: maybe('2026-10-01', '2027-03-31'),
      paper: fc.option(
        fc.record({
          until: maybe('2026-10-14', '2027-01-01'),
          kinds: some('care', 'research'),
          pages: maybe(1, 4),
          state: maybe('draft', 'signed'),
          sealed: maybe(true, false),
        }),
        { nil: undefined },
      ),
    }),
  });
  const vectors = vectorsOf(
    'remedies',
    () => fc.sample(facts, { numRuns: 120, seed: 6 }),
    (asked) => remedies(titledProgram, asked),
  );
  test.each(inParts(vectors, 6))('are as before, from %i on', (_, part) => {
    for (const { asked, answer } of part)
      expect(written(remedies(titledProgram, asked)), JSON.stringify(asked)).toEqual(answer);
  });

  const constraint = (
    fact: string,
    operators: readonly string[],
    values: readonly unknown[],
  ): fc.Arbitrary<object> =>
    fc
      .tuple(fc.constantFrom(...operators), fc.constantFrom(...values))
      .map(([operator, value]) => ({ fact, [operator]: value }));
  const SETS = ['isAnyOf', 'isNoneOf', 'isAllOf', 'isPartOf', 'hasPart'];
  const ORDERS = ['lt', 'lteq', 'gt', 'gteq', 'eq', 'neq'];
  const other = (fact: string): object => ({ fact });
  const constraints = fc.oneof(
    constraint('request.places', SETS, [['RW'], ['KE', 'JP'], 'RW', other('request.people.place')]),
    constraint('request.people.place', ['isNoneOf', 'isPartOf', 'hasPart'], [['RW', 'KE'], 'JP']),
    constraint('abroad', ['isNoneOf', 'isPartOf', 'isAnyOf'], [['KE'], ['JP', 'US']]),
    constraint('request.codes', SETS, [['care'], ['care', 'research'], other('request.words')]),
    constraint('request.words', SETS, [
      ['care'],
      other('request.codes'),
      other('request.paper.kinds'),
    ]),
    constraint('request.asked', ['lt', 'lteq', 'gteq', 'gt'], ['high', other('dataset.allowed')]),
    constraint('request.asked', ['eq', 'neq'], ['low', 'high']),
    constraint('request.asked', ['isAnyOf', 'isNoneOf'], [['low'], ['low', 'high']]),
    constraint('request.count', ORDERS, [1, 3, other('request.limit')]),
    constraint('request.share', ORDERS, [0.5]),
    constraint('request.yes', ['eq', 'neq'], [true, false, other('request.no')]),
    constraint('sure', ['eq', 'neq'], [true, false]),
    constraint('doubtful', ['eq'], [true]),
    constraint('request.paper.until', ORDERS, [
      '2027-01-01',
      other('today'),
      other('request.until'),
    ]),
    constraint('request.paper.pages', ORDERS, [2, other('request.count')]),
    constraint('request.paper.state', ['eq', 'neq'], ['signed', 'draft']),
    constraint('request.paper.kinds', SETS, [['care'], other('request.purpose'), 'research']),
    constraint('request.purpose', ['isA'], ['care', ['research', 'hiv_care']]),
    fc
      .constantFrom('request.paper', 'request.yes', 'request.codes', 'request.limit')
      .map((exists) => ({ exists })),
    fc.constantFrom('abroad', 'request.codes', 'all_codes').map((nonempty) => ({ nonempty })),
    fc.constantFrom<unknown>(true, false, { applies: 'X-0' }, { holds: 'X-0' }),
  );
  const trees = fc.letrec<{ node: unknown }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 2, depthSize: 'small' },
      { weight: 3, arbitrary: constraints },
      fc
        .tuple(
          fc.constantFrom('and', 'or', 'xone'),
          fc.array(tie('node'), { minLength: 2, maxLength: 3 }),
        )
        .map(([kind, of]) => ({ [kind]: of })),
      tie('node').map((not) => ({ not })),
    ),
  })).node;
  const parts = fc.record({
    applies: trees,
    holds: fc.option(trees),
    when: fc.option(trees),
    then: fc.constantFrom(undefined, undefined, 'permit', 'review'),
    effects: fc.tuple(
      fc.constantFrom('deny', 'review', 'permit'),
      fc.constantFrom('deny', 'deny', 'review'),
    ),
  });
  const policies = fc
    .tuple(
      fc.constantFrom<object>(
        ruleOf('X-0', { holds: 'request.yes', then: 'permit', otherwise: 'review' }),
        ruleOf('X-0', { holds: { fact: 'request.count', lt: 3 }, otherwise: 'permit' }),
      ),
      fc.boolean(),
      fc.array(parts, { minLength: 1, maxLength: 3 }),
    )
    .map(([first, permits, all]) => [
      first,
      ...(permits ? [permit] : []),
      ...all.map(({ applies, holds, when, then, effects: [one, another] }, i) => {
        const outcomes = when === null ? another : [{ when, effect: one }, { effect: another }];
        return ruleOf(
          `X-${i + 1}`,
          holds === null
            ? { applies, outcome: outcomes }
            : { applies, holds, ...(then && { then }), otherwise: outcomes },
        );
      }),
    ])
    .filter((rules) => build(packWithRemedies(), policyDocument(rules)).ok);
  const answerTo = ({ rules, facts: each }: { rules: Rules; facts: Facts }): unknown =>
    remedies(built(packWithRemedies(), policyDocument(rules)), each);
  const ofRules = vectorsOf(
    'remedies-rules',
    () => fc.sample(fc.record({ rules: policies, facts }), { numRuns: 200, seed: 8 }),
    answerTo,
  );
  const chosen = vectorsOf('remedies-chosen', undefined, answerTo);
  test.each(inParts([...chosen, ...ofRules], 5))(
    'of rules of any kind are as before, from %i on',
    (_, part) => {
      for (const { asked, answer } of part)
        expect(written(answerTo(asked)), JSON.stringify(asked)).toEqual(answer);
    },
  );
});
