import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileCondition } from '../../src/pdp/compile.ts';
import type { Condition } from '../../src/pdp/condition.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { FALSE, TRUE, type Truth } from '../../src/pdp/logic.ts';
import { loadFacts, type Program, scopeOf } from '../../src/pdp/program.ts';
import { type Goal, satisfy } from '../../src/pdp/satisfy.ts';
import { CASES, frames, small, tree } from './conditions.ts';
import { built, cases, cpuSeconds, policyDocument, program, ruleOf, smallPack } from './support.ts';

const scope = scopeOf(small);

const goals: fc.Arbitrary<readonly Goal[]> = fc.array(
  fc.record({ condition: tree, wanted: fc.constantFrom<Goal['wanted'][]>(TRUE, FALSE) }),
  { minLength: 1, maxLength: 3 },
);

function truthOf(program: Program, facts: Facts, condition: Condition): Truth {
  const frame = loadFacts(program, facts);
  evaluate(program, frame);
  return compileCondition(condition, scopeOf(program), [])(frame);
}

describe('whether conditions can be met together', () => {
  test('what is said to be impossible is so in every case; what is possible comes with facts', () => {
    const runs = Number(process.env['RUNS'] ?? 1000);
    let [possible, impossible, undecided] = [0, 0, 0];
    fc.assert(
      fc.property(goals, (wanted) => {
        const answer = satisfy(small, wanted);
        if (answer.possible === true) {
          possible++;
          expect(small.vocabulary.check(answer.witness)).toEqual([]);
          for (const goal of wanted)
            expect(truthOf(small, answer.witness, goal.condition)).toBe(goal.wanted);
          return;
        }
        if (answer.possible === 'unknown') {
          expect(answer.reason).toBe('limit');
          undecided++;
        } else impossible++;
        const tests = wanted.map((goal) => ({
          ...goal,
          test: compileCondition(goal.condition, scope, []),
        }));
        const found = frames.findIndex((frame) =>
          tests.every(({ test: is, wanted: want }) => is(frame) === want),
        );
        if (found >= 0)
          throw new Error(`${JSON.stringify(answer)} but ${JSON.stringify(CASES[found])}`);
      }),
      { numRuns: runs },
    );
    if (process.env['RUNS']) console.log({ possible, impossible, undecided });
    expect(impossible).toBeGreaterThan(0);
    expect(undecided).toBeLessThan(runs / 200);
  });
});
