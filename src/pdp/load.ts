import { parseDate, parseInstant } from './calendar.ts';
import { COUNTRIES } from './countries.ts';
import type { Facts, FactSpec, FactType, Frame } from './facts.ts';
import { type CodeSet, EMPTY_SET, NONE_SET, UNKNOWN_SET } from './logic.ts';

const [SCALAR, LIST, OBJECT, CODE, SET] = [0, 1, 2, 3, 4] as const;

type Kind = typeof SCALAR | typeof LIST | typeof OBJECT | typeof CODE | typeof SET;

/** Types that have a kind of their own: calling what `read` is costs more than reading a code. */
const KINDS: Readonly<Partial<Record<FactType, Kind>>> = {
  object: OBJECT,
  list: LIST,
  set: SET,
  code: CODE,
  enum: CODE,
  country: CODE,
};

interface Node {
  readonly key: string;
  /** The member that came first, and the one that came after this, when last seen. */
  first: Node | undefined;
  next: Node | undefined;
  /** -1 where there is no fact, only facts below. */
  slot: number;
  spec: FactSpec | undefined;
  kind: Kind;
  /** In the frame it is a set: also where it is a member of a list. */
  isSet: boolean;
  /** The value in the frame's form; unknown if it is of another type. */
  read: (value: unknown) => unknown;
  readonly children: Map<string, Node>;
  /** What the members of an object that is stated are until they are stated themselves. */
  unstated: readonly { readonly slot: number; readonly value: unknown }[];
}

interface Target {
  readonly frame: Frame;
  readonly given: unknown[] | undefined;
}

/** A fact's explicit value is not where its name says: inside a list, or below what is no object. */
export const ELSEWHERE: unique symbol = Symbol('elsewhere');

/** Turns explicit facts into frames; see `Vocabulary`, which owns one. */
export class Loader {
  readonly #root: Node = node('');
  /** Codes in the form that compares by address with a policy's constants. */
  readonly #codes: ReadonlyMap<string, string>;
  /** A frame in which nothing is stated: copying one is the quickest way to a new one. */
  readonly #nothing: Frame;
  /** The same with more slots, by width: programs of one pack differ in theirs. */
  readonly #wider = new Map<number, Frame>();

  constructor(specs: readonly FactSpec[], terms: readonly string[]) {
    const codes = [...terms, ...COUNTRIES, ...specs.flatMap(({ values }) => values ?? [])];
    this.#codes = new Map(codes.map((code) => [code, internalised(code)]));
    specs.forEach((spec, slot) => {
      let at = this.#root;
      for (const key of spec.path.split('.')) {
        const next = at.children.get(key) ?? node(internalised(key));
        at.children.set(key, next);
        at = next;
      }
      const kind = KINDS[spec.type] ?? SCALAR;
      const isSet = spec.type === 'set';
      Object.assign(at, { slot, spec, kind, isSet, read: this.#reader(spec) });
    });
    this.#nothing = Array.from({ length: specs.length });
    this.#settle(this.#root, this.#nothing);
  }

  /** See `Vocabulary.load`. */
  load(facts: Facts, width: number, given?: unknown[]): Frame {
    const frame = this.#blank(width).slice();
    this.#loadMembers(this.#root, facts, { frame, given });
    return frame;
  }

  /** See `Vocabulary.put`. */
  put(frame: Frame, path: string, value: unknown): void {
    let at: Node | undefined = this.#root;
    for (const key of path.split('.')) at = at?.children.get(key);
    if (!at) return;
    this.#settle(at, frame);
    if (value !== undefined && value !== null)
      this.#loadNode(at, value, { frame, given: undefined });
  }

  #blank(width: number): Frame {
    const known = this.#wider.get(width);
    if (known) return known;
    const more = Array.from({ length: width - this.#nothing.length });
    const made = [...this.#nothing, ...more];
    this.#wider.set(width, made);
    return made;
  }

  /** What is not stated stays as it is in the frame. */
  #loadMembers(at: Node, value: Readonly<Record<string, unknown>>, into: Target): void {
    // Objects name their members in much the same order: the one that came next the last time
    // is nearly always right, and needs no look-up.
    let guess = at.first;
    let last: Node | undefined;
    for (const key in value) {
      const child = guess !== undefined && guess.key === key ? guess : at.children.get(key);
      const member = value[key];
      if (child === undefined) continue;
      if (child !== guess) {
        if (last) last.next = child;
        else at.first = child;
      }
      last = child;
      guess = child.next;
      if (member !== undefined && member !== null) this.#loadNode(child, member, into);
    }
  }

  #loadNode(at: Node, value: unknown, into: Target): void {
    const { frame, given } = into;
    const { slot } = at;
    if (given && slot >= 0) given[slot] = value;
    const { kind } = at;
    if (kind === CODE) {
      frame[slot] = this.#code(value);
    } else if (kind === SET) {
      frame[slot] = this.#set(value);
    } else if (kind === SCALAR) {
      frame[slot] = at.read(value);
    } else if (kind === LIST) {
      loadList(at, value, into);
    } else if (isObject(value)) {
      if (slot >= 0) frame[slot] = true;
      for (const each of at.unstated) frame[each.slot] = each.value;
      this.#loadMembers(at, value, into);
    } else {
      fill(at, frame, unknownOf);
      if (given) fill(at, given, () => ELSEWHERE);
    }
  }

  #reader({ type }: FactSpec): Node['read'] {
    switch (type) {
      case 'boolean':
        return (value) => (typeof value === 'boolean' ? value : undefined);
      case 'integer':
      case 'number':
        return (value) => (typeof value === 'number' ? value : undefined);
      case 'date':
        return (value) => (typeof value === 'string' ? parseDate(value) : undefined);
      case 'datetime':
        return (value) => (typeof value === 'string' ? parseInstant(value) : undefined);
      case 'set':
        return (value) => this.#set(value);
      case 'text':
        return (value) => (typeof value === 'string' ? value : undefined);
      default:
        return (value) => this.#code(value);
    }
  }

  #code(value: unknown): string | undefined {
    return typeof value === 'string' ? (this.#codes.get(value) ?? value) : undefined;
  }

  #set(value: unknown): CodeSet {
    if (!Array.isArray(value)) return UNKNOWN_SET;
    if (value.length === 0) return EMPTY_SET;
    const items = value.slice() as string[];
    for (let i = 0; i < items.length; i++) {
      const item = items[i];
      if (typeof item !== 'string') return UNKNOWN_SET;
      items[i] = this.#codes.get(item) ?? item;
    }
    return { items, open: false };
  }

  /** Writes what `at` is where it is not stated, and notes it for the objects below. */
  #settle(at: Node, frame: Frame): void {
    const { spec } = at;
    for (const child of at.children.values()) {
      child.isSet ||= at.kind === LIST;
      this.#settle(child, frame);
    }
    if (!spec) return;
    if (at.kind !== OBJECT) {
      frame[at.slot] = unstated(at);
      return;
    }
    at.unstated = slotsBelow(at).map((slot) => ({ slot, value: frame[slot] }));
    frame[at.slot] = spec.absent ? true : undefined;
    if (spec.absent === 'none') fill(at, frame, noneOf);
    else if (spec.absent)
      this.#loadMembers(at, spec.absent.counts_as as Record<string, unknown>, {
        frame,
        given: undefined,
      });
  }
}

/** A list of objects loads as one set a member: the countries of the recipients. */
function loadList({ slot, children }: Node, value: unknown, { frame, given }: Target): void {
  const items = Array.isArray(value) ? (value as unknown[]) : undefined;
  frame[slot] = items ? items.length > 0 : undefined;
  for (const [key, child] of children) {
    frame[child.slot] = items ? memberSet(items, key, child) : UNKNOWN_SET;
    if (given) given[child.slot] = ELSEWHERE;
  }
}

function memberSet(items: readonly unknown[], key: string, { read }: Node): CodeSet {
  const codes = new Set<string>();
  let open = false;
  for (const item of items) {
    const code = isObject(item) ? read(item[key]) : undefined;
    if (typeof code === 'string') codes.add(code);
    else open = true;
  }
  return { items: [...codes], open };
}

function unstated({ spec, isSet, read }: Node): unknown {
  const absent = spec?.absent;
  if (absent && absent !== 'none') return read(absent.counts_as);
  if (isSet) return absent ? NONE_SET : UNKNOWN_SET;
  return absent ? null : undefined;
}

/** There is no object around it: there is none of it either, unless absence counts as a value. */
function noneOf(at: Node): unknown {
  const absent = at.spec?.absent;
  if (at.kind === OBJECT) return false;
  if (absent && absent !== 'none') return unstated(at);
  return at.isSet ? NONE_SET : null;
}

function node(key: string): Node {
  return {
    key,
    first: undefined,
    next: undefined,
    slot: -1,
    spec: undefined,
    kind: OBJECT,
    isSet: false,
    read: () => undefined,
    children: new Map(),
    unstated: [],
  };
}

/** Writes what `valueOf` says of each fact at and below a node. */
function fill(at: Node, frame: Frame, valueOf: (at: Node) => unknown): void {
  if (at.spec) frame[at.slot] = valueOf(at);
  for (const child of at.children.values()) fill(child, frame, valueOf);
}

/** What stands here is no object: nothing is known of it, not even that there is none. */
function unknownOf({ isSet }: Node): unknown {
  return isSet ? UNKNOWN_SET : undefined;
}

function slotsBelow({ children }: Node): number[] {
  return [...children.values()].flatMap((child) => [
    ...(child.spec ? [child.slot] : []),
    ...slotsBelow(child),
  ]);
}

/** An object of JSON: no list, no null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The same text as V8 keeps the names of properties: two such texts compare by address. Strings
 * of a parsed file compare by length and letters.
 */
export function internalised(text: string): string {
  return Object.keys({ [text]: 0 })[0] ?? text;
}
