import { describe, expect, test } from 'vitest';
import { parseCondition } from '../../src/pdp/condition.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { frameOf, referredRules } from '../../src/pdp/frames.ts';
import { loadFacts } from '../../src/pdp/program.ts';
import { CASES, RULES, vocabulary } from './conditions.ts';
import { built, policyDocument, ruleOf } from './support.ts';

const program = built(
  vocabulary,
  policyDocument([
    ...RULES,
    ruleOf('R-PLAIN', { applies: 'request.no', outcome: 'deny' }),
    ruleOf('R-INSIDE', {
      applies: { or: ['request.yes', { fact: 'request.count', gt: 1 }] },
      holds: { xone: [{ not: { holds: 'R-TWO' } }, { applies: 'R-PLAIN' }] },
      otherwise: [{ when: { applies: 'R-OTHER' }, effect: 'review' }, { effect: 'deny' }],
    }),
    ruleOf('R-OTHER', { applies: 'sure', outcome: 'permit' }),
  ]),
  policyDocument([ruleOf('R-BOUND', { holds: 'request.yes', otherwise: 'deny' })], {
    policy: 'bound-policy',
    target: { fact: 'dataset.allowed', eq: 'middle' },
  }),
);

const idsOf = (...sources: readonly unknown[]): string[] =>
  referredRules(
    program,
    sources.map((source) => parseCondition(source, [])),
  ).map(({ rule }) => rule.id);

describe('The rules that conditions refer to', () => {
  test.each<[readonly unknown[], string[]]>([
    [[], []],
    [['request.yes', { exists: 'request.no' }, true], []],
    [[{ applies: 'R-PLAIN' }], ['R-PLAIN']],
    [[{ not: { or: ['request.yes', { xone: [{ holds: 'R-ONE' }] }] } }], ['R-ONE']],
    [[{ applies: 'R-TWO' }], ['R-ONE', 'R-TWO']],
    [
      [{ applies: 'R-OTHER' }, { applies: 'R-ONE' }],
      ['R-ONE', 'R-OTHER'],
    ],
    [[{ applies: 'R-INSIDE' }], ['R-ONE', 'R-TWO', 'R-PLAIN', 'R-INSIDE']],
  ])('of %j are %j, those that they rest on among them', (sources, ids) => {
    const order = program.rules.map(({ rule }) => rule.id);
    expect(idsOf(...sources)).toEqual(order.filter((id) => ids.includes(id)));
    expect(idsOf(...sources)).toHaveLength(ids.length);
  });
});

test('a frame says of the rules referred to what a decision says', () => {
  const conditions = [{ holds: 'R-INSIDE' }, { applies: 'R-BOUND' }];
  const referred = referredRules(
    program,
    conditions.map((condition) => parseCondition(condition, [])),
  );
  for (const facts of CASES.slice(0, 400)) {
    const frame = frameOf(program, facts, referred);
    const decided = loadFacts(program, facts);
    evaluate(program, decided);
    for (const { name, slot } of program.derivations)
      expect(frame[slot], name).toEqual(decided[slot]);
    for (const { rule, appliesSlot, holdsSlot } of referred) {
      expect(frame[appliesSlot], rule.id).toBe(decided[appliesSlot]);
      if (rule.holds) expect(frame[holdsSlot], rule.id).toBe(decided[holdsSlot]);
    }
  }
});
