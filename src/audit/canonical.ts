import canonicalize from 'canonicalize';

/** What the short way cannot say: the long way does, or throws. */
const LONG_WAY = Symbol('long way');

/**
 * Canonical JSON (RFC 8785). Plain values take a short way: members are put in order, where they are
 * not, and the engine's own `JSON.stringify`, which writes texts and numbers as the RFC wants them,
 * does the rest, in a third of the time. @throws Error for what JSON cannot hold.
 */
export function canonicalText(value: unknown): string {
  const ordered = order(value);
  const text = ordered === LONG_WAY ? undefined : JSON.stringify(ordered);
  // An escaped half of a surrogate pair: the long way says that there is one, and where it is none.
  if (text !== undefined && !text.includes('\\ud')) return text;
  const long = canonicalize(value);
  if (long === undefined) throw new TypeError('not a JSON value');
  return long;
}

/** Writes an object that differs from others in some members only. */
export type CanonicalWriter = (object: Readonly<Record<string, unknown>>) => string;

/**
 * Canonical JSON of objects that are like `shared` in all members but `own`, which each of them has:
 * what they share is written once. Undefined members are none.
 */
export function canonicalWriter(
  shared: Readonly<Record<string, unknown>>,
  own: readonly [string, ...string[]],
): CanonicalWriter {
  const others = Object.keys(shared).filter(
    (key) => !own.includes(key) && shared[key] !== undefined,
  );
  const names = own.toSorted();
  /** The shared members whose names are between two of its own. */
  const between = (from: string | undefined, to: string | undefined): string[] => {
    const keys = others.filter(
      (key) => (from === undefined || key > from) && (to === undefined || key < to),
    );
    const members = Object.fromEntries(keys.map((key) => [key, shared[key]]));
    return keys.length > 0 ? [canonicalText(members).slice(1, -1)] : [];
  };
  const before = names.map((name, i) => {
    const members = [...between(names[i - 1], name), `${canonicalText(name)}:`];
    return `${i === 0 ? '{' : ','}${members.join(',')}`;
  });
  const after = `${['', ...between(names.at(-1), undefined)].join(',')}}`;
  return (object) => {
    let text = '';
    for (const [i, name] of names.entries()) text += before[i] + canonicalText(object[name]);
    return text + after;
  };
}

/** A value with its members in the order in which canonical JSON has them: writing it is quicker. */
export function inOrder<T>(value: T): T {
  const ordered = order(value);
  return ordered === LONG_WAY ? value : (ordered as T);
}

/** Itself where all members are in order, or else a copy. */
function order(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : LONG_WAY;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return orderItems(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if ((prototype !== Object.prototype && prototype !== null) || 'toJSON' in value) return LONG_WAY;
  return orderMembers(value as Readonly<Record<string, unknown>>);
}

function orderMembers(object: Readonly<Record<string, unknown>>): unknown {
  const keys = Object.keys(object);
  if (!areSorted(keys)) return sortMembers(object, keys.toSorted());
  let copy: Record<string, unknown> | undefined;
  for (const key of keys) {
    const member = object[key];
    const ordered = order(member);
    if (ordered === LONG_WAY) return LONG_WAY;
    if (ordered === member) continue;
    copy ??= { ...object };
    copy[key] = ordered;
  }
  return copy ?? object;
}

function areSorted(keys: readonly string[]): boolean {
  for (let i = 1; i < keys.length; i++) {
    if ((keys[i] ?? '') < (keys[i - 1] ?? '')) return false;
  }
  return true;
}

function sortMembers(object: Readonly<Record<string, unknown>>, keys: readonly string[]): unknown {
  const sorted: Record<string, unknown> = {};
  for (const key of keys) {
    // An object keeps names that are numbers before all others, and this one not as a member.
    const first = key.charCodeAt(0);
    if ((first >= 0x30 && first <= 0x39) || key === '__proto__') return LONG_WAY;
    const member = order(object[key]);
    if (member === LONG_WAY) return LONG_WAY;
    sorted[key] = member;
  }
  return sorted;
}

function orderItems(items: readonly unknown[]): unknown {
  let copy: unknown[] | undefined;
  for (const [i, item] of items.entries()) {
    const ordered = order(item);
    if (ordered === LONG_WAY) return LONG_WAY;
    if (ordered === item) continue;
    copy ??= [...items];
    copy[i] = ordered;
  }
  return copy ?? items;
}
