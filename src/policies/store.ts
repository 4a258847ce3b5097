import { type RawBuilder, sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';
import type { PolicyStatus } from '../db/schema.ts';

export interface StoredDocument {
  readonly sha256: string;
  readonly version: number;
  readonly document: string;
}

/** The versions that are in force together, by their hashes. */
export interface InForce {
  readonly pack_sha256: string;
  /** The pack's policies, in the order in which they are compiled. */
  readonly policy_sha256: readonly string[];
  /** Policies beside the pack's, in the order of their approval. */
  readonly extension_sha256: readonly string[];
}

/** The name of the set in force; `held`, until the transaction ends nobody changes it. */
export async function readGeneration(db: Db, held?: 'held'): Promise<string | undefined> {
  const query = db.selectFrom('pack_in_force').select('generation');
  return (await (held ? query.forShare() : query).executeTakeFirst())?.generation;
}

/** A set that is, or was, in force; sets never change. */
export async function readSet(db: Db, generation: string): Promise<InForce | undefined> {
  return db
    .selectFrom('in_force_history')
    .select(['pack_sha256', 'policy_sha256', 'extension_sha256'])
    .where('generation', '=', generation)
    .executeTakeFirst();
}

/** The set in force at the end of a day (`YYYY-MM-DD`) in a time zone. */
export async function readGenerationOn(
  db: Db,
  day: string,
  timezone: string,
): Promise<string | undefined> {
  return newestGeneration(db, sql<boolean>`(since at time zone ${timezone})::date <= ${day}::date`);
}

/** The set in force at a time, that of its own beginning included. */
export async function readGenerationAt(db: Db, time: string): Promise<string | undefined> {
  return newestGeneration(db, sql<boolean>`since <= ${time}::timestamptz`);
}

/** The set that another one replaced. */
export async function readGenerationBefore(
  db: Db,
  generation: string,
): Promise<string | undefined> {
  return newestGeneration(
    db,
    sql<boolean>`since < (select since from in_force_history where generation = ${generation})`,
  );
}

async function newestGeneration(
  db: Db,
  condition: RawBuilder<boolean>,
): Promise<string | undefined> {
  const row = await db
    .selectFrom('in_force_history')
    .select('generation')
    .where(condition)
    .orderBy('since', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.generation;
}

/**
 * The row that says what is in force, locked, so that two changes cannot cross; and its revision,
 * so that until the transaction ends no request is decided by what it says.
 */
export async function lockInForce(tx: Tx): Promise<InForce | undefined> {
  await tx
    .selectFrom('register_revision')
    .select('revision')
    .where('register', '=', 'pack')
    .forUpdate()
    .execute();
  return tx
    .selectFrom('pack_in_force')
    .select(['pack_sha256', 'policy_sha256', 'extension_sha256'])
    .forUpdate()
    .executeTakeFirst();
}

/** Puts a set in force, under a name of its own. */
export async function putInForce(
  tx: Tx,
  { pack_sha256, policy_sha256, extension_sha256 }: InForce,
  { generation, since }: { readonly generation: string; readonly since: string },
): Promise<void> {
  const row = {
    pack_sha256,
    policy_sha256: [...policy_sha256],
    extension_sha256: [...extension_sha256],
    generation,
    since,
  };
  await tx.insertInto('in_force_history').values(row).execute();
  await tx
    .insertInto('pack_in_force')
    .values(row)
    .onConflict((conflict) => conflict.column('only_one').doUpdateSet(row))
    .execute();
}

export async function readPackDocument(
  db: Db,
  sha256: string,
): Promise<StoredDocument | undefined> {
  return db
    .selectFrom('pack_version')
    .select(['sha256', 'version', 'document'])
    .where('sha256', '=', sha256)
    .executeTakeFirst();
}

export interface PolicyText extends StoredDocument {
  readonly policy: string;
  readonly origin: 'pack' | 'register';
}

export async function readPolicyDocuments(
  db: Db,
  sha256: readonly string[],
): Promise<PolicyText[]> {
  if (sha256.length === 0) return [];
  return db
    .selectFrom('policy_version')
    .select(['sha256', 'policy', 'version', 'document', 'origin'])
    .where('sha256', 'in', sha256)
    .execute();
}

/** The newest version of a pack's own file, by its number. */
export async function readPackVersion(
  db: Db,
  pack: string,
  version: number,
): Promise<StoredDocument | undefined> {
  return db
    .selectFrom('pack_version')
    .select(['sha256', 'version', 'document'])
    .where('pack', '=', pack)
    .where('version', '=', version)
    .executeTakeFirst();
}

export interface NewDocument {
  readonly sha256: string;
  readonly name: string;
  readonly version: number;
  readonly document: string;
  readonly created_at: string;
  readonly event_id: string;
}

export async function insertPackVersion(tx: Tx, { name, ...row }: NewDocument): Promise<void> {
  await tx
    .insertInto('pack_version')
    .values({ pack: name, ...row })
    .execute();
}

/** A version of a policy with everything that happened to it. */
export interface PolicyVersion {
  readonly sha256: string;
  readonly policy: string;
  readonly version: number;
  readonly document: string;
  readonly origin: 'pack' | 'register';
  readonly status: PolicyStatus;
  readonly owner: string | null;
  readonly cases: string | null;
  /** Of the draft; counts its changes. */
  readonly revision: number;
  readonly editors: readonly string[];
  readonly created_at: string;
  readonly updated_at: string;
  readonly approved_by: string | null;
  readonly approved_at: string | null;
  readonly withdrawal_asked_by: string | null;
  readonly withdrawn_by: string | null;
  readonly withdrawn_at: string | null;
}

const COLUMNS = [
  'sha256',
  'policy',
  'version',
  'document',
  'origin',
  'status',
  'owner',
  'cases',
  'revision',
  'editors',
  'created_at',
  'updated_at',
  'approved_by',
  'approved_at',
  'withdrawal_asked_by',
  'withdrawn_by',
  'withdrawn_at',
] as const;

export async function readPolicyVersion(
  db: Db,
  policy: string,
  version: number,
): Promise<PolicyVersion | undefined> {
  return db
    .selectFrom('policy_version')
    .select(COLUMNS)
    .where('policy', '=', policy)
    .where('version', '=', version)
    .executeTakeFirst();
}

/** A version, locked: nobody else changes it until the transaction ends. */
export async function lockPolicyVersion(
  tx: Tx,
  policy: string,
  version: number,
): Promise<PolicyVersion | undefined> {
  return tx
    .selectFrom('policy_version')
    .select(COLUMNS)
    .where('policy', '=', policy)
    .where('version', '=', version)
    .forUpdate()
    .executeTakeFirst();
}

/** Versions of a policy, newest first. */
export async function readPolicyVersions(
  db: Db,
  policy: string,
  { before, limit }: { readonly before?: number | undefined; readonly limit: number },
): Promise<PolicyVersion[]> {
  let query = db
    .selectFrom('policy_version')
    .select(COLUMNS)
    .where('policy', '=', policy)
    .orderBy('version', 'desc')
    .limit(limit);
  if (before !== undefined) query = query.where('version', '<', before);
  return query.execute();
}

export interface DraftFilter {
  /** Only this organisation's; undefined for all. */
  readonly owner?: string | undefined;
  readonly status?: PolicyStatus | undefined;
  readonly after?: { readonly policy: string; readonly version: number } | undefined;
}

/** Versions that were written here and not in a pack's files, by policy and version. */
export async function readWrittenVersions(
  db: Db,
  { owner, status, after }: DraftFilter,
  limit: number,
): Promise<PolicyVersion[]> {
  let query = db
    .selectFrom('policy_version')
    .select(COLUMNS)
    .where('origin', '=', 'register')
    .orderBy('policy')
    .orderBy('version')
    .limit(limit);
  if (owner !== undefined) query = query.where('owner', '=', owner);
  if (status !== undefined) query = query.where('status', '=', status);
  if (after) {
    query = query.where(sql<boolean>`(policy, version) > (${after.policy}, ${after.version})`);
  }
  return query.execute();
}

export type NewPolicyVersion = Omit<
  PolicyVersion,
  'revision' | 'withdrawal_asked_by' | 'withdrawn_by' | 'withdrawn_at'
> & { readonly event_id: string };

/** @throws a unique violation when the version, or the very document, is there already. */
export async function insertPolicyVersion(tx: Tx, row: NewPolicyVersion): Promise<void> {
  await tx
    .insertInto('policy_version')
    .values({ ...row, editors: [...row.editors] })
    .execute();
}

/** Changes what is given of a version that is locked. */
export async function updatePolicyVersion(
  tx: Tx,
  { policy, version }: Pick<PolicyVersion, 'policy' | 'version'>,
  { editors, ...changed }: Partial<PolicyVersion>,
): Promise<void> {
  await tx
    .updateTable('policy_version')
    .set({ ...changed, ...(editors && { editors: [...editors] }) })
    .where('policy', '=', policy)
    .where('version', '=', version)
    .execute();
}
