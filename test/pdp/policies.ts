/** Random policies over the small pack of support.ts, and facts for them. */
import * as fc from 'fast-check';
import type { Facts } from '../../src/pdp/facts.ts';
import { ruleOf } from './support.ts';

const code = fc.constantFrom('care', 'hiv_care', 'hiv_trial', 'research', 'trade', 'fair_trade');
const country = fc.constantFrom('KE', 'RW', 'UG', 'JP');
const date = fc.constantFrom('2026-10-14', '2026-10-15', '2026-10-16');
const rank = fc.constantFrom('low', 'high');
const ordering = fc.constantFrom('eq', 'neq', 'lt', 'lteq', 'gt', 'gteq');
const factOf = (...names: string[]): fc.Arbitrary<{ fact: string }> =>
  fc.constantFrom(...names).map((fact) => ({ fact }));
const listOf = (member: fc.Arbitrary<string>): fc.Arbitrary<string[]> =>
  fc.uniqueArray(member, { minLength: 1, maxLength: 3 });

const compare = (
  left: string[],
  operators: fc.Arbitrary<string>,
  right: fc.Arbitrary<unknown>,
): fc.Arbitrary<object> =>
  fc
    .tuple(fc.constantFrom(...left), operators, right)
    .map(([fact, operator, value]) => ({ fact, [operator]: value }));

const sets = fc.constantFrom('isAnyOf', 'isNoneOf', 'isPartOf');
const leaves: fc.Arbitrary<unknown> = fc.oneof(
  fc.boolean(),
  fc.constantFrom('request.yes', 'request.no', 'sure'),
  fc
    .constantFrom(
      'request.limit',
      'request.until',
      'request.other',
      'request.words',
      'request.paper',
      'request.count',
      'request.codes',
    )
    .map((exists) => ({ exists })),
  fc
    .constantFrom('request.codes', 'request.words', 'abroad', 'request.people.place')
    .map((nonempty) => ({ nonempty })),
  compare(
    ['request.yes', 'sure'],
    fc.constantFrom('eq', 'neq'),
    fc.oneof(fc.boolean(), factOf('request.no')),
  ),
  compare(
    ['request.count', 'request.limit'],
    ordering,
    fc.oneof(fc.integer({ min: 0, max: 3 }), factOf('request.limit', 'request.count')),
  ),
  compare(
    ['request.from', 'request.until'],
    ordering,
    fc.oneof(date, factOf('request.until', 'today', 'request.paper.until')),
  ),
  compare(
    ['request.purpose', 'request.other'],
    fc.constantFrom('eq', 'neq', 'isA'),
    fc.oneof(code, factOf('request.other', 'request.purpose')),
  ),
  compare(
    ['request.purpose', 'request.other'],
    fc.constantFrom('isA', 'isAnyOf', 'isNoneOf', 'isPartOf'),
    listOf(code),
  ),
  compare(
    ['request.purpose', 'request.other'],
    fc.oneof(sets, fc.constantFrom('isA', 'overlaps')),
    factOf('request.codes', 'request.words'),
  ),
  compare(
    ['request.purpose', 'request.other'],
    fc.constant('overlaps'),
    fc.oneof(code, listOf(code), factOf('request.other', 'request.purpose')),
  ),
  compare(
    ['request.codes', 'request.words'],
    fc.constantFrom('isA', 'overlaps'),
    fc.oneof(code, listOf(code), factOf('request.codes', 'request.words')),
  ),
  compare(
    ['request.asked'],
    fc.constantFrom('lt', 'lteq', 'gt', 'gteq'),
    fc.oneof(rank, factOf('dataset.allowed')),
  ),
  compare(
    ['request.codes', 'request.words'],
    fc.oneof(sets, fc.constantFrom('hasPart', 'isAllOf')),
    fc.oneof(code, listOf(code), factOf('request.codes', 'request.words')),
  ),
  compare(
    ['request.codes', 'request.words'],
    fc.constantFrom('hasPart', 'isAnyOf', 'isNoneOf'),
    factOf('request.purpose', 'request.other'),
  ),
  compare(
    ['request.places', 'abroad', 'request.people.place'],
    fc.oneof(sets, fc.constant('hasPart')),
    fc.oneof(country, listOf(country), factOf('request.places', 'abroad', 'home')),
  ),
  compare(
    ['request.places', 'abroad'],
    fc.constantFrom('hasPart', 'isAnyOf', 'isNoneOf'),
    factOf('request.place'),
  ),
  compare(
    ['request.places', 'abroad', 'request.place'],
    fc.constant('isPartOf'),
    fc.constant('EAC'),
  ),
);

const condition = (earlier: number): fc.Arbitrary<unknown> =>
  fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      earlier === 0
        ? leaves
        : fc.oneof(
            { arbitrary: leaves, weight: 6 },
            {
              arbitrary: fc
                .tuple(fc.constantFrom('applies', 'holds'), fc.nat(earlier - 1))
                .map(([kind, i]) => ({ [kind]: `RULE-${i}` })),
              weight: 1,
            },
          ),
      fc
        .tuple(
          fc.constantFrom('and', 'or', 'xone'),
          fc.array(tie('tree'), { minLength: 1, maxLength: 4 }),
        )
        .map(([kind, of]) => ({ [kind]: of })),
      tie('tree').map((not) => ({ not })),
    ),
  })).tree;

const effect = fc.constantFrom('permit', 'deny', 'review', 'oblige');
const outcomes = (earlier: number): fc.Arbitrary<unknown> =>
  fc.oneof(
    effect,
    fc.array(fc.record({ when: condition(earlier), effect }, { requiredKeys: ['effect'] }), {
      minLength: 1,
      maxLength: 3,
    }),
  );

export const obligation = { sentence: { en: 'x' }, due: 'throughout', evidence: { en: 'x' } };
const rule = (i: number): fc.Arbitrary<object> =>
  fc
    .record(
      { applies: condition(i), holds: condition(i), then: effect, otherwise: outcomes(i) },
      { requiredKeys: ['holds', 'otherwise'] },
    )
    .map((parts) => ruleOf(`RULE-${i}`, { ...parts, obligation }));
/** Up to six rules that may refer to earlier ones. */
export const ruleLists: fc.Arbitrary<object[]> = fc
  .integer({ min: 1, max: 6 })
  .chain((length) => fc.tuple(...Array.from({ length }, (_, i) => rule(i))));

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 3 });
/** Facts of the small pack, a third of them left out. */
export const smallFacts: fc.Arbitrary<Facts> = fc.record({
  dataset: fc.record({ allowed: maybe(fc.constantFrom('lowest', 'middle', 'highest')) }),
  request: fc.record({
    as_of: maybe(fc.constantFrom('2026-10-15T21:59:59Z', '2026-10-15T22:00:00Z')),
    yes: maybe(fc.boolean()),
    no: maybe(fc.boolean()),
    count: maybe(fc.integer({ min: 0, max: 3 })),
    limit: maybe(fc.integer({ min: 0, max: 3 })),
    from: maybe(date),
    until: maybe(date),
    purpose: maybe(code),
    other: maybe(code),
    asked: maybe(rank),
    codes: maybe(fc.uniqueArray(code, { maxLength: 3 })),
    words: maybe(fc.uniqueArray(code, { maxLength: 3 })),
    place: maybe(country),
    places: maybe(fc.uniqueArray(country, { maxLength: 3 })),
    people: maybe(fc.array(fc.record({ place: maybe(country) }), { maxLength: 3 })),
    paper: maybe(fc.record({ until: maybe(date) })),
  }),
});
