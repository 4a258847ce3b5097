import { describe, expect, test } from 'vitest';
import { conditionFacts, parseCondition, PolicyProblem } from '../../src/pdp/condition.ts';

function problemOf(source: unknown): { path: readonly (string | number)[]; message: string } {
  try {
    parseCondition(source, ['rules', 0, 'applies']);
  } catch (error) {
    if (error instanceof PolicyProblem)
      return { path: error.path.slice(3), message: error.message };
    throw error;
  }
  throw new Error('it was taken');
}

const deep = (levels: number): unknown => (levels === 0 ? 'yes' : { not: deep(levels - 1) });
const wide = (levels: number): unknown => (levels === 0 ? 'yes' : { and: [wide(levels - 1)] });

describe('What is no condition is refused with its place and what was expected', () => {
  const wrong: readonly [string, unknown, (string | number)[], RegExp][] = [
    ['a number', 5, [], /^a condition is the name of a fact or an object$/],
    ['null', null, [], /^a condition is the name of a fact or an object$/],
    ['a list', ['yes'], [], /^a condition is the name of a fact or an object$/],
    ['no key', {}, [], /^a condition has one key of and, or, xone, .*, or fact$/],
    ['two keys', { and: ['a'], or: ['b'] }, [], /^a condition has one key of/],
    ['an unknown key', { adn: [] }, ['adn'], /^unknown key "adn", .*did you mean and\?\)$/],
    ['no branches', { and: [] }, ['and'], /^a list of 1 to 1000 conditions$/],
    ['no list of branches', { or: 'yes' }, ['or'], /^a list of 1 to 1000 conditions$/],
    ['too many branches', { or: Array(1001).fill('yes') }, ['or'], /^a list of 1 to 1000/],
    ['a branch that is none', { and: ['a', { not: 7 }] }, ['and', 1, 'not'], /^a condition is/],
    ['a fact without a name', { exists: 5 }, ['exists'], /^the name of a fact$/],
    ['a rule without a name', { holds: {} }, ['holds'], /^the name of a rule id$/],
    ['a comparison of no fact', { fact: 1, eq: 2 }, ['fact'], /^the name of a fact$/],
    ['no operator', { fact: 'a' }, [], /^one operator beside "fact": eq, neq/],
    ['two operators', { fact: 'a', eq: 1, lt: 2 }, [], /^one operator beside "fact"/],
    ['an unknown operator', { fact: 'a', eqq: 1 }, ['eqq'], /^unknown operator "eqq".*mean eq\?/],
    ['a list of lists', { fact: 'a', isAnyOf: [[1]] }, ['isAnyOf'], /^a list of at most 100000/],
    ['nothing on the right', { fact: 'a', eq: null }, ['eq'], /^a constant, a list of constants/],
    ['an odd object', { fact: 'a', eq: { fact: 'b', of: 1 } }, ['eq'], /^a constant, a list/],
    ['a fact that is no name', { fact: 'a', eq: { fact: 2 } }, ['eq'], /^the name of a fact$/],
  ];
  test.each(wrong)('%s', (_name, source, path, message) => {
    const problem = problemOf(source);
    expect(problem.path).toEqual(path);
    expect(problem.message).toMatch(message);
  });

  test('nesting ends at 32 levels, whatever it is made of', () => {
    for (const nested of [deep, wide]) {
      expect(() => parseCondition(nested(32), [])).not.toThrow();
      expect(problemOf(nested(33)).message).toBe('at most 32 levels of nesting');
    }
    expect(() => parseCondition({ or: Array(1000).fill('yes') }, [])).not.toThrow();
  });
});

test('the facts of a condition are all that it names, and rules are none', () => {
  const condition = parseCondition(
    {
      and: [
        'a',
        { not: { exists: 'b' } },
        { or: [{ nonempty: 'c' }, { applies: 'R' }, { holds: 'R' }, true] },
        {
          xone: [
            { fact: 'd', eq: { fact: 'e' } },
            { fact: 'f', isAnyOf: [1, 'x'] },
          ],
        },
      ],
    },
    [],
  );
  expect(conditionFacts(condition)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
});
