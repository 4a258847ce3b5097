import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Cedar } from '../../bench/cedar.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { explain } from '../../src/pdp/explain.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { loadFacts } from '../../src/pdp/program.ts';
import { cases, leafSpecs, program, valueOf, withFact } from './support.ts';

/**
 * Cedar is the oracle for what it can state: cases in which no missing fact leaves a rule
 * uncertain. See bench/cedar.ts for the translation and for what is outside of it.
 */
const cedar = new Cedar(program, 'rwanda');

/** Facts whose absence has a meaning, and is no missing fact. */
const optional = program.vocabulary.specs.flatMap(({ path, absent }) => (absent ? [path] : []));

const isSettled = (facts: Facts): boolean => {
  const { missing, reasons } = explain(program, facts);
  // What nobody declared of two terms is unknown too, with every fact there.
  return missing.length === 0 && !reasons.some(({ uncertain }) => uncertain);
};

const statement = fc
  .constantFrom(...leafSpecs)
  .chain((spec) => fc.tuple(fc.constant(spec.path), valueOf(spec)));

/** Facts in which all is stated, but for some whose absence is known. */
const knownFacts: fc.Arbitrary<Facts> = fc
  .tuple(
    fc.tuple(...leafSpecs.map((spec) => fc.tuple(fc.constant(spec.path), valueOf(spec)))),
    fc.array(fc.record({ country: fc.constantFrom('RW', 'JP', 'KE') }), { maxLength: 3 }),
    fc.subarray(optional, { maxLength: 6 }),
  )
  .map(([values, recipients, absent]) => {
    const all = values.reduce<Facts>((at, [path, value]) => withFact(at, path, value), {});
    const known = withFact(all, 'request.recipients', recipients);
    return absent.reduce<Facts>((at, path) => withFact(at, path, undefined), known);
  })
  .filter(isSettled);

/** A worked case with a few other facts: nearer to the borders than random ones. */
const changedCase: fc.Arbitrary<Facts> = fc
  .tuple(fc.constantFrom(...cases), fc.array(statement, { maxLength: 6 }))
  .map(([{ facts }, list]) => list.reduce((at, [path, value]) => withFact(at, path, value), facts))
  .filter(isSettled);

function expectAgreement(facts: Facts): void {
  const frame = loadFacts(program, facts);
  const { effect, deny, review, oblige } = evaluate(program, frame);
  const answer = cedar.decide(cedar.contextOf(frame));
  expect({ deny: answer.deny, review: answer.review, oblige: answer.oblige }).toEqual({
    deny: deny.toSorted(),
    review: review.toSorted(),
    oblige: oblige.toSorted(),
  });
  const permits = answer.permit.length > 0 && answer.deny.length + answer.review.length === 0;
  expect(effect === 'permit').toBe(permits);
}

describe('Cedar gives the same three sets and permits the same', () => {
  test('for every case of the case files that misses nothing', () => {
    const settled = cases.filter(({ facts }) => isSettled(facts));
    expect(settled.length).toBeGreaterThan(200);
    for (const { facts } of settled) expectAgreement(facts);
  });

  test('for these cases with a few other facts', () => {
    fc.assert(fc.property(changedCase, expectAgreement), { numRuns: 2000 });
  });

  test('for random facts', () => {
    fc.assert(fc.property(knownFacts, expectAgreement), { numRuns: 1000 });
  });
});
