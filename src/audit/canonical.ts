import canonicalize from 'canonicalize';

/** What the short way cannot say: the long way does, or throws. */
const LONG_WAY = Symbol('long way');

/**
 * Canonical JSON (RFC 8785). Plain values take a short way: members are sorted and the engine's own
 * `JSON.stringify`, which writes texts and numbers as the RFC wants them, does the rest, in a third
 * of the time. @throws Error for what JSON cannot hold.
 */
export function canonicalText(value: unknown): string {
  const sorted = sort(value);
  const text = sorted === LONG_WAY ? undefined : JSON.stringify(sorted);
  // An escaped half of a surrogate pair: the long way says that there is one, and where it is none.
  if (text !== undefined && !text.includes('\\ud')) return text;
  const long = canonicalize(value);
  if (long === undefined) throw new TypeError('not a JSON value');
  return long;
}

const fixedTexts = new WeakMap<object, string>();

/** As `canonicalText`, of a value that is never changed: written once. */
export function fixedCanonicalText(value: object): string {
  let text = fixedTexts.get(value);
  if (text === undefined) {
    text = canonicalText(value);
    fixedTexts.set(value, text);
  }
  return text;
}

/** Canonical JSON of an object from that of its members. */
export function canonicalObject(members: Readonly<Record<string, string>>): string {
  const named = Object.keys(members)
    .toSorted()
    .map((name) => `${canonicalText(name)}:${members[name] ?? ''}`);
  return `{${named.join(',')}}`;
}

function sort(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : LONG_WAY;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return sortItems(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if ((prototype !== Object.prototype && prototype !== null) || 'toJSON' in value) return LONG_WAY;
  const sorted: Record<string, unknown> = {};
  for (const key of Object.keys(value).toSorted()) {
    // An object keeps names that are numbers before all others, and this one not as a member.
    const first = key.charCodeAt(0);
    if ((first >= 0x30 && first <= 0x39) || key === '__proto__') return LONG_WAY;
    const member = sort((value as Record<string, unknown>)[key]);
    if (member === LONG_WAY) return LONG_WAY;
    sorted[key] = member;
  }
  return sorted;
}

function sortItems(items: readonly unknown[]): unknown {
  const sorted: unknown[] = [];
  for (const item of items) {
    const one = sort(item);
    if (one === LONG_WAY) return LONG_WAY;
    sorted.push(one);
  }
  return sorted;
}
