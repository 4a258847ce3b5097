import { parseDate, parseInstant } from './calendar.ts';
import type { Scope, Variable } from './compile.ts';
import { type Condition, type Constant, type Operator, parseCondition } from './condition.ts';
import {
  EMPTY,
  type Kin,
  KNOWN,
  type Node,
  NONE,
  OPPOSITE,
  type Term,
  UNSTATED,
  type Wanted,
} from './demand.ts';
import type { Rule } from './document.ts';
import { FALSE, TRUE } from './logic.ts';
import { type Program, scopeOf } from './program.ts';

/**
 * What a condition asks of the facts, one step at a time: the reading of the syntax tree that
 * `satisfy` searches. It says of each operator when it is true, false, not true and not false,
 * as `compile.ts` computes it.
 */

const NONE_YET: ReadonlySet<string> = new Set();

const YES: Node = { kind: 'all', of: [] };
const NO: Node = { kind: 'any', of: [] };

const all = (...of: readonly Node[]): Node => ({ kind: 'all', of });
const any = (...of: readonly Node[]): Node => ({ kind: 'any', of });
const goal = (condition: Condition, wanted: Wanted): Node => ({ kind: 'goal', condition, wanted });

const MIRROR: Readonly<Record<Wanted, Wanted>> = {
  true: 'false',
  false: 'true',
  not_true: 'not_false',
  not_false: 'not_true',
};

/** The four answers to "when?" of one leaf. */
type Cases = Readonly<Record<Wanted, Node>>;

function mirrored(cases: Cases): Cases {
  return {
    true: cases.false,
    false: cases.true,
    not_true: cases.not_false,
    not_false: cases.not_true,
  };
}

type Comparison = Extract<Condition, { kind: 'compare' }>;

const clauses = new WeakMap<Program, Clauses>();

/** The clauses of a program, made once. */
export function clausesOf(program: Program): Clauses {
  const known = clauses.get(program);
  if (known) return known;
  const made = new Clauses(program);
  clauses.set(program, made);
  return made;
}

/** Reads the conditions of one program; what was read once is kept. */
export class Clauses {
  readonly scope: Scope;
  readonly rules: ReadonlyMap<string, Rule>;
  /** Of the derived facts that are conditions. */
  readonly #derived = new Map<string, Condition>();
  /** Of the derived facts that are unions, flat. */
  readonly #unions = new Map<string, readonly Term[]>();
  readonly #factsOfRules = new Map<string, ReadonlySet<string>>();
  readonly #leaves = new WeakMap<Condition, Cases>();
  readonly #expanded = new WeakMap<Condition, Partial<Record<Wanted, Node>>>();

  constructor(program: Program) {
    const { derived, home } = program.pack;
    this.scope = scopeOf(program);
    this.rules = new Map(program.rules.map(({ rule }) => [rule.id, rule]));
    for (const [name, { condition, union, without_home }] of Object.entries(derived)) {
      if (condition !== undefined) this.#derived.set(name, parseCondition(condition, []));
      const without = without_home ? [home] : [];
      if (union) this.#unions.set(name, this.#flat(union, without));
    }
  }

  #flat(union: readonly string[], without: readonly string[]): readonly Term[] {
    return union
      .flatMap((fact) => this.#setTerms(fact))
      .map((term) =>
        term.kind === 'set' ? { ...term, without: [...term.without, ...without] } : term,
      );
  }

  /** The facts that a condition may rest on: those behind derived facts and rules it refers to. */
  factsOf(condition: Condition): ReadonlySet<string> {
    const facts = new Set<string>();
    const queue = [condition];
    for (let next = queue.pop(); next; next = queue.pop()) {
      if (next.kind === 'not') queue.push(next.of);
      else if ('of' in next) for (const part of next.of) queue.push(part);
      else if ('rule' in next) for (const fact of this.#factsOfRule(next.rule)) facts.add(fact);
      else if ('fact' in next) {
        const named = next.kind === 'compare' && 'fact' in next.right ? [next.right.fact] : [];
        for (const fact of [next.fact, ...named]) {
          const derived = this.#derived.get(fact);
          if (derived) queue.push(derived);
          else
            for (const term of this.#setTerms(fact)) if (term.kind === 'set') facts.add(term.fact);
        }
      }
    }
    return facts;
  }

  #factsOfRule(id: string): ReadonlySet<string> {
    // Rules come after those that they refer to: in this order no chain is too deep.
    if (this.#factsOfRules.size === 0) {
      for (const [rule, { applies, holds }] of this.rules) {
        const of: Condition[] = holds ? [applies, holds] : [applies];
        this.#factsOfRules.set(rule, NONE_YET);
        this.#factsOfRules.set(rule, this.factsOf({ kind: 'and', of }));
      }
    }
    return this.#factsOfRules.get(id) ?? NONE_YET;
  }

  /** One step of a goal. */
  expand(condition: Condition, wanted: Wanted): Node {
    if (!('of' in condition)) return this.#expand(condition, wanted);
    const known = this.#expanded.get(condition) ?? {};
    this.#expanded.set(condition, known);
    return (known[wanted] ??= this.#expand(condition, wanted));
  }

  #expand(condition: Condition, wanted: Wanted): Node {
    switch (condition.kind) {
      case 'constant':
        return condition.value === (wanted === 'true' || wanted === 'not_false') ? YES : NO;
      case 'not':
        return goal(condition.of, MIRROR[wanted]);
      case 'and':
      case 'or': {
        const isAll = (condition.kind === 'and') === (wanted === 'true' || wanted === 'not_false');
        const of = condition.of.map((part) => goal(part, wanted));
        return { kind: isAll ? 'all' : 'any', of };
      }
      case 'xone':
        return exactlyOne(condition.of, wanted);
      case 'applies':
      case 'holds':
        return this.#reference(condition, wanted);
      default:
        return this.#leaf(condition)[wanted];
    }
  }

  // "Holds" counts what is unknown as no, and is never unknown itself.
  #reference(
    { kind, rule: id }: Extract<Condition, { kind: 'applies' | 'holds' }>,
    wanted: Wanted,
  ): Node {
    const rule = this.rules.get(id);
    if (!rule) return NO;
    if (kind === 'applies') return goal(rule.applies, wanted);
    if (!rule.holds) return NO;
    return wanted === 'true' || wanted === 'not_false'
      ? all(goal(rule.applies, 'not_false'), goal(rule.holds, 'true'))
      : any(goal(rule.applies, 'false'), goal(rule.holds, 'not_true'));
  }

  #leaf(condition: Extract<Condition, { fact: string }>): Cases {
    const known = this.#leaves.get(condition);
    if (known) return known;
    const made =
      condition.kind === 'compare'
        ? this.#comparison(condition)
        : condition.kind === 'exists'
          ? this.#exists(condition.fact)
          : this.#nonEmpty(this.#setTerms(condition.fact));
    this.#leaves.set(condition, made);
    return made;
  }

  /** A fact stands in one of the ways of `mask`. */
  #status(fact: string, mask: number): Node {
    if (fact === 'home') return mask & KNOWN ? YES : NO;
    if (fact === 'today') {
      const ways = (mask & KNOWN ? KNOWN : 0) | (mask & UNSTATED ? UNSTATED | NONE : 0);
      return ways === 0 ? NO : { kind: 'status', fact: 'request.as_of', mask: ways };
    }
    const derived = this.#derived.get(fact);
    if (!derived) return { kind: 'status', fact, mask };
    const ways: Node[] = [];
    if (mask & KNOWN) ways.push(goal(derived, 'true'), goal(derived, 'false'));
    if (mask & UNSTATED) ways.push(all(goal(derived, 'not_true'), goal(derived, 'not_false')));
    return any(...ways);
  }

  #exists(fact: string): Cases {
    const union = this.#unions.get(fact);
    if (union) {
      const empty = all(some(union, isOpen), this.#empty(union));
      return {
        true: any(each(union, isClosed), this.#someIn(union)),
        false: NO,
        not_true: empty,
        not_false: YES,
      };
    }
    return {
      true: this.#status(fact, KNOWN),
      false: this.#status(fact, NONE | EMPTY),
      not_true: this.#status(fact, NONE | EMPTY | UNSTATED),
      not_false: this.#status(fact, KNOWN | UNSTATED),
    };
  }

  #nonEmpty(terms: readonly Term[]): Cases {
    return {
      true: this.#someIn(terms),
      false: all(each(terms, isClosed), this.#empty(terms)),
      not_true: this.#empty(terms),
      not_false: any(some(terms, isOpen), this.#someIn(terms)),
    };
  }

  #variable(fact: string): Variable {
    const found = this.scope.variables.get(fact);
    if (!found) throw new Error(`there is no fact ${fact}`);
    return found;
  }

  #setTerms(fact: string): readonly Term[] {
    return this.#unions.get(fact) ?? [{ kind: 'set', fact, without: [] }];
  }

  #comparison({ fact, operator, right }: Comparison): Cases {
    const left = this.#variable(fact);
    const other = 'fact' in right ? right.fact : undefined;
    const constant = 'constant' in right ? right.constant : undefined;
    switch (operator) {
      case 'eq':
      case 'neq': {
        const equal =
          other === undefined
            ? this.#equalsConstant(fact, left, constant)
            : this.#scalar([fact, other], this.#equal(fact, other), this.#unequal(fact, other));
        return operator === 'eq' ? equal : mirrored(equal);
      }
      case 'lt':
      case 'lteq':
      case 'gt':
      case 'gteq':
        return this.#ordering(operator, fact, { other, constant });
      case 'isA':
        return this.#isA(fact, other, constant);
      case 'overlaps':
        return this.#overlaps(fact, { other, constant });
      case 'isAnyOf':
      case 'isNoneOf':
      case 'isPartOf':
      case 'isAllOf':
      case 'hasPart':
        return this.#membership(operator, fact, { other, constant });
    }
  }

  /**
   * Nothing compares with what is none; what is unknown stays so. `yes` and `no` are about the
   * values; both may be impossible where values are not comparable.
   */
  #scalar(facts: readonly string[], yes: Node, no: Node, undecided: Node = NO): Cases {
    const known = facts.map((fact) => this.#status(fact, KNOWN));
    const none = facts.map((fact) => this.#status(fact, NONE));
    const unknown = facts.map((fact) => this.#status(fact, UNSTATED));
    const notNone = facts.map((fact) => this.#status(fact, KNOWN | UNSTATED));
    return {
      true: all(...known, yes),
      false: any(...none, all(...known, no)),
      not_true: any(...none, ...unknown, all(...known, any(no, undecided))),
      not_false: all(...notNone, any(...unknown, any(yes, undecided))),
    };
  }

  #equalsConstant(fact: string, { type }: Variable, constant: Constant | undefined): Cases {
    if (typeof constant === 'boolean')
      return this.#scalar([fact], this.#is(fact, constant), this.#is(fact, !constant));
    if (type === 'string') {
      const values = new Set([String(constant)]);
      return this.#scalar(
        [fact],
        { kind: 'within', fact, values },
        { kind: 'outside', fact, values },
      );
    }
    const value = numberOf(constant, type);
    return this.#scalar(
      [fact],
      { kind: 'bound', fact, operator: 'eq', value },
      { kind: 'bound', fact, operator: 'neq', value },
    );
  }

  #is(fact: string, value: boolean): Node {
    const derived = this.#derived.get(fact);
    if (derived) return goal(derived, value ? 'true' : 'false');
    return { kind: 'within', fact, values: new Set([value]) };
  }

  #equal(left: string, right: string): Node {
    const kind = this.#commonKind(left, right);
    if (kind === 'boolean') {
      return any(
        all(this.#is(left, true), this.#is(right, true)),
        all(this.#is(left, false), this.#is(right, false)),
      );
    }
    if (kind === 'number') return { kind: 'order', left, right, operator: 'eq' };
    return kind ? { kind: 'codes', left, right, relation: 'eq', shares: true } : NO;
  }

  #unequal(left: string, right: string): Node {
    const kind = this.#commonKind(left, right);
    if (kind === 'boolean') {
      return any(
        all(this.#is(left, true), this.#is(right, false)),
        all(this.#is(left, false), this.#is(right, true)),
      );
    }
    if (kind === 'number') return { kind: 'order', left, right, operator: 'neq' };
    const relation = (a: string, b: string): boolean => a !== b;
    return kind ? { kind: 'codes', left, right, relation, shares: false } : YES;
  }

  /** The type of two facts' values in a frame, where it is the same. */
  #commonKind(left: string, right: string): 'boolean' | 'number' | 'string' | undefined {
    const kinds = [left, right].map((fact) => kindOf(this.#variable(fact)));
    return kinds[0] === kinds[1] ? kinds[0] : undefined;
  }

  #ordering(
    operator: 'lt' | 'lteq' | 'gt' | 'gteq',
    fact: string,
    { other, constant }: Right,
  ): Cases {
    const { type, spec } = this.#variable(fact);
    if (spec?.ranks) return this.#rankOrdering(operator, fact, { other, constant });
    const opposite = OPPOSITE[operator];
    if (other !== undefined) {
      return this.#scalar(
        [fact, other],
        { kind: 'order', left: fact, right: other, operator },
        { kind: 'order', left: fact, right: other, operator: opposite },
      );
    }
    const value = numberOf(constant, type);
    return this.#scalar(
      [fact],
      { kind: 'bound', fact, operator, value },
      { kind: 'bound', fact, operator: opposite, value },
    );
  }

  #rankOrdering(
    operator: 'lt' | 'lteq' | 'gt' | 'gteq',
    fact: string,
    { other, constant }: Right,
  ): Cases {
    const ranks = this.#variable(fact).spec?.ranks ?? {};
    const otherRanks = other === undefined ? ranks : (this.#variable(other).spec?.ranks ?? {});
    /** Undefined where one of the two has no rank. */
    const holds = (a: string, b: string): boolean | undefined => {
      if (!Object.hasOwn(ranks, a) || !Object.hasOwn(otherRanks, b)) return undefined;
      return compareNumbers(operator, ranks[a] ?? 0, otherRanks[b] ?? 0);
    };
    const [yes, no, undecided] = [true, false, undefined].map((answer): Node => {
      if (other !== undefined) {
        const relation = (a: string, b: string): boolean => holds(a, b) === answer;
        return { kind: 'codes', left: fact, right: other, relation, shares: false };
      }
      const values = Object.keys(ranks).filter((a) => holds(a, String(constant)) === answer);
      if (answer !== undefined) return { kind: 'within', fact, values: new Set(values) };
      const ranked = Object.hasOwn(ranks, String(constant)) ? Object.keys(ranks) : [];
      return { kind: 'outside', fact, values: new Set(ranked) };
    });
    return this.#scalar(
      other === undefined ? [fact] : [fact, other],
      yes ?? NO,
      no ?? NO,
      undecided,
    );
  }

  #isA(fact: string, other: string | undefined, constant: Constant | undefined): Cases {
    const { taxonomy } = this.scope;
    const isSet = this.#variable(fact).type === 'set';
    const isKind = (a: string, b: string): boolean => taxonomy.isKind(a, b);
    if (other !== undefined && this.#variable(other).type === 'set') {
      const kin: Kin = { holds: isKind, reached: (code) => taxonomy.kindsOf(code) };
      const whole = this.#setTerms(other);
      if (isSet) return this.#subset(this.#setTerms(fact), whole, kin);
      return this.#element(fact, whole, {
        inside: { kind: 'subset', left: [{ kind: 'single', fact }], right: whole, kin },
        outside: { kind: 'disjoint', left: [{ kind: 'single', fact }], right: whole, kin },
      });
    }
    if (other !== undefined) {
      return this.#scalar(
        [fact, other],
        { kind: 'codes', left: fact, right: other, relation: isKind, shares: true },
        {
          kind: 'codes',
          left: fact,
          right: other,
          relation: (a, b) => !isKind(a, b),
          shares: false,
        },
      );
    }
    const values = taxonomy.narrower(codesOf(constant));
    if (isSet) return this.#subset(this.#setTerms(fact), [{ kind: 'codes', codes: values }]);
    return this.#scalar(
      [fact],
      { kind: 'within', fact, values },
      { kind: 'outside', fact, values },
    );
  }

  /** Kleene's "some member overlaps some other": what surely does, and what surely does not. */
  #overlaps(fact: string, { other, constant }: Right): Cases {
    const { taxonomy } = this.scope;
    const left = this.#terms(fact);
    if (other === undefined) {
      const codes = codesOf(constant);
      const sure = new Set(codes.flatMap((code) => [...taxonomy.overlapping(code)]));
      const apart = codes
        .map((code) => taxonomy.apart(code))
        .reduce<ReadonlySet<string> | undefined>(
          (common, codesApart) =>
            common ? new Set([...common].filter((code) => codesApart.has(code))) : codesApart,
          undefined,
        );
      if (!apart) return { true: NO, false: YES, not_true: YES, not_false: NO };
      const inside = this.#someIn(left, (e) => ({ kind: 'within', fact: e, values: sure }));
      const beyond = this.#someIn(left, (e) => ({ kind: 'outside', fact: e, values: apart }));
      return {
        true: inside,
        false: all(this.#each(left, false), this.#universal('subset', left, codesTerm(apart))),
        not_true: this.#universal('disjoint', left, codesTerm(sure)),
        not_false: any(this.#each(left, true), beyond),
      };
    }
    const right = this.#terms(other);
    const isSure = (a: string, b: string): boolean => taxonomy.overlap(a, b) === TRUE;
    const isPossible = (a: string, b: string): boolean => taxonomy.overlap(a, b) !== FALSE;
    const pair = (relation: (a: string, b: string) => boolean): Node =>
      this.#someIn(left, (a) =>
        this.#someIn(right, (b) => ({ kind: 'codes', left: a, right: b, relation, shares: true })),
      );
    const none = (holds: (a: string, b: string) => boolean): Node => ({
      kind: 'disjoint',
      left,
      right,
      kin: { holds, reached: (code) => [code] },
    });
    const [leftOpen, rightOpen] = [this.#each(left, true), this.#each(right, true)];
    const [leftClosed, rightClosed] = [this.#each(left, false), this.#each(right, false)];
    const nothing = (closed: Node, terms: readonly Term[]): Node => all(closed, this.#empty(terms));
    return {
      true: pair(isSure),
      false: any(
        nothing(leftClosed, left),
        nothing(rightClosed, right),
        all(leftClosed, rightClosed, none(isPossible)),
      ),
      not_true: none(isSure),
      not_false: any(
        pair(isPossible),
        all(leftOpen, any(rightOpen, this.#someIn(right))),
        all(rightOpen, this.#someIn(left)),
      ),
    };
  }

  /** A set, or a single value as the set of it. */
  #terms(fact: string): readonly Term[] {
    return this.#variable(fact).type === 'set' ? this.#setTerms(fact) : [{ kind: 'single', fact }];
  }

  #membership(
    operator: Extract<Operator, 'isAnyOf' | 'isNoneOf' | 'isPartOf' | 'isAllOf' | 'hasPart'>,
    fact: string,
    { other, constant }: Right,
  ): Cases {
    const isSet = this.#variable(fact).type === 'set';
    if (operator === 'hasPart' || operator === 'isAllOf') {
      const whole = this.#setTerms(fact);
      if (other !== undefined && this.#variable(other).type !== 'set')
        return this.#element(other, whole);
      return this.#subset(this.#right({ other, constant }), whole);
    }
    const groups = operator === 'isPartOf' ? this.scope.groups : undefined;
    const named = typeof constant === 'string' ? groups?.get(constant) : undefined;
    const right = this.#right({ other, constant: named ?? constant });
    if (!isSet) {
      const element = this.#element(fact, right);
      return operator === 'isNoneOf' ? mirrored(element) : element;
    }
    if (operator === 'isPartOf') return this.#subset(this.#setTerms(fact), right);
    const meets = this.#intersects(this.#setTerms(fact), right);
    return operator === 'isNoneOf' ? mirrored(meets) : meets;
  }

  #right({ other, constant }: Right): readonly Term[] {
    if (other === undefined) return [{ kind: 'codes', codes: new Set(codesOf(constant)) }];
    if (this.#variable(other).type === 'set') return this.#setTerms(other);
    return [{ kind: 'single', fact: other }];
  }

  /** A scalar is in a set; where it is unknown, only the empty set answers. */
  #element(
    fact: string,
    terms: readonly Term[],
    { inside, outside }: { readonly inside: Node; readonly outside: Node } = {
      inside: this.#inside(fact, terms),
      outside: this.#outside(fact, terms),
    },
  ): Cases {
    const known = this.#status(fact, KNOWN);
    const none = this.#status(fact, NONE);
    const unknown = this.#status(fact, UNSTATED);
    const [closed, open] = [this.#each(terms, false), this.#each(terms, true)];
    return {
      true: all(known, inside),
      false: any(none, all(unknown, closed, this.#empty(terms)), all(known, closed, outside)),
      not_true: any(none, unknown, all(known, outside)),
      not_false: any(all(unknown, any(open, this.#someIn(terms))), all(known, any(open, inside))),
    };
  }

  #subset(part: readonly Term[], whole: readonly Term[], kin?: Kin): Cases {
    const isIn: Node = kin
      ? { kind: 'subset', left: part, right: whole, kin }
      : this.#universal('subset', part, whole);
    const outside = this.#someIn(part, (element) =>
      kin
        ? { kind: 'disjoint', left: [{ kind: 'single', fact: element }], right: whole, kin }
        : this.#outside(element, whole),
    );
    return {
      true: all(this.#each(part, false), isIn),
      false: all(this.#each(whole, false), outside),
      not_true: any(this.#each(part, true), outside),
      not_false: any(this.#each(whole, true), isIn),
    };
  }

  #intersects(left: readonly Term[], right: readonly Term[]): Cases {
    const [leftOpen, rightOpen] = [this.#each(left, true), this.#each(right, true)];
    const [leftClosed, rightClosed] = [this.#each(left, false), this.#each(right, false)];
    const common = this.#someIn(left, (element) => this.#inside(element, right));
    const apart = this.#universal('disjoint', left, right);
    return {
      true: common,
      false: all(
        apart,
        any(leftClosed, all(rightClosed, this.#empty(right))),
        any(rightClosed, this.#empty(left)),
      ),
      not_true: apart,
      not_false: any(
        common,
        all(leftOpen, any(rightOpen, this.#someIn(right))),
        all(rightOpen, this.#someIn(left)),
      ),
    };
  }

  /** Some term may have more members than are known, or none may. */
  #each(terms: readonly Term[], isOpenWanted: boolean): Node {
    return isOpenWanted
      ? some(terms, (t) => this.#openTerm(t))
      : each(terms, (t) => this.#closedTerm(t));
  }

  #openTerm(term: Term): Node {
    return term.kind === 'single' ? this.#status(term.fact, UNSTATED) : isOpen(term);
  }

  #closedTerm(term: Term): Node {
    return term.kind === 'single' ? this.#status(term.fact, KNOWN | NONE) : isClosed(term);
  }

  #empty(terms: readonly Term[]): Node {
    return each(terms, (term) => {
      if (term.kind === 'codes') return term.codes.size === 0 ? YES : NO;
      if (term.kind === 'single') return this.#status(term.fact, NONE | UNSTATED);
      return { kind: 'only', set: term.fact, codes: new Set(term.without) };
    });
  }

  /** Some member of the union meets `demand`; without one, there is a member. */
  #someIn(terms: readonly Term[], demand: (element: string) => Node = () => YES): Node {
    return some(terms, (term) => {
      if (term.kind === 'codes') {
        if (term.codes.size === 0) return NO;
        return { kind: 'some', of: '', demand: (e) => all(this.#inside(e, [term]), demand(e)) };
      }
      if (term.kind === 'single') {
        if (kindOf(this.#variable(term.fact)) === 'string')
          return all(this.#status(term.fact, KNOWN), demand(term.fact));
        // Codes are never equal to numbers and truth values.
        return all(this.#status(term.fact, KNOWN), demand(`#${term.fact}`));
      }
      return {
        kind: 'some',
        of: term.fact,
        demand: (e) => all(this.#inside(e, [term]), demand(e)),
      };
    });
  }

  /** The value of a scalar, or an element, is in the union. */
  #inside(element: string, terms: readonly Term[]): Node {
    const isCode = this.#isCode(element);
    return some(terms, (term) => {
      if (term.kind === 'single') return this.#sameAs(element, term.fact);
      if (!isCode) return NO;
      if (term.kind === 'codes') return { kind: 'within', fact: element, values: term.codes };
      const member: Node = { kind: 'in', element, set: term.fact, positive: true };
      if (term.without.length === 0) return member;
      return all(member, { kind: 'outside', fact: element, values: new Set(term.without) });
    });
  }

  #outside(element: string, terms: readonly Term[]): Node {
    const isCode = this.#isCode(element);
    return each(terms, (term) => {
      if (term.kind === 'single')
        return any(
          this.#status(term.fact, NONE | UNSTATED),
          all(this.#status(term.fact, KNOWN), this.#otherThan(element, term.fact)),
        );
      if (!isCode) return YES;
      if (term.kind === 'codes') return { kind: 'outside', fact: element, values: term.codes };
      const stranger: Node = { kind: 'in', element, set: term.fact, positive: false };
      if (term.without.length === 0) return stranger;
      return any(stranger, { kind: 'within', fact: element, values: new Set(term.without) });
    });
  }

  #isCode(element: string): boolean {
    const variable = this.scope.variables.get(element);
    return variable ? kindOf(variable) === 'string' : !element.startsWith('#');
  }

  #sameAs(element: string, fact: string): Node {
    if (this.scope.variables.has(element)) return this.#equal(element, fact);
    const isCode = kindOf(this.#variable(fact)) === 'string' && !element.startsWith('#');
    return isCode
      ? { kind: 'codes', left: element, right: fact, relation: 'eq', shares: true }
      : NO;
  }

  #otherThan(element: string, fact: string): Node {
    if (this.scope.variables.has(element)) return this.#unequal(element, fact);
    const isCode = kindOf(this.#variable(fact)) === 'string' && !element.startsWith('#');
    const relation = (a: string, b: string): boolean => a !== b;
    return isCode ? { kind: 'codes', left: element, right: fact, relation, shares: false } : YES;
  }

  /** A demand on all members; what relates to constants becomes a demand on one set. */
  #universal(kind: 'subset' | 'disjoint', left: readonly Term[], right: readonly Term[]): Node {
    const codes = codesIn(right);
    if (codes && left.every(({ kind: of }) => of === 'set')) {
      return each(left, (term) => {
        if (term.kind !== 'set') return NO;
        if (kind === 'subset')
          return { kind: 'only', set: term.fact, codes: new Set([...codes, ...term.without]) };
        const forbidden = [...codes].filter((code) => !term.without.includes(code));
        return { kind: 'lacks', set: term.fact, codes: new Set(forbidden) };
      });
    }
    const parts = codesIn(left);
    if (parts && kind === 'disjoint') return this.#universal(kind, right, left);
    const [only] = right;
    if (parts && right.length === 1 && only?.kind === 'set' && only.without.length === 0) {
      return { kind: 'has', set: only.fact, codes: parts };
    }
    return { kind, left, right };
  }
}

const codesTerm = (codes: ReadonlySet<string>): readonly Term[] => [{ kind: 'codes', codes }];

interface Right {
  readonly other: string | undefined;
  readonly constant: Constant | undefined;
}

const isOpen = (term: Term): Node =>
  term.kind === 'set' ? { kind: 'status', fact: term.fact, mask: UNSTATED } : NO;
const isClosed = (term: Term): Node =>
  term.kind === 'set' ? { kind: 'status', fact: term.fact, mask: KNOWN | NONE } : YES;

function each(terms: readonly Term[], of: (term: Term) => Node): Node {
  const nodes = terms.map(of).filter((node) => node !== YES);
  return nodes.length === 1 && nodes[0] ? nodes[0] : nodes.length === 0 ? YES : all(...nodes);
}

function some(terms: readonly Term[], of: (term: Term) => Node): Node {
  const nodes = terms.map(of).filter((node) => node !== NO);
  return nodes.length === 1 && nodes[0] ? nodes[0] : nodes.length === 0 ? NO : any(...nodes);
}

function codesIn(terms: readonly Term[]): ReadonlySet<string> | undefined {
  const [only] = terms;
  return terms.length === 1 && only?.kind === 'codes' ? only.codes : undefined;
}

function codesOf(constant: Constant | undefined): readonly string[] {
  return (Array.isArray(constant) ? constant : [constant]).map(String);
}

function kindOf({ type }: Variable): 'boolean' | 'number' | 'string' {
  if (type === 'boolean') return 'boolean';
  return type === 'number' || type === 'date' || type === 'datetime' ? 'number' : 'string';
}

function numberOf(constant: Constant | undefined, type: Variable['type']): number {
  if (typeof constant === 'string')
    return (type === 'date' ? parseDate(constant) : parseInstant(constant)) ?? Number.NaN;
  return Number(constant);
}

function compareNumbers(operator: 'lt' | 'lteq' | 'gt' | 'gteq', a: number, b: number): boolean {
  switch (operator) {
    case 'lt':
      return a < b;
    case 'lteq':
      return a <= b;
    case 'gt':
      return a > b;
    case 'gteq':
      return a >= b;
  }
}

/** As the evaluator's `xone`: two that are true make it false, whatever is unknown. */
function exactlyOne(parts: readonly Condition[], wanted: Wanted): Node {
  const every = (want: Wanted): Node => all(...parts.map((part) => goal(part, want)));
  const one = (want: Wanted, others: 'all' | 'any', rest: Wanted): Node[] =>
    parts.map((part, i) => ({
      kind: 'later',
      make: () => {
        const of = parts.flatMap((other, j) => (j === i ? [] : [goal(other, rest)]));
        return all(goal(part, want), { kind: others, of });
      },
    }));
  switch (wanted) {
    case 'true':
      return any(...one('true', 'all', 'false'));
    case 'not_false':
      return any(...one('not_false', 'all', 'not_true'));
    case 'false':
      return any(every('false'), ...one('true', 'any', 'true'));
    case 'not_true':
      return any(every('not_true'), ...one('true', 'any', 'not_false'));
  }
}
