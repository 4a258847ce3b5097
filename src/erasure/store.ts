import { type Selectable, sql } from 'kysely';
import type { Head } from '../audit/log-store.ts';
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

export async function lockHold(tx: Tx, id: string): Promise<LegalHold | undefined> {
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

/** The holds that stand; none is placed or lifted before the transaction ends. */
export async function lockHolds(tx: Tx): Promise<LegalHold[]> {
  await sql`lock table legal_hold in share mode`.execute(tx);
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
 * Puts the pseudonym where registers name an actor: everywhere but in what hangs on events, of
 * which only that of `ids`, and in what is forgotten by itself.
 */
export async function eraseActor(
  tx: Tx,
  { actor, pseudonym, ids }: { actor: string; pseudonym: string; ids: readonly string[] },
): Promise<void> {
  await sql`update decision set created_by = ${pseudonym}
    where id = any(${ids}::uuid[]) and created_by = ${actor}`.execute(tx);
  await sql`update access_request set created_by = ${pseudonym}
    where id = any(${ids}::uuid[]) and created_by = ${actor}`.execute(tx);
  await sql`update space_version set created_by = ${pseudonym} where created_by = ${actor}`.execute(
    tx,
  );
  await sql`update impact set created_by = ${pseudonym} where created_by = ${actor}`.execute(tx);
  await sql`update cut_off set created_by = ${pseudonym} where created_by = ${actor}`.execute(tx);
  await sql`update policy_version set editors = array_replace(editors, ${actor}, ${pseudonym}),
      approved_by = case when approved_by = ${actor} then ${pseudonym} else approved_by end,
      withdrawal_asked_by = case when withdrawal_asked_by = ${actor} then ${pseudonym} else withdrawal_asked_by end,
      withdrawn_by = case when withdrawn_by = ${actor} then ${pseudonym} else withdrawn_by end
    where ${actor} = any(editors) or ${actor} in (approved_by, withdrawal_asked_by, withdrawn_by)`.execute(
    tx,
  );
  // Who asked for one that is open may not be its second person: that is told by the name.
  await sql`update erasure set
      requested_by = case when requested_by = ${actor} then ${pseudonym} else requested_by end,
      approved_by = case when approved_by = ${actor} then ${pseudonym} else approved_by end,
      ended_by = case when ended_by = ${actor} then ${pseudonym} else ended_by end
    where id = any(${ids}::uuid[]) and status <> 'requested'`.execute(tx);
  await sql`delete from idempotency_key where actor = ${actor}`.execute(tx);
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
    person === undefined
      ? sql`e.subject_ids @> array[${dataset ?? project}]::text[]`
      : sql`e.actor = ${pseudonym(person)}`;
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
      and not (e.outcome = 'permit' and e.type in ('submitAccessRequest', 'evaluateAccess') and exists (
        select from decision d
        where d.id = e.subject_ids[case e.type when 'submitAccessRequest' then 2 else 1 end]::uuid
          and coalesce(d.document::jsonb #>> '{expiry,date}', '9999') >= ${today}))
    order by l.idx limit ${limit}`.execute(db);
  return rows;
}

export async function addErased(tx: Tx, id: string, count: number): Promise<void> {
  await sql`update erasure set erased = erased + ${count} where id = ${id}`.execute(tx);
}

export async function endPruning(db: Db, id: string): Promise<void> {
  await db.updateTable('erasure').set({ status: 'done' }).where('id', '=', id).execute();
}
