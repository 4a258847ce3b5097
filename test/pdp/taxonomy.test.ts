/** Terms that are kinds of one another, against what is said of them, one pair at a time. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FALSE, TRUE, UNKNOWN } from '../../src/pdp/logic.ts';
import { Taxonomy, type TermLists } from '../../src/pdp/taxonomy.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const STRANGER = 'stranger';
const title = { en: 'Title' };

/** Terms in two lists; one may be a kind of any that come before it, in either list. */
const lists: fc.Arbitrary<TermLists> = fc
  .record({
    broader: fc.tuple(
      ...NAMES.map((_, i) => fc.subarray(NAMES.slice(0, i), { maxLength: Math.min(2, i) })),
    ),
    second: fc.nat(NAMES.length),
    disjoint: fc.array(fc.subarray(NAMES, { minLength: 2, maxLength: 3 }), { maxLength: 2 }),
    closed: fc.subarray(['one', 'two']),
    own: fc.option(fc.subarray(NAMES), { nil: undefined }),
  })
  .map(({ broader, second, disjoint, closed, own }) => {
    const terms = NAMES.map((name, i) => [name, { title, broader: broader[i] ?? [] }] as const);
    const [one, two] = [terms.slice(0, second), terms.slice(second)].map((each) =>
      Object.fromEntries(each),
    );
    const ownOne = own?.filter((name) => Object.hasOwn(one ?? {}, name));
    return {
      lists: { one: one ?? {}, two: two ?? {} },
      disjoint,
      closed,
      ...(ownOne && { own: { one: ownOne } }),
    };
  });

function kinds({ lists: of }: TermLists, term: string): string[] {
  const spec = Object.values(of).flatMap((list) => (Object.hasOwn(list, term) ? list[term] : []));
  const wider = (spec[0]?.broader ?? []).flatMap((each) => kinds({ lists: of }, each));
  return [...new Set([term, ...wider])];
}

function overlap(terms: TermLists, a: string, b: string): number {
  const isKind = (term: string, kind: string): boolean => kinds(terms, term).includes(kind);
  if (a === b || NAMES.some((each) => isKind(each, a) && isKind(each, b))) return TRUE;
  const isDeclared = (terms.disjoint ?? []).some((group) =>
    group.some((x) => group.some((y) => isKind(a, x) && isKind(b, y) && !isKind(a, y))),
  );
  const isListed = Object.entries(terms.lists).some(([list, of]) => {
    const own = terms.own?.[list] ?? Object.keys(of);
    return terms.closed?.includes(list) && own.includes(a) && own.includes(b);
  });
  return isDeclared || isListed ? FALSE : UNKNOWN;
}

describe('Terms', () => {
  test('are kinds of themselves and of all that is broader', () => {
    fc.assert(
      fc.property(lists, (terms) => {
        const taxonomy = new Taxonomy(terms);
        for (const term of [...NAMES, STRANGER]) {
          const all = kinds(terms, term);
          expect(new Set(taxonomy.kindsOf(term))).toEqual(new Set(all));
          expect(taxonomy.kindsOf(term)[0]).toBe(term);
          for (const kind of [...NAMES, STRANGER])
            expect(taxonomy.isKind(term, kind)).toBe(all.includes(kind));
        }
        expect([...taxonomy.broader.keys()].toSorted()).toEqual(NAMES);
      }),
    );
  });

  test('are found from what they are kinds of', () => {
    fc.assert(
      fc.property(lists, fc.subarray([...NAMES, STRANGER]), (terms, codes) => {
        const found = [...NAMES, STRANGER].filter((term) =>
          codes.some((code) => kinds(terms, term).includes(code)),
        );
        expect([...new Taxonomy(terms).narrower(codes)].toSorted()).toEqual(found.toSorted());
      }),
    );
  });

  test('have something in common, or have nothing, or nobody knows', () => {
    fc.assert(
      fc.property(lists, (terms) => {
        const taxonomy = new Taxonomy(terms);
        for (const a of [...NAMES, STRANGER, ...NAMES])
          for (const b of [...NAMES, STRANGER]) {
            const expected = overlap(terms, a, b);
            expect(taxonomy.overlap(a, b), JSON.stringify([terms, a, b])).toBe(expected);
            expect(taxonomy.overlapping(a).has(b)).toBe(expected === TRUE);
            expect(taxonomy.apart(a).has(b)).toBe(expected === FALSE);
          }
        expect(taxonomy.overlapping('a')).toBe(taxonomy.overlapping('a'));
        expect(taxonomy.apart('a')).toBe(taxonomy.apart('a'));
        expect(taxonomy.overlapping(STRANGER)).not.toBe(taxonomy.overlapping(STRANGER));
      }),
      { numRuns: 300 },
    );
  });

  test('stand in lists, some of which are closed', () => {
    fc.assert(
      fc.property(lists, (terms) => {
        const taxonomy = new Taxonomy(terms);
        for (const [list, of] of Object.entries(terms.lists)) {
          expect([...(taxonomy.termsOf(list) ?? [])]).toEqual(Object.keys(of));
          expect(taxonomy.closedTermsOf(list)).toBe(
            terms.closed?.includes(list) ? taxonomy.termsOf(list) : undefined,
          );
        }
        expect(taxonomy.termsOf('three')).toBeUndefined();
        expect(taxonomy.closedTermsOf('three')).toBeUndefined();
      }),
    );
  });

  test('are called by other names', () => {
    const aliases = { 'x:a': 'a', 'https://x/a': 'a' };
    const taxonomy = new Taxonomy({ lists: { one: { a: { title } } }, aliases });
    expect(
      ['x:a', 'https://x/a', 'a', 'x:b', 'toString'].map((name) => taxonomy.canonical(name)),
    ).toEqual(['a', 'a', 'a', 'x:b', 'toString']);
    expect(new Taxonomy({ lists: {} }).canonical('x:a')).toBe('x:a');
    expect(new Taxonomy({ lists: {} }).closedTermsOf('one')).toBeUndefined();
  });
});
