import { parseDate, parseInstant } from './calendar.ts';
import {
  COUNTED,
  EMPTY,
  type Literal,
  type Node,
  NONE,
  STATED,
  type Term,
  UNSTATED,
  type Wanted,
  KNOWN,
  OPPOSITE,
} from './demand.ts';
import type { Condition } from './condition.ts';
import { COUNTRIES } from './countries.ts';
import { type FactSpec, isCode } from './facts.ts';
import { type Before, isEmptyRange, narrowed, type Range, tightened } from './order.ts';
import { type Shape, type Shapes, WAYS, waysIn } from './shapes.ts';

const ANY = STATED | NONE | UNSTATED | COUNTED | EMPTY;
const DAY_MS = 86_400_000;
const FIRST_DAY = parseDate('0001-01-01') ?? 0;
const LAST_DAY = parseDate('9999-12-31') ?? 0;
const COUNTRY_LIST: readonly string[] = [...COUNTRIES];

interface CodeDomain {
  readonly values: readonly (string | boolean)[] | undefined;
  readonly excluded: readonly ReadonlySet<unknown>[];
}

interface SetDomain {
  readonly must: ReadonlySet<string>;
  readonly lacks: readonly ReadonlySet<string>[];
  readonly only: ReadonlySet<string> | undefined;
}

type Relation = Extract<Literal, { kind: 'codes' }>;
type Membership = Extract<Literal, { kind: 'in' }>;
type Universal = Extract<Literal, { kind: 'subset' | 'disjoint' }>;

const NO_CODES: ReadonlySet<string> = new Set();
const NOTHING: SetDomain = { must: NO_CODES, lacks: [], only: undefined };

const ANSWERS: Readonly<Record<Wanted, number>> = { false: 1, not_true: 3, not_false: 6, true: 4 };

/** What is asked of each fact so far. Cheap to copy: parts are replaced, never changed. */
export class Domains {
  readonly #shapes: Shapes;
  readonly status: Map<string, number>;
  readonly numbers: Map<string, Range>;
  readonly codes: Map<string, CodeDomain>;
  readonly sets: Map<string, SetDomain>;
  readonly before: Before[];
  readonly differ: (readonly [string, string])[];
  readonly relations: Relation[];
  readonly members: Membership[];
  readonly universals: Universal[];
  /** Elements that must exist, and the set whose members they are like. */
  readonly elements: Map<string, string>;
  /** What was taken in already: to meet it twice would be to choose twice. */
  readonly #taken: Set<Node>;
  /** Of each condition, the answers that it may still have: false 1, unknown 2, true 4. */
  readonly #answers: Map<Condition, number>;
  /** Demands that follow from others, to be met too. */
  pending: Node[] = [];

  constructor(from: Shapes | Domains) {
    const known = from instanceof Domains ? from : undefined;
    this.#shapes = from instanceof Domains ? from.#shapes : from;
    this.status = new Map(known?.status);
    this.numbers = new Map(known?.numbers);
    this.codes = new Map(known?.codes);
    this.sets = new Map(known?.sets);
    this.before = [...(known?.before ?? [])];
    this.differ = [...(known?.differ ?? [])];
    this.relations = [...(known?.relations ?? [])];
    this.members = [...(known?.members ?? [])];
    this.universals = [...(known?.universals ?? [])];
    this.elements = new Map(known?.elements);
    this.#taken = new Set(known ? known.#taken : []);
    this.#answers = new Map(known ? known.#answers : []);
  }

  /** Marks a node as taken in; false where it was before. */
  isNew(node: Node): boolean {
    if (this.#taken.has(node)) return false;
    this.#taken.add(node);
    return true;
  }

  hasTaken(node: Node): boolean {
    return this.#taken.has(node);
  }

  /** What an answer wanted of a condition is, after those wanted before. */
  answer(condition: Condition, wanted: Wanted): 'known' | 'open' | 'impossible' {
    const before = this.#answers.get(condition) ?? 7;
    const left = before & ANSWERS[wanted];
    return left === 0 ? 'impossible' : left === before ? 'known' : 'open';
  }

  expect(condition: Condition, wanted: Wanted): void {
    this.#answers.set(condition, (this.#answers.get(condition) ?? 7) & ANSWERS[wanted]);
  }

  /** A name for an element that must exist. */
  newElement(of: string): string {
    const name = `*${this.elements.size}`;
    this.elements.set(name, of);
    return name;
  }

  statusOf(fact: string): number {
    const shape = this.#shapes.of.get(fact);
    return shape ? (this.status.get(fact) ?? shape.mask) : STATED;
  }

  /** Takes a demand in; false where it contradicts those before it. */
  assert(literal: Literal): boolean {
    switch (literal.kind) {
      case 'status':
        return this.#restrict(literal.fact, literal.mask);
      case 'within':
      case 'outside':
        return this.#know(literal.fact) && this.#narrowCodes(literal);
      case 'bound': {
        const range = narrowed(this.rangeOf(literal.fact), literal.operator, literal.value);
        this.numbers.set(literal.fact, range);
        return this.#know(literal.fact) && !isEmptyRange(range);
      }
      case 'order':
        return this.#order(literal);
      case 'codes':
        this.relations.push(literal);
        for (const fact of [literal.left, literal.right]) this.codes.set(fact, this.codesOf(fact));
        return this.#know(literal.left) && this.#know(literal.right);
      case 'has':
      case 'lacks':
      case 'only':
        return this.#narrowSet(literal);
      case 'in': {
        const { element, set, positive } = literal;
        this.members.push(literal);
        this.codes.set(element, this.codesOf(element));
        this.sets.set(set, this.setOf(set));
        return this.#know(element) && (positive ? this.#know(set) : this.#touch(set));
      }
      case 'subset':
      case 'disjoint':
        this.universals.push(literal);
        return [...literal.left, ...literal.right].every((term) => this.#takeTerm(term));
    }
  }

  #takeTerm(term: Term): boolean {
    if (term.kind === 'codes') return true;
    if (term.kind === 'set') {
      this.sets.set(term.fact, this.setOf(term.fact));
      return this.#touch(term.fact);
    }
    const { fact } = term;
    if (!this.#shapes.of.has(fact)) {
      this.codes.set(fact, this.codesOf(fact));
      return true;
    }
    // Whether there is a value changes what is asked of the set.
    this.pending.push({
      kind: 'any',
      of: [
        { kind: 'outside', fact, values: NO_CODES },
        { kind: 'status', fact, mask: NONE | UNSTATED },
      ],
    });
    return this.#touch(fact);
  }

  /** Is the demand surely against those before it? */
  refutes(literal: Literal): boolean {
    switch (literal.kind) {
      case 'status':
        return (this.statusOf(literal.fact) & literal.mask) === 0;
      case 'within':
      case 'outside': {
        if (!this.#mayBeKnown(literal.fact)) return true;
        const { values, excluded } = this.codesOf(literal.fact);
        const isWithin = literal.kind === 'within';
        if (values) return !values.some((value) => literal.values.has(value) === isWithin);
        if (!isWithin || literal.values.size > 100) return false;
        return [...literal.values].every((value) => excluded.some((each) => each.has(value)));
      }
      case 'bound':
        return (
          !this.#mayBeKnown(literal.fact) ||
          isEmptyRange(narrowed(this.rangeOf(literal.fact), literal.operator, literal.value))
        );
      case 'order':
      case 'codes':
        return !this.#mayBeKnown(literal.left) || !this.#mayBeKnown(literal.right);
      case 'has': {
        const { set, codes } = literal;
        const { lacks, only } = this.setOf(set);
        if (codes.size > 0 && !this.#mayBeKnown(set)) return true;
        for (const code of codes) {
          const isOut = (only && !only.has(code)) || lacks.some((each) => each.has(code));
          if (isOut || !this.takes(set, code)) return true;
        }
        return false;
      }
      case 'lacks':
      case 'only': {
        const { must } = this.setOf(literal.set);
        const isOnly = literal.kind === 'only';
        return [...must].some((code) => literal.codes.has(code) !== isOnly);
      }
      case 'in':
        return (
          !this.#mayBeKnown(literal.element) || (literal.positive && !this.#mayBeKnown(literal.set))
        );
      case 'subset':
      case 'disjoint':
        return false;
    }
  }

  /** Is the demand surely met by whatever meets those before it? */
  entails(literal: Literal): boolean {
    switch (literal.kind) {
      case 'status':
        return (this.statusOf(literal.fact) & ~literal.mask) === 0;
      case 'within':
      case 'outside': {
        const domain = this.codes.get(literal.fact);
        if (!domain?.values || !this.#isKnown(literal.fact)) return false;
        const isWithin = literal.kind === 'within';
        return domain.values.every((value) => literal.values.has(value) === isWithin);
      }
      case 'bound': {
        const range = this.numbers.get(literal.fact);
        if (!range || !this.#isKnown(literal.fact)) return false;
        return isEmptyRange(narrowed(range, OPPOSITE[literal.operator], literal.value));
      }
      case 'has': {
        const must = this.sets.get(literal.set)?.must;
        return must !== undefined && [...literal.codes].every((code) => must.has(code));
      }
      default:
        return false;
    }
  }

  rangeOf(fact: string): Range {
    return this.numbers.get(fact) ?? initialRange(this.#shapes, fact);
  }

  codesOf(fact: string): CodeDomain {
    return this.codes.get(fact) ?? { values: this.#initialValues(fact), excluded: [] };
  }

  setOf(fact: string): SetDomain {
    return this.sets.get(fact) ?? NOTHING;
  }

  /** May the set have this member, by its type? */
  takes(set: string, code: string): boolean {
    const spec = this.#shapes.of.get(set)?.spec;
    if (!spec || this.#shapes.termsOf(spec)?.has(code) === false) return false;
    return isValueOf(spec, valueTypeOf(spec), code);
  }

  /** Are values that nobody names as good as one another? */
  isInterchangeable(fact: string): boolean {
    return this.#valueType(fact) === 'country';
  }

  /** Of a fact, or of the set that an element is of. */
  #specOf(name: string): FactSpec | undefined {
    return this.#shapes.of.get(this.elements.get(name) ?? name)?.spec;
  }

  #valueType(fact: string): FactSpec['type'] | undefined {
    const spec = this.#specOf(fact);
    return spec && valueTypeOf(spec);
  }

  #initialValues(fact: string): readonly (string | boolean)[] | undefined {
    if (fact === 'home') return [this.#shapes.home];
    const spec = this.#specOf(fact);
    if (!spec) return undefined;
    switch (valueTypeOf(spec)) {
      case 'boolean':
        return [true, false];
      case 'country':
        return COUNTRY_LIST;
      case 'enum':
        return spec.values ?? [];
      default: {
        const terms = this.#shapes.termsOf(spec);
        return terms && [...terms];
      }
    }
  }

  #narrowCodes({
    kind,
    fact,
    values: wanted,
  }: Extract<Literal, { kind: 'within' | 'outside' }>): boolean {
    const { values, excluded } = this.codesOf(fact);
    const isWithin = kind === 'within';
    if (values) {
      const left = values.filter((value) => wanted.has(value) === isWithin);
      this.codes.set(fact, { values: left, excluded });
      return left.length > 0;
    }
    if (!isWithin) {
      const more = wanted.size > 0 ? [...excluded, wanted] : excluded;
      this.codes.set(fact, { values, excluded: more });
      return true;
    }
    const isCodeFact = this.#valueType(fact) === 'code';
    const left = [...wanted].filter(
      (value) =>
        typeof value === 'string' &&
        (!isCodeFact || isCode(value)) &&
        !excluded.some((each) => each.has(value)),
    );
    this.codes.set(fact, { values: left, excluded });
    return left.length > 0;
  }

  #narrowSet(literal: Extract<Literal, { kind: 'has' | 'lacks' | 'only' }>): boolean {
    if (this.refutes(literal)) return false;
    const { set } = literal;
    const { must, lacks, only } = this.setOf(set);
    if (literal.kind === 'has') {
      this.sets.set(set, { must: new Set([...must, ...literal.codes]), lacks, only });
      return literal.codes.size > 0 ? this.#know(set) : this.#touch(set);
    }
    if (literal.kind === 'lacks') {
      this.sets.set(set, { must, lacks: [...lacks, literal.codes], only });
    } else {
      const codes = only ? [...literal.codes].filter((code) => only.has(code)) : literal.codes;
      this.sets.set(set, { must, lacks, only: new Set(codes) });
    }
    return this.#touch(set);
  }

  #order({ left, right, operator }: Extract<Literal, { kind: 'order' }>): boolean {
    for (const fact of [left, right]) this.numbers.set(fact, this.rangeOf(fact));
    switch (operator) {
      case 'eq':
        this.before.push({ low: left, high: right, strict: false });
        this.before.push({ low: right, high: left, strict: false });
        break;
      case 'neq':
        this.differ.push([left, right]);
        break;
      case 'lt':
      case 'lteq':
        this.before.push({ low: left, high: right, strict: operator === 'lt' });
        break;
      case 'gt':
      case 'gteq':
        this.before.push({ low: right, high: left, strict: operator === 'gt' });
        break;
    }
    return this.#know(left) && this.#know(right);
  }

  #owner(fact: string): string {
    return fact === 'today' ? 'request.as_of' : fact;
  }

  #mayBeKnown(fact: string): boolean {
    return (this.statusOf(this.#owner(fact)) & KNOWN) !== 0;
  }

  #isKnown(fact: string): boolean {
    return (this.statusOf(this.#owner(fact)) & ~KNOWN) === 0;
  }

  #know(fact: string): boolean {
    return this.#restrict(this.#owner(fact), KNOWN);
  }

  #touch(fact: string): boolean {
    return this.#restrict(fact, ANY);
  }

  #restrict(fact: string, mask: number): boolean {
    const shape = this.#shapes.of.get(fact);
    if (!shape) return (mask & STATED) !== 0;
    this.#enter(shape);
    return this.#narrowStatus(shape, mask);
  }

  /** A fact is spoken of for the first time: what it is in is spoken of too. */
  #enter(shape: Shape): void {
    if (this.status.has(shape.fact)) return;
    this.status.set(shape.fact, shape.mask);
    if (shape.parent) this.#enter(shape.parent);
    if (shape.isMember && shape.parent) this.pending.push(memberDemand(shape, shape.parent));
  }

  #narrowStatus(shape: Shape, mask: number): boolean {
    const before = this.status.get(shape.fact) ?? shape.mask;
    let now = before & mask;
    if (shape.parent) {
      const parent = this.statusOf(shape.parent.fact);
      now &= WAYS.reduce<number>(
        (ways, way) => (parent & way ? ways | waysIn(shape, way) : ways),
        0,
      );
    }
    if (now === 0) return false;
    this.status.set(shape.fact, now);
    if (now === COUNTED && before !== COUNTED && !this.#count(shape)) return false;
    const { parent } = shape;
    if (parent) {
      const allowed = WAYS.reduce<number>(
        (ways, way) => (waysIn(shape, way) & now ? ways | way : ways),
        0,
      );
      const old = this.statusOf(parent.fact);
      if ((old & allowed) !== old && !this.#narrowStatus(parent, allowed)) return false;
    }
    if (now === before) return true;
    return shape.children.every(
      (child) => !this.status.has(child.fact) || this.#narrowStatus(child, ANY),
    );
  }

  /** The fact is left out, where that counts as a value: it has this value. */
  #count({ fact, spec, kind }: Shape): boolean {
    const value: unknown =
      spec.absent && spec.absent !== 'none' ? spec.absent.counts_as : undefined;
    if (kind === 'set') {
      const codes = Array.isArray(value) ? (value as string[]) : [];
      return (
        this.assert({ kind: 'only', set: fact, codes: new Set(codes) }) &&
        this.assert({ kind: 'has', set: fact, codes: new Set(codes) })
      );
    }
    if (kind === 'number') {
      const number =
        typeof value === 'string' ? (parseDate(value) ?? parseInstant(value)) : Number(value);
      return this.assert({ kind: 'bound', fact, operator: 'eq', value: number ?? Number.NaN });
    }
    if (kind !== 'code') return true;
    return this.assert({ kind: 'within', fact, values: new Set([value as string | boolean]) });
  }
}

/** What an empty list and a list with items mean for the set of one of their members. */
function memberDemand({ fact }: Shape, list: Shape): Node {
  const none: Node = { kind: 'only', set: fact, codes: NO_CODES };
  const one: Node = {
    kind: 'some',
    of: fact,
    demand: (element) => ({ kind: 'in', element, set: fact, positive: true }),
  };
  const status = (of: string, mask: number): Node => ({ kind: 'status', fact: of, mask });
  const all = (...of: Node[]): Node => ({ kind: 'all', of });
  return {
    kind: 'any',
    of: [
      all(status(list.fact, STATED), { kind: 'any', of: [status(fact, UNSTATED), one] }),
      all(status(list.fact, NONE | EMPTY | UNSTATED), none),
    ],
  };
}

/** The type of a fact's values: of a set, that of its members. */
function valueTypeOf({ type, of = 'code' }: FactSpec): FactSpec['type'] {
  return type === 'set' ? of : type;
}

function isValueOf(spec: FactSpec, type: FactSpec['type'], code: string): boolean {
  switch (type) {
    case 'code':
      return isCode(code);
    case 'enum':
      return spec.values?.includes(code) ?? false;
    case 'country':
      return COUNTRIES.has(code);
    default:
      return true;
  }
}

/** The numbers that a fact may have by its type. */
function initialRange({ of, day }: Shapes, fact: string): Range {
  const spec = of.get(fact)?.spec;
  const range = { lowOut: false, highOut: false, not: new Set<number>() };
  if (fact === 'today' || spec?.type === 'date')
    return { ...range, low: FIRST_DAY, high: LAST_DAY, whole: true, anchor: day };
  if (spec?.type === 'datetime') {
    const high = (LAST_DAY + 1) * DAY_MS - 1;
    return { ...range, low: FIRST_DAY * DAY_MS, high, whole: true, anchor: day * DAY_MS };
  }
  return tightened({
    ...range,
    low: spec?.minimum ?? Number.MIN_SAFE_INTEGER,
    high: spec?.maximum ?? Number.MAX_SAFE_INTEGER,
    whole: spec?.type === 'integer',
    anchor: 0,
  });
}
