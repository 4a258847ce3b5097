import { type Selectable, sql } from 'kysely';
import type { Head } from '../audit/log-store.ts';
import type { EventRow } from '../audit/store.ts';
import type { Db, Tx } from '../db/connection.ts';
import type { ConsentStatus, ErasureTable, HoldScope } from '../db/schema.ts';

/** What is asked to be erased, by whom and why, and what came of it. */
export type Erasure = Readonly<Selectable<ErasureTable>>;

export async function insertErasure(tx: Tx, { scope, ...row }: Erasure): Promise<void> {
  await tx
    .insertInto('erasure')
    .values({ ...row, scope: JSON.stringify(scope) })
    .execute();
}

export async function readErasure(db: Db, id: string): Promise<Erasure | undefined> {
  return db.selectFrom('erasure').selectAll().where('id', '=', id).executeTakeFirst();
}

export async function lockErasure(tx: Tx, id: string): Promise<Erasure | undefined> {
  return tx.selectFrom('erasure').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
}

/** Erasures, the latest first. */
export async function readErasures(
  db: Db,
  before: string | undefined,
  limit: number,
): Promise<Erasure[]> {
  let query = db.selectFrom('erasure').selectAll().orderBy('id', 'desc').limit(limit);
  if (before !== undefined) query = query.where('id', '<', before);
  return query.execute();
}

/** Says what became of one: carried out, wholly or so far, or ended. */
export async function changeErasure(
  tx: Tx,
  id: string,
  { scope, ...changed }: Partial<Erasure> & Pick<Erasure, 'status' | 'scope'>,
): Promise<void> {
  await tx
    .updateTable('erasure')
    .set({ ...changed, scope: JSON.stringify(scope) })
    .where('id', '=', id)
    .execute();
}

/** Open ones that nobody has carried on since `before` (RFC 3339), the oldest first. */
export async function readNeglected(db: Db, before: string, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('erasure')
    .select('id')
    .where('status', '=', 'requested')
    .where((row) => row.fn.coalesce(row.ref('approved_at'), row.ref('requested_at')), '<=', before)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}

/** What must stay, and since when. */
export interface LegalHold {
  readonly id: string;
  readonly scope: HoldScope;
  readonly reason: string;
  readonly reference: string | null;
  readonly placed_by: string;
  readonly placed_at: string;
  readonly event_id: string;
  readonly lifted_by: string | null;
  readonly lifted_at: string | null;
  readonly lift_event: string | null;
}

export async function insertHold(
  tx: Tx,
  { scope, ...row }: Omit<LegalHold, 'lifted_by' | 'lifted_at' | 'lift_event'>,
): Promise<void> {
  await tx
    .insertInto('legal_hold')
    .values({ ...row, scope: JSON.stringify(scope) })
    .execute();
}

/** Holds, the latest first. */
export async function readHolds(
  db: Db,
  before: string | undefined,
  limit: number,
): Promise<LegalHold[]> {
  let query = db.selectFrom('legal_hold').selectAll().orderBy('id', 'desc').limit(limit);
  if (before !== undefined) query = query.where('id', '<', before);
  return query.execute();
}

/** A hold, to be lifted. */
export async function lockHold(tx: Tx, id: string): Promise<LegalHold | undefined> {
  // The table before the row, as an erasure locks them: so the two wait and do not deadlock.
  await sql`lock table legal_hold in row exclusive mode`.execute(tx);
  return tx
    .selectFrom('legal_hold')
    .selectAll()
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
}

export async function liftedHold(
  tx: Tx,
  id: string,
  lifted: Pick<LegalHold, 'lifted_by' | 'lifted_at' | 'lift_event'>,
): Promise<void> {
  await tx.updateTable('legal_hold').set(lifted).where('id', '=', id).execute();
}

/**
 * The holds that stand; none is placed or lifted before the transaction ends, and no other erasure
 * goes on, which may take names out of holds. To be locked before the rows that are erased from.
 */
export async function lockHolds(tx: Tx): Promise<LegalHold[]> {
  await sql`lock table legal_hold in share row exclusive mode`.execute(tx);
  return tx
    .selectFrom('legal_hold')
    .selectAll()
    .where('lifted_at', 'is', null)
    .orderBy('id')
    .execute();
}

/**
 * Takes members out of the versions of datasets that these events have made. A version has a title:
 * in its place stands one in no language (`zxx`, ISO 639-2).
 */
export async function eraseFromVersions(
  tx: Tx,
  members: readonly { readonly event_id: string; readonly member: string }[],
): Promise<void> {
  await sql`
    update dataset_version v set document = v.document - gone.members
      || case when 'title' = any(gone.members) then '{"title": {"zxx": "[erased]"}}'::jsonb else '{}' end
    from (
      select event_id, array_agg(member) as members
      from jsonb_to_recordset(${JSON.stringify(members)}::jsonb) as g (event_id uuid, member text)
      group by event_id
    ) gone
    where v.event_id = gone.event_id`.execute(tx);
}

/**
 * Takes what decisions were made from out of them, and what was sent out of their requests, for events
 * that have lost their whole body.
 */
export async function eraseFacts(
  tx: Tx,
  events: readonly Pick<EventRow, 'event_id'>[],
): Promise<void> {
  if (events.length === 0) return;
  await sql`select erase_facts(${events.map(({ event_id }) => event_id)}::uuid[])`.execute(tx);
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Puts the pseudonym of the leaf wherever a row names who acted in the event that made or changed it,
 * for events that have lost that name.
 */
export async function eraseTraces(
  tx: Tx,
  events: readonly Pick<EventRow, 'event_id' | 'subject_ids'>[],
): Promise<void> {
  if (events.length === 0) return;
  const gone = sql`(select event_id, type, time, actor, subject_ids from audit_event
    where event_id = any(${events.map(({ event_id }) => event_id)}::uuid[])) gone`;
  // What the rows are called: of these tables none has an index by event.
  const ids = sql`any(${events.flatMap(({ subject_ids }) => subject_ids.filter((id) => UUID.test(id)))}::uuid[])`;
  await sql`update decision d set created_by = gone.actor from ${gone}
    where d.id = ${ids} and d.event_id = gone.event_id`.execute(tx);
  await sql`update access_request r set created_by = gone.actor from decision d, ${gone}
    where r.id = ${ids} and d.id = r.decision and d.event_id = gone.event_id`.execute(tx);
  await sql`update erasure x set
      requested_by = coalesce((select actor from ${gone} where event_id = x.request_event), requested_by),
      approved_by = coalesce((select actor from ${gone} where type = 'approveErasure'
        and x.id::text = any(subject_ids) and time = x.approved_at), approved_by),
      ended_by = coalesce((select actor from ${gone} where event_id = x.end_event), ended_by)
    where id = ${ids}`.execute(tx);
  await sql`update legal_hold h set
      placed_by = coalesce((select actor from ${gone} where event_id = h.event_id), placed_by),
      lifted_by = coalesce((select actor from ${gone} where event_id = h.lift_event), lifted_by)
    where id = ${ids}`.execute(tx);
  for (const table of ['space_version', 'impact', 'cut_off']) {
    // oxlint-disable-next-line no-await-in-loop -- one connection
    await sql`update ${sql.table(table)} t set created_by = gone.actor from ${gone}
      where t.event_id = gone.event_id`.execute(tx);
  }
}

/** The same by name, where rows do not say which events they are of; keys that repeat a call go. */
export async function eraseActor(
  tx: Tx,
  { actor, pseudonym }: { readonly actor: string; readonly pseudonym: string },
): Promise<void> {
  await sql`update policy_version set editors = array_replace(editors, ${actor}, ${pseudonym}),
      approved_by = case when approved_by = ${actor} then ${pseudonym} else approved_by end,
      withdrawal_asked_by = case when withdrawal_asked_by = ${actor} then ${pseudonym} else withdrawal_asked_by end,
      withdrawn_by = case when withdrawn_by = ${actor} then ${pseudonym} else withdrawn_by end
    where ${actor} = any(editors) or ${actor} in (approved_by, withdrawal_asked_by, withdrawn_by)`.execute(
    tx,
  );
  await sql`delete from idempotency_key where actor = ${actor}`.execute(tx);
}

/** Takes the person out of holds that these events placed, once they are lifted. */
export async function eraseHeldPerson(tx: Tx, events: readonly string[]): Promise<void> {
  await sql`update legal_hold set scope = '{"person": null}'
    where event_id = any(${[...events]}::uuid[]) and scope ? 'person'`.execute(tx);
}

/** The records of a person about a dataset. */
export async function lockConsents(
  tx: Tx,
  { dataset, subject }: { readonly dataset: string; readonly subject: string },
): Promise<{ readonly purpose: string; readonly status: ConsentStatus }[]> {
  return tx
    .selectFrom('consent_record')
    .select(['purpose', 'status'])
    .where('dataset', '=', dataset)
    .where('subject', '=', subject)
    .orderBy('purpose')
    .forUpdate()
    .execute();
}

export async function deleteConsents(
  tx: Tx,
  { dataset, subject }: { readonly dataset: string; readonly subject: string },
): Promise<void> {
  await tx
    .deleteFrom('consent_record')
    .where('dataset', '=', dataset)
    .where('subject', '=', subject)
    .execute();
}

/** When the latest event of a shard was; null where it has none. */
export async function lastTimeIn(db: Db, logId: number): Promise<string | null> {
  const { rows } = await sql<{ last: string | null }>`
    select max(e.time) as last from log_leaf l join audit_event e using (event_id)
    where l.log_id = ${logId}`.execute(db);
  return rows[0]?.last ?? null;
}

/** Does a hold cover any event of a shard? */
export async function heldInShard(
  db: Db,
  { log_id, year, size }: Pick<Head, 'log_id' | 'year' | 'size'>,
  { dataset, project, person, entries }: HoldScope,
  pseudonym: (actor: string) => string,
): Promise<boolean> {
  if (entries) {
    const { start, end, shard } = entries;
    const later = shard === undefined ? log_id - 1 : year - shard;
    return later === 0 ? start < size : later > 0 && end === undefined;
  }
  const covered =
    typeof person === 'string'
      ? sql`e.actor = ${pseudonym(person)}`
      : sql`e.subject_ids @> array[${dataset ?? project}]::text[]`;
  const { rows } = await sql`
    select from log_leaf l join audit_event e using (event_id)
    where l.log_id = ${log_id} and ${covered} limit 1`.execute(db);
  return rows.length > 0;
}

/** Erasures of shards that were approved and are not done. */
export async function readApproved(db: Db): Promise<Erasure[]> {
  return db.selectFrom('erasure').selectAll().where('status', '=', 'approved').execute();
}

/**
 * Events of a shard from an index on whose bodies are there and are needed no longer, by their
 * index. What stays: the types of `kept`; of each party and record what the shard says last, since
 * how it was until it next changes is read from that; and permits that have not ended on `today`.
 */
export async function readPrunable(
  db: Db,
  {
    log_id,
    from,
    limit,
    kept,
    registers,
    today,
  }: {
    readonly log_id: number;
    readonly from: number;
    readonly limit: number;
    readonly kept: readonly string[];
    readonly registers: readonly string[];
    readonly today: string;
  },
): Promise<{ readonly event_id: string; readonly idx: number }[]> {
  const { rows } = await sql<{ event_id: string; idx: number }>`
    select l.event_id, l.idx from log_leaf l join audit_event e using (event_id)
    where l.log_id = ${log_id} and l.idx >= ${from} and e.body is not null
      and e.type <> all(${[...kept]}::text[])
      and not (e.type = any(${[...registers]}::text[]) and not exists (
        select from audit_event later join log_leaf at on at.event_id = later.event_id
        where later.subject_ids @> e.subject_ids
          and replace(later.type, 'change', 'register') = replace(e.type, 'change', 'register')
          and at.log_id = l.log_id and at.idx > l.idx))
      and not (e.outcome = 'permit' and e.type in ('submitAccessRequest', 'evaluateAccess', 'evaluateAccesses')
        and exists (
        select from decision d
        where d.id in (select id::uuid from unnest(e.subject_ids) id where id ~ ${UUID.source})
          and d.event_id = e.event_id and coalesce(d.document::jsonb #>> '{expiry,date}', '9999') >= ${today}))
    order by l.idx limit ${limit}`.execute(db);
  return rows;
}

export async function addErased(tx: Tx, id: string, count: number): Promise<void> {
  await sql`update erasure set erased = erased + ${count} where id = ${id}`.execute(tx);
}

export async function endPruning(db: Db, id: string): Promise<void> {
  await db.updateTable('erasure').set({ status: 'done' }).where('id', '=', id).execute();
}
