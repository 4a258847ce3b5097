import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { type Facts, suggestion } from '../../src/pdp/facts.ts';
import { loadFacts } from '../../src/pdp/program.ts';
import {
  built,
  cases,
  cpuSeconds,
  factAt,
  leafSpecs,
  mutatedFacts,
  policyDocument,
  program,
  ruleOf,
  smallPack,
  statedPaths,
  withFact,
} from './support.ts';

const { vocabulary } = program;

const problemAt = (
  path: string,
  value: unknown,
): { path: string; expected: string } | undefined => {
  const problems = vocabulary.check(withFact({ dataset: {}, request: {} }, path, value));
  expect(problems.length).toBeLessThanOrEqual(1);
  return problems[0];
};

describe('check', () => {
  test('accepts the facts of every case, and what random changes with valid values make of them', () => {
    for (const { facts } of cases) expect(vocabulary.check(facts)).toEqual([]);
    fc.assert(
      fc.property(mutatedFacts, (facts) => {
        expect(vocabulary.check(facts)).toEqual([]);
      }),
    );
  });

  test.each([
    ['dataset.clasification', '/dataset/clasification', 'classification'],
    ['request.location', '/request/location', 'locations'],
    ['request.locations.storge', '/request/locations/storge', 'storage'],
    [
      'request.requester.ncsa_registration.valid_untill',
      '/request/requester/ncsa_registration/valid_untill',
      'valid_until',
    ],
    ['requests', '/requests', 'request'],
  ])('names %s, which does not exist, and what was meant', (path, pointer, meant) => {
    const problem = problemAt(path, 'x');
    expect(problem?.path).toBe(pointer);
    expect(problem?.expected).toMatch(new RegExp(`\\(did you mean ${meant}\\?\\)$`));
  });

  test('escapes a name in the pointer to it', () => {
    expect(vocabulary.check({ request: { 'a/b~c': 1 } })[0]?.path).toBe('/request/a~1b~0c');
  });

  test.each(['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'])(
    'knows no fact named %s',
    (name) => {
      for (const text of [
        `{"${name}":{}}`,
        `{"request":{"${name}":{"x":1}}}`,
        `{"request":{"locations":{"${name}":["RW"]}}}`,
      ]) {
        const facts: unknown = JSON.parse(text);
        expect(vocabulary.check(facts)).toHaveLength(1);
      }
      expect(vocabulary.get(name)).toBeUndefined();
      expect(vocabulary.checkAt(name, {})).toHaveLength(1);
    },
  );

  const wrong: Readonly<Record<string, readonly unknown[]>> = {
    boolean: ['true', 0, 1, [], {}],
    integer: ['1', 1.5, -1, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, [], true],
    number: ['1', -0.1, 101, Number.NaN, Number.POSITIVE_INFINITY, [], true],
    text: [1, true, [], 'x'.repeat(20_001), { en: 1 }],
    code: [1, '', ' ', 'a b', '<b>', 'é', 'x'.repeat(201), [], {}],
    enum: [1, '', 'nothing', 'Public', [], {}],
    country: ['rw', 'RWA', 'XX', '', 1, []],
    date: ['2026-02-30', '2026-10-15T00:00:00Z', 20_261_015, '', []],
    datetime: ['2026-10-15', '2026-10-15T09:00:00', 0, '', []],
    set: ['x', 1, {}, [1], [null], [['x']], [{}], [true]],
    list: ['x', 1, {}, [1], [null], ['RW'], [[]]],
    object: ['x', 1, true, [], [{}]],
  };

  test.each(vocabulary.specs.filter(({ path }) => !path.startsWith('request.recipients.')))(
    '$path: refuses every value that is no $type, and says what was expected',
    ({ path, type }) => {
      for (const value of wrong[type] ?? []) {
        const problem = problemAt(path, value);
        expect(
          problem?.path.startsWith(`/${path.replaceAll('.', '/')}`),
          JSON.stringify(value),
        ).toBe(true);
        expect(problem?.expected).not.toBe('');
      }
      expect(wrong[type]?.length).toBeGreaterThan(3);
      expect(problemAt(path, null)).toBeUndefined();
    },
  );

  test('says which value of an enumeration was meant', () => {
    expect(problemAt('dataset.classification', 'pubic')?.expected).toMatch(/did you mean public\?/);
    expect(problemAt('request.output.type', 'model_weight')?.expected).toMatch(
      /did you mean model_weights\?/,
    );
  });

  test('refuses a value twice in one set, at its second place', () => {
    expect(problemAt('request.locations.storage', ['RW', 'JP', 'RW'])).toEqual({
      path: '/request/locations/storage/2',
      expected: 'each value once',
    });
  });

  test('looks into each recipient', () => {
    expect(problemAt('request.recipients', [{ country: 'JP' }, { country: 'Japan' }])?.path).toBe(
      '/request/recipients/1/country',
    );
    expect(problemAt('request.recipients', [{ land: 'JP' }])?.path).toBe(
      '/request/recipients/0/land',
    );
  });

  test.each([null, undefined, 1, 'x', [], [{}]])(
    'refuses %j as the whole of the facts',
    (facts) => {
      expect(vocabulary.check(facts)).toHaveLength(1);
    },
  );

  test('throws on no JSON at all', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 6 }),
        fc.constantFrom(...leafSpecs),
        (value, { path }) => {
          vocabulary.check(value);
          vocabulary.check(withFact({ dataset: {}, request: {} }, path, value));
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('a branch', () => {
  test('is checked as the whole would be, with pointers from the branch', () => {
    expect(vocabulary.checkAt('dataset', { sector: 'helth' })[0]).toEqual({
      path: '/sector',
      expected: expect.stringContaining('did you mean health?'),
    });
    expect(vocabulary.checkAt('request.agreement', { binding: 'yes' })[0]?.path).toBe('/binding');
    expect(vocabulary.checkAt('request.as_of', '2026-10-15')).toHaveLength(1);
    expect(vocabulary.checkAt('request.nothing', {})).toHaveLength(1);
    expect(vocabulary.checkAt('dataset', [])).toHaveLength(1);
  });
});

describe('size', () => {
  const codes = (prefix: string): string[] =>
    Array.from({ length: 100_000 }, (_, i) => `${prefix}-${i}`);

  test('a set of 100,000 is checked and decided in about a second; one more is refused', () => {
    const [base] = cases;
    const many = codes('purpose');
    const stating = (...paths: string[]): Facts =>
      paths.reduce((at, path) => withFact(at, path, many), base?.facts ?? {});
    // Purposes are those of the pack, and are decided on whatever they are.
    const facts = stating('dataset.permitted_purposes', 'dataset.prohibited_purposes');
    const open = stating('dataset.duo.institutions', 'dataset.duo.projects');
    const spent = cpuSeconds(() => {
      expect(vocabulary.check(open)).toEqual([]);
      expect(evaluate(program, loadFacts(program, facts)).deny).toContain('RW-DPP-PURPOSE');
    });
    expect(spent).toBeLessThan(1.5);
    expect(vocabulary.check(facts)).toHaveLength(100);
    expect(vocabulary.check(withFact(open, 'dataset.duo.projects', [...many, 'x']))).toHaveLength(
      1,
    );
  });

  test('of a hundred thousand mistakes the first hundred are listed, in well under a second', () => {
    const names = Object.fromEntries(codes('classificatio').map((name) => [name, 1]));
    const sensitive_categories = codes('health_statu');
    const recipients = codes('x').map((country) => ({ country }));
    const spent = cpuSeconds(() => {
      for (const facts of [
        { dataset: names },
        { dataset: { sensitive_categories } },
        { request: { recipients } },
      ]) {
        expect(vocabulary.check(facts)).toHaveLength(100);
      }
    });
    expect(spent).toBeLessThan(1);
  });

  test('a hundred thousand recipients are decided in about a second', () => {
    const recipients = Array.from({ length: 100_000 }, (_, i) => ({
      country: i % 2 ? 'RW' : 'JP',
    }));
    const facts = withFact(cases[0]?.facts ?? {}, 'request.recipients', recipients);
    const spent = cpuSeconds(() => {
      expect(vocabulary.check(facts)).toEqual([]);
      expect(evaluate(program, loadFacts(program, facts)).effect).toBe('permit');
    });
    expect(spent).toBeLessThan(1.5);
  });
});

describe('load', () => {
  test('members of a list in what is no object, or is not there, are a set all the same', () => {
    const list = { type: 'list', source: 'request', title: { en: 'List' }, basis: 'test' };
    const { facts } = smallPack() as { facts: Record<string, object> };
    const tested = built(
      smallPack({
        facts: {
          ...facts,
          'request.paper.readers': list,
          'request.paper.readers.place': { ...list, type: 'country' },
        },
      }),
      policyDocument([
        ruleOf('R-ONE', { applies: { nonempty: 'request.paper.readers.place' }, outcome: 'deny' }),
        ruleOf('R-TWO', { applies: { nonempty: 'abroad' }, outcome: 'deny' }),
      ]),
    );
    expect(evaluate(tested, loadFacts(tested, { request: {} })).deny).toEqual(['R-TWO']);
    expect(evaluate(tested, loadFacts(tested, { request: 5 })).deny).toEqual(['R-ONE', 'R-TWO']);
  });

  const slot = (facts: Facts, path: string): unknown =>
    loadFacts(program, facts)[vocabulary.slotOf(path) ?? -1];

  test('never counts a value that check refuses as "there is none"', () => {
    const known: string[] = [];
    for (const { path } of vocabulary.specs.filter(
      ({ type }) => type === 'object' || type === 'set',
    )) {
      for (const value of ['x', 1, true, [{}]]) {
        for (const above of [path, path.slice(0, path.lastIndexOf('.'))]) {
          const loaded = slot(withFact({ dataset: {}, request: {} }, above, value), path);
          const unknown = loaded === undefined || (loaded as { open?: boolean }).open === true;
          if (!unknown) known.push(`${above} = ${JSON.stringify(value)}`);
        }
      }
    }
    expect(known).toEqual([]);
  });

  test('leaves open whether there is an object whose absence means nothing', () => {
    const { facts } = smallPack() as { facts: Record<string, object> };
    const paper = { ...facts['request.paper'], absent: undefined };
    const pack = smallPack({ facts: { ...facts, 'request.paper': paper } });
    const rule = ruleOf('PAPER', { holds: { exists: 'request.paper' }, otherwise: 'deny' });
    const open = built(pack, policyDocument([rule]));
    const { review } = evaluate(open, loadFacts(open, {}));
    expect(review).toEqual(['PAPER']);
    expect(evaluate(open, loadFacts(open, { request: { paper: {} } })).review).toEqual([]);
  });

  test('tells an empty set from an absent one, and both from an unknown one', () => {
    const outputs = 'dataset.sovereignty.outputs_allowed';
    const none = slot({}, outputs);
    expect(slot(withFact({}, outputs, []), outputs)).not.toBe(none);
    expect(slot(withFact({}, outputs, []), outputs)).toEqual(none);
    expect(slot({}, 'dataset.permitted_purposes')).toEqual({ items: [], open: true });
  });

  test('leaves the countries of recipients open as soon as one is not stated', () => {
    const country = 'request.recipients.country';
    const of = (recipients: unknown): unknown => slot({ request: { recipients } }, country);
    expect(of([{ country: 'JP' }, { country: 'JP' }, { country: 'RW' }])).toEqual({
      items: ['JP', 'RW'],
      open: false,
    });
    expect(of([{ country: 'JP' }, { name: 'x' }])).toEqual({ items: ['JP'], open: true });
    expect(of([])).toEqual({ items: [], open: false });
    expect(of(null)).toEqual({ items: [], open: true });
  });

  test('reads only what belongs to the facts themselves', () => {
    const poc: unknown = JSON.parse('{"__proto__":{"end":"2099-01-01","stage":"pilot"}}');
    expect(slot({ request: { poc } }, 'request.poc.end')).toBeUndefined();
  });

  test('changes nothing in the facts that it is given', () => {
    for (const { facts } of cases) {
      const before = JSON.stringify(facts);
      evaluate(program, loadFacts(program, facts));
      expect(JSON.stringify(facts)).toBe(before);
      for (const path of statedPaths(facts)) expect(factAt(facts, path)).toBeDefined();
    }
  });
});

describe('what a caller may say', () => {
  const asked = (said: string): { kept: unknown; ignored: Record<string, unknown> } => {
    const ignored = new Map<string, unknown>();
    const kept = vocabulary.sayable(
      'request',
      JSON.parse(said) as Record<string, unknown>,
      ignored,
    );
    return { kept, ignored: Object.fromEntries(ignored) };
  };

  test('is what is no fact of a register, at any depth', () => {
    const said = {
      purpose: 'research',
      sector: 'health',
      dpia: { ref: 'mine' },
      output: { type: 'statistics', disclosure_test: 'passed' },
      nonsense: { deep: true },
      locations: { storage: ['RW'], moon: ['JP'] },
      hosting: null,
    };
    expect(asked(JSON.stringify(said))).toEqual({
      kept: {
        purpose: 'research',
        output: { type: 'statistics' },
        locations: { storage: ['RW'] },
      },
      ignored: {
        'request.sector': 'health',
        'request.dpia': { ref: 'mine' },
        'request.output.disclosure_test': 'passed',
      },
    });
  });

  test('is the very object where nothing is left out, and never what all objects have', () => {
    const said = { purpose: 'research', locations: { storage: ['RW'] }, agreement: undefined };
    expect(vocabulary.sayable('request', said, new Map())).toBe(said);
    for (const name of ['__proto__', 'constructor', 'toString']) {
      const { kept, ignored } = asked(`{"${name}":{"end":"2099-01-01"},"purpose":"research"}`);
      expect(kept).toEqual({ purpose: 'research' });
      expect(Object.keys(kept as object)).toEqual(['purpose']);
      expect(ignored).toEqual({});
    }
  });

  test('of a branch that is none is nothing', () => {
    expect(vocabulary.sayable('moon', { purpose: 'research' }, new Map())).toEqual({});
  });
});

test('a blank has all names of a branch, sorted, and states nothing', () => {
  const blank = vocabulary.blank('request');
  expect(Object.keys(blank)).toEqual(Object.keys(blank).toSorted());
  expect(Object.keys(blank)).toContain('purpose');
  expect(JSON.stringify(blank)).toBe('{}');
  expect(vocabulary.check({ request: blank })).toEqual([]);
  blank['purpose'] = 'research';
  expect(vocabulary.blank('request')['purpose']).toBeUndefined();
  expect(vocabulary.blank('moon')).toEqual({});
});

describe('suggestion', () => {
  test('is the nearest name within two edits, or nothing', () => {
    expect(suggestion('storge', ['storage', 'access_from'])).toBe(' (did you mean storage?)');
    expect(suggestion('x', ['storage'])).toBe('');
    expect(suggestion('storage_place', ['storage'])).toBe('');
    expect(suggestion(12, ['12'])).toBe('');
    expect(suggestion('s'.repeat(101), ['s'.repeat(101)])).toBe('');
  });
});
