import { type RawBuilder, sql, type Updateable } from 'kysely';
import { surelyAfter, surelyBefore } from '../audit/moment.ts';
import { writtenBy } from '../audit/store.ts';
import type { Db } from '../db/connection.ts';
import type { CutOffTable, ImpactTable } from '../db/schema.ts';

/** The tables of runs; a row each, which says how far it is. */
export type RunTable = 'impact' | 'cut_off';
type RunRow = Updateable<ImpactTable> | Updateable<CutOffTable>;

/** What of a run is in the database while it is worked on, beside what was found. */
export interface Progress {
  readonly heartbeat_at?: string;
  readonly total?: number;
  readonly status?: 'done' | 'failed';
  readonly failure?: 'service_stopped' | 'abandoned' | 'error';
  readonly finished_at?: string;
}

/**
 * Says how far a run is.
 * @returns false when it is not running any more: whoever works on it stops.
 */
export async function updateRun(
  db: Db,
  table: RunTable,
  id: string,
  changed: RunRow,
): Promise<boolean> {
  const result = await db
    .updateTable(table)
    .set(changed)
    .where('id', '=', id)
    .where('status', '=', 'running')
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Runs that nobody has worked on since `silentSince` fail, so that none runs for ever. */
export async function failAbandoned(
  db: Db,
  table: RunTable,
  { silentSince, now }: { readonly silentSince: string; readonly now: string },
): Promise<void> {
  await db
    .updateTable(table)
    .set({ status: 'failed', failure: 'abandoned', finished_at: now })
    .where('status', '=', 'running')
    .where('heartbeat_at', '<', silentSince)
    .execute();
}

/** Removes runs that were started before `before`, with what they found. */
export async function forgetRuns(db: Db, before: string): Promise<void> {
  await db.deleteFrom('impact').where('created_at', '<', before).execute();
  await db.deleteFrom('cut_off').where('created_at', '<', before).execute();
}

/** Which of what was decided: all, of one publisher's datasets, or that name one of some things. */
export interface Scope {
  readonly publisher?: string | null;
  readonly dataset?: string;
  readonly agreement?: string;
  readonly projects?: readonly string[];
  readonly organisations?: readonly string[];
  /** Only those that were permitted by then. RFC 3339. */
  readonly permittedBy?: string;
  /** That time is this event's: those count as well that the log has before it. Clocks differ. */
  readonly beforeEvent?: string;
}

/** The requests that were made, as rows `r`: those of which it is still known what was asked. */
export const REQUESTS: RawBuilder<unknown> = sql`(select * from access_request where request <> '{}') r`;

/** The agreement that an evaluation was for; beside its facts where they were erased. */
export const AGREEMENT_OF_EVALUATION: RawBuilder<string | null> = sql<
  string | null
>`coalesce(document::jsonb #>> '{facts,request,agreement,id}', document::jsonb ->> 'agreement')`;

/**
 * The requests, and the evaluations of the decision point, as rows `r`; an evaluation has no
 * `request`, and its id is that of its decision.
 */
export const REQUESTS_AND_EVALUATIONS: RawBuilder<unknown> = sql`(
  select id, decision, dataset, project, agreement, effect, created_at, request, false as is_evaluation
  from access_request
  union all
  select id, id, dataset, project, ${AGREEMENT_OF_EVALUATION}, effect, created_at, null, true
  from decision where evaluation) r`;

/** The condition on such rows `r`. */
export function inScope(scope: Scope): RawBuilder<boolean> {
  const { publisher, dataset, agreement, projects, organisations, permittedBy } = scope;
  const conditions = [
    sql`true`,
    ...(publisher
      ? [sql`r.dataset in (select id from dataset where publisher = ${publisher})`]
      : []),
    ...(dataset === undefined ? [] : [sql`r.dataset = ${dataset}`]),
    ...(agreement === undefined ? [] : [sql`r.agreement = ${agreement}`]),
    ...(projects ? [sql`r.project = any(${[...projects]}::text[])`] : []),
    // A project that was changed since may have been another organisation's then.
    ...(organisations
      ? [
          sql`r.project in (select id from project where organisation = any(${[...organisations]}::text[])
            or updated_at >= ${permittedBy && surelyBefore(permittedBy)}::timestamptz)`,
        ]
      : []),
    ...(permittedBy === undefined
      ? []
      : [sql`r.effect = 'permit'`, wasThere(scope.beforeEvent, permittedBy)]),
  ];
  return sql<boolean>`${sql.join(conditions, sql` and `)}`;
}

function wasThere(event: string | undefined, time: string): RawBuilder<boolean> {
  const byTime = sql<boolean>`r.created_at <= ${time}::timestamptz`;
  if (event === undefined) return byTime;
  // By a clock that is ahead they are later; the log is asked for the few of about that time. One
  // that was decided while the event was being written may be on either side of it there.
  return sql<boolean>`(${byTime} or (r.created_at <= ${surelyAfter(time)}::timestamptz and (
    select ${writtenBy({ time, event_id: event }, 'd.event_id', 'd.created_at')}
    from decision d where d.id = r.decision)))`;
}

/**
 * Where to cut such rows into parts of `size`: the last id of each part, and how many there are up
 * to it.
 */
export async function readCuts(
  db: Db,
  { of, scope }: { readonly of: RawBuilder<unknown>; readonly scope: Scope },
  size: number,
): Promise<{ id: string; upTo: number }[]> {
  const { rows } = await sql<{ id: string; upTo: number }>`
    select id, n as "upTo" from (
      select id, row_number() over (order by id) as n, lead(id) over (order by id) is null as is_last
      from ${of} where ${inScope(scope)}
    ) numbered where n % ${size} = 0 or is_last order by n`.execute(db);
  return rows;
}
