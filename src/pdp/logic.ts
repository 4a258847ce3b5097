/**
 * Kleene's strong three-valued logic, and sets of which only a part may be known.
 * "And" is the minimum, "or" the maximum, "not" the mirror image.
 */

export type Truth = 0 | 1 | 2;
export const FALSE = 0;
export const UNKNOWN = 1;
export const TRUE = 2;

export function not(truth: Truth): Truth {
  return (2 - truth) as Truth;
}

/**
 * A set of codes. `open` says that it may have members besides the known ones: the countries of
 * recipients when one recipient's country is not stated. A wholly unknown set is open and empty.
 */
export interface CodeSet {
  readonly items: readonly string[];
  readonly open: boolean;
}

export const EMPTY_SET: CodeSet = { items: [], open: false };
export const UNKNOWN_SET: CodeSet = { items: [], open: true };

// Beyond this many members a hash index pays for itself.
const INDEX_FROM = 24;
const indexes = new WeakMap<CodeSet, Set<string>>();

/** Is `code` among the members that are known? */
function knows(set: CodeSet, code: string): boolean {
  if (set.items.length < INDEX_FROM) return set.items.includes(code);
  let index = indexes.get(set);
  if (!index) {
    index = new Set(set.items);
    indexes.set(set, index);
  }
  return index.has(code);
}

/** `code` ∈ `set`. */
export function contains(set: CodeSet, code: string): Truth {
  if (knows(set, code)) return TRUE;
  return set.open ? UNKNOWN : FALSE;
}

/** `part` ⊆ `whole`. */
export function isSubset(part: CodeSet, whole: CodeSet): Truth {
  let known: Truth = TRUE;
  for (const code of part.items) {
    const member = contains(whole, code);
    if (member === FALSE) return FALSE;
    if (member < known) known = member;
  }
  return part.open ? UNKNOWN : known;
}

/** `left` ∩ `right` is not empty. */
export function intersects(left: CodeSet, right: CodeSet): Truth {
  for (const code of left.items) if (knows(right, code)) return TRUE;
  const possible =
    (left.open && (right.open || right.items.length > 0)) || (right.open && left.items.length > 0);
  return possible ? UNKNOWN : FALSE;
}

/** `set` has a member. */
export function isNonEmpty(set: CodeSet): Truth {
  if (set.items.length > 0) return TRUE;
  return set.open ? UNKNOWN : FALSE;
}

/** The union of `sets` less the codes in `without`; open as soon as one of them is. */
export function unionWithout(sets: readonly CodeSet[], without: readonly string[]): CodeSet {
  let items: string[] | undefined;
  let open = false;
  for (const set of sets) {
    open ||= set.open;
    for (const code of set.items) {
      if (without.includes(code) || items?.includes(code)) continue;
      if (items) items.push(code);
      else items = [code];
    }
  }
  if (items) return { items, open };
  return open ? UNKNOWN_SET : EMPTY_SET;
}
