/**
 * Runs the tests of the engine against mutants of one file, in a process of its own: a mutant may
 * never end, or take all memory. `tools/mutation.ts` starts it and ends it.
 */
import { readFileSync } from 'node:fs';
import { runInThisContext } from 'node:vm';

export interface ListedTest {
  /** The name of its file, `logic` of `logic.test.ts`. */
  readonly file: string;
  readonly name: string;
  readonly run: () => unknown;
}

/** Filled while a bundle runs. */
export interface Listing {
  /** The test file whose tests are being listed. */
  file: string;
  readonly tests: ListedTest[];
}

/** What is made once for all mutants, by what it is made from: nothing that a mutant could change. */
export type Kept = Map<string, unknown>;

/** To the worker: the bundle, what it imports, and the mutants to try in turn. */
export interface Job {
  /** Path of a script: a function, see `Bundle`. */
  readonly bundle: string;
  /** The name that the test file about the mutants' file would have: its tests come first. */
  readonly about: string;
  /** By the name that the bundle knows it by, the address of a module. */
  readonly imports: Readonly<Record<string, string>>;
  readonly mutants: readonly string[];
  /** Tests that are not run, by a pattern of file and name. */
  readonly without: string;
  /** Seconds of processor time after which no other test is begun for a mutant. */
  readonly seconds: number;
}

/** From the worker, in order: what the tests cover, then what became of each mutant. */
export type Report =
  | { readonly kind: 'ready'; readonly tests: number; readonly left: readonly string[] }
  | {
      readonly kind: 'mutant';
      readonly id: string;
      readonly outcome: Outcome;
      readonly by?: string;
    };

/**
 * `endless`: its place is run over and over. `uncovered`: its place is never run, by no test and
 * not while modules load.
 */
export type Outcome = 'killed' | 'endless' | 'lived' | 'uncovered';

/** The hits of each mutant's place, by its id. */
type Hits = Map<string, number>;

/** Modules that are not loaded yet: by the name of a test file, what loads it and all it imports. */
type Bundle = (
  imports: Readonly<Record<string, unknown>>,
  listing: Listing,
  isActive: (id: string) => boolean,
  cover: (...ids: string[]) => void,
  kept: Kept,
) => Readonly<Record<string, () => Promise<unknown>>>;

/** A place hit so many times as often as by a whole file of tests is in a loop that does not end. */
const HIT_FACTOR = 10;
const HITS_AT_LEAST = 10_000;

let active: string | undefined;
let hits = 0;
let limit = Infinity;
let covered: Hits | undefined;

function isActive(id: string): boolean {
  if (id !== active) return false;
  if (++hits > limit) throw new Error('the mutant is hit again and again');
  return true;
}

function cover(...ids: string[]): void {
  if (covered) for (const id of ids) covered.set(id, (covered.get(id) ?? 0) + 1);
}

/** A test by its file and its place in it, and what it and its file cost. */
interface KnownTest {
  readonly file: KnownFile;
  readonly index: number;
  readonly name: string;
  readonly hits: Hits;
  milliseconds: number;
  runs: number;
  kills: number;
}

interface KnownFile {
  readonly name: string;
  /** While it loads, and the modules that it imports. */
  readonly loading: Hits;
  /** While it loads and while its tests run. */
  readonly all: Hits;
  readonly tests: KnownTest[];
  milliseconds: number;
}

interface Fate {
  readonly outcome: Outcome;
  readonly by?: string;
}

class Worker {
  readonly #bundle: Bundle;
  readonly #without: RegExp;
  readonly #imports: Readonly<Record<string, unknown>>;
  readonly #kept: Kept = new Map();
  readonly #files: KnownFile[] = [];
  readonly #seconds: number;
  readonly #about: string;

  constructor(
    { bundle, about, without, seconds }: Job,
    imports: Readonly<Record<string, unknown>>,
  ) {
    this.#bundle = runInThisContext(readFileSync(bundle, 'utf8'), { filename: bundle }) as Bundle;
    this.#without = new RegExp(without);
    this.#imports = imports;
    this.#seconds = seconds;
    this.#about = about;
  }

  /** Modules to be loaded anew, so that nothing is kept from one mutant to the next. */
  #modules(): { listing: Listing; loaders: ReturnType<Bundle> } {
    const listing: Listing = { file: '', tests: [] };
    const loaders = this.#bundle(this.#imports, listing, isActive, cover, this.#kept);
    return { listing, loaders };
  }

  /**
   * Learns what each test covers, without a mutant. Every file of tests begins with modules loaded
   * anew: what one has prepared and kept would else hide what the next one covers.
   * @returns The tests that are left out.
   */
  async cover(): Promise<readonly string[]> {
    const left: string[] = [];
    for (const name of Object.keys(this.#modules().loaders)) {
      const { listing, loaders } = this.#modules();
      const file: KnownFile = {
        name,
        loading: new Map(),
        all: new Map(),
        tests: [],
        milliseconds: 0,
      };
      covered = file.loading;
      file.milliseconds = await timed(() => loaders[name]?.());
      add(file.all, file.loading);
      for (const [index, test] of listing.tests.entries()) {
        const called = `${name}: ${test.name}`;
        if (this.#without.test(called)) {
          left.push(called);
          continue;
        }
        const mine: Hits = new Map();
        covered = mine;
        const milliseconds = await timed(test.run).catch((error: unknown) => {
          throw new Error(called, { cause: error });
        });
        add(file.all, mine);
        file.tests.push({ file, index, name: called, hits: mine, milliseconds, runs: 0, kills: 0 });
      }
      this.#files.push(file);
    }
    covered = undefined;
    return left;
  }

  get count(): number {
    return this.#files.reduce((sum, { tests }) => sum + tests.length, 0);
  }

  /** Tests that may notice a mutant, those first that notice much in little time. */
  #order(id: string): readonly KnownTest[] {
    const worth = ({ file, hits: mine, milliseconds, runs, kills }: KnownTest): number => {
      const isAbout = file.name === this.#about ? 10 : 1;
      const chance = ((kills + 0.1) / (runs + 1)) * (mine.has(id) ? isAbout : 0.01);
      return chance / (milliseconds + file.milliseconds / 5 + 0.1);
    };
    return this.#files
      .filter(({ all }) => all.has(id))
      .flatMap(({ tests }) => tests)
      .map((test) => ({ test, worth: worth(test) }))
      .toSorted((a, b) => b.worth - a.worth)
      .map(({ test }) => test);
  }

  async try(id: string): Promise<Fate> {
    const order = this.#order(id);
    if (order.length === 0) return { outcome: 'uncovered' };
    const { listing, loaders } = this.#modules();
    const listed = new Map<KnownFile, readonly ListedTest[]>();
    active = id;
    const from = process.cpuUsage();
    try {
      for (const known of order) {
        const { user, system } = process.cpuUsage(from);
        if (user + system > this.#seconds * 1e6) break;
        const { file } = known;
        hits = 0;
        limit = Math.max(HITS_AT_LEAST, (file.all.get(id) ?? 0) * HIT_FACTOR);
        let tests = listed.get(file);
        if (!tests) {
          const before = listing.tests.length;
          try {
            const milliseconds = await timed(() => loaders[file.name]?.());
            file.milliseconds = Math.min(file.milliseconds, milliseconds);
          } catch {
            return { outcome: hits > limit ? 'endless' : 'killed', by: `${file.name}: loading` };
          }
          tests = listing.tests.slice(before);
          listed.set(file, tests);
        }
        known.runs++;
        const before = performance.now();
        try {
          await tests[known.index]?.run();
        } catch {
          known.kills++;
          return { outcome: hits > limit ? 'endless' : 'killed', by: known.name };
        }
        known.milliseconds = Math.min(known.milliseconds, performance.now() - before);
      }
      return { outcome: 'lived' };
    } finally {
      active = undefined;
    }
  }
}

/** Milliseconds that `run` takes. */
async function timed(run: () => unknown): Promise<number> {
  const before = performance.now();
  await run();
  return performance.now() - before;
}

function add(sum: Hits, more: Hits): void {
  for (const [id, count] of more) sum.set(id, (sum.get(id) ?? 0) + count);
}

function tell(report: Report): Promise<void> {
  return new Promise((resolve) => process.send?.(report, undefined, undefined, () => resolve()));
}

async function work(job: Job): Promise<void> {
  const imports = Object.fromEntries(
    await Promise.all(
      Object.entries(job.imports).map(async ([name, address]) => [name, await load(address)]),
    ),
  ) as Record<string, unknown>;
  const worker = new Worker(job, imports);
  const left = await worker.cover();
  await tell({ kind: 'ready', tests: worker.count, left });
  for (const id of job.mutants) await tell({ kind: 'mutant', id, ...(await worker.try(id)) });
  process.disconnect();
}

function load(address: string): unknown {
  return import(address);
}

process.once('message', (job) => void work(job as Job));
