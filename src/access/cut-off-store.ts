import { type Insertable, type Selectable, sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';
import type { CutOffRequestTable, CutOffTable } from '../db/schema.ts';
import type { CutOffTally, Fallen } from './cut-off.ts';
import { inScope, type Progress, type Scope, updateRun } from './run-store.ts';
import type { Range } from './runs.ts';

export type CutOff = Selectable<CutOffTable>;

export async function insertCutOff(tx: Tx, row: Insertable<CutOffTable>): Promise<void> {
  await tx.insertInto('cut_off').values(row).execute();
}

export async function readCutOff(db: Db, id: string): Promise<CutOff | undefined> {
  return db.selectFrom('cut_off').selectAll().where('id', '=', id).executeTakeFirst();
}

/** Says how far a run is, as `updateRun` does. */
export function updateCutOff(
  db: Db,
  id: string,
  { rules, ...changed }: CutOffTally & Progress,
): Promise<boolean> {
  return updateRun(db, 'cut_off', id, { ...changed, rules: JSON.stringify(rules) });
}

/** A permitted request, as it was asked, and the last day of its answer. */
export interface PermittedInScope {
  readonly id: string;
  readonly dataset: string;
  readonly project: string;
  readonly agreement: string | null;
  readonly request: Readonly<Record<string, unknown>>;
  /** `YYYY-MM-DD`; null where nothing that it rests on ends. */
  readonly until: string | null;
}

/** Permitted requests of a scope, oldest first. */
export async function readPermittedInScope(
  db: Db,
  scope: Scope,
  { after, upTo }: Range,
  limit: number,
): Promise<PermittedInScope[]> {
  const { rows } = await sql<PermittedInScope>`
    select r.id, r.dataset, r.project, r.agreement, r.request,
      d.document::jsonb #>> '{expiry,date}' as until
    from access_request r join decision d on d.id = r.decision
    where ${inScope(scope)}
      ${after === null ? sql`` : sql`and r.id > ${after}`}
      ${upTo === null ? sql`` : sql`and r.id <= ${upTo}`}
    order by r.id limit ${limit}`.execute(db);
  return rows;
}

export async function insertFallen(db: Db, run: string, fallen: readonly Fallen[]): Promise<void> {
  if (fallen.length === 0) return;
  const rows = fallen.map((each) => ({ run, ...each }));
  await sql`
    insert into cut_off_request
    select * from json_populate_recordset(null::cut_off_request, ${JSON.stringify(rows)}::json)`.execute(
    db,
  );
}

type Outcome = CutOffRequestTable['outcome'];

export type FallenRequest = Fallen & {
  readonly dataset: string;
  readonly project: string;
  readonly agreement: string | null;
  readonly purpose: string;
  readonly decision: string;
  readonly created_at: string;
};

/** What fell in a run, by outcome, oldest first. */
export async function readFallen(
  db: Db,
  run: string,
  {
    outcome,
    after,
  }: {
    readonly outcome: Outcome | undefined;
    readonly after: { readonly outcome: string; readonly access_request: string } | undefined;
  },
  limit: number,
): Promise<FallenRequest[]> {
  const { rows } = await sql<FallenRequest>`
    select c.access_request, r.dataset, r.project, r.agreement, r.purpose, r.decision, r.created_at,
      c.outcome, c.effect, c.rules, c.rules_removed, c.refusal, c.until
    from cut_off_request c join access_request r on r.id = c.access_request
    where c.run = ${run}
      ${outcome === undefined ? sql`` : sql`and c.outcome = ${outcome}`}
      ${after ? sql`and (c.outcome, c.access_request) > (${after.outcome}, ${after.access_request}::uuid)` : sql``}
    order by c.outcome, c.access_request limit ${limit}`.execute(db);
  return rows;
}
