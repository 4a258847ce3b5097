import { type RawBuilder, sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';
import type { SealedEvent } from './event.ts';
import type { Moment } from './moment.ts';
import type { Indexed } from './terms.ts';

/** The origin of the shard that an event which is written now goes into. */
export const CURRENT_ORIGIN = '(select origin from log_head order by log_id desc limit 1)';

/**
 * Common table expressions that write events and queue their leaves, from a relation with the
 * columns of `audit_event` and `leaf_hash`. Every change writes its event through this.
 */
export function appendFrom(relation: string): string {
  return `
    event as (
      insert into audit_event
        (event_id, type, time, actor, role, subject_ids, outcome, leaf, body, disclosures)
      select event_id, type, time, actor, role, subject_ids, outcome, leaf, body, disclosures
      from ${relation}
    ), pending as (
      insert into audit_pending (event_id, leaf_hash) select event_id, leaf_hash from ${relation}
    )`;
}

/**
 * Writes an event, and returns the origin of the shard that it goes into: no turn comes before the
 * transaction ends, since it waits for all who have written into the queue (`lockQueue`).
 */
export async function insertEvent(tx: Tx, event: SealedEvent): Promise<string> {
  const { event_id, type, time, actor, role, subject_ids, outcome, leaf } = event;
  const { body, disclosures, leaf_hash } = event;
  const { rows } = await sql<{ origin: string }>`
    with input as (
      select ${event_id}::uuid as event_id, ${type}::text as type, ${time}::timestamptz as time,
        ${actor}::text as actor, ${role}::text as role, ${subject_ids}::text[] as subject_ids,
        ${outcome}::text as outcome, ${leaf}::bytea as leaf, ${body}::bytea as body,
        ${disclosures}::text as disclosures, ${leaf_hash}::bytea as leaf_hash
    ), ${sql.raw(appendFrom('input'))}
    select ${sql.raw(CURRENT_ORIGIN)} as origin`.execute(tx);
  const [{ origin } = { origin: null }] = rows;
  if (origin === null) throw new Error('there is no log');
  return origin;
}

/** A value that was erased, when, and by which event. */
export interface Erased {
  readonly digest: string;
  /** Where it was in the body; null: the whole body. */
  readonly path: string | null;
  readonly erased_at: string;
  readonly erased_by: string;
}

export interface EventRow {
  readonly event_id: string;
  readonly type: string;
  readonly time: string;
  /** Pseudonym of the actor. */
  readonly actor: string;
  readonly role: string;
  readonly subject_ids: string[];
  readonly outcome: string;
  readonly leaf: Buffer;
  /** The bytes that the leaf binds; null where all of it was erased. `bodyOf` reads it. */
  readonly body: Buffer | null;
  /** What lies beside the body; null in events of releases that had everything in it. */
  readonly disclosures: string | null;
  /** Null where nothing was erased. */
  readonly erased: readonly Erased[] | null;
  /** Index in its shard; null, as all of these, while it waits for it. */
  readonly idx: number | null;
  /** The year and the number of its shard. */
  readonly year: number | null;
  readonly log_id: number | null;
  /** Its place among the entries of all shards. */
  readonly position: number | null;
}

// Few events lost anything: asked first, which is hashed where many are read, it costs next to nothing.
export const erasedOf: RawBuilder<readonly Erased[] | null> = sql<readonly Erased[] | null>`case
  when exists (select from erased_value v where v.event_id = audit_event.event_id) then (
    select json_agg(json_build_object('digest', v.digest, 'path', v.path, 'erased_by', v.erased_by,
      'erased_at', to_char(v.erased_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
      order by v.path, v.digest)
    from erased_value v where v.event_id = audit_event.event_id)
  end`;

function selectEvents(db: Db) {
  return db
    .selectFrom('audit_event')
    .leftJoin('log_leaf', 'log_leaf.event_id', 'audit_event.event_id')
    .leftJoin('log_head', 'log_head.log_id', 'log_leaf.log_id')
    .select([
      'audit_event.event_id',
      'audit_event.type',
      'audit_event.time',
      'audit_event.actor',
      'audit_event.role',
      'audit_event.subject_ids',
      'audit_event.outcome',
      'audit_event.leaf',
      'audit_event.body',
      'audit_event.disclosures',
      erasedOf.as('erased'),
      'log_leaf.idx',
      'log_leaf.log_id',
      'log_head.year',
      sql<number | null>`log_head.base + log_leaf.idx`.as('position'),
    ]);
}

export async function readEvent(db: Db, eventId: string): Promise<EventRow | undefined> {
  return selectEvents(db).where('audit_event.event_id', '=', eventId).executeTakeFirst();
}

/** Origin of the shard that an event is in; one that waits for its index goes into the one that grows. */
export async function readOriginOf(db: Db, eventId: string): Promise<string> {
  const { rows } = await sql<{ origin: string }>`
    select coalesce((select h.origin from log_leaf l join log_head h using (log_id)
      where l.event_id = ${eventId}), ${sql.raw(CURRENT_ORIGIN)}) as origin`.execute(db);
  const [row] = rows;
  if (!row) throw new Error('there is no log');
  return row.origin;
}

/** Events by their ids, locked: nobody else erases from them meanwhile. */
export async function lockEvents(tx: Tx, ids: readonly string[]): Promise<EventRow[]> {
  await sql`select from audit_event where event_id = any(${ids}::uuid[]) order by event_id for update`.execute(
    tx,
  );
  return selectEvents(tx)
    .where(sql<boolean>`audit_event.event_id = any(${ids}::uuid[])`)
    .orderBy('audit_event.event_id')
    .execute();
}

/** Records what is erased, which the database asks for before it lets it go. */
export async function insertErased(
  tx: Tx,
  values: readonly (Erased & { readonly event_id: string })[],
): Promise<void> {
  await sql`
    insert into erased_value (event_id, digest, path, erased_at, erased_by)
    select event_id, digest, path, erased_at, erased_by
    from jsonb_populate_recordset(null::erased_value, ${JSON.stringify(values)}::jsonb)`.execute(
    tx,
  );
}

/** What is left of an event. */
export interface Remaining {
  readonly event_id: string;
  readonly body: boolean;
  /** As stored; null where the body is gone, or has nothing beside it. */
  readonly disclosures: string | null;
}

export async function keepOnly(tx: Tx, events: readonly Remaining[]): Promise<void> {
  await sql`
    update audit_event e
    set body = case when kept.body then e.body end, disclosures = kept.disclosures
    from jsonb_to_recordset(${JSON.stringify(events)}::jsonb)
      as kept (event_id uuid, body boolean, disclosures text)
    where e.event_id = kept.event_id`.execute(tx);
}

/** Sequenced events whose place is from `from` up to, not including, `to`, the latest first. */
export async function readSequenced(
  db: Db,
  { from, to, limit }: { readonly from: number; readonly to: number; readonly limit: number },
): Promise<EventRow[]> {
  return readPlaced(
    db,
    sql`select l.event_id from ${leavesBetween(from, to, limit)}
      order by h.log_id desc, l.idx desc limit ${limit}`,
  );
}

/** The shards `h`, with the latest of their leaves `l` whose places are from `from` up to, not including, `to`. */
function leavesBetween(from: number, to: number, limit: number): RawBuilder<unknown> {
  return sql`log_head h cross join lateral (
    select idx, event_id from log_leaf
    where log_id = h.log_id and idx >= ${from}::bigint - h.base and idx < ${to}::bigint - h.base
    order by idx desc limit ${limit}) l`;
}

/** Of sequenced events, what they are found by, and their places. */
export async function readToIndex(
  db: Db,
  from: number,
  to: number,
): Promise<(Indexed & { readonly time: string; readonly position: number })[]> {
  const { rows } = await sql<Indexed & { readonly time: string; readonly position: number }>`
    select e.type, e.actor, to_json(e.subject_ids) as subject_ids, e.outcome, e.body, e.disclosures,
      e.time, h.base + l.idx as position
    from ${leavesBetween(from, to, to - from)}
      cross join lateral (select * from audit_event where event_id = l.event_id limit 1) e`.execute(
    db,
  );
  return rows;
}

/** Events at these places, the latest first. */
export async function readAt(db: Db, positions: readonly number[]): Promise<EventRow[]> {
  return readPlaced(
    db,
    sql`select l.event_id from unnest(${[...positions]}::bigint[]) p
      cross join lateral (
        select log_id, base from log_head where base <= p order by log_id desc limit 1) h
      join log_leaf l on l.log_id = h.log_id and l.idx = p - h.base`,
  );
}

/**
 * The events of some places, the latest first. Which ones is found first, as an array: joined at
 * once, a plan for any limit reads the whole record.
 */
async function readPlaced(db: Db, ids: RawBuilder<unknown>): Promise<EventRow[]> {
  return selectEvents(db)
    .where(sql<boolean>`audit_event.event_id = any(array(${ids}))`)
    .orderBy('log_leaf.log_id', 'desc')
    .orderBy('log_leaf.idx', 'desc')
    .execute();
}

/**
 * Was an event, that of the column `event`, written by a moment? By the order of the log, since
 * clocks of replicas differ; by its time in the column `at` where the moment is not that of its own
 * event, or that one waits for its index.
 */
export function writtenBy(
  { time, event_id }: Pick<Moment, 'time' | 'event_id'>,
  event: string,
  at: string,
): RawBuilder<boolean> {
  return sql<boolean>`coalesce((
    select coalesce((own.log_id, own.idx) <= (cut.log_id, cut.idx), false)
    from log_leaf cut join audit_event moment using (event_id)
      left join log_leaf own on own.event_id = ${sql.ref(event)}
    where cut.event_id = ${event_id} and moment.time = ${time}::timestamptz
  ), ${sql.ref(at)} <= ${time}::timestamptz)`;
}

/**
 * What events of these types said last, at a moment, of each of some subjects. One that waits for
 * its index is the newest.
 */
export async function readLastSaid(
  db: Db,
  { types, subjects }: { readonly types: readonly string[]; readonly subjects: readonly string[] },
  moment: Moment,
): Promise<Pick<EventRow, 'leaf' | 'body' | 'disclosures'>[]> {
  const { rows } = await sql<Pick<EventRow, 'leaf' | 'body' | 'disclosures'>>`
    select distinct on (subject) subject, e.leaf, e.body, e.disclosures
    from unnest(${[...subjects]}::text[]) as subject
      join audit_event e on e.subject_ids @> array[subject]
      left join log_leaf l on l.event_id = e.event_id
    where e.type = any(${[...types]}::text[]) and ${writtenBy(moment, 'e.event_id', 'e.time')}
      ${moment.side === 'before' ? sql`and e.event_id <> ${moment.event_id}` : sql``}
    order by subject, l.log_id desc nulls first, l.idx desc`.execute(db);
  return rows;
}

export interface EventFilter {
  readonly type?: string | undefined;
  readonly subject?: string | undefined;
  /** Only events older than this one. */
  readonly before?: string | undefined;
}

/** Events of a type that are looked at for one page of those about a subject. */
const MAX_EXAMINED = 2_000;

/** A page of events, newest first. */
export interface EventPage {
  readonly events: readonly EventRow[];
  /** Where to go on: the last event that was looked at; undefined when that was the last of all. */
  readonly next: string | undefined;
}

/** Events, newest first; may be fewer than `limit` although there are more. */
export async function readEvents(
  db: Db,
  { type, subject, before }: EventFilter,
  limit: number,
): Promise<EventPage> {
  const older = before === undefined ? sql`` : sql`and event_id < ${before}`;
  let query = selectEvents(db)
    .orderBy('audit_event.event_id', 'desc')
    .limit(limit + 1);
  if (before !== undefined) query = query.where('audit_event.event_id', '<', before);
  if (type !== undefined) query = query.where('audit_event.type', '=', type);
  if (subject !== undefined)
    query = query.where(sql<boolean>`audit_event.subject_ids @> array[${subject}]`);
  if (type === undefined || subject === undefined) {
    const found = await query.execute();
    const events = found.slice(0, limit);
    return { events, next: found.length > limit ? events.at(-1)?.event_id : undefined };
  }
  // Both may be frequent and never meet: only so many are looked at, along the index of types.
  const { rows: examined } = await sql<{ event_id: string; fits: boolean }>`
    select event_id, subject_ids @> array[${subject}] as fits from audit_event
    where type = ${type} ${older} order by event_id desc limit ${MAX_EXAMINED}`.execute(db);
  const ids = examined.filter(({ fits }) => fits).slice(0, limit + 1);
  const shown = ids.slice(0, limit).map(({ event_id }) => event_id);
  const events =
    shown.length === 0
      ? []
      : await selectEvents(db)
          .where('audit_event.event_id', 'in', shown)
          .orderBy('audit_event.event_id', 'desc')
          .execute();
  if (ids.length > limit) return { events, next: shown.at(-1) };
  const isAll = examined.length < MAX_EXAMINED;
  return { events, next: isAll ? undefined : examined.at(-1)?.event_id };
}
