import type { Effect } from './document.ts';
import type { Tally } from './emit.ts';
import type { Frame } from './facts.ts';
import { FALSE, TRUE, type Truth } from './logic.ts';
import type { CompiledRule, Program } from './program.ts';

/** What the policies answer: a decision's effect and the three complete sets behind it. */
export interface Verdict {
  readonly effect: 'permit' | 'deny' | 'review';
  readonly deny: readonly string[];
  readonly review: readonly string[];
  readonly oblige: readonly string[];
}

const NONE: readonly string[] = [];

/**
 * Decides one case. Deny outranks review, review outranks permit, and without a permission the
 * answer is deny. A rule of which it is unknown whether it applies is evaluated as applying; an
 * unknown condition asks for review. The frame's derived and rule slots are overwritten.
 */
export function evaluate(program: Program, frame: Frame): Verdict {
  for (const { slot, compute } of program.derivations) frame[slot] = compute(frame);
  const tally: Tally = { permitted: false, deny: undefined, review: undefined, oblige: undefined };
  for (const run of program.runners) run(frame, tally);
  const { permitted, deny, review, oblige } = tally;
  return {
    effect: deny || !(permitted || review) ? 'deny' : review ? 'review' : 'permit',
    deny: deny ?? NONE,
    review: review ?? NONE,
    oblige: oblige ?? NONE,
  };
}

/** The effect of one rule that applies, or may apply, by its closures; for readings that watch it. */
export function effectOf(rule: CompiledRule, frame: Frame): Effect | undefined {
  if (rule.holds) {
    const holds: Truth = rule.holds(frame);
    if (holds === TRUE) return rule.then;
    if (holds !== FALSE) return 'review';
  }
  for (const { when, effect } of rule.outcomes) {
    if (!when) return effect;
    const chosen = when(frame);
    if (chosen === TRUE) return effect;
    if (chosen !== FALSE) return 'review';
  }
  return undefined;
}
