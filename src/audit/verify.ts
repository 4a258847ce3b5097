import { counted } from '../counted.ts';
import type { Db } from '../db/connection.ts';
import { HASH_SIZE } from '../tlog/leaf.ts';
import { TILE_WIDTH } from '../tlog/tiles.ts';
import { type LogEntry, type LogProblem, verifyLog } from '../tlog/verify.ts';
import { ErasuresSeen, type ValueProblem } from './erasures-seen.ts';
import { bodyOf, leafBindsBody, leafShows, readLeaf } from './event.ts';
import {
  type LinkProblem,
  previousIn,
  problemsOfChain,
  type ReadShard,
  type Trust,
  trustIn,
  type WholeReport,
  wholeReport,
} from './shards.ts';
import {
  countUnsequenced,
  type Head,
  type LogEntryRow,
  readCheckpoints,
  readEntries,
  readHeads,
  readTile,
} from './log-store.ts';
import { readEvent } from './store.ts';

export interface StoredLogProblem extends Omit<LogProblem, 'code'> {
  readonly code:
    | LogProblem['code']
    | ValueProblem['code']
    | 'event_missing'
    | 'body_digest_mismatch'
    | 'row_differs_from_leaf'
    | 'event_lost'
    | LinkProblem['code']
    | 'no_log';
  readonly event_id?: string;
  /** Origin of the shard, where there are several. */
  readonly origin?: string;
}

/** Of all shards; `size` and `root` are those of the one that grows. */
export interface StoredLogReport extends WholeReport {
  readonly ok: boolean;
  readonly problems: readonly StoredLogProblem[];
  readonly pending: number;
  /** Values that were erased, as events of the log say. */
  readonly erased: number;
  /** Events whose bodies are among them since their whole shard was erased. */
  readonly pruned: number;
}

const PAGE = 2_000;
const CHECKPOINTS = 1_000;
const MAX_PROBLEMS = 100;

/**
 * Re-reads every event of the log in the database, recomputes every hash, the root and the newest
 * 1,000 checkpoints of each shard, and checks that each leaf binds its body, that the columns beside
 * it say the same, that each shard begins with an event that names the one before it as it ended,
 * and that no event is outside the tree. Never throws for bad data. `progress` is called with the
 * number of entries so far.
 */
export async function verifyStoredLog(
  db: Db,
  trust: Trust,
  progress: (checked: number) => void = () => {},
): Promise<StoredLogReport> {
  const known = await readHeads(db);
  const problems: StoredLogProblem[] = [];
  if (known.length === 0) problems.push({ code: 'no_log', detail: 'the database has no log' });
  const seen = new ErasuresSeen();
  const shards: ReadShard[] = [];
  const heads: Head[] = [];
  const origins = known.map(({ origin }) => origin);
  for (const { log_id, origin, base } of known) {
    // Before the head: a log that is in use may get a checkpoint that a head read earlier does not cover.
    const checkpoints = await readCheckpoints(db, log_id, CHECKPOINTS);
    const head = (await readHeads(db)).find((each) => each.log_id === log_id);
    if (!head) continue;
    heads.push(head);
    const own: StoredLogProblem[] = [];
    const report = await verifyLog({
      origin,
      entries: readAll(db, head, { problems: own, seen, progress: (at) => progress(base + at) }),
      head,
      checkpoints: checkpoints.map(({ note }) => note),
      ...trustIn(trust, origin, origins),
    });
    for (const problem of report.problems) {
      const [row] =
        problem.index === undefined ? [] : await readEntries(db, log_id, problem.index, 1);
      own.push(
        row?.idx === problem.index && row ? { ...problem, event_id: row.event_id } : problem,
      );
    }
    problems.push(...own.map((each) => (known.length > 1 ? { ...each, origin } : each)));
    const [first] = await readEntries(db, log_id, 0, 1);
    shards.push({ ...report, origin, previous: previousIn(first?.leaf, first?.body) });
  }
  problems.push(...problemsOfChain(shards, true));
  await seeLater(db, seen, heads);
  for (const problem of seen.unfounded()) {
    if (problems.length < MAX_PROBLEMS) problems.push(problem);
  }
  const { pending, lost, beyond } = await countUnsequenced(db);
  if (beyond > 0)
    problems.push({
      code: 'entries_beyond_head',
      detail: `the head does not count ${counted(beyond, 'entry that is', 'entries that are')} there`,
    });
  if (lost > 0)
    problems.push({
      code: 'event_lost',
      detail: `${counted(lost, 'event is', 'events are')} neither in the tree nor waiting for it`,
    });
  return {
    ...wholeReport(shards),
    ok: problems.length === 0 && shards.every(({ ok }) => ok),
    problems,
    pending,
    erased: seen.erased,
    pruned: seen.pruned,
  };
}

/** An erasure of this moment has no index yet, or one that came after the head was read. */
async function seeLater(db: Db, seen: ErasuresSeen, heads: readonly Head[]): Promise<void> {
  for (const id of seen.missing) {
    const row = await readEvent(db, id);
    if (!row?.body) continue;
    const head = heads.find(({ log_id }) => log_id === row.log_id);
    if (head && row.idx !== null && row.idx < head.size) continue;
    if (leafBindsBody(readLeaf(row.leaf), row.body)) seen.take(row, bodyOf(row));
  }
}

/** A full tile of leaf hashes; a partial one is not stored. */
interface Tile {
  readonly n: number;
  readonly hashes: Buffer | undefined;
}

interface Reading {
  readonly problems: StoredLogProblem[];
  readonly seen: ErasuresSeen;
  readonly progress: (checked: number) => void;
}

async function* readAll(
  db: Db,
  { log_id, origin, size }: Head,
  { problems, seen, progress }: Reading,
): AsyncGenerator<LogEntry> {
  let tile: Tile | undefined;
  for (let from = 0; from < size; ) {
    const rows = await readEntries(db, log_id, from, PAGE);
    if (rows.length === 0) return;
    for (const row of rows) {
      const { idx, event_id, leaf_hash, leaf } = row;
      if (idx >= size) return; // sequenced after the head was read
      from = idx + 1;
      const problem = problemOfRow(row, origin, seen);
      if (problem && problems.length < MAX_PROBLEMS) {
        problems.push({ ...problem, index: idx, event_id });
      }
      const n = Math.floor(idx / TILE_WIDTH);
      if (tile?.n !== n) tile = { n, hashes: await readTile(db, log_id, 0, n) };
      const at = (idx - n * TILE_WIDTH) * HASH_SIZE;
      const tileHash = tile.hashes?.subarray(at, at + HASH_SIZE);
      if (leaf) yield { index: idx, entry: leaf, storedLeafHash: leaf_hash, tileHash };
    }
    progress(from);
  }
}

function problemOfRow(
  row: LogEntryRow,
  origin: string,
  seen: ErasuresSeen,
): Pick<StoredLogProblem, 'code' | 'detail'> | undefined {
  const { leaf, body } = row;
  if (!leaf) return { code: 'event_missing', detail: 'the event of this leaf is gone' };
  try {
    const said = readLeaf(leaf);
    if (body && !leafBindsBody(said, body)) {
      return {
        code: 'body_digest_mismatch',
        detail: 'the body is not the one that the leaf binds',
      };
    }
    if (leafShows(said, row)) {
      const parsed = body && (JSON.parse(body.toString('utf8')) as Record<string, unknown>);
      return seen.see(row, String(said['body_sha256']), parsed, origin);
    }
  } catch {
    // A leaf that is no JSON any more.
  }
  return {
    code: 'row_differs_from_leaf',
    detail: 'the columns, which lists and filters read, are not what the leaf says',
  };
}
