/** The result of one member of a batch: a value, or the error that is this member's alone. */
export type Settled<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: unknown };

/** The value of a result. @throws the error of the member, as it is. */
export function valueOf<T>(settled: Settled<T> | undefined): T {
  if (settled?.ok) return settled.value;
  // oxlint-disable-next-line typescript/only-throw-error -- as whoever settled it has thrown it
  throw settled?.error ?? new Error(NO_RESULT);
}

const NO_RESULT = 'a batch has no result for a member';

export interface BatchOptions {
  /** Size of one batch at most, where it has more than one member. */
  readonly max: number;
  /** Batches that run at once at most. */
  readonly lanes: number;
  /** Size of all who may wait; more are refused at once, so that a slow database makes no queue. */
  readonly waiting: number;
  /** The error for a caller that is refused. */
  readonly overflow: () => Error;
  /** Was nothing done for certain, so that the members may run one by one? */
  readonly mayRunAgain: (error: unknown) => boolean;
}

interface Waiter<I, O> {
  readonly item: I;
  readonly resolve: (value: O) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Group commit: callers that come while a batch is under way go together in the next one, so the
 * database syncs once for all of them. Alone, a caller waits for nobody. When a whole batch fails,
 * each of its members runs by itself: one bad member never fails its neighbours, and a database
 * that is away costs all of them one wait and not one after the other.
 */
export function batched<I, O>(
  run: (items: readonly I[]) => Promise<readonly Settled<O>[]>,
  { max, lanes, waiting, overflow, mayRunAgain }: BatchOptions,
  sizeOf: (item: I) => number = () => 1,
): (item: I) => Promise<O> {
  const queue: Waiter<I, O>[] = [];
  let queued = 0;
  let busy = 0;

  const settle = (waiters: readonly Waiter<I, O>[], results: readonly Settled<O>[]): void => {
    waiters.forEach(({ resolve, reject }, i) => {
      const result = results[i];
      if (result?.ok) resolve(result.value);
      else reject(result?.error ?? new Error(NO_RESULT));
    });
  };

  const runOne = async (waiters: readonly Waiter<I, O>[]): Promise<void> => {
    try {
      settle(waiters, await run(waiters.map(({ item }) => item)));
    } catch (error) {
      // Where it is unknown whether the batch was committed, running it again could do it twice.
      if (waiters.length === 1 || !mayRunAgain(error))
        for (const { reject } of waiters) reject(error);
      else await Promise.all(waiters.map((waiter) => runOne([waiter])));
    }
  };

  const nextBatch = (): readonly Waiter<I, O>[] => {
    let [members, size] = [0, 0];
    for (const { item } of queue) {
      const larger = size + sizeOf(item);
      if (members > 0 && larger > max) break;
      members++;
      size = larger;
    }
    queued -= size;
    return queue.splice(0, members);
  };

  const pump = (): void => {
    while (busy < lanes && queue.length > 0) {
      busy++;
      void runOne(nextBatch()).finally(() => {
        busy--;
        pump();
      });
    }
  };

  return (item) =>
    new Promise((resolve, reject) => {
      const size = sizeOf(item);
      if (queued > 0 && queued + size > waiting) {
        reject(overflow());
        return;
      }
      queue.push({ item, resolve, reject });
      queued += size;
      // After this turn of the event loop, so that callers of the same turn share a batch.
      if (queue.length === 1) setImmediate(pump);
    });
}
