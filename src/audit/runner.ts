import type { Db } from '../db/connection.ts';
import { publish } from './publisher.ts';
import type { Log } from './record.ts';
import { SEQUENCE_BATCH, sequence } from './sequencer.ts';

const POLL_MS = 200;
// Under load one transaction sequences what came in this time. An index is of use under a checkpoint,
// which comes less often anyway; at 25 ms sequencing took a quarter of this process's time where
// requests came one by one.
const GATHER_MS = 100;
const PUBLISH_MS = 500;
const BACKOFF_MS = 2_000;

export interface LogRunner extends AsyncDisposable {
  wake(): void;
}

/**
 * Sequences and publishes in the background until disposed. Every replica runs one; the locks in
 * the database make that safe, this loop only makes it prompt. A failure is said once, waited out,
 * and tried again: decisions go on, the checkpoint stays the last good one.
 */
export function runLog(
  db: Db,
  log: Omit<Log, 'wake'>,
  clock: () => Date,
  warn: (message: string) => void,
): LogRunner {
  const stop = new AbortController();
  const { signal } = stop;
  let rouse: (() => void) | undefined;
  let lastWarning = '';
  let publishedAt = 0;
  const sleep = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      rouse = () => {
        clearTimeout(timer);
        setTimeout(resolve, signal.aborted ? 0 : GATHER_MS);
      };
    });
  const step = async (): Promise<void> => {
    for (let full = true; full; ) full = (await sequence(db)) === SEQUENCE_BATCH;
    const now = performance.now();
    if (now - publishedAt >= PUBLISH_MS) {
      await publish(db, log, clock().toISOString());
      publishedAt = now;
    }
  };
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      let pause = POLL_MS;
      try {
        await step();
        lastWarning = '';
      } catch (error) {
        const message = `log: ${error instanceof Error ? error.message : 'unknown error'}`;
        if (message !== lastWarning && !signal.aborted) warn(message);
        lastWarning = message;
        pause = BACKOFF_MS;
      }
      if (!signal.aborted) await sleep(pause);
    }
    // What was acknowledged before the stop gets its index and its checkpoint, if the database is there.
    const last = (): Promise<number> => sequence(db).catch(() => 0);
    while ((await last()) === SEQUENCE_BATCH);
    await publish(db, log, clock().toISOString()).catch(() => {});
  };
  const running = loop();
  return {
    wake: () => rouse?.(),
    async [Symbol.asyncDispose]() {
      stop.abort();
      rouse?.();
      await running;
    },
  };
}
