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
import type { Program } from '../../src/pdp/program.ts';
import { remedies } from '../../src/pdp/remedies.ts';
import { renderPolicy } from '../../src/pdp/render.ts';
import { built, policyDocument, ruleOf, smallPack } from './support.ts';

function expectText(name: string, text: string): void {
  const file = new URL(`texts/${name}`, import.meta.url);
  if (process.env['UPDATE_GOLDEN'] === 'yes') writeFileSync(file, text);
  expect(text).toBe(readFileSync(file, 'utf8'));
}

const both = (en: string): object => ({ en, fr: `${en} (fr)` });
type Source = Record<string, unknown>;

/** The small pack with a title of its own for each fact, most of them in French too. */
function titledPack(): object {
  const pack = smallPack() as { facts: Source; derived: Source; purposes: Source };
  const titled = (specs: Source): object =>
    Object.fromEntries(
      Object.entries(specs).map(([name, spec]) => [
        name,
        {
          ...(spec as object),
          title: both(name.replace('request.', 'the ').replaceAll('.', "'s ")),
        },
      ]),
    );
  const facts = titled(pack.facts) as Source;
  return {
    ...pack,
    facts: {
      ...facts,
      'request.yes': { ...(facts['request.yes'] as object), title: { en: 'the answer' } },
      'request.no': { ...(facts['request.no'] as object), title: { en: 'the answer' } },
      'request.asked': {
        ...(facts['request.asked'] as object),
        value_titles: { high: both('as high as can be') },
      },
      'request.share': {
        type: 'number',
        source: 'register',
        title: both('the share'),
        basis: 'test',
      },
    },
    derived: {
      ...titled(pack.derived),
      all_codes: {
        title: both('all codes'),
        union: ['request.codes', 'request.words', 'request.people.place'],
      },
      doubtful: { title: both('doubtful'), condition: { not: { fact: 'sure', eq: true } } },
    },
    purposes: {
      ...pack.purposes,
      care: { title: both('care of the sick') },
    },
    sectors: { health: { title: both('health') } },
    instruments: {
      law: { title: both('the law on data'), kind: 'statute' },
      rule: { title: both('the regulation'), kind: 'regulation' },
      choice: { title: both('the national choice'), kind: 'national_choice' },
    },
    examiners: {
      statute: { role: 'authority', title: both('the authority') },
      regulation: { role: 'authority', title: both('the authority') },
      agreement: { role: 'authority', title: both('the office of agreements') },
      national_choice: { role: 'authority', title: both('the ministry') },
      steward: { role: 'steward', title: both('the steward') },
    },
    expiries: [
      { name: 'until', fact: 'request.until' },
      { name: 'paper', fact: 'request.paper.until', always: true },
    ],
  };
}

const titles = { title: both('A title'), sentence: both('A sentence.') };
const cite = (instrument: string, confidence: string): object => ({
  instrument,
  article: `Art. ${confidence.length}`,
  confidence,
});

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

/** How whoever asks may change the facts of the pack. */
const REMEDIES: Readonly<Record<string, readonly object[]>> = {
  'request.places': [
    { to: 'remove', sentence: both('Leave {removed} out, so that {value} remain.') },
    { to: 'home', sentence: both('Stay in {home}.'), loss: 2 },
  ],
  'request.people.place': [{ to: 'remove', sentence: both('Give it to nobody in {removed}.') }],
  'request.codes': [
    { to: 'add', values: ['care', 'research'], sentence: both('Add {added} to what there is.') },
    { to: 'remove', sentence: { en: 'Do without {removed}.' }, loss: 1 },
  ],
  'request.asked': [
    { to: 'value', values: ['low'], sentence: both('Ask for {value}, not for {request.asked}.') },
  ],
  'request.count': [
    {
      to: 'reach',
      sentence: both('Bring the count to {value} by {request.until}.'),
      by: 'agreement',
    },
  ],
  'request.yes': [{ to: 'state', sentence: both('Say whether it is {values}.') }],
  'request.paper': [{ to: 'obtain', sentence: both('Get a paper{clauses}.'), by: 'authority' }],
  'request.paper.until': [
    { to: 'reach', cover: 'request.until', sentence: both('is valid until {value}') },
  ],
  'request.paper.kinds': [{ to: 'add', values: ['care'], sentence: both('is about {added}') }],
};

function packWithRemedies(): object {
  const titled = titledPack() as { facts: Source };
  const facts: Source = {
    ...titled.facts,
    'request.paper.kinds': {
      type: 'set',
      of: 'code',
      source: 'request',
      title: both("the paper's kinds"),
      basis: 'test',
    },
  };
  const own = Object.entries(REMEDIES).map(([fact, ways]) => [
    fact,
    { ...(facts[fact] as object), remedies: ways },
  ]);
  return { ...titled, facts: { ...facts, ...(Object.fromEntries(own) as object) } };
}

const simple = (id: string, parts: object): object => ruleOf(id, { ...titles, ...parts });
const obligation = (due: unknown): object => ({
  sentence: both('Keep it safe.'),
  due,
  evidence: both('a log'),
});
const of: Program = built(
  packWithRemedies(),
  policyDocument(
    [
      simple('PERMIT', { outcome: 'permit' }),
      simple('PLACES', { holds: { fact: 'request.places', isPartOf: 'EAC' }, otherwise: 'deny' }),
      simple('PEOPLE', {
        holds: { fact: 'request.people.place', isNoneOf: ['JP'] },
        otherwise: 'deny',
      }),
      simple('SURE', {
        applies: { exists: 'request.limit' },
        holds: 'sure',
        otherwise: 'deny',
        cites: [cite('law', 'high'), cite('rule', 'not_confirmed')],
      }),
    ],
    {},
  ),
  policyDocument(
    [
      simple('ASKED', {
        holds: { fact: 'request.asked', lteq: { fact: 'dataset.allowed' } },
        otherwise: 'review',
        cites: [cite('rule', 'medium')],
      }),
      simple('CODES', {
        holds: { fact: 'request.codes', hasPart: 'care' },
        otherwise: 'review',
        cites: [cite('rule', 'low')],
      }),
      simple('OBLIGE-A', {
        outcome: 'oblige',
        obligation: obligation({ fact: 'request.until' }),
        cites: [cite('rule', 'high')],
      }),
      simple('OBLIGE-B', {
        applies: { exists: 'request.paper' },
        outcome: 'oblige',
        obligation: obligation('before_release'),
        cites: [cite('rule', 'high')],
      }),
    ],
    { policy: 'regulation', layer: 'regulation', concern: 'residency', instrument: 'rule' },
  ),
  policyDocument(
    [
      simple('PAPER', {
        applies: { fact: 'request.purpose', isA: 'hiv_care' },
        holds: {
          and: [
            { fact: 'request.paper.until', gteq: { fact: 'today' } },
            { fact: 'request.paper.kinds', hasPart: 'care' },
          ],
        },
        otherwise: 'deny',
        cites: [cite('choice', 'high')],
      }),
      simple('COUNT', {
        applies: { fact: 'request.purpose', isA: 'research' },
        holds: { fact: 'request.count', gteq: 3 },
        otherwise: 'review',
        cites: [cite('choice', 'high')],
      }),
    ],
    {
      policy: 'choice',
      layer: 'national_choice',
      concern: 'sovereignty',
      instrument: 'choice',
    },
  ),
);

const REQUEST = {
  as_of: '2026-10-15T10:00:00Z',
  places: ['RW', 'KE'],
  people: [],
  asked: 'low',
  codes: ['care'],
  purpose: 'care',
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
