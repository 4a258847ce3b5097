/** Group commit: who waits for whom, and whose error is whose. */

import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { batched, type Settled } from '../../src/db/batch.ts';

const overflow = (): Error => new Error('too many wait');
const OPTIONS = { max: 8, lanes: 2, waiting: 1_000, overflow, mayRunAgain: () => true };

/** Doubles; a whole batch with a negative member fails, as a transaction does on a database error. */
function doubling(seen: number[][]): (items: readonly number[]) => Promise<Settled<number>[]> {
  return async (items) => {
    seen.push([...items]);
    await sleep(1);
    if (items.some((item) => item < 0)) throw new Error(`batch with ${Math.min(...items)}`);
    return items.map((item) =>
      item === 13 ? { ok: false, error: new Error('unlucky') } : { ok: true, value: item * 2 },
    );
  };
}

async function short(): Promise<Settled<number>[]> {
  return [{ ok: true, value: 1 }];
}

async function outcomes(
  submit: (item: number) => Promise<number>,
  items: readonly number[],
): Promise<unknown[]> {
  const settled = await Promise.allSettled(items.map((item) => submit(item)));
  return settled.map((each) =>
    each.status === 'fulfilled' ? each.value : (each.reason as Error).message,
  );
}

describe('one bad member', () => {
  test('never fails its neighbours, whichever members are bad and however they fall into batches', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: -5, max: 20 }), { maxLength: 40 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 3 }),
        async (items, max, lanes) => {
          const submit = batched(doubling([]), { ...OPTIONS, max, lanes });
          const expected = items.map((item) => {
            if (item < 0) return `batch with ${item}`;
            return item === 13 ? 'unlucky' : item * 2;
          });
          expect(await outcomes(submit, items)).toEqual(expected);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('makes its batch run member by member, and only that one', async () => {
    const seen: number[][] = [];
    const submit = batched(doubling(seen), { ...OPTIONS, max: 4, lanes: 1 });
    await outcomes(submit, [1, -2, 3, 4, 5, 6, 7, 8]);
    expect(seen).toEqual([[1, -2, 3, 4], [1], [-2], [3], [4], [5, 6, 7, 8]]);
  });

  test('that breaks the rules of a batch, by giving fewer results, gets errors and no hang', async () => {
    const submit = batched(short, OPTIONS);
    expect(await outcomes(submit, [1, 2])).toEqual([1, 'a batch has no result for a member']);
  });

  test('that throws at once, before any promise, is an error of that batch', async () => {
    const submit = batched<number, number>(() => {
      throw new Error('at once');
    }, OPTIONS);
    expect(await outcomes(submit, [1, 2])).toEqual(['at once', 'at once']);
  });
});

describe('callers', () => {
  test('of one turn share a batch; alone, a caller waits for nobody', async () => {
    const seen: number[][] = [];
    const submit = batched(doubling(seen), OPTIONS);
    await outcomes(submit, [1, 2, 3]);
    expect(await submit(4)).toBe(8);
    expect(seen).toEqual([[1, 2, 3], [4]]);
  });

  test('never run in more lanes or larger batches than said', async () => {
    let [running, most, largest] = [0, 0, 0];
    const submit = batched<number, number>(async (items) => {
      running++;
      most = Math.max(most, running);
      largest = Math.max(largest, items.length);
      await sleep(2);
      running--;
      return items.map((value) => ({ ok: true, value }));
    }, OPTIONS);
    const items = Array.from({ length: 200 }, (_, i) => i);
    expect(await outcomes(submit, items)).toEqual(items);
    expect([most, largest]).toEqual([OPTIONS.lanes, OPTIONS.max]);
  });

  test('that ask for more than others share a batch as far as its size allows, and wait as many', async () => {
    const seen: number[][] = [];
    const submit = batched(doubling(seen), { ...OPTIONS, lanes: 1, waiting: 25 }, (item) => item);
    const asked = [3, 5, 1, 9, 4, 4, 2];
    const results = await outcomes(submit, asked);
    expect(results).toEqual([6, 10, 2, 18, 8, 'too many wait', 4]);
    expect(seen).toEqual([[3, 5], [1], [9], [4, 2]]);
    expect(await submit(40)).toBe(80);
  });

  test('beyond the limit are refused at once, and those who wait are served', async () => {
    const submit = batched(doubling([]), { ...OPTIONS, max: 1, lanes: 1, waiting: 5 });
    const results = await outcomes(submit, [1, 2, 3, 4, 5, 6, 7]);
    expect(results).toEqual([2, 4, 6, 8, 10, 'too many wait', 'too many wait']);
    expect(await submit(9)).toBe(18);
  });
});

test('a batch of which it is unknown whether it was committed is never run again', async () => {
  const seen: number[][] = [];
  const submit = batched(doubling(seen), {
    ...OPTIONS,
    max: 4,
    lanes: 1,
    mayRunAgain: () => false,
  });
  expect(await outcomes(submit, [1, -2, 3])).toEqual(Array(3).fill('batch with -2'));
  expect(seen).toEqual([[1, -2, 3]]);
});
