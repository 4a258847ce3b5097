import { compileCondition, type Scope, type Test, type Variable } from './compile.ts';
import { type Condition, type Constant, type Operator, parseCondition } from './condition.ts';
import type { Effect, Rule } from './document.ts';
import type { FactSpec, Frame } from './facts.ts';
import {
  EMPTY_SET,
  FALSE,
  NONE_SET,
  TRUE,
  type Truth,
  type CodeSet,
  union,
  without,
} from './logic.ts';
import {
  type FactTest,
  type Load,
  type Members,
  type Predicate,
  Predicates,
  type Scalar,
  type StoredFact,
  type Three,
} from './predicate.ts';
import { loadFacts, type Program, scopeOf } from './program.ts';

/**
 * What the policies leave to the dataset once the request is known. The answer is `deny` where it is
 * not `allowed`, or neither `permitted` nor for `review`; else `review` where a rule asks for it;
 * else `permit`.
 */
export interface Residual {
  /** No rule denies; or one asks for a person, where the pack lets that come first. */
  readonly allowed: Predicate;
  /** A rule permits. */
  readonly permitted: Predicate;
  /** A rule asks for a person. */
  readonly review: Predicate;
  /** No rule denies and none asks for a person: with `permitted`, the answer is `permit`. */
  readonly clear: Predicate;
}

/**
 * Facts of a request that are facts of the dataset under another name: `{'request.sector':
 * 'sector'}` reads what the dataset states as its sector.
 */
export type Mirrored = Readonly<Record<string, string>>;

/**
 * Evaluates a program, with its extensions, for a request of which every fact is given and a
 * dataset of which none is: for every dataset the predicates answer what `evaluate` answers by the
 * program that `boundTo` gives for it. What a dataset does not state keeps its meaning, and unknown
 * never permits.
 */
export function residual(
  program: Program,
  request: unknown,
  mirrored: Mirrored,
  predicates: Predicates,
): Residual {
  const reading = new Reading(program, { request, mirrored, predicates });
  const rules = reading.judge(program.rules, new Map());
  for (const { part } of program.extensions) reading.judge(part.rules, rules);
  return reading.residual();
}

interface RuleTruth {
  readonly applies: Three;
  readonly holds: Three;
}
type Rules = Pick<ReadonlyMap<string, RuleTruth>, 'get'>;

/** A variable: known, in the form of the frame; a condition; a fact; or a union with facts in it. */
type Value =
  | { readonly kind: 'known'; readonly value: unknown }
  | { readonly kind: 'truth'; readonly three: Three }
  | { readonly kind: 'fact'; readonly fact: StoredFact; readonly variable: Variable }
  | { readonly kind: 'union'; readonly set: Members };

type Comparison = Extract<Condition, { kind: 'compare' }>;

interface Given {
  readonly request: unknown;
  readonly mirrored: Mirrored;
  readonly predicates: Predicates;
}

/** Of truths of conditions, by slot. */
type Assumed = ReadonlyMap<number, boolean | undefined>;

/** What is the same for every request. */
interface Prepared {
  readonly scope: Scope;
  readonly tests: WeakMap<Condition, Test>;
  readonly derived: ReadonlyMap<string, Condition>;
}

const preparations = new WeakMap<Program, Prepared>();

function prepare(program: Program): Prepared {
  const known = preparations.get(program);
  if (known) return known;
  const derived = Object.entries(program.pack.derived).flatMap(([name, { condition }]) =>
    condition === undefined ? [] : [[name, parseCondition(condition, [])] as const],
  );
  const prepared = { scope: scopeOf(program), tests: new WeakMap(), derived: new Map(derived) };
  preparations.set(program, prepared);
  return prepared;
}

class Reading {
  readonly #program: Program;
  readonly #prepared: Prepared;
  readonly #frame: Frame;
  readonly #mirrored: Mirrored;
  readonly #make: Predicates;
  readonly #values = new Map<string, Value>();
  readonly #deny: Predicate[] = [];
  readonly #review: Predicate[] = [];
  readonly #permitted: Predicate[] = [];
  /** Where a rule denies or asks for a person; shorter than the two together. */
  readonly #stopped: Predicate[] = [];

  constructor(program: Program, { request, mirrored, predicates }: Given) {
    this.#program = program;
    this.#prepared = prepare(program);
    this.#mirrored = mirrored;
    this.#make = predicates;
    this.#frame = loadFacts(program, { request });
    for (const { slot, compute } of program.derivations) this.#frame[slot] = compute(this.#frame);
    for (const [name, variable] of this.#prepared.scope.variables) {
      this.#values.set(name, this.#valueOf(name, variable));
    }
  }

  residual(): Residual {
    const { or, not } = this.#make;
    const review = once(() => or(...this.#review));
    const undenied = once(() => not(or(...this.#deny)));
    const isReviewFirst = this.#program.pack.combining === 'review_first';
    const clear = once(() => not(or(...this.#stopped)));
    // Each is put together when it is read: most questions need two of them.
    return {
      get allowed() {
        return isReviewFirst ? or(undenied(), review()) : undenied();
      },
      permitted: or(...this.#permitted),
      get review() {
        return review();
      },
      get clear() {
        return clear();
      },
    };
  }

  /** Adds what rules say; they may refer to one another, to an earlier one, and to `others`. */
  judge(rules: readonly { readonly rule: Rule }[], others: Rules): Rules {
    const own = new Map<string, RuleTruth>();
    const known: Rules = { get: (id) => own.get(id) ?? others.get(id) };
    const { and, not } = this.#make;
    for (const { rule } of rules) {
      const applies = this.#condition(rule.applies, known);
      const holds = rule.holds && this.#condition(rule.holds, known);
      const may = not(applies.isFalse);
      const held = holds ? and(may, holds.isTrue) : this.#make.never;
      own.set(rule.id, { applies, holds: { isTrue: held, isFalse: not(held) } });
      if (may === this.#make.never) continue;
      if (!holds) this.#outcomes(rule, applies, may, known);
      else {
        this.#add(rule.then, applies, held);
        const before = this.#stopped.length;
        this.#add('review', applies, and(may, this.#unknown(holds)));
        this.#outcomes(rule, applies, and(may, holds.isFalse), known);
        // Unknown or not held, it is one or the other.
        if (isStop(rule)) this.#stopped.splice(before, Infinity, and(may, not(holds.isTrue)));
      }
    }
    return known;
  }

  #outcomes(rule: Rule, applies: Three, reached: Predicate, rules: Rules): void {
    const { and } = this.#make;
    let at = reached;
    for (const { when, effect } of rule.outcomes) {
      if (!when) return this.#add(effect, applies, at);
      const chosen = this.#condition(when, rules);
      this.#add(effect, applies, and(at, chosen.isTrue));
      this.#add('review', applies, and(at, this.#unknown(chosen)));
      at = and(at, chosen.isFalse);
    }
  }

  #add(effect: Effect | undefined, applies: Three, where: Predicate): void {
    const { and, not } = this.#make;
    if (effect === 'permit') {
      this.#permitted.push(and(where, applies.isTrue));
      // A permission of which it is unknown whether it applies is for a person to look at.
      this.#add('review', applies, and(where, not(applies.isTrue)));
    } else if (effect === 'deny' || effect === 'review') {
      (effect === 'deny' ? this.#deny : this.#review).push(where);
      this.#stopped.push(where);
    }
  }

  #unknown({ isTrue, isFalse }: Three): Predicate {
    return this.#make.and(this.#make.not(isTrue), this.#make.not(isFalse));
  }

  #constant(truth: Truth): Three {
    return {
      isTrue: this.#make.constant(truth === TRUE),
      isFalse: this.#make.constant(truth === FALSE),
    };
  }

  #condition(condition: Condition, rules: Rules): Three {
    switch (condition.kind) {
      case 'constant':
        return this.#constant(condition.value ? TRUE : FALSE);
      case 'not':
        return swapped(this.#condition(condition.of, rules));
      case 'and':
      case 'or':
      case 'xone':
        return this.#combined(
          condition.kind,
          condition.of.map((part) => this.#condition(part, rules)),
        );
      case 'applies':
      case 'holds':
        return rules.get(condition.rule)?.[condition.kind] ?? this.#constant(FALSE);
      case 'exists':
        return this.#exists(condition);
      case 'nonempty': {
        const value = this.#value(condition.fact);
        if (value.kind === 'known') return this.#test(condition);
        return this.#make.three({ kind: 'nonempty', set: membersOf(value) });
      }
      case 'compare':
        return this.#compare(condition);
    }
  }

  #combined(kind: 'and' | 'or' | 'xone', parts: readonly Three[]): Three {
    const { and, or } = this.#make;
    const trues = parts.map(({ isTrue }) => isTrue);
    const falses = parts.map(({ isFalse }) => isFalse);
    if (kind === 'and') return { isTrue: and(...trues), isFalse: or(...falses) };
    if (kind === 'or') return { isTrue: or(...trues), isFalse: and(...falses) };
    const { none, one, some, two } = this.#count(parts);
    return { isTrue: one, isFalse: or(two, and(none, this.#make.not(some))) };
  }

  /**
   * How many of some conditions are true: none and none is unknown; one and none is unknown; one
   * or more; two or more. By halves, so that the predicates stay short.
   */
  #count(parts: readonly Three[]): Record<'none' | 'one' | 'some' | 'two', Predicate> {
    const [first] = parts;
    if (first && parts.length === 1) {
      const { isTrue, isFalse } = first;
      return { none: isFalse, one: isTrue, some: isTrue, two: this.#make.never };
    }
    const { and, or } = this.#make;
    const middle = Math.ceil(parts.length / 2);
    const left = this.#count(parts.slice(0, middle));
    const right = this.#count(parts.slice(middle));
    return {
      none: and(left.none, right.none),
      one: or(and(left.one, right.none), and(left.none, right.one)),
      some: or(left.some, right.some),
      two: or(left.two, right.two, and(left.some, right.some)),
    };
  }

  #exists(condition: Extract<Condition, { kind: 'exists' }>): Three {
    const value = this.#value(condition.fact);
    switch (value.kind) {
      case 'known':
        return this.#test(condition);
      case 'truth':
        // A condition is stated as soon as it is known.
        return {
          isTrue: this.#make.or(value.three.isTrue, value.three.isFalse),
          isFalse: this.#make.never,
        };
      case 'fact':
        return this.#make.three({ kind: 'stated', fact: value.fact });
      case 'union':
        return this.#make.three({ kind: 'stated_union', set: value.set });
    }
  }

  /** What the evaluator says of a condition of which every variable is known, or assumed. */
  #test(condition: Condition, assumed?: Assumed): Three {
    const { scope, tests } = this.#prepared;
    const test = tests.get(condition) ?? compileCondition(condition, scope, []);
    tests.set(condition, test);
    if (!assumed) return this.#constant(test(this.#frame));
    const frame = [...this.#frame];
    for (const [slot, value] of assumed) frame[slot] = value;
    return this.#constant(test(frame));
  }

  #compare(condition: Comparison, assumed?: Assumed): Three {
    const { fact, right: other } = condition;
    const left = this.#assumed(fact, assumed);
    const right = 'fact' in other ? this.#assumed(other.fact, assumed) : undefined;
    if (left.kind === 'known' && (!right || right.kind === 'known'))
      return this.#test(condition, assumed);
    if (left.kind === 'truth') return this.#byCases(left.three, fact, condition, assumed);
    if (right?.kind === 'truth' && 'fact' in other)
      return this.#byCases(right.three, other.fact, condition, assumed);
    return this.#relate(condition, left, right);
  }

  #assumed(name: string, assumed: Assumed | undefined): Value {
    const slot = assumed && this.#prepared.scope.variables.get(name)?.slot;
    return slot !== undefined && assumed?.has(slot)
      ? { kind: 'known', value: assumed.get(slot) }
      : this.#value(name);
  }

  /** A comparison with a condition's truth: what it is for each of the three, where it is that. */
  #byCases(three: Three, name: string, condition: Comparison, assumed?: Assumed): Three {
    const { and, or } = this.#make;
    const slot = this.#prepared.scope.variables.get(name)?.slot ?? -1;
    const given = (value: boolean | undefined): Three =>
      this.#compare(condition, new Map([...(assumed ?? []), [slot, value]]));
    const cases = [
      { where: three.isTrue, then: given(true) },
      { where: three.isFalse, then: given(false) },
      { where: this.#unknown(three), then: given(undefined) },
    ];
    return {
      isTrue: or(...cases.map(({ where, then }) => and(where, then.isTrue))),
      isFalse: or(...cases.map(({ where, then }) => and(where, then.isFalse))),
    };
  }

  #relate(condition: Comparison, left: Value, right: Value | undefined): Three {
    const { operator } = condition;
    const constant = 'constant' in condition.right ? condition.right.constant : undefined;
    switch (operator) {
      case 'eq':
        return this.#equal(condition, left, right);
      case 'neq':
        return swapped(this.#equal(condition, left, right));
      case 'lt':
      case 'lteq':
      case 'gt':
      case 'gteq':
        return this.#order(condition, operator, left, right);
      case 'isA':
        return this.#kindOf(left, right, constant);
      case 'overlaps':
        return this.#overlaps(left, right, constant);
      case 'isAnyOf':
        return this.#member(left, this.#setOf(right, constant, operator), 'intersects');
      case 'isNoneOf':
        return swapped(this.#member(left, this.#setOf(right, constant, operator), 'intersects'));
      case 'isPartOf':
        return this.#member(left, this.#setOf(right, constant, operator), 'subset');
      case 'isAllOf':
      case 'hasPart':
        return this.#contains(left, right, constant);
    }
  }

  #equal(condition: Comparison, left: Value, right: Value | undefined): Three {
    const other = right ?? this.#known(condition);
    const pairs = [
      [left, other],
      [other, left],
    ] as const;
    for (const [fact, known] of pairs) {
      if (fact.kind !== 'fact' || fact.fact.load !== 'text' || known.kind !== 'known') continue;
      if (typeof known.value === 'string') return this.#in(fact.fact, [known.value]);
    }
    return this.#make.three({ kind: 'equal', left: scalarOf(left), right: scalarOf(other) });
  }

  #in(fact: StoredFact, values: readonly string[]): Three {
    return this.#make.three({ kind: 'in', fact, values: [...new Set(values)].toSorted() });
  }

  #order(
    condition: Comparison,
    operator: 'lt' | 'lteq' | 'gt' | 'gteq',
    left: Value,
    right: Value | undefined,
  ): Three {
    const ranks = this.#prepared.scope.variables.get(condition.fact)?.spec?.ranks;
    const rightRanks =
      'fact' in condition.right
        ? this.#prepared.scope.variables.get(condition.right.fact)?.spec?.ranks
        : ranks;
    return this.#make.three({
      kind: 'order',
      operator,
      left: ranked(left, ranks),
      right: ranked(right ?? this.#known(condition), ranks && rightRanks),
    });
  }

  /** The constant of a comparison in the form of the frame, as the evaluator reads it. */
  #known({ fact, right }: Comparison): Value {
    const constant = 'constant' in right ? right.constant : undefined;
    const spec = this.#prepared.scope.variables.get(fact)?.spec;
    const isTime = spec?.type === 'date' || spec?.type === 'datetime';
    if (!isTime) return { kind: 'known', value: constant };
    const { vocabulary } = this.#program;
    const frame = vocabulary.load(nested(spec.path.split('.'), constant));
    return { kind: 'known', value: frame[vocabulary.slotOf(spec.path) ?? -1] };
  }

  #kindOf(left: Value, right: Value | undefined, constant: Constant | undefined): Three {
    const { taxonomy } = this.#prepared.scope;
    if (right && isSet(right)) return this.#kindIn(left, right);
    if (isSet(left)) {
      const items = [...taxonomy.narrower([constant].flat() as string[])];
      return this.#member(left, { items, open: false, facts: [] }, 'subset');
    }
    if (left.kind === 'fact' && right?.kind === 'fact') {
      return this.#make.three({
        kind: 'kind_of',
        left: left.fact,
        right: right.fact,
        broader: Object.fromEntries(taxonomy.broader),
      });
    }
    if (left.kind === 'known' && right?.kind === 'fact') {
      if (typeof left.value === 'string') return this.#in(right.fact, taxonomy.kindsOf(left.value));
      return this.#make.three({ kind: 'equal', left: scalarOf(left), right: scalarOf(right) });
    }
    if (left.kind !== 'fact') return this.#constant(FALSE);
    if (right?.kind === 'known' && typeof right.value !== 'string')
      return this.#make.three({ kind: 'equal', left: scalarOf(left), right: scalarOf(right) });
    const wanted = (right?.kind === 'known' ? [right.value] : [constant].flat()) as string[];
    return this.#in(left.fact, [...taxonomy.narrower(wanted)]);
  }

  /** A code, or each of a set, is a kind of a member of a set. */
  #kindIn(left: Value, right: Value): Three {
    const { taxonomy } = this.#prepared.scope;
    const whole = membersOf(right);
    const kindOf = (code: string): Three =>
      this.#make.three({ kind: 'intersects', left: codes(taxonomy.kindsOf(code)), right: whole });
    if (!isSet(left)) {
      if (left.kind === 'known' && typeof left.value === 'string') return kindOf(left.value);
      const value = scalarOf(left);
      const same = this.#make.three({ kind: 'contains', set: whole, value });
      return left.kind === 'fact' ? this.#byTerm(left.fact, kindOf, same) : same;
    }
    const part = membersOf(left);
    if (whole.facts.length === 0) {
      const narrower = taxonomy.narrower(whole.items as string[]);
      const all: Members = { ...whole, items: [...narrower] };
      return this.#make.three({ kind: 'subset', part, whole: all });
    }
    const each = this.#members(part).map(({ contains, code }) =>
      this.#combined('or', [swapped(contains), kindOf(code)]),
    );
    return this.#combined('and', [
      ...each,
      this.#make.three({ kind: 'subset', part: this.#strangers(part), whole }),
    ]);
  }

  /** Kleene's "some member overlaps some other", as `compile.ts` has it. */
  #overlaps(left: Value, right: Value | undefined, constant: Constant | undefined): Three {
    const { taxonomy } = this.#prepared.scope;
    const { and, or } = this.#make;
    const [one, other] = [membersOf(left), this.#setOf(right, constant, 'overlaps')];
    const [asked, known] = one.facts.length > 0 ? [one, other] : [other, one];
    const is = (test: FactTest): Predicate => this.#make.test(test, 'true');
    const isEmpty = (set: Members): Predicate =>
      is({ kind: 'subset', part: set, whole: codes([]) });
    const members = this.#members(known).map(({ contains, code }) => {
      const sure = codes(taxonomy.overlapping(code));
      const apart = codes(taxonomy.apart(code));
      return {
        isTrue: and(contains.isTrue, is({ kind: 'intersects', left: asked, right: sure })),
        isFalse: or(contains.isFalse, is({ kind: 'subset', part: asked, whole: apart })),
      };
    });
    const strangers = this.#strangers(known);
    return {
      isTrue: or(
        ...members.map(({ isTrue }) => isTrue),
        is({ kind: 'intersects', left: asked, right: strangers }),
      ),
      isFalse: or(
        isEmpty(asked),
        isEmpty(known),
        and(isEmpty(strangers), ...members.map(({ isFalse }) => isFalse)),
      ),
    };
  }

  /** What may be a member of a set and is known by name: its known members, and terms. */
  #members(set: Members): { readonly code: string; readonly contains: Three }[] {
    const terms = set.facts.length > 0 ? this.#prepared.scope.taxonomy.broader.keys() : [];
    const named = new Set([...(set.items as string[]), ...terms]);
    return [...named].map((code) => ({
      code,
      contains: set.items.includes(code)
        ? this.#constant(TRUE)
        : this.#make.three({ kind: 'contains', set, value: { value: code } }),
    }));
  }

  /** The other members of a set. */
  #strangers({ open, facts }: Members): Members {
    const terms = [...this.#prepared.scope.taxonomy.broader.keys()];
    const others = facts.map(({ fact, without: less }) => ({ fact, without: [...less, ...terms] }));
    return { items: [], open, facts: others };
  }

  /** What is so of each term that a fact may be, and what is so where it is none. */
  #byTerm(fact: StoredFact, of: (term: string) => Three, otherwise: Three): Three {
    const { and, or, not } = this.#make;
    const terms = [...this.#prepared.scope.taxonomy.broader.keys()];
    const isOther = not(this.#in(fact, terms).isTrue);
    const each = terms.map((term) => ({ where: this.#in(fact, [term]).isTrue, then: of(term) }));
    return {
      isTrue: or(
        and(isOther, otherwise.isTrue),
        ...each.map(({ where, then }) => and(where, then.isTrue)),
      ),
      isFalse: or(
        and(isOther, otherwise.isFalse),
        ...each.map(({ where, then }) => and(where, then.isFalse)),
      ),
    };
  }

  /** The operand on the right as a set; a named group of places stands for its members. */
  #setOf(right: Value | undefined, constant: Constant | undefined, operator: Operator): Members {
    if (right) return membersOf(right);
    const groups = operator === 'isPartOf' ? this.#prepared.scope.groups : undefined;
    const named = typeof constant === 'string' ? groups?.get(constant) : undefined;
    return { items: named ?? [constant].flat(), open: false, facts: [] };
  }

  #member(left: Value, set: Members, relation: 'intersects' | 'subset'): Three {
    if (isSet(left)) {
      const members = membersOf(left);
      return this.#make.three(
        relation === 'subset'
          ? { kind: 'subset', part: members, whole: set }
          : { kind: 'intersects', left: members, right: set },
      );
    }
    const isKnown = !set.open && set.facts.length === 0;
    if (isKnown && set.items.length === 0) return this.#constant(FALSE);
    if (isKnown && left.kind === 'fact' && left.fact.load === 'text')
      return this.#in(left.fact, set.items as readonly string[]);
    return this.#make.three({ kind: 'contains', set, value: scalarOf(left) });
  }

  #contains(left: Value, right: Value | undefined, constant: Constant | undefined): Three {
    const whole = membersOf(left);
    if (right && isSet(right))
      return this.#make.three({ kind: 'subset', part: membersOf(right), whole });
    const wanted = [constant].flat();
    if (right || wanted.length === 1) {
      const value: Scalar = right ? scalarOf(right) : { value: wanted[0] };
      return this.#make.three({ kind: 'contains', set: whole, value });
    }
    const part: Members = { items: wanted, open: false, facts: [] };
    return this.#make.three({ kind: 'subset', part, whole });
  }

  #value(name: string): Value {
    return this.#values.get(name) ?? { kind: 'known', value: undefined };
  }

  #valueOf(name: string, variable: Variable): Value {
    const known: Value = { kind: 'known', value: this.#frame[variable.slot] };
    const spec = this.#program.vocabulary.get(name);
    if (spec) {
      const fact = this.#storedFact(spec, variable);
      return fact ? { kind: 'fact', fact, variable } : known;
    }
    const derived = this.#program.pack.derived[name];
    if (derived?.union) return this.#union(derived.union, derived.without_home, known);
    const condition = this.#prepared.derived.get(name);
    return condition ? { kind: 'truth', three: this.#condition(condition, new Map()) } : known;
  }

  #union(names: readonly string[], withoutHome: true | undefined, known: Value): Value {
    const values = names.map((name) => this.#value(name));
    if (values.every(({ kind }) => kind === 'known')) return known;
    const home = withoutHome ? this.#program.pack.home : undefined;
    const parts = values.map(membersOf);
    let all: CodeSet = EMPTY_SET;
    for (const part of parts) all = union(all, without(part as CodeSet, home));
    const { items, open } = all;
    const left = home === undefined ? [] : [home];
    const facts = parts.flatMap((part) =>
      part.facts.map((each) => ({ ...each, without: [...each.without, ...left] })),
    );
    return { kind: 'union', set: { items, open, facts } };
  }

  /** How a fact is read from a stored dataset; undefined for one that is no fact of the dataset. */
  #storedFact(spec: FactSpec, { type }: Variable): StoredFact | undefined {
    const stored = this.#storedPath(spec.path);
    if (stored === undefined) return undefined;
    const { vocabulary } = this.#program;
    const slot = vocabulary.slotOf(spec.path) ?? -1;
    const keys = spec.path.split('.');
    const storedKeys = stored.split('.');
    const isMember = type === 'set' && spec.type !== 'set';
    const depth = isMember ? storedKeys.length - 1 : storedKeys.length;
    const outside = keys.length - storedKeys.length;
    const absences = Array.from({ length: depth }, (_, i) => ({
      path: storedKeys.slice(0, i + 1).join('.'),
      value: shown(vocabulary.load(nested(keys.slice(0, outside + i), {}))[slot]),
    }));
    if (!isMember) return { name: spec.path, path: stored, load: LOADS[spec.type], absences };
    const key = LOADS[spec.type] === 'text' ? (storedKeys.at(-1) ?? null) : null;
    const path = storedKeys.slice(0, -1).join('.');
    return { name: spec.path, path, load: 'member', key, absences };
  }

  #storedPath(path: string): string | undefined {
    if (path.startsWith('dataset.')) return path.slice('dataset.'.length);
    for (const [from, to] of Object.entries(this.#mirrored)) {
      if (path === from || path.startsWith(`${from}.`)) return to + path.slice(from.length);
    }
    return undefined;
  }
}

/** Does a rule that does not hold deny or ask for a person, whichever of its outcomes it comes to? */
function isStop({ outcomes }: Rule): boolean {
  const last = outcomes.findIndex(({ when }) => !when);
  return (
    last >= 0 &&
    outcomes.slice(0, last + 1).every(({ effect }) => effect === 'deny' || effect === 'review')
  );
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

const LOADS: Readonly<Record<FactSpec['type'], Load>> = {
  boolean: 'boolean',
  integer: 'number',
  number: 'number',
  text: 'text',
  code: 'text',
  enum: 'text',
  country: 'text',
  date: 'date',
  datetime: 'instant',
  set: 'set',
  object: 'object',
  list: 'list',
};

/** The stored form of "known not to be stated", which is told from an empty set by identity. */
function shown(value: unknown): unknown {
  return value === NONE_SET ? null : value;
}

function nested(keys: readonly string[], value: unknown): Record<string, unknown> {
  return keys.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Record<
    string,
    unknown
  >;
}

function swapped({ isTrue, isFalse }: Three): Three {
  return { isTrue: isFalse, isFalse: isTrue };
}

function isSet(value: Value): boolean {
  if (value.kind === 'fact') return value.variable.type === 'set';
  return value.kind === 'union' || (value.kind === 'known' && isCodeSet(value.value));
}

function isCodeSet(value: unknown): value is CodeSet {
  return typeof value === 'object' && value !== null && 'items' in value;
}

/** A set, or a single value as the set of it. */
function membersOf(value: Value): Members {
  switch (value.kind) {
    case 'union':
      return value.set;
    case 'fact':
      return { items: [], open: false, facts: [{ fact: value.fact, without: [] }] };
    case 'truth':
      return { items: [], open: true, facts: [] };
    case 'known': {
      const known = value.value;
      if (isCodeSet(known)) return { items: known.items, open: known.open, facts: [] };
      const items = known === null || known === undefined ? [] : [known];
      return { items, open: known === undefined, facts: [] };
    }
  }
}

function codes(items: Iterable<string>): Members {
  return { items: [...items], open: false, facts: [] };
}

function scalarOf(value: Value): Scalar {
  if (value.kind === 'fact') return { fact: value.fact };
  return { value: value.kind === 'known' ? value.value : undefined };
}

/** A ranked value as its rank; a value without one is unknown. */
function ranked(value: Value, ranks: Readonly<Record<string, number>> | undefined): Scalar {
  const scalar = scalarOf(value);
  if (!ranks) return scalar;
  if ('fact' in scalar) return { fact: scalar.fact, ranks };
  if (scalar.value === null) return scalar;
  const rank = Object.entries(ranks).find(([code]) => code === scalar.value);
  return { value: rank?.[1] };
}
