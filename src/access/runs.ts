import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, Worker } from 'node:worker_threads';
import type { Db } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { failAbandoned, type Progress, type RunTable } from './run-store.ts';

/** Decisions are all a run does, and machines of two cores are what it is measured on. */
const WORKERS = 2;
const AT_ONCE = 2;
/** Requests that a worker takes at a time: small enough that none waits long for the other. */
const PART = 5_000;
const HEAP_MB = 512;
const BEAT_MS = 1_000;
/** Whoever works on a run says so every second; thirty times missed, nobody does. */
const SILENCE_MS = 30_000;

/** A run by its id, and what a worker needs to know of it. */
export interface Job {
  readonly id: string;
}

/** What a worker is told at its start. */
export type Work<J extends Job> = J & { readonly databaseUrl: string };

/** Which requests to look at: ids after one and up to another, oldest first. */
export interface Range {
  readonly after: string | null;
  /** Null: to the newest. */
  readonly upTo: string | null;
}

/** A kind of run: what is counted, where it is kept, and who looks at the requests. */
export interface RunKind<J extends Job, Tally extends { readonly done: number }> {
  readonly table: RunTable;
  /** The module of the thread: it asks for a range with `null`, and posts a tally of what it found. */
  readonly worker: URL;
  readonly nothing: Tally;
  /** The tally of both together; of requests that no two of them share. */
  readonly add: (one: Tally, other: Tally) => Tally;
  /** Cuts the requests into parts: the last id of each, and how many there are up to it. */
  readonly cuts: (
    db: Db,
    job: J,
    size: number,
  ) => Promise<readonly { readonly id: string; readonly upTo: number }[]>;
  /** False when it is not running any more: whoever works on it stops. */
  readonly update: (db: Db, id: string, changed: Tally & Progress) => Promise<boolean>;
}

export interface RunsOptions {
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
export class Runs<J extends Job, Tally extends { readonly done: number }>
  implements AsyncDisposable
{
  readonly #kind: RunKind<J, Tally>;
  readonly #options: RunsOptions;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #places = AT_ONCE;

  constructor(kind: RunKind<J, Tally>, options: RunsOptions) {
    this.#kind = kind;
    this.#options = options;
  }

  /**
   * Starts the run that `prepare` has stored.
   * @throws ServiceError `unavailable` when as many as may be are under way.
   */
  async start<Prepared extends { readonly job: J }>(
    prepare: () => Promise<Prepared>,
  ): Promise<Prepared & { readonly finished: Promise<void> }> {
    if (this.#places === 0 || this.#stop.signal.aborted)
      throw new ServiceError(
        'unavailable',
        'As many runs as may be are under way here. Nothing was changed.',
      );
    this.#places--;
    try {
      const prepared = await prepare();
      const finished = this.#run(prepared.job).finally(() => {
        this.#places++;
        this.#running.delete(finished);
      });
      this.#running.add(finished);
      return { ...prepared, finished };
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
    await failAbandoned(db, this.#kind.table, { silentSince, now: now.toISOString() });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  /** Never rejects: how it ended is in the database, or told by its silence. */
  async #run(job: J): Promise<void> {
    const { db, clock, warn } = this.#options;
    const kind = this.#kind;
    const lost = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, lost.signal]);
    let tally = kind.nothing;
    const write = (changed: Progress = {}): Promise<boolean> =>
      kind.update(db, job.id, { ...tally, heartbeat_at: clock().toISOString(), ...changed });
    const stopBeat = every(BEAT_MS, async () => {
      if (!(await write())) lost.abort();
    });
    try {
      const cuts = await kind.cuts(db, job, PART);
      await write({ total: cuts.at(-1)?.upTo ?? 0 });
      const tell = (more: Tally): void => {
        tally = kind.add(tally, more);
      };
      await this.#replay(job, cuts, { tell, signal });
      await stopBeat();
      // Requests that were being made when they were counted may be among them.
      const total = tally.done;
      await write({ status: 'done', total, finished_at: clock().toISOString() });
    } catch (error) {
      await stopBeat();
      const failure = this.#stop.signal.aborted ? 'service_stopped' : 'error';
      if (failure === 'error' && !lost.signal.aborted)
        warn(`${kind.table} ${job.id}: ${error instanceof Error ? error.message : String(error)}`);
      const finished_at = clock().toISOString();
      await write({ status: 'failed', failure, finished_at }).catch(() => false);
    }
  }

  /** Replays all parts; when one worker fails, the others end too. */
  async #replay(
    job: J,
    cuts: readonly { readonly id: string }[],
    { tell, signal }: Telling<Tally>,
  ): Promise<void> {
    const parts = cuts.map(({ id }, i): Range => ({ after: cuts[i - 1]?.id ?? null, upTo: id }));
    const next = parts.values();
    const failed = new AbortController();
    const telling = { tell, signal: AbortSignal.any([signal, failed.signal]) };
    const workerData: Work<J> = { ...job, databaseUrl: this.#options.databaseUrl };
    const workers = Array.from({ length: Math.min(WORKERS, parts.length) }, () =>
      replayIn({ module: this.#kind.worker, workerData }, next, telling).catch((error: unknown) => {
        failed.abort();
        throw error;
      }),
    );
    const ends = await Promise.allSettled(workers);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }
}

interface Telling<Tally> {
  readonly tell: (tally: Tally) => void;
  readonly signal: AbortSignal;
}

/** One worker, fed with parts until there are no more. @throws when it ends before that. */
async function replayIn<Tally>(
  { module, workerData }: { readonly module: URL; readonly workerData: Work<Job> },
  parts: Iterator<Range>,
  { tell, signal }: Telling<Tally>,
): Promise<void> {
  signal.throwIfAborted();
  const worker = new Worker(module, {
    workerData,
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

/** So long a start waits for the end: a run of some ten thousand requests comes back done. */
const PATIENCE_MS = 2_000;

/** Resolves when a run has finished, or the caller has waited long enough. */
export async function patiently(finished: Promise<void>): Promise<void> {
  const waited = new AbortController();
  const long = sleep(PATIENCE_MS, undefined, { signal: waited.signal }).catch(() => {});
  await Promise.race([finished, long]);
  waited.abort();
}

/** What a worker's module does: looks at the parts that it is given, until there are no more. */
export async function workOn<Tally>(look: (range: Range) => AsyncIterable<Tally>): Promise<void> {
  if (!parentPort) throw new Error('This is a thread of the service.');
  const port = parentPort;
  for (;;) {
    // "Nothing to do": the answer is the next part, or null when there is none.
    port.postMessage(null);
    const [range] = (await once(port, 'message')) as [Range | null];
    if (!range) return;
    for await (const tally of look(range)) port.postMessage(tally);
  }
}
