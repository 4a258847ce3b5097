import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type FactTest,
  type Predicate,
  Predicates,
  type Reading,
  sizeOf,
  type StoredFact,
} from '../../src/pdp/predicate.ts';
import { isTrueOf } from './answers.ts';

const factOf = (name: string, path = name): StoredFact => ({
  name: `dataset.${name}`,
  path,
  load: 'text',
  absences: [{ path, value: undefined }],
});
const facts = {
  id: factOf('id'),
  publisher: factOf('publisher'),
  sector: factOf('sector'),
  kind: factOf('kind'),
};

const isIn = (of: Predicates, fact: keyof typeof facts, ...values: string[]): Predicate =>
  of.test({ kind: 'in', fact: facts[fact], values }, 'true');
const stated = (of: Predicates, fact: keyof typeof facts, is: Reading = 'true'): Predicate =>
  of.test({ kind: 'stated', fact: facts[fact] }, is);

type Plan =
  | { readonly test: FactTest; readonly is: Reading }
  | { readonly kind: 'and' | 'or'; readonly of: readonly Plan[] }
  | { readonly not: Plan }
  | boolean;

const VALUES = ['a', 'b', 'c'];
const plan = fc.letrec<{ tree: Plan }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    {
      weight: 4,
      arbitrary: fc.record({
        test: fc.oneof(
          fc.record({
            kind: fc.constant('in' as const),
            fact: fc.constantFrom(...Object.values(facts)),
            values: fc.subarray(VALUES),
          }),
          fc.record({
            kind: fc.constant('stated' as const),
            fact: fc.constantFrom(...Object.values(facts)),
          }),
        ),
        is: fc.constantFrom<Reading[]>('true', 'false', 'not_true', 'not_false'),
      }),
    },
    fc.record({
      kind: fc.constantFrom<('and' | 'or')[]>('and', 'or'),
      of: fc.array(tie('tree'), { maxLength: 6 }),
    }),
    fc.record({ not: tie('tree') }),
    fc.boolean(),
  ),
})).tree;

function made(of: Predicates, each: Plan): Predicate {
  if (typeof each === 'boolean') return of.constant(each);
  if ('not' in each) return of.not(made(of, each.not));
  if ('is' in each) return of.test(each.test, each.is);
  return of[each.kind](...each.of.map((part) => made(of, part)));
}

function plainly(each: Plan, dataset: object): boolean {
  if (typeof each === 'boolean') return each;
  if ('not' in each) return !plainly(each.not, dataset);
  if ('is' in each) return isTrueOf({ kind: 'test', ...each }, dataset);
  const parts = each.of.map((part) => plainly(part, dataset));
  return each.kind === 'and' ? parts.every(Boolean) : parts.some(Boolean);
}

const value = fc.option(fc.constantFrom(...VALUES), { nil: undefined });
const dataset = fc.record({ id: value, publisher: value, sector: value, kind: value });

describe('A predicate', () => {
  test('says what it was made of, and its negation the opposite', () => {
    fc.assert(
      fc.property(plan, fc.array(dataset, { minLength: 10, maxLength: 10 }), (each, all) => {
        const of = new Predicates();
        const predicate = made(of, each);
        for (const one of all) {
          expect(isTrueOf(predicate, one)).toBe(plainly(each, one));
          expect(isTrueOf(of.not(predicate), one)).toBe(!plainly(each, one));
        }
        expect(of.not(of.not(predicate))).toBe(predicate);
        expect(made(of, each)).toBe(predicate);
      }),
      { numRuns: 2000 },
    );
  });

  test('is the same object where it is made of the same, in the same order', () => {
    const of = new Predicates();
    const [a, b] = [stated(of, 'id'), stated(of, 'sector')];
    expect(stated(of, 'id')).toBe(a);
    expect(of.three({ kind: 'stated', fact: facts.id }).isTrue).toBe(a);
    expect(of.three({ kind: 'stated', fact: facts.id }).isFalse).toBe(stated(of, 'id', 'false'));
    expect(of.and(a, b)).toBe(of.and(a, b));
    expect(of.and(a, b)).not.toBe(of.or(a, b));
    expect(of.or(of.and(a, b), of.and(a, b))).toBe(of.and(a, b));
    const order = (left: unknown): Predicate =>
      of.test({ kind: 'equal', left: { value: left }, right: { fact: facts.id } }, 'true');
    expect(order(null)).not.toBe(order(undefined));
    expect(order(undefined)).toBe(order(undefined));
    expect(order(1)).not.toBe(order('1'));
  });

  test('folds what is always so, never so, said already, or contradicts itself', () => {
    const of = new Predicates();
    const [a, b] = [stated(of, 'id'), stated(of, 'sector')];
    const { always, never } = of;
    expect(of.constant(true)).toBe(always);
    expect(of.constant(false)).toBe(never);
    for (const [predicate, expected] of [
      [of.and(), always],
      [of.or(), never],
      [of.and(a), a],
      [of.and(a, always), a],
      [of.and(a, never), never],
      [of.and(always, always), always],
      [of.or(a, never), a],
      [of.or(a, always), always],
      [of.or(never, never), never],
      [of.and(a, a), a],
      [of.and(a, of.not(a)), never],
      [of.or(a, of.not(a)), always],
      [of.or(a, of.and(a, b)), a],
      [of.and(a, of.or(a, b)), a],
      [of.or(b, of.or(a, b)), of.or(b, a)],
      [of.and(of.and(a, b), of.and(a, b)), of.and(a, b)],
      [of.not(always), never],
      [of.not(of.and(a, b)), of.or(of.not(a), of.not(b))],
    ] as const)
      expect(predicate).toBe(expected);
  });

  test('joins what asks for values of one fact, the identifier before the publisher', () => {
    const of = new Predicates();
    const [a, b, both] = [isIn(of, 'kind', 'a'), isIn(of, 'kind', 'b'), isIn(of, 'kind', 'a', 'b')];
    const s = stated(of, 'sector');
    const p = (name: string): Predicate => isIn(of, 'publisher', name);
    const i = (name: string): Predicate => isIn(of, 'id', name);
    expect(of.or(b, a)).toBe(both);
    expect(of.or(a, of.or(b, s))).toEqual(of.or(s, both));
    expect(of.or(of.and(a, s), of.and(b, s))).toBe(of.and(both, s));
    expect(of.or(of.and(i('x'), p('x')), of.and(i('y'), p('x')))).toBe(
      of.and(isIn(of, 'id', 'x', 'y'), p('x')),
    );
    expect(of.or(of.and(p('x'), a), of.and(p('y'), a))).toBe(
      of.and(isIn(of, 'publisher', 'x', 'y'), a),
    );
    expect(of.or(of.and(a, p('x')), of.and(a, p('y')))).toBe(
      of.and(isIn(of, 'publisher', 'x', 'y'), a),
    );
    const not = (predicate: Predicate): Predicate => of.not(predicate);
    expect(of.and(not(a), not(b))).toBe(not(both));
    // Of a fact that is a or b nothing is left that is both: that is for the database to find.
    expect(of.and(a, b)).toEqual({ kind: 'and', of: [a, b] });
    expect(of.or(a, of.test({ kind: 'in', fact: facts.kind, values: ['b'] }, 'not_true'))).toEqual({
      kind: 'or',
      of: [of.not(b), a],
    });
  });

  test('joins nothing of two facts, or of two readings', () => {
    const of = new Predicates();
    const [a, s] = [isIn(of, 'publisher', 'a'), isIn(of, 'sector', 's')];
    const maybe = of.test({ kind: 'in', fact: facts.publisher, values: ['b'] }, 'not_false');
    for (const other of [s, maybe]) {
      expect(of.or(a, other)).toMatchObject({ kind: 'or', of: { length: 2 } });
      expect(of.or(of.and(a, stated(of, 'id')), of.and(other, stated(of, 'id')))).toMatchObject({
        kind: 'or',
        of: { length: 2 },
      });
    }
    for (const values of [['a'], ['b'], []])
      expect(isTrueOf(of.or(a, s), { publisher: values[0], sector: values[0] })).toBe(
        values[0] === 'a',
      );
  });

  test('asks first for the publisher where four branches or more each have their own', () => {
    const of = new Predicates();
    const branch = (i: number): Predicate =>
      of.and(isIn(of, 'publisher', `p${i}`), isIn(of, 'kind', `k${i}`));
    const branches = (count: number): Predicate[] =>
      Array.from({ length: count }, (_, i) => branch(i));
    const other = stated(of, 'sector');
    expect(of.or(...branches(3), other)).toEqual({ kind: 'or', of: [other, ...branches(3)] });
    expect(of.or(...branches(4), other)).toEqual({
      kind: 'or',
      of: [
        other,
        {
          kind: 'and',
          of: [isIn(of, 'publisher', 'p0', 'p1', 'p2', 'p3'), { kind: 'or', of: branches(4) }],
        },
      ],
    });
    expect(of.or(...branches(4))).toMatchObject({
      kind: 'and',
      of: [{ kind: 'test' }, { kind: 'or' }],
    });
    expect(of.or(stated(of, 'id'), stated(of, 'kind'), stated(of, 'sector'), branch(1))).toEqual({
      kind: 'or',
      of: [stated(of, 'id'), stated(of, 'kind'), stated(of, 'sector'), branch(1)],
    });
  });

  test('has the size of its tests, each time that it is written out', () => {
    const of = new Predicates();
    const [a, b, c] = [stated(of, 'id'), stated(of, 'sector'), stated(of, 'kind')];
    const known = new Map<Predicate, number>();
    const shared = of.or(a, b);
    const whole = of.or(of.and(shared, c), of.and(shared, of.not(c)));
    expect(sizeOf(of.always)).toBe(1);
    expect(sizeOf(a)).toBe(1);
    expect(sizeOf(whole, known)).toBe(6);
    expect(sizeOf(whole, known)).toBe(6);
    expect(known.get(shared)).toBe(2);
    known.set(shared, 100);
    expect(sizeOf(of.and(shared, b), known)).toBe(1);
    expect(sizeOf(of.and(shared, c), new Map([[shared, 100]]))).toBe(101);
  });
});
