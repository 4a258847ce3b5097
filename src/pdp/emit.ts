import type { Scope } from './compile.ts';
import type { Condition } from './condition.ts';
import type { Effect, Rule } from './document.ts';
import { Emitter } from './emit-condition.ts';
import type { Frame } from './facts.ts';

/** The three sets of a decision under way, and whether anything permits. */
export interface Tally {
  permitted: boolean;
  deny: string[] | undefined;
  review: string[] | undefined;
  oblige: string[] | undefined;
}

/** Adds what some rules say about a frame; stores whether they apply and hold in their slots. */
export type RuleRunner = (frame: Frame, tally: Tally) => void;

export interface EmittedRule {
  readonly rule: Rule;
  readonly appliesSlot: number;
  readonly holdsSlot: number;
}

/** What each rule of a program did with a frame; a rule's index is its place in the program. */
export interface Trace {
  /** The slots that the rules have read, in the order of short circuits. */
  readonly reads: Int32Array;
  /** Where in `reads` those of each rule end. */
  readonly ends: Int32Array;
  /** Whether each applies and holds; of what does not apply, nothing else counts. */
  readonly applies: Int32Array;
  readonly holds: Int32Array;
  /** What each asks for, as an index of `TRACED_EFFECTS`. */
  readonly effects: Int32Array;
  /** The condition that each could not settle: 0 none, 1 `holds`, 2 and more an outcome's. */
  readonly open: Int32Array;
}

export const TRACED_EFFECTS = ['deny', 'review', 'permit', 'oblige', 'satisfied'] as const;

/** As a runner, but writes what its rules do, of which the first is that at `index`. */
export interface RuleTracer {
  readonly run: (frame: Frame, trace: Trace, index: number) => void;
  /** The most slots that it notes as read. */
  readonly reads: number;
  readonly rules: number;
  /** Slots of the rules that they refer to. */
  readonly referred: ReadonlySet<number>;
}

// As many as an integer has bits. V8 optimises no function beyond some 60 kB of bytecode either;
// 32 rules are a tenth of that.
const RULES_PER_FUNCTION = 32;

const sources = new WeakMap<RuleRunner, () => RuleTracer>();
const tracers = new WeakMap<RuleRunner, RuleTracer>();

/**
 * Rules as straight-line JavaScript: logic is inlined, and so are most leaves; others are calls
 * of the closures that `compileCondition` makes. Closures alone decide several times more slowly:
 * their calls have some 150 different targets a decision, which the engine cannot inline.
 */
export function emitRules(rules: readonly EmittedRule[], scope: Scope): readonly RuleRunner[] {
  const runners: RuleRunner[] = [];
  for (let from = 0; from < rules.length; from += RULES_PER_FUNCTION) {
    const chunk = rules.slice(from, from + RULES_PER_FUNCTION);
    const runner = emitRunner(chunk, scope);
    sources.set(runner, () => emitTracer(chunk, scope));
    runners.push(runner);
  }
  return runners;
}

/** The rules of a runner, traced: emitted when first asked for, for every program that has them. */
export function tracerOf(runner: RuleRunner): RuleTracer {
  const tracer = tracers.get(runner) ?? sources.get(runner)?.();
  if (!tracer) throw new TypeError('no runner of emitRules');
  tracers.set(runner, tracer);
  return tracer;
}

/** A derived fact; `condition` where it is the truth of one. */
interface EmittedDerivation {
  readonly slot: number;
  readonly compute: (frame: Frame) => unknown;
  readonly condition?: Condition;
}

/** Computes derived facts in their order, each into its slot. */
export function emitDerivations(
  derivations: readonly EmittedDerivation[],
  scope: Scope,
): (frame: Frame) => void {
  // One derived fact may read another: nothing is computed ahead.
  const emitter = new Emitter(scope, []);
  const body = derivations.map(({ slot, compute, condition }) => {
    if (!condition) return `f[${slot}] = ${emitter.constant(compute)}(f);`;
    const truth = emitter.condition(condition);
    return `h = ${truth}; f[${slot}] = h === 2 ? true : h === 0 ? false : undefined;`;
  });
  return emitter.make('f', `let h; ${body.join('\n')}`) as (frame: Frame) => void;
}

/** A rule adds its bit to the sets it belongs to: the lists of ids are made once, at the end. */
function emitRunner(rules: readonly EmittedRule[], scope: Scope): RuleRunner {
  const emitter = new Emitter(scope, rules.flatMap(conditionsOf));
  const ids = emitter.constant(rules.map(({ rule }) => rule.id));
  const add = emitter.constant(addIds);
  const body = rules.map((each, i) => emitRule(each, i, { emitter, say: bitOf(i) }));
  const sets = ['deny', 'review', 'oblige'].map(
    (set) => `if (${set} !== 0) o.${set} = ${add}(o.${set}, ${ids}, ${set});`,
  );
  const text = `let h, deny = 0, review = 0, oblige = 0; ${[...body, ...sets].join('\n')}`;
  return emitter.make('f, o', text) as RuleRunner;
}

function addIds(list: string[] | undefined, ids: readonly string[], bits: number): string[] {
  const found = list ?? [];
  for (let rest = bits; rest !== 0; rest &= rest - 1) {
    found.push(ids[31 - Math.clz32(rest & -rest)] as string);
  }
  return found;
}

function emitTracer(rules: readonly EmittedRule[], scope: Scope): RuleTracer {
  const emitter = new Emitter(scope, rules.flatMap(conditionsOf), true);
  const body = rules.map(
    (each, i) => `
      x = ${TRACED_EFFECTS.indexOf('satisfied')}; u = 0;
      ${emitRule(each, i, { emitter, say: TRACED })}
      N[i] = n; A[i] = a${i}; H[i] = ${each.rule.holds ? `h${i}` : 0}; X[i] = x; U[i] = u; i++;`,
  );
  const text = `let h, x, u, n = i > 0 ? N[i - 1] : 0; ${body.join('\n')}`;
  const parameters = 'f, { reads: R, ends: N, applies: A, holds: H, effects: X, open: U }, i';
  const run = emitter.make(parameters, text) as RuleTracer['run'];
  return { run, reads: emitter.reads, rules: rules.length, referred: emitter.referred };
}

/** How a rule says what it asks for: as a bit of a set, or in a trace. */
interface Saying {
  readonly effect: (effect: Effect, applies: string) => string;
  /** A condition is unknown: a person looks at it. */
  readonly open: (condition: number) => string;
}

function bitOf(index: number): Saying {
  const add = (effect: string): string => `${effect} |= ${1 << index};`;
  return {
    // A permission of which it is unknown whether it applies permits nothing.
    effect: (effect, applies) =>
      effect === 'permit'
        ? `if (${applies} === 2) o.permitted = true; else ${add('review')}`
        : add(effect),
    open: () => add('review'),
  };
}

const TRACED: Saying = {
  effect: (effect, applies) =>
    effect === 'permit'
      ? `x = ${applies} === 2 ? ${TRACED_EFFECTS.indexOf('permit')} : ${TRACED_EFFECTS.indexOf('review')};`
      : `x = ${TRACED_EFFECTS.indexOf(effect)};`,
  open: (condition) => `x = ${TRACED_EFFECTS.indexOf('review')}; u = ${condition};`,
};

function conditionsOf({ rule: { applies, holds, outcomes } }: EmittedRule): Condition[] {
  const whens = outcomes.flatMap(({ when }) => (when ? [when] : []));
  return [applies, ...(holds ? [holds] : []), ...whens];
}

interface RuleContext {
  readonly emitter: Emitter;
  readonly say: Saying;
}

function emitRule(
  { rule, appliesSlot, holdsSlot }: EmittedRule,
  index: number,
  context: RuleContext,
): string {
  const { emitter, say } = context;
  const [applies, holds] = [`a${index}`, `h${index}`];
  const effectOf = (effect: Effect | undefined): string =>
    effect ? say.effect(effect, applies) : '';
  const applying = emitter.condition(rule.applies);
  const holding = rule.holds && emitter.condition(rule.holds);
  const outcome = (at: number): string => {
    const { when, effect } = rule.outcomes[at] ?? {};
    if (!when) return effectOf(effect);
    const chosen = emitter.condition(when);
    return `h = ${chosen};
      if (h === 2) { ${effectOf(effect)} } else if (h === 1) { ${say.open(at + 2)} } else { ${outcome(at + 1)} }`;
  };
  const inside = holding
    ? `h = ${holding};
       if (h === 2) { ${holds} = 2; ${effectOf(rule.then)} } else if (h === 1) { ${say.open(1)} } else { ${outcome(0)} }`
    : outcome(0);
  emitter.keep(rule.id, { applies, holds });
  return `const ${applies} = ${applying}; f[${appliesSlot}] = ${applies};
    ${holding ? `let ${holds} = 0;` : ''}
    if (${applies} !== 0) { ${inside} }
    ${holding ? `f[${holdsSlot}] = ${holds};` : ''}`;
}
