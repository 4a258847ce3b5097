import { type RawBuilder, sql } from 'kysely';
import type { Moment } from '../audit/moment.ts';
import { writtenBy } from '../audit/store.ts';
import type { Db, Tx } from '../db/connection.ts';
import type { DatasetStatus } from '../db/schema.ts';
import type { Dataset, DatasetDocument } from './dataset.ts';
import { matches, searchVector } from './search.ts';

const COLUMNS = [
  'id',
  'version',
  'status',
  'publisher',
  'document',
  'created_at',
  'updated_at',
] as const;

export async function readDataset(db: Db, id: string): Promise<Dataset | undefined> {
  const row = await db
    .selectFrom('dataset')
    .select(COLUMNS)
    .where('id', '=', id)
    .executeTakeFirst();
  return row as Dataset | undefined;
}

/** Those of some datasets that are active. */
export async function readActiveDatasets(db: Db, ids: readonly string[]): Promise<Dataset[]> {
  if (ids.length === 0) return [];
  const query = db.selectFrom('dataset').select(COLUMNS).where('id', 'in', ids);
  return (await query.where('status', '=', 'active').execute()) as Dataset[];
}

/** Does an active dataset name this purpose, as permitted or as prohibited? */
export async function isPurposeNamed(db: Db, purpose: string): Promise<boolean> {
  const { rows } = await sql`
    select from dataset
    where status = 'active'
      and (document -> 'permitted_purposes' ? ${purpose} or document -> 'prohibited_purposes' ? ${purpose})
    limit 1`.execute(db);
  return rows.length > 0;
}

/** The datasets with these ids. */
export async function readDatasetsById(db: Db, ids: readonly string[]): Promise<Dataset[]> {
  if (ids.length === 0) return [];
  const rows = await db.selectFrom('dataset').select(COLUMNS).where('id', 'in', ids).execute();
  return rows as Dataset[];
}

/** Those of the ids that are there. */
export async function existingDatasets(db: Db, ids: readonly string[]): Promise<Set<string>> {
  const rows = await db.selectFrom('dataset').select('id').where('id', 'in', ids).execute();
  return new Set(rows.map(({ id }) => id));
}

/** A publisher's datasets in whatever status, by id; only one of them where it is named. */
export async function readDatasetsOf(
  db: Db,
  { publisher, dataset }: { readonly publisher: string; readonly dataset: string | undefined },
  limit: number,
): Promise<Dataset[]> {
  let query = db.selectFrom('dataset').select(COLUMNS).where('publisher', '=', publisher);
  if (dataset !== undefined) query = query.where('id', '=', dataset);
  return (await query.orderBy('id').limit(limit).execute()) as Dataset[];
}

/** What a list holds; each member narrows. */
export interface DatasetFilter {
  readonly q?: string | undefined;
  readonly publisher?: string | undefined;
  readonly sector?: string | undefined;
  readonly classification?: string | undefined;
  readonly status?: DatasetStatus | undefined;
  /** Drafts and retired datasets of this publisher only, `*` for those of all. */
  readonly allOf: string | null;
  readonly after?: { readonly created_at: string; readonly id: string } | undefined;
}

/** Datasets, newest registration first. */
export async function readDatasets(
  db: Db,
  filter: DatasetFilter,
  limit: number,
): Promise<Dataset[]> {
  let query = db
    .selectFrom('dataset')
    .select(COLUMNS)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit);
  if (filter.allOf === null) query = query.where('status', '=', 'active');
  else if (filter.allOf !== '*') {
    const own = filter.allOf;
    query = query.where((where) =>
      where.or([where('status', '=', 'active'), where('publisher', '=', own)]),
    );
  }
  for (const condition of narrowing(filter)) query = query.where(condition);
  if (filter.after) {
    const { created_at, id } = filter.after;
    query = query.where(sql<boolean>`(created_at, id) < (${created_at}::timestamptz, ${id})`);
  }
  return (await query.execute()) as Dataset[];
}

/** The conditions of a filter on a dataset's own columns. */
export function narrowing(filter: DatasetFilter): RawBuilder<boolean>[] {
  const columns = (['publisher', 'sector', 'classification', 'status'] as const).flatMap(
    (column) => {
      const value = filter[column];
      return value === undefined ? [] : [sql<boolean>`${sql.ref(column)} = ${value}`];
    },
  );
  return filter.q === undefined ? columns : [...columns, matches(filter.q)];
}

/** @throws a unique violation when the id is taken. */
export async function insertDataset(tx: Tx, dataset: Dataset): Promise<void> {
  const { document, ...row } = dataset;
  await tx
    .insertInto('dataset')
    .values({ ...row, ...indexed(dataset.id, document) })
    .execute();
}

/** Puts the next version in place; false when the dataset is not at `version` any more. */
export async function updateDataset(tx: Tx, dataset: Dataset, version: number): Promise<boolean> {
  const { id, document, created_at: _created, publisher: _publisher, ...row } = dataset;
  const { numUpdatedRows } = await tx
    .updateTable('dataset')
    .set({ ...row, ...indexed(id, document) })
    .where('id', '=', id)
    .where('version', '=', version)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

function indexed(id: string, document: DatasetDocument) {
  const { sector, classification } = document as { sector?: string; classification?: string };
  return {
    sector: sector ?? null,
    classification: classification ?? null,
    document: JSON.stringify(document),
    search: searchVector(id, document),
  };
}

export async function insertDatasetVersion(
  tx: Tx,
  dataset: Dataset,
  eventId: string,
): Promise<void> {
  const { id, version, status, document, updated_at } = dataset;
  await tx
    .insertInto('dataset_version')
    .values({
      dataset: id,
      version,
      status,
      document: JSON.stringify(document),
      updated_at,
      event_id: eventId,
    })
    .execute();
}

function selectVersions(db: Db) {
  return db
    .selectFrom('dataset_version')
    .innerJoin('dataset', 'dataset.id', 'dataset_version.dataset')
    .select([
      'dataset.id',
      'dataset_version.version',
      'dataset_version.status',
      'dataset.publisher',
      'dataset_version.document',
      'dataset.created_at',
      'dataset_version.updated_at',
    ]);
}

export interface VersionFilter {
  /** Versions below this one. */
  readonly before: number | undefined;
  /** Only those that were active. */
  readonly activeOnly: boolean;
}

/** Versions of a dataset, newest first. */
export async function readDatasetVersions(
  db: Db,
  id: string,
  { before, activeOnly }: VersionFilter,
  limit: number,
): Promise<Dataset[]> {
  let query = selectVersions(db)
    .where('dataset_version.dataset', '=', id)
    .orderBy('dataset_version.version', 'desc')
    .limit(limit);
  if (before !== undefined) query = query.where('dataset_version.version', '<', before);
  if (activeOnly) query = query.where('dataset_version.status', '=', 'active');
  return (await query.execute()) as Dataset[];
}

export async function readDatasetVersion(
  db: Db,
  id: string,
  version: number,
): Promise<Dataset | undefined> {
  const row = await selectVersions(db)
    .where('dataset_version.dataset', '=', id)
    .where('dataset_version.version', '=', version)
    .executeTakeFirst();
  return row as Dataset | undefined;
}

/** These datasets as they were at a moment, those that were there. */
export async function readDatasetsAt(
  db: Db,
  ids: readonly string[],
  moment: Moment,
): Promise<Dataset[]> {
  if (ids.length === 0) return [];
  let query = selectVersions(db)
    .distinctOn('dataset_version.dataset')
    .where('dataset_version.dataset', 'in', ids)
    .where(writtenBy(moment, 'dataset_version.event_id', 'dataset_version.updated_at'))
    .orderBy('dataset_version.dataset')
    .orderBy('dataset_version.version', 'desc');
  if (moment.side === 'before')
    query = query.where('dataset_version.event_id', '<>', moment.event_id);
  return (await query.execute()) as Dataset[];
}

/** The event that made a version of a dataset. */
export async function readVersionEvent(
  db: Db,
  id: string,
  version: number,
): Promise<string | undefined> {
  const row = await db
    .selectFrom('dataset_version')
    .select('event_id')
    .where('dataset', '=', id)
    .where('version', '=', version)
    .executeTakeFirst();
  return row?.event_id;
}
