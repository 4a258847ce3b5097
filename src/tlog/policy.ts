/**
 * Trust policies (C2SP tlog-policy): which logs and witnesses one knows, and which of the
 * witnesses together make a checkpoint good enough to act on.
 */
import { ED25519, ED25519_COSIGNATURE, ML_DSA_44 } from './algorithms.ts';
import { type CheckpointRefusal, openCheckpoint } from './checkpoint.ts';
import type { Checkpoint } from './checkpoint-text.ts';
import { openNote } from './note.ts';
import {
  formatVerifierKey,
  type NoteVerifier,
  parseVerifierKey,
  type VerifierKeyRefusal,
} from './note-key.ts';

export interface PolicyLog {
  readonly verifier: NoteVerifier;
  readonly url?: string;
}

export interface PolicyWitness {
  /** Of this file alone; the key has a name of its own. */
  readonly name: string;
  readonly verifier: NoteVerifier;
  /** Where its `add-checkpoint` is, without that word. */
  readonly url?: string;
}

/** Met when at least `threshold` of its members, witnesses or earlier groups, are. */
interface Group {
  readonly name: string;
  readonly threshold: number;
  readonly members: readonly string[];
}

export interface Policy {
  readonly logs: readonly PolicyLog[];
  readonly witnesses: readonly PolicyWitness[];
  readonly groups: readonly Group[];
  /** Name of a witness or a group, or `none`. */
  readonly quorum: string;
}

/** What is wrong with a policy file, and on which line, counted from 1. */
export interface PolicyRefusal {
  readonly line: number;
  readonly reason:
    | 'control_character'
    | 'unknown_keyword'
    | 'malformed_line'
    | 'malformed_threshold'
    | 'name_taken'
    | 'unknown_name'
    | 'member_twice'
    | 'duplicate_key'
    | 'key_type'
    | 'quorum_twice'
    | 'quorum_missing'
    | 'too_long'
    | VerifierKeyRefusal;
}

export type ParsedPolicy = { ok: true; policy: Policy } | ({ ok: false } & PolicyRefusal);

export type PolicyResult =
  | { ok: true; checkpoint: Checkpoint; witnesses: readonly string[] }
  | { ok: false; reason: CheckpointRefusal | 'quorum_not_met' };

const NONE = 'none';
const LOG_TYPES = [ED25519, ML_DSA_44];
const WITNESS_TYPES = [ED25519_COSIGNATURE, ML_DSA_44];
// The format asks for at least 32 logs, witnesses and groups.
const MAX_LINES = 2_000;

class Refused extends Error {
  readonly reason: PolicyRefusal['reason'];
  constructor(reason: PolicyRefusal['reason']) {
    super(reason);
    this.reason = reason;
  }
}

/** What the lines before have defined. */
interface Draft {
  readonly logs: PolicyLog[];
  readonly witnesses: PolicyWitness[];
  readonly groups: Group[];
  /** Names of witnesses and groups, and whether one is a member of a group already. */
  readonly names: Map<string, boolean>;
  /** Public keys of logs, and of witnesses, in base64. */
  readonly keys: Set<string>;
  /** Logs may have one key, each under its own name. */
  readonly sharedLogKeys: boolean;
  quorum: string | undefined;
}

/**
 * Reads a policy file. Strict: whoever configures it trusts every word of it.
 * @param options.sharedLogKeys for a list of logs and no policy: the shards of a log have one key,
 * each under its own name, which C2SP tlog-policy refuses.
 */
export function parsePolicy(
  text: string,
  { sharedLogKeys = false }: { readonly sharedLogKeys?: boolean } = {},
): ParsedPolicy {
  const draft: Draft = {
    logs: [],
    witnesses: [],
    groups: [],
    names: new Map(),
    keys: new Set(),
    sharedLogKeys,
    quorum: undefined,
  };
  const lines = text.split('\n');
  let line = 0;
  try {
    if (lines.length > MAX_LINES) throw new Refused('too_long');
    for (const each of lines) {
      line += 1;
      readLine(draft, each);
    }
    const { logs, witnesses, groups, quorum } = draft;
    if (quorum === undefined) throw new Refused('quorum_missing');
    return { ok: true, policy: { logs, witnesses, groups, quorum } };
  } catch (error) {
    if (error instanceof Refused) return { ok: false, line, reason: error.reason };
    throw error;
  }
}

/** The text of a policy, as `parsePolicy` reads it. */
export function formatPolicy({ logs, witnesses, groups, quorum }: Policy): string {
  const withUrl = (words: readonly string[], url: string | undefined): string =>
    [...words, ...(url === undefined ? [] : [url])].join(' ');
  const lines = [
    ...logs.map(({ verifier, url }) => withUrl(['log', formatVerifierKey(verifier)], url)),
    ...witnesses.map(({ name, verifier, url }) =>
      withUrl(['witness', name, formatVerifierKey(verifier)], url),
    ),
    ...groups.map(({ name, threshold, members }) =>
      ['group', name, String(threshold), ...members].join(' '),
    ),
    `quorum ${quorum}`,
  ];
  return lines.map((each) => `${each}\n`).join('');
}

/** Is the quorum met by the witnesses with these names of the file? */
export function quorumMet({ groups, quorum }: Policy, cosigned: Iterable<string>): boolean {
  const met = new Set([NONE, ...cosigned]);
  for (const { name, threshold, members } of groups) {
    if (members.filter((each) => met.has(each)).length >= threshold) met.add(name);
  }
  return met.has(quorum);
}

/** The witnesses of the file, by name, whose cosignature on a note holds. */
export function cosignersOf(note: string, { witnesses }: Policy): string[] {
  return witnesses.filter(({ verifier }) => openNote(note, [verifier]).ok).map(({ name }) => name);
}

/** A checkpoint under a policy: signed by one of its logs, cosigned by its quorum. */
export function openUnderPolicy(note: string, policy: Policy): PolicyResult {
  const opened = openCheckpoint(
    note,
    policy.logs.map(({ verifier }) => verifier),
  );
  if (!opened.ok) return opened;
  const witnesses = cosignersOf(note, policy);
  if (!quorumMet(policy, witnesses)) return { ok: false, reason: 'quorum_not_met' };
  return { ok: true, checkpoint: opened.checkpoint, witnesses };
}

function readLine(draft: Draft, line: string): void {
  // oxlint-disable-next-line no-control-regex -- what the format allows is tab alone
  if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(line)) throw new Refused('control_character');
  const [keyword, ...words] = line.split(/[ \t]+/).filter((word) => word !== '');
  if (keyword === undefined || keyword.startsWith('#')) return;
  switch (keyword) {
    case 'log':
      return readLog(draft, words);
    case 'witness':
      return readWitness(draft, words);
    case 'group':
      return readGroup(draft, words);
    case 'quorum':
      return readQuorum(draft, words);
    default:
      throw new Refused('unknown_keyword');
  }
}

function readLog(draft: Draft, [vkey, url, ...rest]: readonly string[]): void {
  if (vkey === undefined || rest.length > 0) throw new Refused('malformed_line');
  const verifier = readKey(draft, 'log', vkey);
  draft.logs.push({ verifier, ...(url !== undefined && { url }) });
}

function readWitness(draft: Draft, [name, vkey, url, ...rest]: readonly string[]): void {
  if (name === undefined || vkey === undefined || rest.length > 0) {
    throw new Refused('malformed_line');
  }
  const verifier = readKey(draft, 'witness', vkey);
  define(draft, name);
  draft.witnesses.push({ name, verifier, ...(url !== undefined && { url }) });
}

function readGroup(draft: Draft, [name, k, ...members]: readonly string[]): void {
  if (name === undefined || k === undefined || members.length === 0) {
    throw new Refused('malformed_line');
  }
  for (const member of members) {
    const taken = draft.names.get(member);
    if (taken === undefined) throw new Refused('unknown_name');
    if (taken) throw new Refused('member_twice');
    draft.names.set(member, true);
  }
  define(draft, name);
  draft.groups.push({ name, threshold: readThreshold(k, members.length), members });
}

function readThreshold(k: string, count: number): number {
  if (k === 'any') return 1;
  if (k === 'all') return count;
  const threshold = /^[1-9][0-9]{0,3}$/.test(k) ? Number(k) : 0;
  if (threshold < 1 || threshold > count) throw new Refused('malformed_threshold');
  return threshold;
}

function readQuorum(draft: Draft, [name, ...rest]: readonly string[]): void {
  if (name === undefined || rest.length > 0) throw new Refused('malformed_line');
  if (draft.quorum !== undefined) throw new Refused('quorum_twice');
  if (name !== NONE && !draft.names.has(name)) throw new Refused('unknown_name');
  draft.quorum = name;
}

function define({ names }: Draft, name: string): void {
  if (name === NONE || names.has(name)) throw new Refused('name_taken');
  names.set(name, false);
}

function readKey(
  { keys, sharedLogKeys }: Draft,
  kind: 'log' | 'witness',
  vkey: string,
): NoteVerifier {
  const parsed = parseVerifierKey(vkey);
  if (!parsed.ok) throw new Refused(parsed.reason);
  const { name, type, publicKey } = parsed.verifier;
  if (!(kind === 'log' ? LOG_TYPES : WITNESS_TYPES).includes(type)) throw new Refused('key_type');
  const owner = kind === 'log' && sharedLogKeys ? `log ${name}` : kind;
  const key = `${owner} ${Buffer.from(publicKey).toString('base64')}`;
  if (keys.has(key)) throw new Refused('duplicate_key');
  keys.add(key);
  return parsed.verifier;
}
