import { type Db, transact } from '../db/connection.ts';
import { openCheckpoint, signCheckpoint } from '../tlog/checkpoint.ts';
import { openNote } from '../tlog/note.ts';
import { verifyConsistency } from '../tlog/proof.ts';
import { consistencyProof } from '../tlog/prove.ts';
import type { Guard } from './guard.ts';
import type { LogKeys } from './keys.ts';
import { tileReader } from './proofs.ts';
import {
  type Head,
  keepSigned,
  publishCheckpoint,
  readHeads,
  readNewestCheckpoint,
  readSigned,
} from './log-store.ts';
import type { Witnesses } from './witnesses.ts';

/** What publishing takes. */
export interface Publisher {
  readonly db: Db;
  readonly keys: LogKeys;
  /** What the shard with an origin has signed, kept outside the database. */
  readonly guardOf: (origin: string) => Guard;
  /** Undefined where the policy asks for none. */
  readonly witnesses: Witnesses | undefined;
  readonly clock: () => Date;
}

/**
 * Publishes what is new of each shard, the oldest one first. A shard that has ended is signed for
 * the last time and ended outside the database before the next one is signed for the first time:
 * a database from before the turn is then told by that.
 * Returns a name for what is published now; where that is the one `last` returned, nothing is done.
 * @throws as `publishShard`, what happened first; too few cosignatures of one shard do not hold
 * back the next.
 */
export async function publish(publisher: Publisher, last?: string): Promise<string> {
  const { db, guardOf } = publisher;
  const failures: unknown[] = [];
  const heads = await readHeads(db);
  if (heads.length === 0) throw new Error('the log has no head');
  const name = heads.map(({ size, root }) => `${size} ${root.toString('hex')}`).join();
  if (name === last) return name;
  for (const shard of heads) {
    const { log_id, origin, year, size } = shard;
    const isFinal = log_id !== heads.at(-1)?.log_id;
    try {
      if (isFinal && (await guardOf(origin).ended())) {
        if ((await readNewestCheckpoint(db, year))?.size === size) continue;
      }
      await publishShard(publisher, shard);
    } catch (error) {
      failures.push(error);
      if (isFinal && !(await guardOf(origin).ended())) break;
    }
  }
  if (failures.length > 0) throw failures[0];
  return name;
}

/**
 * Signs a checkpoint of the present head of a shard, has it cosigned and publishes it, if it is
 * new. Before that it proves that the head extends what was signed last, in the database and
 * outside it, so that this log never signs two inconsistent checkpoints.
 *
 * If we crash after signing, the next one is proved against what was signed; if after the
 * witnesses have cosigned, they are asked again and say the same.
 * @throws Error when the shard does not extend what was signed or goes on after its end (then
 * nothing is signed), and when too few witnesses cosigned (then the last published checkpoint stays).
 */
async function publishShard(
  publisher: Publisher,
  { log_id: logId, origin, year }: Pick<Head, 'log_id' | 'origin' | 'year'>,
): Promise<void> {
  const { db, keys, guardOf, witnesses, clock } = publisher;
  // In this order: another replica may sequence, turn, sign and publish between two of these reads,
  // and the head must not be older than what it is compared with.
  const signed = await readSigned(db, logId);
  const guard = guardOf(origin);
  const ended = await guard.ended();
  const kept = await guard.newest();
  const last = await readNewestCheckpoint(db, year);
  const heads = await readHeads(db);
  const head = heads.find(({ log_id }) => log_id === logId);
  if (!head) throw new Error('a shard of the log is gone');
  const isFinal = heads.at(-1)?.log_id !== logId;
  if (ended && !isFinal) {
    throw new Error(
      `the log ${origin} has ended, and this database goes on with it: a database was restored to a state from before the turn, and nothing is signed until the rest is back`,
    );
  }
  for (const note of new Set([kept, signed?.note])) {
    if (note !== undefined) await proveExtension(publisher, note, head);
  }
  const { size, root } = head;
  const isPublished = last?.size === size && last.root.equals(root);
  if (isPublished && (ended || !isFinal)) return;
  const note = signCheckpoint({ origin, size, root }, keys.checkpoints(origin));
  const signed_at = clock().toISOString();
  await guard.keep(size, note);
  await keepSigned(db, logId, { size, root, note }, signed_at);
  if (isFinal) await guard.end();
  if (isPublished) return;
  const cosigned = await cosign(publisher, head, note);
  if (cosigned === undefined) return;
  const published_at = witnesses ? clock().toISOString() : signed_at;
  await transact(db, (tx) =>
    publishCheckpoint(tx, logId, { size, root, note: cosigned }, { signed_at, published_at }),
  );
}

/** The note with a quorum of cosignatures; undefined where another replica was faster. */
async function cosign(
  { db, witnesses }: Publisher,
  { log_id, year, size }: Head,
  note: string,
): Promise<string | undefined> {
  if (!witnesses) return note;
  const tiles = tileReader(db, log_id);
  const proofFrom = (from: number): Promise<Uint8Array[]> => consistencyProof(from, size, tiles);
  const cosigned = await witnesses.cosign({ size, note, proofFrom });
  if (cosigned.met) return cosigned.note;
  const newest = await readNewestCheckpoint(db, year);
  if (newest && newest.size >= size) return undefined;
  const problems = witnesses.states.flatMap(({ name, problem }) =>
    problem === null ? [] : `${name}: ${problem}`,
  );
  throw new Error(
    `too few witnesses cosigned, and the last checkpoint that enough of them did stays published (${problems.join('; ')})`,
  );
}

async function proveExtension({ db, keys }: Publisher, note: string, head: Head): Promise<void> {
  const opened = openCheckpoint(note, keys.checkpoints(head.origin));
  if (!opened.ok) {
    throw new Error(
      `the last checkpoint was signed with another key than the one at hand (${opened.reason})`,
    );
  }
  const { size, root } = opened.checkpoint;
  if (size > head.size) {
    throw new Error(
      `the log has ${head.size} entries, fewer than the ${size} that were signed: a database was restored to an older state, and nothing is signed until the rest is back`,
    );
  }
  const proof = await consistencyProof(size, head.size, tileReader(db, head.log_id));
  const checked = verifyConsistency({
    from: size,
    to: head.size,
    fromRoot: root,
    toRoot: head.root,
    proof,
  });
  if (!checked.ok)
    throw new Error(`the log does not extend its last checkpoint (${checked.reason})`);
}

/**
 * Are these the keys of this log? A replica with another keys folder must not start: its receipts
 * and checkpoints would be under keys that nobody knows. A second key that the newest checkpoint
 * was not signed with is one that is being brought in.
 * @throws Error when the newest checkpoint was signed with another key.
 */
export async function checkLogKeys(db: Db, { keys }: Pick<Publisher, 'keys'>): Promise<void> {
  const newest = await readNewestCheckpoint(db);
  if (!newest) return;
  const { origin, note } = newest;
  const opened = openNote(note, keys.checkpoints(origin));
  if (opened.ok && opened.unverified.every(({ name }) => name !== origin)) return;
  throw new Error(
    `The keys at hand are not those of the log ${origin}: every replica needs the same DATA_DIR/keys, restored from the backup if they were lost.`,
  );
}
