/**
 * Mutation tests of `src/pdp`: `node tools/mutation.ts [--again] [--tests=A,B] [--sample=N] [FILE.ts ...]`. See
 * docs/mutation.md, whose table it writes, and docs/mutation.json, where it keeps what it found.
 */
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Instrumenter } from '@stryker-mutator/instrumenter';
import { rolldown } from 'rolldown';
import type { Job, Outcome, Report } from '../test/pdp/mutation/worker.ts';

const ROOT = join(import.meta.dirname, '..');
const ENGINE = join(ROOT, 'src/pdp');
const BUNDLES = join(ROOT, '.data/mutation');
const STAND_INS = join(ROOT, 'test/pdp/mutation');
const STOOD_FOR = ['vitest', 'fast-check', 'yaml'];
const WORKER = join(STAND_INS, 'worker.ts');

/** All tests of the engine that need no database; Cedar is an oracle, but far too slow a one. */
const TESTS = globSync('test/{pdp/*,policies/{check,programs,templates}}.test.ts', {
  cwd: ROOT,
  exclude: ['test/pdp/cedar.test.ts'],
}).toSorted();

/** Tests about sizes and attacks that take long, and some that take most of the time. */
const WITHOUT = [
  'thousand|100,000|30,000|deletion of a line|many rules|long lists|more facts than',
  'meant to hurt by %s is refused with a reason #(6|1[0-3])|meant to hurt %s is refused #[34]',
  ': size |others have their turn|does to a case can be done|any case, in %s #[234]',
].join('|');

/** A mutant about which nothing is heard for so much processor time is one that does not end. */
const SILENCE_SECONDS = 20;
/** Before the first mutant all tests are run once. */
const START_SECONDS = 600;
const HEAP_MB = 2048;

interface Mutant {
  readonly id: string;
  readonly line: number;
  readonly column: number;
  readonly kind: string;
  readonly original: string;
  readonly replacement: string;
}

/** `timed_out`: nothing was heard of it, so its process was ended. */
type Result = Mutant & { readonly outcome: Outcome | 'timed_out'; readonly by?: string };

/** The mutants of one file, and a script that runs it and the tests, with a switch for each. */
async function prepare(file: string): Promise<{ mutants: Mutant[]; job: Omit<Job, 'mutants'> }> {
  const path = join(ENGINE, file);
  const content = readFileSync(path, 'utf8');
  const logger = new Proxy({}, { get: () => () => false });
  const instrumenter = new Instrumenter(logger as never);
  const { files, mutants } = await instrumenter.instrument(
    [{ name: path, mutate: true, content }],
    { plugins: null, excludedMutations: [], ignorers: [], noHeader: true },
  );
  const imports = new Map<string, string>();
  const bundle = await rolldown({
    input: 'tests',
    treeshake: false,
    plugins: [
      {
        name: 'tests-of-the-engine',
        resolveId(id, importer) {
          if (id === 'tests') return id;
          if (STOOD_FOR.includes(id)) return join(STAND_INS, `${id}.ts`);
          const at = id.startsWith('.') ? join(dirname(importer ?? ''), id) : id;
          const isPath = at.startsWith('/');
          if (isPath && !at.includes('/node_modules/')) return at;
          const name = isPath ? relative(ROOT, at) : id;
          const address = isPath ? pathToFileURL(at).href : import.meta.resolve(id);
          imports.set(name, address);
          return `\0import:${name}`;
        },
        async load(id) {
          if (id === 'tests')
            return chosen
              .map(
                (test) =>
                  `tests['${basename(test, '.test.ts')}'] = () => import('${join(ROOT, test)}');`,
              )
              .join('\n');
          if (id === path) return { code: files[0]?.content ?? '', moduleType: 'ts' };
          if (!id.startsWith('\0import:')) return undefined;
          const name = id.slice('\0import:'.length);
          const names = Object.keys((await import(imports.get(name) ?? name)) as object);
          const from = `imports[${JSON.stringify(name)}]`;
          return names
            .map(
              (each, i) =>
                `const v${i} = ${from}[${JSON.stringify(each)}]; export { v${i} as ${JSON.stringify(each)} };`,
            )
            .join('\n');
        },
        transform(code, id) {
          if (id.startsWith('\0')) return undefined;
          const here = code
            .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(id).href))
            .replaceAll('import.meta.dirname', JSON.stringify(dirname(id)));
          const test = /([^/]+)\.test\.ts$/.exec(id)?.[1];
          return test ? `listing.file = '${test}';\n${here}` : here;
        },
      },
    ],
  });
  const { output } = await bundle.generate({ format: 'esm', codeSplitting: false });
  const code = output[0].code.replace(/^export \{.*\};?$/gm, '');
  const script = join(BUNDLES, `${basename(file, '.ts')}.js`);
  writeFileSync(
    script,
    `(function (imports, listing, stryMutAct_9fa48, stryCov_9fa48, kept) {\nconst tests = {};\n${code}\nreturn tests;\n})`,
  );
  const lines = content.split('\n');
  return {
    mutants: mutants.map(({ id, location: { start, end }, mutatorName, replacement }) => ({
      id,
      line: start.line + 1,
      column: start.column + 1,
      kind: mutatorName,
      original: textBetween(lines, start, end),
      replacement,
    })),
    job: {
      bundle: script,
      about: basename(file, '.ts'),
      imports: Object.fromEntries(imports),
      without: WITHOUT,
      seconds: Number(values.seconds),
    },
  };
}

interface Place {
  readonly line: number;
  readonly column: number;
}

function textBetween(lines: readonly string[], start: Place, end: Place): string {
  return lines
    .slice(start.line, end.line + 1)
    .map((line, i) => {
      const last = start.line + i === end.line ? end.column : line.length;
      return line.slice(i === 0 ? start.column : 0, last);
    })
    .join('\n');
}

/** Runs the mutants that are left; what a process that falls silent was at is noted as such. */
async function run(job: Job, note: (report: Report) => void): Promise<'ended' | 'stopped'> {
  const child = fork(WORKER, { execArgv: [`--max-old-space-size=${HEAP_MB}`], stdio: 'inherit' });
  let end = START_SECONDS;
  const timer = setInterval(() => {
    if (cpuSeconds(child.pid) > end) child.kill('SIGKILL');
  }, 1000);
  child.on('message', (report) => {
    end = cpuSeconds(child.pid) + SILENCE_SECONDS + job.seconds;
    note(report as Report);
  });
  child.send(job);
  const code = await new Promise((resolve) => child.once('exit', resolve));
  clearInterval(timer);
  return code === 0 ? 'ended' : 'stopped';
}

/** Processor time of another process: the clock would end a mutant where the machine is busy. */
function cpuSeconds(pid: number | undefined): number {
  const stat = `/proc/${pid}/stat`;
  if (!existsSync(stat)) return 0;
  // After the name, which may have spaces: the 12th and 13th are user and system time in ticks.
  const fields = readFileSync(stat, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** What was found of a file, and of which text of it. */
interface Found {
  readonly sha256: string;
  readonly results: readonly Result[];
}

/** Tries the mutants of a file that are not in `known`. */
async function measure(
  file: string,
  sample: number,
  known: readonly Result[],
): Promise<{ results: readonly Result[]; mutants: number }> {
  const { mutants: all, job } = await prepare(file);
  const mutants = sampled(all, sample);
  const results = new Map(known.map((each) => [each.id, each]));
  let left = mutants.filter(({ id }) => !results.has(id));
  while (left.length > 0) {
    let ready = false;
    const how = await run({ ...job, mutants: left.map(({ id }) => id) }, (report) => {
      if (report.kind === 'ready') {
        if (!ready && values.verbose) console.log(report);
        ready = true;
        return;
      }
      const { id, outcome, by } = report;
      const mutant = mutants.find((each) => each.id === id);
      if (mutant) results.set(id, { ...mutant, outcome, ...(by === undefined ? {} : { by }) });
      if (results.size % 100 === 0) console.log(`${file}: ${results.size} of ${mutants.length}`);
    });
    if (!ready) throw new Error(`${file}: the tests do not pass without a mutant`);
    left = left.filter(({ id }) => !results.has(id));
    const [first] = left;
    if (how === 'stopped' && first) {
      results.set(first.id, { ...first, outcome: 'timed_out' });
      left = left.slice(1);
    }
  }
  return {
    results: mutants.map(({ id }) => results.get(id)).filter((each) => each !== undefined),
    mutants: all.length,
  };
}

/** What was noticed when the file was last measured, if it is still the same: tests only gain. */
function noticedBefore(file: string, sha256: string): readonly Result[] {
  const path = join(BUNDLES, `${file}.json`);
  if (!existsSync(path)) return [];
  const found = JSON.parse(readFileSync(path, 'utf8')) as Found;
  return found.sha256 === sha256
    ? found.results.filter(({ outcome }) => outcome !== 'lived' && outcome !== 'uncovered')
    : [];
}

/** `count` of them, evenly spread; all of them for none. */
function sampled(mutants: readonly Mutant[], count: number): readonly Mutant[] {
  if (!(count > 0) || mutants.length <= count) return mutants;
  const step = mutants.length / count;
  return Array.from({ length: count }, (_, i) => mutants[Math.floor(i * step)]).filter(
    (each) => each !== undefined,
  );
}

interface Score {
  readonly mutants: number;
  /** How many of them were tried: fewer where they were sampled. */
  readonly tried: number;
  readonly noticed: number;
  /** Of those noticed, how many only because they do not end. */
  readonly by_time: number;
  /** Of those that live, how many no test ever runs. */
  readonly never_run: number;
  /** Place, kind, and what becomes of what. */
  readonly lived: readonly string[];
}

function scoreOf(results: readonly Result[], mutants: number): Score {
  const of = (...outcomes: Result['outcome'][]): readonly Result[] =>
    results.filter(({ outcome }) => outcomes.includes(outcome));
  return {
    mutants,
    tried: results.length,
    noticed: of('killed', 'endless', 'timed_out').length,
    by_time: of('endless', 'timed_out').length,
    never_run: of('uncovered').length,
    lived: of('lived', 'uncovered').map(
      ({ line, column, kind, original, replacement }) =>
        `${line}:${column} ${kind}: ${short(original)} → ${short(replacement)}`,
    ),
  };
}

function short(code: string): string {
  const line = code.replace(/\s+/g, ' ');
  return line.length > 60 ? `${line.slice(0, 40)} … ${line.slice(-17)}` : line;
}

const SCORES = join(ROOT, 'docs/mutation.json');
const PAGE = join(ROOT, 'docs/mutation.md');

/** Keeps a file's score, and writes the table of all of them. */
function keep(file: string, score: Score): void {
  const before = existsSync(SCORES) ? (JSON.parse(readFileSync(SCORES, 'utf8')) as object) : {};
  const scores = Object.entries({ ...before, [file]: score } as Record<string, Score>)
    .filter(([name]) => existsSync(join(ENGINE, name)))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  writeFileSync(SCORES, `${JSON.stringify(Object.fromEntries(scores), undefined, 2)}\n`);
  const sum = (of: (score: Score) => number): number =>
    scores.reduce((total, [, each]) => total + of(each), 0);
  const total = {
    mutants: sum(({ mutants }) => mutants),
    tried: sum(({ tried }) => tried),
    noticed: sum(({ noticed }) => noticed),
    by_time: sum(({ by_time }) => by_time),
    never_run: sum(({ never_run }) => never_run),
  };
  // Files of which fewer were tried count by how many mutants they have.
  const share = sum(({ mutants, tried, noticed }) => (mutants * noticed) / tried) / total.mutants;
  const rows = [
    ...scores.map(([name, each]) => [`\`${name}\``, each, each.noticed / each.tried] as const),
    ['All', total, share] as const,
  ];
  const table = aligned([
    ['File', 'Mutants', 'Tried', 'Noticed', 'by time', 'Never run', 'Score'],
    ...rows.map(([name, { mutants, tried, noticed, by_time, never_run }, score]) => [
      name,
      ...[mutants, tried, noticed, by_time, never_run].map(String),
      `${(100 * score).toFixed(1)} %`,
    ]),
  ]);
  const page = readFileSync(PAGE, 'utf8');
  writeFileSync(
    PAGE,
    page.replace(/^\| File [^]*?\n(?!\|)/m, () => `${table.join('\n')}\n`),
  );
}

/** The lines of a table: its first column to the left, the others to the right. */
function aligned([head = [], ...rows]: readonly (readonly string[])[]): string[] {
  const widths = head.map((cell, i) =>
    Math.max(cell.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const lined = (cells: readonly string[]): string => {
    const padded = widths.map((width, i) =>
      i === 0 ? (cells[i] ?? '').padEnd(width) : (cells[i] ?? '').padStart(width),
    );
    return `| ${padded.join(' | ')} |`;
  };
  const rules = widths.map((width, i) => '-'.repeat(width - Number(i > 0)) + (i > 0 ? ':' : ''));
  return [head, rules, ...rows].map(lined);
}

const { values, positionals } = parseArgs({
  options: {
    again: { type: 'boolean' },
    sample: { type: 'string' },
    seconds: { type: 'string', default: '2' },
    tests: { type: 'string' },
    verbose: { type: 'boolean' },
  },
  allowPositionals: true,
});
const files =
  positionals.length > 0
    ? positionals.map((name) => basename(name))
    : globSync('*.ts', { cwd: ENGINE }).toSorted();
const wanted = values.tests?.split(',');
const chosen = TESTS.filter((test) => wanted?.includes(basename(test, '.test.ts')) ?? true);
mkdirSync(BUNDLES, { recursive: true });
for (const file of files) {
  const before = performance.now();
  const sha256 = createHash('sha256')
    .update(readFileSync(join(ENGINE, file)))
    .digest('hex');
  const known = values.again ? noticedBefore(file, sha256) : [];
  const { results, mutants } = await measure(file, Number(values.sample ?? 0), known);
  if (results.length === 0) continue;
  const found: Found = { sha256, results };
  writeFileSync(join(BUNDLES, `${file}.json`), JSON.stringify(found, undefined, 1));
  const score = scoreOf(results, mutants);
  keep(file, score);
  const seconds = Math.round((performance.now() - before) / 1000);
  console.log(
    `${file}: ${score.noticed} of ${score.tried} noticed, ${score.by_time} by time; ${score.never_run} never run; ${seconds} s`,
  );
}
