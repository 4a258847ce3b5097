import { expect, test } from 'vitest';
import { valueAt } from '../../src/pdp/trace.ts';

test.each<[string, unknown]>([
  ['a', { b: { c: 0 } }],
  ['a.b.c', 0],
  ['a.b.x', null],
  ['a.b.c.d', null],
  ['no.where', null],
  ['none', null],
  ['none.at', null],
  // Nothing but what was said: no member that a text, a list or an object has by itself.
  ['text.length', null],
  ['text.0', null],
  ['a.toString', null],
  ['list', [{ x: 1 }, null, {}, { x: { y: 2 } }]],
  ['list.x', [1, null, null, { y: 2 }]],
  ['list.length', [null, null, null, null]],
])('the value of explicit facts at %s is %j', (path, expected) => {
  const facts = {
    a: { b: { c: 0 } },
    none: null,
    text: 'abc',
    list: [{ x: 1 }, null, {}, { x: { y: 2 } }],
  };
  expect(valueAt(facts, path.split('.'))).toEqual(expected);
});
