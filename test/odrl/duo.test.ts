/** The DUO codes as ODRL rules that others wrote: each is imported and means what it says. */

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { importOdrl } from '../../src/odrl/import.ts';
import { buildExtension } from '../../src/pdp/build.ts';
import { boundTo, withExtensions } from '../../src/pdp/compose.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { loadFacts } from '../../src/pdp/program.ts';
import { cases, program, withFact } from '../pdp/support.ts';
import { ask, importSpace, type Question, spaceOf } from './support.ts';

const folder = new URL('../vectors/duo-odrl-dpv/', import.meta.url);
const textOf = (code: string): string =>
  readFileSync(new URL(`DUO_00000${code}.ttl`, folder), 'utf8');
const DUODRL = 'https://w3id.org/duodrl#';
const DPV = 'https://w3id.org/dpv#';
const DIABETES = 'http://purl.obolibrary.org/obo/MONDO_0005015';
const bindings = Object.fromEntries(
  Object.entries({
    Dataset: 'ds-1',
    Location: 'RW',
    Disease: DIABETES,
    StudyResultsPublicationDate: '2027-01-01',
    TimeLimit: '2027-06-30',
    User: 'alice',
    Project: 'project-1',
    Institution: 'moh',
    Research: `${DUODRL}HMB`,
    AgeCategory: 'children',
    Gender: 'female',
    PopulationGroup: 'farmers',
  }).map(([name, value]) => [`${DUODRL}Template${name}`, value]),
);

const purpose = (name: string, more: object = {}): Question => ({
  action: { properties: { purpose: name.includes('://') ? name : `${DUODRL}${name}`, ...more } },
});
const forWhom = (group: string, more: Question = {}): Question => ({
  ...more,
  subject: { id: 'bob', properties: { part_of: [group] } },
});
const [FOR, NON] = [`${DUODRL}ForProfitOrganisation`, `${DUODRL}NonProfitOrganisation`];
const noProperties: Question = {};
const placed = (spatial: string): Question => ({ context: { spatial } });
const on = (as_of: string, more: Question = {}): Question => ({ ...more, as_of });
const publishing: Question = {
  action: { name: 'distribute', properties: { output: `${DUODRL}ResultsOfStudies` } },
};
const withAge = (key: string, value: string, of: string): Question => purpose(of, { [key]: value });

interface Row {
  readonly permit?: readonly Question[];
  readonly deny?: readonly Question[];
  readonly review?: readonly Question[];
  readonly obligations?: number;
  readonly refused?: RegExp;
}

const NO_POLICY: Row = { refused: /there is no ODRL policy/ };
const onlyFor = (yes: string, no: string): Row => ({
  permit: [purpose(yes)],
  deny: [purpose(no)],
  review: [noProperties],
});

/** By code: questions that are permitted, denied and sent to a person; or why it is refused. */
const ROWS: Readonly<Record<string, Row>> = {
  '01': NO_POLICY, // a class of codes, without a rule
  '04': {
    permit: [purpose('HMB'), purpose(`${DPV}AcademicResearch`)],
    deny: [purpose(`${DPV}Marketing`), { ...purpose('HMB'), resource: { id: 'ds-2' } }],
    review: [noProperties],
  },
  '06': onlyFor('HMB', 'POA'),
  '07': {
    permit: [purpose('DS', { Disease: DIABETES })],
    deny: [purpose('DS', { Disease: 'influenza' }), purpose('HMB', { Disease: DIABETES })],
    review: [purpose('DS')],
  },
  '11': { ...onlyFor('POA', 'HMB'), permit: [purpose('POA'), purpose('AncestoryResearch')] },
  '12': onlyFor('HMB', 'POA'),
  '15': { deny: [purpose('MDS')] },
  '16': { permit: [purpose('GSG')], deny: [purpose('GSP'), purpose('GS'), purpose('HMB')] },
  '17': NO_POLICY, // a class of modifiers, without a rule
  '18': {
    permit: [forWhom(NON, purpose('NCU')), forWhom(NON, purpose(`${DPV}NonCommercialResearch`))],
    deny: [
      forWhom(FOR, purpose('NCU')),
      forWhom(NON, purpose(`${DPV}CommercialPurpose`)),
      purpose('NCU'),
    ],
  },
  '19': { permit: [noProperties], obligations: 1 },
  '20': { permit: [noProperties], obligations: 1 },
  '21': {
    permit: [{ action: { properties: { ethics_approval: true } } }],
    deny: [noProperties, { action: { properties: { ethics_approval: false } } }],
  },
  '22': { permit: [placed('RW')], deny: [placed('JP')], review: [noProperties] },
  '24': { deny: [on('2026-12-31T21:00:00Z', publishing), on('2027-01-02T00:00:00Z', publishing)] },
  '25': {
    permit: [on('2027-06-30T21:00:00Z')],
    deny: [on('2027-06-30T22:00:00Z')], // midnight in the country
  },
  '26': {
    permit: [noProperties, forWhom('alice')],
    deny: [{ subject: { id: 'bob' } }],
  },
  '27': {
    permit: [{ context: { Project: 'project-1' } }],
    deny: [{ context: { Project: 'project-2' } }],
    review: [noProperties],
  },
  '28': { permit: [forWhom('moh')], deny: [forWhom('minedu'), noProperties] },
  '29': { permit: [noProperties], obligations: 1 },
  '31': onlyFor('MDS', 'HMB'),
  '32': {
    permit: [withAge('PopulationGroup', 'farmers', 'PopulationGroupResearch')],
    deny: [withAge('PopulationGroup', 'others', 'PopulationGroupResearch')],
  },
  '33': onlyFor('POA', 'GS'),
  '34': {
    permit: [withAge('Age', 'children', 'AgeCategoryResearch')],
    deny: [withAge('Age', 'adults', 'AgeCategoryResearch')],
  },
  '35': {
    permit: [withAge('Gender', 'female', 'GenderCategoryResearch')],
    deny: [withAge('Gender', 'female', 'AgeCategoryResearch')],
  },
  '36': onlyFor('ResearchControl', 'GS'),
  '37': onlyFor('HMB', 'GS'),
  '38': { ...onlyFor('GS', 'HMB'), permit: [purpose('GSP'), purpose('GSG')] },
  '39': onlyFor('DrugDevelopment', 'GS'),
  '40': {
    permit: [purpose('DS', { Disease: DIABETES })],
    deny: [purpose('DS', { Disease: 'influenza' })],
  },
  '42': onlyFor('GRU', 'CC'),
  '43': onlyFor('CC', 'GRU'),
  '44': { deny: [purpose('POA'), purpose('AncestoryResearch')] },
  '45': { permit: [forWhom(NON)], deny: [forWhom(FOR), noProperties] },
  '46': onlyFor('NCU', `${DPV}CommercialPurpose`),
};

describe('in a space', () => {
  test('every code is looked at', () => {
    const codes = readdirSync(folder)
      .filter((file) => file.startsWith('DUO_'))
      .map((file) => file.slice(9, 11));
    expect(codes).toHaveLength(35);
    expect(Object.keys(ROWS).toSorted()).toEqual(codes.toSorted());
  });

  test.each(Object.entries(ROWS))('DUO_00000%s', async (code, row) => {
    const { refused, permit = [], deny = [], review = [], obligations = 0 } = row;
    if (refused) {
      const answer = await importSpace(textOf(code), 'turtle', bindings);
      expect(answer.ok ? '' : answer.problems[0]?.message).toMatch(refused);
      return;
    }
    const space = await spaceOf(textOf(code), 'turtle', bindings);
    const all = Object.entries({ permit, deny, review });
    const answers = all.map(([effect, questions]) => [
      effect,
      questions.map((question) => ask(space, question).effect),
    ]);
    expect(answers).toEqual(
      all.map(([effect, questions]) => [effect, questions.map(() => effect)]),
    );
    const [first] = permit;
    if (first) expect(ask(space, first).oblige).toHaveLength(obligations);
  });

  test('a placeholder that nothing is bound to is refused, and named', async () => {
    const answer = await importSpace(textOf('22'), 'turtle', {
      [`${DUODRL}TemplateDataset`]: 'ds-1',
    });
    expect(answer).toMatchObject({ ok: false });
    expect(JSON.stringify(answer)).toMatch(/TemplateLocation.*placeholder/);
  });

  test('publication, collaboration and return say when they are due', async () => {
    const dueOf = async (code: string): Promise<unknown> => {
      const answer = await importSpace(textOf(code), 'turtle', bindings);
      const { rules } = JSON.parse(answer.ok ? answer.text : '{}') as {
        rules: { obligation?: { due: string } }[];
      };
      return rules.flatMap(({ obligation }) => obligation?.due ?? []);
    };
    expect(await Promise.all(['19', '20', '29'].map(dueOf))).toEqual([
      ['throughout'],
      ['from_start'],
      ['throughout'],
    ]);
  });
});

describe('beside the rules of a nation', () => {
  const WORDS = Object.fromEntries(
    [
      'HMB',
      'POA',
      'GS',
      'GSG',
      'GSP',
      'DS',
      'CC',
      'GRU',
      'MDS',
      'NCU',
      'DrugDevelopment',
      'ResearchControl',
      'AgeCategoryResearch',
      'GenderCategoryResearch',
      'PopulationGroupResearch',
    ].map((word) => [`${DUODRL}${word}`, `duo-${word}`]),
  );
  const all = { ...bindings, ...WORDS, [`${DPV}ResearchAndDevelopment`]: 'research' };
  const header = { in_force: { from: '2026-01-01' } };
  const national = (code: string) =>
    importOdrl(textOf(code), {
      format: 'turtle',
      profile: 'national',
      pack: program.pack,
      bindings: all,
      header,
    });

  /** Codes that ask for what the facts of a pack do not say. */
  const REFUSED: Readonly<Record<string, RegExp>> = {
    '01': /no ODRL policy/,
    '07': /no fact of the pack is .*Disease/,
    '17': /no ODRL policy/,
    '24': /what an action makes/,
    '26': /who the assignee is/,
    '27': /no fact of the pack is .*Project/,
    '28': /who the assignee is/,
    '32': /no fact of the pack is .*PopulationGroup/,
    '34': /no fact of the pack is .*Age/,
    '35': /no fact of the pack is .*Gender/,
    '40': /no fact of the pack is .*Disease/,
  };

  test.each(Object.keys(ROWS))('DUO_00000%s compiles, or says why not', async (code) => {
    const answer = await national(code);
    const refused = REFUSED[code];
    if (refused) {
      expect(answer.ok ? '' : answer.problems[0]?.message).toMatch(refused);
      return;
    }
    if (!answer.ok) throw new Error(JSON.stringify(answer.problems));
    expect(buildExtension(program, { file: code, text: answer.text })).toMatchObject({ ok: true });
  });

  test('the geographic restriction permits the country and denies another', async () => {
    const answer = await national('22');
    const extension = buildExtension(program, { file: 'duo', text: answer.ok ? answer.text : '' });
    if (!extension.ok) throw new Error(JSON.stringify(extension.problems));
    const both = withExtensions(program, [extension.value]);
    const permitted = cases.find(
      ({ facts }) => evaluate(program, loadFacts(program, facts)).effect === 'permit',
    );
    if (!permitted) throw new Error('no case is permitted');
    const decide = (place: string, dataset = 'ds-1') => {
      const facts = ['storage', 'processing', 'access_from'].reduce(
        (at, key) => withFact(at, `request.locations.${key}`, [place]),
        withFact(permitted.facts, 'dataset.id', dataset),
      );
      const bound = boundTo(both, facts);
      return evaluate(bound, loadFacts(bound, facts));
    };
    expect(decide('RW').effect).toBe('permit');
    expect(decide('JP').deny).toEqual(
      expect.arrayContaining(['DUO-0000022-N1', 'DUO-0000022-CLOSED1']),
    );
    expect(decide('JP', 'another').deny).not.toContain('DUO-0000022-N1');
  });
});
