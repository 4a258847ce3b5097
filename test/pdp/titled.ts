/** A pack that can say everything in words, in two languages, and a program with ways out. */
import type { Program } from '../../src/pdp/program.ts';
import { built, policyDocument, ruleOf, smallPack } from './support.ts';

export const both = (en: string): object => ({ en, fr: `${en} (fr)` });
type Source = Record<string, unknown>;

/** The small pack with a title of its own for each fact, most of them in French too. */
export function titledPack(): object {
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

export const titles: object = { title: both('A title'), sentence: both('A sentence.') };
export const cite = (instrument: string, confidence: string): object => ({
  instrument,
  article: `Art. ${confidence.length}`,
  confidence,
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
  'request.paper.from': [{ to: 'reach', sentence: both('is valid from {value}') }],
  'request.paper.pages': [{ to: 'reach', sentence: { en: 'has {value} pages' } }],
  'request.paper.state': [
    { to: 'value', values: ['signed', 'draft'], sentence: both('is {value}') },
  ],
  'request.paper.sealed': [{ to: 'state', sentence: both('says that it is sealed') }],
  'request.share': [{ to: 'reach', sentence: both('Bring the share to {value}.'), loss: 3 }],
  'request.words': [
    {
      to: 'remove',
      when: { fact: 'request.count', lt: 5 },
      sentence: both('Leave the words {removed} out.'),
    },
  ],
};

/** The same with ways to change facts of every type. */
export function packWithRemedies(): object {
  const titled = titledPack() as { facts: Source };
  const ofPaper = (name: string, type: string, more: object = {}): Source => ({
    [`request.paper.${name}`]: {
      type,
      source: 'request',
      title: both(`the paper's ${name}`),
      basis: 'test',
      ...more,
    },
  });
  const facts: Source = {
    ...titled.facts,
    ...ofPaper('kinds', 'set', { of: 'code' }),
    ...ofPaper('from', 'date'),
    ...ofPaper('pages', 'integer', { minimum: 1 }),
    ...ofPaper('state', 'enum', { values: ['draft', 'signed'] }),
    ...ofPaper('sealed', 'boolean'),
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
/** Every way out at work: of sets, ranks, numbers, dates, records and lists. */
export const titledProgram: Program = built(
  packWithRemedies(),
  policyDocument(
    [
      simple('PERMIT', { outcome: 'permit' }),
      simple('PLACES', { holds: { fact: 'request.places', isPartOf: 'EAC' }, otherwise: 'deny' }),
      simple('PEOPLE', {
        holds: { fact: 'request.people.place', isNoneOf: ['JP'] },
        otherwise: 'deny',
      }),
      simple('AT-HOME', {
        applies: { fact: 'request.purpose', isA: 'hiv_trial' },
        holds: { not: { nonempty: 'abroad' } },
        otherwise: 'deny',
      }),
      simple('NOT-THERE', {
        applies: { fact: 'request.count', gt: 3 },
        holds: { fact: 'request.places', isNoneOf: ['KE'] },
        otherwise: 'deny',
      }),
      simple('SHARE', {
        applies: { exists: 'request.share' },
        holds: { fact: 'request.share', lteq: 0.5 },
        otherwise: 'deny',
      }),
      simple('WORDS', {
        holds: { fact: 'request.words', isNoneOf: { fact: 'request.codes' } },
        otherwise: 'review',
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
      simple('SIGNED', {
        applies: { fact: 'request.count', eq: 2 },
        holds: {
          and: [
            { fact: 'request.paper.state', eq: 'signed' },
            { fact: 'request.paper.pages', gteq: 4 },
            { fact: 'request.paper.from', lteq: { fact: 'today' } },
          ],
        },
        otherwise: 'deny',
        cites: [cite('choice', 'high')],
      }),
      simple('SEALED', {
        applies: { fact: 'request.count', eq: 1 },
        holds: 'request.paper.sealed',
        otherwise: 'review',
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
