import { sql } from 'kysely';
import type { Db, Tx } from './db/connection.ts';
import { ServiceError } from './errors.ts';

/** One use of an Idempotency-Key: whose, for what, and the hash of the body. */
export interface IdempotentCall {
  readonly actor: string;
  readonly operation: string;
  readonly key: string;
  /** SHA-256 (hex) of the body's bytes. */
  readonly request_sha256: string;
}

/** What calls with an Idempotency-Key have made: the ids of resources. */
export class Claims {
  readonly #claims = new Map<string, { request_sha256: string; resource: string }>();

  add(call: IdempotentCall, resource: string): void {
    this.#claims.set(nameOf(call), { request_sha256: call.request_sha256, resource });
  }

  /**
   * What the same call made before, if it was made.
   * @throws ServiceError `idempotency_key_reused` when the key came with another body.
   */
  resourceOf(call: IdempotentCall): string | undefined {
    const claim = this.#claims.get(nameOf(call));
    if (claim && claim.request_sha256 !== call.request_sha256) {
      throw new ServiceError(
        'idempotency_key_reused',
        'This Idempotency-Key came with another body before.',
        [{ path: 'Idempotency-Key', expected: 'a new key for a new request' }],
      );
    }
    return claim?.resource;
  }
}

function nameOf({ actor, operation, key }: IdempotentCall): string {
  return JSON.stringify([actor, operation, key]);
}

/** What these calls have made before, in one statement. */
export async function readClaims(db: Db, calls: readonly IdempotentCall[]): Promise<Claims> {
  const claims = new Claims();
  if (calls.length === 0) return claims;
  const rows = await db
    .selectFrom('idempotency_key')
    .select(['actor', 'operation', 'key', 'request_sha256', 'resource'])
    .where(
      sql<boolean>`(actor, operation, key) in (select * from unnest(
        ${calls.map(({ actor }) => actor)}::text[], ${calls.map(({ operation }) => operation)}::text[],
        ${calls.map(({ key }) => key)}::text[]))`,
    )
    .execute();
  for (const { resource, ...call } of rows) claims.add(call, resource);
  return claims;
}

/**
 * Claims keys for resources in the transaction that makes them.
 * @throws a unique violation when another transaction has claimed one: then nothing of this one
 * happens, and `readClaims` tells what the other made.
 */
export async function claimKeys(
  tx: Tx,
  calls: readonly (IdempotentCall & { readonly resource: string })[],
  now: string,
): Promise<void> {
  if (calls.length === 0) return;
  await tx
    .insertInto('idempotency_key')
    .values(calls.map((call) => ({ ...call, created_at: now })))
    .execute();
}

/**
 * A statement that claims the keys that are free, and returns the resources that they are for.
 * `relation` has `created_by`, `type` (the operation), `key` (null where none came),
 * `request_sha256`, `id` (the resource) and `time`. In one order, so that nobody deadlocks.
 */
export function claimFrom(relation: string): string {
  return `
    insert into idempotency_key (actor, operation, key, request_sha256, resource, created_at)
    select created_by, type, key, request_sha256, id::text, time from ${relation}
    where key is not null order by created_by, key
    on conflict do nothing returning resource`;
}

/** Forgets keys that are older than `before`. */
export async function forgetKeys(db: Db, before: string): Promise<void> {
  await db.deleteFrom('idempotency_key').where('created_at', '<', before).execute();
}
