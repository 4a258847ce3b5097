import { formatDate, parseDate } from './calendar.ts';
import { compileCondition, type Scope, type Test, type Variable } from './compile.ts';
import { type Condition, type Operator, parseCondition } from './condition.ts';
import type { Effect } from './document.ts';
import type { Frame, RemedySpec } from './facts.ts';
import { covered, type Delta, type Lever, leversOf, type Move, type Dates } from './levers.ts';
import { type CodeSet, FALSE, not, type Truth, TRUE, UNKNOWN } from './logic.ts';
import { type CompiledRule, type Program, scopeOf } from './program.ts';

/** Moves that together may make a condition what it should be; none: it is so already. */
export type Way = readonly Move[];

/** More than these would not be read, and their products would not end. */
const MAX_WAYS = 24;
const MAX_MOVES = 8;
const MAX_ALTERNATIVES = 8;
/** Conditions looked at and ways put together in one search: some milliseconds. */
const MAX_EFFORT = 20_000;

/** What a condition should be; unknown is nobody's wish. */
type Want = typeof TRUE | typeof FALSE;

/** A condition, as far as moves can reach: through derived facts and other rules. */
type Plan =
  | { readonly kind: 'constant'; readonly value: Truth }
  | { readonly kind: 'and' | 'or' | 'xone'; readonly parts: readonly Plan[] }
  | { readonly kind: 'not'; readonly part: Plan }
  | { readonly kind: 'applies' | 'holds'; readonly rule: string }
  | Leaf;

interface Leaf {
  readonly kind: 'leaf';
  readonly test: Test;
  readonly operator: Operator | 'exists' | 'nonempty';
  readonly left: Operand;
  readonly right: Operand | undefined;
}

interface Operand {
  /** Undefined for a constant. */
  readonly variable: Variable | undefined;
  /** The members or the value of a constant, dates as days. */
  readonly constant: readonly (string | number | boolean)[];
  readonly lever: Lever | undefined;
  /** Of a derived set: the sets that it unites. */
  readonly sources: readonly Operand[];
}

interface RulePlan {
  readonly compiled: CompiledRule;
  readonly applies: Plan;
  readonly holds: Plan | undefined;
  readonly whens: readonly (Plan | undefined)[];
}

function isInTheWay(effect: Effect | undefined): boolean {
  return effect === 'deny' || effect === 'review';
}

/** Finds moves for the conditions of one program. */
export class Ways {
  readonly #program: Program;
  readonly #scope: Scope;
  readonly #levers: ReadonlyMap<string, Lever>;
  readonly #rules: ReadonlyMap<string, CompiledRule>;
  readonly #plans = new Map<string, RulePlan>();
  readonly #operands = new Map<string, Operand>();
  readonly #whens = new Map<RemedySpec, Plan>();
  readonly dates: Dates;
  #effort = 0;

  constructor(program: Program) {
    this.#program = program;
    this.#scope = scopeOf(program);
    this.#levers = leversOf(program.vocabulary);
    this.#rules = new Map(program.rules.map((each) => [each.rule.id, each]));
    this.dates = {
      today: this.#scope.variables.get('today')?.slot ?? -1,
      slotOf: (fact) => this.#scope.variables.get(fact)?.slot,
    };
  }

  /** A new search begins; after very much effort it finds no more ways. */
  begin(): void {
    this.#effort = 0;
  }

  /**
   * The ways to make a rule that denies, or asks for review, say something better: to make it not
   * apply, or hold, or take another outcome. The frame is one that `evaluate` has filled.
   */
  around(ruleId: string, frame: Frame): Way[] {
    const plan = this.#rulePlan(ruleId);
    const { then, outcomes } = plan.compiled;
    const ways = this.#ways(plan.applies, FALSE, frame);
    if (plan.holds && !isInTheWay(then)) ways.push(...this.#ways(plan.holds, TRUE, frame));
    if (plan.holds && (isInTheWay(then) || outcomes.some(({ effect }) => !isInTheWay(effect))))
      ways.push(...this.#ways(plan.holds, FALSE, frame));
    // A permission of which it is unknown whether it applies asks for review.
    if ([then, ...outcomes.map(({ effect }) => effect)].includes('permit'))
      ways.push(...this.#ways(plan.applies, TRUE, frame));
    if (!plan.holds || this.#truth(plan.holds, frame) === FALSE) {
      ways.push(...this.#outcomeWays(plan, frame));
    }
    return shortest(ways.filter((way) => way.length > 0));
  }

  /** The ways to be permitted at all, where no rule denies. */
  towardsPermission(frame: Frame): Way[] {
    const ways: Way[] = [];
    for (const { rule, then, outcomes } of this.#program.rules) {
      const plan = (): RulePlan => this.#rulePlan(rule.id);
      if (then === 'permit' && rule.holds) {
        const { applies, holds } = plan();
        ways.push(...this.#all([applies, ...(holds ? [holds] : [])], TRUE, frame));
      } else if (outcomes.some(({ effect }) => effect === 'permit')) {
        const { applies, holds } = plan();
        const otherwise = holds ? [{ kind: 'not' as const, part: holds }] : [];
        ways.push(...this.#all([applies, ...otherwise], TRUE, frame));
      }
    }
    return shortest(ways);
  }

  /** The outcome that is taken made untrue, or a better one before it true. */
  #outcomeWays({ compiled, whens }: RulePlan, frame: Frame): Way[] {
    const ways: Way[] = [];
    for (const [i, { effect }] of compiled.outcomes.entries()) {
      const when = whens[i];
      const truth = when ? this.#truth(when, frame) : TRUE;
      if (truth === FALSE) {
        if (when && effect !== 'deny') ways.push(...this.#ways(when, TRUE, frame));
        continue;
      }
      if (when) ways.push(...this.#ways(when, FALSE, frame));
      if (when && truth === UNKNOWN && !isInTheWay(effect))
        ways.push(...this.#ways(when, TRUE, frame));
      break;
    }
    return ways;
  }

  #rulePlan(id: string): RulePlan {
    const known = this.#plans.get(id);
    if (known) return known;
    const compiled = this.#rules.get(id);
    if (!compiled) throw new Error(`there is no rule ${id}`);
    const { rule } = compiled;
    const plan: RulePlan = {
      compiled,
      applies: this.#plan(rule.applies),
      holds: rule.holds && this.#plan(rule.holds),
      whens: rule.outcomes.map(({ when }) => when && this.#plan(when)),
    };
    this.#plans.set(id, plan);
    return plan;
  }

  #plan(condition: Condition): Plan {
    switch (condition.kind) {
      case 'constant':
        return { kind: 'constant', value: condition.value ? TRUE : FALSE };
      case 'and':
      case 'or':
      case 'xone':
        return { kind: condition.kind, parts: condition.of.map((part) => this.#plan(part)) };
      case 'not':
        return { kind: 'not', part: this.#plan(condition.of) };
      case 'applies':
      case 'holds':
        return { kind: condition.kind, rule: condition.rule };
      default:
        return this.#derivedPlan(condition) ?? this.#leaf(condition);
    }
  }

  /** The condition behind a derived fact that must be true, or false. */
  #derivedPlan(condition: Extract<Condition, { fact: string }>): Plan | undefined {
    if (condition.kind !== 'compare' || !('constant' in condition.right)) return undefined;
    const { constant } = condition.right;
    const source = this.#program.pack.derived[condition.fact]?.condition;
    const isEquality = condition.operator === 'eq' || condition.operator === 'neq';
    if (source === undefined || !isEquality || typeof constant !== 'boolean') return undefined;
    const part = this.#plan(parseCondition(source, []));
    return constant === (condition.operator === 'eq') ? part : { kind: 'not', part };
  }

  #leaf(condition: Extract<Condition, { fact: string }>): Leaf {
    const left = this.#operand(condition.fact);
    return {
      kind: 'leaf',
      test: compileCondition(condition, this.#scope, []),
      operator: condition.kind === 'compare' ? condition.operator : condition.kind,
      left,
      right: condition.kind === 'compare' ? this.#right(condition, left) : undefined,
    };
  }

  #right({ operator, right }: Extract<Condition, { kind: 'compare' }>, left: Operand): Operand {
    if ('fact' in right) return this.#operand(right.fact);
    const { constant } = right;
    const group =
      operator === 'isPartOf' && typeof constant === 'string'
        ? this.#scope.groups.get(constant)
        : undefined;
    const list = group ?? (Array.isArray(constant) ? constant : [constant]);
    const isDate = left.variable?.type === 'date';
    return {
      variable: undefined,
      constant: (list as readonly (string | number | boolean)[]).map((each) =>
        isDate ? (parseDate(each as string) ?? each) : each,
      ),
      lever: undefined,
      sources: [],
    };
  }

  #operand(fact: string): Operand {
    const known = this.#operands.get(fact);
    if (known) return known;
    const union = this.#program.pack.derived[fact]?.union ?? [];
    const operand: Operand = {
      variable: this.#scope.variables.get(fact),
      constant: [],
      lever: this.#levers.get(fact),
      sources: union.map((source) => this.#operand(source)),
    };
    this.#operands.set(fact, operand);
    return operand;
  }

  // Not from the slots of rules: those of two extensions overlap.
  #truth(plan: Plan, frame: Frame): Truth {
    switch (plan.kind) {
      case 'constant':
        return plan.value;
      case 'leaf':
        return plan.test(frame);
      case 'not':
        return not(this.#truth(plan.part, frame));
      case 'and':
        return Math.min(...plan.parts.map((part) => this.#truth(part, frame))) as Truth;
      case 'or':
        return Math.max(...plan.parts.map((part) => this.#truth(part, frame))) as Truth;
      case 'xone': {
        const truths = plan.parts.map((part) => this.#truth(part, frame));
        const trues = truths.filter((truth) => truth === TRUE).length;
        if (trues > 1) return FALSE;
        return truths.includes(UNKNOWN) ? UNKNOWN : trues === 1 ? TRUE : FALSE;
      }
      case 'applies':
        return this.#truth(this.#rulePlan(plan.rule).applies, frame);
      case 'holds': {
        const { applies, holds } = this.#rulePlan(plan.rule);
        const held = this.#truth(applies, frame) !== FALSE && holds && this.#truth(holds, frame);
        return held === TRUE ? TRUE : FALSE;
      }
    }
  }

  #ways(plan: Plan, want: Want, frame: Frame): Way[] {
    if (++this.#effort > MAX_EFFORT) return [];
    if (this.#truth(plan, frame) === want) return [[]];
    switch (plan.kind) {
      case 'constant':
        return [];
      case 'leaf':
        return this.#leafWays(plan, want, frame);
      case 'not':
        return this.#ways(plan.part, want === TRUE ? FALSE : TRUE, frame);
      case 'and':
        return want === TRUE
          ? this.#all(plan.parts, want, frame)
          : this.#any(plan.parts, want, frame);
      case 'or':
        return want === TRUE
          ? this.#any(plan.parts, want, frame)
          : this.#all(plan.parts, want, frame);
      case 'xone':
        return this.#xone(plan.parts, want, frame);
      case 'applies':
        return this.#ways(this.#rulePlan(plan.rule).applies, want, frame);
      case 'holds': {
        const { applies, holds } = this.#rulePlan(plan.rule);
        const parts = holds ? [applies, holds] : [applies];
        return want === TRUE ? this.#all(parts, want, frame) : this.#any(parts, want, frame);
      }
    }
  }

  #any(parts: readonly Plan[], want: Want, frame: Frame): Way[] {
    return shortest(parts.flatMap((part) => this.#ways(part, want, frame)));
  }

  #all(parts: readonly Plan[], want: Want, frame: Frame): Way[] {
    return this.#product(parts.map((part) => this.#ways(part, want, frame)));
  }

  /** One part true and the others false; or, to break it, none true, or a second one. */
  #xone(parts: readonly Plan[], want: Want, frame: Frame): Way[] {
    if (want === FALSE) {
      return shortest([...this.#all(parts, FALSE, frame), ...this.#any(parts, TRUE, frame)]);
    }
    return shortest(
      parts.flatMap((one) =>
        this.#product(parts.map((part) => this.#ways(part, part === one ? TRUE : FALSE, frame))),
      ),
    );
  }

  /** One way of each, together; ways that say two things of one fact fall out. */
  #product(alternatives: readonly (readonly Way[])[]): Way[] {
    let ways: Way[] = [[]];
    for (const each of alternatives) {
      if (each.length === 1 && each[0]?.length === 0) continue;
      this.#effort += ways.length * each.length;
      ways = shortest(ways.flatMap((way) => each.flatMap((more) => together(way, more))));
      if (ways.length === 0) break;
    }
    return ways;
  }

  #leafWays(leaf: Leaf, want: Want, frame: Frame): Way[] {
    const { left, right } = leaf;
    const ways = this.#sideWays(leaf, left, want, frame);
    if (right) ways.push(...this.#sideWays(leaf, right, want, frame));
    return shortest(ways);
  }

  #sideWays(leaf: Leaf, side: Operand, want: Want, frame: Frame): Way[] {
    if (side.sources.length > 0) return this.#unionWays(leaf, side, want, frame);
    const { lever, variable } = side;
    if (!lever || !variable) return [];
    if (variable.type === 'set') return this.#setWays(leaf, side, want, frame);
    return this.#allowed(lever, frame).flatMap((remedy) =>
      this.#scalarDeltas(leaf, { lever, remedy, want, other: otherOf(leaf, side) }, frame).map(
        (delta) => [{ lever, remedy, delta }],
      ),
    );
  }

  /** The remedies of a lever that say nothing untrue about this case. */
  #allowed({ remedies }: Lever, frame: Frame): readonly RemedySpec[] {
    return remedies.filter((remedy) => {
      if (remedy.when === undefined) return true;
      const plan = this.#whens.get(remedy) ?? this.#plan(parseCondition(remedy.when, []));
      this.#whens.set(remedy, plan);
      return this.#truth(plan, frame) === TRUE;
    });
  }

  #scalarDeltas({ test }: Leaf, { lever, remedy, want, other }: ScalarWish, frame: Frame): Delta[] {
    const { spec, slot, unit } = lever;
    if (remedy.to === 'obtain') return frame[slot] === false ? [{ obtain: true }] : [];
    // A member of what there is not is stated with the whole, or not at all.
    if (unit.shape === 'plain' && !this.#hasParent(spec.path, frame)) return [];
    const turns = (value: unknown): boolean => tried(test, slot, value, frame) === want;
    switch (remedy.to) {
      case 'home': {
        const { home } = this.#program.pack;
        return turns(home) ? [{ set: home }] : [];
      }
      case 'value':
        return (remedy.values ?? []).filter(turns).map((value) => ({ set: value }));
      case 'state': {
        const values = spec.type === 'boolean' ? [false, true] : (spec.values ?? []);
        const one_of = frame[slot] === undefined ? values.filter(turns) : [];
        return one_of.length > 0 ? [{ set: one_of[0], one_of }] : [];
      }
      case 'reach':
        return this.#reach({ lever, remedy, want, other }, turns, frame);
      default:
        return [];
    }
  }

  #reach(
    { lever: { spec }, remedy, other }: ScalarWish,
    turns: (value: unknown) => boolean,
    frame: Frame,
  ): Delta[] {
    const [bound] = (other && boundsOf(other, frame)) ?? [];
    if (typeof bound !== 'number') return [];
    const steps = spec.type === 'number' ? [0] : [0, 1, -1];
    const value = steps.map((step) => bound + step).find(turns);
    if (value === undefined) return [];
    if (value < (spec.minimum ?? value) || value > (spec.maximum ?? value)) return [];
    if (spec.type !== 'date') return [{ set: value }];
    const day = covered(remedy, value, frame, this.dates);
    return [{ set: formatDate(turns(day) ? day : value) }];
  }

  #hasParent(path: string, frame: Frame): boolean {
    const parent = path.slice(0, path.lastIndexOf('.'));
    const variable = this.#scope.variables.get(parent);
    return variable?.type !== 'object' || frame[variable.slot] === true;
  }

  #setWays(leaf: Leaf, side: Operand, want: Want, frame: Frame): Way[] {
    const { lever } = side;
    if (!lever) return [];
    const mine = frame[lever.slot] as CodeSet;
    const other = otherOf(leaf, side);
    const values = other ? boundsOf(other, frame) : [];
    const need = values
      ? needOf(leaf, { side: side === leaf.left ? 'left' : 'right', want, mine, other: values })
      : NOTHING;
    return this.#allowed(lever, frame).flatMap((remedy) =>
      this.#setDeltas({ lever, remedy, need, mine, test: leaf.test, want }, frame).map((delta) => [
        { lever, remedy, delta },
      ]),
    );
  }

  #setDeltas({ lever, remedy, need, mine, test, want }: SetWish, frame: Frame): Delta[] {
    switch (remedy.to) {
      case 'add':
        return need.add
          .slice(0, MAX_ALTERNATIVES)
          .filter((codes) => codes.every((code) => remedy.values?.includes(code) ?? true))
          .map((add) => ({ add }));
      case 'remove':
        return need.remove
          .slice(0, MAX_ALTERNATIVES)
          .filter((codes) => mayRemove(lever, mine, codes))
          .map((remove) => ({ remove }));
      case 'home': {
        const only: CodeSet = { items: [this.#program.pack.home], open: false };
        return tried(test, lever.slot, only, frame) === want ? [this.#home(lever)] : [];
      }
      default:
        return [];
    }
  }

  #home({ unit }: Lever): Delta {
    const { home } = this.#program.pack;
    return unit.shape === 'list' ? { keep: [home] } : { set: [home] };
  }

  /** Of a derived set members can only be taken away, from each set that has them. */
  #unionWays(leaf: Leaf, side: Operand, want: Want, frame: Frame): Way[] {
    const other = otherOf(leaf, side);
    const values = other ? boundsOf(other, frame) : [];
    const mine = frame[side.variable?.slot ?? -1] as CodeSet | undefined;
    if (!values || !mine) return [];
    const wish = {
      side: side === leaf.left ? 'left' : 'right',
      want,
      mine,
      other: values,
    } as const;
    return shortest(
      needOf(leaf, wish)
        .remove.slice(0, MAX_ALTERNATIVES)
        .flatMap((codes) => this.#withoutCodes(side, codes, frame)),
    );
  }

  #withoutCodes(
    { sources, lever, variable }: Operand,
    codes: readonly string[],
    frame: Frame,
  ): Way[] {
    if (sources.length > 0) {
      return this.#product(sources.map((source) => this.#withoutCodes(source, codes, frame)));
    }
    const mine = frame[variable?.slot ?? -1] as CodeSet;
    const bad = mine.items.filter((code) => codes.includes(code));
    if (bad.length === 0 && !mine.open) return [[]];
    const { home } = this.#program.pack;
    if (!lever) return [];
    return this.#allowed(lever, frame).flatMap((remedy): Way[] => {
      if (remedy.to === 'remove' && mayRemove(lever, mine, bad))
        return [[{ lever, remedy, delta: { remove: bad } }]];
      if (remedy.to === 'home' && !codes.includes(home))
        return [[{ lever, remedy, delta: this.#home(lever) }]];
      return [];
    });
  }
}

interface ScalarWish {
  readonly lever: Lever;
  readonly remedy: RemedySpec;
  readonly want: Want;
  readonly other: Operand | undefined;
}

interface SetWish {
  readonly lever: Lever;
  readonly remedy: RemedySpec;
  readonly need: Need;
  readonly mine: CodeSet;
  readonly test: Test;
  readonly want: Want;
}

/** Alternatives, each of members that must be there, or must not, together. */
interface Need {
  readonly add: readonly (readonly string[])[];
  readonly remove: readonly (readonly string[])[];
}

const NOTHING: Need = { add: [], remove: [] };

/** What one set of a comparison needs for the comparison to be what it should. */
function needOf(
  { operator }: Leaf,
  wish: {
    readonly side: 'left' | 'right';
    readonly want: Want;
    readonly mine: CodeSet;
    readonly other: readonly unknown[];
  },
): Need {
  const { side, want, mine } = wish;
  const other = wish.other.filter((each) => typeof each === 'string');
  const absent = other.filter((code) => !mine.items.includes(code));
  const shared = mine.items.filter((code) => other.includes(code));
  const extra = mine.items.filter((code) => !other.includes(code));
  const whole = { add: absent.length > 0 ? [absent] : [], remove: shared.map((code) => [code]) };
  const inside = { add: [], remove: [extra] };
  const touching = { add: other.map((code) => [code]), remove: [shared] };
  const wants = (truth: Want, { add, remove }: Need): Need =>
    want === truth ? { add, remove: [] } : { add: [], remove };
  switch (operator) {
    case 'hasPart':
    case 'isAllOf':
      if (side === 'left') return wants(TRUE, whole);
      return want === TRUE ? inside : NOTHING;
    case 'isPartOf':
      if (side === 'right') return wants(TRUE, whole);
      return want === TRUE ? inside : NOTHING;
    case 'isAnyOf':
      return wants(TRUE, touching);
    case 'isNoneOf':
      return wants(FALSE, touching);
    case 'nonempty':
      return want === FALSE ? { add: [], remove: [mine.items] } : NOTHING;
    default:
      return NOTHING;
  }
}

/** A list may become empty; a set of places may not, for then nothing would be said. */
function mayRemove({ unit }: Lever, mine: CodeSet, codes: readonly string[]): boolean {
  if (mine.open || codes.length === 0) return false;
  return unit.shape === 'list' || codes.length < mine.items.length;
}

function otherOf({ left, right }: Leaf, side: Operand): Operand | undefined {
  return side === left ? right : left;
}

/** The values of an operand in a frame; undefined where they are not known. */
function boundsOf({ variable, constant }: Operand, frame: Frame): readonly unknown[] | undefined {
  if (!variable) return constant;
  const value = frame[variable.slot];
  if (value === undefined || value === null) return undefined;
  return variable.type === 'set' ? (value as CodeSet).items : [value];
}

function tried(test: Test, slot: number, value: unknown, frame: Frame): Truth {
  const saved = frame[slot];
  frame[slot] = value;
  const truth = test(frame);
  frame[slot] = saved;
  return truth;
}

function together(way: Way, more: Way): Way[] {
  const all = [...way];
  for (const move of more) {
    const same = all.findIndex((each) => each.lever === move.lever && 'set' in each.delta);
    const before = all[same];
    if (!before || !('set' in move.delta) || !('set' in before.delta)) {
      if (!all.some((each) => sameMove(each, move))) all.push(move);
      continue;
    }
    const both = bothOf(before.delta, move.delta);
    if (!both) return [];
    all[same] = { ...move, delta: both };
  }
  return all.length > MAX_MOVES ? [] : [all];
}

function sameMove(a: Move, b: Move): boolean {
  return a.remedy === b.remedy && JSON.stringify(a.delta) === JSON.stringify(b.delta);
}

type Setting = Extract<Delta, { set: unknown }>;

function bothOf(a: Setting, b: Setting): Setting | undefined {
  const { one_of: others } = b;
  if (a.one_of && others) {
    const one_of = a.one_of.filter((value) => others.includes(value));
    return one_of.length > 0 ? { set: one_of[0], one_of } : undefined;
  }
  return JSON.stringify(a.set) === JSON.stringify(b.set) ? a : undefined;
}

function shortest(ways: readonly Way[]): Way[] {
  return ways.toSorted((a, b) => a.length - b.length).slice(0, MAX_WAYS);
}
