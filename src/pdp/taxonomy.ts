import type { TermSpec } from './document.ts';
import { FALSE, TRUE, type Truth, UNKNOWN } from './logic.ts';

/** The lists of terms of a pack, and what its authority says of them. */
export interface TermLists {
  /** By list, its terms by code. */
  readonly lists: Readonly<Record<string, Readonly<Record<string, TermSpec>>>>;
  /** Names of terms that stand for another: CURIEs and IRIs. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Groups of terms of which no two have anything in common. */
  readonly disjoint?: readonly (readonly string[])[];
  /** Lists whose `own` terms are all there are. */
  readonly closed?: readonly string[];
  /** By list, the terms that the pack has not from elsewhere. */
  readonly own?: Readonly<Record<string, readonly string[]>>;
}

const NONE: ReadonlySet<string> = new Set();

/**
 * Terms that are kinds of one another. That two of them overlap is known where one is a kind of
 * the other or a third is a kind of both; that they do not, only where the authority says so: by
 * declaring them, or something broader, disjoint, or by closing the list whose own terms they are.
 * Anything else is unknown.
 */
export class Taxonomy {
  /** For each term the terms it is a kind of: itself, and everything broader. */
  readonly broader: ReadonlyMap<string, readonly string[]>;
  readonly #terms: TermLists;
  readonly #narrower = new Map<string, Set<string>>();
  readonly #lists = new Map<string, ReadonlySet<string>>();
  /** By list, and by each of its own terms, all of those; of closed lists. */
  readonly #closed = new Map<string, ReadonlySet<string>>();
  readonly #overlapping = new Map<string, ReadonlySet<string>>();
  readonly #apart = new Map<string, ReadonlySet<string>>();

  constructor(terms: TermLists) {
    this.#terms = terms;
    this.broader = closure(Object.assign({}, ...Object.values(terms.lists)));
    for (const [term, kinds] of this.broader) {
      for (const kind of kinds)
        this.#narrower.set(kind, (this.#narrower.get(kind) ?? new Set()).add(term));
    }
    for (const [list, of] of Object.entries(terms.lists)) {
      this.#lists.set(list, new Set(Object.keys(of)));
      if (!terms.closed?.includes(list)) continue;
      const own = new Set(terms.own?.[list] ?? Object.keys(of));
      for (const term of own) this.#closed.set(term, own);
    }
  }

  /** The code of a term that is called by its CURIE or IRI; any other text as it is. */
  canonical(name: string): string {
    const { aliases } = this.#terms;
    return aliases && Object.hasOwn(aliases, name) ? (aliases[name] ?? name) : name;
  }

  /** The terms of a list; undefined where there is no such list. */
  termsOf(list: string): ReadonlySet<string> | undefined {
    return this.#lists.get(list);
  }

  /** The terms of a list, where they are all that there are; undefined of no list too. */
  closedTermsOf(list: string | undefined): ReadonlySet<string> | undefined {
    const closed = this.#terms.closed?.find((each) => each === list);
    return closed === undefined ? undefined : this.#lists.get(closed);
  }

  /** Is `term` a kind of `kind`? A code that is no term is a kind of itself alone. */
  isKind(term: string, kind: string): boolean {
    return term === kind || (this.broader.get(term)?.includes(kind) ?? false);
  }

  kindsOf(term: string): readonly string[] {
    return this.broader.get(term) ?? [term];
  }

  /** Some codes, and every term that is a kind of one of them. */
  narrower(codes: Iterable<string>): ReadonlySet<string> {
    const found = new Set<string>();
    for (const code of codes) {
      found.add(code);
      for (const term of this.#narrower.get(code) ?? NONE) found.add(term);
    }
    return found;
  }

  /** Have two codes something in common? */
  overlap(a: string, b: string): Truth {
    if (a === b || this.overlapping(a).has(b)) return TRUE;
    return this.apart(a).has(b) ? FALSE : UNKNOWN;
  }

  /** The codes that surely overlap one: itself, broader and narrower terms, and those that share a kind. */
  overlapping(code: string): ReadonlySet<string> {
    const known = this.#overlapping.get(code);
    if (known) return known;
    const found = new Set([code]);
    for (const term of this.#narrower.get(code) ?? NONE)
      for (const kind of this.kindsOf(term)) found.add(kind);
    // A code that is no term comes from a caller: it is not kept.
    if (this.broader.has(code)) this.#overlapping.set(code, found);
    return found;
  }

  /** The codes that surely do not. */
  apart(code: string): ReadonlySet<string> {
    if (!this.broader.has(code)) return NONE;
    const known = this.#apart.get(code);
    if (known) return known;
    const kinds = new Set(this.kindsOf(code));
    const found = new Set(this.#closed.get(code));
    for (const group of this.#terms.disjoint ?? []) {
      const mine = group.filter((term) => kinds.has(term));
      if (mine.length === 0) continue;
      for (const term of this.narrower(group.filter((each) => !kinds.has(each)))) found.add(term);
    }
    for (const term of this.overlapping(code)) found.delete(term);
    this.#apart.set(code, found);
    return found;
  }
}

/** For each term its transitive closure of broader terms, itself first. */
function closure(
  terms: Readonly<Record<string, TermSpec>>,
): ReadonlyMap<string, readonly string[]> {
  return new Map(
    Object.keys(terms).map((term) => {
      const seen = new Set([term]);
      for (const each of seen) for (const wider of terms[each]?.broader ?? []) seen.add(wider);
      return [term, [...seen]];
    }),
  );
}
