import { type Db, transact, type Tx } from '../db/connection.ts';
import { leafHash } from '../tlog/leaf.ts';
import type { Policy } from '../tlog/policy.ts';
import type { EventInput, SealedEvent } from './event.ts';
import { sealEvent } from './event.ts';
import type { LogKeys } from './keys.ts';
import { joinQueue } from './log-store.ts';
import { insertEvent, readEvent, readOriginOf } from './store.ts';
import type { WitnessState } from './witnesses.ts';

/** The log, as those see it who write events. */
export interface Log {
  /** Origin of the shard that grows, as this process knows it; a hint, never needed for safety. */
  origin(): string;
  readonly keys: LogKeys;
  /** The witnesses, and the quorum of them that a checkpoint needs; `policyOf` adds a shard's keys. */
  readonly policy: Policy;
  /** Tells the sequencer that there is something to do; a hint, never needed for safety. */
  wake(): void;
  /** How publishing goes, as this process sees it. */
  health(): LogHealth;
}

/** How the log is published. */
export interface LogHealth {
  /** Why no new checkpoint is published, for people; null while all is well. */
  readonly problem: string | null;
  readonly witnesses: readonly WitnessState[];
}

/** What a command needs to change something. */
export interface Writer {
  readonly db: Db;
  /** The one clock of the service. */
  readonly clock: () => Date;
  readonly log: Log;
}

/** Where a change is on the log, as the caller is told. */
export interface Recorded {
  readonly event_id: string;
  readonly leaf_hash: string;
  readonly index: number | null;
  readonly receipt: string;
}

/**
 * Runs one change in one transaction; it must record its event with `record` inside. No event, no
 * change: when the event cannot be written, the error undoes everything.
 */
export async function change<T>(
  writer: Writer,
  work: (tx: Tx) => Promise<T>,
  isolation?: 'read committed' | 'repeatable read',
): Promise<T> {
  const result = await transact(
    writer.db,
    async (tx) => {
      if (isolation === 'repeatable read') await joinQueue(tx);
      return work(tx);
    },
    isolation,
  );
  writer.log.wake();
  return result;
}

/** Writes an event in the caller's transaction and signs its receipt. `time` is RFC 3339 in UTC. */
export async function record(tx: Tx, log: Log, time: string, input: EventInput): Promise<Recorded> {
  const event = sealEvent(input, time, log.keys.pseudonym);
  const origin = await insertEvent(tx, event);
  const receipt = await signReceipt(log, origin, event);
  return {
    event_id: event.event_id,
    leaf_hash: event.leaf_hash.toString('base64'),
    index: null,
    receipt,
  };
}

/** The same receipt again, of an event that is stored; with its index, once it has one. */
export async function receiptOf(
  { db, log }: Pick<Writer, 'db' | 'log'>,
  eventId: string,
): Promise<Recorded> {
  const row = await readEvent(db, eventId);
  if (!row) throw new Error(`the event ${eventId} is gone`);
  const leaf_hash = Buffer.from(leafHash(row.leaf));
  const origin = await readOriginOf(db, eventId);
  const receipt = await signReceipt(log, origin, { event_id: eventId, time: row.time, leaf_hash });
  return { event_id: eventId, leaf_hash: leaf_hash.toString('base64'), index: row.idx, receipt };
}

/**
 * The promise that an event will be in the log: whoever holds it can prove that one is missing.
 * JWS over `{iss: origin, iat, event_id, leaf_hash}`, with the origin of the event's shard; Ed25519
 * is deterministic, so the same event always has the same receipt.
 */
export function signReceipt(
  log: Log,
  origin: string,
  event: Pick<SealedEvent, 'event_id' | 'time' | 'leaf_hash'>,
): Promise<string> {
  return log.keys.receipts.sign({
    iss: origin,
    iat: Math.floor(Date.parse(event.time) / 1000),
    event_id: event.event_id,
    leaf_hash: event.leaf_hash.toString('base64'),
  });
}
