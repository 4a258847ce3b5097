import { expect, test } from 'vitest';
import { parseCondition } from '../../src/pdp/condition.ts';
import { wordsOf } from '../../src/pdp/wording.ts';

const words = (source: unknown): string => wordsOf(parseCondition(source, []));

test.each<[unknown, string]>([
  [true, 'always'],
  [false, 'never'],
  ['a', 'a is true'],
  [{ not: 'a' }, 'not (a is true)'],
  [{ exists: 'a' }, 'a is stated'],
  [{ nonempty: 'a' }, 'a has a member'],
  [{ applies: 'RULE' }, 'RULE applies'],
  [{ holds: 'RULE' }, 'RULE holds'],
  [{ fact: 'a', eq: 'x' }, 'a is x'],
  [{ fact: 'a', neq: 'x' }, 'a is not x'],
  [{ fact: 'a', lt: 5 }, 'a is less than 5'],
  [{ fact: 'a', lteq: 5 }, 'a is at most 5'],
  [{ fact: 'a', gt: 5 }, 'a is greater than 5'],
  [{ fact: 'a', gteq: 5 }, 'a is at least 5'],
  [{ fact: 'a', isA: 'x' }, 'a is a kind of x'],
  [{ fact: 'a', hasPart: 'x' }, 'a contains x'],
  [{ fact: 'a', isPartOf: 'X' }, 'a lies in X'],
  [{ fact: 'a', isAnyOf: ['x', 'y'] }, 'a is any of x, y'],
  [{ fact: 'a', isNoneOf: ['x', 7] }, 'a is none of x, 7'],
  [{ fact: 'a', isAllOf: [] }, 'a contains all of nothing'],
  [{ fact: 'a', gt: { fact: 'b' } }, 'a is greater than b'],
  [{ and: ['a', 'b'] }, 'a is true and b is true'],
  [{ or: ['a', 'b', 'c'] }, 'a is true or b is true or c is true'],
  [{ xone: ['a', 'b'] }, 'exactly one of: a is true; b is true'],
  [{ or: ['a', { and: ['b', 'c'] }] }, 'a is true or (b is true and c is true)'],
  [{ and: ['a', { or: ['b', 'c'] }] }, 'a is true and (b is true or c is true)'],
  [{ and: ['a', { xone: ['b', 'c'] }] }, 'a is true and exactly one of: b is true; c is true'],
])('%j reads well', (source, expected) => {
  expect(words(source)).toBe(expected);
});

test('what is long is cut short, and how much was cut is said', () => {
  expect(words({ fact: 'a', isAnyOf: [1, 2, 3, 4, 5] })).toBe('a is any of 1, 2, 3, 4, 5');
  expect(words({ fact: 'a', isAnyOf: [1, 2, 3, 4, 5, 6, 7] })).toBe(
    'a is any of 1, 2, 3, 4, 5, 2 more',
  );
  expect(words({ and: ['a', 'b', 'c', 'd', 'e'] })).toBe(
    'a is true and b is true and c is true and 2 more',
  );
});

test('what is deep ends after three lists within one another, whatever stands between', () => {
  const three = { and: [{ or: [{ xone: ['a'] }, 'b'] }, 'c'] };
  expect(words(three)).toBe('(exactly one of: a is true or b is true) and c is true');
  expect(words({ and: [three] })).toBe('((… or b is true) and c is true)');
  expect(words({ not: three })).toBe('not ((… or b is true) and c is true)');
  expect(words({ not: { not: three } })).toBe('not (not ((…) and c is true))');
  expect(words({ not: { not: { not: { or: ['a'] } } } })).toBe('not (not (not (…)))');
});
