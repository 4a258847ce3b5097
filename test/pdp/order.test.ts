import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Before,
  boundsIn,
  isEmptyRange,
  narrowed,
  type OrderProblem,
  type Range,
  solveOrder,
  tightened,
} from '../../src/pdp/order.ts';

/** Numbers to try out: fine enough for four numbers between two whole ones, and those left out. */
const HALVES = Array.from({ length: 8 * 4 + 1 }, (_, i) => i / 8);
const WHOLE = HALVES.filter(Number.isInteger);
const OPERATORS = ['eq', 'neq', 'lt', 'lteq', 'gt', 'gteq'] as const;

function isIn({ low, high, lowOut, highOut, whole, not }: Range, value: number): boolean {
  if (whole && !Number.isInteger(value)) return false;
  if (not.has(value) || value < low || value > high) return false;
  return !(lowOut && value === low) && !(highOut && value === high);
}

const compared = (operator: (typeof OPERATORS)[number], a: number, b: number): boolean =>
  ({ eq: a === b, neq: a !== b, lt: a < b, lteq: a <= b, gt: a > b, gteq: a >= b })[operator];

const number = fc.integer({ min: 0, max: 4 });
const rangeOf = (whole: fc.Arbitrary<boolean>): fc.Arbitrary<Range> =>
  fc
    .record({
      ends: fc.tuple(number, number),
      lowOut: fc.boolean(),
      highOut: fc.boolean(),
      whole,
      not: fc.array(number, { maxLength: 2 }).map((values) => new Set(values)),
      anchor: fc.integer({ min: -1, max: 5 }),
    })
    .map(({ ends, ...rest }) =>
      tightened({ ...rest, low: Math.min(...ends), high: Math.max(...ends) }),
    );

describe('A range', () => {
  test('keeps of its numbers those that an operator leaves', () => {
    fc.assert(
      fc.property(
        rangeOf(fc.boolean()),
        fc.constantFrom(...OPERATORS),
        number,
        (range, operator, value) => {
          const left = narrowed(range, operator, value);
          for (const each of HALVES)
            expect(isIn(left, each)).toBe(isIn(range, each) && compared(operator, each, value));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('is empty where it has no number, and ends of whole numbers are in it', () => {
    fc.assert(
      fc.property(rangeOf(fc.boolean()), (range) => {
        expect(isEmptyRange(range)).toBe(!HALVES.some((each) => isIn(range, each)));
        if (isEmptyRange(range)) return;
        expect(isIn(range, range.low)).toBe(!range.lowOut);
        expect(isIn(range, range.high)).toBe(!range.highOut);
        if (range.whole) expect([range.lowOut, range.highOut]).toEqual([false, false]);
      }),
      { numRuns: 2000 },
    );
  });

  test('is the same where an operator takes nothing', () => {
    const range = tightened({
      low: 1,
      high: 3,
      lowOut: false,
      highOut: false,
      whole: false,
      not: new Set(),
      anchor: 0,
    });
    for (const [operator, value] of [
      ['lteq', 3],
      ['lteq', 4],
      ['lt', 4],
      ['gteq', 1],
      ['gteq', 0],
      ['gt', 0],
    ] as const)
      expect(narrowed(range, operator, value)).toBe(range);
    expect(narrowed(range, 'lt', 3)).toEqual({ ...range, highOut: true });
    expect(narrowed(range, 'gt', 1)).toEqual({ ...range, lowOut: true });
    const open = { ...range, lowOut: true, highOut: true };
    expect(narrowed(open, 'lt', 3)).toBe(open);
    expect(narrowed(open, 'gt', 1)).toBe(open);
  });
});

const NAMES = ['a', 'b', 'c', 'd'];
const problemOf = (whole: fc.Arbitrary<boolean>): fc.Arbitrary<OrderProblem> =>
  fc
    .record({
      ranges: fc.array(rangeOf(whole), { minLength: 2, maxLength: 4 }),
      before: fc.array(fc.tuple(fc.nat(3), fc.nat(3), fc.boolean()), { maxLength: 5 }),
      differ: fc.array(fc.tuple(fc.nat(3), fc.nat(3)), { maxLength: 3 }),
    })
    .map(({ ranges, before, differ }) => {
      const name = (i: number): string => NAMES[i % ranges.length] ?? 'a';
      return {
        ranges: new Map(ranges.map((range, i) => [name(i), range])),
        before: before.map(
          ([low, high, strict]): Before => ({ low: name(low), high: name(high), strict }),
        ),
        differ: differ.map(([a, b]) => [name(a), name(b)] as const),
      };
    });

function isSolution(
  { ranges, before, differ }: OrderProblem,
  found: ReadonlyMap<string, number>,
): boolean {
  const at = (name: string): number => found.get(name) ?? Number.NaN;
  return (
    [...ranges].every(([name, range]) => isIn(range, at(name))) &&
    before.every(({ low, high, strict }) => (strict ? at(low) < at(high) : at(low) <= at(high))) &&
    differ.every(([a, b]) => at(a) !== at(b))
  );
}

/** Every solution on the grid of whole numbers. */
function solutionsOf(problem: OrderProblem): ReadonlyMap<string, number>[] {
  return [...problem.ranges.keys()]
    .reduce<(readonly [string, number])[][]>(
      (all, name) => all.flatMap((each) => WHOLE.map((value) => [...each, [name, value] as const])),
      [[]],
    )
    .map((each) => new Map(each))
    .filter((each) => isSolution(problem, each));
}

describe('Numbers in an order', () => {
  const nothing = (): void => undefined;

  test('are found exactly where there are any, whole ones', () => {
    fc.assert(
      fc.property(problemOf(fc.constant(true)), (problem) => {
        const found = solveOrder(problem, nothing);
        const all = solutionsOf(problem);
        expect(found !== undefined).toBe(all.length > 0);
        if (found) expect(isSolution(problem, found)).toBe(true);
        if (found) expect([...found.keys()]).toEqual([...problem.ranges.keys()]);
      }),
      { numRuns: 1500 },
    );
  });

  test('are found where whole ones would do, though some need not be whole', () => {
    fc.assert(
      fc.property(problemOf(fc.boolean()), (problem) => {
        const found = solveOrder(problem, nothing);
        if (found) expect(isSolution(problem, found)).toBe(true);
        else expect(solutionsOf(problem)).toEqual([]);
      }),
      { numRuns: 1500 },
    );
  });

  test('are left within bounds that lose none of them, and that are tight where nothing is left out', () => {
    fc.assert(
      fc.property(problemOf(fc.constant(true)), fc.boolean(), (any, isPlain) => {
        const problem = isPlain
          ? {
              before: any.before,
              differ: [],
              ranges: new Map(
                [...any.ranges].map(([n, r]) => [n, { ...r, not: new Set<number>() }]),
              ),
            }
          : any;
        const bounds = boundsIn(problem);
        const all = solutionsOf(problem);
        if (!bounds) {
          expect(all).toEqual([]);
          return;
        }
        expect([...bounds.keys()]).toEqual([...problem.ranges.keys()]);
        for (const [name, range] of bounds) {
          const values = all.map((each) => each.get(name) ?? Number.NaN);
          for (const value of values) expect(isIn(range, value)).toBe(true);
          if (isPlain)
            expect([range.low, range.high]).toEqual([Math.min(...values), Math.max(...values)]);
        }
      }),
      { numRuns: 1000 },
    );
  });

  const range = (low: number, high: number, more: Partial<Range> = {}): Range =>
    tightened({
      low,
      high,
      lowOut: false,
      highOut: false,
      whole: true,
      not: new Set(),
      anchor: 0,
      ...more,
    });
  const solved = (ranges: Record<string, Range>, more: Partial<OrderProblem> = {}): unknown => {
    const problem = { ranges: new Map(Object.entries(ranges)), before: [], differ: [], ...more };
    const found = solveOrder(problem, nothing);
    return found && Object.fromEntries(found);
  };

  test('are near their anchors', () => {
    expect(solved({ a: range(0, 9, { anchor: 5 }) })).toEqual({ a: 5 });
    expect(solved({ a: range(0, 9, { anchor: -5 }) })).toEqual({ a: 0 });
    expect(solved({ a: range(0, 9, { anchor: 50 }) })).toEqual({ a: 9 });
    expect(solved({ a: range(0, 9, { anchor: 5, not: new Set([5]) }) })).toEqual({ a: 6 });
    expect(solved({ a: range(0, 9, { anchor: 5, not: new Set([5, 6, 7]) }) })).toEqual({ a: 4 });
    expect(solved({ a: range(0, 9, { anchor: 9, not: new Set([9, 8]) }) })).toEqual({ a: 7 });
    const half = { whole: false, lowOut: true, highOut: true };
    expect(solved({ a: range(0, 1, { ...half, anchor: 0 }) })).toEqual({ a: 0.5 });
    expect(solved({ a: range(0, 4, { ...half, anchor: 2, not: new Set([2]) }) })).toEqual({
      a: 4 / 3,
    });
  });

  test('that must differ are tried in both orders, each try counted', () => {
    const two = { a: range(0, 1, { anchor: 1 }), b: range(1, 1) };
    let steps = 0;
    const problem: OrderProblem = {
      ranges: new Map(Object.entries(two)),
      before: [{ low: 'a', high: 'b', strict: false }],
      differ: [['a', 'b']],
    };
    expect(Object.fromEntries(solveOrder(problem, () => steps++) ?? [])).toEqual({ a: 0, b: 1 });
    expect(steps).toBe(2);
    expect(solved({ a: range(1, 1), b: range(1, 1) }, { differ: [['a', 'b']] })).toBeUndefined();
    expect(solved(two, { differ: [['b', 'a']], before: problem.before })).toEqual({ a: 0, b: 1 });
    expect(solved({ a: range(0, 1) }, { differ: [['a', 'a']] })).toBeUndefined();
  });
});
