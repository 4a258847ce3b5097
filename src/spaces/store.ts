import { sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';
import type { Properties } from './authzen.ts';
import type { Space, SpaceDocument } from './space.ts';

type Row = Omit<Space, 'document'> & { readonly document: string };

function spaces(db: Db) {
  return db
    .selectFrom('space')
    .innerJoin('space_version', (join) =>
      join
        .onRef('space_version.space', '=', 'space.id')
        .onRef('space_version.version', '=', 'space.version'),
    )
    .select([
      'id',
      'organisation',
      'status',
      'space.version',
      'entity_revision',
      'entities',
      'space.created_at',
      'updated_at',
      'document',
    ]);
}

function toSpace({ document, ...row }: Row): Space {
  return { ...row, document: JSON.parse(document) as SpaceDocument };
}

export async function readSpace(db: Db, id: string): Promise<Space | undefined> {
  const row = await spaces(db).where('id', '=', id).executeTakeFirst();
  return row && toSpace(row);
}

/** Active spaces in the order of their ids: those that an organisation keeps or may ask, or all. */
export async function readSpaces(
  db: Db,
  { organisation, after }: { readonly organisation: string | null; readonly after?: string },
  limit: number,
): Promise<Space[]> {
  let query = spaces(db).where('status', '=', 'active').orderBy('id').limit(limit);
  if (after !== undefined) query = query.where('id', '>', after);
  if (organisation !== null) {
    query = query.where(
      sql<boolean>`(organisation = ${organisation} or document::jsonb -> 'callers' ? ${organisation})`,
    );
  }
  return (await query.execute()).map(toSpace);
}

/** How far a space has come; undefined where there is none. */
export async function readSpaceState(
  db: Db,
  id: string,
): Promise<Pick<Space, 'status' | 'version' | 'entity_revision'> | undefined> {
  return db
    .selectFrom('space')
    .select(['status', 'version', 'entity_revision'])
    .where('id', '=', id)
    .executeTakeFirst();
}

/** @throws a unique violation when the id is taken; 23503 for an organisation that is not there. */
export async function insertSpace(tx: Tx, space: Omit<Space, 'document'>): Promise<void> {
  await tx.insertInto('space').values(space).execute();
}

/** Makes a space that is still at `version` the next one; false where it is not. */
export async function updateSpace(
  tx: Tx,
  { id, version, status, updated_at }: Pick<Space, 'id' | 'version' | 'status' | 'updated_at'>,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('space')
    .set({ version: version + 1, status, updated_at })
    .where('id', '=', id)
    .where('version', '=', version)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export interface SpaceVersionRow {
  readonly space: string;
  readonly version: number;
  readonly document: string;
  readonly created_at: string;
  readonly created_by: string;
  readonly event_id: string;
}

export async function insertSpaceVersion(tx: Tx, row: SpaceVersionRow): Promise<void> {
  await tx.insertInto('space_version').values(row).execute();
}

/** An entity at its last change; without properties where it was taken out. */
export interface StoredEntity {
  readonly type: string;
  readonly id: string;
  readonly properties: Properties | null;
  readonly revision: number;
}

/** Entities changed after a revision, in that order. */
export async function readEntitiesSince(
  db: Db,
  space: string,
  revision: number,
): Promise<StoredEntity[]> {
  return db
    .selectFrom('space_entity')
    .select(['type', 'id', 'properties', 'revision'])
    .where('space', '=', space)
    .where('revision', '>', revision)
    .orderBy('revision')
    .execute();
}

/** Entities that are there, by type and id. */
export async function readEntities(
  db: Db,
  space: string,
  {
    type,
    after,
  }: { readonly type: string | undefined; readonly after: readonly string[] | undefined },
  limit: number,
): Promise<StoredEntity[]> {
  let query = db
    .selectFrom('space_entity')
    .select(['type', 'id', 'properties', 'revision'])
    .where('space', '=', space)
    .where('properties', 'is not', null)
    .orderBy('type')
    .orderBy('id')
    .limit(limit);
  if (type !== undefined) query = query.where('type', '=', type);
  if (after) query = query.where(sql<boolean>`(type, id) > (${after[0]}, ${after[1]})`);
  return query.execute();
}

export interface EntityChange {
  readonly type: string;
  readonly id: string;
  /** None: it is taken out. */
  readonly properties: Properties | null;
}

/**
 * Changes entities of an active space, under the lock of its row: revisions are committed in their
 * order. Undefined where there is no such space.
 */
export async function changeEntities(
  tx: Tx,
  space: string,
  changes: readonly EntityChange[],
): Promise<{ entity_revision: number; entities: number } | undefined> {
  const next = await tx
    .updateTable('space')
    .set({ entity_revision: sql<number>`entity_revision + 1` })
    .where('id', '=', space)
    .where('status', '=', 'active')
    .returning('entity_revision')
    .executeTakeFirst();
  if (!next) return undefined;
  const types = changes.map(({ type }) => type);
  const ids = changes.map(({ id }) => id);
  const properties = changes.map((each) => each.properties && JSON.stringify(each.properties));
  const there = properties.filter((each) => each !== null).length;
  const { rows } = await sql<{ entities: number; entity_revision: number }>`
    with change as materialized (
      select type, id, properties::jsonb
      from unnest(${types}::text[], ${ids}::text[], ${properties}::text[]) as c (type, id, properties)
    ), before as materialized (
      select count(*)::integer as there from space_entity e join change c using (type, id)
      where e.space = ${space} and e.properties is not null
    ), written as (
      insert into space_entity (space, type, id, properties, revision)
      select ${space}, type, id, properties, ${next.entity_revision} from change
      where properties is not null
        or exists (select from space_entity e where (e.space, e.type, e.id) = (${space}, change.type, change.id))
      on conflict (space, type, id) do update set properties = excluded.properties, revision = excluded.revision
    )
    update space set entities = entities + ${there} - (select there from before)
    where id = ${space} returning entities, entity_revision`.execute(tx);
  return rows[0];
}
