import { sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';

export interface DecisionRow {
  readonly id: string;
  readonly simulation: boolean;
  readonly effect: 'permit' | 'deny' | 'review';
  readonly dataset: string | null;
  readonly project: string | null;
  readonly created_by: string;
  readonly created_at: string;
  /** Canonical JSON (RFC 8785) of a `StoredDecision`. */
  readonly document: string;
  readonly event_id: string;
}

export interface AccessRequestRow {
  readonly id: string;
  readonly dataset: string;
  readonly dataset_version: number;
  readonly project: string;
  readonly agreement: string | null;
  readonly purpose: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly decision: string;
  readonly effect: 'permit' | 'deny' | 'review';
  readonly created_at: string;
  readonly created_by: string;
}

/** Writes decisions; one statement with one parameter however many, so that its plan is kept. */
export async function insertDecisions(tx: Tx, rows: readonly DecisionRow[]): Promise<void> {
  await sql`
    insert into decision (id, simulation, effect, dataset, project, created_by, created_at, document, event_id)
    select id, simulation, effect, dataset, project, created_by, created_at, document, event_id
    from json_populate_recordset(null::decision, ${JSON.stringify(rows)}::json)`.execute(tx);
}

/** Writes requests, as `insertDecisions` does. */
export async function insertAccessRequests(
  tx: Tx,
  rows: readonly AccessRequestRow[],
): Promise<void> {
  await sql`
    insert into access_request (id, dataset, dataset_version, project, agreement, purpose, request, decision,
      effect, created_at, created_by)
    select id, dataset, dataset_version, project, agreement, purpose, request, decision, effect, created_at, created_by
    from json_populate_recordset(null::access_request, ${JSON.stringify(rows)}::json)`.execute(tx);
}

export async function readDecision(db: Db, id: string): Promise<DecisionRow | undefined> {
  return db.selectFrom('decision').selectAll().where('id', '=', id).executeTakeFirst();
}

export async function readAccessRequest(db: Db, id: string): Promise<AccessRequestRow | undefined> {
  return db.selectFrom('access_request').selectAll().where('id', '=', id).executeTakeFirst();
}

/** Requests with what was decided of them, oldest first: of one publisher's datasets, or of all. */
export async function readRecorded(
  db: Db,
  {
    publisher,
    after,
    upTo,
  }: {
    readonly publisher: string | null;
    readonly after: string | null;
    readonly upTo: string | null;
  },
  limit: number,
): Promise<{ id: string; effect: DecisionRow['effect']; document: string }[]> {
  let query = db
    .selectFrom('access_request')
    .innerJoin('decision', 'decision.id', 'access_request.decision')
    .select(['access_request.id', 'access_request.effect', 'decision.document'])
    .orderBy('access_request.id')
    .limit(limit);
  if (after !== null) query = query.where('access_request.id', '>', after);
  if (upTo !== null) query = query.where('access_request.id', '<=', upTo);
  if (publisher !== null) {
    query = query
      .innerJoin('dataset', 'dataset.id', 'access_request.dataset')
      .where('dataset.publisher', '=', publisher);
  }
  return query.execute();
}

export interface AccessRequestFilter {
  readonly dataset?: string | undefined;
  readonly project?: string | undefined;
  readonly effect?: 'permit' | 'deny' | 'review' | undefined;
  /** Only these projects (a partner's own). */
  readonly projects?: readonly string[] | undefined;
  /** Only datasets of this publisher (a steward's own). */
  readonly publisher?: string | undefined;
  readonly before?: string | undefined;
}

/** Requests, newest first; without what the caller sent. */
export async function readAccessRequests(
  db: Db,
  filter: AccessRequestFilter,
  limit: number,
): Promise<Omit<AccessRequestRow, 'request'>[]> {
  let query = db
    .selectFrom('access_request')
    .select([
      'id',
      'dataset',
      'dataset_version',
      'project',
      'agreement',
      'purpose',
      'decision',
      'effect',
      'created_at',
      'created_by',
    ])
    .orderBy('id', 'desc')
    .limit(limit);
  for (const column of ['dataset', 'project', 'effect'] as const) {
    const value = filter[column];
    if (value !== undefined) query = query.where(column, '=', value);
  }
  const { projects, publisher, before } = filter;
  if (projects !== undefined)
    query = query.where('project', 'in', projects.length > 0 ? projects : ['']);
  if (publisher !== undefined) {
    query = query.where('dataset', 'in', (inner) =>
      inner.selectFrom('dataset').select('dataset.id').where('dataset.publisher', '=', publisher),
    );
  }
  if (before !== undefined) query = query.where('id', '<', before);
  return query.execute();
}
