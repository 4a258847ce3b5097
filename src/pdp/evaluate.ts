import type { Tally } from './emit.ts';
import type { Frame } from './facts.ts';
import type { Program } from './program.ts';

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
  program.derive(frame);
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
