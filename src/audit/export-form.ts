import { type Checkpoint, parseCheckpoint } from '../tlog/checkpoint-text.ts';
import { parseNote } from '../tlog/note.ts';
import { joinDisclosures, putBack } from './disclosures.ts';
import type { EventRow } from './store.ts';

export const EXPORT_FORMAT = 'umutungo-export@v1';

/** What an export is; its first line where it is JSONL. */
export interface ExportHeader {
  readonly format: typeof EXPORT_FORMAT;
  /** Origin and year of the shard that it is of. */
  readonly origin: string;
  readonly shard: number;
  /** Index of the first entry, and of the first that is no more in it. */
  readonly from: number;
  readonly to: number;
  readonly filtered: boolean;
  /** In the words of the API. */
  readonly filter: Readonly<Record<string, unknown>>;
  /** What it proves, for people. */
  readonly complete: string;
  /** The signed note that it is under, and when the log signed it. */
  readonly checkpoint: string;
  readonly signed_at: string;
  /** The log's verifier keys, one a line. */
  readonly vkeys: string;
  /** Base64 of the roots before the range; empty with a filter. */
  readonly left: readonly string[];
}

/**
 * An event as JSONL has it: the exact bytes of its leaf and of the body that the leaf binds, null
 * where all of it was erased.
 */
export interface ExportRow {
  readonly index: number;
  readonly leaf_hash: string;
  readonly leaf: string;
  readonly body: string | null;
  /** The values that lie beside the body, as disclosures. */
  readonly disclosures?: readonly string[];
  /** The values that did, and which events took them away. */
  readonly erased?: EventRow['erased'];
  /** Base64 of the path to the root of the checkpoint; only with a filter. */
  readonly proof?: readonly string[];
}

/** An export before it has a form. Every form is a function of this and of nothing else. */
export interface Export {
  readonly header: ExportHeader;
  /** Rows that the caller has of one that was broken off; what was before them is not written again. */
  readonly resumed?: number | undefined;
  readonly rows: AsyncIterable<ExportRow>;
  /** Base64 of the roots after the range; to be asked for once the rows are read. */
  readonly right: () => readonly string[];
}

/** How events are written down. The last bytes say that an export is whole; without them it is not. */
export interface ExportForm {
  readonly mediaType: string;
  readonly extension: string;
  /** Whether the rest of an export that was broken off can be written alone. */
  readonly resumable: boolean;
  /** Whether it has the proofs of a filter's rows. */
  readonly proves: boolean;
  write(exported: Export): AsyncIterable<string | Uint8Array>;
}

/** What an event says, in columns: what its leaf binds, and of its body whose and which rules. */
export interface EventColumns {
  readonly event_id: string;
  readonly type: string;
  /** RFC 3339 in UTC, to the millisecond. */
  readonly time: string;
  readonly pseudonym: string;
  /** Empty where the body does not say it. */
  readonly actor: string;
  readonly role: string;
  readonly outcome: string;
  readonly subject_ids: readonly string[];
  readonly deny: readonly string[];
  readonly review: readonly string[];
  readonly obligations: readonly string[];
  /** With the values that lie beside it in their places. */
  readonly body: Readonly<Record<string, unknown>>;
}

export function columnsOf({
  leaf,
  body: text,
  disclosures = [],
}: Pick<ExportRow, 'leaf' | 'body' | 'disclosures'>): EventColumns {
  const bound = JSON.parse(leaf) as Record<string, unknown>;
  const body = putBack(readBody(text ?? '{}'), joinDisclosures(disclosures));
  return {
    event_id: String(bound['event_id']),
    type: String(bound['type']),
    time: String(bound['time']),
    pseudonym: String(bound['actor']),
    actor: typeof body['actor'] === 'string' ? body['actor'] : '',
    role: String(bound['role']),
    outcome: String(bound['outcome']),
    subject_ids: textsOf(bound['subject_ids']),
    deny: textsOf(body['deny']),
    review: textsOf(body['review']),
    obligations: textsOf(body['obligations']),
    body,
  };
}

/** A body that is no JSON any more says nothing; `log verify` says what happened to it. */
function readBody(text: string): Readonly<Record<string, unknown>> {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** The checkpoint in a signed note; its signatures are for the verifier. @throws Error for none. */
export function checkpointIn(note: string): Checkpoint {
  const parsed = parseNote(note);
  const checkpoint = parsed && parseCheckpoint(parsed.text);
  if (!checkpoint) throw new Error('The export names no checkpoint.');
  return checkpoint;
}
