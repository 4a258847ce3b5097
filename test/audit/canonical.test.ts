/** Canonical JSON: the same bytes as another implementation of RFC 8785, and none where that has none. */

import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalText, canonicalWriter, inOrder } from '../../src/audit/canonical.ts';

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '10',
    '9',
    '1e3',
    '',
    '__proto__',
    'toJSON',
    '\\ud',
    '\ud800',
    '\u20ac',
    '\u2028',
    'é',
  ),
);
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.double(),
    fc.integer(),
    fc.constant(undefined),
    text,
    fc.array(tie('value')),
    fc.dictionary(text, tie('value')),
    fc.date({ noInvalidDate: true }),
  ),
})).value;

function outcome(work: () => string | undefined): string {
  try {
    return work() ?? 'nothing';
  } catch {
    return 'nothing';
  }
}

test('is what another implementation writes, or refuses', () => {
  fc.assert(
    fc.property(json, (value) => {
      expect(outcome(() => canonicalText(value))).toBe(outcome(() => canonicalize(value)));
    }),
    { numRuns: 3_000 },
  );
});

test('of a value that was put in order is the same', () => {
  fc.assert(
    fc.property(fc.dictionary(text, fc.jsonValue()), (object) => {
      const before = JSON.stringify(object);
      const ordered = inOrder(object);
      const whole = outcome(() => canonicalize(object));
      expect(outcome(() => canonicalText(ordered))).toBe(whole);
      expect(inOrder(ordered)).toBe(ordered);
      // Nobody's object is changed.
      expect(JSON.stringify(object)).toBe(before);
    }),
    { numRuns: 1_000 },
  );
});

test('of objects that differ in some members is that of each of them', () => {
  // Few names, so that a member is its own and shared, and some of none.
  const naming = fc.oneof(text, fc.constantFrom('a', 'b', 'c', 'd', 'e'));
  const own = fc.uniqueArray(naming, { minLength: 1, maxLength: 4 });
  const value = fc.oneof(fc.jsonValue(), fc.constant(undefined));
  const shared = fc.dictionary(naming, value, { maxKeys: 8 });
  fc.assert(
    fc.property(
      own,
      shared,
      fc.array(fc.jsonValue(), { minLength: 4 }),
      (names, others, values) => {
        const write = (): string => {
          const [first = '', ...rest] = names;
          const writer = canonicalWriter(others, [first, ...rest]);
          return writer(object);
        };
        const members = [
          ...Object.entries(others).filter(([name]) => !names.includes(name)),
          ...names.map((name, i) => [name, values[i]] as const),
        ];
        const object = Object.fromEntries(members);
        expect(outcome(write)).toBe(outcome(() => canonicalize(object)));
      },
    ),
    { numRuns: 1_000 },
  );
});
