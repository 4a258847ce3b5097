import { describe, expect, test } from 'vitest';
import { suggestion } from '../../src/pdp/facts.ts';
import { built, smallPack } from './support.ts';

const { facts } = smallPack() as { facts: Readonly<Record<string, object>> };
const fact = (type: string, more: object = {}): object => ({
  type,
  source: 'request',
  title: { en: 'x' },
  basis: 'test',
  ...more,
});
const { vocabulary } = built(
  smallPack({
    facts: {
      ...facts,
      'request.share': fact('number', { minimum: 0, maximum: 1 }),
      'request.any': fact('number'),
      'request.note': fact('text'),
      'request.notes': fact('set', { of: 'text' }),
      'request.kinds': fact('set', { of: 'enum', values: ['low', 'high'] }),
    },
  }),
);

const LONG = 'x'.repeat(20_000);
const CODE = 'a code: letters, digits, "_", "-", ".", ":", "/", "#", at most 200';
const TEXT = 'a text, or an object of texts by language';

describe('What is wrong with a fact', () => {
  test.each<[string, unknown, string]>([
    ['request.yes', 1, 'true or false'],
    ['request.count', 1.5, 'a whole number from 0'],
    ['request.count', -1, 'a whole number from 0'],
    ['request.share', 2, 'a number from 0 to 1'],
    ['request.any', 'x', `a number from ${Number.MIN_SAFE_INTEGER}`],
    ['request.asked', 'hgih', 'one of low, high (did you mean high?)'],
    ['request.asked', 1, 'one of low, high'],
    ['request.purpose', 'a b', CODE],
    ['request.place', 'rw', 'an ISO 3166-1 alpha-2 country code, in capital letters'],
    ['request.from', '2026-02-30', 'a date that exists, YYYY-MM-DD'],
    ['request.as_of', '2026-02-28', 'an RFC 3339 date-time with seconds and an offset'],
    ['request.note', 5, TEXT],
    ['request.note', {}, TEXT],
    ['request.note', { en: 1 }, TEXT],
    ['request.note', { en: `${LONG}x` }, TEXT],
    ['request.note', [], TEXT],
    ['request.note', `${LONG}x`, TEXT],
    ['request.codes', 'care', 'a list of at most 100000 values'],
    ['request.people', {}, 'a list of at most 100000 objects'],
    ['request.paper', 5, 'an object'],
    ['dataset', 5, 'an object'],
    ['request.never', 5, 'a fact, not request.never'],
  ])('%s as %j: expected %s', (path, value, expected) => {
    expect(vocabulary.checkAt(path, value)).toEqual([{ path: '', expected }]);
  });

  test.each<[string, unknown]>([
    ['request.note', LONG],
    ['request.note', { en: LONG, fr: '' }],
    ['request.share', 1],
    ['request.share', 0],
    ['request.any', -0.5],
    ['request.codes', Array.from({ length: 100_000 }, (_, i) => `c${i}`)],
    ['request.people', Array.from({ length: 100_000 }, () => ({}))],
    ['request.paper', {}],
    ['request.paper', { until: null }],
    ['dataset', {}],
  ])('%s takes what it may be', (path, value) => {
    expect(vocabulary.checkAt(path, value)).toEqual([]);
  });

  test.each([
    ['request.codes', 'a list of at most 100000 values'],
    ['request.people', 'a list of at most 100000 objects'],
  ])('%s takes no longer list', (path, expected) => {
    expect(
      vocabulary.checkAt(
        path,
        Array.from({ length: 100_001 }, () => ({})),
      ),
    ).toEqual([{ path: '', expected }]);
  });

  test('is said of each member, and of the whole', () => {
    expect(vocabulary.checkAt('request.codes', ['a', 'a', 5])).toEqual([
      { path: '/1', expected: 'each value once' },
      { path: '/2', expected: CODE },
    ]);
    expect(vocabulary.checkAt('request.notes', ['a', { en: 'b' }])).toEqual([
      { path: '/1', expected: 'a text' },
    ]);
    expect(vocabulary.checkAt('request.kinds', ['low', 'hig'])).toEqual([
      { path: '/1', expected: 'one of low, high (did you mean high?)' },
    ]);
    expect(vocabulary.check({ request: { people: [{ place: 'XX' }, 5, { plce: 1 }] } })).toEqual([
      {
        path: '/request/people/0/place',
        expected: 'an ISO 3166-1 alpha-2 country code, in capital letters',
      },
      { path: '/request/people/1', expected: 'an object' },
      { path: '/request/people/2/plce', expected: 'one of place (did you mean place?)' },
    ]);
    for (const whole of [5, null, [], 'x'])
      expect(vocabulary.check(whole)).toEqual([
        { path: '', expected: 'an object with "dataset" and "request"' },
      ]);
    expect(vocabulary.check({ dataset: 5, x: 1 })).toEqual([
      { path: '/dataset', expected: 'an object' },
      { path: '/x', expected: 'one of request, dataset' },
    ]);
  });

  test('is listed a hundred times at most', () => {
    const many = Array.from({ length: 150 }, () => 5);
    for (const request of [
      { people: many },
      { codes: many },
      Object.fromEntries(many.map((_, i) => [`x${i}`, 1])),
    ])
      expect(vocabulary.check({ request })).toHaveLength(100);
  });

  test('knows branches and facts by name', () => {
    expect(vocabulary.has('request')).toBe(true);
    expect(vocabulary.has('request.paper.until')).toBe(true);
    expect(vocabulary.has('request.never')).toBe(false);
    expect(vocabulary.get('request')).toBeUndefined();
    expect(vocabulary.slotOf('request.as_of')).toBe(0);
  });
});

test.each<[unknown, readonly string[], string]>([
  ['care', ['core', 'cart'], 'core'],
  ['acre', ['care'], 'care'],
  ['cear', ['care'], ''],
  ['cearx', ['carex'], 'carex'],
  ['abcde', ['badce'], 'badce'],
  ['carrree', ['care'], ''],
  ['carree', ['care'], 'care'],
  ['ca', ['care'], ''],
  ['car', ['care'], 'care'],
  ['xare', ['care'], 'care'],
  ['xaxe', ['care'], ''],
  ['a', ['b'], ''],
  ['research', ['reserach', 'researches'], 'reserach'],
  ['reseaxxx', ['research'], ''],
  [5, ['5'], ''],
  ['x'.repeat(100), ['x'.repeat(99)], 'x'.repeat(99)],
  ['x'.repeat(101), ['x'.repeat(100)], ''],
])('the nearest of names: %j of %j', (wrong, names, meant) => {
  expect(suggestion(wrong, names)).toBe(meant === '' ? '' : ` (did you mean ${meant}?)`);
});

test('the nearest of names is two edits away at most, and fewer than half of the letters', () => {
  /** Insertions, deletions, substitutions, and neighbours that changed places, as defined. */
  const edits = (a: string, b: string): number => {
    if (a === '' || b === '') return a.length + b.length;
    const [restA, restB] = [a.slice(1), b.slice(1)];
    const all = [
      edits(restA, b) + 1,
      edits(a, restB) + 1,
      edits(restA, restB) + (a[0] === b[0] ? 0 : 1),
    ];
    if (a.length > 1 && b.length > 1 && a[0] === b[1] && a[1] === b[0])
      all.push(edits(a.slice(2), b.slice(2)) + 1);
    return Math.min(...all);
  };
  const words = [1, 2, 3, 4].reduce<string[]>(
    (all, length) => [
      ...all,
      ...all
        .filter((word) => word.length === length - 1)
        .flatMap((word) => [`${word}a`, `${word}b`]),
    ],
    [''],
  );
  for (const wrong of [...words, 'abcdef', 'badcfe', 'abdcxf'])
    for (const name of [...words, 'abcdef', 'bacdef', 'abc']) {
      const isNear = edits(wrong, name) < Math.min(3, Math.ceil(wrong.length / 2));
      expect(suggestion(wrong, [name]), `${wrong} ${name}`).toBe(
        isNear ? ` (did you mean ${name}?)` : '',
      );
    }
});
