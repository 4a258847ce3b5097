/** A pack and the parts that it shares with others: one text, and one content. */
import { describe, expect, test } from 'vitest';
import type { PackDocument, PartDocument, SourceFile } from '../../src/pdp/document.ts';
import { joinPack, splitPack, withParts } from '../../src/pdp/parts.ts';
import { smallPack } from './support.ts';

const title = { en: 'Title' };
const fact = { type: 'boolean', source: 'request', title, basis: 'test' };

function source<T>(file: string, content: object): SourceFile<T> {
  return {
    file,
    content: content as T,
    problemAt: (path, message) => ({
      file,
      line: 1,
      column: 1,
      message: [...path, message].join(' '),
    }),
  };
}

const own = source<PackDocument>(
  'pack',
  smallPack({
    prefixes: { x: 'https://x/' },
    purposes: {
      care: { title: { en: 'Care' }, exact: 'dpv:Care', broader: ['any'] },
      any: { title },
    },
    expiries: [{ name: 'until', fact: 'request.until' }],
    closed: ['sectors'],
    disjoint: [['care', 'any']],
  }),
);
const part = (file: string, content: object): SourceFile<PartDocument> =>
  source(file, { part: file, version: 1, title, source: { url: 'https://x' }, ...content });

function merged(...parts: readonly SourceFile<PartDocument>[]): SourceFile<PackDocument> {
  const result = withParts(own, parts);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.source;
}

function problems(...parts: readonly SourceFile<PartDocument>[]): string[] {
  const result = withParts(own, parts);
  return result.ok ? [] : result.problems.map(({ file, message }) => `${file}: ${message}`);
}

describe('The text of a pack', () => {
  test.each<[string, string, string[], string]>([
    ['alone is as it is', 'a: 1', [], 'a: 1'],
    [
      'ends where that of a part begins',
      'a: 1',
      ['b: 2', 'c: 3\n'],
      'a: 1\n---\nb: 2\n---\nc: 3\n',
    ],
  ])('%s', (_, pack, parts, text) => {
    expect(joinPack(pack, parts)).toBe(text);
    expect(splitPack(text).map((each) => each.trimEnd())).toEqual(
      [pack, ...parts].map((each) => each.trimEnd()),
    );
  });

  test('is parted by lines of the mark alone', () => {
    const text = 'a: |\n  x ---\n  ---\nb: "x---\n"\n';
    expect(splitPack(text)).toEqual([text]);
  });
});

describe('A pack with parts', () => {
  test('has the entries of all, its own first', () => {
    const { content, file } = merged(
      part('one', {
        prefixes: { dpv: 'https://dpv/' },
        instruments: { far: { title, kind: 'statute' } },
        facts: { 'request.far': fact },
        derived: { beyond: { title, condition: 'request.far' } },
        expiries: [{ name: 'far', fact: 'request.from' }],
        closed: ['purposes'],
        disjoint: [['dpv:Care', 'dpv:Other']],
      }),
      part('two', { taxonomies: { kinds: { low: { title } } } }),
    );
    expect(file).toBe('pack');
    expect(content.prefixes).toEqual({ x: 'https://x/', dpv: 'https://dpv/' });
    expect(Object.keys(content.instruments)).toEqual([
      ...Object.keys(own.content.instruments),
      'far',
    ]);
    expect(Object.keys(content.facts)).toEqual([...Object.keys(own.content.facts), 'request.far']);
    expect(Object.keys(content.derived)).toEqual([...Object.keys(own.content.derived), 'beyond']);
    expect(content.expiries.map(({ name }) => name)).toEqual(['until', 'far']);
    expect(content.closed).toEqual(['sectors', 'purposes']);
    expect(content.disjoint).toEqual([
      ['care', 'any'],
      ['care', 'dpv:Other'],
    ]);
    expect(content.taxonomies).toEqual({ kinds: { low: { title } } });
    expect(content.included?.map(({ part: name, lists }) => [name, lists])).toEqual([
      ['one', {}],
      ['two', { kinds: ['low'] }],
    ]);
  });

  test('calls a term of another vocabulary as its own that says the same', () => {
    const { content } = merged(
      part('one', {
        purposes: {
          'dpv:Care': { title: { en: 'Theirs', fr: 'Soin' }, broader: ['dpv:Any'] },
          'dpv:Any': { title },
          'dpv:Cure': { title, broader: ['dpv:Care'] },
        },
      }),
    );
    expect(content.purposes).toEqual({
      care: {
        title: { en: 'Care', fr: 'Soin' },
        exact: 'dpv:Care',
        broader: ['any', 'dpv:Any'],
      },
      any: { title },
      'dpv:Any': { title },
      'dpv:Cure': { title, broader: ['care'] },
    });
    expect(content.included?.[0]?.lists).toEqual({ purposes: ['dpv:Any', 'dpv:Cure'] });
  });

  test('keeps a term that only another list has its own for', () => {
    const { content } = merged(part('one', { sectors: { 'dpv:Care': { title } } }));
    expect(content.sectors).toEqual({ 'dpv:Care': { title } });
  });

  test('is the pack itself where there are none', () => {
    const result = withParts(own, []);
    expect(result.ok && result.source).toBe(own);
  });

  test('has no name twice', () => {
    expect(
      problems(
        part('one', {
          prefixes: { x: 'https://other/' },
          facts: { 'request.yes': fact, 'request.far': fact },
          purposes: { any: { title } },
        }),
        part('two', { facts: { 'request.far': fact }, derived: { sure: { title } } }),
      ),
    ).toEqual([
      'one: purposes any there is another "any" in the pack',
      'one: prefixes x there is another "x" in the pack',
      'one: facts request.yes there is another "request.yes" in the pack',
      'two: facts request.far there is another "request.far" in the pack',
      'two: derived sure there is another "sure" in the pack',
    ]);
  });

  test('has its mistakes where they are written', () => {
    const whole = merged(
      part('one', { facts: { 'request.far': fact } }),
      part('two', { taxonomies: { kinds: { low: { title } } } }),
    );
    const fileOf = (...path: (string | number)[]): string => whole.problemAt(path, 'wrong').file;
    expect(fileOf('facts', 'request.yes')).toBe('pack');
    expect(fileOf('facts', 'request.far', 'terms')).toBe('one');
    expect(fileOf('taxonomies', 'kinds', 'low')).toBe('two');
    expect(fileOf('facts', 'request.unheard')).toBe('pack');
    expect(fileOf('home', 'deeper')).toBe('pack');
    expect(whole.problemAt(['facts', 'request.far', 'terms'], 'wrong').message).toBe(
      'facts request.far terms wrong',
    );
  });
});
