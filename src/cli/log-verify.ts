import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  previousIn,
  problemsOfChain,
  type ReadShard,
  trustIn,
  type WholeReport,
  wholeReport,
} from '../audit/shards.ts';
import { verifyStoredLog } from '../audit/verify.ts';
import type { Config } from '../config.ts';
import { counted } from '../counted.ts';
import { connect } from '../db/connection.ts';
import { encodeBase64 } from '../tlog/encoding.ts';
import { type NoteVerifier, parseVerifierKey } from '../tlog/note-key.ts';
import { parsePolicy, type Policy } from '../tlog/policy.ts';
import { verifyTiles } from '../tlog/verify-tiles.ts';
import { isUrl, type ShardSource, shardsAt } from './log-source.ts';
import { progressLine } from './progress.ts';
import { openStoredDatabase } from './stored-database.ts';

export interface LogVerifyOptions {
  readonly vkey?: string;
  readonly checkpoint?: readonly string[];
  readonly policy?: string;
  readonly token?: string;
  readonly json?: boolean;
}

/** What the caller trusts: nothing of it comes from the log. */
interface Trust {
  readonly verifiers?: readonly NoteVerifier[];
  readonly policy?: Policy;
  readonly trustedCheckpoints: readonly string[];
}

/** Of both kinds of verifying. */
interface Report extends WholeReport {
  readonly ok: boolean;
  readonly problems: readonly {
    readonly code: string;
    readonly index?: number;
    readonly event_id?: string;
    readonly origin?: string;
    readonly detail: string;
  }[];
  /** Events that wait for their index, where that is known. */
  readonly pending?: number;
  /** Values that were erased, as events of the log say, where that is known. */
  readonly erased?: number;
  /** Events whose bodies went with their whole shard, where that is known. */
  readonly pruned?: number;
}

/**
 * Verifies a log and says in one line what was checked: that of a folder or URL in tlog-tiles
 * form, or else the one in the database. 0 whole, 1 damaged, 2 no answer.
 */
export async function runLogVerify(
  config: () => Config,
  from: string | undefined,
  options: LogVerifyOptions,
): Promise<number> {
  const trust = await readTrust(from, options);
  const progress = progressLine('entries checked');
  const report = await (from === undefined
    ? verifyDatabase(config(), trust, progress)
    : verifyShards(await shardsAt(from, options.token), trust, progress));
  progress(undefined);
  if (options.json) console.log(JSON.stringify(report, rootsAsText));
  else console.log(lineOf(report, from, trust));
  return report.ok ? 0 : 1;
}

function rootsAsText(key: string, value: unknown): unknown {
  return key === 'root' && value instanceof Uint8Array ? encodeBase64(value) : value;
}

/** Each shard of a published log, and how they are linked. */
async function verifyShards(
  sources: readonly ShardSource[],
  { policy, ...trust }: Trust,
  progress: (checked: number, size: number) => void,
): Promise<Report> {
  const named = await Promise.all(
    sources.map(async ({ read }) => {
      const [origin = ''] = Buffer.from((await read('checkpoint')) ?? [])
        .toString('utf8')
        .split('\n');
      return { read, origin };
    }),
  );
  const origins = named.map(({ origin }) => origin);
  const shards: ReadShard[] = [];
  const problems: Report['problems'][number][] = [];
  for (const { read, origin } of named) {
    const { first, ...report } = await verifyTiles({
      read,
      ...trustIn(trust, origin, origins),
      ...(policy && { policy }),
      progress,
    });
    const previous = previousIn(first, first && (await read('previous')));
    shards.push({ ...report, previous, problems: [] });
    problems.push(
      ...report.problems.map((each) => (named.length > 1 ? { ...each, origin } : each)),
    );
  }
  problems.push(...problemsOfChain(shards, false));
  const ok = problems.length === 0;
  return { ...wholeReport(shards), ok, problems };
}

async function verifyDatabase(
  config: Config,
  { policy, ...trust }: Trust,
  progress: (checked: number) => void,
): Promise<Report> {
  if (policy) {
    throw new Error('--policy is for a published log: give its folder or URL');
  }
  await using database = await openStoredDatabase(config);
  await using connection = connect(database.url, 2);
  return await verifyStoredLog(connection.db, trust, progress);
}

async function readTrust(
  from: string | undefined,
  { vkey, policy: policyFile, checkpoint = [] }: LogVerifyOptions,
): Promise<Trust> {
  const keys = vkey === undefined ? [] : await readVerifiers(vkey);
  const policy = policyFile === undefined ? undefined : await readPolicy(policyFile);
  const verifiers = [...keys, ...(policy?.logs ?? []).map(({ verifier }) => verifier)];
  const files = [...checkpoint, ...(await copiedCheckpoints(from))];
  return {
    trustedCheckpoints: await Promise.all(files.map((file) => readFile(file, 'utf8'))),
    ...(verifiers.length > 0 && { verifiers: withoutTwins(verifiers) }),
    ...(policy && { policy }),
  };
}

/** The checkpoints that earlier copies of the log's shards have left in a folder. */
async function copiedCheckpoints(from: string | undefined): Promise<string[]> {
  if (from === undefined || isUrl(from)) return [];
  const folders = (await shardsAt(from, undefined)).map(({ name }) => join(from, name));
  const found = folders.map(async (folder) => {
    const names = (await readdir(folder)).filter((name) => /^checkpoint\.\d+$/.test(name));
    return names.map((name) => join(folder, name));
  });
  return (await Promise.all(found)).flat();
}

async function readVerifiers(given: string): Promise<NoteVerifier[]> {
  const text = given.includes('+') ? given : await readFile(given, 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const parsed = parseVerifierKey(line.trim());
      if (!parsed.ok) throw new Error(`--vkey is no verifier key: ${parsed.reason}`);
      return parsed.verifier;
    });
}

async function readPolicy(file: string): Promise<Policy> {
  const parsed = parsePolicy(await readFile(file, 'utf8'));
  if (!parsed.ok) throw new Error(`${file}, line ${parsed.line}: ${parsed.reason}`);
  return parsed.policy;
}

/** A key that is given twice would make each of its signatures ambiguous. */
function withoutTwins(verifiers: readonly NoteVerifier[]): NoteVerifier[] {
  return [...new Map(verifiers.map((each) => [`${each.name} ${each.keyId}`, each])).values()];
}

/** One wrong key makes every checkpoint a problem: a line for each kind is enough to act on. */
function firstOfEach(problems: Report['problems']): Report['problems'] {
  return problems.filter(({ code }, i) => problems.findIndex((each) => each.code === code) === i);
}

function lineOf(report: Report, from: string | undefined, trust: Trust): string {
  const {
    entriesChecked,
    size,
    root,
    checkpointsChecked,
    pending = 0,
    erased = 0,
    pruned = 0,
    problems,
    shards,
  } = report;
  if (!report.ok) {
    return firstOfEach(problems)
      .map(({ code, index, event_id, origin, detail }) => {
        const where = [
          origin === undefined ? '' : ` in ${origin}`,
          index === undefined ? '' : ` at index ${index}`,
          event_id === undefined ? '' : ` (event ${event_id})`,
        ].join('');
        const more = problems.filter((each) => each.code === code).length - 1;
        const others = more > 0 ? ` (and ${more} more of this kind; --json lists them)` : '';
        return `DAMAGED ${code}${where}: ${detail}${others}`;
      })
      .join('\n');
  }
  const what =
    from === undefined
      ? `${counted(entriesChecked, 'event')}, their hashes and bodies`
      : `${counted(entriesChecked, 'entry', 'entries')}, the tiles over them`;
  const checkpoints = counted(checkpointsChecked, 'checkpoint');
  const checked = `${what}, the root ${encodeBase64(root)} of size ${size}, ${checkpoints}${chainOf(shards)}`;
  const waiting =
    pending > 0
      ? `; ${counted(pending, 'event waits for its index', 'events wait for their index')}`
      : '';
  const whole =
    pruned > 0
      ? `, ${counted(pruned, 'body', 'bodies')} of events among them with their whole shard`
      : '';
  const gone =
    erased > 0
      ? `; ${counted(erased, 'value is', 'values are')} erased, as events of the log say${whole}`
      : '';
  return `OK ${checked}${waiting}${gone}: ${proofOf(trust)}.`;
}

/** How the shards hang together. */
function chainOf(shards: Report['shards']): string {
  const [first] = shards;
  const before = first?.previous
    ? `; it continues ${first.previous.origin}, which is not here, from ${first.previous.size} entries and the root ${first.previous.root}`
    : '';
  if (shards.length < 2) return before;
  const names = shards.map(({ origin, size: entries }) => `${origin} (${entries})`);
  return `${before}; ${shards.length} shards, each linked to the one before it: ${names.join(', ')}`;
}

function proofOf({ verifiers, policy, trustedCheckpoints }: Trust): string {
  const extended = trustedCheckpoints.length > 0;
  if (!verifiers) {
    const kept = extended
      ? ', and it extends the checkpoint given (its signature was not checked)'
      : '';
    return `self-consistent only${kept}: give --vkey and --checkpoint that you kept to prove that nobody rewrote it`;
  }
  return [
    'signed by the key given',
    extended ? 'extends the checkpoint given' : '',
    policy ? `cosigned by the quorum "${policy.quorum}"` : '',
  ]
    .filter(Boolean)
    .join(', ');
}
