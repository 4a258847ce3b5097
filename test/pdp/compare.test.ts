/** How two constraints, or two policies, relate: against all cases that were tried. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  compareConditions,
  comparePolicies,
  type Comparison,
  type Relation,
} from '../../src/pdp/compare.ts';
import { compileCondition } from '../../src/pdp/compile.ts';
import { type Condition, parseCondition } from '../../src/pdp/condition.ts';
import { type PolicyDocument, parsePolicy } from '../../src/pdp/document.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { FALSE, TRUE, type Truth } from '../../src/pdp/logic.ts';
import { loadFacts, type Program, scopeOf } from '../../src/pdp/program.ts';
import { frames, small, tree } from './conditions.ts';
import { ruleLists, smallFacts } from './policies.ts';
import { built, policyDocument, program, ruleOf, smallPack } from './support.ts';
import { inParts, vectorsOf, written } from './vectors.ts';

const RUNS = Number(process.env['RUNS'] ?? 300);

function truthOf(condition: Condition, facts: Facts): Truth {
  const frame = loadFacts(small, facts);
  evaluate(small, frame);
  return compileCondition(condition, scopeOf(small), [])(frame);
}

describe('constraints', () => {
  test('every answer is true of every case, and every "no" comes with a request that shows it', () => {
    const counts = { yes: 0, no: 0, unknown: 0 };
    fc.assert(
      fc.property(tree, tree, (a, b) => {
        const relation = compareConditions(small, a, b);
        const [testA, testB] = [a, b].map((each) => compileCondition(each, scopeOf(small), []));
        const both = frames.map((frame) => [testA?.(frame), testB?.(frame)] as const);
        const shown: Readonly<Record<string, readonly [Comparison, Truth, Truth]>> = {
          'a does not imply b': [relation.a_implies_b, TRUE, FALSE],
          'b does not imply a': [relation.b_implies_a, FALSE, TRUE],
          'not in conflict': [relation.conflict, TRUE, TRUE],
        };
        for (const [name, [{ answer, witness }, inA, inB]] of Object.entries(shown)) {
          counts[answer]++;
          if (answer === 'yes')
            expect(
              both.find(([x, y]) => x === inA && y === inB),
              name,
            ).toBe(undefined);
          if (answer !== 'no') continue;
          if (!witness) throw new Error(`${name}, and nothing shows it`);
          expect([truthOf(a, witness), truthOf(b, witness)], name).toEqual([inA, inB]);
        }
        expect(relation.equal.answer === 'yes').toBe(
          relation.a_implies_b.answer === 'yes' && relation.b_implies_a.answer === 'yes',
        );
      }),
      { numRuns: RUNS },
    );
    expect(Math.min(counts.yes, counts.no)).toBeGreaterThan(RUNS / 20);
    expect(counts.unknown).toBeLessThan(RUNS / 20);
  });

  const relationOf = (a: unknown, b: unknown): Relation =>
    compareConditions(small, parseCondition(a, []), parseCondition(b, []));
  const answersOf = ({ a_implies_b, b_implies_a, equal, together, conflict }: Relation): string =>
    [a_implies_b, b_implies_a, equal, together, conflict].map(({ answer }) => answer).join(' ');

  test.each([
    [{ fact: 'request.count', lt: 2 }, { fact: 'request.count', lteq: 2 }, 'yes no no yes no'],
    [{ fact: 'request.count', lt: 1 }, { fact: 'request.count', gteq: 1 }, 'no no no no yes'],
    [
      { fact: 'request.purpose', isA: 'hiv_care' },
      { fact: 'request.purpose', isA: 'care' },
      'yes no no yes no',
    ],
    [
      { fact: 'request.place', isPartOf: 'EAC' },
      { fact: 'request.place', isAnyOf: ['KE', 'RW', 'UG'] },
      'yes yes yes yes no',
    ],
    [
      { not: { or: ['request.yes', 'request.no'] } },
      { and: [{ not: 'request.yes' }, { not: 'request.no' }] },
      'yes yes yes yes no',
    ],
  ])('%j and %j', (a, b, answers) => {
    expect(answersOf(relationOf(a, b))).toBe(answers);
  });

  test('a fact that there is not is a mistake in the one that has it', () => {
    const message = expect.stringContaining('no fact "request.nothing"') as string;
    const nothing = { fact: 'request.nothing', eq: 1 };
    for (const [a, b, path] of [
      ['request.yes', nothing, ['b', 'fact']],
      [nothing, 'request.yes', ['a', 'fact']],
    ])
      expect(() => relationOf(a, b)).toThrow(expect.objectContaining({ message, path }));
  });

  test('what the search does not settle is unknown, and so is all that rests on it', () => {
    const names = Array.from({ length: 12 }, (_, i) => `request.n${i}`);
    const fact = { source: 'request', title: { en: 'N' }, basis: 'test' };
    const number = { ...fact, type: 'integer', minimum: 1, maximum: 11 };
    const pigeons = built(
      smallPack({
        derived: {},
        facts: {
          'request.as_of': { ...fact, type: 'datetime' },
          'request.yes': { ...fact, type: 'boolean' },
          ...Object.fromEntries(names.map((name) => [name, number])),
        },
      }),
      policyDocument([ruleOf('R-ONE', { outcome: 'permit' })]),
    );
    const pairs = names.flatMap((a, i) =>
      names.slice(i + 1).map((b) => ({ fact: a, neq: { fact: b } })),
    );
    const [apart, yes] = [{ and: pairs }, 'request.yes'].map((each) => parseCondition(each, []));
    if (!apart || !yes) throw new Error('two conditions');
    expect(answersOf(compareConditions(pigeons, apart, yes))).toBe('unknown no no unknown unknown');
  });
});

describe('policies', () => {
  const parsed = (document: object): PolicyDocument => {
    const read = parsePolicy('policy', JSON.stringify(document));
    if (read.ok) return read.source.content;
    throw new Error(JSON.stringify(read.problems));
  };
  interface Effect {
    readonly effect: string;
    readonly denied: boolean;
  }
  const base = built(smallPack());
  const relationOf = (a: object[], b: object[], of: Program = base): Relation => {
    const compared = comparePolicies(of, parsed(policyDocument(a)), parsed(policyDocument(b)));
    if (compared.ok) return compared.relation;
    throw new Error(JSON.stringify(compared));
  };

  /** What a policy by itself answers, of facts that settle all its rules. */
  function effectsOf(rules: readonly object[]): (facts: Facts) => Effect {
    const alone = built(smallPack(), policyDocument(rules));
    const grants = JSON.stringify(rules).includes('"permit"');
    return (facts) => {
      const { effect, deny, review } = evaluate(alone, loadFacts(alone, facts));
      const passes = !grants && deny.length === 0 && review.length === 0;
      return { effect: passes ? 'permit' : effect, denied: deny.length > 0 };
    };
  }

  test('witnesses are decided as said, and no case is against an answer', () => {
    const cases = fc.sample(smallFacts, { numRuns: 200, seed: 3 });
    // Where something is unknown a person is asked, and nothing is said about that.
    const whole = cases.filter((facts) => !JSON.stringify(facts).includes('null'));
    const counts = { yes: 0, no: 0, unknown: 0 };
    fc.assert(
      fc.property(ruleLists, ruleLists, (a, b) => {
        const relation = relationOf(a, b);
        const [ofA, ofB] = [effectsOf(a), effectsOf(b)];
        const check = (
          { answer, witness }: Comparison,
          against: (x: Effect, y: Effect) => boolean,
        ): void => {
          counts[answer]++;
          if (answer === 'unknown') return;
          if (witness) expect(against(ofA(witness), ofB(witness))).toBe(true);
        };
        check(relation.a_implies_b, (x, y) => x.effect === 'permit' && y.effect !== 'permit');
        check(relation.b_implies_a, (x, y) => y.effect === 'permit' && x.effect !== 'permit');
        check(relation.equal, (x, y) => x.effect !== y.effect);
        check(relation.together, (x, y) => x.effect === 'permit' && y.effect === 'permit');
        check(
          relation.conflict,
          (x, y) => (x.effect === 'permit' && y.denied) || (y.effect === 'permit' && x.denied),
        );
        for (const facts of whole.slice(0, 20)) {
          const [x, y] = [ofA(facts), ofB(facts)];
          if (relation.together.answer === 'no')
            expect(x.effect === 'permit' && y.effect === 'permit').toBe(false);
          if (relation.a_implies_b.answer === 'yes' && x.effect === 'permit')
            expect(y.effect).not.toBe('deny');
        }
      }),
      { numRuns: Math.ceil(RUNS / 6) },
    );
    expect(counts.yes).toBeGreaterThan(0);
    expect(counts.no).toBeGreaterThan(0);
    if (process.env['RUNS']) console.log(counts);
    expect(counts.unknown).toBeLessThan((counts.yes + counts.no) / 10);
  });

  const pairs = vectorsOf(
    'compare',
    () => fc.sample(fc.record({ a: ruleLists, b: ruleLists }), { numRuns: 40, seed: 12 }),
    ({ a, b }) => relationOf([...a], [...b]),
  );
  test.each(inParts(pairs, 5))('relate as before, from %i on', (_, part) => {
    for (const { asked, answer } of part)
      expect(written(relationOf([...asked.a], [...asked.b])), JSON.stringify(asked)).toEqual(
        answer,
      );
  });

  test('an outcome after one without a condition is never come to', () => {
    const either = [{ effect: 'permit' }, { effect: 'review' }];
    const always = [ruleOf('R-1', { outcome: either })];
    const some = [ruleOf('R-1', { applies: 'request.yes', outcome: 'permit' })];
    expect(relationOf(always, some)).toMatchObject({
      a_implies_b: { answer: 'no', witness: { request: { yes: false } } },
      b_implies_a: { answer: 'yes' },
    });
  });

  test('a rule that is narrower, the same in other words, and the opposite', () => {
    const permit = (applies: unknown) => [ruleOf('R-1', { applies, outcome: 'permit' })];
    const few = permit({ fact: 'request.count', lt: 2 });
    const more = permit({ fact: 'request.count', lteq: 2 });
    expect(relationOf(few, more)).toMatchObject({
      a_implies_b: { answer: 'yes' },
      b_implies_a: { answer: 'no', witness: { request: { count: 2 } } },
      together: { answer: 'yes' },
      conflict: { answer: 'no' },
    });
    const inOtherWords = [
      ruleOf('R-1', {
        holds: { not: { fact: 'request.count', gteq: 2 } },
        then: 'permit',
        otherwise: 'deny',
      }),
    ];
    expect(relationOf(few, inOtherWords)).toMatchObject({ equal: { answer: 'yes' } });
    const opposite = [
      ruleOf('R-1', { applies: { fact: 'request.count', lt: 1 }, outcome: 'deny' }),
    ];
    expect(relationOf(few, opposite).conflict).toMatchObject({
      answer: 'yes',
      witness: { request: { count: 0 } },
    });
  });

  test('each policy of the pack is equal to itself, its rules referring to those of others', () => {
    for (const document of new Set(program.rules.map((each) => each.document))) {
      const compared = comparePolicies(program, document, document);
      expect(compared).toMatchObject({
        ok: true,
        relation: { equal: { answer: 'yes' }, conflict: { answer: 'no' } },
      });
    }
  });

  test('a policy says nothing of datasets that are not its target', () => {
    const [ofMiddle, ofAll] = [{ target: { fact: 'dataset.allowed', eq: 'middle' } }, {}].map(
      (target) => parsed(policyDocument([ruleOf('R-1', { outcome: 'permit' })], target)),
    );
    if (!ofMiddle || !ofAll) throw new Error('two policies');
    expect(comparePolicies(base, ofMiddle, ofAll)).toMatchObject({
      relation: { a_implies_b: { answer: 'yes' }, b_implies_a: { answer: 'no' } },
    });
  });

  test('a rule of the program is what it is for both', () => {
    const of = built(
      smallPack(),
      policyDocument([
        ruleOf('BASE', { applies: 'request.yes', holds: 'request.no', otherwise: 'deny' }),
      ]),
    );
    const permit = (applies: unknown) => [ruleOf('R-1', { applies, outcome: 'permit' })];
    const both = permit({ holds: 'BASE' });
    expect(relationOf(both, permit({ and: ['request.yes', 'request.no'] }), of)).toMatchObject({
      equal: { answer: 'yes' },
      together: { answer: 'yes', witness: { request: { yes: true, no: true } } },
    });
    expect(relationOf(both, permit({ applies: 'BASE' }), of)).toMatchObject({
      a_implies_b: { answer: 'yes' },
      b_implies_a: { answer: 'no', witness: { request: { yes: true } } },
    });
  });

  test('exactly one of twice the same is none', () => {
    const permit = (applies: unknown) => [ruleOf('R-1', { applies, outcome: 'permit' })];
    const twice = permit({ xone: ['request.yes', 'request.yes'] });
    expect(relationOf(twice, permit('request.yes'))).toMatchObject({
      a_implies_b: { answer: 'yes' },
      b_implies_a: { answer: 'no' },
      together: { answer: 'no' },
    });
    expect(
      relationOf(permit({ or: ['request.yes', 'request.yes'] }), permit('request.yes')),
    ).toMatchObject({
      equal: { answer: 'yes' },
    });
  });

  test('a mistake is said of the policy and the rule that has it', () => {
    const good = parsed(policyDocument([ruleOf('R-1', { outcome: 'deny' })]));
    const bad = parsed(
      policyDocument([
        ruleOf('R-1', { outcome: 'deny' }),
        ruleOf('R-2', { applies: 'request.nothing', outcome: 'deny' }),
      ]),
    );
    expect(comparePolicies(base, good, bad)).toMatchObject({
      ok: false,
      of: 'b',
      problems: [{ rule: 'R-2', message: expect.stringContaining('request.nothing') }],
    });
    const other = parsed(
      policyDocument([ruleOf('R-1', { outcome: 'deny' })], { instrument: 'none' }),
    );
    const compared = comparePolicies(base, other, good);
    expect(compared).toMatchObject({
      ok: false,
      of: 'a',
      problems: [{ message: 'there is no instrument "none" in the pack' }],
    });
    expect(compared.ok ? [] : compared.problems.map((problem) => 'rule' in problem)).toEqual([
      false,
    ]);
  });
});
