import type { KeyObject } from 'node:crypto';
import { type Db, transact } from '../db/connection.ts';
import {
  judgeCheckpoint,
  type Refusal,
  nothingSeen,
  originOf,
  parseAddCheckpoint,
} from '../tlog/add-checkpoint.ts';
import { signNote } from '../tlog/note.ts';
import { cosigner, formatVerifierKey, type NoteVerifier } from '../tlog/note-key.ts';
import { sha256 } from '../ids.ts';
import {
  insertWitnessedLog,
  lockWitnessedLog,
  readWitnessedLog,
  updateWitnessedLog,
} from './witness-store.ts';

/** This service as a witness of other logs. */
export interface Witness {
  readonly name: string;
  /** An Ed25519 and an ML-DSA-44 private key: it cosigns with both. */
  readonly keys: readonly KeyObject[];
  /** The keys of the logs that it witnesses, by origin. */
  readonly logs: ReadonlyMap<string, readonly NoteVerifier[]>;
}

/** An answer of C2SP tlog-witness. */
export interface WitnessAnswer {
  readonly status: 200 | 400 | 403 | 404 | 409 | 422;
  readonly type: string;
  readonly body: string;
}

const TEXT = 'text/plain; charset=utf-8';
const SIZE = 'text/x.tlog.size';

/**
 * Answers `add-checkpoint`. What is cosigned is stored in the same transaction that has looked at
 * what was cosigned before, and committed before the answer leaves: two calls at once, to any
 * replicas, are one after the other. A crash before the answer leaves the tree cosigned; the log
 * asks again from there and gets the same statement. It leaves no event: two services that witness
 * one another would make each other's logs grow for ever.
 * @param now POSIX seconds.
 */
export async function addCheckpoint(
  db: Db,
  witness: Witness,
  body: string,
  now: Date,
): Promise<WitnessAnswer> {
  const call = parseAddCheckpoint(body);
  if (!call) return { status: 400, type: TEXT, body: 'not an add-checkpoint body\n' };
  const origin = originOf(call.checkpoint);
  const verifiers = origin === undefined ? undefined : witness.logs.get(origin);
  if (origin === undefined) return answerOf({ status: 400, reason: 'not a signed checkpoint' });
  if (!verifiers) return answerOf({ status: 404, reason: 'unknown log' });
  await insertWitnessedLog(db, { origin, ...nothingSeen });
  return transact(db, async (tx) => {
    const seen = await lockWitnessedLog(tx, origin);
    const judged = judgeCheckpoint(call, { verifiers, seen });
    if (!judged.ok) return answerOf(judged);
    const time = Math.floor(now.getTime() / 1000);
    const signers = witness.keys.map((key) => cosigner(witness.name, key, time));
    const lines = signNote(judged.text, signers).slice(judged.text.length + 1);
    const { size, root } = judged.checkpoint;
    const note = call.checkpoint + lines;
    await updateWitnessedLog(
      tx,
      origin,
      { size, root: Buffer.from(root), note },
      now.toISOString(),
    );
    return { status: 200, type: TEXT, body: lines };
  });
}

/** The verifier keys of this witness, one a line. */
export function witnessKeys({ name, keys }: Witness): string {
  return keys.map((key) => `${formatVerifierKey(cosigner(name, key, 1))}\n`).join('');
}

/**
 * The newest checkpoint that was cosigned of the log whose origin has this SHA-256 (hex), as
 * monitors ask for it; undefined where there is none.
 */
export async function cosignedCheckpoint(
  db: Db,
  { logs }: Witness,
  originSha256: string,
): Promise<string | undefined> {
  const origin = [...logs.keys()].find((each) => sha256(each) === originSha256);
  const seen = origin === undefined ? undefined : await readWitnessedLog(db, origin);
  return seen?.note ?? undefined;
}

function answerOf(refusal: Refusal): WitnessAnswer {
  if (refusal.status === 409) return { status: 409, type: SIZE, body: `${refusal.size}\n` };
  return { status: refusal.status, type: TEXT, body: `${refusal.reason}\n` };
}
