/**
 * Erasing a whole shard of the log: the bodies of its events go once the pack's retention has passed
 * for all of them, in steps. Its leaves, tiles and checkpoints stay, so that it verifies as before.
 */
import { setTimeout as rest } from 'node:timers/promises';
import { erase, takenFrom } from '../audit/erase.ts';
import { TURN } from '../audit/shards.ts';
import { lockForErasing } from '../audit/search-store.ts';
import { type Head, readHeads } from '../audit/log-store.ts';
import { lockEvents } from '../audit/store.ts';
import { type Db, transact, type Tx } from '../db/connection.ts';
import { ServiceError, unknownReference } from '../errors.ts';
import type { Retention } from '../pdp/document.ts';
import { PARTY_EVENTS } from '../parties/store.ts';
import { holds } from './hold.ts';
import {
  addErased,
  endPruning,
  type Erasure,
  eraseFacts,
  eraseTraces,
  heldInShard,
  lastTimeIn,
  type LegalHold,
  lockHolds,
  readApproved,
  readPrunable,
} from './store.ts';

/** Events of one step: they are locked and the search is not indexed until it commits. */
const STEP = 500;
/** What says what was erased and held, and how shards hang together, stays for ever. */
const KEPT = [
  TURN,
  'requestErasure',
  'approveErasure',
  'refuseErasure',
  'withdrawErasure',
  'expireErasure',
  'placeHold',
  'liftHold',
];

/** @throws ServiceError `unknown_reference` for a year without a shard that has ended. */
export async function finalShard(db: Db, year: number): Promise<Head> {
  const ended = (await readHeads(db)).slice(0, -1);
  const found = ended.find((head) => head.year === year);
  if (found) return found;
  const years = ended.map((head) => head.year).join(', ');
  throw unknownReference('/scope/shard', `a shard that has ended: ${years || 'there is none'}`);
}

/**
 * May a shard be erased?
 * @throws ServiceError `retention_runs` while who did what in it has to be kept, `legal_hold` where
 * a hold covers any of it.
 */
export async function refuseShard(
  tx: Tx,
  shard: Head,
  {
    retention: { record_years },
    standing,
    pseudonym,
    now,
  }: {
    readonly retention: Retention;
    readonly standing: readonly LegalHold[];
    readonly pseudonym: (actor: string) => string;
    readonly now: Date;
  },
): Promise<void> {
  const last = await lastTimeIn(tx, shard.log_id);
  const until = new Date(last ?? 0);
  until.setUTCFullYear(until.getUTCFullYear() + record_years);
  if (last !== null && until > now) {
    throw new ServiceError(
      'retention_runs',
      `Who did what stays on record for ${record_years} years: that of the shard ${shard.year} until ${until.toISOString()}. Nothing was erased.`,
    );
  }
  for (const { id, scope } of standing) {
    if (!(await heldInShard(tx, shard, scope, pseudonym))) continue;
    throw new ServiceError('legal_hold', `The hold ${id} covers some of it: nothing was erased.`);
  }
}

/** What an erasure of a shard takes. */
export interface Pruner {
  readonly db: Db;
  readonly clock: () => Date;
  readonly log: { readonly keys: { readonly pseudonym: (actor: string) => string } };
  /** Aborted, it ends after the step that is under way. */
  readonly signal?: AbortSignal;
}

/**
 * Takes out what approved erasures of shards have left, step by step, each in a transaction of its
 * own: a crash leaves what was not reached for the next call. Any number of replicas may do this at
 * once. What a hold that was placed meanwhile covers stays, and the erasure open until it is lifted.
 */
export async function pruneShards(pruner: Pruner): Promise<void> {
  for (const erasure of await readApproved(pruner.db)) await pruneShard(pruner, erasure);
}

async function pruneShard(pruner: Pruner, erasure: Erasure): Promise<void> {
  const { db, signal } = pruner;
  const shard = (await readHeads(db)).find(({ year }) => year === erasure.scope.shard);
  if (!shard) return;
  let isHeld = false;
  for (let from: number | undefined = 0; from !== undefined; ) {
    if (signal?.aborted) return;
    const started = performance.now();
    const step: Step = await takeStep(pruner, erasure, shard, from);
    isHeld ||= step.isHeld;
    from = step.next;
    // Requests come first.
    if (from !== undefined) await rest(performance.now() - started);
  }
  if (!isHeld) await endPruning(db, erasure.id);
}

interface Step {
  /** Index to go on from; undefined after the last. */
  readonly next: number | undefined;
  readonly isHeld: boolean;
}

function takeStep(
  { db, clock, log }: Pruner,
  { id, event_id: erased_by }: Erasure,
  { log_id }: Head,
  from: number,
): Promise<Step> {
  return transact(db, async (tx) => {
    const standing = await lockHolds(tx);
    await lockForErasing(tx);
    const now = clock().toISOString();
    const found = await readPrunable(tx, {
      log_id,
      from,
      limit: STEP,
      kept: KEPT,
      registers: PARTY_EVENTS,
      today: now.slice(0, 10),
    });
    const last = found.at(-1);
    if (!last || erased_by === null) return { next: undefined, isHeld: false };
    const ids = found.map(({ event_id }) => event_id);
    const there = (await lockEvents(tx, ids)).filter(({ body }) => body !== null);
    const free = there.filter(
      (event) => !standing.some(({ scope }) => holds(scope, event, log.keys.pseudonym)),
    );
    const targets = free.map((event) => ({ event, paths: undefined }));
    if (targets.length > 0) {
      await erase(tx, targets, { erased_at: now, erased_by });
      await eraseTraces(tx, free);
      await eraseFacts(tx, free);
      await addErased(tx, id, takenFrom(targets).length);
    }
    return { next: last.idx + 1, isHeld: free.length < there.length };
  });
}
