import { type Db, transact } from '../db/connection.ts';
import { BLOCK, countBlocks, insertBlock, insertTerms, lockForIndexing } from './search-store.ts';
import { readHead } from './log-store.ts';
import { readToIndex } from './store.ts';
import { termsOf } from './terms.ts';

/**
 * Indexes the next block of the log for searching, when it is full. False when there is none. Any
 * number of replicas may do this at once: whoever comes second for a block leaves it to the first.
 */
export async function indexBlock(db: Db): Promise<boolean> {
  const [block, head] = await Promise.all([countBlocks(db), readHead(db)]);
  const [from, to] = [block * BLOCK, (block + 1) * BLOCK];
  if (!head || head.base + head.size < to) return false;
  await transact(db, async (tx) => {
    await lockForIndexing(tx);
    const events = await readToIndex(tx, from, to);
    const times = events.map(({ time }) => time).toSorted();
    const [first_time, last_time] = [times[0], times.at(-1)];
    if (first_time === undefined || last_time === undefined) {
      throw new Error(`the events of the entries from ${from} on are gone`);
    }
    if (!(await insertBlock(tx, { block, first_time, last_time }))) return;
    const digits = new Map<string, string[]>();
    const known = new Map<string, readonly string[]>();
    for (const event of events) {
      for (const term of termsOf(event, known)) {
        const entries = digits.get(term) ?? Array<string>(BLOCK).fill('0');
        entries[event.position - from] = '1';
        digits.set(term, entries);
      }
    }
    const terms = [...digits].map(([term, entries]) => [term, entries.join('')] as const);
    await insertTerms(tx, block, new Map(terms));
  });
  return true;
}
