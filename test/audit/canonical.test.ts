/** Canonical JSON: the same bytes as another implementation of RFC 8785, and none where that has none. */

import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalObject, canonicalText, fixedCanonicalText } from '../../src/audit/canonical.ts';

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

test('of an object is put together from that of its members, again and again', () => {
  const members = fc.dictionary(text, fc.oneof(fc.string(), fc.dictionary(text, fc.jsonValue())));
  fc.assert(
    fc.property(members, (object) => {
      const joined = (): string =>
        canonicalObject(
          Object.fromEntries(
            Object.entries(object).map(([name, value]) => [
              name,
              typeof value === 'string' ? canonicalText(value) : fixedCanonicalText(value),
            ]),
          ),
        );
      const whole = outcome(() => canonicalize(object));
      expect(outcome(joined)).toBe(whole);
      expect(outcome(joined)).toBe(whole);
    }),
    { numRuns: 1_000 },
  );
});
