/**
 * What people read, word for word, in `texts/`. After a change of wording:
 * UPDATE_GOLDEN=yes npx vitest run test/pdp/texts.test.ts, and read the difference.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parsePolicy } from '../../src/pdp/document.ts';
import { explain } from '../../src/pdp/explain.ts';
import { explanationText } from '../../src/pdp/explanation-text.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { remedies } from '../../src/pdp/remedies.ts';
import { renderPolicy } from '../../src/pdp/render.ts';
import { built, policyDocument, ruleOf } from './support.ts';
import { both, cite, titledPack, titledProgram as of, titles } from './titled.ts';

function expectText(name: string, text: string): void {
  const file = new URL(`texts/${name}`, import.meta.url);
  if (process.env['UPDATE_GOLDEN'] === 'yes') writeFileSync(file, text);
  expect(text).toBe(readFileSync(file, 'utf8'));
}

/** A condition of every kind, with every operator on every type that has words of its own. */
const EVERYTHING = {
  or: [
    true,
    false,
    'request.yes',
    { fact: 'request.no', eq: false },
    { fact: 'request.no', neq: true },
    { not: { xone: ['sure', 'doubtful'] } },
    { exists: 'request.paper' },
    { nonempty: 'abroad' },
    ...['eq', 'neq', 'lt', 'lteq', 'gt', 'gteq'].flatMap((operator) => [
      { fact: 'request.count', [operator]: 3 },
      { fact: 'request.from', [operator]: '2026-10-15' },
      { fact: 'request.as_of', [operator]: '2026-10-15T00:00:00Z' },
      { fact: 'today', [operator]: { fact: 'request.paper.until' } },
    ]),
    { fact: 'request.asked', eq: 'high' },
    { fact: 'request.asked', isAnyOf: ['low', 'high'] },
    { fact: 'request.purpose', isA: 'care' },
    { fact: 'request.purpose', isAnyOf: ['care', 'hiv_care', 'research'] },
    { fact: 'request.purpose', isNoneOf: ['care', 'some_thing'] },
    { fact: 'request.place', eq: { fact: 'home' } },
    { fact: 'request.place', isPartOf: 'EAC' },
    { fact: 'request.place', isPartOf: 'RW' },
    { fact: 'request.places', isPartOf: 'EAC' },
    { fact: 'request.places', isPartOf: ['RW', 'JP'] },
    { fact: 'request.places', hasPart: 'RW' },
    { fact: 'request.places', hasPart: ['RW', 'KE'] },
    { fact: 'request.places', isAllOf: ['RW', 'KE'] },
    { fact: 'request.places', isAnyOf: ['RW', 'KE'] },
    { fact: 'request.places', isNoneOf: ['RW', 'KE'] },
    { fact: 'request.people.place', isAnyOf: ['RW', 'KE'] },
    { fact: 'request.people.place', isNoneOf: ['RW'] },
    { fact: 'all_codes', isAnyOf: ['care', 'health'] },
    { fact: 'request.share', lteq: 0.5 },
    { fact: 'nobody.knows', eq: 'what_it_is' },
  ],
};

const policies: readonly object[] = [
  policyDocument(
    [
      ruleOf('RULE-ALL', {
        ...titles,
        applies: EVERYTHING,
        holds: { and: [{ applies: 'RULE-B' }, { holds: 'RULE-B' }] },
        otherwise: [{ when: 'request.yes', effect: 'review' }, { effect: 'deny' }],
        note: 'A *note* of [one] <line>\nand of another.',
        cites: [cite('law', 'high'), cite('rule', 'medium'), cite('unknown', 'low')],
      }),
      ruleOf('RULE-B', {
        ...titles,
        holds: 'request.no',
        then: 'permit',
        otherwise: 'oblige',
        obligation: { sentence: both('Do it.'), due: 'from_start', evidence: both('a log') },
        cites: [cite('choice', 'not_confirmed')],
      }),
    ],
    { description: both('What it is for.'), title: both('The policy of all') },
  ),
  policyDocument(
    [
      ruleOf('RULE-C', {
        ...titles,
        outcome: [{ when: 'request.yes', effect: 'oblige' }],
        obligation: { sentence: both('Do it.'), due: 'throughout', evidence: both('a log') },
      }),
      ruleOf('RULE-D', {
        ...titles,
        outcome: 'oblige',
        obligation: { sentence: both('Do it.'), due: 'before_release', evidence: both('a log') },
      }),
    ],
    {
      policy: 'regulation',
      layer: 'regulation',
      concern: 'residency',
      instrument: 'rule',
      in_force: { from: '2026-01-01', until: '2026-12-31' },
    },
  ),
  policyDocument([ruleOf('RULE-E', { ...titles, outcome: 'deny' })], {
    policy: 'agreement',
    layer: 'agreement',
    concern: 'sovereignty',
    instrument: 'unknown',
    target: { fact: 'dataset.allowed', eq: 'middle' },
  }),
  policyDocument([ruleOf('RULE-F', { ...titles, outcome: 'review' })], {
    policy: 'choice',
    layer: 'national_choice',
    instrument: 'choice',
  }),
  policyDocument(
    [
      ruleOf('RULE-G', {
        ...titles,
        holds: 'request.yes',
        otherwise: 'oblige',
        obligation: {
          sentence: both('Do it.'),
          due: { fact: 'request.paper.until' },
          evidence: both('a log'),
        },
      }),
    ],
    { policy: 'steward', layer: 'steward', instrument: 'choice', owner: 'moh', target: 'sure' },
  ),
];

const LANGUAGES = ['en', 'fr', 'rw'] as const;
const { pack } = built(titledPack());

describe('Policies in words', () => {
  test.each(LANGUAGES)('read like this in %s', (language) => {
    const texts = policies.map((source) => {
      const parsed = parsePolicy('policy.yaml', JSON.stringify(source));
      if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join());
      return renderPolicy(parsed.source.content, pack, language);
    });
    expectText(`policies.${language}.md`, texts.join('\n---\n\n'));
  });
});

const REQUEST = {
  as_of: '2026-10-15T10:00:00Z',
  places: ['RW', 'KE'],
  people: [],
  asked: 'low',
  codes: ['care'],
  purpose: 'care',
  count: 3,
  share: 0.25,
};
const facts = (request: object, dataset: object = { allowed: 'highest' }): Facts => ({
  dataset,
  request: { ...REQUEST, ...request },
});

/** Requests whose answers say all that an explanation can. */
const ASKED: Readonly<Record<string, Facts>> = {
  permitted: facts({}),
  'permitted until a day': facts({ until: '2027-01-01', paper: { until: '2026-12-31' } }),
  'a place too many': facts({ places: ['RW', 'JP', 'US'], until: '2027-01-01' }),
  'people in the wrong place': facts({
    people: [{ place: 'JP' }, { place: 'RW' }, { place: 'JP' }],
    places: ['JP'],
  }),
  'unknown people': facts({ people: [{}], places: null }),
  'asks for too much, and lacks a code': facts({ asked: 'high', codes: [] }, { allowed: 'lowest' }),
  'not stated': facts({ limit: 5, no: false }),
  'stated, and not so': facts({ limit: 5, yes: false, no: true }),
  'needs a signed paper': facts({ count: 2 }),
  'needs more of its paper': facts({ count: 2, paper: { pages: 2, state: 'draft' } }),
  'needs it sealed': facts({ count: 1, paper: {} }),
  'may not go abroad': facts({
    purpose: 'hiv_trial',
    count: 4,
    places: ['JP', 'KE', 'RW'],
    people: [{ place: 'KE' }, { place: 'RW' }],
    until: '2026-10-01',
  }),
  'shares too much, in the wrong words': facts({
    share: 0.75,
    words: ['care', 'research'],
    codes: ['care', 'research'],
    count: 3,
  }),
  'needs a paper': facts({ purpose: 'hiv_care', until: '2027-03-31' }),
  'has an old paper': facts({
    purpose: 'hiv_trial',
    count: 2,
    paper: { until: '2026-10-14', kinds: ['research'] },
  }),
  'has half a paper': facts({ purpose: 'hiv_care', paper: { kinds: ['care'] } }),
  'is asked at no time': { request: { ...REQUEST, as_of: undefined, purpose: 'hiv_care' } },
  'nothing at all': {},
};

describe('Answers', () => {
  test.each(['en', 'fr'])('read like this in %s', (language) => {
    const texts = Object.entries(ASKED).map(([name, each]) => {
      const ways = remedies(of, each);
      return `# ${name}\n\n${explanationText(explain(of, each), language, of.pack, ways)}`;
    });
    expectText(`answers.${language}.txt`, texts.join('\n'));
  });

  test('come with these ways out', () => {
    const lines = Object.entries(ASKED).flatMap(([name, each]) => [
      `# ${name}`,
      ...remedies(of, each).map((remedy) => JSON.stringify(remedy)),
    ]);
    expectText('remedies.txt', `${lines.join('\n')}\n`);
  });
});
