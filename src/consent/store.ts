import { sql } from 'kysely';
import type { Moment } from '../audit/moment.ts';
import type { Db, Tx } from '../db/connection.ts';
import type { ConsentStatus } from '../db/schema.ts';
import type { ConsentRecord, ConsentTotal } from './consent.ts';

type StoredRecord = ConsentRecord & { readonly recorded_at: string };

/**
 * Writes statements of people, each replacing the one on record for that purpose unless it is
 * older, and adds to the totals what that changed. One statement however many records. Returns
 * the subjects whose record is newer than the statement: nothing of those is written; and of those
 * that are written the salts, in the order of the records. A record keeps its first salt.
 */
export async function writeRecords(
  tx: Tx,
  dataset: string,
  records: readonly (ConsentRecord & { readonly salt: string })[],
  recordedAt: string,
): Promise<{
  readonly older: readonly { purpose: string; subject: string }[];
  readonly salts: readonly string[];
}> {
  const numbered = records.map((each, n) => ({ ...each, n }));
  const { rows } = await sql<{ purpose: string; subject: string; salt: string | null }>`
    with input as (
      select * from jsonb_to_recordset(${JSON.stringify(numbered)}::jsonb)
        as r(n integer, salt text, purpose text, subject text, status text, at timestamptz, by_parent boolean, covers_transfer_abroad boolean)
    ), before as (
      select c.* from consent_record c join input i
        on c.dataset = ${dataset} and c.purpose = i.purpose and c.subject = i.subject
    ), written as (
      insert into consent_record as c
        (dataset, purpose, subject, status, at, by_parent, covers_transfer_abroad, recorded_at, salt)
      select ${dataset}, purpose, subject, status, at, by_parent, covers_transfer_abroad, ${recordedAt}::timestamptz, salt
      from input
      on conflict (dataset, purpose, subject) do update set
        status = excluded.status, at = excluded.at, by_parent = excluded.by_parent,
        covers_transfer_abroad = excluded.covers_transfer_abroad, recorded_at = excluded.recorded_at,
        salt = coalesce(c.salt, excluded.salt)
        where excluded.at >= c.at
      returning c.purpose, c.subject, c.status, c.at, c.by_parent, c.covers_transfer_abroad, c.salt
    ), delta as (
      select purpose, sum(n) filter (where status = 'given') as given,
        sum(n) filter (where status = 'refused') as refused,
        sum(n) filter (where status = 'withdrawn') as withdrawn,
        sum(n) filter (where status = 'given' and by_parent) as given_by_parent,
        sum(n) filter (where status = 'given' and covers_transfer_abroad) as given_covering_transfer,
        max(at) filter (where status = 'withdrawn' and n = 1) as last_withdrawal_at
      from (
        select purpose, status, by_parent, covers_transfer_abroad, at, 1 as n from written
        union all
        select b.purpose, b.status, b.by_parent, b.covers_transfer_abroad, b.at, -1
        from before b join written w using (purpose, subject)
      ) changes group by purpose
    ), totals as (
      insert into consent_total as t (dataset, purpose, given, refused, withdrawn, given_by_parent,
        given_covering_transfer, last_withdrawal_at)
      select ${dataset}, purpose, coalesce(given, 0), coalesce(refused, 0), coalesce(withdrawn, 0),
        coalesce(given_by_parent, 0), coalesce(given_covering_transfer, 0), last_withdrawal_at
      from delta order by purpose
      on conflict (dataset, purpose) do update set
        given = t.given + excluded.given, refused = t.refused + excluded.refused,
        withdrawn = t.withdrawn + excluded.withdrawn,
        given_by_parent = t.given_by_parent + excluded.given_by_parent,
        given_covering_transfer = t.given_covering_transfer + excluded.given_covering_transfer,
        last_withdrawal_at = greatest(t.last_withdrawal_at, excluded.last_withdrawal_at)
    )
    select i.purpose, i.subject, w.salt
    from input i left join written w on w.purpose = i.purpose and w.subject = i.subject
    order by i.n`.execute(tx);
  return {
    older: rows.filter(({ salt }) => salt === null).slice(0, 100),
    salts: rows.flatMap(({ salt }) => salt ?? []),
  };
}

/**
 * Serialises the writers of one dataset's records: the totals are sums of what each one changed,
 * which holds only if none reads a record that another is changing.
 */
export async function lockDataset(tx: Tx, dataset: string): Promise<void> {
  await tx.selectFrom('dataset').select('id').where('id', '=', dataset).forUpdate().execute();
}

/** Totals of these datasets, by purpose. */
export async function readTotals(
  db: Db,
  datasets: readonly string[],
): Promise<(ConsentTotal & { dataset: string })[]> {
  if (datasets.length === 0) return [];
  return db
    .selectFrom('consent_total')
    .selectAll()
    .where('dataset', 'in', datasets)
    .orderBy('dataset')
    .orderBy('purpose')
    .execute();
}

/** Keeps what an event made of the totals of these purposes. Call it with the dataset locked. */
export async function keepTotals(
  tx: Tx,
  { dataset, purposes }: { readonly dataset: string; readonly purposes: readonly string[] },
  event: { readonly event_id: string; readonly at: string },
): Promise<void> {
  await sql`
    insert into consent_total_version (dataset, purpose, at, event_id, given, refused, withdrawn,
      given_by_parent, given_covering_transfer, last_withdrawal_at)
    select dataset, purpose, ${event.at}::timestamptz, ${event.event_id}::uuid, given, refused, withdrawn,
      given_by_parent, given_covering_transfer, last_withdrawal_at
    from consent_total where dataset = ${dataset} and purpose = any(${[...purposes]}::text[])
    order by purpose`.execute(tx);
}

/**
 * Totals of these datasets as they were, by purpose; and the datasets of which it is not known,
 * since their totals were not kept at that time.
 */
export async function readTotalsAt(
  db: Db,
  datasets: readonly string[],
  { time, event_id, side }: Moment,
): Promise<{
  readonly totals: (ConsentTotal & { dataset: string })[];
  readonly unknown: string[];
}> {
  if (datasets.length === 0) return { totals: [], unknown: [] };
  const { rows: totals } = await sql<ConsentTotal & { dataset: string }>`
    with event as materialized (
      select dataset, min(id) as first, max(id) as last from consent_total_version
      where event_id = ${event_id} group by dataset
    )
    select distinct on (v.dataset, v.purpose) v.dataset, v.purpose, v.given, v.refused, v.withdrawn,
      v.given_by_parent, v.given_covering_transfer, v.last_withdrawal_at
    from consent_total_version v left join event on event.dataset = v.dataset
    where v.dataset = any(${[...datasets]}::text[])
      and case when event.dataset is null then v.at <= ${time}::timestamptz
        else ${side === 'before' ? sql`v.id < event.first` : sql`v.id <= event.last`} end
    order by v.dataset, v.purpose, v.id desc`.execute(db);
  const unkept = await db
    .selectFrom('consent_total_version')
    .select('dataset')
    .distinct()
    .where('dataset', 'in', datasets)
    .where('event_id', 'is', null)
    .where('at', '>', time)
    .execute();
  return { totals, unknown: unkept.map(({ dataset }) => dataset) };
}

export interface RecordFilter {
  readonly purpose?: string | undefined;
  readonly status?: ConsentStatus | undefined;
  readonly after?: { readonly purpose: string; readonly subject: string } | undefined;
}

/** Records of a dataset by purpose and subject. */
export async function readRecords(
  db: Db,
  dataset: string,
  filter: RecordFilter,
  limit: number,
): Promise<StoredRecord[]> {
  let query = db
    .selectFrom('consent_record')
    .select([
      'purpose',
      'subject',
      'status',
      'at',
      'by_parent',
      'covers_transfer_abroad',
      'recorded_at',
    ])
    .where('dataset', '=', dataset)
    .orderBy('purpose')
    .orderBy('subject')
    .limit(limit);
  if (filter.purpose !== undefined) query = query.where('purpose', '=', filter.purpose);
  if (filter.status !== undefined) query = query.where('status', '=', filter.status);
  if (filter.after) {
    const { purpose, subject } = filter.after;
    query = query.where(sql<boolean>`(purpose, subject) > (${purpose}, ${subject})`);
  }
  return query.execute();
}
