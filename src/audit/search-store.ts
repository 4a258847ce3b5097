import { sql } from 'kysely';
import { textArray } from '../db/arrays.ts';
import type { Db, Tx } from '../db/connection.ts';

/** Entries in a block of the index, by their places in the record: it goes on from shard to shard. */
export const BLOCK = 256;

const NO_ENTRY = sql.raw(`B'${'0'.repeat(BLOCK)}'`);
const EVERY_ENTRY = sql.raw(`B'${'1'.repeat(BLOCK)}'`);

/** How many blocks are indexed; they are 0, 1, … without a gap. */
export async function countBlocks(db: Db): Promise<number> {
  const row = await db
    .selectFrom('event_block')
    .select('block')
    .orderBy('block', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? 0 : row.block + 1;
}

/** False where another replica has the block already. */
export async function insertBlock(
  tx: Tx,
  block: { readonly block: number; readonly first_time: string; readonly last_time: string },
): Promise<boolean> {
  const { numInsertedOrUpdatedRows: made } = await tx
    .insertInto('event_block')
    .values(block)
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirstOrThrow();
  return made === 1n;
}

/** The terms of a block, each with the digits that say in which of its entries it stands. */
export async function insertTerms(
  tx: Tx,
  block: number,
  terms: ReadonlyMap<string, string>,
): Promise<void> {
  await sql`
    insert into event_term (term, block, entries)
    select term, ${block}::bigint, entries::bit(256)
    from unnest(${textArray([...terms.keys()])}::text[], ${textArray([...terms.values()])}::text[])
      as t (term, entries)`.execute(tx);
}

/** A block is about to be indexed: no value is erased until it is. Before its events are read. */
export async function lockForIndexing(tx: Tx): Promise<void> {
  await sql`lock table event_block in row exclusive mode`.execute(tx);
}

/** Values are about to be erased: no block is indexed until they are. Before the index is read. */
export async function lockForErasing(tx: Tx): Promise<void> {
  await sql`lock table event_block in share mode`.execute(tx);
}

/** An entry, and the terms that it is found by no more. */
export interface LostTerms {
  readonly position: number;
  readonly terms: readonly string[];
}

/** Takes entries off terms, where their block is indexed. */
export async function removeTerms(tx: Tx, lost: readonly LostTerms[]): Promise<void> {
  const rows = lost.flatMap(({ position, terms }) =>
    terms.map((term) => ({ term, block: Math.floor(position / BLOCK), entry: position % BLOCK })),
  );
  await sql`
    with lost as (
      select term, block, bit_or(set_bit(${NO_ENTRY}, entry, 1)) as entries
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as t (term text, block bigint, entry integer)
      group by term, block
    ), cut as (
      update event_term t set entries = t.entries & ~lost.entries
      from lost where t.term = lost.term and t.block = lost.block and t.entries & ~lost.entries <> ${NO_ENTRY}
    )
    delete from event_term t using lost
    where t.term = lost.term and t.block = lost.block and t.entries & ~lost.entries = ${NO_ENTRY}`.execute(
    tx,
  );
}

/** A block in which all terms stand in one entry at least, and in which entries. */
export interface FoundBlock {
  readonly block: number;
  readonly entries: string;
}

/** The period that events are of; both ends belong to it. */
export interface Period {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** Blocks from `from` up to, not including, `to`, at most `limit` of them. */
export interface BlockRange {
  readonly from: number;
  readonly to: number;
  readonly order: 'rising' | 'falling';
  readonly limit: number;
}

/** Blocks of a range that have entries with all of these terms and, may be, times in the period. */
export async function findBlocks(
  db: Db,
  terms: readonly string[],
  period: Period,
  range: BlockRange,
): Promise<FoundBlock[]> {
  const [first, ...others] = terms;
  const isDated = first === undefined || period.from !== undefined || period.to !== undefined;
  // Where no time is asked for, blocks are looked up in the terms alone: one join less of many rows.
  const blocks = first === undefined ? sql`event_block b` : sql`event_term t`;
  const block = first === undefined ? sql.ref('b.block') : sql.ref('t.block');
  const joins = others.map(
    (term, i) =>
      sql`join event_term ${sql.id(`t${i}`)} on ${sql.id(`t${i}`, 'block')} = ${block} and ${sql.id(`t${i}`, 'term')} = ${term}`,
  );
  const all = first === undefined ? EVERY_ENTRY : entriesOf(others.length);
  const { rows } = await sql<FoundBlock>`
    select ${block} as block, ${all} as entries
    from ${blocks}
    ${isDated && first !== undefined ? sql`join event_block b on b.block = ${block}` : sql``}
    ${sql.join(joins, sql` `)}
    where ${block} >= ${range.from} and ${block} < ${range.to}
      ${first === undefined ? sql`` : sql`and t.term = ${first}`}
      ${period.from === undefined ? sql`` : sql`and b.last_time >= ${period.from}`}
      ${period.to === undefined ? sql`` : sql`and b.first_time <= ${period.to}`}
      and ${all} <> ${NO_ENTRY}
    order by ${block} ${range.order === 'rising' ? sql`asc` : sql`desc`} limit ${range.limit}`.execute(
    db,
  );
  return rows;
}

function entriesOf(others: number) {
  const columns = [
    sql.id('t', 'entries'),
    ...Array.from({ length: others }, (_, i) => sql.id(`t${i}`, 'entries')),
  ];
  return sql`(${sql.join(columns, sql` & `)})`;
}
