/**
 * Predicates over the facts of a dataset, in two values: what is left of three-valued policies
 * once a request is known. Negation stands at the tests only ("is not known to be true"), so that
 * a predicate is monotone in its parts: in SQL a NULL among them counts as false.
 */

/** How a fact is kept in the evaluator's frame, and so how it is read from a stored value. */
export type Load =
  | 'text'
  | 'number'
  | 'boolean'
  | 'date'
  | 'instant'
  | 'set'
  | 'object'
  | 'list'
  | 'member';

/** A fact of a dataset, and what it is where the dataset does not state it. */
export interface StoredFact {
  /** Its own: facts of one name are the same fact. */
  readonly name: string;
  /** Below the dataset, `consent.model`; of a list's member the list. */
  readonly path: string;
  readonly load: Load;
  /** Of a list's member: the key in each item; null where no item can have a text there. */
  readonly key?: string | null;
  /**
   * For each enclosing object from the outside in, then for the fact itself: its value (in the
   * form of a frame) where that one is absent and those before are there.
   */
  readonly absences: readonly { readonly path: string; readonly value: unknown }[];
}

/** A single value: of the dataset, or known (null is none, undefined unknown). */
export type Scalar =
  | { readonly fact: StoredFact; readonly ranks?: Readonly<Record<string, number>> }
  | { readonly value: unknown };

/** A union of what is known and of facts, each less some codes; `open`: it may have other members. */
export interface Members {
  readonly items: readonly unknown[];
  readonly open: boolean;
  readonly facts: readonly { readonly fact: StoredFact; readonly without: readonly string[] }[];
}

/** A three-valued test of a dataset's facts; what each means is said by `logic.ts` and `compile.ts`. */
export type FactTest =
  | { readonly kind: 'stated'; readonly fact: StoredFact }
  | { readonly kind: 'stated_union' | 'nonempty'; readonly set: Members }
  /** The fact is one of the values: false where there is none, unknown where it is unknown. */
  | { readonly kind: 'in'; readonly fact: StoredFact; readonly values: readonly string[] }
  | { readonly kind: 'equal'; readonly left: Scalar; readonly right: Scalar }
  | {
      readonly kind: 'order';
      readonly operator: 'lt' | 'lteq' | 'gt' | 'gteq';
      readonly left: Scalar;
      readonly right: Scalar;
    }
  /** The value on the left is, by `broader`, a kind of the one on the right. */
  | {
      readonly kind: 'kind_of';
      readonly left: StoredFact;
      readonly right: StoredFact;
      readonly broader: Readonly<Record<string, readonly string[]>>;
    }
  | { readonly kind: 'contains'; readonly set: Members; readonly value: Scalar }
  | { readonly kind: 'subset'; readonly part: Members; readonly whole: Members }
  | { readonly kind: 'intersects'; readonly left: Members; readonly right: Members };

/** What a test must have come out as. */
export type Reading = 'true' | 'false' | 'not_true' | 'not_false';

export type Predicate =
  | { readonly kind: 'constant'; readonly value: boolean }
  | { readonly kind: 'and' | 'or'; readonly of: readonly Predicate[] }
  | { readonly kind: 'test'; readonly test: FactTest; readonly is: Reading };

/** A three-valued condition as two predicates that are never true together. */
export interface Three {
  readonly isTrue: Predicate;
  readonly isFalse: Predicate;
}

const DUAL = { and: 'or', or: 'and' } as const;
const OPPOSITE = {
  true: 'not_true',
  not_true: 'true',
  false: 'not_false',
  not_false: 'false',
} as const;
/** Memberships with these readings join: in A or in B is in A ∪ B. */
const JOINING = { or: ['true', 'not_false'], and: ['false', 'not_true'] } as const;
/** From this many branches that ask for different values of one fact, the fact is asked first. */
const GUARD_FROM = 4;

type Junction = 'and' | 'or';
type Membership = Predicate & { kind: 'test'; test: Extract<FactTest, { kind: 'in' }> };
/** A branch as a membership and the rest of it. */
interface Selection {
  readonly branch: Predicate;
  readonly selector: Membership;
  readonly rest: Predicate;
}

/** Makes predicates: equal ones are the same object, constants fold, memberships of one fact join. */
export class Predicates {
  readonly always: Predicate = { kind: 'constant', value: true };
  readonly never: Predicate = { kind: 'constant', value: false };
  /** By kind or reading, then by what tells it from others of its sort. */
  readonly #known = {
    true: new Map<string, Predicate>(),
    false: new Map<string, Predicate>(),
    not_true: new Map<string, Predicate>(),
    not_false: new Map<string, Predicate>(),
    and: new Map<string, Predicate>(),
    or: new Map<string, Predicate>(),
  } satisfies Record<Reading | Junction, Map<string, Predicate>>;
  readonly #names = new Map<Predicate, string>();
  readonly #negations = new Map<Predicate, Predicate>();

  constant(value: boolean): Predicate {
    return value ? this.always : this.never;
  }

  test(test: FactTest, is: Reading): Predicate {
    return this.#test(nameOf(test), test, is);
  }

  #test(name: string, test: FactTest, is: Reading): Predicate {
    return this.#intern(is, name, { kind: 'test', test, is });
  }

  /** A test as a condition. */
  three(test: FactTest): Three {
    const name = nameOf(test);
    return { isTrue: this.#test(name, test, 'true'), isFalse: this.#test(name, test, 'false') };
  }

  readonly and = (...parts: readonly Predicate[]): Predicate => this.#join('and', parts);

  readonly or = (...parts: readonly Predicate[]): Predicate => this.#join('or', parts);

  readonly not = (predicate: Predicate): Predicate => {
    const known = this.#negations.get(predicate);
    if (known) return known;
    const negated = this.#negate(predicate);
    this.#negations.set(predicate, negated);
    this.#negations.set(negated, predicate);
    return negated;
  };

  #negate(predicate: Predicate): Predicate {
    switch (predicate.kind) {
      case 'constant':
        return this.constant(!predicate.value);
      case 'test':
        return this.test(predicate.test, OPPOSITE[predicate.is]);
      case 'and':
      case 'or':
        return this.#junction(
          DUAL[predicate.kind],
          predicate.of.map((part) => this.not(part)),
        );
    }
  }

  #intern(sort: Reading | Junction, name: string, predicate: Predicate): Predicate {
    const alike = this.#known[sort];
    const known = alike.get(name);
    if (known) return known;
    alike.set(name, predicate);
    this.#names.set(predicate, String(this.#names.size));
    return predicate;
  }

  /** Nothing for a constant: there is one at most where it is asked. */
  #name(predicate: Predicate): string {
    return this.#names.get(predicate) ?? '';
  }

  #junction(kind: Junction, of: readonly Predicate[]): Predicate {
    const [only] = of;
    if (only && of.length === 1) return only;
    return this.#intern(kind, of.map((part) => this.#name(part)).join(), { kind, of });
  }

  #join(kind: Junction, parts: readonly Predicate[]): Predicate {
    const [neutral, settled] =
      kind === 'and' ? [this.always, this.never] : [this.never, this.always];
    const telling: Predicate[] = [];
    for (const part of parts) {
      if (part === settled) return settled;
      if (part !== neutral) telling.push(part);
    }
    if (telling.length < 2) return telling[0] ?? neutral;
    const flat = new Set(telling.flatMap((part) => (part.kind === kind ? part.of : [part])));
    const joined = new Set(this.#joinMemberships(kind, [...flat]));
    const left = [...joined].filter((part) => !isImplied(part, DUAL[kind], joined));
    if (left.length === 0) return neutral;
    for (const part of left) {
      if (part === settled) return settled;
      if (part.kind === 'test' && joined.has(this.not(part))) return settled;
    }
    return this.#guard(kind, left);
  }

  /** Joins branches that differ in the values of one fact only. */
  #joinMemberships(kind: Junction, branches: readonly Predicate[]): Predicate[] {
    const groups = new Map<string, [Selection, ...Selection[]]>();
    const single: Predicate[] = [];
    for (const branch of branches) {
      const selection = this.#select(kind, branch);
      if (!selection) {
        single.push(branch);
        continue;
      }
      const key = `${factName(selection)} ${this.#name(selection.rest)}`;
      const group = groups.get(key);
      if (group) group.push(selection);
      else groups.set(key, [selection]);
    }
    const joined = [...groups.values()].map((group) => {
      const [{ branch, rest }] = group;
      return group.length === 1 ? branch : this.#join(DUAL[kind], [this.#union(group), rest]);
    });
    return [...single, ...joined];
  }

  #union(group: readonly Selection[]): Predicate {
    const values = new Set(group.flatMap(({ selector }) => selector.test.values));
    const { test, is } = (group[0] as Selection).selector;
    return this.test({ ...test, values: [...values].toSorted() }, is);
  }

  /** The membership of a branch that picks datasets best: the identifier, the publisher, another. */
  #select(kind: Junction, branch: Predicate): Selection | undefined {
    const dual = DUAL[kind];
    const parts = branch.kind === dual ? branch.of : [branch];
    let selector: Membership | undefined;
    for (const part of parts) {
      if (!isMembership(part, JOINING[kind])) continue;
      if (!selector || rank(part) < rank(selector)) selector = part;
    }
    if (!selector) return undefined;
    const rest = this.#rest(
      dual,
      parts.filter((part) => part !== selector),
    );
    return { branch, selector, rest };
  }

  #rest(kind: Junction, parts: readonly Predicate[]): Predicate {
    if (parts.length === 0) return kind === 'and' ? this.always : this.never;
    return this.#junction(kind, parts);
  }

  /**
   * Policies of many publishers make many branches, each about the datasets of one: all of them
   * are passed over at once where the dataset is nobody's of those.
   */
  #guard(kind: Junction, branches: readonly Predicate[]): Predicate {
    if (branches.length < GUARD_FROM) return this.#junction(kind, branches);
    const selections = branches.flatMap((branch) => {
      const selection = branch.kind === DUAL[kind] ? this.#select(kind, branch) : undefined;
      return selection ?? [];
    });
    const groups = [...Map.groupBy(selections, factName).values()].filter(
      (group) => group.length >= GUARD_FROM,
    );
    const guarded = new Set(groups.flat().map(({ branch }) => branch));
    const others = branches.filter((branch) => !guarded.has(branch));
    const inside = groups.map((group) =>
      this.#junction(DUAL[kind], [
        this.#union(group),
        this.#junction(
          kind,
          group.map(({ branch }) => branch),
        ),
      ]),
    );
    return this.#junction(kind, [...others, ...inside]);
  }
}

function factName({ selector: { test, is } }: Selection): string {
  return `${is} ${test.fact.name}`;
}

const testNames = new WeakMap<FactTest, string>();

/** Equal for equal tests: everything but its name follows from a fact's name. */
function nameOf(test: FactTest): string {
  const known = testNames.get(test);
  if (known !== undefined) return known;
  const name =
    test.kind === 'in'
      ? `in ${test.fact.name} ${JSON.stringify(test.values)}`
      : JSON.stringify(test, (_key, value: unknown) => {
          if (value === undefined) return { unknown: true }; // and not null, which is none
          return isFact(value) ? value.name : value;
        });
  testNames.set(test, name);
  return name;
}

function isFact(value: unknown): value is StoredFact {
  return typeof value === 'object' && value !== null && 'absences' in value;
}

function isMembership(part: Predicate, readings: readonly Reading[]): part is Membership {
  return part.kind === 'test' && part.test.kind === 'in' && readings.includes(part.is);
}

function rank({ test }: Membership): number {
  const known = ['id', 'publisher'].indexOf(test.fact.path);
  return known < 0 ? 2 : known;
}

/** A or (A and B) is A. */
function isImplied(part: Predicate, dual: Junction, all: ReadonlySet<Predicate>): boolean {
  return part.kind === dual && part.of.some((inner) => all.has(inner));
}

/** How many tests a predicate takes when it is written out. */
export function sizeOf(
  predicate: Predicate,
  known: Map<Predicate, number> = new Map<Predicate, number>(),
): number {
  if (!('of' in predicate)) return 1;
  const before = known.get(predicate);
  if (before !== undefined) return before;
  const size = predicate.of.reduce((sum, part) => sum + sizeOf(part, known), 0);
  known.set(predicate, size);
  return size;
}
