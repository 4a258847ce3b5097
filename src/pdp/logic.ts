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
/** A set that is known not to be stated; equal to the empty set but for `exists`. */
export const NONE_SET: CodeSet = { items: [], open: false };

// Beyond this many members a hash index pays for itself.
const INDEX_FROM = 24;
const indexes = new WeakMap<CodeSet, Set<string>>();

/** Is `code` among the members that are known? */
function knows(set: CodeSet, code: string): boolean {
  if (set.items.length < INDEX_FROM) return includes(set.items, code);
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

/** `set` less `code`, each member once; `set` itself where that is what it is. */
export function without(set: CodeSet, code: string | undefined): CodeSet {
  const { items, open } = set;
  if (items.length >= INDEX_FROM) {
    const rest = new Set(items);
    const isSame = rest.size === items.length && !(code !== undefined && rest.has(code));
    if (code !== undefined) rest.delete(code);
    return isSame ? set : { items: [...rest], open };
  }
  let kept = 0;
  while (kept < items.length && items[kept] !== code && isFirst(items, kept)) kept++;
  if (kept === items.length && kept > 0) return set;
  let rest = kept > 0 ? items.slice(0, kept) : undefined;
  for (let i = kept + 1; i < items.length; i++) {
    const item = items[i] as string;
    if (item === code || !isFirst(items, i)) continue;
    if (rest) rest.push(item);
    else rest = [item];
  }
  if (rest) return { items: rest, open };
  return open ? UNKNOWN_SET : EMPTY_SET;
}

/** No earlier member is the same as that at `index`. */
function isFirst(items: readonly string[], index: number): boolean {
  for (let i = 0; i < index; i++) if (items[i] === items[index]) return false;
  return true;
}

/** `left` ∪ `right`, in this order; one of them itself where the other adds nothing. */
export function union(left: CodeSet, right: CodeSet): CodeSet {
  if (left.items.length === 0) return opened(right, left.open);
  let items: string[] | undefined;
  for (const code of right.items) {
    if (knows(left, code)) continue;
    items ??= left.items.slice();
    items.push(code);
  }
  return items ? { items, open: left.open || right.open } : opened(left, right.open);
}

function opened(set: CodeSet, open: boolean): CodeSet {
  if (set.open || !open) return set;
  return set.items.length === 0 ? UNKNOWN_SET : { items: set.items, open };
}

/** As `Array.prototype.includes`, which costs a call: nearly all lists here have one to four members. */
function includes(items: readonly string[], code: string): boolean {
  for (const item of items) if (item === code) return true;
  return false;
}
