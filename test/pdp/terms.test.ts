/** Terms of a pack and their names: codes, CURIEs and IRIs. */
import { describe, expect, test } from 'vitest';
import { buildProgram } from '../../src/pdp/build.ts';
import { parseCondition } from '../../src/pdp/condition.ts';
import { purposeProblems, purposesNamed } from '../../src/pdp/purposes.ts';
import { canonicalCondition, iriOf, taxonomyOf } from '../../src/pdp/terms.ts';
import { build, built, policyDocument, ruleOf, smallPack } from './support.ts';

const title = { en: 'Title' };
const prefixes = { x: 'https://x/', dpv: 'https://dpv/' };
const purposes = {
  care: { title, exact: 'dpv:Care' },
  hiv_care: { title, broader: ['care'] },
  research: { title },
  'dpv:Other': { title },
};
const listed = (changed: Readonly<Record<string, unknown>> = {}): object => {
  const { facts } = smallPack() as { facts: Record<string, object> };
  const ofList = (fact: string, terms: string): object => ({ [fact]: { ...facts[fact], terms } });
  return smallPack({
    namespace: 'x',
    prefixes,
    purposes,
    disjoint: [['care', 'research']],
    taxonomies: { kinds: { low: { title, exact: 'dpv:Low' } } },
    facts: {
      ...facts,
      ...ofList('request.purpose', 'purposes'),
      ...ofList('request.codes', 'purposes'),
      ...ofList('request.words', 'kinds'),
    },
    ...changed,
  });
};
const permit = ruleOf('PERMIT', { outcome: 'permit' });
const program = built(listed(), policyDocument([permit]));

describe('A term', () => {
  test.each([
    ['purposes', 'care', 'https://dpv/Care'],
    ['purposes', 'research', 'https://x/research'],
    ['purposes', 'dpv:Other', 'https://dpv/Other'],
    ['purposes', 'far:Other', null],
    ['kinds', 'low', 'https://dpv/Low'],
    ['no-list', 'low', 'https://x/low'],
  ])('of %s, %s, has the IRI %s', (list, code, iri) => {
    expect(iriOf(program.pack, list, code)).toBe(iri);
  });

  test('has no IRI where the pack has no name of its own', () => {
    const { pack } = built(listed({ namespace: undefined }), policyDocument([permit]));
    expect(iriOf(pack, 'purposes', 'research')).toBeNull();
    expect(iriOf(pack, 'purposes', 'care')).toBe('https://dpv/Care');
  });

  test.each([
    ['care', 'care'],
    ['x:care', 'care'],
    ['https://x/care', 'care'],
    ['dpv:Care', 'care'],
    ['https://dpv/Care', 'care'],
    ['https://dpv/Other', 'dpv:Other'],
    ['dpv:Other', 'dpv:Other'],
    ['x:dpv:Other', 'x:dpv:Other'],
    ['dpv:Low', 'low'],
    ['undefined', 'undefined'],
    ['else', 'else'],
  ])('called %s is %s', (name, code) => {
    expect(taxonomyOf(program.pack).canonical(name)).toBe(code);
  });

  test('is called as one likes in a policy', () => {
    const rules = (care: string, research: string): object[] => [
      permit,
      ruleOf('ONE', {
        applies: {
          and: [
            { fact: 'request.purpose', isA: care },
            { not: { fact: 'request.purpose', eq: research } },
            { xone: ['request.yes', { fact: 'request.codes', isAnyOf: [research, 'else', care] }] },
          ],
        },
        holds: {
          or: [
            { fact: 'request.count', eq: 1 },
            { fact: 'request.codes', hasPart: care },
          ],
        },
        otherwise: [
          { when: { fact: 'request.codes', isNoneOf: [care] }, effect: 'review' },
          { when: 'request.no', effect: 'review' },
          { effect: 'deny' },
        ],
      }),
    ];
    const ofCodes = built(listed(), policyDocument(rules('care', 'research')));
    for (const [care, research] of [
      ['dpv:Care', 'x:research'],
      ['https://x/care', 'https://x/research'],
      ['care', 'x:research'],
      ['x:care', 'research'],
    ]) {
      const named = built(listed(), policyDocument(rules(care ?? '', research ?? '')));
      expect(named.rules.map(({ rule }) => rule)).toEqual(ofCodes.rules.map(({ rule }) => rule));
    }
  });

  test('is a name of facts alone that take terms of a list', () => {
    const taxonomy = taxonomyOf(program.pack);
    const termsOf = (fact: string): string | undefined => program.vocabulary.get(fact)?.terms;
    const same = [
      { fact: 'request.other', eq: 'dpv:Care' },
      { fact: 'request.purpose', eq: { fact: 'request.other' } },
      { fact: 'request.purpose', isAnyOf: ['care', 'else'] },
      { and: ['request.yes', { not: { or: [{ fact: 'request.purpose', eq: 'care' }] } }] },
      { fact: 'request.count', eq: 1 },
      { exists: 'request.purpose' },
    ];
    for (const source of same) {
      const condition = parseCondition(source, []);
      expect(canonicalCondition(condition, termsOf, taxonomy)).toBe(condition);
    }
    const named = parseCondition({ not: { fact: 'request.purpose', eq: 'dpv:Care' } }, []);
    expect(canonicalCondition(named, termsOf, taxonomy)).toEqual(
      parseCondition({ not: { fact: 'request.purpose', eq: 'care' } }, []),
    );
  });
});

describe('A pack is refused', () => {
  test.each<[string, Readonly<Record<string, unknown>>, string, string]>([
    [
      'a broader term that there is not',
      { purposes: { ...purposes, trial: { title, broader: ['reserch'] } } },
      '"trial"',
      'there is no term "reserch" in purposes (did you mean research?)',
    ],
    [
      'one in a list of its own',
      { taxonomies: { kinds: { low: { title, broader: ['care'] } } } },
      '"low"',
      'there is no term "care" in kinds',
    ],
    [
      'a name without a prefix',
      { purposes: { ...purposes, trial: { title, exact: 'far:Trial' } } },
      '"trial"',
      '"far:Trial" begins with no prefix of the pack',
    ],
    ['a namespace that is no prefix', { namespace: 'y' }, '"namespace"', 'there is no prefix "y"'],
    [
      'a closed list that there is not',
      { closed: ['kinds', 'far'] },
      '"far"',
      'there is no list "far"',
    ],
    [
      'terms that are disjoint and are none',
      {
        disjoint: [
          ['care', 'research'],
          ['care', 'far'],
        ],
      },
      '[',
      'there is no term "far"',
    ],
    [
      'terms that are disjoint and overlap',
      { disjoint: [['research', 'hiv_care', 'care']] },
      '[',
      'hiv_care and care are not disjoint: a term is a kind of both',
    ],
    [
      'a derived fact that calls a term by another name',
      { derived: { cared: { title, condition: { fact: 'request.purpose', eq: 'dpv:Care' } } } },
      '"condition"',
      "name terms by the pack's own codes",
    ],
    [
      'a fact of a list that there is not',
      { taxonomies: {} },
      '"terms"',
      'there is no list "kinds"',
    ],
  ])('for %s', (_, changed, at, message) => {
    const text = JSON.stringify(listed(changed), undefined, 1);
    const policy = { file: 'policy', text: JSON.stringify(policyDocument([permit])) };
    const result = buildProgram({ file: 'pack', text }, [policy]);
    const found = result.ok ? [] : result.problems;
    expect(found.map((each) => each.message)).toEqual([message]);
    expect(text.split('\n')[(found[0]?.line ?? 0) - 1]?.trim().startsWith(at)).toBe(true);
  });

  test('for nothing else', () => {
    expect(build(listed({ closed: ['purposes', 'kinds'] }), policyDocument([permit])).ok).toBe(
      true,
    );
  });
});

describe('Purposes that registers keep', () => {
  const path = (i: number): string => `/purposes/${i}`;
  test('are named by their codes, and are of the list where it is closed', () => {
    const names = ['x:care', 'research', 'https://dpv/Care', 'reserch'];
    expect(purposesNamed(program, names)).toEqual(['care', 'research', 'care', 'reserch']);
    expect(purposeProblems(program, names, path)).toEqual([]);
    const closed = built(listed({ closed: ['purposes'] }), policyDocument([permit]));
    expect(purposeProblems(closed, ['care', 'reserch', 'x'], path)).toEqual([
      {
        path: '/purposes/1',
        expected: 'a term of the pack\'s list "purposes" (did you mean research?)',
      },
      { path: '/purposes/2', expected: 'a term of the pack\'s list "purposes"' },
    ]);
  });

  test('are any codes where the pack has no list for them', () => {
    const free = built(smallPack({ closed: ['purposes'] }), policyDocument([permit]));
    expect(purposesNamed(free, ['x:care'])).toEqual(['x:care']);
    expect(purposeProblems(free, ['reserch'], path)).toEqual([]);
    const { facts } = smallPack() as { facts: Record<string, object> };
    const { 'request.purpose': _, ...others } = facts;
    for (const without of [facts, others]) {
      const named = built(
        listed({ facts: without, closed: ['purposes'] }),
        policyDocument([permit]),
      );
      expect(purposesNamed(named, ['x:care'])).toEqual(['x:care']);
      expect(purposeProblems(named, ['reserch'], path)).toEqual([]);
    }
  });
});

describe('Terms in facts', () => {
  test('are called by their codes, in a branch that is else the very same', () => {
    const { vocabulary } = program;
    const request = {
      purpose: 'dpv:Care',
      codes: ['x:care', 'research', 'care', 7],
      words: ['dpv:Low', 'dpv:Care'],
      other: 'dpv:Care',
      paper: { until: '2026-01-01' },
    };
    expect(vocabulary.canonical('request', request)).toEqual({
      ...request,
      purpose: 'care',
      codes: ['care', 'research', 7],
      words: ['low', 'care'],
    });
    const same = { purpose: 'care', codes: ['research', 'else'], words: 7, paper: null };
    expect(vocabulary.canonical('request', same)).toBe(same);
    for (const odd of [null, 7, 'dpv:Care', ['dpv:Care']])
      expect(vocabulary.canonical('request', odd)).toBe(odd);
    expect(vocabulary.canonical('request.purpose', 'x:research')).toBe('research');
    expect(vocabulary.canonical('request.far', request)).toBe(request);
  });

  test('of a register are of the list where it is closed; what was asked is looked at later', () => {
    const { facts } = listed() as { facts: Record<string, object> };
    const registered = {
      ...facts,
      'dataset.publisher': { ...facts['dataset.publisher'], terms: 'purposes', source: 'register' },
      'request.codes': { ...facts['request.codes'], source: 'register' },
      'request.words': { ...facts['request.words'], source: 'register' },
    };
    const { vocabulary } = built(
      listed({ facts: registered, closed: ['purposes'] }),
      policyDocument([permit]),
    );
    const problems = vocabulary.check({
      dataset: { publisher: 'reserch' },
      request: { purpose: 'far', codes: ['care', 'far', 'dpv:Care', 'x'], words: ['far'] },
    });
    expect(problems).toEqual([
      {
        path: '/dataset/publisher',
        expected: 'a term of the pack\'s list "purposes" (did you mean research?)',
      },
      { path: '/request/codes/1', expected: expect.stringMatching(/^a term of the pack's list/) },
      { path: '/request/codes/3', expected: 'a term of the pack\'s list "purposes"' },
    ]);
    expect(vocabulary.check({ dataset: { publisher: 7 } })).toHaveLength(1);
    const many = Array.from({ length: 150 }, (_, i) => `far-${i}`);
    expect(vocabulary.check({ request: { codes: many } })).toHaveLength(100);
  });
});
