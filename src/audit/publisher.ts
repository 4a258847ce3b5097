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
  readHead,
  readNewestCheckpoint,
  readSigned,
} from './store.ts';
import type { Witnesses } from './witnesses.ts';

/** What publishing takes. */
export interface Publisher {
  readonly db: Db;
  readonly origin: string;
  readonly keys: LogKeys;
  /** What was signed, kept outside the database. */
  readonly guard: Guard;
  /** Undefined where the policy asks for none. */
  readonly witnesses: Witnesses | undefined;
  readonly clock: () => Date;
}

/**
 * Signs a checkpoint of the present head, has it cosigned and publishes it, if it is new. Before
 * that it proves that the head extends what was signed last, in the database and outside it, so
 * that this log never signs two inconsistent checkpoints.
 *
 * If we crash after signing, the next one is proved against what was signed; if after the
 * witnesses have cosigned, they are asked again and say the same.
 * @throws Error when the log does not extend what was signed (then nothing is signed), and when
 * too few witnesses cosigned (then the last published checkpoint stays).
 */
export async function publish(publisher: Publisher): Promise<void> {
  const { db, keys, guard, witnesses, clock } = publisher;
  // In this order: another replica may sequence, sign and publish between two of these reads, and
  // the head must not be older than what it is compared with.
  const kept = await guard.newest();
  const signed = await readSigned(db);
  const last = await readNewestCheckpoint(db);
  const head = await readHead(db);
  if (!head) throw new Error('the log has no head');
  for (const note of new Set([kept, signed?.note])) {
    if (note !== undefined) await proveExtension(publisher, note, head);
  }
  const { origin, size, root } = head;
  if (last?.size === size && last.root.equals(root)) return;
  const note = signCheckpoint({ origin, size, root }, keys.checkpoints);
  const signed_at = clock().toISOString();
  await guard.keep(size, note);
  await keepSigned(db, { size, root, note }, signed_at);
  const cosigned = await cosign(publisher, size, note);
  if (cosigned === undefined) return;
  const published_at = witnesses ? clock().toISOString() : signed_at;
  await transact(db, (tx) =>
    publishCheckpoint(tx, { size, root, note: cosigned }, { signed_at, published_at }),
  );
}

/** The note with a quorum of cosignatures; undefined where another replica was faster. */
async function cosign(
  { db, witnesses }: Publisher,
  size: number,
  note: string,
): Promise<string | undefined> {
  if (!witnesses) return note;
  const tiles = tileReader(db);
  const proofFrom = (from: number): Promise<Uint8Array[]> => consistencyProof(from, size, tiles);
  const cosigned = await witnesses.cosign({ size, note, proofFrom });
  if (cosigned.met) return cosigned.note;
  const newest = await readNewestCheckpoint(db);
  if (newest && newest.size >= size) return undefined;
  const problems = witnesses.states.flatMap(({ name, problem }) =>
    problem === null ? [] : `${name}: ${problem}`,
  );
  throw new Error(
    `too few witnesses cosigned, and the last checkpoint that enough of them did stays published (${problems.join('; ')})`,
  );
}

async function proveExtension({ db, keys }: Publisher, note: string, head: Head): Promise<void> {
  const opened = openCheckpoint(note, keys.checkpoints);
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
  const proof = await consistencyProof(size, head.size, tileReader(db));
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
export async function checkLogKeys(
  db: Db,
  { origin, keys }: Pick<Publisher, 'origin' | 'keys'>,
): Promise<void> {
  const newest = await readNewestCheckpoint(db);
  if (!newest) return;
  const opened = openNote(newest.note, keys.checkpoints);
  if (opened.ok && opened.unverified.every(({ name }) => name !== origin)) return;
  throw new Error(
    `The keys at hand are not those of the log ${origin}: every replica needs the same DATA_DIR/keys, restored from the backup if they were lost.`,
  );
}
