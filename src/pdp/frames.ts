import { type Condition, conditionRules } from './condition.ts';
import type { Facts, Frame } from './facts.ts';
import { FALSE, TRUE } from './logic.ts';
import type { CompiledRule, Program } from './program.ts';

/** The rules that conditions refer to, directly or through others, in the program's order. */
export function referredRules(
  { rules }: Program,
  conditions: readonly Condition[],
): readonly CompiledRule[] {
  const found = new Set(conditions.flatMap(conditionRules));
  if (found.size === 0) return [];
  // Each rule comes after those that it refers to.
  for (const { rule } of rules.toReversed()) {
    if (!found.has(rule.id)) continue;
    for (const condition of [rule.applies, rule.holds])
      if (condition) for (const id of conditionRules(condition)) found.add(id);
  }
  return rules.filter(({ rule }) => found.has(rule.id));
}

/** Explicit facts in the evaluator's form, with derived facts and what `referred` rules say. */
export function frameOf(program: Program, facts: Facts, referred: readonly CompiledRule[]): Frame {
  // Without slots for all rules: there may be ten thousand, and few are referred to.
  const frame = program.vocabulary.load(facts);
  for (const { slot, compute } of program.derivations) frame[slot] = compute(frame);
  for (const { applies, holds, appliesSlot, holdsSlot } of referred) {
    const does = applies(frame);
    frame[appliesSlot] = does;
    frame[holdsSlot] = does !== FALSE && holds?.(frame) === TRUE ? TRUE : FALSE;
  }
  return frame;
}
