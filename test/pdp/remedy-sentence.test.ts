import { describe, expect, test } from 'vitest';
import type { RemedySpec } from '../../src/pdp/facts.ts';
import { type Delta, leversOf, type Move } from '../../src/pdp/levers.ts';
import { changeSentence } from '../../src/pdp/remedy-sentence.ts';
import { titledProgram as program } from './titled.ts';

const levers = leversOf(program.vocabulary);

/** A move by the remedy of a fact that stands at `index`, or by one of its own. */
function move(fact: string, remedy: number | RemedySpec, delta: Delta): Move {
  const lever = levers.get(fact);
  const spec = typeof remedy === 'number' ? lever?.remedies[remedy] : remedy;
  if (!lever || !spec) throw new Error(`${fact} has no such remedy`);
  return { lever, remedy: spec, delta };
}

function said(
  moves: readonly Move[],
  from: unknown,
  to: unknown,
  one_of: readonly unknown[] = [],
): Readonly<Record<string, string>> {
  const [first] = moves;
  if (!first) throw new Error('there are no moves');
  const facts = { dataset: {}, request: { until: '2027-01-01', other: null } };
  return changeSentence(program, facts, { unit: first.lever.unit, from, to, moves, one_of });
}

const PLACES = 'request.places';
const CODES = 'request.codes';
const PEOPLE = 'request.people.place';

describe('What has to be done', () => {
  test('is each move once, in order, in the languages of all', () => {
    const add = move(CODES, 0, { add: ['care'] });
    const remove = move(CODES, 1, { remove: ['research'] });
    expect(said([add], [], ['care'])).toEqual({
      en: 'Add care of the sick to what there is.',
      fr: 'Add care of the sick (fr) to what there is. (fr)',
    });
    expect(said([add, remove], ['research'], ['care'])).toEqual({
      en: 'Add care of the sick to what there is. Do without Title.',
    });
    expect(said([remove, add], ['research'], ['care'])['en']).toBe(
      'Do without Title. Add care of the sick to what there is.',
    );
    const [jp, us] = [move(PLACES, 0, { remove: ['JP'] }), move(PLACES, 0, { remove: ['US'] })];
    expect(said([jp, us], ['JP', 'RW', 'US'], ['RW'])['en']).toBe(
      'Leave Japan and United States out, so that Rwanda remain.',
    );
  });

  test('leaves out what changes nothing in the end', () => {
    const add = move(CODES, 0, { add: ['care'] });
    const remove = move(CODES, 1, { remove: ['research'] });
    expect(said([add, remove], ['care', 'research'], ['care'])['en']).toBe('Do without Title.');
    expect(said([add, remove], [], ['care'])['en']).toBe('Add care of the sick to what there is.');
    expect(said([remove, add], null, ['care'])['en']).toBe(
      'Add care of the sick to what there is.',
    );
    expect(said([add, remove], ['research'], null)['en']).toBe('Do without Title.');
  });

  test('leaves out what comes before a move that settles the whole', () => {
    const remove = move(PLACES, 0, { remove: ['JP'] });
    const home = move(PLACES, 1, { set: ['RW'] });
    const keep = move(PEOPLE, 0, { keep: ['RW'] });
    const other = move(PEOPLE, { to: 'remove', sentence: { en: 'Before.' } }, { remove: ['JP'] });
    expect(said([remove, home], ['JP', 'RW'], ['RW'])['en']).toBe('Stay in Rwanda.');
    expect(said([home, remove], ['JP', 'KE'], ['RW'])['en']).toBe(
      'Stay in Rwanda. Leave Japan and Kenya out, so that Rwanda remain.',
    );
    const people = [{ place: 'JP' }, { place: 'KE' }, {}, 5, { place: 'RW' }, { place: 'JP' }];
    expect(said([other, keep], people, [{ place: 'RW' }])['en']).toBe(
      'Give it to nobody in Japan, Kenya and not stated.',
    );
    expect(said([keep, other], people, [{ place: 'RW' }])['en']).toBe(
      'Give it to nobody in Japan, Kenya and not stated. Before.',
    );
    expect(said([keep], null, null)['en']).toBe('Give it to nobody in none.');
  });

  test('of a record is what it must say, where it says something else', () => {
    const obtain = move('request.paper', 0, { obtain: true });
    const until = move('request.paper.until', 0, { set: '2027-01-01' });
    expect(said([obtain], null, {})).toEqual({ en: 'Get a paper.', fr: 'Get a paper. (fr)' });
    expect(said([obtain, until], {}, { until: '2027-01-01' })['en']).toBe(
      'Get a paper that is valid until 2027-01-01.',
    );
    const before = { until: '2027-01-01', kinds: ['research'], pages: 2 };
    expect(said([until], before, { ...before, kinds: ['research', 'care'] })).toEqual({
      en: 'Get a paper that is about care of the sick.',
      fr: 'Get a paper qui is about care of the sick (fr) (fr). (fr)',
    });
    expect(said([until], before, { ...before, pages: 4 })).toEqual({
      en: 'Get a paper that has 4 pages.',
    });
    expect(said([until], before, before)['en']).toBe('Get a paper.');
    expect(said([until], before, {})['en']).toBe('Get a paper.');
  });

  test('names values of facts, and leaves what it cannot name', () => {
    const sentence = (en: string): RemedySpec => ({ to: 'value', sentence: { en } });
    const text = (en: string, to: unknown = 'low', one_of: unknown[] = []): string | undefined =>
      said([move('request.asked', sentence(en), { set: to })], 'high', to, one_of)['en'];
    expect(text('{home} {value} {request.until}')).toBe('Rwanda low 2027-01-01');
    expect(text('{request.other} {request.limit} {request.never}')).toBe(
      'the other the limit not stated',
    );
    expect(text('{values}', 'low', ['low', 'high'])).toBe('low or as high as can be');
    expect(text('{values}', 'low', ['low'])).toBe('low');
    expect(text('{nothing} {toString} {clauses} { value }')).toBe(
      '{nothing} {toString} {clauses} { value }',
    );
  });
});
