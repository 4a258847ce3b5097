import { CompiledQuery, sql } from 'kysely';
import type { SealedEvent } from '../audit/event.ts';
import { appendFrom, CURRENT_ORIGIN } from '../audit/store.ts';
import { bytesArray, textArray, uuidArray } from '../db/arrays.ts';
import type { Db, Tx } from '../db/connection.ts';
import { type DecisionText, referencesIn, wholeOf } from './decision.ts';
import { claimFrom, type IdempotentCall } from '../idempotency.ts';

export interface DecisionRow {
  readonly id: string;
  readonly simulation: boolean;
  readonly effect: 'permit' | 'deny' | 'review';
  readonly dataset: string | null;
  readonly project: string | null;
  readonly created_by: string;
  readonly created_at: string;
  /** Canonical JSON (RFC 8785) of a `StoredDecision`, whole; JSON without its facts where they were erased. */
  readonly document: string;
  readonly facts_erased: boolean;
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

export type Register = 'dataset' | 'project' | 'organisation' | 'agreement' | 'pack';

/** The name of what a register said of a thing, with all that hangs on it, at some moment. */
export interface Revision {
  readonly register: Register;
  readonly id: string;
  readonly revision: string;
}

/** Revisions of these things, of their projects' organisations and of what is in force; held. */
export async function holdRevisions(
  tx: Tx,
  things: Readonly<Record<'datasets' | 'projects' | 'agreements', readonly string[]>>,
): Promise<Revision[]> {
  const { rows } = await sql<Revision>`
    select register, id, revision from register_revision
    where register = 'pack'
      or register = 'dataset' and id = any(${things.datasets}::text[])
      or register = 'project' and id = any(${things.projects}::text[])
      or register = 'agreement' and id = any(${things.agreements}::text[])
      or register = 'organisation' and id = any(array(
        select organisation from project where id = any(${things.projects}::text[])))
    for share`.execute(tx);
  return rows;
}

export async function insertDecision(
  tx: Tx,
  row: Omit<DecisionRow, 'facts_erased'>,
): Promise<void> {
  await tx.insertInto('decision').values(row).execute();
}

/** A request to be made: with its decision, its event, the claim of its key, and what it rests on. */
export interface NewAccessRequest {
  /** Where its id is that of the decision, it is an evaluation, and no request is made. */
  readonly request: AccessRequestRow;
  /** Whose project it is. */
  readonly organisation: string;
  readonly document: DecisionText;
  /** Evaluations that one event is about are made together or not at all. */
  readonly event: SealedEvent;
  /** Only a request has one, and an event of its own. */
  readonly idempotent: IdempotentCall | undefined;
  /** Revisions of dataset, project, organisation, agreement and pack that were decided on. */
  readonly basis: readonly Revision[];
}

// `held` comes first: each row is locked as it is now, not as it was when the statement began, and
// is there only if it still has that revision. Everything that is written depends on it.
const MAKE = `
  with input as materialized (
    select i.*, $1::timestamptz as time
    from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
      $10::text[], $11::text[], $12::text[], $13::text[], $14::uuid[], $15::text[], $16::text[], $32::text[])
      as i (id, decision, dataset, dataset_version, project, organisation, agreement, purpose,
        request, effect, created_by, document, event_id, key, request_sha256, type)
  ), new_part as (
    insert into decision_part (sha256, text) select * from unnest($17::bytea[], $18::text[])
    on conflict do nothing
  ), held as materialized (
    select r.register, r.id
    from register_revision r join unnest($19::text[], $20::text[], $21::uuid[]) as b (register, id, revision)
      on r.register = b.register and r.id = b.id and r.revision = b.revision
    for share of r
  ), changed as materialized (
    select event_id from input
    where not exists (select from held where register = 'pack')
      or dataset not in (select id from held where register = 'dataset')
      or project not in (select id from held where register = 'project')
      or organisation not in (select id from held where register = 'organisation')
      or agreement is not null and agreement not in (select id from held where register = 'agreement')
  ), holding as materialized (
    select * from input where event_id not in (select event_id from changed)
  ), claimed as (
    ${claimFrom('holding')}
  ), made as materialized (
    select * from holding where key is null or id::text in (select resource from claimed)
  ), new_decision as (
    insert into decision (id, simulation, evaluation, effect, dataset, project, created_by, created_at, document, event_id)
    select decision, false, id = decision, effect, dataset, project, created_by, time, document, event_id from made
  ), new_request as (
    insert into access_request (id, dataset, dataset_version, project, agreement, purpose, request, decision,
      effect, created_at, created_by)
    select id, dataset, dataset_version::integer, project, agreement, purpose, request::jsonb, decision,
      effect, time, created_by from made where id <> decision
  ), made_event as materialized (
    select e.*, $1::timestamptz as time, array(select json_array_elements_text(subjects::json)) as subject_ids
    from unnest($22::uuid[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::bytea[],
      $29::bytea[], $30::bytea[], $31::text[])
      as e (event_id, type, actor, role, outcome, subjects, leaf, leaf_hash, body, disclosures)
    where event_id in (select event_id from made)
  ), ${appendFrom('made_event')}
  select id, ${CURRENT_ORIGIN} as origin from made`;

/**
 * Makes those requests whose basis still holds and whose Idempotency-Key is free, whole or not at
 * all, in one statement: outside a transaction that is one round trip and one commit. Returns
 * their ids, each with the origin of the log that its event is for. All are of one moment: the
 * first one's.
 */
export async function makeAccessRequests(
  db: Db,
  made: readonly NewAccessRequest[],
): Promise<ReadonlyMap<string, string>> {
  const texts = (of: (each: NewAccessRequest) => string | null): Buffer =>
    textArray(made.map((each) => of(each)));
  const uuids = (of: (each: NewAccessRequest) => string): Buffer =>
    uuidArray(made.map((each) => of(each)));
  const events = [...new Set(made.map(({ event }) => event))];
  const textsOf = (of: (event: SealedEvent) => string): Buffer =>
    textArray(events.map((event) => of(event)));
  const bytesOf = (of: (event: SealedEvent) => Buffer): Buffer =>
    bytesArray(events.map((event) => of(event)));
  const basis = [
    ...new Map(made.flatMap((each) => each.basis).map((each) => [each.revision, each])),
  ];
  // In one order, whoever writes them: two batches with the same new ones wait, and never in a
  // circle. In a repeatable read transaction a part that another has just written gives 40001.
  const parts = [
    ...new Map(
      made.flatMap(({ document }) =>
        document.parts.map(({ sha256, text }) => [sha256, text] as const),
      ),
    ),
  ].toSorted(([one], [other]) => (one < other ? -1 : 1));
  const parameters = [
    made[0]?.request.created_at,
    uuids(({ request }) => request.id),
    uuids(({ request }) => request.decision),
    texts(({ request }) => request.dataset),
    texts(({ request }) => String(request.dataset_version)),
    texts(({ request }) => request.project),
    texts(({ organisation }) => organisation),
    texts(({ request }) => request.agreement),
    texts(({ request }) => request.purpose),
    texts(({ request: { id, decision, request } }) =>
      id === decision ? '{}' : JSON.stringify(request),
    ),
    texts(({ request }) => request.effect),
    texts(({ request }) => request.created_by),
    texts(({ document }) => document.kept),
    uuids(({ event }) => event.event_id),
    texts(({ idempotent }) => idempotent?.key ?? null),
    texts(({ idempotent }) => idempotent?.request_sha256 ?? null),
    bytesArray(parts.map(([hash]) => Buffer.from(hash, 'hex'))),
    textArray(parts.map(([, text]) => text)),
    textArray(basis.map(([, { register }]) => register)),
    textArray(basis.map(([, { id }]) => id)),
    uuidArray(basis.map(([revision]) => revision)),
    uuidArray(events.map(({ event_id }) => event_id)),
    textsOf(({ type }) => type),
    textsOf(({ actor }) => actor),
    textsOf(({ role }) => role),
    textsOf(({ outcome }) => outcome),
    textsOf(({ subject_ids }) => JSON.stringify(subject_ids)),
    bytesOf(({ leaf }) => leaf),
    bytesOf(({ leaf_hash }) => leaf_hash),
    bytesOf(({ body }) => body),
    textsOf(({ disclosures }) => disclosures),
    texts(({ idempotent }) => idempotent?.operation ?? null),
  ];
  const { rows } = await db.executeQuery<{ id: string; origin: string }>(
    CompiledQuery.raw(MAKE, parameters),
  );
  return new Map(rows.map(({ id, origin }) => [id, origin]));
}

export async function readDecision(db: Db, id: string): Promise<DecisionRow | undefined> {
  const rows = await db.selectFrom('decision').selectAll().where('id', '=', id).execute();
  return (await withWhole(db, rows))[0];
}

export async function readAccessRequest(db: Db, id: string): Promise<AccessRequestRow | undefined> {
  return db.selectFrom('access_request').selectAll().where('id', '=', id).executeTakeFirst();
}

/**
 * Requests with what was decided of them, oldest first: of one publisher's datasets, or of all;
 * not those whose facts were erased.
 */
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
    .where('decision.facts_erased', '=', false)
    .orderBy('access_request.id')
    .limit(limit);
  if (after !== null) query = query.where('access_request.id', '>', after);
  if (upTo !== null) query = query.where('access_request.id', '<=', upTo);
  if (publisher !== null) {
    query = query
      .innerJoin('dataset', 'dataset.id', 'access_request.dataset')
      .where('dataset.publisher', '=', publisher);
  }
  return withWhole(db, await query.execute());
}

/**
 * Rows with their documents whole. `whole_document` gives the same to whoever looks at the database;
 * for many it takes ten times as long.
 */
async function withWhole<Row extends { readonly document: string }>(
  db: Db,
  rows: readonly Row[],
): Promise<Row[]> {
  const references = rows.flatMap(({ document }) => referencesIn(document));
  const parts = await readParts(
    db,
    references.map(({ sha256 }) => sha256),
  );
  return rows.map((row) => ({
    ...row,
    document: wholeOf(row.document, (sha256) => parts.get(sha256)),
  }));
}

/** Texts of parts by their hashes, as far as they are there. */
async function readParts(db: Db, hashes: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const { rows } = await sql<{ sha256: string; text: string }>`
    select encode(sha256, 'hex') as sha256, text from decision_part
    where sha256 in (select decode(hash, 'hex') from unnest(${[...new Set(hashes)]}::text[]) hash)`.execute(
    db,
  );
  return new Map(rows.map(({ sha256, text }) => [sha256, text]));
}

/** A request that was permitted, and until when. */
export interface PermittedRequest {
  readonly id: string;
  readonly project: string;
  readonly agreement: string | null;
  readonly purpose: string;
  readonly decision: string;
  readonly created_at: string;
  readonly created_by: string;
  readonly event_id: string;
  /** Last day, `YYYY-MM-DD`; null where nothing that it rests on ends. */
  readonly until: string | null;
}

/**
 * Requests for a dataset that were permitted on or before a day, the newest first, ended ones
 * included. @param on the day in the time zone `zone`.
 */
export async function readPermitted(
  db: Db,
  {
    dataset,
    on,
    zone,
    before,
  }: {
    readonly dataset: string;
    readonly on: string;
    readonly zone: string;
    readonly before: string | undefined;
  },
  limit: number,
): Promise<PermittedRequest[]> {
  const { rows } = await sql<PermittedRequest>`
    select r.id, r.project, r.agreement, r.purpose, r.decision, r.created_at, r.created_by, d.event_id,
      d.document::jsonb #>> '{expiry,date}' as until
    from access_request r join decision d on d.id = r.decision
    where r.dataset = ${dataset} and r.effect = 'permit'
      and (r.created_at at time zone ${zone})::date <= ${on}::date
      ${before === undefined ? sql`` : sql`and r.id < ${before}`}
    order by r.id desc limit ${limit}`.execute(db);
  return rows;
}

/** An access that was permitted: the newest of the requests that asked for the very same. */
export interface PermittedAccess {
  readonly id: string;
  readonly dataset: string;
  readonly project: string;
  readonly agreement: string | null;
  readonly decision: string;
  readonly event_id: string;
  readonly created_at: string;
  /** How many requests asked for it and were permitted. */
  readonly requests: number;
  /** Canonical JSON of a `StoredDecision`. */
  readonly document: string;
}

/**
 * What was permitted of a publisher's datasets, ended or not, by dataset and project, where what it
 * was decided from is still known.
 */
export async function readPermittedAccess(
  db: Db,
  { publisher, dataset }: { readonly publisher: string; readonly dataset: string | undefined },
  limit: number,
): Promise<PermittedAccess[]> {
  const { rows } = await sql<PermittedAccess>`
    select distinct on (r.dataset, r.project, r.agreement, r.request) r.id, r.dataset, r.project,
      r.agreement, r.decision, d.event_id, r.created_at, d.document,
      count(*) over (partition by r.dataset, r.project, r.agreement, r.request) as requests
    from access_request r join decision d on d.id = r.decision join dataset s on s.id = r.dataset
    where s.publisher = ${publisher} and r.effect = 'permit' and not d.facts_erased
      ${dataset === undefined ? sql`` : sql`and r.dataset = ${dataset}`}
    order by r.dataset, r.project, r.agreement, r.request, r.id desc limit ${limit}`.execute(db);
  return withWhole(db, rows);
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
