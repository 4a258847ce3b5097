import { newId, randomToken, sha256 } from '../ids.ts';
import { leafHash } from '../tlog/leaf.ts';
import { canonicalText } from './canonical.ts';
import { joinDisclosures, putBack, seal } from './disclosures.ts';

/** What a change or a decision tells the record. */
export interface EventInput {
  /** The operation that caused it. */
  readonly type: string;
  readonly actor: string;
  readonly role: string;
  /** Identifiers of what it is about: no personal data, no free text. */
  readonly subject_ids: readonly string[];
  /** `success`, or the effect of a decision. */
  readonly outcome: string;
  /** What happened, in full; lies beside the leaf. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** An event as it is stored: the exact bytes of the leaf, and the body that the leaf binds. */
export interface SealedEvent {
  readonly event_id: string;
  readonly type: string;
  readonly time: string;
  /** Pseudonym of the actor. */
  readonly actor: string;
  readonly role: string;
  readonly subject_ids: readonly string[];
  readonly outcome: string;
  readonly leaf: Buffer;
  readonly leaf_hash: Buffer;
  readonly body: Buffer;
  /** What may have to be erased, see `disclosures.ts`. */
  readonly disclosures: string;
}

const VERSION = 1;

/**
 * Makes the leaf and the body of an event. The leaf is the canonical JSON (RFC 8785) of
 * `{v, event_id, type, time, actor, role, subject_ids, outcome, body_sha256, nonce}`. The nonce
 * keeps a leaf hash from being guessed; the body's own salt keeps its digest from being guessed
 * once the body has been erased. What may have to be erased before the rest lies beside the body.
 * @param time RFC 3339 in UTC. @param pseudonym maps the actor to what may stand in a leaf.
 */
export function sealEvent(
  input: EventInput,
  time: string,
  pseudonym: (actor: string) => string,
): SealedEvent {
  const event_id = newId(Date.parse(time));
  const sealed = seal({ ...input.body, actor: input.actor });
  const body = canonicalBytes({ ...sealed.body, salt: randomToken() });
  const actor = pseudonym(input.actor);
  const { type, role, subject_ids, outcome } = input;
  // In the order in which they are written: in another one they would be sorted first.
  const leaf = canonicalBytes({
    actor,
    body_sha256: sha256(body),
    event_id,
    nonce: randomToken(),
    outcome,
    role,
    subject_ids,
    time,
    type,
    v: VERSION,
  });
  return {
    event_id,
    type,
    time,
    actor,
    role,
    subject_ids,
    outcome,
    leaf,
    leaf_hash: Buffer.from(leafHash(leaf)),
    body,
    disclosures: joinDisclosures(sealed.disclosures),
  };
}

/** What a leaf says. @throws SyntaxError for a leaf that is no JSON. */
export function readLeaf(leaf: Buffer): Readonly<Record<string, unknown>> {
  return JSON.parse(leaf.toString('utf8')) as Record<string, unknown>;
}

/**
 * What the body of a stored event says, with what lies beside it in its place; empty where all of
 * it was erased. The bytes that the leaf binds are `row.body`.
 * @throws SyntaxError for a body that is no JSON.
 */
export function bodyOf(row: {
  readonly body: Buffer | null;
  readonly disclosures: string | null;
}): Record<string, unknown> {
  if (row.body === null) return {};
  const body = JSON.parse(row.body.toString('utf8')) as Record<string, unknown>;
  return putBack(body, row.disclosures);
}

/** Who acted, as the issuer names them; the pseudonym of the leaf once the name is erased. */
export function actorOf(row: Parameters<typeof bodyOf>[0] & { readonly actor: string }): string {
  const { actor } = bodyOf(row);
  return typeof actor === 'string' ? actor : row.actor;
}

/** Does the leaf bind this body? */
export function leafBindsBody(leaf: ReturnType<typeof readLeaf>, body: Uint8Array): boolean {
  return leaf['body_sha256'] === sha256(body);
}

/**
 * What a body says, with what lies beside it in its place; undefined where the leaf does not bind
 * it, or it is gone.
 */
export function boundBody(
  event: Parameters<typeof bodyOf>[0] & { readonly leaf: Buffer },
): Readonly<Record<string, unknown>> | undefined {
  try {
    if (!event.body || !leafBindsBody(readLeaf(event.leaf), event.body)) return undefined;
    return bodyOf(event);
  } catch {
    return undefined;
  }
}

const SHOWN = ['event_id', 'type', 'time', 'actor', 'role', 'outcome'] as const;

/** Does the leaf say what the row beside it shows? */
export function leafShows(
  leaf: ReturnType<typeof readLeaf>,
  row: Readonly<Record<(typeof SHOWN)[number] | 'subject_ids', unknown>>,
): boolean {
  return (
    SHOWN.every((key) => leaf[key] === row[key]) &&
    JSON.stringify(leaf['subject_ids']) === JSON.stringify(row.subject_ids)
  );
}

/** Canonical JSON (RFC 8785) in UTF-8. @throws TypeError for what JSON cannot hold. */
function canonicalBytes(value: unknown): Buffer {
  return Buffer.from(canonicalText(value), 'utf8');
}
