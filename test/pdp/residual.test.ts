/** What is left of policies once a request is known. */

import { describe, expect, test } from 'vitest';
import { buildExtension } from '../../src/pdp/build.ts';
import { withExtensions } from '../../src/pdp/compose.ts';
import { type Predicate, Predicates } from '../../src/pdp/predicate.ts';
import type { Extension, Program } from '../../src/pdp/program.ts';
import { residual } from '../../src/pdp/residual.ts';
import { built, policyDocument, ruleOf, smallPack } from './support.ts';

const permitting = ruleOf('PERMIT', { outcome: 'permit' });

/** How many tests a predicate takes when it is written out. */
function testsIn(predicate: Predicate): number {
  if (predicate.kind === 'constant') return 0;
  if (predicate.kind === 'test') return 1;
  return predicate.of.reduce((sum, part) => sum + testsIn(part), 0);
}

function left(program: Program, request: unknown) {
  return residual(program, request, {}, new Predicates());
}

function stewards(base: Program, holds: (i: number) => unknown, count: number): Program {
  const cites = [{ instrument: 'choice', article: 'test', confidence: 'high' }];
  const extensions = Array.from({ length: count }, (_, i): Extension => {
    const rule = ruleOf(`X-${i}`, { holds: holds(i), otherwise: 'deny', cites });
    const document = policyDocument([rule], {
      policy: `x${i}`,
      layer: 'steward',
      instrument: 'choice',
      owner: `publisher-${i}`,
    });
    const made = buildExtension(base, { file: `x${i}`, text: JSON.stringify(document) });
    if (!made.ok) throw new Error(made.problems.map(({ message }) => message).join());
    return made.value;
  });
  return withExtensions(base, extensions);
}

describe('A known request', () => {
  const deny = ruleOf('DENY', { holds: 'request.yes', otherwise: 'deny' });

  test('settles rules that read nothing of a dataset', () => {
    const program = built(smallPack(), policyDocument([permitting, deny]));
    expect(left(program, { yes: true })).toEqual({
      allowed: { kind: 'constant', value: true },
      permitted: { kind: 'constant', value: true },
      review: { kind: 'constant', value: false },
    });
    expect(left(program, { yes: false }).allowed).toEqual({ kind: 'constant', value: false });
    expect(left(program, {}).review).toEqual({ kind: 'constant', value: true });
  });

  test('leaves a dataset fact that is not stated in its meaning', () => {
    const rule = ruleOf('HIGH', {
      holds: { fact: 'dataset.allowed', gteq: { fact: 'request.asked' } },
      otherwise: 'deny',
    });
    const program = built(smallPack(), policyDocument([permitting, rule]));
    expect(left(program, { asked: 'high' }).allowed).toMatchObject({
      kind: 'test',
      is: 'not_false',
      test: {
        kind: 'order',
        left: { fact: { absences: [{ value: 'lowest' }] } },
        right: { value: 2 },
      },
    });
  });
});

describe('Policies of many publishers', () => {
  const base = built(smallPack(), policyDocument([permitting]));

  test('that come to the same become one question', () => {
    const program = stewards(base, () => 'request.yes', 300);
    expect(testsIn(left(program, { yes: false }).allowed)).toBe(1);
    expect(testsIn(left(program, { yes: true }).allowed)).toBe(0);
    expect(testsIn(left(program, {}).review)).toBe(1);
  });

  test('that differ are passed over at once for a dataset of nobody of them', () => {
    const program = stewards(
      base,
      (i) => ({ fact: 'dataset.allowed', eq: ['lowest', 'highest'][i % 2] }),
      4,
    );
    const { allowed } = left(program, {});
    expect(testsIn(allowed)).toBe(4);
    const many = stewards(
      base,
      (i) => ({
        and: [
          { fact: 'dataset.allowed', eq: 'lowest' },
          { fact: 'dataset.publisher', neq: `publisher-${i + 1}` },
        ],
      }),
      50,
    );
    expect(left(many, {}).allowed).toMatchObject({
      kind: 'or',
      of: [
        { kind: 'test', is: 'false', test: { kind: 'in', values: { length: 50 } } },
        { kind: 'and' },
      ],
    });
  });
});

describe('Exactly one of many', () => {
  test('stays a question of their number', () => {
    const holds = {
      xone: Array.from({ length: 256 }, (_, i) => ({ fact: 'dataset.publisher', eq: `p${i}` })),
    };
    const rule = ruleOf('ONE', { holds, otherwise: 'deny' });
    const program = built(smallPack(), policyDocument([permitting, rule]));
    expect(testsIn(left(program, {}).allowed)).toBeLessThan(10_000);
  });
});
