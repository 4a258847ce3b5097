import { describe, expect, test } from 'vitest';
import { casesOf, testCase } from '../../src/pdp/cases.ts';
import { program } from './support.ts';

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
