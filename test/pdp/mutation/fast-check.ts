import * as fc from '../../../node_modules/fast-check/lib/fast-check.js';

export * from '../../../node_modules/fast-check/lib/fast-check.js';

// Each of some thousands of mutants runs the tests again. Tests ask for as many random cases as they
// have time for: a tenth of that.
const SHARE = 10;
const ENOUGH = 10;

function fewer(runs: number): number {
  return Math.min(runs, Math.max(ENOUGH, runs / SHARE));
}

/** As fast-check's own, with fewer cases, the same ones each time, and no search for smaller ones. */
export function assert<Ts>(property: fc.IProperty<Ts>, parameters: fc.Parameters<Ts> = {}): void {
  const outcome = fc.check<Ts>(property, {
    seed: 1,
    ...parameters,
    numRuns: fewer(parameters.numRuns ?? ENOUGH),
    endOnFailure: true,
  });
  if (outcome.failed) throw new Error('the property failed', { cause: outcome.errorInstance });
}

/** As fast-check's own, with fewer samples, the same ones each time. */
export function sample<Ts>(
  arbitrary: fc.Arbitrary<Ts>,
  { numRuns = ENOUGH, ...parameters }: fc.Parameters<Ts>,
): Ts[] {
  return fc.sample(arbitrary, {
    seed: 1,
    ...parameters,
    numRuns: fewer(numRuns),
  });
}
