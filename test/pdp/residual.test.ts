/** What is left of policies once a request is known. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildExtension } from '../../src/pdp/build.ts';
import { boundTo, withExtensions } from '../../src/pdp/compose.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { type Predicate, Predicates } from '../../src/pdp/predicate.ts';
import { type Extension, loadFacts, type Program } from '../../src/pdp/program.ts';
import { residual } from '../../src/pdp/residual.ts';
import { conditionSource as sourceOf } from '../../src/pdp/source.ts';
import { CASES, KINDS, tree, vocabulary } from './conditions.ts';
import { isTrueOf } from './answers.ts';
import { built, factAt, policyDocument, ruleOf, smallPack, withFact } from './support.ts';
import { inParts } from './vectors.ts';

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
      clear: { kind: 'constant', value: true },
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

/** Facts of `conditions.ts` that a dataset states here, and no request. */
const STORED =
  /request\.(count|limit|share|until|other|words|kinds|places|people|paper|thing|consent)\b/g;
/** Others that it might state as well. */
const MORE = /request\.(yes|no|from|purpose|other|asked|codes|words|place|people)\b/g;

function stored<T>(value: T, which = STORED): T {
  return JSON.parse(JSON.stringify(value).replaceAll(which, 'dataset.$1')) as T;
}

/** A case with what is stored said of the dataset. */
function storedFacts(facts: Facts, which = STORED): Facts {
  const request = Object.entries<unknown>((facts.request ?? {}) as Record<string, unknown>);
  const isStored = ([key]: [string, unknown]): boolean => `request.${key}`.match(which) !== null;
  return {
    dataset: { ...(facts.dataset as object), ...Object.fromEntries(request.filter(isStored)) },
    request: Object.fromEntries(request.filter((each) => !isStored(each))),
  };
}

function answerOf(rest: ReturnType<typeof residual>, dataset: unknown): string {
  if (!isTrueOf(rest.allowed, dataset)) return 'deny';
  if (isTrueOf(rest.review, dataset)) return 'review';
  return isTrueOf(rest.permitted, dataset) ? 'permit' : 'deny';
}

describe('What is left', () => {
  const pack = stored(vocabulary) as { facts: Record<string, unknown> };
  const withPublisher = {
    ...pack,
    facts: {
      ...pack.facts,
      'dataset.publisher': { type: 'code', source: 'request', title: { en: 'x' }, basis: 'test' },
    },
  };
  const base = built(withPublisher, policyDocument([permitting]));
  const condition = tree
    .map((each) => stored(sourceOf(each)))
    .filter((each) => !/R-ONE|R-TWO/.test(JSON.stringify(each)));
  const effects = fc.constantFrom('deny', 'review', 'permit', 'oblige');
  const rule = fc.record({
    applies: fc.option(condition, { nil: true }),
    holds: fc.option(condition),
    when: fc.option(condition),
    then: fc.option(effects, { freq: 2 }),
    effect: effects,
  });
  const rules = fc.array(rule, { minLength: 1, maxLength: 3 }).map((all) =>
    all.map(({ applies, holds, when, then, effect }, i) => {
      const outcomes = when === null ? effect : [{ when, effect }, { effect: 'review' }];
      const parts =
        holds === null
          ? { applies, outcome: outcomes }
          : { applies, holds, ...(then && { then }), otherwise: outcomes };
      const refers = i > 0 && parts.applies === true ? { applies: { applies: `X-${i - 1}` } } : {};
      return ruleOf(`X-${i}`, {
        ...parts,
        ...refers,
        obligation: { sentence: { en: 'x' }, due: 'throughout', evidence: { en: 'x' } },
      });
    }),
  );
  const request = fc.constantFrom(...CASES).map(storedFacts);
  const datasets = fc.array(fc.constantFrom(...CASES), { minLength: 12, maxLength: 12 });

  test('answers for every dataset what the policies answer for it', () => {
    fc.assert(
      fc.property(rules, request, datasets, fc.boolean(), (own, asked, all, isBound) => {
        const document = policyDocument(own, isBound ? { owner: 'moh' } : {});
        const part = buildExtension(base, { file: 'x', text: JSON.stringify(document) });
        // A document is held to the types of what a union unites; a condition by itself is not.
        fc.pre(part.ok);
        const program = withExtensions(base, [part.value]);
        const rest = residual(program, asked.request, {}, new Predicates());
        for (const [i, each] of all.entries()) {
          const publisher = ['moh', 'nisr', undefined][i % 3];
          const { dataset } = withFact(storedFacts(each), 'dataset.publisher', publisher);
          const facts = { dataset, request: asked.request };
          const bound = boundTo(program, facts);
          const { effect } = evaluate(bound, loadFacts(bound, facts));
          expect(answerOf(rest, dataset), JSON.stringify(dataset)).toBe(effect);
          const isPermitted = isTrueOf(rest.clear, dataset) && isTrueOf(rest.permitted, dataset);
          expect(isPermitted, JSON.stringify(dataset)).toBe(effect === 'permit');
        }
      }),
      { numRuns: 400 },
    );
  });

  const ofType = (type: string): object => ({
    type,
    source: 'request',
    title: { en: 'x' },
    basis: 'test',
  });

  test.each(['eq', 'neq', 'lt', 'lteq', 'gt', 'gteq'])(
    'compares moments and days: %s',
    (operator) => {
      const moments = ['2026-01-01T00:00:00Z', '2026-01-01T02:00:00+02:00', '2026-01-02T00:00:00Z'];
      const days = ['2026-01-01', '2026-01-02', '2026-01-03'];
      const facts = {
        ...(smallPack() as { facts: object }).facts,
        'dataset.at': ofType('datetime'),
        'dataset.on': ofType('date'),
      };
      for (const [fact, values] of [
        ['at', moments],
        ['on', days],
      ] as const)
        for (const right of [
          values[1],
          { fact: fact === 'at' ? 'request.as_of' : 'request.from' },
        ]) {
          const holds = { fact: `dataset.${fact}`, [operator]: right };
          const program = built(
            smallPack({ facts }),
            policyDocument([permitting, ruleOf('X-1', { holds, otherwise: 'deny' })]),
          );
          const asked = { as_of: moments[2], from: days[0] };
          const rest = residual(program, asked, {}, new Predicates());
          for (const value of [...values, undefined]) {
            const dataset = { [fact]: value };
            const { effect } = evaluate(program, loadFacts(program, { dataset, request: asked }));
            expect(answerOf(rest, dataset), JSON.stringify([holds, value])).toBe(effect);
          }
        }
    },
  );

  // Of what is not stated one is unknown, the other known to be none.
  const more = { fact: 'dataset.count', gt: 1 };
  const until = { exists: 'dataset.until' };
  test.each<[string, ...object[]]>([
    ['that a permission may apply', ruleOf('X-1', { applies: more, outcome: 'permit' })],
    ['that a prohibition may apply', ruleOf('X-1', { applies: more, outcome: 'deny' })],
    [
      'whether another rule applies',
      permitting,
      ruleOf('X-1', { applies: more, holds: until, otherwise: 'review' }),
      ruleOf('X-2', { holds: { not: { applies: 'X-1' } }, otherwise: 'deny' }),
    ],
    [
      'whether another rule applies and holds',
      permitting,
      ruleOf('X-1', { applies: more, holds: until, otherwise: 'review' }),
      ruleOf('X-2', { holds: { holds: 'X-1' }, otherwise: 'deny' }),
    ],
    [
      'which outcome comes first',
      permitting,
      ruleOf('X-1', {
        holds: 'request.yes',
        otherwise: [
          { when: more, effect: 'review' },
          { when: until, effect: 'permit' },
          { effect: 'deny' },
        ],
      }),
    ],
    [
      'what a rule permits that may hold',
      ruleOf('X-1', { holds: more, then: 'permit', otherwise: 'deny' }),
    ],
    [
      'which of three outcomes is come to',
      ruleOf('X-1', {
        applies: until,
        outcome: [
          { when: more, effect: 'permit' },
          { when: 'request.yes', effect: 'deny' },
          { effect: 'review' },
        ],
      }),
    ],
    [
      'how many of three are so',
      permitting,
      ruleOf('X-1', { holds: { xone: [more, until, 'request.yes'] }, otherwise: 'deny' }),
    ],
    [
      'whether a derived fact is known, and which it is',
      permitting,
      ruleOf('X-1', { holds: { exists: 'many' }, otherwise: 'deny' }),
      ruleOf('X-2', { holds: { fact: 'many', eq: { fact: 'request.yes' } }, otherwise: 'review' }),
      ruleOf('X-3', { holds: { fact: 'many', neq: { fact: 'late' } }, otherwise: 'review' }),
    ],
  ])('answers, of %s, for every dataset', (_, ...own) => {
    for (const combining of [undefined, 'review_first']) {
      const title = { en: 'x' };
      const derived = { many: { title, condition: more }, late: { title, condition: until } };
      const program = built({ ...withPublisher, derived, combining }, policyDocument(own));
      for (const asked of [{}, { yes: true }, { yes: false }]) {
        const rest = residual(program, asked, {}, new Predicates());
        for (const count of [1, 2, undefined])
          for (const each of ['2026-01-01', undefined]) {
            const dataset = { count, until: each };
            const { effect } = evaluate(program, loadFacts(program, { dataset, request: asked }));
            expect(answerOf(rest, dataset), JSON.stringify([dataset, asked])).toBe(effect);
          }
      }
    }
  });

  const pools = [
    ['amounts, sets and objects', STORED],
    ['answers, codes and places', MORE],
  ] as const;
  // The operators of sets take so many operands that every third pair says it all.
  const single = KINDS.map(
    ([name, all]) => [name, all.filter((_, i) => all.length < 500 || i % 3 === 0)] as const,
  );
  const rows = pools.flatMap(([what, which]) =>
    single.flatMap(([name, all]) =>
      inParts(all, 100).map(([at, part]) => [name, what, at, { which, part }] as const),
    ),
  );
  test.each(rows)(
    'of %s by itself answers for every dataset that states %s, from %i on',
    (_, __, at, { which, part }) => {
      const empty = built(stored(vocabulary, which));
      for (const [i, each] of part.entries()) {
        const holds = stored(sourceOf(each), which);
        const one = ruleOf('ONE', { holds, then: 'permit', otherwise: 'deny' });
        const text = JSON.stringify(policyDocument([one]));
        const made = buildExtension(empty, { file: 'x', text });
        // A document is held to the types of what a union unites; a condition by itself is not.
        if (!made.ok) continue;
        const program = withExtensions(empty, [made.value]);
        const from = ((at + i) * 7) % (CASES.length - 8);
        const [asked = {}, ...others] = CASES.slice(from, from + 8);
        const { request: known } = storedFacts(asked, which);
        const rest = residual(program, known, {}, new Predicates());
        for (const other of [...others, {}]) {
          const { dataset } = storedFacts(other, which);
          const facts = { dataset, request: known };
          const bound = boundTo(program, facts);
          expect(answerOf(rest, dataset), JSON.stringify([holds, dataset, known])).toBe(
            evaluate(bound, loadFacts(bound, facts)).effect,
          );
        }
      }
    },
  );

  test('reads facts of the request that the dataset states under another name', () => {
    const of = built(
      withPublisher,
      policyDocument([
        permitting,
        ruleOf('PLACE', { holds: { fact: 'request.place', eq: 'KE' }, otherwise: 'deny' }),
        ruleOf('PURPOSE', {
          applies: { exists: 'request.purpose' },
          holds: { fact: 'request.purpose', isA: 'care' },
          otherwise: 'review',
        }),
      ]),
    );
    const mirrored = { 'request.place': 'where', 'request.purpose': 'why.first' };
    const rest = residual(of, { yes: true }, mirrored, new Predicates());
    for (const place of ['KE', 'JP', undefined])
      for (const purpose of ['hiv_care', 'research', undefined]) {
        const dataset = { where: place, why: { first: purpose } };
        const facts = { request: { yes: true, place, purpose } };
        const effect = evaluate(of, loadFacts(of, facts)).effect;
        expect(answerOf(rest, dataset)).toBe(effect);
        expect(factAt(dataset, 'why.first')).toBe(purpose);
      }
  });
});
