import { Worker } from 'node:worker_threads';
import type { Db } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import type { ChangeOfSets } from '../policies/change.ts';
import { failAbandoned, type ImpactFailure, readCuts, updateImpact } from './impact-store.ts';
import { addTallies, NOTHING, type Range, type Tally } from './impact.ts';

const WORKER = new URL('./impact-worker.ts', import.meta.url);
/** Decisions are all a run does, and machines of two cores are what it is measured on. */
const WORKERS = 2;
const AT_ONCE = 2;
/** Requests that a worker takes at a time: small enough that none waits long for the other. */
const PART = 5_000;
const HEAP_MB = 512;
const BEAT_MS = 1_000;
/** Whoever works on a run says so every second; thirty times missed, nobody does. */
const SILENCE_MS = 30_000;

/** A run: its id, and what is compared. */
export interface ImpactJob {
  readonly impact: string;
  readonly change: ChangeOfSets;
}

/** What a worker is told at its start. */
export interface ImpactWork extends ImpactJob {
  readonly databaseUrl: string;
}

export interface ImpactRunsOptions {
  readonly db: Db;
  /** Workers have connections of their own. */
  readonly databaseUrl: string;
  readonly clock: () => Date;
  readonly warn: (line: string) => void;
}

/**
 * The runs that this replica works on, in threads of their own, so that the service goes on
 * answering. What they find is in the database, where every replica reads it. Disposing stops
 * them; a run whose replica dies is failed by the next one that looks (`failAbandoned`).
 */
export class ImpactRuns implements AsyncDisposable {
  readonly #options: ImpactRunsOptions;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #places = AT_ONCE;

  constructor(options: ImpactRunsOptions) {
    this.#options = options;
  }

  /**
   * Starts the run that `prepare` has stored.
   * @throws ServiceError `unavailable` when as many as may be are under way.
   */
  async start<Job extends ImpactJob>(
    prepare: () => Promise<Job>,
  ): Promise<{ readonly job: Job; readonly finished: Promise<void> }> {
    if (this.#places === 0 || this.#stop.signal.aborted)
      throw new ServiceError(
        'unavailable',
        'As many runs as may be are under way here. Nothing was changed.',
      );
    this.#places--;
    try {
      const job = await prepare();
      const finished = this.#run(job).finally(() => {
        this.#places++;
        this.#running.delete(finished);
      });
      this.#running.add(finished);
      return { job, finished };
    } catch (error) {
      this.#places++;
      throw error;
    }
  }

  /** Fails the runs of replicas that died. */
  async failAbandoned(): Promise<void> {
    const { db, clock } = this.#options;
    const now = clock();
    const silentSince = new Date(now.getTime() - SILENCE_MS).toISOString();
    await failAbandoned(db, { silentSince, now: now.toISOString() });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  /** Never rejects: how it ended is in the database, or told by its silence. */
  async #run(job: ImpactJob): Promise<void> {
    const { db, clock, warn } = this.#options;
    const { impact, change } = job;
    const lost = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, lost.signal]);
    let tally = NOTHING;
    const write = (changed: Parameters<typeof updateImpact>[2] = {}): Promise<boolean> =>
      updateImpact(db, impact, { ...tally, heartbeat_at: clock().toISOString(), ...changed });
    const stopBeat = every(BEAT_MS, async () => {
      if (!(await write())) lost.abort();
    });
    try {
      const cuts = await readCuts(db, change.owner, PART);
      await write({ total: cuts.at(-1)?.upTo ?? 0 });
      const tell = (more: Tally): void => {
        tally = addTallies(tally, more);
      };
      await this.#replay(job, cuts, { tell, signal });
      await stopBeat();
      // Requests that were being made when they were counted may be among them.
      const total = tally.done;
      await write({ status: 'done', total, finished_at: clock().toISOString() });
    } catch (error) {
      await stopBeat();
      const failure: ImpactFailure = this.#stop.signal.aborted ? 'service_stopped' : 'error';
      if (failure === 'error' && !lost.signal.aborted)
        warn(`impact ${impact}: ${error instanceof Error ? error.message : String(error)}`);
      const finished_at = clock().toISOString();
      await write({ status: 'failed', failure, finished_at }).catch(() => false);
    }
  }

  /** Replays all parts; when one worker fails, the others end too. */
  async #replay(
    job: ImpactJob,
    cuts: readonly { readonly id: string }[],
    { tell, signal }: Telling,
  ): Promise<void> {
    const parts = cuts.map(({ id }, i): Range => ({ after: cuts[i - 1]?.id ?? null, upTo: id }));
    const next = parts.values();
    const failed = new AbortController();
    const telling = { tell, signal: AbortSignal.any([signal, failed.signal]) };
    const work: ImpactWork = { ...job, databaseUrl: this.#options.databaseUrl };
    const workers = Array.from({ length: Math.min(WORKERS, parts.length) }, () =>
      replayIn(work, next, telling).catch((error: unknown) => {
        failed.abort();
        throw error;
      }),
    );
    const ends = await Promise.allSettled(workers);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }
}

interface Telling {
  readonly tell: (tally: Tally) => void;
  readonly signal: AbortSignal;
}

/** One worker, fed with parts until there are no more. @throws when it ends before that. */
async function replayIn(
  work: ImpactWork,
  parts: Iterator<Range>,
  { tell, signal }: Telling,
): Promise<void> {
  signal.throwIfAborted();
  const worker = new Worker(WORKER, {
    workerData: work,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  });
  const stop = (): void => void worker.terminate();
  signal.addEventListener('abort', stop);
  let isFed = false;
  try {
    await new Promise<void>((resolve, reject) => {
      worker.on('message', (told: Tally | null) => {
        if (told) return tell(told);
        const part = parts.next();
        isFed = part.done === true;
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
        worker.postMessage(part.done ? null : part.value);
      });
      worker.on('error', reject);
      worker.on('exit', (code) => {
        if (isFed && code === 0) resolve();
        else reject(new Error(`a worker ended early (${code})`));
      });
    });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/**
 * Does something again and again, never twice at once; a failure waits for the next time.
 * @returns a function that ends it, and waits for what is under way.
 */
function every(ms: number, work: () => Promise<void>): () => Promise<void> {
  let underWay: Promise<void> | undefined;
  const timer = setInterval(() => {
    underWay ??= work()
      .catch(() => {})
      .finally(() => {
        underWay = undefined;
      });
  }, ms);
  return async () => {
    clearInterval(timer);
    await underWay;
  };
}
