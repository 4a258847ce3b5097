import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { casesOf, type PolicyCase } from '../../src/pdp/cases.ts';
import { type FactSpec, type Facts, isObject } from '../../src/pdp/facts.ts';
import { type Built, buildProgram } from '../../src/pdp/build.ts';
import type { Program } from '../../src/pdp/program.ts';
import { compilePack, type PackFiles, readPackFolder } from '../../src/policies/files.ts';

const policies = new URL('../../policies/', import.meta.url);

/** The shipped pack, as files and compiled. */
export const packFiles: PackFiles = await readPackFolder(
  fileURLToPath(new URL('rwanda', policies)),
);
export const program: Program = compilePack(packFiles);

/** Those that state all that matters; others are about single rules (`packs.ts`). */
export const CASE_FILES = ['rwanda.json', 'rules.yaml'] as const;

export function caseText(file: (typeof CASE_FILES)[number]): string {
  return readFileSync(new URL(`cases/${file}`, policies), 'utf8');
}

/** Every case of every case file. */
export const cases: readonly PolicyCase[] = CASE_FILES.flatMap((file) =>
  casesOf(file, caseText(file)),
);

/** The paths of `facts` that are stated: leaves, objects and lists alike. */
export function statedPaths(facts: unknown, prefix = ''): string[] {
  if (!isObject(facts)) return [];
  return Object.entries(facts).flatMap(([key, value]) => {
    if (value === null || value === undefined) return [];
    const path = prefix ? `${prefix}.${key}` : key;
    return [path, ...statedPaths(value, path)];
  });
}

/** `facts` with another value at `path`; undefined leaves it out. The original stays as it is. */
export function withFact(facts: Facts, path: string, value: unknown): Facts {
  return put(facts, path.split('.'), value) as Facts;
}

function put(
  at: Readonly<Record<string, unknown>>,
  [key = '', ...rest]: string[],
  value: unknown,
): object {
  const { [key]: inner, ...others } = at;
  if (rest.length === 0) return value === undefined ? others : { ...at, [key]: value };
  if (value === undefined && !isObject(inner)) return at;
  return { ...at, [key]: put(isObject(inner) ? inner : {}, rest, value) };
}

export function factAt(facts: unknown, path: string): unknown {
  let at = facts;
  for (const key of path.split('.')) at = isObject(at) ? at[key] : undefined;
  return at;
}

/** Facts whose values an author may state by themselves: neither inside a list nor an object. */
export function leavesOf({ vocabulary }: Program): readonly FactSpec[] {
  return vocabulary.specs.filter(
    ({ type, path }) => type !== 'object' && !path.startsWith('request.recipients.'),
  );
}

export const leafSpecs: readonly FactSpec[] = leavesOf(program);

const COUNTRY = fc.constantFrom('RW', 'JP', 'KE');

const PURPOSES = ['any', 'public_health_planning', 'outbreak_forecasting', 'hiv_care'];
/** Some of the terms of a list, with kinds of one another among them. */
const TERMS: Readonly<Record<string, readonly string[]>> = {
  purposes: [...PURPOSES, 'sector-health:PublicInterestRelatedToHealth', 'dpv:Marketing'],
  data_use: ['GRU', 'HMB', 'DS', 'POA', 'NPU', 'GS', 'TS', 'IRB', 'NMDS'],
  diseases: ['MONDO:0004992', 'MONDO:0008903', 'MONDO:0005136'],
};

/** Values of a fact, few and near the borders of the pack, so that rules are hit. */
export function valueOf(spec: FactSpec, type: FactSpec['type'] = spec.type): fc.Arbitrary<unknown> {
  switch (type) {
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return fc.constantFrom(0, 1, 4999, 5000, 5001);
    case 'number':
      return spec.maximum === 1 ? fc.constantFrom(0, 0.5, 1) : fc.constantFrom(0, 71, 100);
    case 'text':
      return fc.constant('text');
    case 'code':
      return fc.constantFrom(...(TERMS[spec.terms ?? ''] ?? PURPOSES));
    case 'enum':
      return fc.constantFrom(...(spec.values ?? []));
    case 'country':
      return COUNTRY;
    case 'date':
      return fc.constantFrom('2026-10-14', '2026-10-15', '2026-10-16', '2027-06-30');
    case 'datetime':
      return fc.constantFrom('2026-10-15T21:59:59Z', '2026-10-15T22:00:00Z');
    case 'set':
      return fc.uniqueArray(valueOf(spec, spec.of ?? 'code'), { maxLength: 4 });
    case 'list':
      return fc.array(fc.record({ country: fc.option(COUNTRY) }), { maxLength: 3 });
    case 'object':
      return fc.constant({});
  }
}

/** The facts of a random case after up to twelve random changes, a third of them omissions. */
export function mutatedFactsOf(
  specs: readonly FactSpec[],
  from: readonly PolicyCase[],
): fc.Arbitrary<Facts> {
  const changes: fc.Arbitrary<readonly [string, unknown]> = fc
    .constantFrom(...specs)
    .chain((spec) =>
      fc.tuple(fc.constant(spec.path), fc.option(valueOf(spec), { nil: undefined, freq: 2 })),
    );
  return fc
    .tuple(fc.constantFrom(...from), fc.array(changes, { maxLength: 12 }))
    .map(([{ facts }, list]) =>
      list.reduce((at, [path, value]) => withFact(at, path, value), facts),
    );
}

export const mutatedFacts: fc.Arbitrary<Facts> = mutatedFactsOf(leafSpecs, cases);

/** A small pack for tests of the language; everything in it may be replaced. */
export function smallPack(changed: Readonly<Record<string, unknown>> = {}): object {
  const title = { en: 'Title' };
  const fact = (type: string, more: object = {}): object => ({
    type,
    source: 'request',
    title,
    basis: 'test',
    ...more,
  });
  const examiner = { role: 'authority', title };
  return {
    pack: 'small',
    version: 1,
    title,
    home: 'RW',
    timezone: 'Africa/Kigali',
    reviewed_by: null,
    instruments: {
      law: { title, kind: 'statute' },
      rule: { title, kind: 'regulation' },
      choice: { title, kind: 'national_choice' },
    },
    examiners: Object.fromEntries(
      ['statute', 'regulation', 'agreement', 'national_choice', 'steward'].map((layer) => [
        layer,
        examiner,
      ]),
    ),
    expiries: [],
    purposes: {
      care: { title },
      hiv_care: { title, broader: ['care'] },
      hiv_trial: { title, broader: ['hiv_care', 'research'] },
      research: { title },
      trade: { title },
      fair_trade: { title, broader: ['trade'] },
    },
    disjoint: [['care', 'trade']],
    sectors: {},
    place_groups: { EAC: ['KE', 'RW', 'UG'] },
    facts: {
      'request.as_of': fact('datetime'),
      'request.yes': fact('boolean'),
      'request.no': fact('boolean'),
      'request.count': fact('integer', { minimum: 0 }),
      'request.limit': fact('integer', { minimum: 0, absent: 'none' }),
      'request.from': fact('date'),
      'request.until': fact('date', { absent: 'none' }),
      'request.purpose': fact('code'),
      'request.other': fact('code', { absent: 'none' }),
      'request.asked': fact('enum', { values: ['low', 'high'], ranks: { low: 0, high: 2 } }),
      'dataset.publisher': fact('code', { absent: 'none' }),
      'dataset.allowed': fact('enum', {
        values: ['lowest', 'middle', 'highest'],
        ranks: { lowest: 0, middle: 1, highest: 2 },
        absent: { counts_as: 'lowest' },
      }),
      'request.codes': fact('set', { of: 'code' }),
      'request.words': fact('set', { of: 'code', absent: 'none' }),
      'request.place': fact('country'),
      'request.places': fact('set', { of: 'country' }),
      'request.people': fact('list'),
      'request.people.place': fact('country'),
      'request.paper': fact('object', { absent: 'none' }),
      'request.paper.until': fact('date'),
    },
    derived: {
      sure: { title, condition: { and: ['request.yes', { not: 'request.no' }] } },
      abroad: { title, union: ['request.places', 'request.people.place'], without_home: true },
    },
    ...changed,
  };
}

/** A policy document around `rules`; everything in it may be replaced. */
export function policyDocument(
  rules: readonly object[],
  changed: Readonly<Record<string, unknown>> = {},
): object {
  return {
    policy: 'test-policy',
    version: 1,
    layer: 'statute',
    concern: 'consent',
    title: { en: 'Title' },
    instrument: 'law',
    in_force: { from: '2026-01-01' },
    rules,
    ...changed,
  };
}

/** A rule with what the schema wants; `parts` says what it does. */
export function ruleOf(id: string, parts: object): object {
  const title = { en: id };
  const cites = [{ instrument: 'law', article: 'Art. 1', confidence: 'high' }];
  return { id, title, sentence: title, cites, ...parts };
}

/** Builds a pack and its policies; JSON is YAML. */
export function build(pack: object, ...documents: readonly (object | string)[]): Built<Program> {
  return buildProgram(
    { file: 'pack.yaml', text: JSON.stringify(pack) },
    documents.map((document, i) => ({
      file: `policy-${i + 1}.yaml`,
      text: typeof document === 'string' ? document : JSON.stringify(document),
    })),
  );
}

/** The program of a pack that is expected to have no mistakes. */
export function built(pack: object, ...documents: readonly (object | string)[]): Program {
  const result = build(pack, ...documents);
  if (result.ok) return result.value;
  throw new Error(
    result.problems.map(({ file, line, message }) => `${file}:${line} ${message}`).join('\n'),
  );
}

/** Seconds of processor time that `work` takes: the clock would measure the neighbours too. */
export function cpuSeconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}
