import { type Selectable, sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';
import type { ImpactChangeTable, ImpactTable } from '../db/schema.ts';
import type { Tally, TurnedRequest } from './impact.ts';

export type Impact = Selectable<ImpactTable>;
export type ImpactFailure = NonNullable<Impact['failure']>;

export async function insertImpact(
  tx: Tx,
  { transitions, ...row }: Impact & { readonly status: 'running' },
): Promise<void> {
  await tx
    .insertInto('impact')
    .values({ ...row, transitions: JSON.stringify(transitions) })
    .execute();
}

export async function readImpact(db: Db, id: string): Promise<Impact | undefined> {
  return db.selectFrom('impact').selectAll().where('id', '=', id).executeTakeFirst();
}

/**
 * Says how far a run is.
 * @returns false when it is not running any more: whoever works on it stops.
 */
export async function updateImpact(
  db: Db,
  id: string,
  {
    transitions,
    ...changed
  }: Partial<Tally> &
    Partial<Pick<Impact, 'status' | 'failure' | 'total' | 'finished_at' | 'heartbeat_at'>>,
): Promise<boolean> {
  const result = await db
    .updateTable('impact')
    .set({ ...changed, ...(transitions && { transitions: JSON.stringify(transitions) }) })
    .where('id', '=', id)
    .where('status', '=', 'running')
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Runs that nobody has worked on since `silentSince` fail, so that none runs for ever. */
export async function failAbandoned(
  db: Db,
  { silentSince, now }: { readonly silentSince: string; readonly now: string },
): Promise<void> {
  await db
    .updateTable('impact')
    .set({ status: 'failed', failure: 'abandoned', finished_at: now })
    .where('status', '=', 'running')
    .where('heartbeat_at', '<', silentSince)
    .execute();
}

/** Removes runs that were started before `before`, with what they found. */
export async function forgetImpacts(db: Db, before: string): Promise<void> {
  await db.deleteFrom('impact').where('created_at', '<', before).execute();
}

export async function insertImpactChanges(
  db: Db,
  impact: string,
  turned: readonly TurnedRequest[],
): Promise<void> {
  if (turned.length === 0) return;
  const rows = turned.map((each) => ({ impact, ...each }));
  await sql`
    insert into impact_change (impact, access_request, recorded, "from", "to", rules_added, rules_removed, more_permitted)
    select impact, access_request, recorded, "from", "to", rules_added, rules_removed, more_permitted
    from json_populate_recordset(null::impact_change, ${JSON.stringify(rows)}::json)`.execute(db);
}

export type ImpactChange = Omit<Selectable<ImpactChangeTable>, 'impact'> & {
  readonly dataset: string;
  readonly project: string;
};

export interface ImpactChangeFilter {
  readonly from?: ImpactChange['from'] | undefined;
  readonly to?: ImpactChange['to'] | undefined;
  readonly after?: string | undefined;
}

/** What a run found, in the order of the requests. */
export async function readImpactChanges(
  db: Db,
  impact: string,
  { from, to, after }: ImpactChangeFilter,
  limit: number,
): Promise<ImpactChange[]> {
  let query = db
    .selectFrom('impact_change')
    .innerJoin('access_request', 'access_request.id', 'impact_change.access_request')
    .select([
      'impact_change.access_request',
      'access_request.dataset',
      'access_request.project',
      'impact_change.recorded',
      'impact_change.from',
      'impact_change.to',
      'impact_change.rules_added',
      'impact_change.rules_removed',
      'impact_change.more_permitted',
    ])
    .where('impact_change.impact', '=', impact)
    .orderBy('impact_change.access_request')
    .limit(limit);
  if (from !== undefined) query = query.where('impact_change.from', '=', from);
  if (to !== undefined) query = query.where('impact_change.to', '=', to);
  if (after !== undefined) query = query.where('impact_change.access_request', '>', after);
  return query.execute();
}

/**
 * Where to cut the recorded requests, of one publisher's datasets or of all, into parts of `size`:
 * the last id of each part, and how many there are up to it.
 */
export async function readCuts(
  db: Db,
  publisher: string | null,
  size: number,
): Promise<{ id: string; upTo: number }[]> {
  const { rows } = await sql<{ id: string; upTo: number }>`
    select id, n as "upTo" from (
      select id, row_number() over (order by id) as n, lead(id) over (order by id) is null as is_last
      from access_request
      where ${publisher}::text is null
        or dataset in (select dataset.id from dataset where dataset.publisher = ${publisher})
    ) numbered where n % ${size} = 0 or is_last order by n`.execute(db);
  return rows;
}
