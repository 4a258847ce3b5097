/** A country is data: no file under `src/` names one, its law, its offices or its places. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { COUNTRIES } from '../src/pdp/countries.ts';
import { packs } from './pdp/packs.ts';

const ROOT = join(import.meta.dirname, '..');

/** Files that may name countries, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'pdp/countries.ts': 'the list of ISO 3166-1 itself',
  'odrl/mapping.ts': 'the words of the Data Use Ontology, which are of no country',
  'generated/openapi.ts': 'the examples of the contract, which are those of the demo',
};

/** Languages are no countries, whatever they are called after. */
const NOT_A_COUNTRY = /Kinyarwanda|KINYARWANDA/g;

const demo = JSON.parse(readFileSync(join(ROOT, 'demo/scenarios.json'), 'utf8')) as {
  organisations: { id: string }[];
  datasets: { id: string }[];
  projects: { id: string }[];
};

function wordsOfCountries(): string[] {
  const names = new Intl.DisplayNames(['en'], { type: 'region' });
  return [...COUNTRIES].flatMap((code) => names.of(code) ?? []);
}

function wordsOfPacks(): string[] {
  return packs.flatMap(({ name, program: { pack, rules, vocabulary } }) => [
    name,
    pack.home,
    pack.timezone,
    pack.timezone.split('/').at(-1)?.replaceAll('_', ' ') ?? '',
    ...Object.keys(pack.instruments).filter((id) => !GENERAL.includes(id)),
    ...rules.map(({ rule }) => rule.id),
    // What only some packs have is theirs; an assessment is called one everywhere.
    ...vocabulary.specs.flatMap(({ record }) =>
      record && !packs.every((each) => hasKind(each, record.kind)) ? [record.kind] : [],
    ),
  ]);
}

/** Instruments that are words of the language: layers, not laws. */
const GENERAL = ['agreement', 'national-choice'];

function hasKind({ program }: (typeof packs)[number], kind: string): boolean {
  return program.vocabulary.specs.some(({ record }) => record?.kind === kind);
}

const escaped = (word: string): string => word.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&');

const words = [
  ...wordsOfCountries(),
  ...wordsOfPacks(),
  ...[demo.organisations, demo.datasets, demo.projects].flatMap((list) => list.map(({ id }) => id)),
];
const isNamed = new RegExp(
  `(?<![\\w-])(?:${[...new Set(words)].map(escaped).join('|')})(?![\\w-])`,
  'g',
);

const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.ts'),
);

function named(file: string): string[] {
  const text = readFileSync(join(ROOT, 'src', file), 'utf8').replaceAll(NOT_A_COUNTRY, '');
  return [...new Set(text.match(isNamed))];
}

test('the words are there, and the sources are seen', () => {
  expect(sources.length).toBeGreaterThan(100);
  for (const word of ['Rwanda', 'Kigali', 'KE', 'law-058-2021', 'ncsa_registration', 'moh'])
    expect(words).toContain(word);
  expect('a rule for Rwanda'.match(isNamed)).toEqual(['Rwanda']);
});

test.each(sources.filter((file) => !EXCEPTIONS[file]))('src/%s names no country', (file) => {
  expect(named(file)).toEqual([]);
});

test.each(Object.entries(EXCEPTIONS))('src/%s does, as it may: %s', (file) => {
  expect(named(file)).not.toEqual([]);
});
