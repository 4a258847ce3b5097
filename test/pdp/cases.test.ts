import { describe, expect, test } from 'vitest';
import { casesOf, testCase } from '../../src/pdp/cases.ts';
import { built, policyDocument, program, ruleOf, smallPack } from './support.ts';

const scenario = (dataset: object, changes: readonly object[]): string =>
  JSON.stringify([
    {
      id: 'PARENT',
      dataset,
      request: {},
      variants: changes.map((change) => ({ id: 'V', change })),
    },
  ]);

describe('Variants of a case', () => {
  test('share what they do not change, so that many of a large parent take no room', () => {
    const dataset = { id: 'd', permitted_purposes: ['a'], sovereignty: { deep: { x: 1, y: 2 } } };
    const [parent, ...variants] = casesOf(
      'cases',
      scenario(dataset, [
        {
          'dataset.sovereignty.deep.x': 3,
          'dataset.sovereignty.deep.z': 4,
          'request.new.member': 5,
        },
        { 'dataset.id': 'other' },
      ]),
    );
    expect(parent?.facts).toEqual({ dataset, request: {} });
    expect(variants.map(({ facts }) => facts)).toEqual([
      {
        dataset: { ...dataset, sovereignty: { deep: { x: 3, y: 2, z: 4 } } },
        request: { new: { member: 5 } },
      },
      { dataset: { ...dataset, id: 'other' }, request: {} },
    ]);
    const listOf = (facts: unknown): unknown =>
      (facts as { dataset: typeof dataset }).dataset.permitted_purposes;
    for (const { facts } of variants) expect(listOf(facts)).toBe(listOf(parent?.facts));
  });

  test('change members of odd names as any others', () => {
    const [, variant] = casesOf(
      'cases',
      scenario({}, [{ '__proto__.x': 1, 'dataset.__proto__': 2 }]),
    );
    expect(Object.hasOwn(variant?.facts ?? {}, '__proto__')).toBe(true);
    expect(Object.hasOwn(variant?.facts.dataset as object, '__proto__')).toBe(true);
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });

  test.each([100, 20_000, 500_000])('with a path of %i levels are refused', (levels) => {
    const path = `dataset${'.a'.repeat(levels)}`;
    expect(() => casesOf('cases', scenario({}, [{ [path]: 1 }]))).toThrow(
      'cases: a path in V has more than 16 levels',
    );
  });
});

test('of many rules that do not exist a few come with the nearest one that does', () => {
  const misspelt = Array.from({ length: 20 }, (_, i) => [`RW-DPP-STOR${i}`, 'deny']);
  const problems = testCase(program, {
    id: 'MISSPELT',
    facts: { dataset: {}, request: {} },
    expected: { rules: Object.fromEntries(misspelt) },
  });
  expect(problems).toHaveLength(20);
  expect(problems.filter((each) => each.includes('RW-DPP-STORE'))).toHaveLength(5);
});

describe('A file of cases', () => {
  test('may hold one case, or many, in YAML or JSON', () => {
    const one = { id: 'ONE', dataset: { a: 1 }, request: { b: 2 }, expected: { decision: 'deny' } };
    const { id, expected, ...facts } = one;
    for (const file of ['cases.yaml', 'cases.json']) {
      expect(casesOf(file, JSON.stringify(one))).toEqual([{ id, facts, expected }]);
      expect(casesOf(file, JSON.stringify([one, one]))).toHaveLength(2);
    }
    expect(casesOf('cases.yaml', '- id: A\n- id: B\n')).toEqual([
      { id: 'A', facts: {}, expected: {} },
      { id: 'B', facts: {}, expected: {} },
    ]);
    expect(() => casesOf('.json.yaml', '- id: A')).not.toThrow();
  });

  test('says of a variant what is expected of it, or what stands beside its changes', () => {
    const variants = [
      { id: 'V', change: { 'request.a': 1 }, expected: { decision: 'deny' } },
      { id: 'W', change: {}, decision: 'permit' },
    ];
    const [parent, v, w] = casesOf('x.json', JSON.stringify({ id: 'P', expected: 1, variants }));
    expect(parent?.expected).toEqual({});
    expect(v).toEqual({ id: 'V', facts: { request: { a: 1 } }, expected: { decision: 'deny' } });
    expect(w?.expected).toMatchObject({ decision: 'permit' });
  });

  test('takes paths of sixteen levels', () => {
    const path = `request${'.a'.repeat(15)}`;
    const variants = [{ id: 'V', change: { [path]: 1, [`${path}b`]: 2 } }];
    const [, variant] = casesOf(
      'x.json',
      JSON.stringify({ id: 'P', request: { a: 'no object' }, variants }),
    );
    let at: unknown = variant?.facts.request;
    for (let i = 0; i < 14; i++) at = (at as { a: unknown }).a;
    expect(at).toEqual({ a: 1, ab: 2 });
  });

  const variant = (each: unknown): string =>
    JSON.stringify([{ id: 'A' }, { id: 'P', variants: [each] }]);
  test.each<[string, string, string]>([
    ['x.yaml', '[1]', 'x.yaml: case 1 has no "id"'],
    ['x.yaml', '[{id: A}, {id: 5}]', 'x.yaml: case 2 has no "id"'],
    ['x.yaml', 'text', 'x.yaml: case 1 has no "id"'],
    ['x.yaml', 'a: 1\na: 2', 'x.yaml:2:1: Map keys must be unique'],
    ['x.json', '{', 'x.json: Expected property name'],
    ['x.yaml', variant(1), 'x.yaml: a variant of P has no "id" or no "change"'],
    ['x.yaml', variant({ id: 1, change: {} }), 'a variant of P has no "id" or no "change"'],
    ['x.yaml', variant({ id: 'V', change: [] }), 'a variant of P has no "id" or no "change"'],
    ['x.yaml', variant({ change: {} }), 'a variant of P has no "id" or no "change"'],
  ])('%s that holds %s is refused', (file, text, message) => {
    expect(() => casesOf(file, text)).toThrow(message);
  });
});

describe('What is wrong with an answer is listed', () => {
  const obligation = { sentence: { en: 'x' }, due: 'throughout', evidence: { en: 'x' } };
  const small = built(
    smallPack(),
    policyDocument([
      ruleOf('PERMIT', { outcome: 'permit' }),
      ruleOf('DENY', { applies: 'request.no', outcome: 'deny' }),
      ruleOf('REVIEW', { applies: 'request.yes', outcome: 'review' }),
      ruleOf('OBLIGE', {
        applies: { fact: 'request.count', eq: 1 },
        outcome: 'oblige',
        obligation,
      }),
    ]),
  );
  const permitted = { yes: false, no: false, count: 0 };
  test.each<[object, object, string[]]>([
    [permitted, { decision: 'permit' }, []],
    [{ ...permitted, count: 1 }, { decision: 'permit_with_obligations' }, []],
    [{ ...permitted, yes: true }, { decision: 'needs_review', review: ['REVIEW'] }, []],
    [{ ...permitted, no: true }, { decision: 'deny', deny: ['DENY'], review: null }, []],
    [permitted, { decision: 'deny' }, ['expected deny, got permit ()']],
    [
      { ...permitted, count: 1 },
      { decision: 'permit' },
      ['expected permit, got permit_with_obligations (OBLIGE)'],
    ],
    [
      { ...permitted, no: true, yes: true },
      { decision: 'needs_review' },
      ['expected needs_review, got deny (DENY)'],
    ],
    [
      { ...permitted, yes: true },
      { decision: 'permit', review: [] },
      ['expected permit, got needs_review (REVIEW)', 'review: +REVIEW'],
    ],
    [permitted, {}, ['expected a "decision", got permit ()']],
    [permitted, { decision: 7, rules: {} }, ['expected a "decision", got permit ()']],
    [permitted, { rules: { PERMIT: 'permit', DENY: 'none' } }, []],
    [
      permitted,
      { rules: { PERMIT: 'deny', DENY: 1, OTHER: 'deny' } },
      [
        'PERMIT: expected deny, got permit',
        'DENY: expected 1, got none',
        'rules: there is no rule "OTHER" here',
      ],
    ],
    [
      permitted,
      { decision: 'permit', rules: [] },
      ['rules: expected rule ids, each with one of permit, deny, review, oblige, none'],
    ],
    [
      permitted,
      { decision: 'permit', deny: ['DENY', 'X'], review: 'REVIEW', obligations: [{}, 'X'] },
      [
        'deny: -DENY -X',
        'review: expected a list of rule ids',
        'obligations: expected a list of rule ids',
      ],
    ],
    [permitted, { decision: 'permit', obligations: [{ rule: 'X' }] }, []],
    [
      { ...permitted, no: true, count: 1 },
      { decision: 'deny', deny: ['X'], obligations: [] },
      ['deny: -X +DENY', 'obligations: +OBLIGE'],
    ],
    [
      permitted,
      { decision: 'permit', denny: [], what: 1 },
      ['unknown key "denny" (did you mean deny?)'],
    ],
    [
      { yes: 1, other: [] },
      { decision: 'permit' },
      [
        '/request/yes: expected true or false',
        '/request/other: expected a code: letters, digits, "_", "-", ".", ":", "/", "#", at most 200',
      ],
    ],
  ])('%j, where %j is expected', (request, expected, problems) => {
    expect(testCase(small, { id: 'C', facts: { request }, expected: { ...expected } })).toEqual(
      problems,
    );
  });
});
