/** What a pack lets whoever asks change, and what a change makes of the facts. */
import { describe, expect, test } from 'vitest';
import { buildProgram } from '../../src/pdp/build.ts';
import { parseDate } from '../../src/pdp/calendar.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import type { RemedySpec } from '../../src/pdp/facts.ts';
import { covered, type Delta, leversOf, moved } from '../../src/pdp/levers.ts';
import { loadFacts } from '../../src/pdp/program.ts';
import { remedies } from '../../src/pdp/remedies.ts';
import { Ways } from '../../src/pdp/ways.ts';
import { built, policyDocument, ruleOf, smallPack } from './support.ts';
import { titledProgram } from './titled.ts';

const { vocabulary } = titledProgram;
const levers = leversOf(vocabulary);
const { dates } = new Ways(titledProgram);

function lever(path: string) {
  const found = levers.get(path);
  if (!found) throw new Error(`there is no lever ${path}`);
  return found;
}

function after(path: string, delta: Delta, current: unknown, request: object = {}): unknown {
  const [remedy] = lever(path).remedies;
  if (!remedy) throw new Error(`there is no remedy of ${path}`);
  const frame = loadFacts(titledProgram, { request });
  evaluate(titledProgram, frame);
  return moved({ lever: lever(path), remedy, delta }, current, frame, dates);
}

describe('A lever', () => {
  test('moves a fact by itself, a member of a record, or the items of a list', () => {
    const units = [...levers].map(([path, { unit, key }]) => [path, unit.shape, unit.path, key]);
    expect(units).toEqual([
      ['request.yes', 'plain', 'request.yes', undefined],
      ['request.count', 'plain', 'request.count', undefined],
      ['request.asked', 'plain', 'request.asked', undefined],
      ['request.codes', 'plain', 'request.codes', undefined],
      ['request.words', 'plain', 'request.words', undefined],
      ['request.places', 'plain', 'request.places', undefined],
      ['request.people.place', 'list', 'request.people', 'place'],
      ['request.paper', 'record', 'request.paper', undefined],
      ['request.paper.until', 'record', 'request.paper', 'until'],
      ['request.share', 'plain', 'request.share', undefined],
      ['request.paper.kinds', 'record', 'request.paper', 'kinds'],
      ['request.paper.from', 'record', 'request.paper', 'from'],
      ['request.paper.pages', 'record', 'request.paper', 'pages'],
      ['request.paper.state', 'record', 'request.paper', 'state'],
      ['request.paper.sealed', 'record', 'request.paper', 'sealed'],
    ]);
    const { unit } = lever('request.paper');
    expect(unit.obtain?.to).toBe('obtain');
    expect(unit.members.map(({ key }) => key)).toEqual([
      'until',
      'kinds',
      'from',
      'pages',
      'state',
      'sealed',
    ]);
    expect(leversOf(vocabulary)).toBe(levers);
  });

  test.each<[string, string, Delta, unknown, unknown]>([
    ['states a value', 'request.asked', { set: 'low' }, 'high', 'low'],
    ['adds what is not there', 'request.codes', { add: ['a', 'b'] }, ['b', 'c'], ['b', 'c', 'a']],
    ['adds to nothing', 'request.codes', { add: ['a'] }, undefined, ['a']],
    ['takes away', 'request.places', { remove: ['JP', 'US'] }, ['KE', 'JP'], ['KE']],
    [
      'takes items of a list away, and leaves what is unknown',
      'request.people.place',
      { remove: ['JP'] },
      [{ place: 'JP' }, { place: 'KE' }, {}, 7],
      [{ place: 'KE' }, {}, 7],
    ],
    [
      'keeps items of a list, and nothing that is unknown',
      'request.people.place',
      { keep: ['RW', 'KE'] },
      [{ place: 'JP' }, { place: 'KE', name: 'x' }, {}, 7],
      [{ place: 'KE', name: 'x' }],
    ],
    ['leaves an empty list', 'request.people.place', { keep: ['RW'] }, undefined, []],
    [
      'changes a member of a record',
      'request.paper.kinds',
      { add: ['care'] },
      { kinds: ['trade'], pages: 2 },
      { kinds: ['trade', 'care'], pages: 2 },
    ],
    [
      'leaves a record that there is',
      'request.paper',
      { obtain: true },
      { pages: 2 },
      { pages: 2 },
    ],
  ])('%s', (_, path, delta, current, expected) => {
    expect(after(path, delta, current)).toEqual(expected);
  });

  test('obtains a record with all that it must say at rest', () => {
    const asOf = '2026-10-15T10:00:00Z';
    const rest = { kinds: [], from: '2026-10-15', pages: 1, state: 'signed' };
    const obtained = (until?: string): unknown =>
      after('request.paper', { obtain: true }, undefined, { as_of: asOf, until });
    expect(obtained()).toEqual({ ...rest, until: '2026-10-15' });
    expect(obtained('2026-10-14')).toEqual({ ...rest, until: '2026-10-15' });
    expect(obtained('2027-01-01')).toEqual({ ...rest, until: '2027-01-01' });
    expect(after('request.paper.pages', { set: 9 }, undefined, { as_of: asOf })).toEqual({
      ...rest,
      until: '2026-10-15',
      pages: 9,
    });
    expect(after('request.paper', { obtain: true }, undefined)).toEqual({
      ...rest,
      from: undefined,
      until: undefined,
    });
  });

  test('covers a day where that is later than its own', () => {
    const day = parseDate('2026-10-15') ?? 0;
    const frame = loadFacts(titledProgram, { request: { until: '2026-10-16' } });
    const spec = { to: 'reach', cover: 'request.until', sentence: {} } as RemedySpec;
    const { cover: _, ...plain } = spec;
    expect(covered(spec, day, frame, dates)).toBe(day + 1);
    expect(covered(spec, day + 1, frame, dates)).toBe(day + 1);
    expect(covered(spec, day + 2, frame, dates)).toBe(day + 2);
    expect(covered(plain, day, frame, dates)).toBe(day);
    expect(covered({ ...spec, cover: 'request.unheard' }, day, frame, dates)).toBe(day);
    expect(covered(spec, day, loadFacts(titledProgram, {}), dates)).toBe(day);
  });
});

describe('A remedy fits', () => {
  const FITTING: Readonly<Record<string, readonly RemedySpec['to'][]>> = {
    'request.yes': ['value', 'state'],
    'request.asked': ['value', 'state'],
    'request.purpose': ['value'],
    'request.count': ['reach'],
    'request.share': ['reach'],
    'request.until': ['reach'],
    'request.as_of': [],
    'request.text': [],
    'request.place': ['home'],
    'request.places': ['home', 'remove', 'add'],
    'request.codes': ['remove', 'add'],
    'request.people': [],
    'request.people.place': ['home', 'remove'],
    'request.people.yes': ['remove', 'value', 'state'],
    'request.paper': ['obtain'],
  };
  const ALL = ['home', 'remove', 'add', 'value', 'reach', 'obtain', 'state'] as const;

  const permit = ruleOf('PERMIT', { outcome: 'permit' });

  /** The problems of a pack in which a fact has a remedy, each with the line that it is at. */
  function problemsOf(fact: string, remedy: object): string[] {
    const own = (type: string): object => ({
      type,
      source: 'request',
      title: { en: 'Title' },
      basis: 'test',
    });
    const pack = smallPack() as { facts: Record<string, object> };
    const facts: Record<string, object> = {
      ...pack.facts,
      'request.text': own('text'),
      'request.share': own('number'),
      'request.people.yes': own('boolean'),
    };
    const changed = {
      ...pack,
      facts: { ...facts, [fact]: { ...facts[fact], remedies: [remedy] } },
    };
    const text = JSON.stringify(changed, undefined, 1);
    const file = { file: 'policy', text: JSON.stringify(policyDocument([permit])) };
    const result = buildProgram({ file: 'pack', text }, [file]);
    const lines = text.split('\n');
    return result.ok
      ? []
      : result.problems
          .filter(({ file: of }) => of === 'pack')
          .map(({ line, message }) => `${lines[line - 1]?.trim()} ${message}`);
  }
  const sentence = { en: 'Do it.' };
  const VALUES: Readonly<Record<string, unknown>> = {
    'request.asked': ['low'],
    'request.purpose': ['care'],
  };

  test.each(Object.entries(FITTING))('%s as %j', (fact, fitting) => {
    for (const to of ALL) {
      const values = VALUES[fact] ?? [true];
      const found = problemsOf(fact, { to, sentence, ...(to === 'value' && { values }) });
      expect(found, `${fact} ${to}`).toEqual(
        fitting.includes(to) ? [] : [`"to": "${to}", "${to}" does not fit ${fact}`],
      );
    }
  });

  test.each<[string, object, string[]]>([
    [
      'dataset.allowed',
      { to: 'value', values: ['middle'] },
      ['"to": "value", whoever asks does not change a dataset'],
    ],
    ['request.yes', { to: 'value' }, ['"to": "value", "value" needs "values"']],
    [
      'request.yes',
      { to: 'value', values: ['x'] },
      ['"to": "value", x is no value of request.yes'],
    ],
    [
      'request.purpose',
      { to: 'value', values: [true] },
      ['"to": "value", true is no value of request.purpose'],
    ],
    [
      'request.asked',
      { to: 'value', values: ['low', 'x'] },
      ['"to": "value", x is no value of request.asked'],
    ],
    ['request.until', { to: 'reach', cover: 'request.from' }, []],
    [
      'request.until',
      { to: 'reach', cover: 'request.count' },
      ['"to": "reach", "cover" names a date, for a date, not "request.count"'],
    ],
    [
      'request.until',
      { to: 'reach', cover: 'request.unheard' },
      ['"to": "reach", "cover" names a date, for a date, not "request.unheard"'],
    ],
    [
      'request.count',
      { to: 'reach', cover: 'request.from' },
      ['"to": "reach", "cover" names a date, for a date, not "request.from"'],
    ],
    ['request.count', { to: 'reach', when: { not: 'request.yes' } }, []],
    [
      'request.count',
      { to: 'reach', when: 'request.unheard' },
      ['"when": "request.unheard", there is no fact "request.unheard"'],
    ],
    [
      'request.count',
      { to: 'reach', when: { xor: [] } },
      [
        '"xor": [] unknown key "xor", expected one of and, or, xone, not, exists, nonempty, applies, holds, fact (did you mean or?)',
      ],
    ],
  ])('%s only if it makes sense: %j', (fact, remedy, expected) => {
    const [to, ...rest] = Object.entries(remedy);
    const ordered = Object.fromEntries([...(to ? [to] : []), ...rest, ['sentence', sentence]]);
    expect(problemsOf(fact, ordered)).toEqual(expected);
  });
});

describe('A way out', () => {
  const sentence = { en: 'Do it.' };
  type Ways = Readonly<Record<string, readonly object[]>>;
  /** What changes into what, of each way out of one rule. */
  function waysOut(
    holds: unknown,
    request: object,
    ways: Ways,
    more: Readonly<Record<string, object>> = {},
  ): unknown[] {
    const pack = smallPack() as { facts: Record<string, object> };
    const facts = Object.fromEntries(
      Object.entries(pack.facts).map(([fact, spec]) => [
        fact,
        {
          ...spec,
          ...more[fact],
          ...(ways[fact] && { remedies: ways[fact].map((each) => ({ sentence, ...each })) }),
        },
      ]),
    );
    const rules = [
      ruleOf('PERMIT', { outcome: 'permit' }),
      ruleOf('RULE', { holds, otherwise: 'deny' }),
    ];
    const program = built({ ...pack, facts }, policyDocument(rules));
    const asked = { request: { as_of: '2026-10-15T10:00:00Z', ...request } };
    return remedies(program, asked).map(({ changes }) =>
      changes.map(({ fact, to }) => [fact, to]).flat(),
    );
  }
  const isYes = { 'request.yes': [{ to: 'value', values: [true, false] }] };

  test('keeps of a list what is at home', () => {
    const home = { 'request.people.place': [{ to: 'home' }] };
    const inRwanda = { fact: 'request.people.place', isPartOf: ['RW'] };
    const people = [{ place: 'JP' }, { place: 'RW' }, {}];
    expect(waysOut(inRwanda, { people }, home)).toEqual([['request.people', [{ place: 'RW' }]]]);
    const inKenya = { fact: 'request.people.place', isPartOf: ['KE'] };
    expect(waysOut(inKenya, { people }, home)).toEqual([]);
  });

  test('sets places to home, or one place', () => {
    const home = { 'request.places': [{ to: 'home' }], 'request.place': [{ to: 'home' }] };
    const no = { fact: 'request.places', isNoneOf: ['JP'] };
    expect(waysOut(no, { places: ['JP', 'KE'] }, home)).toEqual([['request.places', ['RW']]]);
    const one = { fact: 'request.place', eq: 'RW' };
    expect(waysOut(one, { place: 'JP' }, home)).toEqual([['request.place', 'RW']]);
    expect(waysOut({ fact: 'request.place', eq: 'KE' }, { place: 'JP' }, home)).toEqual([]);
  });

  test('leaves no member of an object that there is not', () => {
    const reach = { 'request.paper.until': [{ to: 'reach' }] };
    const valid = { fact: 'request.paper.until', gteq: { fact: 'today' } };
    expect(waysOut(valid, { paper: { until: '2026-01-01' } }, reach)).toEqual([
      ['request.paper.until', '2026-10-15'],
    ]);
    expect(waysOut(valid, {}, reach)).toEqual([]);
  });

  test('reaches a number within its limits, and the next day or number', () => {
    const reach = { 'request.count': [{ to: 'reach' }], 'request.until': [{ to: 'reach' }] };
    const limits = { 'request.count': { minimum: 3, maximum: 6 } };
    const to = (operator: string, value: number, count = 4): unknown =>
      waysOut({ fact: 'request.count', [operator]: value }, { count }, reach, limits);
    expect(to('gteq', 6)).toEqual([['request.count', 6]]);
    expect(to('gt', 5)).toEqual([['request.count', 6]]);
    expect(to('gt', 6)).toEqual([]);
    expect(to('lteq', 3)).toEqual([['request.count', 3]]);
    expect(to('lt', 4)).toEqual([['request.count', 3]]);
    expect(to('lt', 3)).toEqual([]);
    expect(to('eq', 5)).toEqual([['request.count', 5]]);
    expect(to('neq', 4)).toEqual([['request.count', 5]]);
    const day = (operator: string): unknown =>
      waysOut({ fact: 'request.until', [operator]: '2026-12-31' }, { until: '2026-12-31' }, reach);
    expect(day('gt')).toEqual([['request.until', '2027-01-01']]);
    expect(day('lt')).toEqual([['request.until', '2026-12-30']]);
  });

  test('reaches no number that is only greater or less than another', () => {
    const share = { 'request.count': [{ to: 'reach' }] };
    const to = (operator: string): unknown =>
      waysOut({ fact: 'request.count', [operator]: 70 }, { count: 70.5 }, share, {
        'request.count': { type: 'number' },
      });
    expect(to('lteq')).toEqual([['request.count', 70]]);
    expect(to('eq')).toEqual([['request.count', 70]]);
    expect(to('lt')).toEqual([]);
  });

  test('adds what may be added, all of it or nothing', () => {
    const add = { 'request.codes': [{ to: 'add', values: ['care', 'research'] }] };
    const codes = ['trade'];
    const all = (...wanted: string[]): unknown =>
      waysOut({ fact: 'request.codes', isAllOf: wanted }, { codes }, add);
    expect(all('care', 'research')).toEqual([['request.codes', ['trade', 'care', 'research']]]);
    expect(all('care', 'trade')).toEqual([['request.codes', ['trade', 'care']]]);
    expect(all('care', 'fair_trade')).toEqual([]);
    const some = { fact: 'request.codes', isAnyOf: ['fair_trade', 'research'] };
    expect(waysOut(some, { codes }, add)).toEqual([['request.codes', ['trade', 'research']]]);
  });

  test('takes away what is known, and leaves of a set of places one at least', () => {
    const remove = {
      'request.people.place': [{ to: 'remove' }],
      'request.places': [{ to: 'remove' }],
    };
    const people = { fact: 'request.people.place', isNoneOf: ['JP'] };
    expect(waysOut(people, { people: [{ place: 'JP' }] }, remove)).toEqual([
      ['request.people', []],
    ]);
    expect(waysOut(people, { people: [{ place: 'JP' }, {}] }, remove)).toEqual([]);
    const places = { fact: 'request.places', isPartOf: ['RW', 'KE'] };
    expect(waysOut(places, { places: ['JP', 'KE', 'US'] }, remove)).toEqual([
      ['request.places', ['KE']],
    ]);
    expect(waysOut(places, { places: ['JP', 'US'] }, remove)).toEqual([]);
  });

  test('leads through a union to each set that has what must go', () => {
    const none = { fact: 'abroad', isNoneOf: ['JP'] };
    const request = { places: ['JP', 'KE'], people: [{ place: 'JP' }, { place: 'UG' }] };
    const to = (kind: string): Ways => ({
      'request.places': [{ to: kind }],
      'request.people.place': [{ to: kind }],
    });
    expect(waysOut(none, request, to('remove'))).toEqual([
      ['request.places', ['KE'], 'request.people', [{ place: 'UG' }]],
    ]);
    expect(waysOut(none, request, to('home'))).toEqual([
      ['request.places', ['RW'], 'request.people', []],
    ]);
    const onlyOne = { 'request.places': [{ to: 'remove' }] };
    expect(waysOut(none, request, onlyOne)).toEqual([]);
    expect(waysOut(none, { ...request, people: [{ place: 'UG' }] }, onlyOne)).toEqual([
      ['request.places', ['KE']],
    ]);
    expect(
      waysOut({ not: { nonempty: 'abroad' } }, { ...request, people: [] }, to('home')),
    ).toEqual([['request.places', ['RW']]]);
  });

  test('changes either side of a comparison', () => {
    const limit = { 'request.limit': [{ to: 'reach' }], 'request.count': [{ to: 'reach' }] };
    const within = { fact: 'request.count', lteq: { fact: 'request.limit' } };
    expect(waysOut(within, { count: 5, limit: 3 }, limit)).toEqual([
      ['request.count', 3],
      ['request.limit', 5],
    ]);
    const words = { fact: 'request.codes', isPartOf: { fact: 'request.words' } };
    const either = { 'request.words': [{ to: 'add' }], 'request.codes': [{ to: 'remove' }] };
    const request = { codes: ['care', 'trade'], words: ['care'] };
    expect(waysOut(words, request, either)).toEqual([
      ['request.codes', ['care']],
      ['request.words', ['care', 'trade']],
    ]);
    const has = { fact: 'request.words', hasPart: { fact: 'request.purpose' } };
    expect(waysOut(has, { purpose: 'care', words: [] }, either)).toEqual([
      ['request.words', ['care']],
    ]);
  });

  test('states what fits all that is asked of it', () => {
    const state = { 'request.asked': [{ to: 'state' }], 'request.yes': [{ to: 'state' }] };
    const both = (...of: object[]): unknown => waysOut({ and: of }, {}, state);
    const low = { fact: 'request.asked', eq: 'low' };
    const any = { fact: 'request.asked', isAnyOf: ['high', 'low'] };
    expect(both(any, low)).toEqual([['request.asked', 'low']]);
    expect(both(low, { fact: 'request.asked', neq: 'low' })).toEqual([]);
    expect(waysOut(low, { asked: 'high' }, state)).toEqual([]);
    expect(both({ not: 'request.yes' })).toEqual([['request.yes', false]]);
  });

  test('leads to what is true only where another fact says so', () => {
    const when = { 'request.yes': [{ to: 'value', values: [true], when: 'request.no' }] };
    expect(waysOut('request.yes', { yes: false, no: true }, when)).toEqual([['request.yes', true]]);
    expect(waysOut('request.yes', { yes: false, no: false }, when)).toEqual([]);
    expect(waysOut('request.yes', { yes: false }, when)).toEqual([]);
  });

  test('leads through derived facts, however they are compared', () => {
    for (const isFalse of [
      { fact: 'sure', neq: true },
      { fact: 'sure', eq: false },
      { not: 'sure' },
    ])
      expect(waysOut(isFalse, { yes: true, no: false }, isYes)).toEqual([['request.yes', false]]);
    for (const isTrue of ['sure', { fact: 'sure', eq: true }, { fact: 'sure', neq: false }])
      expect(waysOut(isTrue, { yes: false, no: false }, isYes)).toEqual([['request.yes', true]]);
    expect(waysOut('sure', { yes: false, no: true }, isYes)).toEqual([]);
    const same = { fact: 'sure', eq: { fact: 'request.yes' } };
    expect(waysOut(same, { yes: true, no: true }, isYes)).toEqual([['request.yes', false]]);
  });

  test('makes exactly one of several true, or breaks that', () => {
    const both = { ...isYes, 'request.count': [{ to: 'reach' }] };
    const few = { fact: 'request.count', lt: 5 };
    const one = { xone: ['request.yes', few] };
    expect(waysOut(one, { yes: true, count: 3 }, both)).toEqual([
      ['request.count', 5],
      ['request.yes', false],
    ]);
    expect(waysOut(one, { yes: false, count: 7 }, both)).toEqual([
      ['request.count', 4],
      ['request.yes', true],
    ]);
    expect(waysOut({ not: one }, { yes: true, count: 7 }, both)).toEqual([
      ['request.count', 4],
      ['request.yes', false],
    ]);
  });
});
