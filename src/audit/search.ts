import type { Db } from '../db/connection.ts';
import { BLOCK, countBlocks, findBlocks, type Period } from './search-store.ts';
import { readHead } from './log-store.ts';
import { type EventRow, readAt, readSequenced } from './store.ts';
import { type EventQuery, mayFit, termsOf, termsOfQuery } from './terms.ts';

export interface Search extends EventQuery, Period {
  /** Only entries before this place in the record. */
  readonly before?: number | undefined;
}

/** What was found, the latest first. */
export interface Found {
  readonly events: readonly EventRow[];
  /** All entries from this place on were looked at; 0: there are no more. */
  readonly reached: number;
}

/** Events that are not indexed yet and are looked at one by one, for one page. */
const MAX_TAIL = 4_096;
const TAIL_PAGE = 512;
const BLOCKS_PAGE = 64;
/**
 * Rows of the index that several terms are compared in for one page: terms that stand in every block
 * and never in one entry would be compared through the whole log. One term is looked up.
 */
const COMPARED = 16_384;
/** Pages of blocks for one page of events: each has at least one that fits, but may be for its time. */
const MAX_PAGES = 20;

/**
 * Sequenced events of all shards that fit a query, at most `limit`, the latest first. It reads the blocks that
 * are indexed, and those events that came since. It may stop before it has looked at everything,
 * with fewer events than asked for or none: `reached` says where to go on.
 */
export async function searchEvents(db: Db, search: Search, limit: number): Promise<Found> {
  const [blocks, head] = await Promise.all([countBlocks(db), readHead(db)]);
  const top = Math.min(search.before ?? Infinity, head ? head.base + head.size : 0);
  const tail = await searchTail(db, search, { from: blocks * BLOCK, to: top }, limit);
  if (tail.events.length >= limit || tail.reached > blocks * BLOCK) return tail;
  const below = await searchBlocks(
    db,
    search,
    Math.min(top, blocks * BLOCK),
    limit - tail.events.length,
  );
  return { events: [...tail.events, ...below.events], reached: below.reached };
}

async function searchTail(
  db: Db,
  search: Search,
  range: { readonly from: number; readonly to: number },
  limit: number,
): Promise<Found> {
  const wanted = termsOfQuery(search);
  const events: EventRow[] = [];
  let reached = Math.max(range.from, range.to);
  const lowest = Math.max(range.from, range.to - MAX_TAIL);
  while (reached > lowest && events.length < limit) {
    const rows = await readSequenced(db, { from: lowest, to: reached, limit: TAIL_PAGE });
    for (const row of rows) {
      if (events.length >= limit) break;
      reached = row.position ?? lowest;
      if (isWithin(row, search) && mayFit(row, search) && fits(row, wanted)) events.push(row);
    }
    if (rows.length < TAIL_PAGE && events.length < limit) reached = lowest;
  }
  return { events, reached };
}

async function searchBlocks(db: Db, search: Search, top: number, limit: number): Promise<Found> {
  const terms = termsOfQuery(search);
  const events: EventRow[] = [];
  let reached = top;
  const span = terms.length > 1 ? Math.floor(COMPARED / terms.length) : Infinity;
  const lowest = Math.max(0, Math.ceil(top / BLOCK) - span);
  for (let page = 0; page < MAX_PAGES && events.length < limit; page++) {
    const found = await findBlocks(db, terms, search, {
      from: lowest,
      to: Math.ceil(reached / BLOCK),
      order: 'falling',
      limit: BLOCKS_PAGE,
    });
    const indices = found
      .flatMap(({ block, entries }) => indicesIn(block, entries))
      .filter((index) => index < reached);
    // A little more than is missing: of the blocks at the edges of a period some are outside it.
    for (let at = 0; at < indices.length && events.length < limit; at += limit + 1) {
      const chosen = indices.slice(at, at + limit + 1);
      for (const row of await readAt(db, chosen)) {
        if (events.length >= limit) break;
        reached = row.position ?? 0;
        if (isWithin(row, search)) events.push(row);
      }
    }
    if (events.length >= limit) break;
    const last = found.at(-1);
    if (!last || found.length < BLOCKS_PAGE) return { events, reached: lowest * BLOCK };
    reached = last.block * BLOCK;
  }
  return { events, reached };
}

/**
 * All sequenced events that fit a query, whose places in the record are from `from` up to, not
 * including, `to`, in that order. Reads a block at a time, each in a statement of its own: however many there are,
 * none is held long.
 */
export async function* eachEvent(
  db: Db,
  query: EventQuery & Period,
  { from, to }: { readonly from: number; readonly to: number },
): AsyncGenerator<EventRow> {
  const terms = termsOfQuery(query);
  const narrow = terms.length > 0 || query.from !== undefined || query.to !== undefined;
  const indexed = narrow ? Math.min((await countBlocks(db)) * BLOCK, to) : 0;
  for (let at = from; at < indexed; ) {
    const found = await findBlocks(db, terms, query, {
      from: Math.floor(at / BLOCK),
      to: Math.ceil(indexed / BLOCK),
      order: 'rising',
      limit: BLOCKS_PAGE,
    });
    for (const { block, entries } of found) {
      const indices = indicesIn(block, entries).filter((index) => index >= at && index < indexed);
      const rows = indices.length > 0 ? await readAt(db, indices) : [];
      if (rows.length < indices.length)
        throw new Error(`events of block ${block} are not all there`);
      yield* rows.toReversed().filter((row) => isWithin(row, query));
      at = (block + 1) * BLOCK;
    }
    if (found.length < BLOCKS_PAGE) break;
  }
  for (let at = Math.max(from, indexed); at < to; at += BLOCK) {
    const end = Math.min(at + BLOCK, to);
    const rows = await readSequenced(db, { from: at, to: end, limit: BLOCK });
    if (rows.length < end - at) throw new Error(`the events from place ${at} on are not all there`);
    yield* rows
      .toReversed()
      .filter((row) => isWithin(row, query) && mayFit(row, query) && fits(row, terms));
  }
}

/** The indices of a block's entries that are marked, the latest first. */
function indicesIn(block: number, entries: string): number[] {
  const indices: number[] = [];
  for (let i = BLOCK - 1; i >= 0; i--) if (entries[i] === '1') indices.push(block * BLOCK + i);
  return indices;
}

function isWithin({ time }: EventRow, { from, to }: Period): boolean {
  const at = Date.parse(time);
  return (
    (from === undefined || at >= Date.parse(from)) && (to === undefined || at <= Date.parse(to))
  );
}

function fits(row: EventRow, wanted: readonly string[]): boolean {
  if (wanted.length === 0) return true;
  const terms = termsOf(row);
  return wanted.every((term) => terms.has(term));
}
