import { buildExtension } from './build.ts';
import { compileCondition } from './compile.ts';
import type { Condition } from './condition.ts';
import type { FileProblem, PolicyDocument, Rule } from './document.ts';
import { evaluate, type Verdict } from './evaluate.ts';
import type { Facts } from './facts.ts';
import { FALSE, TRUE } from './logic.ts';
import { type Program, scopeOf } from './program.ts';
import { type Goal, satisfy } from './satisfy.ts';
import { documentText, writtenTarget } from './source.ts';
import { regionsOf } from './subject.ts';

/** `unknown`: the search gave up. A witness is explicit facts that show the answer. */
export interface Comparison {
  readonly answer: 'yes' | 'no' | 'unknown';
  readonly witness?: Facts;
}

/**
 * How two constraints, or two policies, relate over all requests of which every fact that matters
 * is stated. Of constraints: is one true wherever the other is? Of policies: does one permit
 * whatever the other permits?
 */
export interface Relation {
  readonly a_implies_b: Comparison;
  readonly b_implies_a: Comparison;
  /** Constraints: true of the same requests. Policies: the same effect on every request. */
  readonly equal: Comparison;
  /** Some request meets both; or is permitted by both. */
  readonly together: Comparison;
  /** Constraints: no request meets both. Policies: one permits a request that a rule of the other denies. */
  readonly conflict: Comparison;
}

/**
 * How two conditions relate. Pure; every witness was evaluated.
 * @throws PolicyProblem for facts and rules that the program does not have.
 */
export function compareConditions(program: Program, a: Condition, b: Condition): Relation {
  const scope = scopeOf(program);
  compileCondition(a, scope, ['a']);
  compileCondition(b, scope, ['b']);
  const ask = (...goals: Goal[]): Comparison => found(program, goals);
  const a_implies_b = none(ask(is(a), isNot(b)));
  const b_implies_a = none(ask(is(b), isNot(a)));
  const together = ask(is(a), is(b));
  return {
    a_implies_b,
    b_implies_a,
    equal: all(a_implies_b, b_implies_a),
    together,
    conflict: opposite(together),
  };
}

export type PolicyComparison =
  | { readonly ok: true; readonly relation: Relation }
  | { readonly ok: false; readonly of: 'a' | 'b'; readonly problems: readonly FileProblem[] };

/**
 * How two policies relate, each by itself: without the rules of `base`, to which theirs may refer.
 * A policy that has a rule that permits permits nothing else; one that has none lets pass what it
 * neither denies nor sends to a person. Obligations and days in force are not compared. Pure;
 * every witness was decided by both policies.
 */
export function comparePolicies(
  base: Program,
  a: PolicyDocument,
  b: PolicyDocument,
): PolicyComparison {
  const same = new Interner();
  const left = sideOf(base, a, same);
  if (!left.ok) return { ok: false, of: 'a', problems: left.problems };
  const right = sideOf(base, b, same);
  if (!right.ok) return { ok: false, of: 'b', problems: right.problems };
  return { ok: true, relation: relationOf(base, left.side, right.side) };
}

/** A policy by itself: when it has which effect, and its own program for the proof. */
interface Side {
  readonly permit: Effects;
  /** Denied by a rule, or because nothing permits it. */
  readonly closed: Effects;
  /** Denied by a rule. */
  readonly deny: Condition;
  readonly decide: (facts: Facts) => Verdict;
  /** Has it a rule that permits? */
  readonly grants: boolean;
}

/** When a policy has an effect: `is`, no rule is left open; `may`, for the denial of it. */
interface Effects {
  readonly is: Condition;
  readonly may: Condition;
}

/** What a policy does to a request: what to look for, and whether a decision shows it. */
interface Deed {
  readonly by: Side;
  readonly goal: Goal;
  readonly shows: (seen: Seen) => boolean;
}

const doesPermit = (by: Side): Deed => ({
  by,
  goal: is(by.permit.is),
  shows: ({ effect }) => effect === 'permit',
});
const doesNotPermit = (by: Side): Deed => ({
  by,
  goal: isNot(by.permit.may),
  shows: ({ effect }) => effect !== 'permit',
});
const isClosed = (by: Side): Deed => ({
  by,
  goal: is(by.closed.is),
  shows: ({ effect }) => effect === 'deny',
});
const isNotClosed = (by: Side): Deed => ({
  by,
  goal: isNot(by.closed.may),
  shows: ({ effect }) => effect !== 'deny',
});
const doesDeny = (by: Side): Deed => ({
  by,
  goal: is(by.deny),
  shows: ({ isDenied }) => isDenied,
});

function relationOf(base: Program, a: Side, b: Side): Relation {
  const ask = (...deeds: readonly Deed[]): Comparison => {
    const answer = found(
      base,
      deeds.map(({ goal }) => goal),
    );
    const { witness } = answer;
    if (!witness || deeds.every(({ by, shows }) => shows(seenBy(by, witness)))) return answer;
    return { answer: 'unknown' };
  };
  const a_implies_b = none(ask(doesPermit(a), doesNotPermit(b)));
  const b_implies_a = none(ask(doesPermit(b), doesNotPermit(a)));
  const denials = [none(ask(isClosed(a), isNotClosed(b))), none(ask(isClosed(b), isNotClosed(a)))];
  return {
    a_implies_b,
    b_implies_a,
    equal: all(a_implies_b, b_implies_a, ...denials),
    together: ask(doesPermit(a), doesPermit(b)),
    conflict: any(ask(doesPermit(a), doesDeny(b)), ask(doesPermit(b), doesDeny(a))),
  };
}

interface Seen {
  readonly effect: Verdict['effect'];
  readonly isDenied: boolean;
}

function seenBy({ decide, grants }: Side, facts: Facts): Seen {
  const { effect, deny, review } = decide(facts);
  const isDenied = deny.length > 0;
  // A policy without a permission is silent where it does not deny: nothing is permitted by rule.
  const passes = !grants && !isDenied && review.length === 0;
  return { effect: passes ? 'permit' : effect, isDenied };
}

function sideOf(
  base: Program,
  document: PolicyDocument,
  same: Interner,
): { ok: true; side: Side } | { ok: false; problems: readonly FileProblem[] } {
  const { policy } = document;
  const text = documentText(renamed(document));
  const built = buildExtension(base, { file: policy, text });
  if (!built.ok) {
    const problems = built.problems.map((problem) => {
      const { rule } = problem;
      const index = rule === undefined ? Number.NaN : Number(rule.slice(PREFIX.length));
      const id = document.rules[index]?.id;
      return { ...problem, ...(id === undefined ? {} : { rule: id }) };
    });
    return { ok: false, problems };
  }
  const { part } = built.value;
  // In the program's order: what a rule refers to comes before it.
  const settled: Condition[] = [];
  const inlined = new Map<string, { applies: Condition; holds: Condition }>();
  const effects = {
    permit: new Array<Condition>(),
    deny: new Array<Condition>(),
    review: new Array<Condition>(),
  };
  for (const { rule } of part.rules) {
    const own = mapRule(rule, (condition) => same.of(inline(condition, inlined)));
    inlined.set(rule.id, { applies: own.applies, holds: and(own.applies, own.holds ?? NEVER) });
    const regions = regionsOf(own, []);
    settled.push(
      or([not(own.applies), ...regions.map(({ condition }) => condition), remainderOf(own)]),
    );
    for (const { effect, condition } of regions)
      if (effect === 'permit' || effect === 'deny' || effect === 'review')
        effects[effect].push(condition);
  }
  const [permits, deny, review] = [or(effects.permit), or(effects.deny), or(effects.review)];
  const grants = effects.permit.length > 0;
  const silent = and(not(deny), not(review));
  const granted = grants ? and(silent, permits) : silent;
  const denied = and(not(permits), not(review));
  // An open rule asks a person, but where another denies.
  const effectsWhere = (condition: Condition, before = NEVER): Effects => ({
    is: same.of(or([before, and(condition, ...settled)])),
    may: same.of(or([before, condition])),
  });
  const decide = (facts: Facts): Verdict => {
    const frame = part.vocabulary.load(facts, part.width);
    // What the rules say to which these refer.
    evaluate(base, frame);
    return evaluate(part, frame);
  };
  return {
    ok: true,
    side: {
      permit: effectsWhere(granted),
      closed: effectsWhere(grants ? denied : NEVER, deny),
      deny: same.of(deny),
      decide,
      grants,
    },
  };
}

/** Where a rule applies and none of its outcomes is chosen. */
function remainderOf({ applies, holds, outcomes }: Rule): Condition {
  const whens = outcomes.flatMap(({ when }) => (when ? [not(when)] : [NEVER]));
  return and(applies, ...(holds ? [not(holds)] : []), ...whens);
}

const PREFIX = 'OWN-';
const NEVER: Condition = { kind: 'constant', value: false };

/** Two versions of a policy have the same rules: here each has rules of its own, by their place. */
function renamed(document: PolicyDocument): PolicyDocument {
  const names = new Map(document.rules.map(({ id }, i) => [id, `${PREFIX}${i}`]));
  const rename = (condition: Condition): Condition =>
    mapLeaves(condition, (leaf) => {
      const rule =
        leaf.kind === 'applies' || leaf.kind === 'holds' ? names.get(leaf.rule) : undefined;
      return rule === undefined ? leaf : ({ kind: leaf.kind, rule } as Condition);
    });
  const { target: _joined, ...rest } = document;
  const target = writtenTarget(document);
  return {
    ...rest,
    ...(target && { target }),
    rules: document.rules.map((rule) => ({
      ...mapRule(rule, rename),
      id: names.get(rule.id) ?? rule.id,
    })),
  };
}

function inline(
  condition: Condition,
  rules: ReadonlyMap<string, { applies: Condition; holds: Condition }>,
): Condition {
  return mapLeaves(condition, (leaf) =>
    leaf.kind === 'applies' || leaf.kind === 'holds'
      ? (rules.get(leaf.rule)?.[leaf.kind] ?? leaf)
      : leaf,
  );
}

/**
 * One object for conditions that say the same: the solver then sees that one cannot be true in one
 * policy and false in the other, however large it is.
 */
class Interner {
  readonly #known = new Map<string, Condition>();
  readonly #numbers = new Map<Condition, number>();

  of(condition: Condition): Condition {
    if (this.#numbers.has(condition)) return condition;
    if (condition.kind === 'not') {
      const inner = this.of(condition.of);
      return inner.kind === 'not' ? inner.of : this.#keep(`not ${this.#number(inner)}`, not(inner));
    }
    if (condition.kind === 'and' || condition.kind === 'or' || condition.kind === 'xone') {
      const { kind } = condition;
      const parts = condition.of.map((part) => this.of(part));
      const of = kind === 'xone' ? parts : [...new Set(parts)];
      const [only] = of;
      if (of.length === 1 && only) return only;
      const numbers = of.map((part) => this.#number(part));
      const key = `${kind} ${numbers.toSorted((a, b) => a - b).join(' ')}`;
      return this.#keep(key, { kind, of });
    }
    return this.#keep(JSON.stringify(condition), condition);
  }

  #number(condition: Condition): number {
    return this.#numbers.get(condition) ?? -1;
  }

  #keep(key: string, condition: Condition): Condition {
    const known = this.#known.get(key);
    if (known) return known;
    this.#known.set(key, condition);
    this.#numbers.set(condition, this.#numbers.size);
    return condition;
  }
}

function mapRule(rule: Rule, of: (condition: Condition) => Condition): Rule {
  return {
    ...rule,
    applies: of(rule.applies),
    ...(rule.holds && { holds: of(rule.holds) }),
    outcomes: rule.outcomes.map(({ when, effect }) => ({
      effect,
      ...(when && { when: of(when) }),
    })),
  };
}

function mapLeaves(condition: Condition, of: (leaf: Condition) => Condition): Condition {
  if (condition.kind === 'not') return not(mapLeaves(condition.of, of));
  if (condition.kind === 'and' || condition.kind === 'or' || condition.kind === 'xone')
    return { kind: condition.kind, of: condition.of.map((part) => mapLeaves(part, of)) };
  return of(condition);
}

function not(of: Condition): Condition {
  return { kind: 'not', of };
}

function and(...of: readonly Condition[]): Condition {
  return { kind: 'and', of };
}

function or(of: readonly Condition[]): Condition {
  return { kind: 'or', of };
}

const is = (condition: Condition): Goal => ({ condition, wanted: TRUE });
const isNot = (condition: Condition): Goal => ({ condition, wanted: FALSE });

/** Is there a request that meets the goals? */
function found(program: Program, goals: readonly Goal[]): Comparison {
  const answer = satisfy(program, goals);
  if (answer.possible === true) return { answer: 'yes', witness: answer.witness };
  return { answer: answer.possible === false ? 'no' : 'unknown' };
}

/** It holds of every request when there is none against it. */
function none({ answer, witness }: Comparison): Comparison {
  if (answer === 'unknown') return { answer };
  return answer === 'no' ? { answer: 'yes' } : { answer: 'no', ...(witness && { witness }) };
}

/** The same request shows that it does not hold. */
const opposite = none;

function all(...of: readonly Comparison[]): Comparison {
  return (
    of.find(({ answer }) => answer === 'no') ??
    of.find(({ answer }) => answer === 'unknown') ?? { answer: 'yes' }
  );
}

function any(...of: readonly Comparison[]): Comparison {
  return (
    of.find(({ answer }) => answer === 'yes') ??
    of.find(({ answer }) => answer === 'unknown') ?? { answer: 'no' }
  );
}
