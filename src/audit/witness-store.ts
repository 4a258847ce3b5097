import type { Db, Tx } from '../db/connection.ts';

/** The largest tree of another log that was cosigned here. */
export interface WitnessedLog {
  readonly size: number;
  readonly root: Buffer;
  /** The checkpoint with our cosignatures; null before the first. */
  readonly note: string | null;
}

/** Makes the row of a log that was never cosigned, where there is none. */
export async function insertWitnessedLog(
  db: Db,
  log: { readonly origin: string; readonly size: number; readonly root: Uint8Array },
): Promise<void> {
  await db
    .insertInto('witnessed_log')
    .values({ ...log, root: Buffer.from(log.root), note: null, cosigned_at: null })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** What was cosigned of a log, locked: calls for one log come one after the other. */
export async function lockWitnessedLog(tx: Tx, origin: string): Promise<WitnessedLog> {
  return selectWitnessedLog(tx, origin).forUpdate().executeTakeFirstOrThrow();
}

export async function readWitnessedLog(db: Db, origin: string): Promise<WitnessedLog | undefined> {
  return selectWitnessedLog(db, origin).executeTakeFirst();
}

function selectWitnessedLog(db: Db, origin: string) {
  return db
    .selectFrom('witnessed_log')
    .select(['size', 'root', 'note'])
    .where('origin', '=', origin);
}

export async function updateWitnessedLog(
  tx: Tx,
  origin: string,
  cosigned: WitnessedLog,
  cosignedAt: string,
): Promise<void> {
  await tx
    .updateTable('witnessed_log')
    .set({ ...cosigned, cosigned_at: cosignedAt })
    .where('origin', '=', origin)
    .execute();
}
