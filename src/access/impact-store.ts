import { type Selectable, sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';
import type { ImpactChangeTable, ImpactTable } from '../db/schema.ts';
import type { Tally, TurnedRequest } from './impact.ts';
import { type Progress, updateRun } from './run-store.ts';

export type Impact = Selectable<ImpactTable>;

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

/** Says how far a run is, as `updateRun` does. */
export function updateImpact(
  db: Db,
  id: string,
  { transitions, ...changed }: Tally & Progress,
): Promise<boolean> {
  return updateRun(db, 'impact', id, { ...changed, transitions: JSON.stringify(transitions) });
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
