import { sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';
import { type Erased, erasedOf } from './store.ts';

/** The first shard of the log; each that follows has the next number. */
const FIRST = 1;

/**
 * Makes a transaction one that has written into the queue, before it reads anything: what it reads
 * as of its first moment is then of the shard that its events go into.
 */
export async function joinQueue(tx: Tx): Promise<void> {
  await sql`lock table audit_pending in row exclusive mode`.execute(tx);
}

/**
 * Waits for those who write events, and keeps others waiting until the transaction ends. A second
 * at most: behind a long transaction everybody would wait.
 */
export async function lockQueue(tx: Tx): Promise<void> {
  await sql`set local lock_timeout = '1s'`.execute(tx);
  await sql`lock table audit_pending in share mode`.execute(tx);
}

/** A shard of the log: a log of its own, with its origin and indices from 0 on. */
export interface Head {
  /** 1, 2, … in the order of time. */
  readonly log_id: number;
  readonly origin: string;
  /** The year (UTC) that it began in; each shard has another. */
  readonly year: number;
  /** Entries of all shards before it: an entry's place in the record is `base + idx`. */
  readonly base: number;
  readonly size: number;
  readonly root: Buffer;
  readonly frontier: Buffer;
}

/** Makes the first shard, where there is none. */
export async function insertFirstHead(db: Db, head: Omit<Head, 'log_id' | 'base'>): Promise<void> {
  await db
    .insertInto('log_head')
    .values({ log_id: FIRST, base: 0, ...head })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

export async function insertHead(tx: Tx, head: Head): Promise<void> {
  await tx.insertInto('log_head').values(head).execute();
}

const HEAD = ['log_id', 'origin', 'year', 'base', 'size', 'root', 'frontier'] as const;

/** The shard that grows. */
export async function readHead(db: Db): Promise<Head | undefined> {
  return db
    .selectFrom('log_head')
    .select(HEAD)
    .orderBy('log_id', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** All shards, the first one first. */
export async function readHeads(db: Db): Promise<Head[]> {
  return db.selectFrom('log_head').select(HEAD).orderBy('log_id').execute();
}

/** The shard that grows, locked: at most one sequencer appends, whichever replica it is in. */
export async function lockHead(tx: Tx): Promise<Head> {
  for (;;) {
    const locked = await tx
      .selectFrom('log_head')
      .select(HEAD)
      .orderBy('log_id', 'desc')
      .limit(1)
      .forUpdate()
      .executeTakeFirstOrThrow();
    // While we waited for the lock, the one that is locked may have become final.
    const newest = await readHead(tx);
    if (newest?.log_id === locked.log_id) return locked;
  }
}

/** Does an event wait for its index? */
export async function hasPending(db: Db): Promise<boolean> {
  // Along the index: until they are vacuumed, the rows that were sequenced stand before the others.
  const row = await db
    .selectFrom('audit_pending')
    .select('id')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * Takes the oldest events off the queue, gives them the indices from `size` on in the queue's
 * order, and returns their leaf hashes in that order. The hashes are computed from the leaves'
 * bytes (RFC 6962: SHA-256 over 0x00 and the leaf); the queue's own column is not trusted. Call it
 * with the head locked.
 */
export async function sequencePending(
  tx: Tx,
  { log_id, size }: Pick<Head, 'log_id' | 'size'>,
  limit: number,
): Promise<Buffer[]> {
  const { rows } = await sql<{ leaf_hash: Buffer }>`
    with taken as (
      delete from audit_pending where id in (select id from audit_pending order by id limit ${limit})
      returning id, event_id
    ), leaves as (
      insert into log_leaf (log_id, idx, event_id, leaf_hash)
      select ${log_id}::integer, ${size}::bigint - 1 + row_number() over (order by taken.id), event_id,
        sha256('\\x00'::bytea || audit_event.leaf)
      from taken join audit_event using (event_id)
      returning idx, leaf_hash
    )
    select leaf_hash from leaves order by idx`.execute(tx);
  return rows.map(({ leaf_hash }) => leaf_hash);
}

export async function insertTile(
  tx: Tx,
  tile: {
    readonly log_id: number;
    readonly level: number;
    readonly n: number;
    readonly hashes: Buffer;
    readonly root: Buffer;
  },
): Promise<void> {
  await tx.insertInto('log_tile').values(tile).execute();
}

export async function updateHead(
  tx: Tx,
  logId: number,
  head: Pick<Head, 'size' | 'root' | 'frontier'>,
): Promise<void> {
  await tx.updateTable('log_head').set(head).where('log_id', '=', logId).execute();
}

/** Leaf hashes from index `from`, at most `count`, in order. */
export async function readLeafHashes(
  db: Db,
  logId: number,
  from: number,
  count: number,
): Promise<Buffer[]> {
  const rows = await db
    .selectFrom('log_leaf')
    .select('leaf_hash')
    .where('log_id', '=', logId)
    .where('idx', '>=', from)
    .orderBy('idx')
    .limit(count)
    .execute();
  return rows.map(({ leaf_hash }) => leaf_hash);
}

/** The bytes of the entries from index `from`, at most `count`, in order. */
export async function readLeaves(
  db: Db,
  logId: number,
  from: number,
  count: number,
): Promise<Buffer[]> {
  const rows = await db
    .selectFrom('log_leaf')
    .innerJoin('audit_event', 'audit_event.event_id', 'log_leaf.event_id')
    .select('audit_event.leaf')
    .where('log_leaf.log_id', '=', logId)
    .where('log_leaf.idx', '>=', from)
    .where('log_leaf.idx', '<', from + count)
    .orderBy('log_leaf.idx')
    .execute();
  return rows.map(({ leaf }) => leaf);
}

/** A full tile's 256 hashes, where the tile is full. */
export async function readTile(
  db: Db,
  logId: number,
  level: number,
  n: number,
): Promise<Buffer | undefined> {
  const row = await db
    .selectFrom('log_tile')
    .select('hashes')
    .where('log_id', '=', logId)
    .where('level', '=', level)
    .where('n', '=', n)
    .executeTakeFirst();
  return row?.hashes;
}

/** Roots of full tiles of a level from number `from`, at most `count`, in order. */
export async function readTileRoots(
  db: Db,
  logId: number,
  level: number,
  { from, count }: { readonly from: number; readonly count: number },
): Promise<Buffer[]> {
  const rows = await db
    .selectFrom('log_tile')
    .select('root')
    .where('log_id', '=', logId)
    .where('level', '=', level)
    .where('n', '>=', from)
    .orderBy('n')
    .limit(count)
    .execute();
  return rows.map(({ root }) => root);
}

export interface StoredCheckpoint {
  readonly size: number;
  readonly root: Buffer;
  readonly note: string;
}

/** The newest published checkpoint of a shard, and when it was published. */
export interface Published
  extends StoredCheckpoint,
    Pick<Head, 'log_id' | 'origin' | 'year' | 'base'> {
  readonly signed_at: string;
  readonly published_at: string;
}

/**
 * The newest checkpoint that was published: of the shard of a year, or of the newest that has one.
 */
export async function readNewestCheckpoint(db: Db, year?: number): Promise<Published | undefined> {
  let query = db
    .selectFrom('log_published as p')
    .innerJoin('log_head as h', 'h.log_id', 'p.log_id')
    .select(['h.log_id', 'h.origin', 'h.year', 'h.base', 'p.size', 'p.root', 'p.note'])
    .select(['p.signed_at', 'p.published_at']);
  if (year !== undefined) query = query.where('h.year', '=', year);
  return query.orderBy('h.log_id', 'desc').limit(1).executeTakeFirst();
}

/** A published checkpoint that was kept, and when the log signed it. */
export interface KeptCheckpoint extends StoredCheckpoint {
  readonly signed_at: string;
}

/** A published checkpoint of a size that was kept. */
export async function readCheckpointAt(
  db: Db,
  logId: number,
  size: number,
): Promise<KeptCheckpoint | undefined> {
  return selectCheckpoints(db, logId).where('size', '=', size).executeTakeFirst();
}

/** The newest of the published checkpoints of a shard that were kept, the largest first. */
export async function readCheckpoints(
  db: Db,
  logId: number,
  limit: number,
): Promise<StoredCheckpoint[]> {
  return selectCheckpoints(db, logId).orderBy('size', 'desc').limit(limit).execute();
}

function selectCheckpoints(db: Db, logId: number) {
  const columns = ['size', 'root', 'note', 'signed_at'] as const;
  const published = db.selectFrom('log_published').select(columns).where('log_id', '=', logId);
  const kept = db
    .selectFrom('log_checkpoint')
    .select(columns)
    .where('log_id', '=', logId)
    .where('size', 'not in', (each) =>
      each.selectFrom('log_published').select('log_published.size').where('log_id', '=', logId),
    );
  return db.selectFrom(kept.unionAll(published).as('checkpoint')).selectAll();
}

/**
 * Publishes a checkpoint, unless another replica has published a larger one; and keeps it where
 * the last one that was kept is ten minutes old.
 */
export async function publishCheckpoint(
  tx: Tx,
  logId: number,
  checkpoint: StoredCheckpoint,
  at: { readonly signed_at: string; readonly published_at: string },
): Promise<void> {
  await tx
    .insertInto('log_published')
    .values({ log_id: logId, ...checkpoint, ...at })
    .onConflict((conflict) =>
      conflict
        .column('log_id')
        .doUpdateSet({ ...checkpoint, ...at })
        .where('log_published.size', '<', checkpoint.size),
    )
    .execute();
  await sql`
    insert into log_checkpoint (log_id, size, root, note, signed_at, published_at)
    select log_id, size, root, note, signed_at, published_at from log_published p
    where log_id = ${logId} and not exists (
      select from log_checkpoint c where c.log_id = p.log_id
        and c.signed_at > p.signed_at - interval '10 minutes')
    on conflict do nothing`.execute(tx);
}

/**
 * Keeps the newest published checkpoint of a shard for good, since an export is under it; where a
 * size is given, only if it has that size. Undefined where it has not.
 */
export async function keepNewestCheckpoint(
  db: Db,
  logId: number,
  size: number | undefined,
): Promise<KeptCheckpoint | undefined> {
  const { rows } = await sql<KeptCheckpoint>`
    with newest as (
      select log_id, size, root, note, signed_at, published_at from log_published
      where log_id = ${logId} ${size === undefined ? sql`` : sql`and size = ${size}`}
    ), kept as (
      insert into log_checkpoint (log_id, size, root, note, signed_at, published_at)
      select * from newest on conflict do nothing
    )
    select size, root, note, signed_at from newest`.execute(db);
  return rows[0];
}

/** What a shard signed last, published or not. */
export async function readSigned(db: Db, logId: number): Promise<StoredCheckpoint | undefined> {
  return db
    .selectFrom('log_signed')
    .select(['size', 'root', 'note'])
    .where('log_id', '=', logId)
    .executeTakeFirst();
}

/** Keeps what is signed, unless another replica has signed a larger tree meanwhile. */
export async function keepSigned(
  db: Db,
  logId: number,
  signed: StoredCheckpoint,
  signedAt: string,
): Promise<void> {
  await db
    .insertInto('log_signed')
    .values({ log_id: logId, ...signed, signed_at: signedAt })
    .onConflict((conflict) =>
      conflict
        .column('log_id')
        .doUpdateSet({ ...signed, signed_at: signedAt })
        .where('log_signed.size', '<', signed.size),
    )
    .execute();
}

/** How many events wait for their index. */
export async function countPending(db: Db): Promise<number> {
  const { count } = await db
    .selectFrom('audit_pending')
    .select((each) => each.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

export interface LogEntryRow {
  readonly idx: number;
  readonly event_id: string;
  readonly leaf_hash: Buffer;
  readonly leaf: Buffer | null;
  readonly body: Buffer | null;
  readonly disclosures: string | null;
  readonly erased: readonly Erased[] | null;
  readonly type: string | null;
  readonly time: string | null;
  readonly actor: string | null;
  readonly role: string | null;
  readonly subject_ids: string[] | null;
  readonly outcome: string | null;
}

/** Entries of a shard from index `from`, in order; what a verifier reads. */
export async function readEntries(
  db: Db,
  logId: number,
  from: number,
  limit: number,
): Promise<LogEntryRow[]> {
  return db
    .selectFrom('log_leaf')
    .leftJoin('audit_event', 'audit_event.event_id', 'log_leaf.event_id')
    .select([
      'log_leaf.idx',
      'log_leaf.event_id',
      'log_leaf.leaf_hash',
      'audit_event.leaf',
      'audit_event.body',
      'audit_event.disclosures',
      erasedOf.as('erased'),
      'audit_event.type',
      'audit_event.time',
      'audit_event.actor',
      'audit_event.role',
      'audit_event.subject_ids',
      'audit_event.outcome',
    ])
    .where('log_leaf.log_id', '=', logId)
    .where('log_leaf.idx', '>=', from)
    .orderBy('log_leaf.idx')
    .limit(limit)
    .execute();
}

/** What is outside the tree, of one moment. */
export interface Unsequenced {
  /** Events that wait for their index. */
  readonly pending: number;
  /** Events that are neither waiting nor in the tree. */
  readonly lost: number;
  /** Leaves that the head does not count. */
  readonly beyond: number;
}

export async function countUnsequenced(db: Db): Promise<Unsequenced> {
  const { rows } = await sql<Unsequenced>`
    select (select count(*) from audit_pending) as pending,
      (select count(*) from audit_event e
        where not exists (select from audit_pending p where p.event_id = e.event_id)
          and not exists (select from log_leaf l where l.event_id = e.event_id)) as lost,
      (select count(*) from log_leaf l left join log_head h using (log_id)
        where h.log_id is null or l.idx >= h.size) as beyond`.execute(db);
  return rows[0] ?? { pending: 0, lost: 0, beyond: 0 };
}
