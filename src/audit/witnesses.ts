import { formatAddCheckpoint } from '../tlog/add-checkpoint.ts';
import { openNote } from '../tlog/note.ts';
import type { NoteVerifier } from '../tlog/note-key.ts';
import { type Policy, type PolicyWitness, quorumMet } from '../tlog/policy.ts';

/** A checkpoint to be cosigned, and how to prove to a witness that it extends what that one saw. */
export interface ToCosign {
  readonly size: number;
  /** Signed by the log. */
  readonly note: string;
  readonly proofFrom: (size: number) => Promise<readonly Uint8Array[]>;
}

/** What is known of a witness, by its name in the policy. */
export interface WitnessState {
  readonly name: string;
  /** Size of the tree that it has cosigned last, as far as this process knows. */
  readonly size: number;
  readonly cosigned_at: string | null;
  /** Why it did not cosign when it was last asked; null when it did. */
  readonly problem: string | null;
}

export interface Cosigned {
  /** The note with the cosignatures that came. */
  readonly note: string;
  /** Is the quorum of the policy met? */
  readonly met: boolean;
}

const TIMEOUT_MS = 1_000;
const MAX_ANSWER = 64 * 1024;

interface Asked {
  readonly witness: PolicyWitness & { readonly url: string };
  state: WitnessState;
}

/**
 * The outside witnesses of this log (C2SP tlog-witness, as client). Each remembers nothing of us
 * but a size; what this process knows of it is a guess that the witness itself corrects.
 */
export class Witnesses {
  readonly #policy: Policy;
  readonly #asked: readonly Asked[];
  readonly #clock: () => Date;

  /** @throws Error for a witness without an address. */
  constructor(policy: Policy, clock: () => Date) {
    this.#policy = policy;
    this.#clock = clock;
    this.#asked = policy.witnesses.map(({ name, verifier, url }) => {
      if (url === undefined) throw new Error(`the witness ${name} has no address to be asked at`);
      const state = { name, size: 0, cosigned_at: null, problem: null };
      return { witness: { name, verifier, url }, state };
    });
  }

  get states(): readonly WitnessState[] {
    return this.#asked.map(({ state }) => state);
  }

  /**
   * Asks all witnesses at once, a second at most, and returns as soon as the quorum is met or all
   * have answered. It never rejects: who did not cosign has a problem in `states`.
   */
  cosign(checkpoint: ToCosign): Promise<Cosigned> {
    const names: string[] = [];
    let { note } = checkpoint;
    return new Promise((resolve) => {
      const result = (): Cosigned => ({ note, met: quorumMet(this.#policy, names) });
      const all = this.#asked.map(async (each) => {
        const lines = await this.#ask(each, checkpoint);
        if (lines === undefined) return;
        names.push(each.witness.name);
        note += lines;
        if (quorumMet(this.#policy, names)) resolve(result());
      });
      void Promise.all(all).then(() => resolve(result()));
    });
  }

  /** The lines of a witness's cosignature; undefined when it gave none. */
  async #ask(asked: Asked, checkpoint: ToCosign): Promise<string | undefined> {
    const { witness } = asked;
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    try {
      let answer = await submit(witness, checkpoint, asked.state.size, signal);
      if (answer.status === 409) {
        // It knows better than we what it cosigned: after a restart, or after another replica asked.
        answer = await submit(witness, checkpoint, sizeIn(answer.text, checkpoint), signal);
      }
      if (answer.status !== 200) throw new Error(`it answered ${answer.status}`);
      const lines = cosignatureIn(answer.text, checkpoint.note, witness.verifier);
      asked.state = {
        name: witness.name,
        size: checkpoint.size,
        cosigned_at: this.#clock().toISOString(),
        problem: null,
      };
      return lines;
    } catch (error) {
      const problem = signal.aborted ? 'no answer within a second' : messageOf(error);
      asked.state = { ...asked.state, problem };
      return undefined;
    }
  }
}

async function submit(
  { url }: Asked['witness'],
  { note, size, proofFrom }: ToCosign,
  known: number,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> {
  const oldSize = Math.min(known, size);
  const body = formatAddCheckpoint({ oldSize, proof: await proofFrom(oldSize), checkpoint: note });
  const response = await fetch(`${url.replace(/\/$/, '')}/add-checkpoint`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    body,
    redirect: 'error',
    signal,
  });
  return { status: response.status, text: await limitedText(response) };
}

async function limitedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_ANSWER) throw new Error('its answer is too long');
  }
  return text;
}

function sizeIn(text: string, { size }: ToCosign): number {
  const seen = /^(?:0|[1-9][0-9]{0,15})\n$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(seen)) throw new Error('it answered 409 without a size');
  if (seen > size) throw new Error(`it has cosigned ${seen} entries, this log has ${size}`);
  return seen;
}

/** The lines in an answer that are this witness's signature over the note. */
function cosignatureIn(text: string, note: string, verifier: NoteVerifier): string {
  for (const line of text.split('\n')) {
    if (openNote(`${note}${line}\n`, [verifier]).ok) return `${line}\n`;
  }
  throw new Error('its answer has no cosignature of its key');
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  return error.cause instanceof Error ? error.cause.message : error.message;
}
