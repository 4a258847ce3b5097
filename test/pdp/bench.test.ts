import { describe, expect, test } from 'vitest';
import { Bench } from '../../src/pdp/bench.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import type { Subject } from '../../src/pdp/subject.ts';
import { built, policyDocument, ruleOf, smallPack } from './support.ts';

const purpose = (operator: string, value: unknown): object => ({
  fact: 'request.purpose',
  [operator]: value,
});
const count = (operator: string, value: number): object => ({
  fact: 'request.count',
  [operator]: value,
});

/** Those that apply for one value of a fact are `KEY-…`: they are looked up by it. */
const program = built(
  smallPack(),
  policyDocument([
    ruleOf('ALWAYS', { outcome: 'deny' }),
    ruleOf('KEY-CARE', {
      applies: { and: [count('gt', 1), purpose('eq', 'care')] },
      holds: 'request.no',
      otherwise: 'deny',
    }),
    ruleOf('KEY-RESEARCH', {
      applies: purpose('eq', 'research'),
      holds: count('lt', 5),
      otherwise: 'deny',
    }),
    ruleOf('KEY-YES', { applies: 'request.yes', holds: count('lt', 9), otherwise: 'deny' }),
    ruleOf('COUNT', { applies: count('eq', 3), holds: 'request.no', otherwise: 'deny' }),
    ruleOf('PURPOSE', {
      applies: purpose('neq', 'care'),
      holds: { and: [count('lt', 2), { exists: 'request.paper' }] },
      otherwise: 'deny',
    }),
    ruleOf('OTHER', {
      applies: purpose('eq', { fact: 'request.other' }),
      outcome: [{ when: { applies: 'COUNT' }, effect: 'deny' }],
    }),
    ruleOf('LISTED', { applies: { or: [purpose('eq', 'care')] }, outcome: 'review' }),
  ]),
);
const subjects = new Map(
  program.rules.map((compiled, i): [string, Subject] => {
    const { rule, document } = compiled;
    return [rule.id, { compiled, rule, document, path: ['rules', i], regions: [] }];
  }),
);
const bench = new Bench(program, [...subjects.values()]);
const subjectOf = (id: string): Subject => {
  const found = subjects.get(id);
  if (!found) throw new Error(`there is no rule ${id}`);
  return found;
};

function around(id: string, facts: Facts): string[] {
  return [...bench.around(subjectOf(id), bench.frame(facts))].map(({ rule }) => rule.id);
}

function beside(id: string): string[] {
  return [...bench.beside(subjectOf(id))].map(({ rule }) => rule.id);
}

describe('Rules that are held against a rule', () => {
  test('are those that always apply, read its facts, or apply for the values at hand', () => {
    expect(around('ALWAYS', {})).toEqual(['ALWAYS']);
    expect(around('ALWAYS', { request: { purpose: 'care', yes: true } })).toEqual([
      'ALWAYS',
      'KEY-CARE',
      'KEY-YES',
    ]);
    expect(around('ALWAYS', { request: { purpose: 'research', yes: false } })).toEqual([
      'ALWAYS',
      'KEY-RESEARCH',
    ]);
    expect(around('KEY-YES', { request: { yes: true } })).toEqual([
      'ALWAYS',
      'COUNT',
      'PURPOSE',
      'OTHER',
      'KEY-YES',
    ]);
    expect(around('LISTED', {})).toEqual(['ALWAYS', 'PURPOSE', 'OTHER', 'LISTED']);
    expect(around('COUNT', { request: { purpose: 'hiv_care' } })).toEqual([
      'ALWAYS',
      'COUNT',
      'OTHER',
      'PURPOSE',
    ]);
  });

  test('beside it read what its "holds" reads, or are looked up by a value that need not differ', () => {
    expect(beside('ALWAYS')).toEqual([]);
    expect(beside('KEY-CARE')).toEqual(['COUNT', 'OTHER', 'KEY-CARE', 'KEY-YES']);
    expect(beside('KEY-RESEARCH')).toEqual([
      'COUNT',
      'PURPOSE',
      'OTHER',
      'KEY-RESEARCH',
      'KEY-YES',
    ]);
    expect(beside('COUNT')).toEqual(['COUNT', 'OTHER', 'KEY-CARE', 'KEY-RESEARCH', 'KEY-YES']);
  });

  test('get frames that say what the rules referred to say', () => {
    const [count3] = program.rules.filter(({ rule }) => rule.id === 'COUNT');
    const slot = count3?.appliesSlot ?? -1;
    expect(bench.frame({ request: { count: 3 } })[slot]).toBe(2);
    expect(bench.frame({ request: { count: 4 } })[slot]).toBe(0);
  });
});
