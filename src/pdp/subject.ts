import type { Condition } from './condition.ts';
import type { CompiledRule } from './program.ts';
import type { Effect, PolicyDocument, Rule } from './document.ts';
import type { Facts, Frame } from './facts.ts';
import { FALSE, TRUE } from './logic.ts';

/** A rule as `analyse` looks at it: where it has which effect. */

/** Into a policy's document: keys and indices. */
export type Path = readonly (string | number)[];

/** Where a rule has one of its effects. */
export interface Region {
  readonly effect: Effect | undefined;
  readonly condition: Condition;
  readonly path: Path;
  /** Undefined: not known. */
  readonly reached: boolean | undefined;
  readonly witness: Facts | undefined;
}

export interface Subject {
  readonly compiled: CompiledRule;
  readonly rule: Rule;
  readonly document: PolicyDocument;
  readonly path: Path;
  readonly regions: readonly Region[];
}

/** Where a rule has which effect, its cases in their order. */
export function regionsOf(rule: Rule, path: Path): Omit<Region, 'reached' | 'witness'>[] {
  const regions: Omit<Region, 'reached' | 'witness'>[] = [];
  let before: readonly Condition[] = [rule.applies];
  const add = (effect: Effect | undefined, more: readonly Condition[], at: Path): void => {
    const of = [...before, ...more];
    const [only] = of;
    const condition: Condition = of.length === 1 && only ? only : { kind: 'and', of };
    regions.push({ effect, condition, path: at });
  };
  if (rule.holds) {
    add(rule.then, [rule.holds], [...path, 'holds']);
    before = [...before, { kind: 'not', of: rule.holds }];
  }
  const key = rule.holds ? 'otherwise' : 'outcome';
  rule.outcomes.forEach(({ when, effect }, i) => {
    add(effect, when ? [when] : [], [...path, key, i]);
    // After an outcome without a condition no other is ever come to.
    before = [...before, when ? { kind: 'not', of: when } : { kind: 'constant', value: false }];
  });
  return regions;
}

/** May the rule have the effect on some request? */
export function hasEffect({ regions }: Subject, wanted: Effect): boolean {
  return regions.some(({ effect, reached }) => effect === wanted && reached !== false);
}

const effects = new WeakMap<Subject, Partial<Record<Effect, Condition>>>();

/** When a rule has an effect, as one condition. */
export function effectOf(subject: Subject, wanted: Effect): Condition {
  const known = effects.get(subject) ?? {};
  effects.set(subject, known);
  return (known[wanted] ??= {
    kind: 'or',
    of: subject.regions.filter(({ effect }) => effect === wanted).map(({ condition }) => condition),
  });
}

/** The effect that a rule surely has on a frame. */
export function effectIn(
  { applies, holds, then, outcomes }: CompiledRule,
  frame: Frame,
): Effect | undefined {
  if (applies(frame) !== TRUE) return undefined;
  const held = holds ? holds(frame) : FALSE;
  if (held !== FALSE) return held === TRUE ? then : undefined;
  for (const { when, effect } of outcomes) {
    const chosen = when ? when(frame) : TRUE;
    if (chosen !== FALSE) return chosen === TRUE ? effect : undefined;
  }
  return undefined;
}

/** The conditions of a rule, in their order. */
export function conditionsOf({ applies, holds, outcomes }: Rule): Condition[] {
  return [applies, holds, ...outcomes.map(({ when }) => when)].filter((each) => each !== undefined);
}
