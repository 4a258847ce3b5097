/** What the pack in force says of erasing: on which grounds, how long what stays, how long a request waits. */
import type { Writer } from '../audit/record.ts';
import type { Db } from '../db/connection.ts';
import { ServiceError, unknownReference } from '../errors.ts';
import type { Retention } from '../pdp/document.ts';
import type { Program } from '../pdp/program.ts';
import type { Erasure } from './store.ts';

export interface ErasureWriter extends Writer {
  /** The program of the policies in force now; its pack says how long the record is kept. */
  readonly inForce: (db: Db) => Promise<Program>;
}

/** @throws ServiceError `retention_runs` for a pack that does not say it. */
export async function retentionOf(writer: ErasureWriter, db: Db): Promise<Retention> {
  const { retention } = (await writer.inForce(db)).pack;
  if (retention) return retention;
  throw new ServiceError(
    'retention_runs',
    'The pack in force does not say how long the record is kept: nothing is erased from it.',
  );
}

/** @throws ServiceError `unknown_reference` for a reason that the pack does not have. */
export function groundOf({ erasure }: Retention, reason: string): Retention['erasure'][string] {
  const ground = Object.hasOwn(erasure, reason) ? erasure[reason] : undefined;
  if (ground) return ground;
  throw unknownReference('/reason', `one of ${Object.keys(erasure).join(', ')}`);
}

/** Has nobody carried a request on for longer than the pack lets it wait? */
export function isNeglected(erasure: Erasure, retention: Retention, now: Date): boolean {
  const since = neglectedSince(retention, now);
  return since !== undefined && lastMoved(erasure) <= since;
}

/** What nobody has carried on since then has expired; undefined where the pack sets no time. */
export function neglectedSince({ open_request }: Retention, now: Date): Date | undefined {
  return open_request && new Date(now.getTime() - open_request.days * 86_400_000);
}

/** One of many events is carried out in several steps. */
export function lastMoved({ approved_at, requested_at }: Erasure): Date {
  return new Date(approved_at ?? requested_at);
}
