import type { Db, Tx } from './db/connection.ts';
import { ServiceError } from './errors.ts';

/** One use of an Idempotency-Key: whose, for what, and the hash of the body. */
export interface IdempotentCall {
  readonly actor: string;
  readonly operation: string;
  readonly key: string;
  readonly request_sha256: string;
}

/**
 * What the same call made before, if it was made: the resource's id.
 * @throws ServiceError `idempotency_key_reused` when the key came with another body.
 */
export async function resourceOf(db: Db, call: IdempotentCall): Promise<string | undefined> {
  const row = await db
    .selectFrom('idempotency_key')
    .select(['request_sha256', 'resource'])
    .where('actor', '=', call.actor)
    .where('operation', '=', call.operation)
    .where('key', '=', call.key)
    .executeTakeFirst();
  if (row && row.request_sha256 !== call.request_sha256) {
    throw new ServiceError('idempotency_key_reused', 'This Idempotency-Key came with another body before.', [
      { path: 'Idempotency-Key', expected: 'a new key for a new request' },
    ]);
  }
  return row?.resource;
}

/**
 * Claims the key for a resource in the transaction that makes it.
 * @throws a unique violation when another transaction has claimed it: then nothing of this one
 * happens, and `resourceOf` tells what the other made.
 */
export async function claimKey(tx: Tx, call: IdempotentCall, resource: string, now: string): Promise<void> {
  await tx.insertInto('idempotency_key').values({ ...call, resource, created_at: now }).execute();
}

/** Forgets keys that are older than `before`. */
export async function forgetKeys(db: Db, before: string): Promise<void> {
  await db.deleteFrom('idempotency_key').where('created_at', '<', before).execute();
}
