import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { buildExtension } from '../../src/pdp/build.ts';
import { compileCondition } from '../../src/pdp/compile.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { loadFacts, scopeOf } from '../../src/pdp/program.ts';
import { conditionSource as sourceOf } from '../../src/pdp/source.ts';
import { CASES, leaf, small, tree } from './conditions.ts';
import { policyDocument, ruleOf } from './support.ts';

const scope = scopeOf(small);
const frames = CASES.slice(0, 300);

test.each([
  ['by itself', leaf],
  ['joined with others', tree],
])('a condition %s is emitted as what it says, in a rule that repeats it', (_, conditions) => {
  fc.assert(
    fc.property(conditions, fc.nat(frames.length - 1), (condition, from) => {
      const source = sourceOf(condition);
      const rule = ruleOf('EMITTED', {
        applies: source,
        holds: { not: source },
        otherwise: [{ when: { or: [source, false] }, effect: 'review' }, { effect: 'deny' }],
      });
      const text = JSON.stringify(policyDocument([rule], { policy: 'emitted' }));
      const made = buildExtension(small, { file: 'x', text });
      fc.pre(made.ok);
      const { part } = made.value;
      const [compiled] = part.rules;
      const says = compileCondition(condition, scope, []);
      for (const facts of frames.slice(from, from + 20)) {
        // What the rules referred to say stands in the frame of the program that has them.
        const frame = loadFacts(part, facts);
        evaluate(small, frame);
        const truth = says(frame);
        const { review, deny } = evaluate(part, frame);
        expect(frame[compiled?.appliesSlot ?? -1], JSON.stringify([source, facts])).toBe(truth);
        expect([review.length, deny.length]).toEqual(
          truth === 0 ? [0, 0] : truth === 1 ? [1, 0] : [1, 0],
        );
      }
    }),
    { numRuns: 1500 },
  );
});
