import type { LogHealth } from './record.ts';
import { type Publisher, publish } from './publisher.ts';
import { indexBlock } from './indexer.ts';
import { SEQUENCE_BATCH, sequence, turn } from './sequencer.ts';

const POLL_MS = 200;
// Under load one transaction sequences what came in this time. An index is of use under a checkpoint,
// which comes less often anyway; at 25 ms sequencing took a quarter of this process's time where
// requests came one by one.
const GATHER_MS = 100;
// Whoever waits for a proof waits for this. Witnesses of others take about one checkpoint a second.
const PUBLISH_MS = 300;
const WITNESSED_MS = 1_000;
const BACKOFF_MS = 2_000;
const INDEX_MS = 1_000;
/** A step of indexing is followed by a rest this many times as long: requests come first. */
const INDEX_REST = 10;

export interface LogRunner extends AsyncDisposable {
  wake(): void;
  health(): LogHealth;
  /** Origin of the shard that grows, as far as this process knows. */
  origin(): string;
}

/**
 * Sequences, turns to the shard of a new year, publishes and indexes for searching in the background
 * until disposed, each on its own: a witness that is slow to answer holds no index back. Every
 * replica runs one; the locks in the database make that safe, these loops only make it prompt. A
 * failure is said once, waited out, and tried again: decisions go on, the checkpoint stays the last
 * good one.
 */
export function runLog(
  publisher: Publisher,
  opened: string,
  warn: (message: string) => void,
): LogRunner {
  const { db, keys, clock, witnesses } = publisher;
  let origin = opened;
  // Of the shard that grows. Asked for at the start, when it has passed here, and after a failure,
  // when it may be another database. Whoever writes an event is told of a turn by a replica whose
  // clock is ahead.
  let year: number | undefined;
  const catchUp = async (): Promise<undefined> => {
    const known = year;
    year = undefined;
    for (let full = true; full; ) full = (await sequence(db)) === SEQUENCE_BATCH;
    const now = clock();
    if (known !== undefined && now.getUTCFullYear() <= known) {
      year = known;
      return;
    }
    const shard = await turn(db, keys, now);
    if (shard) ({ origin, year } = shard);
  };
  let published: string | undefined;
  const publishNow = async (): Promise<undefined> => {
    const last = published;
    published = undefined;
    published = await publish(publisher, last);
  };
  const sequencer = repeat(catchUp, { pause: POLL_MS, gather: GATHER_MS }, warn);
  const publishing = repeat(
    publishNow,
    { pause: witnesses ? WITNESSED_MS : PUBLISH_MS, gather: 0 },
    warn,
  );
  const indexing = repeat(
    async () => {
      const start = performance.now();
      const more = await indexBlock(db);
      return more ? INDEX_REST * (performance.now() - start) : undefined;
    },
    { pause: INDEX_MS, gather: 0 },
    warn,
  );
  return {
    wake: () => sequencer.rouse(),
    origin: () => origin,
    health: () => ({
      problem: publishing.problem() ?? sequencer.problem(),
      witnesses: witnesses?.states ?? [],
    }),
    async [Symbol.asyncDispose]() {
      await Promise.all([sequencer.stop(), publishing.stop(), indexing.stop()]);
      // What was acknowledged before the stop gets its index and its checkpoint, if the database is there.
      await catchUp()
        .then(() => publish(publisher))
        .catch(() => {});
    },
  };
}

interface Repeated {
  /** Shortens the pause that is under way to `gather`. */
  rouse(): void;
  /** What went wrong last time; null when nothing did. */
  problem(): string | null;
  /** Resolves when no step is under way any more. */
  stop(): Promise<void>;
}

/** Repeats a step until stopped. A step may say how long to rest after it, in milliseconds. */
function repeat(
  step: () => Promise<number | undefined>,
  { pause, gather }: { readonly pause: number; readonly gather: number },
  warn: (message: string) => void,
): Repeated {
  const stopping = new AbortController();
  const { signal } = stopping;
  let rouse: (() => void) | undefined;
  let problem: string | null = null;
  const sleep = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      rouse = () => {
        clearTimeout(timer);
        setTimeout(resolve, signal.aborted ? 0 : gather);
      };
    });
  const attempt = async (): Promise<number> => {
    try {
      const rest = await step();
      problem = null;
      return rest ?? pause;
    } catch (error) {
      const message = error instanceof Error ? error.message : 'unknown error';
      if (message !== problem && !signal.aborted) warn(`log: ${message}`);
      problem = message;
      return BACKOFF_MS;
    }
  };
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      const rest = await attempt();
      if (!signal.aborted) await sleep(rest);
    }
  };
  const running = loop();
  return {
    rouse: () => rouse?.(),
    problem: () => problem,
    async stop() {
      stopping.abort();
      rouse?.();
      await running;
    },
  };
}
