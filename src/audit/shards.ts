/** What binds the shards of the log, one for each year, to one another. */
import { encodeBase64 } from '../tlog/encoding.ts';
import { emptyRoot } from '../tlog/leaf.ts';
import { type NoteVerifier, renamed } from '../tlog/note-key.ts';
import type { LogReport } from '../tlog/verify.ts';
import { leafBindsBody, readLeaf } from './event.ts';
import type { Head } from './log-store.ts';

/** The type of a shard's first event, where another shard came before it. */
export const TURN = 'turnLog';

/** The final state of a shard, as the first event of the next one says it. */
export interface FinalShard {
  readonly origin: string;
  readonly size: number;
  /** Base64. */
  readonly root: string;
}

/** Body of the event that a shard begins with. */
export function bodyOfTurn({ origin, size, root }: Pick<Head, 'origin' | 'size' | 'root'>): {
  readonly previous: FinalShard;
} {
  return { previous: { origin, size, root: encodeBase64(root) } };
}

/**
 * The origin of the shard of a year: that of the one before it with the new year at its end.
 * It was never used: the last segment of an origin is an earlier year, or none.
 */
export function nextOrigin(origin: string, year: number): string {
  const [, stem, ended] = /^(.*)\/([12]\d{3})$/.exec(origin) ?? [];
  return `${ended !== undefined && Number(ended) < year ? stem : origin}/${year}`;
}

/**
 * What the first entry of a shard says of the one before it: undefined where there was none, null
 * where there was one and the body, the bytes, does not say how it ended or is not the entry's.
 */
export function previousIn(
  entry: Uint8Array | null | undefined,
  body: Uint8Array | null | undefined,
): FinalShard | null | undefined {
  try {
    const leaf = readLeaf(Buffer.from(entry ?? []));
    if (leaf['type'] !== TURN) return undefined;
    if (!body || !leafBindsBody(leaf, body)) return null;
    const said = JSON.parse(Buffer.from(body).toString('utf8')) as { previous?: FinalShard };
    const { origin, size, root } = said.previous ?? {};
    if (origin === undefined || size === undefined || root === undefined) return null;
    return { origin, size, root };
  } catch {
    return entry ? null : undefined;
  }
}

/** A shard that was read, and what its first event says of the one before it. */
export interface ReadShard extends LogReport {
  readonly origin: string;
  readonly previous: FinalShard | null | undefined;
}

/** A break between two shards. */
export interface LinkProblem {
  readonly code: 'shard_not_linked';
  readonly origin: string;
  readonly detail: string;
}

/**
 * Is each shard continued by one other, and named by it as it ended? What shards are given is all
 * that there is: else only a single one may continue one that is not there.
 */
export function problemsOfChain(shards: readonly ReadShard[], all: boolean): LinkProblem[] {
  const problems: LinkProblem[] = [];
  const continued = new Set<string>();
  let begun = false;
  for (const { origin, previous } of shards) {
    const add = (detail: string): void => {
      problems.push({ code: 'shard_not_linked', origin, detail });
    };
    if (previous === null) {
      add('the first event does not say how the shard before it ended');
    } else if (previous === undefined) {
      if (begun) add('the first event names no shard before it');
      begun = true;
    } else {
      const before = shards.find((each) => each.origin === previous.origin);
      const says = `the first event says that ${previous.origin} ended with ${previous.size} entries and the root ${previous.root}`;
      if (!before) {
        if (all || shards.length > 1) add(`${says}, and that shard is not there`);
      } else if (before.size !== previous.size || encodeBase64(before.root) !== previous.root) {
        add(`${says}, and it has ${before.size} entries and the root ${encodeBase64(before.root)}`);
      } else if (continued.has(previous.origin)) {
        add(`${says}, and so does that of another shard`);
      }
      continued.add(previous.origin);
    }
  }
  return problems;
}

/** One shard of a log that was verified. */
export interface ShardReport {
  readonly origin: string;
  /** Length of the unbroken run of its entries, and their recomputed root. */
  readonly size: number;
  readonly root: Uint8Array;
  /** Whether each of its checkpoints is signed by a key that the caller trusts. */
  readonly signatureVerified: boolean;
  /** The one that it continues. */
  readonly previous: FinalShard | null;
}

/** Of all shards together; `size` and `root` are those of the newest. */
export interface WholeReport extends Omit<LogReport, 'problems' | 'ok'> {
  /** The first one first. */
  readonly shards: readonly ShardReport[];
}

export function wholeReport(reports: readonly ReadShard[]): WholeReport {
  const shards = reports.toSorted((a, b) => lengthBefore(a, reports) - lengthBefore(b, reports));
  const sum = (of: (report: LogReport) => number): number =>
    shards.reduce((total, report) => total + of(report), 0);
  const newest = shards.at(-1);
  return {
    entriesChecked: sum(({ entriesChecked }) => entriesChecked),
    size: newest?.size ?? 0,
    root: newest?.root ?? emptyRoot,
    checkpointsChecked: sum(({ checkpointsChecked }) => checkpointsChecked),
    signatureVerified: shards.length > 0 && shards.every((each) => each.signatureVerified),
    signedSize: newest?.signedSize ?? 0,
    problemCount: sum(({ problemCount }) => problemCount),
    shards: shards.map(({ origin, size, root, signatureVerified, previous }) => ({
      origin,
      size,
      root,
      signatureVerified,
      previous: previous ?? null,
    })),
  };
}

/** How many shards come before one. */
function lengthBefore(shard: ReadShard, shards: readonly ReadShard[]): number {
  let length = 0;
  for (let at: ReadShard | undefined = shard; at?.previous && length <= shards.length; length++) {
    const { origin }: FinalShard = at.previous;
    at = shards.find((each) => each.origin === origin);
  }
  return length;
}

/** What a caller trusts of a log: keys, and checkpoints that were kept. */
export interface Trust {
  readonly verifiers?: readonly NoteVerifier[];
  readonly trustedCheckpoints?: readonly string[];
}

/**
 * What a caller trusts of one shard. Shards have the same key, each under its own name: who kept
 * that of one can check all that are linked to it. What names no shard that is there holds for the
 * newest, which then fails: a log under another name than the one that was kept is not that log.
 * @param origins of all shards, the newest one last.
 */
export function trustIn(
  { verifiers = [], trustedCheckpoints = [] }: Trust,
  origin: string,
  origins: readonly string[],
): Trust {
  const keys = new Map<string, NoteVerifier>();
  for (const each of verifiers) {
    const key = origins.includes(each.name) && each.name !== origin ? renamed(each, origin) : each;
    keys.set(`${key.name} ${key.keyId}`, key);
  }
  return {
    ...(keys.size > 0 && { verifiers: [...keys.values()] }),
    trustedCheckpoints: trustedCheckpoints.filter((note) => {
      const [named = ''] = note.split('\n');
      return named === origin || (!origins.includes(named) && origin === origins.at(-1));
    }),
  };
}
