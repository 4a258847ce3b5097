import { type Insertable, type Selectable, sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';
import type { CutOffDecisionTable, CutOffTable } from '../db/schema.ts';
import type { CutOffTally, Fallen } from './cut-off.ts';
import {
  inScope,
  type Progress,
  AGREEMENT_OF_EVALUATION,
  REQUESTS_AND_EVALUATIONS,
  type Scope,
  updateRun,
} from './run-store.ts';
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

/** What was asked and permitted, and the last day of its answer. */
export interface PermittedInScope {
  readonly id: string;
  readonly decision: string;
  readonly is_evaluation: boolean;
  readonly dataset: string;
  readonly project: string;
  readonly agreement: string | null;
  /** What the caller sent; of an evaluation all facts of the request. Empty or null once erased. */
  readonly request: Readonly<Record<string, unknown>>;
  readonly facts_erased: boolean;
  /** `YYYY-MM-DD`; null where nothing that it rests on ends. */
  readonly until: string | null;
}

/** Permitted requests and evaluations of a scope, oldest first. */
export async function readPermittedInScope(
  db: Db,
  scope: Scope,
  { after, upTo }: Range,
  limit: number,
): Promise<PermittedInScope[]> {
  const { rows } = await sql<PermittedInScope>`
    select r.id, r.decision, r.is_evaluation, r.dataset, r.project, r.agreement,
      coalesce(r.request, d.document::jsonb #> '{facts,request}') as request,
      d.facts_erased, d.document::jsonb #>> '{expiry,date}' as until
    from ${REQUESTS_AND_EVALUATIONS} join decision d on d.id = r.decision
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
    insert into cut_off_decision (run, access_request, decision, outcome, effect, rules, rules_removed, refusal, until)
    select run, access_request, decision, outcome, effect, rules, rules_removed, refusal, until
    from json_populate_recordset(null::cut_off_decision, ${JSON.stringify(rows)}::json)`.execute(
    db,
  );
}

type Outcome = CutOffDecisionTable['outcome'];

export type FallenDecision = Fallen & {
  readonly dataset: string;
  readonly project: string;
  readonly agreement: string | null;
  readonly purpose: string | null;
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
    readonly after: { readonly outcome: string; readonly decision: string } | undefined;
  },
  limit: number,
): Promise<FallenDecision[]> {
  const { rows } = await sql<FallenDecision>`
    select c.access_request, c.decision, d.dataset, d.project, d.created_at,
      coalesce(r.agreement, ${AGREEMENT_OF_EVALUATION}) as agreement,
      coalesce(nullif(r.purpose, ''), d.document::jsonb #>> '{facts,request,purpose}', d.document::jsonb ->> 'purpose') as purpose,
      c.outcome, c.effect, c.rules, c.rules_removed, c.refusal, c.until
    from cut_off_decision c join decision d on d.id = c.decision
      left join access_request r on r.id = c.access_request
    where c.run = ${run}
      ${outcome === undefined ? sql`` : sql`and c.outcome = ${outcome}`}
      ${after ? sql`and (c.outcome, c.decision) > (${after.outcome}, ${after.decision}::uuid)` : sql``}
    order by c.outcome, c.decision limit ${limit}`.execute(db);
  return rows;
}
