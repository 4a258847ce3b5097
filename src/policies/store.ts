import type { Db, Tx } from '../db/connection.ts';

export interface StoredDocument {
  readonly sha256: string;
  readonly version: number;
  readonly document: string;
}

export interface InForce {
  readonly pack_sha256: string;
  readonly policy_sha256: readonly string[];
}

/** What is in force; `held`, until the transaction ends nobody changes it. */
export async function readInForce(db: Db, held?: 'held'): Promise<InForce | undefined> {
  const query = db.selectFrom('pack_in_force').select(['pack_sha256', 'policy_sha256']);
  return (held ? query.forShare() : query).executeTakeFirst();
}

/** The row that says what is in force, locked, so that two loads cannot cross. */
export async function lockInForce(tx: Tx): Promise<InForce | undefined> {
  return tx
    .selectFrom('pack_in_force')
    .select(['pack_sha256', 'policy_sha256'])
    .forUpdate()
    .executeTakeFirst();
}

export async function upsertInForce(tx: Tx, inForce: InForce, since: string): Promise<void> {
  const row = {
    pack_sha256: inForce.pack_sha256,
    policy_sha256: [...inForce.policy_sha256],
    since,
  };
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

export async function readPolicyDocuments(
  db: Db,
  sha256: readonly string[],
): Promise<(StoredDocument & { policy: string })[]> {
  if (sha256.length === 0) return [];
  return db
    .selectFrom('policy_version')
    .select(['sha256', 'policy', 'version', 'document'])
    .where('sha256', 'in', sha256)
    .execute();
}

export async function readPolicyVersion(
  db: Db,
  policy: string,
  version: number,
): Promise<StoredDocument | undefined> {
  return db
    .selectFrom('policy_version')
    .select(['sha256', 'version', 'document'])
    .where('policy', '=', policy)
    .where('version', '=', version)
    .executeTakeFirst();
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

export async function insertPolicyVersion(tx: Tx, { name, ...row }: NewDocument): Promise<void> {
  await tx
    .insertInto('policy_version')
    .values({ policy: name, ...row })
    .execute();
}

export async function insertPackVersion(tx: Tx, { name, ...row }: NewDocument): Promise<void> {
  await tx
    .insertInto('pack_version')
    .values({ pack: name, ...row })
    .execute();
}
