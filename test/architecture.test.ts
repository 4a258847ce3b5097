/** The floors of the house: imports only go down, and each library has one home. */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';

const SRC = join(import.meta.dirname, '../src');

/** From the bottom up; a module may import its own folder, and floors below. */
const FLOORS: readonly (readonly string[])[] = [
  ['generated'],
  ['pdp', 'tlog'],
  ['odrl'],
  ['db'],
  // Ground files: what every floor above speaks in.
  [
    'errors',
    'principal',
    'ids',
    'counted',
    'operation',
    'paging',
    'versions',
    'idempotency',
    'config',
  ],
  ['audit'],
  ['parties'],
  ['policies'],
  ['consent'],
  ['catalogue'],
  ['spaces'],
  ['access'],
  ['erasure'],
  ['http', 'console'],
  ['demo'],
  ['service'],
  ['processes'],
  ['cli', 'main'],
];

/** Imports that go up or aside, and why they may. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'db/connection.ts → errors.ts':
    'the closed codes: a lost database is `unavailable` wherever it is noticed',
};

/** Data beside `src/` that a module may import, and why. */
const DATA: Readonly<Record<string, string>> = {
  '../policies/pack.schema.json': 'the JSON Schema of packs, which editors read too',
  '../policies/part.schema.json': 'the JSON Schema of their parts, which editors read too',
  '../policies/policy.schema.json': 'the JSON Schema of policies, which editors read too',
  '../policies/odrl/context.json': 'the terms of ODRL 2.2 and the hierarchy of its actions',
  '../policies/odrl/duo.json': 'words of others that an ODRL policy may use',
  '../policies/odrl/national.json': "ODRL and DPV in the facts of a nation's pack",
  '../policies/odrl/space.json': 'ODRL and DPV in the facts of an AuthZEN question',
};

/** Where each library may be imported; a folder, or a file. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  hono: ['http/', 'console/'],
  '@hono/node-server': ['service.ts', 'http/app.ts'],
  jose: ['audit/keys.ts', 'http/authenticate.ts', 'demo.ts'],
  pg: ['db/'],
  kysely: [
    'db/',
    'audit/store.ts',
    'audit/log-store.ts',
    'audit/search-store.ts',
    'parties/store.ts',
    'parties/party.ts', // the type of a row
    'consent/store.ts',
    'catalogue/store.ts',
    'catalogue/search.ts', // the one module of text search
    'catalogue/usable.ts',
    'catalogue/fact-tests.ts', // predicates over facts, as SQL
    'access/store.ts',
    'access/impact-store.ts',
    'access/cut-off-store.ts',
    'access/run-store.ts',
    'policies/store.ts',
    'spaces/store.ts',
    'erasure/store.ts',
    'idempotency.ts',
    'http/handlers.ts', // `select 1` of /readyz
  ],
  ajv: ['http/contract.ts', 'pdp/document.ts'],
  'ajv-formats': ['pdp/document.ts'],
  yaml: ['http/contract.ts', 'pdp/'],
  canonicalize: ['audit/canonical.ts'],
  jsonld: ['odrl/read.ts'],
  n3: ['odrl/read.ts'],
  commander: ['cli/'],
  'hyparquet-writer': ['audit/export-parquet.ts'],
  uuid: ['ids.ts'],
  'swagger-ui-dist': ['http/pages.ts'],
};

const ENGINES = ['db', 'pdp', 'tlog'];
/** Engines that are pure: no clock, no I/O, no environment. */
const PURE = ['pdp/', 'tlog/', 'odrl/'];
const PURE_NODE = ['node:crypto'];
const IMPURE =
  /\b(?:Date|process|fetch|setTimeout|setInterval|setImmediate|performance|globalThis|WebSocket)\b(?!['"`])/;

export interface Module {
  /** Below `src/`. */
  readonly path: string;
  readonly text: string;
}

interface Import {
  readonly from: string;
  /** A path below `src/`, or the name of a package. */
  readonly to: string;
  readonly local: boolean;
  readonly typeOnly: boolean;
}

const IMPORT =
  /^\s*(?:import|export)(\s+type)?\b(?:[^'"`;]*?\bfrom)?\s*['"]([^'"]+)['"]|\b(?:import|require|resolve)\(\s*['"]([^'"]+)['"]/gm;

export function importsOf({ path, text }: Module): Import[] {
  return [...withoutComments(text).matchAll(IMPORT)].map(([, type, statically, dynamically]) => {
    const name = statically ?? dynamically ?? '';
    const local = name.startsWith('.');
    const to = local ? join(dirname(path), name) : packageOf(name);
    return { from: path, to, local, typeOnly: type !== undefined };
  });
}

function packageOf(name: string): string {
  if (name.startsWith('node:')) return name;
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, '');
}

function withoutTexts(text: string): string {
  return withoutComments(text).replaceAll(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''");
}

const areaOf = (path: string): string => path.split('/')[0]?.replace(/\.ts$/, '') ?? '';
const floorOf = (path: string): number => FLOORS.findIndex((floor) => floor.includes(areaOf(path)));

/** Every breach of the rules in some modules, one line each, and the exceptions that were needed. */
export function breachesOf(modules: readonly Module[]): { breaches: string[]; used: string[] } {
  const breaches: string[] = [];
  const used: string[] = [];
  const breach = (line: string): void => {
    if (EXCEPTIONS[line]) used.push(line);
    else breaches.push(line);
  };
  for (const module of modules) {
    const { path, text } = module;
    if (floorOf(path) < 0) breach(`${path} is on no floor`);
    for (const { to, local } of importsOf(module)) {
      if (local) checkLocal(path, to, breach);
      else checkLibrary(path, to, breach);
    }
    const impure =
      PURE.some((engine) => path.startsWith(engine)) && IMPURE.exec(withoutTexts(text))?.[0];
    if (impure) breach(`${path} is pure but speaks of ${impure}`);
  }
  return { breaches, used };
}

function checkLocal(from: string, to: string, breach: (line: string) => void): void {
  if (DATA[to] && ['pdp', 'odrl'].includes(areaOf(from))) return;
  if (to.startsWith('..')) return breach(`${from} → ${to} leaves the house`);
  if (areaOf(from) === areaOf(to)) return;
  if (floorOf(to) < 0) return breach(`${from} → ${to} is on no floor`);
  const sideways = floorOf(from) === floorOf(to) && !(isFile(from) && isFile(to));
  const engineAside = ENGINES.includes(areaOf(from)) && ENGINES.includes(areaOf(to));
  if (floorOf(to) > floorOf(from) || sideways || engineAside) breach(`${from} → ${to}`);
}

const isFile = (path: string): boolean => !path.includes('/');

function checkLibrary(path: string, library: string, breach: (line: string) => void): void {
  const pure = PURE.some((engine) => path.startsWith(engine));
  if (library.startsWith('node:')) {
    if (pure && !PURE_NODE.includes(library)) breach(`${path} is pure but imports ${library}`);
    return;
  }
  if (areaOf(path) === 'tlog')
    breach(`${path} could not be published alone: it imports ${library}`);
  const homes = HOMES[library];
  if (!homes) breach(`${library} has no home, but ${path} imports it`);
  else if (!homes.some((home) => (home.endsWith('/') ? path.startsWith(home) : path === home))) {
    breach(`${library} lives in ${homes.join(', ')}, not in ${path}`);
  }
}

const modules: Module[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path: relative('.', path), text: readFileSync(join(SRC, path), 'utf8') }));
const found = breachesOf(modules);

describe('the house', () => {
  test('was seen: its modules, and what they import', () => {
    const imports = modules.flatMap(importsOf);
    expect(modules.length).toBeGreaterThan(60);
    expect(imports.filter(({ local }) => local).length).toBeGreaterThan(200);
    expect(imports.filter(({ local }) => !local).length).toBeGreaterThan(60);
    const keywords = modules.map(
      ({ text }) => withoutComments(text).match(/^import\b/gm)?.length ?? 0,
    );
    const statics = keywords.reduce((sum, each) => sum + each, 0);
    expect(imports.length).toBeGreaterThanOrEqual(statics);
    const targets = new Set(modules.map(({ path }) => path));
    expect(
      imports.filter(({ local, to }) => local && to.endsWith('.ts') && !targets.has(to)),
    ).toEqual([]);
    for (const floor of FLOORS.flat().filter((each) => each !== 'console')) {
      expect(
        modules.some(({ path }) => areaOf(path) === floor),
        floor,
      ).toBe(true);
    }
  });

  test('imports only down, keeps each library in its home, and its engines pure', () => {
    expect(found.breaches).toEqual([]);
  });

  test('needs every exception, and every home is lived in', () => {
    expect([...new Set(found.used)].toSorted()).toEqual(Object.keys(EXCEPTIONS).toSorted());
    const lived = modules.flatMap(importsOf).filter(({ local }) => !local);
    for (const [library, homes] of Object.entries(HOMES)) {
      for (const home of homes.filter((each) => each !== 'console/')) {
        const inhabited = lived.some(
          ({ from, to }) =>
            to === library && (home.endsWith('/') ? from.startsWith(home) : from === home),
        );
        expect(inhabited, `${library} in ${home}`).toBe(true);
      }
    }
  });
});

describe('the check refuses', () => {
  const bad: Readonly<Record<string, readonly [Module, string]>> = {
    'an engine that knows a register': [
      { path: 'tlog/leaf.ts', text: "import { record } from '../audit/record.ts';" },
      'tlog/leaf.ts → audit/record.ts',
    ],
    'an engine that knows another': [
      { path: 'pdp/facts.ts', text: "import { connect } from '../db/connection.ts';" },
      'pdp/facts.ts → db/connection.ts',
    ],
    'a register that reads a later one': [
      { path: 'parties/store.ts', text: "import type { Dataset } from '../catalogue/dataset.ts';" },
      'parties/store.ts → catalogue/dataset.ts',
    ],
    'a register that reads a door': [
      { path: 'access/routes.ts', text: "export { PROBLEMS } from '../http/problems.ts';" },
      'access/routes.ts → http/problems.ts',
    ],
    'a door that reads the other': [
      { path: 'http/app.ts', text: "import '../console/pages.ts';" },
      'http/app.ts → console/pages.ts',
    ],
    'a ground file that knows a register': [
      { path: 'paging.ts', text: "import {\n  type A,\n  b,\n} from './audit/store.ts';" },
      'paging.ts → audit/store.ts',
    ],
    'an import at run time': [
      { path: 'consent/store.ts', text: "const x = await import('../access/store.ts');" },
      'consent/store.ts → access/store.ts',
    ],
    'a library out of its home': [
      { path: 'consent/routes.ts', text: "import { Hono } from 'hono/tiny';" },
      'hono lives in http/, console/, not in consent/routes.ts',
    ],
    'a library without a home': [
      { path: 'http/app.ts', text: "import lodash from 'lodash';" },
      'lodash has no home, but http/app.ts imports it',
    ],
    'a file read in an engine': [
      { path: 'pdp/document.ts', text: "import { readFileSync } from 'node:fs';" },
      'pdp/document.ts is pure but imports node:fs',
    ],
    'a clock in an engine': [
      { path: 'pdp/evaluate.ts', text: 'const now = new Date();' },
      'pdp/evaluate.ts is pure but speaks of Date',
    ],
    'the environment in an engine': [
      { path: 'tlog/note.ts', text: 'if (process.env.X) {}' },
      'tlog/note.ts is pure but speaks of process',
    ],
    'a folder on no floor': [{ path: 'helpers/x.ts', text: '' }, 'helpers/x.ts is on no floor'],
    'a path out of the house': [
      { path: 'http/app.ts', text: "import x from '../../bench/x.ts';" },
      'http/app.ts → ../bench/x.ts leaves the house',
    ],
  };
  test.each(Object.entries(bad))('%s', (_name, [module, line]) => {
    expect(breachesOf([module]).breaches).toEqual([line]);
  });

  test('nothing in comments and texts', () => {
    const text =
      "// import { x } from '../audit/record.ts';\n/* new Date() */\nconst word = 'process of the Date';\nimport { a } from './b.ts';";
    expect(breachesOf([{ path: 'tlog/leaf.ts', text }]).breaches).toEqual([]);
  });
});
