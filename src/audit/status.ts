import { type Db, transact } from '../db/connection.ts';
import { notFound } from '../errors.ts';
import { encodeBase64 } from '../tlog/encoding.ts';
import { formatVerifierKey } from '../tlog/note-key.ts';
import type { Log, LogHealth } from './record.ts';
import { nextOrigin, TURN } from './shards.ts';
import {
  countPending,
  readEntries,
  readHead,
  readHeads,
  readNewestCheckpoint,
} from './log-store.ts';

/** Where the shard that grows stands, and how publishing goes as the replica that is asked sees it. */
export interface LogStatus extends LogHealth {
  readonly origin: string;
  /** Entries in the tree. */
  readonly size: number;
  /** Events that wait for their index. */
  readonly pending: number;
  /** The newest published checkpoint; null before the first. */
  readonly published: { readonly size: number; readonly at: string | null } | null;
  /** Name of the policy's witness or group that a checkpoint needs, or `none`. */
  readonly quorum: string;
}

/**
 * All of one moment: an event that is sequenced meanwhile is still waiting or in the tree already,
 * so that with none waiting, and the tree published, everything that was acknowledged is.
 */
export async function readStatus(db: Db, log: Log): Promise<LogStatus> {
  const [head, newest, pending] = await transact(
    db,
    (tx) => Promise.all([readHead(tx), readNewestCheckpoint(tx), countPending(tx)]),
    'repeatable read',
  );
  return {
    origin: head?.origin ?? log.origin(),
    size: head?.size ?? 0,
    pending,
    published:
      newest && newest.log_id === head?.log_id
        ? { size: newest.size, at: newest.published_at }
        : null,
    quorum: log.policy.quorum,
    ...log.health(),
  };
}

/** A shard as it is published, and its verifier keys. */
export interface ShardState {
  readonly year: number;
  readonly origin: string;
  /** Nothing is added to it any more: `size` and `root` (base64) stay as they are. */
  readonly is_final: boolean;
  readonly size: number;
  readonly root: string;
  readonly vkeys: readonly string[];
}

/**
 * All shards that have a checkpoint, the first one first; and the origin and keys that the next one
 * will have if it begins next year, for its witnesses and monitors to know before.
 */
export async function listShards(
  db: Db,
  { keys }: Log,
): Promise<{
  readonly items: readonly ShardState[];
  readonly next: { readonly origin: string; readonly vkeys: readonly string[] } | null;
}> {
  const vkeysOf = (origin: string): string[] => keys.checkpoints(origin).map(formatVerifierKey);
  const heads = await readHeads(db);
  const newest = heads.at(-1);
  const items: ShardState[] = [];
  for (const { log_id, year, origin, size: whole } of heads) {
    const published = await readNewestCheckpoint(db, year);
    if (!published) continue;
    const { size, root } = published;
    const is_final = log_id !== newest?.log_id && size === whole;
    items.push({ year, origin, is_final, size, root: encodeBase64(root), vkeys: vkeysOf(origin) });
  }
  const origin = newest && nextOrigin(newest.origin, newest.year + 1);
  return { items, next: origin === undefined ? null : { origin, vkeys: vkeysOf(origin) } };
}

/**
 * Origin of the shard of a year, or of the newest that has a checkpoint; before the first, of the
 * one that grows.
 * @throws ServiceError `not_found` for a year without a shard.
 */
export async function originOf(db: Db, log: Log, year?: number): Promise<string> {
  if (year === undefined) return (await readNewestCheckpoint(db))?.origin ?? log.origin();
  const head = (await readHeads(db)).find((each) => each.year === year);
  if (!head) throw notFound();
  return head.origin;
}

/**
 * The body of the event that a shard begins with, which names the one before it; the bytes that
 * the leaf binds, as text.
 * @throws ServiceError `not_found` for a shard without one before it.
 */
export async function bodyOfFirst(db: Db, year?: number): Promise<string> {
  const shard = await readNewestCheckpoint(db, year);
  const [first] = shard ? await readEntries(db, shard.log_id, 0, 1) : [];
  if (first?.type !== TURN || !first.body) throw notFound();
  return first.body.toString('utf8');
}
