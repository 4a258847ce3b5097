import { type Db, transact } from '../db/connection.ts';
import type { Log, LogHealth } from './record.ts';
import { countPending, readHead, readNewestCheckpoint } from './store.ts';

/** Where the log stands, and how publishing goes as the replica that is asked sees it. */
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
    origin: log.origin,
    size: head?.size ?? 0,
    pending,
    published: newest ? { size: newest.size, at: newest.published_at } : null,
    quorum: log.policy.quorum,
    ...log.health(),
  };
}
