import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileCondition } from '../../src/pdp/compile.ts';
import {
  type Condition,
  type Constant,
  type Operator,
  parseCondition,
} from '../../src/pdp/condition.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { FALSE, TRUE, type Truth } from '../../src/pdp/logic.ts';
import { loadFacts, type Program, scopeOf } from '../../src/pdp/program.ts';
import { type Goal, satisfy } from '../../src/pdp/satisfy.ts';
import { CASES, frames, RULES, small, tree, vocabulary } from './conditions.ts';
import { built, cases, cpuSeconds, policyDocument, program, ruleOf, smallPack } from './support.ts';

const scope = scopeOf(small);

const goals: fc.Arbitrary<readonly Goal[]> = fc.array(
  fc.record({ condition: tree, wanted: fc.constantFrom<Goal['wanted'][]>(TRUE, FALSE) }),
  { minLength: 1, maxLength: 3 },
);

function truthOf(of: Program, facts: Facts, condition: Condition): Truth {
  const frame = loadFacts(of, facts);
  evaluate(of, frame);
  return compileCondition(condition, scopeOf(of), [])(frame);
}

describe('whether conditions can be met together', () => {
  test('what is said to be impossible is so in every case; what is possible comes with facts', () => {
    const runs = Number(process.env['RUNS'] ?? 1000);
    let [possible, impossible, undecided] = [0, 0, 0];
    fc.assert(
      fc.property(goals, (wanted) => {
        const answer = satisfy(small, wanted);
        if (answer.possible === true) {
          possible++;
          expect(small.vocabulary.check(answer.witness)).toEqual([]);
          for (const goal of wanted)
            expect(truthOf(small, answer.witness, goal.condition)).toBe(goal.wanted);
          return;
        }
        if (answer.possible === 'unknown') {
          undecided++;
          return;
        }
        impossible++;
        const tests = wanted.map((goal) => ({
          ...goal,
          test: compileCondition(goal.condition, scope, []),
        }));
        const found = frames.findIndex((frame) =>
          tests.every(({ test: is, wanted: want }) => is(frame) === want),
        );
        if (found >= 0)
          throw new Error(`${JSON.stringify(answer)} but ${JSON.stringify(CASES[found])}`);
      }),
      { numRuns: runs },
    );
    if (process.env['RUNS']) console.log({ possible, impossible, undecided });
    expect(impossible).toBeGreaterThan(0);
    expect(undecided).toBeLessThan(runs / 200);
  });

  test('everything that a rule of the shipped pack does to a case can be done', () => {
    for (const { facts } of cases) {
      const frame = loadFacts(program, facts);
      evaluate(program, frame);
      for (const { rule, applies, holds } of program.rules) {
        const done: Goal[] = [{ condition: rule.applies, wanted: TRUE }];
        if (applies(frame) !== TRUE) continue;
        const held = holds?.(frame);
        if (rule.holds && (held === TRUE || held === FALSE))
          done.push({ condition: rule.holds, wanted: held });
        const answer = satisfy(program, done);
        expect(answer.possible, rule.id).toBe(true);
        if (answer.possible !== true) continue;
        expect(program.vocabulary.check(answer.witness)).toEqual([]);
        for (const { condition, wanted } of done)
          expect(truthOf(program, answer.witness, condition)).toBe(wanted);
      }
    }
  });
});

describe('what is asked of a condition by way of', () => {
  const FLAGS = ['request.yes', 'request.no', 'request.other'];
  const [yes = '', no = '', other = ''] = FLAGS;
  const FORMS: readonly unknown[] = [
    yes,
    { not: yes },
    { and: [yes, no] },
    { or: [yes, no] },
    { xone: [yes] },
    { xone: [yes, no] },
    { xone: [yes, { and: [no, other] }] },
    { xone: [{ not: yes }, no, { or: [yes, other] }] },
    { and: [{ or: [yes, no] }, { not: { xone: [no, other] } }] },
    { exists: yes },
    { fact: yes, neq: { fact: no } },
    true,
    false,
  ];
  const title = { en: 'Title' };
  const flag = { type: 'boolean', source: 'request', title, basis: 'test' };
  const { facts } = smallPack() as { facts: Record<string, object> };
  const asked = built(
    smallPack({
      facts: {
        'request.as_of': facts['request.as_of'],
        ...Object.fromEntries(FLAGS.map((fact) => [fact, flag])),
      },
      derived: Object.fromEntries(FORMS.map((condition, i) => [`form_${i}`, { title, condition }])),
    }),
    policyDocument([
      ...FLAGS.flatMap((fact, i) => [
        ruleOf(`IS-${i}`, { holds: fact, otherwise: 'deny' }),
        ruleOf(`IS-NOT-${i}`, { holds: { not: fact }, otherwise: 'deny' }),
      ]),
      ...FORMS.flatMap((form, i) => [
        ruleOf(`ASKS-${i}`, { applies: form, outcome: 'deny' }),
        ruleOf(`WANTS-${i}`, { applies: { not: other }, holds: form, otherwise: 'deny' }),
        ruleOf(`BOTH-${i}`, { applies: form, holds: form, otherwise: 'deny' }),
      ]),
    ]),
  );
  const assignments = FLAGS.reduce<readonly (boolean | undefined)[][]>(
    (all) => all.flatMap((each) => [true, false, undefined].map((value) => [...each, value])),
    [[]],
  );
  /** What is unknown makes a rule hold neither for it nor for its negation. */
  const stated = (values: readonly (boolean | undefined)[]): Goal[] =>
    FLAGS.flatMap((fact, i) =>
      (values[i] === undefined
        ? [{ not: { holds: `IS-${i}` } }, { not: { holds: `IS-NOT-${i}` } }]
        : [{ fact, eq: values[i] }]
      ).map((each) => ({ condition: parseCondition(each, []), wanted: TRUE })),
    );

  test.each<[string, (i: number) => unknown]>([
    ['a rule that applies', (i) => ({ applies: `ASKS-${i}` })],
    ['a rule that holds', (i) => ({ holds: `WANTS-${i}` })],
    ['a rule that applies and holds', (i) => ({ holds: `BOTH-${i}` })],
    ['a derived fact', (i) => `form_${i}`],
    ['a derived fact that is stated', (i) => ({ exists: `form_${i}` })],
    ['two derived facts', (i) => ({ fact: `form_${i}`, eq: { fact: 'form_5' } })],
    ['a negation', (i) => ({ not: FORMS[i] })],
  ])('%s, can be met where it is, and nowhere else', (_, of) => {
    for (const i of FORMS.keys()) {
      const condition = parseCondition(of(i), []);
      for (const values of assignments) {
        const [first, second, third] = values;
        const truth = truthOf(
          asked,
          { request: { yes: first, no: second, other: third } },
          condition,
        );
        for (const wanted of [TRUE, FALSE] as const) {
          const { possible } = satisfy(asked, [...stated(values), { condition, wanted }]);
          expect(possible, `${JSON.stringify(of(i))} ${String(values)}`).toBe(truth === wanted);
        }
      }
    }
  });
});

describe('what is asked at the limits', () => {
  const compare = (fact: string, operator: Operator, right: Constant): Condition => ({
    kind: 'compare',
    fact,
    operator,
    right: { constant: right },
  });
  const against = (fact: string, operator: Operator, other: string): Condition => ({
    kind: 'compare',
    fact,
    operator,
    right: { fact: other },
  });
  const and = (...of: Condition[]): Condition => ({ kind: 'and', of });
  const isTrue = (condition: Condition): Goal[] => [{ condition, wanted: TRUE }];

  test('an absent object has no members, an empty list has none, and a closed set only its own', () => {
    const no = (condition: Condition): Condition => ({ kind: 'not', of: condition });
    const exists = (fact: string): Condition => ({ kind: 'exists', fact });
    for (const impossible of [
      and(no(exists('request.paper')), exists('request.paper.until')),
      and(no(exists('request.people')), { kind: 'nonempty', fact: 'request.people.place' }),
      and(exists('request.people'), no({ kind: 'nonempty', fact: 'request.people.place' })),
      no(exists('request.thing')),
      no(exists('request.consent')),
      and(no(exists('request.paper')), compare('request.paper.pages', 'neq', 2)),
      compare('request.purpose', 'eq', 'no code'),
    ])
      expect(satisfy(small, isTrue(impossible)), JSON.stringify(impossible)).toMatchObject({
        possible: false,
      });
    expect(
      satisfy(
        small,
        isTrue(and(no(exists('request.paper')), compare('request.paper.pages', 'eq', 2))),
      ),
    ).toMatchObject({ possible: true, witness: {} });
  });

  const counted = (type: string, counts_as: unknown, more: object = {}): object => ({
    type,
    source: 'request',
    title: { en: 'Title' },
    basis: 'test',
    ...more,
    absent: { counts_as },
  });
  const pack = vocabulary as { facts: object };
  const countedIn = built(
    {
      ...pack,
      facts: {
        ...pack.facts,
        'request.paper.tags': counted('set', ['care', 'hiv_trial'], { of: 'code' }),
        'request.paper.label': counted('code', 'hiv_care'),
        'request.paper.grade': counted('enum', 'b', { values: ['a', 'b'] }),
        'request.paper.seal': counted('boolean', true),
        'request.paper.home': counted('country', 'KE'),
        'request.paper.day': counted('date', '2026-01-02'),
        'request.paper.at': counted('datetime', '2026-01-02T10:00:00Z'),
        'request.paper.weight': counted('number', 0.5),
      },
    },
    policyDocument(RULES),
  );
  test.each<[string, readonly unknown[], readonly unknown[]]>([
    [
      'tags',
      [
        { hasPart: 'care' },
        { isAllOf: ['care', 'hiv_trial'] },
        { isAnyOf: ['care', 'trade'] },
        { isPartOf: ['care', 'hiv_trial', 'x'] },
        { isNoneOf: ['trade'] },
        { hasPart: { fact: 'request.purpose' } },
      ],
      [{ hasPart: 'trade' }, { isNoneOf: ['care'] }, { isPartOf: ['care'] }, { isPartOf: [] }],
    ],
    [
      'label',
      [{ eq: 'hiv_care' }, { isA: 'care' }, { neq: 'care' }],
      [{ eq: 'care' }, { isA: 'trade' }],
    ],
    ['grade', [{ eq: 'b' }, { isAnyOf: ['a', 'b'] }], [{ eq: 'a' }, { isNoneOf: ['b'] }]],
    ['seal', [{ eq: true }, { neq: false }], [{ eq: false }, { neq: true }]],
    ['home', [{ eq: 'KE' }, { isPartOf: 'EAC' }], [{ eq: 'RW' }, { isNoneOf: ['KE'] }]],
    [
      'day',
      [{ eq: '2026-01-02' }, { lt: '2026-01-03' }, { gteq: { fact: 'request.from' } }],
      [{ gt: '2026-01-02' }, { neq: '2026-01-02' }],
    ],
    [
      'at',
      [{ lteq: '2026-01-02T10:00:00Z' }, { gt: '2026-01-02T09:59:59Z' }],
      [{ gt: '2026-01-02T10:00:00Z' }, { eq: '2026-01-02T10:00:01Z' }],
    ],
    ['weight', [{ eq: 0.5 }, { gt: 0.4 }], [{ gt: 0.5 }, { neq: 0.5 }]],
  ])('of what is not there, %s is what its absence counts as', (name, possible, impossible) => {
    const asked = (comparison: unknown): Goal[] => [
      {
        condition: parseCondition(
          {
            and: [
              { not: { exists: 'request.paper' } },
              { fact: `request.paper.${name}`, ...(comparison as object) },
            ],
          },
          [],
        ),
        wanted: TRUE,
      },
    ];
    for (const each of possible)
      expect(satisfy(countedIn, asked(each)), JSON.stringify(each)).toMatchObject({
        possible: true,
      });
    for (const each of impossible)
      expect(satisfy(countedIn, asked(each)), JSON.stringify(each)).toMatchObject({
        possible: false,
      });
  });

  test('a day begins and ends where the time zone says', () => {
    const at = (instant: string): Goal[] =>
      isTrue(and(compare('request.as_of', 'eq', instant), compare('today', 'eq', '2026-01-01')));
    expect(satisfy(small, at('2025-12-31T21:59:59Z')).possible).toBe(false);
    expect(satisfy(small, at('2025-12-31T22:00:00Z')).possible).toBe(true);
    expect(satisfy(small, at('2026-01-01T21:59:59.999Z')).possible).toBe(true);
    expect(satisfy(small, at('2026-01-01T22:00:00Z')).possible).toBe(false);
  });

  test('more facts than values: the search ends, and says so where it was not finished', () => {
    const names = Array.from({ length: 12 }, (_, i) => `request.n${i}`);
    const number = {
      type: 'integer',
      minimum: 1,
      maximum: 11,
      source: 'request',
      title: { en: 'N' },
      basis: 'test',
    };
    const pigeons = built(
      smallPack({
        derived: {},
        facts: {
          'request.as_of': { ...number, type: 'datetime', minimum: undefined, maximum: undefined },
          ...Object.fromEntries(names.map((name) => [name, number])),
        },
      }),
      policyDocument([ruleOf('R-ONE', { outcome: 'permit' })]),
    );
    const pairs = names.flatMap((a, i) => names.slice(i + 1).map((b) => against(a, 'neq', b)));
    const fewer = pairs.filter((pair) => !JSON.stringify(pair).includes('n11'));
    expect(satisfy(pigeons, isTrue(and(...fewer))).possible).toBe(true);
    const seconds = cpuSeconds(() => {
      expect(satisfy(pigeons, isTrue(and(...pairs)))).toMatchObject({
        possible: 'unknown',
        reason: 'limit',
      });
    });
    expect(seconds).toBeLessThan(10);
  });

  test('long lists, wide and deep conditions, and chains of rules', () => {
    const many = Array.from({ length: 100_000 }, (_, i) => `c${i}`);
    const chain = built(
      smallPack(),
      policyDocument(
        Array.from({ length: 5000 }, (_, i) =>
          ruleOf(`R-${i}`, {
            applies: i === 0 ? 'request.yes' : { applies: `R-${i - 1}` },
            outcome: 'review',
          }),
        ),
      ),
    );
    let deep = compare('request.yes', 'eq', true);
    for (let i = 0; i < 1000; i++) deep = { kind: 'not', of: deep };
    const asked: [Program, Condition, boolean][] = [
      [
        small,
        and(
          compare('request.purpose', 'isAnyOf', many),
          compare('request.purpose', 'isNoneOf', many.slice(1)),
        ),
        true,
      ],
      [
        small,
        and(
          compare('request.purpose', 'isAnyOf', many),
          compare('request.purpose', 'isNoneOf', many),
        ),
        false,
      ],
      [
        small,
        and(
          compare('request.codes', 'isAllOf', many.slice(0, 5000)),
          compare('request.codes', 'isPartOf', many),
        ),
        true,
      ],
      [
        small,
        {
          kind: 'xone',
          of: many.slice(0, 1000).map((code) => compare('request.purpose', 'eq', code)),
        },
        true,
      ],
      [
        small,
        and(...many.slice(0, 1000).map((code) => compare('request.purpose', 'neq', code))),
        true,
      ],
      [small, deep, true],
      [chain, { kind: 'applies', rule: 'R-4999' }, true],
      [
        chain,
        {
          kind: 'or',
          of: [
            { kind: 'applies', rule: 'R-4999' },
            { kind: 'applies', rule: 'R-4998' },
          ],
        },
        true,
      ],
      [chain, and({ kind: 'applies', rule: 'R-4999' }, compare('request.yes', 'eq', false)), false],
    ];
    const seconds = cpuSeconds(() => {
      for (const [of, condition, possible] of asked)
        expect(satisfy(of, isTrue(condition), { limit: 2_000_000 }).possible).toBe(possible);
    });
    expect(seconds).toBeLessThan(20);
  });
});
