import { describe, expect, test } from 'vitest';
import { casesOf, decisionWord } from '../../src/pdp/cases.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { isObject } from '../../src/pdp/facts.ts';
import { loadFacts } from '../../src/pdp/program.ts';
import { caseText, program } from './support.ts';

/**
 * Where the rule table and a scenario's reasons part: rules that yield the winning effect by the
 * table and that the scenario does not name.
 */
const EXCEPTIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'RW-S03': {
    'SOV-STORE':
      'the table has it deny storage in the US under rw_only; the scenario names only the statute (RW-DPP-STORE)',
  },
};

const scenarios = casesOf('rwanda.json', caseText('rwanda.json'));

describe('worked scenarios', () => {
  test('are all here: seven scenarios and nine variants', () => {
    expect(scenarios).toHaveLength(16);
    expect(new Set(scenarios.map(({ id }) => id))).toHaveProperty('size', 16);
  });

  test.each(scenarios)(
    '$id: the decision is the one a careful lawyer gives',
    ({ facts, expected }) => {
      expect(program.vocabulary.check(facts)).toEqual([]);
      expect(decisionWord(evaluate(program, loadFacts(program, facts)))).toBe(expected['decision']);
    },
  );

  const withReasons = scenarios.filter(({ expected }) => Array.isArray(expected['reasons']));

  test('state reasons for each of the seven parents', () => {
    expect(withReasons).toHaveLength(7);
  });

  test.each(withReasons)(
    '$id: every rule that decides it is among the stated reasons, or is a known exception',
    ({ id, facts, expected }) => {
      const verdict = evaluate(program, loadFacts(program, facts));
      const winning = { deny: verdict.deny, review: verdict.review, permit: [] }[verdict.effect];
      const reasons = expected['reasons'] as readonly unknown[];
      const stated = reasons.map((reason) => (isObject(reason) ? reason['code'] : undefined));
      // Equal, not a subset: an exception that has become stale fails too.
      expect(winning.filter((rule) => !stated.includes(rule))).toEqual(
        Object.keys(EXCEPTIONS[id] ?? {}),
      );
    },
  );

  test('have no exception for a scenario that does not exist', () => {
    const ids = withReasons.map(({ id }) => id);
    expect(Object.keys(EXCEPTIONS).filter((id) => !ids.includes(id))).toEqual([]);
  });
});
