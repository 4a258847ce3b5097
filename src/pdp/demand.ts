import type { Condition } from './condition.ts';

/**
 * What `satisfy` searches by: demands on facts, and conditions that are still to be read into
 * them. `clause.ts` makes them of conditions, `domains.ts` keeps what they leave of each fact.
 */

/** What is wanted of a three-valued condition. */
export type Wanted = 'true' | 'false' | 'not_true' | 'not_false';

/** How a fact stands in explicit facts; a mask of these. */
export const STATED = 1;
/** Known to be none. */
export const NONE = 2;
export const UNSTATED = 4;
/** Left out, where that counts as a value. */
export const COUNTED = 8;
/** A list that is stated and has no items. */
export const EMPTY = 16;
/** Has a value. */
export const KNOWN: number = STATED | COUNTED;

type Value = string | boolean;

/** Sets in a union: a fact's members but for some codes, one fact's value, or constants. */
export type Term =
  | { readonly kind: 'set'; readonly fact: string; readonly without: readonly string[] }
  | { readonly kind: 'single'; readonly fact: string }
  | { readonly kind: 'codes'; readonly codes: ReadonlySet<string> };

/**
 * A demand on one or two facts. All but `status`, `lacks`, `only`, and `in` where not `positive`
 * also demand that their scalar facts are known.
 */
export type Literal =
  | { readonly kind: 'status'; readonly fact: string; readonly mask: number }
  | {
      readonly kind: 'within' | 'outside';
      readonly fact: string;
      readonly values: ReadonlySet<Value>;
    }
  | {
      readonly kind: 'bound';
      readonly fact: string;
      readonly operator: Ordering;
      readonly value: number;
    }
  | {
      readonly kind: 'order';
      readonly left: string;
      readonly right: string;
      readonly operator: Ordering;
    }
  | {
      readonly kind: 'codes';
      readonly left: string;
      readonly right: string;
      /** `eq`, or whether two values stand in the relation. */
      readonly relation: 'eq' | ((left: string, right: string) => boolean);
      /** A value of one fact may have to be that of the other. */
      readonly shares: boolean;
    }
  | {
      readonly kind: 'has' | 'lacks' | 'only';
      readonly set: string;
      readonly codes: ReadonlySet<string>;
    }
  | {
      readonly kind: 'in';
      readonly element: string;
      readonly set: string;
      readonly positive: boolean;
    }
  | {
      readonly kind: 'subset' | 'disjoint';
      readonly left: readonly Term[];
      readonly right: readonly Term[];
      /** How a code must stand to one on the right; not given, be the same. */
      readonly kin?: Kin;
    };

/** A relation of codes. */
export interface Kin {
  holds(left: string, right: string): boolean;
  /** The codes that one stands in the relation to, of a relation that is asked for. */
  reached(left: string): readonly string[];
}

export type Ordering = 'eq' | 'neq' | 'lt' | 'lteq' | 'gt' | 'gteq';

/** What holds where an ordering does not. */
export const OPPOSITE: Readonly<Record<Ordering, Ordering>> = {
  eq: 'neq',
  neq: 'eq',
  lt: 'gteq',
  gteq: 'lt',
  gt: 'lteq',
  lteq: 'gt',
};

/** What must be met: a condition, all or any of several, or a demand on facts. */
export type Node =
  | { readonly kind: 'goal'; readonly condition: Condition; readonly wanted: Wanted }
  | { readonly kind: 'all' | 'any'; readonly of: readonly Node[] }
  /** There is an element, of the type of `of`'s members, of which `demand` is met. */
  | {
      readonly kind: 'some';
      readonly of: string;
      readonly demand: (element: string) => Node;
    }
  /** Made when it is its turn: it may be large. */
  | { readonly kind: 'later'; readonly make: () => Node }
  | Literal;
