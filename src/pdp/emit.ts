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
  readonly path: readonly (string | number)[];
  readonly appliesSlot: number;
  readonly holdsSlot: number;
}

// As many as an integer has bits. V8 optimises no function beyond some 60 kB of bytecode either;
// 32 rules are a tenth of that.
const RULES_PER_FUNCTION = 32;

/**
 * Rules as straight-line JavaScript: logic is inlined, and so are most leaves; others are calls
 * of the closures that `compileCondition` makes. Measured on the Rwanda pack: closures alone,
 * whose calls through some 150 different targets a decision the engine cannot inline, are a fifth
 * as fast.
 */
export function emitRules(rules: readonly EmittedRule[], scope: Scope): readonly RuleRunner[] {
  const runners: RuleRunner[] = [];
  for (let from = 0; from < rules.length; from += RULES_PER_FUNCTION) {
    runners.push(emitChunk(rules.slice(from, from + RULES_PER_FUNCTION), scope));
  }
  return runners;
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
    const truth = emitter.condition(condition, []);
    return `h = ${truth}; f[${slot}] = h === 2 ? true : h === 0 ? false : undefined;`;
  });
  return emitter.make('f', `let h; ${body.join('\n')}`) as (frame: Frame) => void;
}

type Path = readonly (string | number)[];

/** A rule adds its bit to the sets it belongs to: the lists of ids are made once, at the end. */
function emitChunk(rules: readonly EmittedRule[], scope: Scope): RuleRunner {
  const emitter = new Emitter(
    scope,
    rules.flatMap(({ rule }) => conditionsOf(rule)),
  );
  const ids = emitter.constant(rules.map(({ rule }) => rule.id));
  const add = emitter.constant(addIds);
  const body = rules.map((each, i) => emitRule(each, i, emitter)).join('\n');
  const sets = ['deny', 'review', 'oblige'].map(
    (set) => `if (${set} !== 0) o.${set} = ${add}(o.${set}, ${ids}, ${set});`,
  );
  return emitter.make(
    'f, o',
    `let h, deny = 0, review = 0, oblige = 0;
     ${body}
     ${sets.join('\n')}`,
  ) as RuleRunner;
}

function conditionsOf({ applies, holds, outcomes }: Rule): Condition[] {
  return [
    applies,
    ...(holds ? [holds] : []),
    ...outcomes.flatMap(({ when }) => (when ? [when] : [])),
  ];
}

function addIds(list: string[] | undefined, ids: readonly string[], bits: number): string[] {
  const found = list ?? [];
  for (let rest = bits; rest !== 0; rest &= rest - 1) {
    found.push(ids[31 - Math.clz32(rest & -rest)] as string);
  }
  return found;
}

function emitRule(
  { rule, path, appliesSlot, holdsSlot }: EmittedRule,
  index: number,
  emitter: Emitter,
): string {
  const [applies, holds] = [`a${index}`, `h${index}`];
  const bit = String(1 << index);
  const context: OutcomeContext = { applies, bit, path, emitter };
  const applying = emitter.condition(rule.applies, [...path, 'applies']);
  const holding = rule.holds && emitter.condition(rule.holds, [...path, 'holds']);
  const outcomes = emitOutcomes(rule, 0, context);
  emitter.keep(rule.id, { applies, holds });
  const inside = holding
    ? `h = ${holding};
       if (h === 2) { ${holds} = 2; ${emitEffect(rule.then, context)} } else if (h === 1) { ${emitEffect('review', context)} } else { ${outcomes} }`
    : outcomes;
  return `const ${applies} = ${applying}; f[${appliesSlot}] = ${applies};
    ${holding ? `let ${holds} = 0;` : ''}
    if (${applies} !== 0) { ${inside} }
    ${holding ? `f[${holdsSlot}] = ${holds};` : ''}`;
}

interface OutcomeContext {
  readonly applies: string;
  readonly bit: string;
  readonly path: Path;
  readonly emitter: Emitter;
}

function emitOutcomes(rule: Rule, index: number, context: OutcomeContext): string {
  const outcome = rule.outcomes[index];
  if (!outcome) return '';
  const { path, emitter } = context;
  if (!outcome.when) return emitEffect(outcome.effect, context);
  const chosen = emitter.condition(outcome.when, [...path, 'otherwise', index, 'when']);
  return `h = ${chosen}; if (h === 2) { ${emitEffect(outcome.effect, context)} } else if (h === 1) { ${emitEffect('review', context)} } else { ${emitOutcomes(rule, index + 1, context)} }`;
}

// A permission of which it is unknown whether it applies permits nothing: a person looks at it.
function emitEffect(effect: Effect | undefined, { applies, bit }: OutcomeContext): string {
  switch (effect) {
    case undefined:
      return '';
    case 'permit':
      return `if (${applies} === 2) o.permitted = true; else review |= ${bit};`;
    case 'deny':
    case 'review':
    case 'oblige':
      return `${effect} |= ${bit};`;
  }
}
