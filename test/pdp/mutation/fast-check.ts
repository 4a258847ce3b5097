import * as fc from '../../../node_modules/fast-check/lib/fast-check.js';

export * from '../../../node_modules/fast-check/lib/fast-check.js';

// Each of some two thousand mutants runs the tests again: a mutant that lives through this many
// random cases is one to look at.
const MOST_RUNS = 60;

/** As fast-check's own, with fewer cases. */
export function assert<Ts>(property: fc.IProperty<Ts>, parameters: fc.Parameters<Ts> = {}): void {
  fc.assert(property, {
    ...parameters,
    numRuns: Math.min(parameters.numRuns ?? MOST_RUNS, MOST_RUNS),
  });
}
