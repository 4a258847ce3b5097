import type { PackDocument } from './document.ts';
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
 * Decides one case. Deny outranks review, unless the pack lets review come first; both outrank
 * permit, and without a permission the answer is deny. A rule of which it is unknown whether it applies is evaluated as applying; an
 * unknown condition asks for review. The frame's derived and rule slots are overwritten.
 */
export function evaluate(program: Program, frame: Frame): Verdict {
  program.derive(frame);
  const tally: Tally = { permitted: false, deny: undefined, review: undefined, oblige: undefined };
  for (const run of program.runners) run(frame, tally);
  const { permitted, deny, review, oblige } = tally;
  return {
    effect: combined(program.pack, deny !== undefined, review !== undefined, permitted),
    deny: deny ?? NONE,
    review: review ?? NONE,
    oblige: oblige ?? NONE,
  };
}

/** What rules answer together, of which some deny, ask for review, permit. */
export function combined(
  pack: PackDocument,
  deny: boolean,
  review: boolean,
  permitted: boolean,
): Verdict['effect'] {
  if (deny) return review && pack.combining === 'review_first' ? 'review' : 'deny';
  if (review) return 'review';
  return permitted ? 'permit' : 'deny';
}
