import type { Db } from '../db/connection.ts';
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

export async function readStatus(db: Db, log: Log): Promise<LogStatus> {
  const [head, newest, pending] = await Promise.all([
    readHead(db),
    readNewestCheckpoint(db),
    countPending(db),
  ]);
  return {
    origin: log.origin,
    size: head?.size ?? 0,
    pending,
    published: newest ? { size: newest.size, at: newest.published_at } : null,
    quorum: log.policy.quorum,
    ...log.health(),
  };
}
