/**
 * What is said of mistakes in packs and policies, and where, word for word, in `vectors/`:
 * UPDATE_GOLDEN=yes npx vitest run test/pdp/mistakes.test.ts after a change of wording.
 */
import { expect, test } from 'vitest';
import { buildExtension, buildProgram, type Built } from '../../src/pdp/build.ts';
import { built, policyDocument, ruleOf, smallPack } from './support.ts';
import { inParts, vectorsOf } from './vectors.ts';

const PACK = JSON.stringify(
  smallPack({
    expiries: [{ name: 'until', fact: 'request.until' }],
    derived: {
      sure: { title: { en: 'x' }, condition: { and: ['request.yes', { not: 'request.no' }] } },
      abroad: { title: { en: 'x' }, union: ['request.places', 'request.people.place'] },
      there: { title: { en: 'x' }, union: ['request.places'] },
    },
  }),
  undefined,
  1,
);

const POLICY = `policy: test-policy
version: 1
layer: steward
concern: consent
owner: nisr
target: {fact: dataset.allowed, eq: middle}
title: {en: Title}
instrument: choice
in_force: {from: 2026-01-01, until: 2026-12-31}
rules:
  - id: FIRST
    title: {en: First}
    sentence: {en: First}
    applies: {fact: request.count, gteq: 2}
    holds: request.yes
    then: review
    otherwise:
      - {when: request.no, effect: review}
      - effect: deny
    note: |
      [[ text {{
    cites: [{instrument: choice, article: Art. 1, confidence: high}]
  - id: SECOND
    title: {en: Second}
    sentence: {en: Second}
    outcome: [{when: {holds: FIRST}, effect: oblige}]
    obligation: {sentence: {en: Do}, due: {fact: request.until}, evidence: {en: Log}}
    cites: [{instrument: choice, article: Art. 2, confidence: low}]
`;

/** What is changed into what, in the policy or in the pack. */
type Change = readonly [from: string, to: string];

const APPLIES = '{fact: request.count, gteq: 2}';
const HEAD = POLICY.slice(POLICY.indexOf('layer:'), POLICY.indexOf('in_force:'));
const COMPARED: readonly string[] = [
  'request.unknown',
  '{fact: request.cuont, gteq: 2}',
  '{fact: request.count, gteq: {fact: nothing}}',
  '{fact: request.count, gteq: x}',
  '{fact: request.count, eq: [1, 2]}',
  '{fact: request.count, gteq: {fact: request.from}}',
  '{fact: request.count, eq: {fact: request.yes}}',
  '{fact: request.codes, eq: care}',
  '{fact: request.codes, neq: {fact: request.words}}',
  '{fact: request.paper, eq: true}',
  '{fact: request.people, lt: 1}',
  '{fact: request.purpose, lteq: care}',
  '{fact: request.asked, lteq: medium}',
  '{fact: request.asked, lteq: {fact: request.purpose}}',
  '{fact: request.asked, isAnyOf: [low, hgih]}',
  '{fact: request.count, isA: care}',
  '{fact: request.purpose, isA: 5}',
  '{fact: request.purpose, isA: {fact: request.count}}',
  '{fact: request.purpose, isAnyOf: [care, 5]}',
  '{fact: request.purpose, hasPart: care}',
  '{fact: request.yes, isAllOf: [a]}',
  '{fact: request.codes, isAllOf: [1]}',
  '{fact: request.place, eq: XX}',
  '{fact: request.place, isPartOf: EAZ}',
  '{fact: request.places, isPartOf: [RW, XX]}',
  '{fact: request.places, isAnyOf: EAC}',
  '{fact: abroad, hasPart: Kenya}',
  '{fact: there, hasPart: Kenya}',
  '{fact: request.from, lt: 2026-02-30}',
  '{fact: request.from, lt: 5}',
  '{fact: request.as_of, lt: 2026-02-28}',
  '{fact: request.as_of, lt: 2026-02-28T00:00:00Z}',
  '{fact: home, eq: RW}',
  '{fact: today, eq: 2026-02-28}',
  '{fact: request.yes, eq: yes}',
  '{fact: request.count, eq: .nan}',
  '{exists: request.unknown}',
  '{nonempty: request.count}',
  '{nonempty: request.wrds}',
  '{applies: FIRTS}',
  '{holds: SECOND}',
  '{applies: SECOND}',
  '{not: {and: [request.yes, {or: [{xone: [request.no, request.never]}]}]}}',
];

const CHANGES: readonly Change[] = [
  ['', ''],
  ...COMPARED.map((condition): Change => [APPLIES, condition]),
  ['until: 2026-12-31', 'until: 2025-12-31'],
  ['until: 2026-12-31', 'until: 2026-01-01'],
  ['until: 2026-12-31', 'untill: 2026-12-31'],
  ['eq: middle', 'eqq: middle'],
  ['eq: middle', 'eq: muddle'],
  ['dataset.allowed, eq: middle', 'request.asked, eq: low'],
  ['{fact: dataset.allowed, eq: middle}', '{applies: FIRST}'],
  ['{fact: dataset.allowed, eq: middle}', '{not: {or: [{holds: FIRST}]}}'],
  ['{fact: dataset.allowed, eq: middle}', '7'],
  ['    note: |\n      [[ text {{\n', '    note: |\n      ]\n'],
  ['    note: |\n      [[ text {{\n', `    note: |\n      ${'['.repeat(201)}\n`],
  ['owner: nisr\n', ''],
  ['owner: nisr', 'owner: 5'],
  ['layer: steward', 'layer: national_choice'],
  ['layer: steward', 'layer: stewards'],
  ['concern: consent', 'concern: [consent]'],
  ['title: {en: Title}', 'title: {}'],
  ['title: {en: Title}', 'title: {en: ""}'],
  ['title: {en: Title}', 'title: {en: "a\\0b", fr: "\\ud800"}'],
  ['title: {en: Title}', 'title: {en: "Title}'],
  ['title: {en: Title}', 'title: {en: Title, en: Other}'],
  ['title: {en: Title}', 'title: [a,,b]'],
  ['title: {en: Title}', 'title: [,a]'],
  ['title: {en: Title}', 'title: {,}'],
  ['title: {en: Title}', 'title: {en: Title} ]'],
  ['title: {en: Title}', `title: ${'['.repeat(201)}`],
  ['title: {en: Title}', `title: ${'['.repeat(200)}`],
  ['title: {en: Title}', `title:\n${' '.repeat(401)}x`],
  ['title: {en: Title}', `title:\n${'- '.repeat(201)}x`],
  ['title: {en: Title}', 'title: &a {en: *b}'],
  ['title: {en: Title}', 'title: &a [*a]'],
  ['title: {en: Title}', '\ttitle: 1'],
  ['instrument: choice\nin_force', 'instrument: law\nin_force'],
  ['instrument: choice\nin_force', 'instrument: chioce\nin_force'],
  ['{instrument: choice, article: Art. 1', '{instrument: rule, article: Art. 1'],
  ['{instrument: choice, article: Art. 1', '{instrument: toString, article: Art. 1'],
  [
    'cites: [{instrument: choice, article: Art. 1',
    'cites: [{instrument: law, article: Art. 5, confidence: high}, {instrument: choice, article: Art. 1',
  ],
  [
    HEAD,
    HEAD.replace('owner: nisr\n', '')
      .replace('steward', 'national_choice')
      .replace('instrument: choice', 'instrument: law'),
  ],
  [
    HEAD,
    HEAD.replace('owner: nisr\n', '')
      .replace('steward', 'statute')
      .replace('instrument: choice', 'instrument: law'),
  ],
  ['confidence: high', 'confidence: not_confirmed'],
  ['confidence: low', 'confidence: not_confirmed'],
  ['confidence: high', 'confidence: hi'],
  ['then: review', 'then: revue'],
  ['    then: review\n', ''],
  ['    holds: request.yes\n', ''],
  ['when: request.no', 'when: {nto: request.no}'],
  ['when: request.no', 'when: request.on'],
  ['{when: {holds: FIRST}', '{when: {holds: FIRST, applies: FIRST}'],
  ['{when: {holds: FIRST}', '{when: {holds: SECOND}'],
  ['effect: oblige', 'effect: obligee'],
  ['effect: oblige', 'effekt: oblige'],
  ['due: {fact: request.until}', 'due: {fact: request.count}'],
  ['due: {fact: request.until}', 'due: {fact: request.untill}'],
  ['due: {fact: request.until}', 'due: sometime'],
  [/    obligation: .*\n/.exec(POLICY)?.[0] ?? '', ''],
  [
    POLICY.slice(
      POLICY.indexOf('- id: SECOND'),
      POLICY.indexOf('    cites: [{instrument: choice, article: Art. 2'),
    ),
    '- title: {en: Second}\n    id: SECOND\n    sentence: {en: Second}\n    outcome: oblige\n',
  ],
  ['id: SECOND', 'id: FIRST'],
  ['- id: SECOND\n    title: {en: Second}', '- title: {en: Second}\n    id: FIRST'],
  ['id: SECOND', 'id: second'],
  ['id: FIRST\n', 'id: 5\n'],
  ['rules:\n', 'rules: 5\nother:\n'],
  ['rules:\n', 'rulez:\n'],
  [POLICY.slice(POLICY.indexOf('rules:')), 'rules: [5, {}]'],
  [POLICY, '5'],
  [POLICY, ''],
];

const PACK_CHANGES: readonly Change[] = [
  ['"pack": "small"', '"pack": "Small"'],
  ['"home": "RW"', '"home": "XX1"'],
  ['"Africa/Kigali"', '"Africa/Kigall"'],
  ['"reviewed_by": null', '"reviewed_by": 5'],
  ['"kind": "statute"', '"kind": "law"'],
  ['"fact": "request.until"', '"fact": "request.till"'],
  ['"fact": "request.until"', '"fact": "request.count"'],
  ['"request.as_of"', '"request.at"'],
  ['"type": "datetime"', '"type": "date"'],
  ['"minimum": 0', '"minimum": "0"'],
  ['"minimum": 0', '"minimun": 0'],
  ['"of": "country"', '"off": "country"'],
  ['"request.words": {\n   "type": "set"', '"request.words2": {\n   "type": "sett"'],
  ['"of": "code"', '"of": "enum"'],
  ['"sure": {', '"home": {'],
  ['"sure": {', '"today": {'],
  ['"sure": {', '"a.b": {'],
  ['"request.yes",', '"request.oui",'],
  ['"request.people.place"\n   ]', '"request.place"\n   ]'],
  ['"request.people.place"\n   ]', '"request.far"\n   ]'],
  ['"and": [', '"nad": ['],
  ['"request.yes",', '["request.yes"],'],
  ['"union"', '"unions"'],
  ['"type": "country"', '"type": "enum"'],
  ['"type": "list"', '"type": "set"'],
  ['"dataset.publisher"', '"dataset.publisher1"'],
];

/** As `file:line:column RULE: message`. */
function said(result: Built<unknown>): string[] {
  if (result.ok) return [];
  return result.problems.map(
    ({ file, line, column, rule, message }) =>
      `${file}:${line}:${column}${rule === undefined ? '' : ` ${rule}`}: ${message}`,
  );
}

function changed(text: string, [from, to]: Change): string {
  expect(text).toContain(from);
  return text.replace(from, () => to);
}

const ofPolicies = vectorsOf(
  'mistakes-policy',
  () => CHANGES,
  (change) =>
    said(
      buildProgram({ file: 'pack', text: PACK }, [
        { file: 'policy', text: changed(POLICY, change) },
      ]),
    ),
);

test.each(inParts(ofPolicies, 4))('mistakes in a policy are named, from %i on', (_, part) => {
  for (const { asked, answer } of part) {
    const text = changed(POLICY, asked);
    const file = { file: 'policy', text };
    expect(said(buildProgram({ file: 'pack', text: PACK }, [file])), asked.join(' → ')).toEqual(
      answer,
    );
  }
});

test('they are the same where the policy is beside a pack', () => {
  const base = built(JSON.parse(PACK) as object);
  for (const { asked, answer } of ofPolicies) {
    const file = { file: 'policy', text: changed(POLICY, asked) };
    expect(said(buildExtension(base, file)), asked.join(' → ')).toEqual(answer);
  }
});

const ofPacks = vectorsOf(
  'mistakes-pack',
  () => PACK_CHANGES,
  (change) => said(buildProgram({ file: 'pack', text: changed(PACK, change) }, [])),
);

test.each(inParts(ofPacks, 3))('mistakes in a pack are named, from %i on', (_, part) => {
  for (const { asked, answer } of part) {
    const file = { file: 'pack', text: changed(PACK, asked) };
    expect(said(buildProgram(file, [])), asked.join(' → ')).toEqual(answer);
  }
});

const RULE = POLICY.slice(POLICY.indexOf('  - id: FIRST'), POLICY.indexOf('  - id: SECOND'));

/** The policy with `count` rules, one of them with a mistake. */
function long(count: number, mistaken: (i: number) => boolean, from: string, to: string): string {
  const rules = Array.from({ length: count }, (_, i) => {
    const rule = RULE.replace('id: FIRST', `id: R${i}`);
    return mistaken(i) ? rule.replace(from, to) : rule;
  });
  return POLICY.slice(0, POLICY.indexOf('  - id: FIRST')) + rules.join('');
}

test.each([100, 101, 200])('of %i rules without a mistake none is named', (count) => {
  const text = long(count, () => false, '', '');
  expect(said(buildProgram({ file: 'pack', text: PACK }, [{ file: 'policy', text }]))).toEqual([]);
});

test('a text that ends a file is no mark, whatever it looks like', () => {
  for (const mark of [']', '}', '[', ',', ',,']) {
    const text = `${POLICY}description:\n  en: |-\n    ${mark}`;
    expect(
      said(buildProgram({ file: 'pack', text: PACK }, [{ file: 'policy', text }])),
      mark,
    ).toEqual([]);
  }
});

test.each([
  ['the schema knows', 'effect: deny', 'effect: dney', 8],
  ['of a condition', 'when: request.no', 'when: {nto: request.no}', 7],
  ['of a fact', 'when: request.no', 'when: request.on', 7],
])('a mistake: %s, is found in any of many rules', (_name, from, to, down) => {
  const lines = RULE.split('\n').length - 1;
  const before = POLICY.slice(0, POLICY.indexOf('  - id: FIRST')).split('\n').length;
  for (const at of [0, 99, 100, 119]) {
    const text = long(120, (i) => i === at, from, to);
    const result = buildProgram({ file: 'pack', text: PACK }, [{ file: 'policy', text }]);
    const problems = result.ok ? [] : result.problems;
    expect(new Set(problems.map(({ rule }) => rule))).toEqual(new Set([`R${at}`]));
    expect(problems.map(({ line }) => line)).toContain(before + at * lines + down);
  }
});

test.each([
  ['effect: deny', 'effect: dney', 2],
  ['when: request.no', 'when: {nto: request.no}', 1],
  ['when: request.no', 'when: request.on', 1],
  ['confidence: high', 'confidence: not_confirmed', 1],
])('of many mistakes the first fifty are named: "%s" as "%s"', (from, to, each) => {
  const text = long(110, (i) => i > 2, from, to);
  const result = buildProgram({ file: 'pack', text: PACK }, [{ file: 'policy', text }]);
  const problems = result.ok ? [] : result.problems;
  expect(problems.map(({ rule }) => rule)).toEqual(
    Array.from({ length: 50 }, (_, i) => `R${Math.floor(i / each) + 3}`),
  );
});

test('a policy beside a pack may read all that the pack names, and its target no rules', () => {
  const base = built(
    JSON.parse(PACK) as object,
    policyDocument([ruleOf('BASE', { outcome: 'deny' })]),
  );
  const withTarget = (target: string): string[] =>
    said(
      buildExtension(base, {
        file: 'policy',
        text: changed(POLICY, ['{fact: dataset.allowed, eq: middle}', target]),
      }),
    );
  for (const condition of [
    '{fact: request.place, eq: {fact: home}}',
    '{fact: request.from, lteq: {fact: today}}',
    '{or: [sure, {nonempty: abroad}, {applies: BASE}]}',
  ]) {
    const text = changed(POLICY, [APPLIES, condition]);
    expect(said(buildExtension(base, { file: 'policy', text })), condition).toEqual([]);
  }
  expect(withTarget('{exists: dataset.allowed}')).toEqual([]);
  expect(withTarget('{and: [{exists: dataset.allowed}, {not: {applies: BASE}}]}')).toEqual([
    'policy:6:1: a target refers to no rules',
  ]);
});

test('a pack in which datasets have no publisher has no policies of owners', () => {
  const pack = JSON.parse(PACK) as { facts: Record<string, object> };
  const message =
    'policy:5:1: policies with an owner need the fact dataset.publisher, with "absent: none"';
  for (const publisher of [undefined, { ...pack.facts['dataset.publisher'], absent: undefined }]) {
    const facts = { ...pack.facts, 'dataset.publisher': publisher };
    const text = JSON.stringify({ ...pack, facts });
    const result = buildProgram({ file: 'pack', text }, [{ file: 'policy', text: POLICY }]);
    expect(said(result)).toEqual([message]);
  }
});

test('of the mistakes of many files the first fifty are named', () => {
  const files = Array.from({ length: 60 }, (_, i) => ({
    file: `policy${i}`,
    text: changed(POLICY, ['instrument: choice\nin_force', 'instrument: none\nin_force']),
  }));
  const problems = said(buildProgram({ file: 'pack', text: PACK }, files));
  expect(problems).toHaveLength(50);
  expect(problems[49]).toBe('policy49:8:1: there is no instrument "none" in the pack');
});

test('what a pack cites and names must be in it, and a mistake is found where it stands', () => {
  const cites = (...instruments: string[]): object[] =>
    instruments.map((instrument) => ({ instrument, article: '1', confidence: 'high' }));
  const withNames = (
    ...[a = '', b = '', c = '', d = '', open = '', e = '', f = '']: string[]
  ): string => {
    const { facts } = smallPack() as { facts: Record<string, object> };
    const title = { en: 'x' };
    const remedy = { to: 'value', values: [true], sentence: title };
    const section = { id: 'section', title, sentence: title };
    const yes = { ...facts['request.yes'], remedies: [remedy, { ...remedy, when: f }] };
    const pack = smallPack({
      facts: { ...facts, 'request.yes': yes },
      record_of_processing: {
        title,
        cites: cites('law', a),
        sections: [
          { ...section, cites: cites('law'), facts: ['request.yes'] },
          { ...section, cites: cites('law', b), facts: ['request.people', 'request.yes', c] },
        ],
      },
      retention: {
        record_years: 6,
        cites: cites('choice', d),
        open_request: { days: 60, cites: cites('law', open) },
        erasure: {
          error: { title, during_retention: true, cites: cites('choice') },
          other: { title, during_retention: true, cites: cites('choice', e) },
        },
      },
    });
    return JSON.stringify(pack, undefined, 1);
  };
  const right = withNames('law', 'rule', 'request.no', 'choice', 'choice', 'law', 'request.no');
  expect(said(buildProgram({ file: 'pack', text: right }, []))).toEqual([]);
  const names = [
    'wrong_a',
    'wrong_b',
    'request.wrong_c',
    'wrong_d',
    'wrong_open',
    'wrong_e',
    'wrong_f',
  ];
  const text = withNames(...names);
  const result = buildProgram({ file: 'pack', text }, []);
  const problems = result.ok ? [] : result.problems;
  const lines = text.split('\n');
  expect(problems.map(({ message }) => /"([\w.]+)"/.exec(message)?.[1])).toEqual(names);
  expect(problems.map(({ line, column }) => lines[line - 1]?.slice(column - 1))).toEqual([
    '"instrument": "wrong_a",',
    '"instrument": "wrong_b",',
    '"request.wrong_c"',
    '"instrument": "wrong_d",',
    '"instrument": "wrong_open",',
    '"instrument": "wrong_e",',
    '"when": "wrong_f"',
  ]);
});
