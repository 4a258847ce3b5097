import { compileCondition, type Scope, type Test } from './compile.ts';
import type { Condition } from './condition.ts';
import type { Effect, Rule } from './document.ts';
import type { Frame } from './facts.ts';
import { isNonEmpty } from './logic.ts';

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

// V8 optimises no function beyond some 60 kB of bytecode; 32 rules are a tenth of that.
const RULES_PER_FUNCTION = 32;

/**
 * Rules as straight-line JavaScript: logic is inlined, so are the leaves that make up nearly all
 * of a pack (equality with a constant, "exists", "nonempty", references to rules); other leaves
 * are calls of the closures that `compileCondition` makes. Measured on the Rwanda pack: three
 * times as many decisions a second as closures alone, whose calls through some 150 different
 * targets a decision the engine cannot inline.
 *
 * The text holds slot numbers, names of our own and nothing of a document: every constant and
 * every id is passed by reference.
 */
export function emitRules(rules: readonly EmittedRule[], scope: Scope): readonly RuleRunner[] {
  const runners: RuleRunner[] = [];
  for (let from = 0; from < rules.length; from += RULES_PER_FUNCTION) {
    runners.push(emitChunk(rules.slice(from, from + RULES_PER_FUNCTION), scope));
  }
  return runners;
}

interface Emitter {
  readonly scope: Scope;
  readonly constants: unknown[];
  temporaries: number;
}

type Path = readonly (string | number)[];

function emitChunk(rules: readonly EmittedRule[], scope: Scope): RuleRunner {
  const emitter: Emitter = { scope, constants: [], temporaries: 0 };
  const body = rules.map((rule) => emitRule(rule, emitter)).join('\n');
  const constants = emitter.constants.map((_, i) => `k${i} = K[${i}]`);
  const temporaries = Array.from({ length: emitter.temporaries }, (_, i) => `t${i}`);
  const source = `
    ${constants.length > 0 ? `const ${constants.join(', ')};` : ''}
    return function run(f, o) {
      let v, a, h${temporaries.length > 0 ? `, ${temporaries.join(', ')}` : ''};
      ${body}
    };`;
  // oxlint-disable-next-line no-new-func, typescript/no-implied-eval -- the text is ours alone, see emitRules
  const make = new Function('K', 'isNonEmpty', source) as (
    constants: unknown[],
    helper: typeof isNonEmpty,
  ) => RuleRunner;
  return make(emitter.constants, isNonEmpty);
}

function emitRule({ rule, path, appliesSlot, holdsSlot }: EmittedRule, emitter: Emitter): string {
  const id = constant(rule.id, emitter);
  const outcomes = emitOutcomes(rule, 0, { id, path, emitter });
  const inside = rule.holds
    ? `h = ${emit(rule.holds, [...path, 'holds'], emitter)}; f[${holdsSlot}] = h === 2 ? 2 : 0;
       if (h === 2) { ${emitEffect(rule.then, id)} } else if (h === 1) { ${emitEffect('review', id)} } else { ${outcomes} }`
    : outcomes;
  return `a = ${emit(rule.applies, [...path, 'applies'], emitter)}; f[${appliesSlot}] = a;
    if (a !== 0) { ${inside} } else { f[${holdsSlot}] = 0; }`;
}

interface OutcomeContext {
  readonly id: string;
  readonly path: Path;
  readonly emitter: Emitter;
}

function emitOutcomes(rule: Rule, index: number, context: OutcomeContext): string {
  const outcome = rule.outcomes[index];
  if (!outcome) return '';
  const { id, path, emitter } = context;
  if (!outcome.when) return emitEffect(outcome.effect, id);
  const chosen = emit(outcome.when, [...path, 'otherwise', index, 'when'], emitter);
  return `h = ${chosen}; if (h === 2) { ${emitEffect(outcome.effect, id)} } else if (h === 1) { ${emitEffect('review', id)} } else { ${emitOutcomes(rule, index + 1, context)} }`;
}

// A permission of which it is unknown whether it applies permits nothing: a person looks at it.
function emitEffect(effect: Effect | undefined, id: string): string {
  switch (effect) {
    case undefined:
      return '';
    case 'permit':
      return `if (a === 2) o.permitted = true; else (o.review ??= []).push(${id});`;
    case 'deny':
    case 'review':
    case 'oblige':
      return `(o.${effect} ??= []).push(${id});`;
  }
}

/** An expression that is 0, 1 or 2. */
function emit(condition: Condition, path: Path, emitter: Emitter): string {
  switch (condition.kind) {
    case 'constant':
      return condition.value ? '2' : '0';
    case 'not':
      return `(2 - ${emit(condition.of, [...path, 'not'], emitter)})`;
    case 'and':
      return emitChain(condition.of, [...path, 'and'], emitter, { stop: 0, whole: 2 });
    case 'or':
      return emitChain(condition.of, [...path, 'or'], emitter, { stop: 2, whole: 0 });
    case 'xone':
      return emitCall(condition, path, emitter);
    default:
      return emitLeaf(condition, path, emitter);
  }
}

/** Stops at the first part that settles the answer; else whole if all parts are, else unknown. */
function emitChain(
  parts: readonly Condition[],
  path: Path,
  emitter: Emitter,
  { stop, whole }: { readonly stop: 0 | 2; readonly whole: 0 | 2 },
): string {
  const steps = parts.map((part, i) => {
    const name = `t${emitter.temporaries++}`;
    return {
      name,
      text: `(${name} = ${emit(part, [...path, i], emitter)}) === ${stop} ? ${stop} : `,
    };
  });
  const all = steps.map(({ name }) => `${name} === ${whole}`).join(' && ');
  return `(${steps.map(({ text }) => text).join('')}${all} ? ${whole} : 1)`;
}

function emitLeaf(condition: Condition, path: Path, emitter: Emitter): string {
  // Compiled in any case: that is where names and types are checked.
  const call = emitCall(condition, path, emitter);
  if (condition.kind === 'applies' || condition.kind === 'holds') {
    return `f[${emitter.scope.rules.get(condition.rule)?.[condition.kind]}]`;
  }
  if (!('fact' in condition)) return call;
  const variable = emitter.scope.variables.get(condition.fact);
  if (!variable) return call;
  const read = `(v = f[${variable.slot}])`;
  if (condition.kind === 'nonempty') return `isNonEmpty(f[${variable.slot}])`;
  if (condition.kind === 'exists') {
    if (variable.type === 'set') return call;
    const none = variable.type === 'object' ? 'v === null || v === false' : 'v === null';
    return `(${read} === undefined ? 1 : ${none} ? 0 : 2)`;
  }
  const isScalar = variable.type === 'boolean' || variable.type === 'string';
  if (!isScalar || condition.kind !== 'compare' || !('constant' in condition.right)) return call;
  if (condition.operator !== 'eq' && condition.operator !== 'neq') return call;
  const wanted =
    typeof condition.right.constant === 'boolean'
      ? String(condition.right.constant)
      : constant(condition.right.constant, emitter);
  const [same, other] = condition.operator === 'eq' ? [2, 0] : [0, 2];
  return `(${read} === undefined ? 1 : v === ${wanted} ? ${same} : ${other})`;
}

function emitCall(condition: Condition, path: Path, emitter: Emitter): string {
  const test: Test = compileCondition(condition, emitter.scope, path);
  return `${constant(test, emitter)}(f)`;
}

function constant(value: unknown, emitter: Emitter): string {
  const known = emitter.constants.indexOf(value);
  return `k${known >= 0 ? known : emitter.constants.push(value) - 1}`;
}
