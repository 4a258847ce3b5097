import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type CodeSet,
  contains,
  EMPTY_SET,
  FALSE,
  intersects,
  isNonEmpty,
  isSubset,
  NONE_SET,
  not,
  type Truth,
  TRUE,
  union,
  UNKNOWN_SET,
  without,
  UNKNOWN,
} from '../../src/pdp/logic.ts';
import { cpuSeconds } from './support.ts';

/** Any subset of these may be what an open set has besides its known members. */
const UNIVERSE = ['a', 'b', 'c', 'd'] as const;

const codeSet: fc.Arbitrary<CodeSet> = fc.record({
  items: fc.subarray(UNIVERSE.slice(0, 3)),
  open: fc.boolean(),
});

/** As no engine makes them: a member more than once. */
const listed: fc.Arbitrary<CodeSet> = fc.record({
  items: fc.array(fc.constantFrom(...UNIVERSE), { maxLength: 5 }),
  open: fc.boolean(),
});

/** Every set that a partly known one may turn out to be. */
function completions({ items, open }: CodeSet): ReadonlySet<string>[] {
  if (!open) return [new Set(items)];
  const all = Array.from({ length: 2 ** UNIVERSE.length }, (_, bits) =>
    UNIVERSE.filter((_code, i) => bits & (1 << i)),
  );
  return all.map((more) => new Set([...items, ...more]));
}

/** True or false where all completions say so, else unknown. */
function agreed(answers: readonly boolean[]): Truth {
  if (answers.every(Boolean)) return TRUE;
  return answers.some(Boolean) ? UNKNOWN : FALSE;
}

function pairs(
  left: CodeSet,
  right: CodeSet,
  ask: (a: ReadonlySet<string>, b: ReadonlySet<string>) => boolean,
): Truth {
  return agreed(completions(left).flatMap((a) => completions(right).map((b) => ask(a, b))));
}

const runs = { numRuns: 2000 };

describe('negation', () => {
  test.each([
    [FALSE, TRUE],
    [UNKNOWN, UNKNOWN],
    [TRUE, FALSE],
  ])('of %i is %i', (truth, expected) => {
    expect(not(truth as Truth)).toBe(expected);
  });
});

describe('a partly known set answers as all its completions do, and else not at all', () => {
  test('whether it contains a code', () => {
    fc.assert(
      fc.property(codeSet, fc.constantFrom(...UNIVERSE), (set, code) => {
        expect(contains(set, code)).toBe(agreed(completions(set).map((each) => each.has(code))));
      }),
      runs,
    );
  });

  test('whether it has a member', () => {
    fc.assert(
      fc.property(codeSet, (set) => {
        expect(isNonEmpty(set)).toBe(agreed(completions(set).map((each) => each.size > 0)));
      }),
      runs,
    );
  });

  test('whether it is part of another', () => {
    fc.assert(
      fc.property(codeSet, codeSet, (part, whole) => {
        expect(isSubset(part, whole)).toBe(
          pairs(part, whole, (a, b) => [...a].every((code) => b.has(code))),
        );
      }),
      runs,
    );
  });

  test('whether it shares a member with another', () => {
    fc.assert(
      fc.property(codeSet, codeSet, (left, right) => {
        expect(intersects(left, right)).toBe(
          pairs(left, right, (a, b) => [...a].some((code) => b.has(code))),
        );
      }),
      runs,
    );
  });

  test('when united with others, home left out', () => {
    fc.assert(
      fc.property(
        fc.array(listed, { maxLength: 3 }),
        fc.option(fc.constantFrom(...UNIVERSE), { nil: undefined }),
        (sets, home) => {
          const before = structuredClone(sets);
          const all = sets.map((set) => without(set, home)).reduce(union, EMPTY_SET);
          const known = new Set(sets.flatMap(({ items }) => items));
          if (home !== undefined) known.delete(home);
          // In the order in which they were first named.
          expect(all).toEqual({ items: [...known], open: sets.some(({ open }) => open) });
          expect(sets).toEqual(before);
        },
      ),
      runs,
    );
  });
});

describe('a union', () => {
  test('is the very set to which the others add nothing, and no copy of it', () => {
    const set: CodeSet = { items: ['a', 'b'], open: false };
    for (const other of [EMPTY_SET, { items: ['b'], open: false }]) {
      expect(union(set, other)).toBe(set);
    }
    expect(union(EMPTY_SET, set)).toBe(set);
    expect(without(set, 'c')).toBe(set);
    expect(without(set, undefined)).toBe(set);
  });

  test('that has no member is the one set that says so, also of what is not stated', () => {
    const home: CodeSet = { items: ['RW'], open: false };
    for (const nothing of [NONE_SET, EMPTY_SET, home]) {
      expect(without(nothing, 'RW')).toBe(EMPTY_SET);
    }
    expect(without({ ...home, open: true }, 'RW')).toBe(UNKNOWN_SET);
    expect(union(EMPTY_SET, UNKNOWN_SET)).toBe(UNKNOWN_SET);
    expect(union(UNKNOWN_SET, EMPTY_SET)).toBe(UNKNOWN_SET);
  });
});

describe('a set of some dozens, which is looked up in an index', () => {
  test.each([23, 24, 25])('of %i has its members and no others, however often asked', (size) => {
    const items = Array.from({ length: size }, (_, i) => `code-${i}`);
    for (const open of [false, true]) {
      const set: CodeSet = { items, open };
      for (const code of [...items, ...items]) expect(contains(set, code)).toBe(TRUE);
      expect(contains(set, `code-${size}`)).toBe(open ? UNKNOWN : FALSE);
      expect(contains({ items: items.slice(1), open: false }, 'code-0')).toBe(FALSE);
    }
  });
});

describe('a set less a code', () => {
  test.each([1, 23, 24, 25, 40])('of %i is itself where it is that, and in order', (size) => {
    const items = Array.from({ length: size }, (_, i) => `code-${i}`);
    for (const open of [false, true]) {
      const set: CodeSet = { items, open };
      for (const code of [undefined, 'other']) expect(without(set, code)).toBe(set);
      for (const code of new Set([items[0], items[size >> 1], items[size - 1]]))
        expect(without(set, code)).toEqual({ items: items.filter((each) => each !== code), open });
      const twice: CodeSet = { items: [...items, ...items], open };
      for (const code of [undefined, 'other']) expect(without(twice, code)).toEqual(set);
      expect(without(twice, items[0])).toEqual({ items: items.slice(1), open });
    }
  });
});

describe('a set of a hundred thousand', () => {
  const many = (from: number): CodeSet => ({
    items: Array.from({ length: 100_000 }, (_, i) => `code-${from + i}`),
    open: false,
  });

  test('is compared with another in well under a second, and rightly', () => {
    const [low, high, other] = [many(0), many(99_999), many(100_000)];
    const same = many(0);
    const spent = cpuSeconds(() => {
      expect(isSubset(low, same)).toBe(TRUE);
      expect(isSubset(low, high)).toBe(FALSE);
      expect(intersects(low, high)).toBe(TRUE);
      expect(intersects(low, other)).toBe(FALSE);
    });
    expect(spent).toBeLessThan(1);
  });
});
