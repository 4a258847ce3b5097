import { sql } from 'kysely';
import { boundBody } from '../audit/event.ts';
import { type Moment, surelyBefore } from '../audit/moment.ts';
import { readLastSaid } from '../audit/store.ts';
import type { Db, Tx } from '../db/connection.ts';
import { PARTIES, type Parties, type PartyInput, type PartyKind, type Reference } from './party.ts';

type Row<Kind extends PartyKind> = Parties[Kind];

/** The registers share `id` and `version`; statements that use nothing else fit each of them. */
function anyOf(kind: PartyKind): PartyKind {
  return kind;
}

export async function readParty<Kind extends PartyKind>(
  db: Db,
  kind: Kind,
  id: string,
): Promise<Row<Kind> | undefined> {
  const row = await db.selectFrom(anyOf(kind)).selectAll().where('id', '=', id).executeTakeFirst();
  return row;
}

/** Which rows of a register a caller's list holds; each filter narrows. */
export interface PartyFilter {
  readonly organisation?: string | undefined;
  /** Only what these organisations are in (a caller's own). */
  readonly ownOrganisations?: readonly string[] | undefined;
  readonly project?: string | undefined;
  /** Only these projects (a partner's own). */
  readonly projects?: readonly string[] | undefined;
  /** Only rows after this id. */
  readonly after?: string | undefined;
}

/** Rows of a register in the order of their ids. */
export async function readParties<Kind extends PartyKind>(
  db: Db,
  kind: Kind,
  filter: PartyFilter,
  limit: number,
): Promise<Row<Kind>[]> {
  let query = db.selectFrom(anyOf(kind)).selectAll().orderBy('id').limit(limit);
  if (filter.after !== undefined) query = query.where('id', '>', filter.after);
  for (const organisation of [filter.organisation ?? [], filter.ownOrganisations ?? []].flat()) {
    query = query.where(
      kind === 'agreement'
        ? sql<boolean>`signatories @> array[${organisation}]`
        : sql<boolean>`organisation = ${organisation}`,
    );
  }
  const own = kind === 'project' ? sql.ref('id') : sql.ref('project');
  if (filter.project !== undefined) query = query.where(sql<boolean>`${own} = ${filter.project}`);
  if (filter.projects !== undefined)
    query = query.where(sql<boolean>`${own} = any(${[...filter.projects]}::text[])`);
  return await query.execute();
}

/** @throws a unique violation when the id is taken. */
export async function insertParty<Kind extends PartyKind>(
  tx: Tx,
  kind: Kind,
  input: PartyInput<Kind>,
  now: string,
): Promise<Row<Kind>> {
  const row = { ...columns(kind, input), version: 1, created_at: now, updated_at: now };
  return (await tx
    .insertInto(anyOf(kind))
    .values(row as never)
    .returningAll()
    .executeTakeFirstOrThrow()) as Row<Kind>;
}

/** The row one version on; undefined when it is not at `version` any more. */
export async function updateParty<Kind extends PartyKind>(
  tx: Tx,
  kind: Kind,
  {
    input,
    version,
    now,
  }: { readonly input: PartyInput<Kind>; readonly version: number; readonly now: string },
): Promise<Row<Kind> | undefined> {
  const { id, ...rest } = columns(kind, input) as { id: string };
  const row = await tx
    .updateTable(anyOf(kind))
    .set({ ...rest, version: version + 1, updated_at: now } as never)
    .where('id', '=', id)
    .where('version', '=', version)
    .returningAll()
    .executeTakeFirst();
  return row;
}

function columns<Kind extends PartyKind>(
  kind: Kind,
  input: PartyInput<Kind>,
): Record<string, unknown> {
  const json: readonly string[] = PARTIES[kind].json;
  return Object.fromEntries(
    Object.entries(input).map(([key, value]) => [
      key,
      json.includes(key) && value !== null ? JSON.stringify(value) : value,
    ]),
  );
}

/** Those of the references that name nothing. */
export async function missingReferences(
  tx: Tx,
  references: readonly Reference[],
): Promise<Reference[]> {
  const missing: Reference[] = [];
  for (const table of new Set(references.map((reference) => reference.table))) {
    const wanted = references.filter((reference) => reference.table === table);
    const rows = await tx
      .selectFrom(table)
      .select('id')
      .where(
        'id',
        'in',
        wanted.map(({ id }) => id),
      )
      .execute();
    const found = new Set(rows.map(({ id }) => id));
    missing.push(...wanted.filter(({ id }) => !found.has(id)));
  }
  return missing;
}

/** What the authority knows of some projects: what a decision about them may read. */
export interface ProjectRecords {
  readonly projects: readonly Parties['project'][];
  readonly organisations: readonly Parties['organisation'][];
  readonly registrations: readonly Parties['registration'][];
  readonly authorisations: readonly Parties['authorisation'][];
}

/** Projects with their organisations, registrations and authorisations, revoked ones left out. */
export async function readProjectRecords(db: Db, ids: readonly string[]): Promise<ProjectRecords> {
  if (ids.length === 0)
    return { projects: [], organisations: [], registrations: [], authorisations: [] };
  const [projects, organisations, registrations, authorisations] = await Promise.all([
    db.selectFrom('project').selectAll().where('id', 'in', ids).execute(),
    db
      .selectFrom('organisation')
      .selectAll()
      .where('id', 'in', (inner) =>
        inner.selectFrom('project').select('organisation').where('project.id', 'in', ids),
      )
      .execute(),
    db
      .selectFrom('registration')
      .selectAll()
      .where('revoked', '=', false)
      .where('organisation', 'in', (inner) =>
        inner.selectFrom('project').select('project.organisation').where('project.id', 'in', ids),
      )
      .execute(),
    db
      .selectFrom('authorisation')
      .selectAll()
      .where('revoked', '=', false)
      .where('project', 'in', ids)
      .execute(),
  ]);
  return { projects, organisations, registrations, authorisations };
}

/** The agreements with these ids. */
export async function readAgreements(
  db: Db,
  ids: readonly string[],
): Promise<Parties['agreement'][]> {
  return ids.length === 0
    ? []
    : db.selectFrom('agreement').selectAll().where('id', 'in', ids).execute();
}

/** Rows of a register as they were, and those of today of which nobody can tell what they were. */
export interface PartiesAt<Kind extends PartyKind> {
  readonly rows: readonly Parties[Kind][];
  readonly unknown: readonly Parties[Kind][];
}

/** The rows with these ids as they were at a moment, those that were there. */
export async function readPartiesAt<Kind extends PartyKind>(
  db: Db,
  kind: Kind,
  ids: readonly string[],
  moment: Moment,
): Promise<PartiesAt<Kind>> {
  if (ids.length === 0) return { rows: [], unknown: [] };
  const rows = await db.selectFrom(anyOf(kind)).selectAll().where('id', 'in', ids).execute();
  return asTheyWere(db, kind, rows as unknown as Parties[Kind][], moment);
}

/**
 * Registrations of these organisations, or authorisations of these projects, as they were at a
 * moment, revoked ones left out.
 */
export async function readRecordsAt<Kind extends 'registration' | 'authorisation'>(
  db: Db,
  kind: Kind,
  owners: readonly string[],
  moment: Moment,
): Promise<PartiesAt<Kind>> {
  const owner = kind === 'registration' ? 'organisation' : 'project';
  const now = await db
    .selectFrom(anyOf(kind))
    .selectAll()
    // One that was changed since may have been another party's then.
    .where(
      sql<boolean>`${sql.ref(owner)} = any(${[...owners]}::text[]) or updated_at >= ${surelyBefore(moment.time)}::timestamptz`,
    )
    .execute();
  const { rows, unknown } = await asTheyWere(db, kind, now as unknown as Parties[Kind][], moment);
  const own = rows.filter(
    (row) =>
      !row.revoked && owners.includes(String((row as unknown as Record<string, unknown>)[owner])),
  );
  return { rows: own, unknown };
}

/** Types of events that have a party's or a record's whole row. */
export const PARTY_EVENTS: readonly string[] = [
  'Organisation',
  'Agreement',
  'Project',
  'Registration',
  'Authorisation',
].flatMap((name) => [`register${name}`, `change${name}`]);

/** Every event of a party has its whole row: what was changed since is read from those. */
async function asTheyWere<Kind extends PartyKind>(
  db: Db,
  kind: Kind,
  now: readonly Parties[Kind][],
  moment: Moment,
): Promise<PartiesAt<Kind>> {
  const since = Date.parse(moment.time);
  const unchangedSince = Date.parse(surelyBefore(moment.time));
  const changed = now.filter(({ updated_at }) => Date.parse(updated_at) >= unchangedSince);
  if (changed.length === 0) return { rows: now, unknown: [] };
  const name = kind.charAt(0).toUpperCase() + kind.slice(1);
  const types = [`register${name}`, `change${name}`];
  const said = await readLastSaid(db, { types, subjects: changed.map(({ id }) => id) }, moment);
  const then = said.flatMap((event) => (boundBody(event)?.[kind] as Parties[Kind]) ?? []);
  const known = new Set(then.map(({ id }) => id));
  return {
    rows: [...now.filter((row) => !changed.includes(row)), ...then],
    unknown: changed.filter(
      ({ id, created_at }) => !known.has(id) && Date.parse(created_at) < since,
    ),
  };
}
