import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildExtension, buildProgram } from '../../src/pdp/build.ts';
import { boundTo, whole, withExtensions } from '../../src/pdp/compose.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { explain } from '../../src/pdp/explain.ts';
import { type Extension, loadFacts, type Program } from '../../src/pdp/program.ts';
import { mutatedFacts, packFiles, policyDocument, program, ruleOf, withFact } from './support.ts';

const SECTORS = ['health', 'agriculture', 'education'];

/** A policy of a steward or of the nation, bound in one of the four ways, with rules that refer. */
const policy = fc.record({
  owner: fc.constantFrom('moh', 'nisr', undefined),
  target: fc.constantFrom(
    undefined,
    { fact: 'dataset.id', isAnyOf: ['rbc-hiv', 'moh-emr'] },
    { fact: 'dataset.sector', eq: 'health' },
    {
      and: [
        { fact: 'dataset.personal_data', neq: 'none' },
        { not: { fact: 'dataset.classification', eq: 'public' } },
      ],
    },
  ),
  holds: fc.constantFrom<unknown>(
    { fact: 'request.purpose', eq: 'public_health_planning' },
    { fact: 'request.locations.processing', isPartOf: ['RW'] },
    { applies: 'AGR-BIND' },
  ),
  effect: fc.constantFrom('deny', 'review', 'permit'),
});

type Parts = typeof policy extends fc.Arbitrary<infer T> ? T : never;

function documentOf({ owner, target, holds, effect }: Parts, i: number): string {
  const cites = [{ instrument: 'national-choice', article: 'test', confidence: 'high' }];
  const first = ruleOf(`X${i}-FIRST`, { holds, otherwise: effect, cites });
  const second = ruleOf(`X${i}-SECOND`, {
    applies: { or: [{ holds: `X${i}-FIRST` }, { holds: 'AGR-BIND' }] },
    outcome: 'review',
    cites,
  });
  return JSON.stringify(
    policyDocument([first, second], {
      policy: `x${i}`,
      layer: owner === undefined ? 'national_choice' : 'steward',
      instrument: 'national-choice',
      ...(owner === undefined ? {} : { owner }),
      ...(target === undefined ? {} : { target }),
    }),
  );
}

const facts = fc
  .tuple(
    mutatedFacts,
    fc.constantFrom('moh', 'nisr', 'rab', undefined),
    fc.constantFrom('rbc-hiv', 'other', undefined),
    fc.constantFrom(...SECTORS, undefined),
  )
  .map(([base, publisher, id, sector]) =>
    withFact(
      withFact(withFact(base, 'dataset.publisher', publisher), 'dataset.id', id),
      'dataset.sector',
      sector,
    ),
  );

function extension(text: string, i: number, base: Program = program): Extension {
  const built = buildExtension(base, { file: `x${i}.yaml`, text });
  if (built.ok) return built.value;
  throw new Error(built.problems.map(({ message }) => message).join());
}

describe('Policies that are bound to datasets', () => {
  test('decide as if each had been compiled with the pack, its target in every rule', () => {
    fc.assert(
      fc.property(fc.array(policy, { minLength: 1, maxLength: 3 }), facts, (parts, each) => {
        const texts = parts.map(documentOf);
        const joined = buildProgram(packFiles.pack, [
          ...packFiles.policies,
          ...texts.map((text, i) => ({ file: `x${i}.yaml`, text })),
        ]);
        if (!joined.ok) throw new Error(joined.problems.map(({ message }) => message).join());
        const extended = withExtensions(
          program,
          texts.map((text, i) => extension(text, i)),
        );
        const bound = boundTo(extended, each);
        const expected = evaluate(joined.value, loadFacts(joined.value, each));
        expect(sets(evaluate(bound, loadFacts(bound, each)))).toEqual(sets(expected));
        const said = explain(bound, each);
        expect(sets(said)).toEqual(sets(expected));
        const other = explain(joined.value, each);
        expect(said.missing.toSorted()).toEqual(other.missing.toSorted());
        expect(byRule(said.reasons)).toEqual(byRule(other.reasons));
      }),
      { numRuns: 60 },
    );
  });

  test('are named by a decision only where they are about its dataset', () => {
    const own = extension(documentOf({ ...plain, owner: 'moh' }, 1), 1);
    const others = extension(documentOf({ ...plain, owner: 'nisr' }, 2), 2);
    const all = extension(documentOf({ ...plain, owner: undefined }, 3), 3);
    const extended = withExtensions(program, [own, others, all]);
    const named = (publisher: string | undefined): string[] =>
      boundTo(extended, { dataset: { publisher }, request: {} })
        .policies.slice(program.policies.length)
        .map(({ policy: name }) => name);
    expect(named('moh')).toEqual(['x3', 'x1']);
    expect(named('nisr')).toEqual(['x3', 'x2']);
    expect(named(undefined)).toEqual(['x3']);
  });

  test('are left out where their target is not met, and a composition is made once', () => {
    const target = { fact: 'dataset.sector', eq: 'health' };
    const own = extension(documentOf({ ...plain, target } as Parts, 1), 1);
    const extended = withExtensions(program, [own]);
    const of = (sector: string): Program =>
      boundTo(extended, { dataset: { publisher: 'moh', sector }, request: {} });
    expect(of('agriculture').policies).toEqual(program.policies);
    expect(of('health').policies.at(-1)).toEqual(own.part.policies[0]);
    expect(of('health')).toBe(of('health'));
    expect(of('agriculture').extensions).toEqual([]);
    expect(boundTo(program, {})).toBe(program);
  });

  test('of an owner are beside those of the nation for whoever looks at them all', () => {
    const own = extension(documentOf({ ...plain, owner: 'moh' }, 1), 1);
    const others = extension(documentOf({ ...plain, owner: 'nisr' }, 2), 2);
    const all = extension(documentOf({ ...plain, owner: undefined }, 3), 3);
    const extended = withExtensions(program, [own, others, all]);
    const named = (owner?: string): string[] =>
      whole(extended, owner)
        .policies.slice(program.policies.length)
        .map(({ policy: name }) => name);
    expect(named('moh')).toEqual(['x3', 'x1']);
    expect(named('nobody')).toEqual(['x3']);
    expect(named()).toEqual(['x3']);
  });

  test('make a program as wide as the widest of them needs, in any order', () => {
    const narrow = extension(documentOf({ ...plain, owner: 'moh' }, 1), 1);
    const document = JSON.parse(documentOf({ ...plain, owner: 'moh' }, 2)) as { rules: object[] };
    const more = ruleOf('X2-THIRD', { holds: true, otherwise: 'review', cites: [choiceCited] });
    const wide = extension(JSON.stringify({ ...document, rules: [...document.rules, more] }), 2);
    expect(wide.part.width).toBeGreaterThan(narrow.part.width);
    for (const extensions of [
      [narrow, wide],
      [wide, narrow],
    ]) {
      const joined = whole(withExtensions(program, extensions), 'moh');
      expect(joined.width).toBe(wide.part.width);
      expect(joined.slotNames).toBe(wide.part.slotNames);
    }
    expect(whole(withExtensions(program, []), 'moh').slotNames).toBe(program.slotNames);
  });

  test('are composed anew where very many others were composed since', () => {
    const one = extension(documentOf({ ...plain, owner: 'moh' }, 1), 1);
    const [policyOf] = one.part.policies;
    if (!policyOf) throw new Error('it has no policy');
    const many = Array.from({ length: 1001 }, (_, i) => ({
      ...one,
      owner: `o${i}`,
      part: { ...one.part, policies: [{ ...policyOf, sha256: `${i}` }] },
    }));
    const extended = withExtensions(program, many);
    const first = whole(extended, 'o0');
    for (let i = 1; i < 1000; i++) whole(extended, `o${i}`);
    expect(whole(extended, 'o0')).toBe(first);
    const second = whole(extended, 'o1');
    whole(extended, 'o1000');
    expect(whole(extended, 'o1')).toBe(second);
    expect(whole(extended, 'o0')).not.toBe(first);
  });

  test('of the nation bind a dataset of nobody, and one whose publisher is no name', () => {
    const all = extension(documentOf({ ...plain, owner: undefined }, 3), 3);
    const extended = withExtensions(program, [all]);
    for (const dataset of [undefined, null, {}, { publisher: null }, { publisher: 5 }, []])
      expect(boundTo(extended, { dataset, request: {} }).policies).toEqual([
        ...program.policies,
        ...all.part.policies,
      ]);
  });

  test('of which it is unknown whether they are about a dataset never let it be permitted', () => {
    const target = { fact: 'dataset.sector', eq: 'health' };
    const deny = { ...plain, owner: 'moh', target, holds: { applies: 'AGR-BIND' } } as Parts;
    const bound = boundTo(withExtensions(program, [extension(documentOf(deny, 1), 1)]), {
      dataset: { publisher: 'moh' },
      request: {},
    });
    const verdict = evaluate(bound, loadFacts(bound, { dataset: { publisher: 'moh' } }));
    expect([...verdict.deny, ...verdict.review].join()).toContain('X1-');
  });

  test('cannot take the id of another rule, nor read a request in their target', () => {
    const taken = policyDocument(
      [ruleOf('AGR-BIND', { outcome: 'deny', cites: [choiceCited] })],
      national,
    );
    const reading = policyDocument([ruleOf('X-NEW', { outcome: 'deny', cites: [choiceCited] })], {
      ...national,
      target: { fact: 'request.purpose', eq: 'research' },
    });
    const wrong = policyDocument([ruleOf('X-NEW', { outcome: 'deny', cites: [choiceCited] })], {
      ...national,
      target: { fact: 'dataset.sektor', eq: 'health' },
    });
    for (const [document, message] of [
      [taken, /there is another rule AGR-BIND/],
      [reading, /a target reads facts of the dataset/],
      [wrong, /did you mean dataset.sector/],
    ] as const) {
      const built = buildExtension(program, { file: 'x', text: JSON.stringify(document) });
      expect(built.ok ? [] : built.problems).toMatchObject([
        { message: expect.stringMatching(message) as string },
      ]);
    }
  });
});

const plain: Parts = {
  owner: 'moh',
  target: undefined,
  holds: { applies: 'AGR-BIND' },
  effect: 'review',
};
const choiceCited = { instrument: 'national-choice', article: 'test', confidence: 'high' };
const national = { layer: 'national_choice', instrument: 'national-choice' };

function sets(
  verdict: { effect: string } & Record<'deny' | 'review' | 'oblige', readonly string[]>,
) {
  const { effect, deny, review, oblige } = verdict;
  return { effect, deny: deny.toSorted(), review: review.toSorted(), oblige: oblige.toSorted() };
}

function byRule(reasons: readonly { rule: string }[]) {
  return Object.fromEntries(reasons.map((reason) => [reason.rule, reason]));
}
