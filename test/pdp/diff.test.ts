import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DiffLine, diffPolicies, type PolicyDiff } from '../../src/pdp/diff.ts';
import { parsePolicy, type PolicyDocument } from '../../src/pdp/document.ts';
import { renderPolicy } from '../../src/pdp/render.ts';
import { policyDocument, program, ruleOf } from './support.ts';

const { pack } = program;

function documentOf(source: object): PolicyDocument {
  const parsed = parsePolicy('policy.yaml', JSON.stringify(source));
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join());
  return parsed.source.content;
}

function diff(before: object, after: object): PolicyDiff {
  return diffPolicies(documentOf(before), documentOf(after), pack, 'en');
}

const lines = (each: readonly DiffLine[]): string[] => each.map(({ mark, text }) => mark + text);
const rule = (id: string, ...of: readonly string[]): object =>
  ruleOf(id, { outcome: [{ when: { or: of }, effect: 'permit' }] });

describe('What a version of a policy changes', () => {
  test('is nothing where both read the same', () => {
    const source = policyDocument([rule('ONE', 'a'), rule('TWO', 'b')]);
    const turned = policyDocument([rule('TWO', 'b'), rule('ONE', 'a')]);
    expect(diff(source, source)).toEqual({ policy: [], rules: [] });
    expect(diff(source, turned)).toEqual({ policy: [], rules: [] });
  });

  test('is told by rule, with the lines that stay around those that go and come', () => {
    const before = policyDocument([rule('KEPT', 'a'), rule('GONE', 'b'), rule('OTHER', 'a', 'b')]);
    const after = policyDocument([rule('OTHER', 'a', 'c'), rule('KEPT', 'a'), rule('NEW', 'd')]);
    const { policy, rules } = diff(before, after);
    expect(policy).toEqual([]);
    expect(rules.map((each) => [each.rule, each.change])).toEqual([
      ['GONE', 'removed'],
      ['OTHER', 'changed'],
      ['NEW', 'added'],
    ]);
    const [gone, other, added] = rules.map((each) => lines(each.lines));
    expect(gone?.[1]).toBe('-## GONE: GONE');
    expect(gone?.every((line) => line.startsWith('-'))).toBe(true);
    expect(added?.[1]).toBe('+## NEW: NEW');
    expect(added?.every((line) => line.startsWith('+'))).toBe(true);
    expect(other).toEqual([
      ' ',
      ' ## OTHER: OTHER',
      ' ',
      ' OTHER',
      ' ',
      ' Applies when:',
      ' ',
      ' - always',
      ' ',
      ' Result:',
      ' ',
      ' - permission, when:',
      '   - at least one of these is true:',
      '     - **a**: yes',
      '-    - **b**: yes',
      '+    - **c**: yes',
      ' ',
      ' Sources:',
      ' ',
      ' - law, Art. 1 (confidence: high)',
      ' ',
    ]);
  });

  test('is told of the policy itself without what stays', () => {
    const before = policyDocument([rule('ONE', 'a')]);
    const after = policyDocument([rule('ONE', 'a')], { version: 2, title: { en: 'Other' } });
    const { policy, rules } = diff(before, after);
    expect(lines(policy)).toEqual([
      '-# Title',
      '+# Other',
      '-- Policy: test-policy, version 1',
      '+- Policy: test-policy, version 2',
    ]);
    expect(rules).toEqual([]);
  });

  const some = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 1 });
  const textOf = (source: object): string[] =>
    renderPolicy(documentOf(source), pack, 'en').split('\n');

  test('leads from one text to the other, with the fewest lines', () => {
    fc.assert(
      fc.property(some, some, (one, other) => {
        const [from, to] = [
          policyDocument([rule('RULE', ...one)]),
          policyDocument([rule('RULE', ...other)]),
        ];
        const [changed] = diff(from, to).rules;
        const all = changed?.lines ?? [];
        if (one.join() === other.join()) expect(all).toEqual([]);
        else {
          expect(textOf(from).join('\n')).toContain(
            all.flatMap(({ mark, text }) => (mark === '+' ? [] : [text])).join('\n'),
          );
          expect(textOf(to).join('\n')).toContain(
            all.flatMap(({ mark, text }) => (mark === '-' ? [] : [text])).join('\n'),
          );
          const kept = all.filter(({ mark, text }) => mark === ' ' && text.includes('**')).length;
          expect(kept).toBe(longestCommon(one, other));
        }
      }),
    );
  });
});

/** By trying all: the length of the longest list that is in both, in order. */
function longestCommon(one: readonly string[], other: readonly string[]): number {
  const [first, ...rest] = one;
  if (first === undefined) return 0;
  const at = other.indexOf(first);
  const without = longestCommon(rest, other);
  return at < 0 ? without : Math.max(without, 1 + longestCommon(rest, other.slice(at + 1)));
}
