import type { Condition } from './condition.ts';
import type { Facts, Frame } from './facts.ts';
import { FALSE, TRUE } from './logic.ts';
import type { CompiledRule, Program } from './program.ts';

/** The rules that conditions refer to, directly or through others, in the program's order. */
export function referredRules(
  { rules }: Program,
  conditions: readonly Condition[],
): readonly CompiledRule[] {
  const found = new Set<string>();
  const byId = new Map<string, CompiledRule>();
  const queue = [...conditions];
  for (let next = queue.pop(); next; next = queue.pop()) {
    if (next.kind === 'not') queue.push(next.of);
    else if ('of' in next) for (const part of next.of) queue.push(part);
    else if ('rule' in next && !found.has(next.rule)) {
      found.add(next.rule);
      if (byId.size === 0) for (const rule of rules) byId.set(rule.rule.id, rule);
      const target = byId.get(next.rule)?.rule;
      if (target) queue.push(target.applies, ...(target.holds ? [target.holds] : []));
    }
  }
  return found.size === 0 ? [] : rules.filter(({ rule }) => found.has(rule.id));
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
