import { describe, expect, test } from 'vitest';
import { factTitle, listed, placeTitle, textIn, valueTitle } from '../../src/pdp/words.ts';
import { built, smallPack } from './support.ts';

const { facts } = smallPack() as { facts: Readonly<Record<string, object>> };
const fact = (type: string, more: object = {}): object => ({
  type,
  source: 'request',
  title: { en: `the ${type}`, fr: `le ${type}` },
  basis: 'test',
  ...more,
});
const { pack } = built(
  smallPack({
    facts: {
      ...facts,
      'request.note': fact('text'),
      'request.notes': fact('set', { of: 'text' }),
      'request.thing': fact('object'),
      'request.thing.name': fact('text', { title: { en: 'the name' } }),
      'request.thing.codes': fact('set', { of: 'code', title: { en: 'the codes' } }),
    },
  }),
);

describe('A value in words', () => {
  test.each<[string, unknown, string]>([
    ['request.note', 'a_b care', 'a_b care'],
    ['request.notes', ['a_b', 'c_d', 'e'], 'a_b, c_d and e'],
    ['request.codes', ['a_b'], 'a b'],
    ['request.codes', [], 'none'],
    ['request.purpose', 'a_b_c', 'a b c'],
    ['request.unknown', 'toString', 'toString'],
    ['request.place', 'RW', 'Rwanda'],
    ['request.place', 'XX', 'XX'],
    ['request.from', '2026-10-15', '2026-10-15'],
    ['request.count', 0, '0'],
    ['request.yes', true, 'yes'],
    ['request.yes', false, 'no'],
    ['request.yes', null, 'not stated'],
    ['request.yes', undefined, 'not stated'],
    ['request.thing', {}, 'yes'],
    ['request.thing', { name: 'a_b', codes: ['c_d', 'e'] }, 'the name: a_b; the codes: c d and e'],
    ['request.people', [{ place: 'RW' }, {}], 'Title (request.people.place): Rwanda and yes'],
  ])('of %s: %j is "%s"', (name, value, words) => {
    expect(valueTitle(pack, name, value, 'en')).toBe(words);
  });

  test('is in the language asked for where there are words in it, else in English', () => {
    expect(valueTitle(pack, 'request.place', 'JP', 'fr')).toBe('Japon');
    expect(placeTitle('JP', 'rw')).toBe('Japan');
    expect(placeTitle('JP', 'sw')).toBe('Japan');
    expect(factTitle(pack, 'request.note', 'fr')).toBe('le text');
    expect(factTitle(pack, 'request.note', 'sw')).toBe('the text');
    expect(textIn({ en: 'a', fr: 'b' }, 'fr')).toBe('b');
    expect(textIn({ en: 'a' }, 'constructor')).toBe('a');
    expect(textIn({}, 'fr')).toBe('');
    expect(listed([], 'and')).toBe('');
  });
});
