/**
 * The deep check of a published log (C2SP tlog-tiles): nothing is trusted but keys and checkpoints
 * that the caller has. Whoever has a copy of the tiles, or reads them over HTTP, can run it.
 */
import { decodeEntryBundle } from './bundle.ts';
import { parseCheckpoint } from './checkpoint-text.ts';
import { bytesEqual } from './encoding.ts';
import { HASH_SIZE } from './leaf.ts';
import { perfectRoot } from './merkle.ts';
import { parseNote } from './note.ts';
import type { NoteVerifier } from './note-key.ts';
import { cosignersOf, type Policy, quorumMet } from './policy.ts';
import { TILE_WIDTH, type TilePath, tilePath, tileWidth } from './tiles.ts';
import {
  type LogEntry,
  type LogProblem,
  type LogProblemCode,
  type LogReport,
  verifyLog,
} from './verify.ts';

/** Reads what is at a path below the log's prefix; undefined where there is nothing. */
export type ReadPath = (path: string) => Promise<Uint8Array | undefined>;

/**
 * Beside those of `verifyLog`:
 * `checkpoint_missing`: there is no checkpoint, so nothing says what the log is.
 * `quorum_not_met`: fewer witnesses cosigned the checkpoint than the policy asks for.
 * `tile_missing`, `bundle_missing`: a tile or bundle that the checkpoint counts is not there.
 * `tile_malformed`, `bundle_malformed`: it does not hold what its width says.
 * `tile_root_mismatch`: a hash in an upper tile is not the root of the tile below it.
 */
export type TilesProblemCode =
  | LogProblemCode
  | 'checkpoint_missing'
  | 'quorum_not_met'
  | 'tile_missing'
  | 'tile_malformed'
  | 'tile_root_mismatch'
  | 'bundle_missing'
  | 'bundle_malformed';

export interface TilesProblem extends Omit<LogProblem, 'code'> {
  readonly code: TilesProblemCode;
}

export interface TilesReport extends Omit<LogReport, 'problems'> {
  readonly problems: readonly TilesProblem[];
  readonly origin: string;
  /** Bytes of the entry at index 0, where it is there. */
  readonly first: Uint8Array | undefined;
}

export interface TilesToVerify {
  readonly read: ReadPath;
  readonly verifiers?: readonly NoteVerifier[];
  /** Its quorum of witnesses must have cosigned the checkpoint; its logs are not looked at. */
  readonly policy?: Policy;
  readonly trustedCheckpoints?: readonly string[];
  /** The log's name; without it, what its checkpoint says. */
  readonly origin?: string;
  /** Called with the number of entries so far, once a tile. */
  readonly progress?: (checked: number, size: number) => void;
}

const MAX_LISTED = 1_000;
/** Tiles that are read ahead: over a network each takes a round trip. */
const READ_AHEAD = 16;

/**
 * Checks a whole log in one pass: every entry against its tile, every tile against those above it,
 * the root against the checkpoint. Damage becomes a problem in the report; it rejects only when
 * `read` does.
 */
export async function verifyTiles(log: TilesToVerify): Promise<TilesReport> {
  const problems: TilesProblem[] = [];
  const note = await log.read('checkpoint');
  const text = note === undefined ? undefined : Buffer.from(note).toString('utf8');
  const parsed = text === undefined ? undefined : parseNote(text);
  const claimed = parsed && parseCheckpoint(parsed.text);
  if (text === undefined) {
    problems.push({ code: 'checkpoint_missing', detail: 'there is no checkpoint' });
  }
  if (text !== undefined && log.policy && !quorumMet(log.policy, cosignersOf(text, log.policy))) {
    const detail = `the quorum "${log.policy.quorum}" has not cosigned the checkpoint`;
    problems.push({ code: 'quorum_not_met', detail });
  }
  const origin = log.origin ?? claimed?.origin ?? '';
  const size = claimed?.size ?? 0;
  const roots: Uint8Array[] = [];
  let first: Uint8Array | undefined;
  const entries = async function* (): AsyncGenerator<LogEntry> {
    for await (const entry of readEntries(log, size, roots, problems)) {
      if (entry.index === 0) first = entry.entry;
      yield entry;
    }
  };
  const { verifiers, trustedCheckpoints = [] } = log;
  const report = await verifyLog({
    origin,
    entries: entries(),
    head: { size, root: claimed?.root ?? new Uint8Array(HASH_SIZE) },
    checkpoints: text === undefined ? [] : [text],
    trustedCheckpoints,
    ...(verifiers && { verifiers }),
  });
  await checkUpperTiles(log.read, size, roots, problems);
  return {
    ...report,
    origin,
    first,
    ok: report.ok && problems.length === 0,
    problemCount: report.problemCount + problems.length,
    problems: [...problems.slice(0, MAX_LISTED), ...report.problems],
  };
}

/** One tile's worth of the log: the entries, and the hashes over them. */
interface Block {
  readonly n: number;
  readonly width: number;
  readonly bundle: Uint8Array | undefined;
  readonly tile: Uint8Array | undefined;
}

async function* readEntries(
  { read, progress }: TilesToVerify,
  size: number,
  roots: Uint8Array[],
  problems: TilesProblem[],
): AsyncGenerator<LogEntry> {
  for await (const block of readBlocks(read, size)) {
    const { n, width } = block;
    const hashes = usableTile(block, problems);
    if (hashes && width === TILE_WIDTH) roots[n] = perfectRoot(hashes);
    const entries = usableBundle(block, problems);
    // By hand and not with `yield*`: this runs once an entry, and is a third of the time.
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i];
      const tileHash = hashes?.subarray(i * HASH_SIZE, (i + 1) * HASH_SIZE);
      if (entry) yield { index: n * TILE_WIDTH + i, entry, tileHash };
    }
    progress?.(n * TILE_WIDTH + width, size);
  }
}

async function* readBlocks(read: ReadPath, size: number): AsyncGenerator<Block> {
  const count = Math.ceil(size / TILE_WIDTH);
  const ahead: Promise<Block>[] = [];
  const load = async (n: number): Promise<Block> => {
    const width = tileWidth(0, n, size);
    const [bundle, tile] = await Promise.all([
      readTilePath(read, { level: 'entries', n, width }),
      readTilePath(read, { level: 0, n, width }),
    ]);
    return { n, width, bundle, tile };
  };
  for (let n = 0; n < count + READ_AHEAD; n++) {
    if (n < count) {
      const loading = load(n);
      // A failure is met where the block is awaited, which may be some turns later.
      loading.catch(() => undefined);
      ahead.push(loading);
    }
    const next = n >= READ_AHEAD - 1 ? ahead.shift() : undefined;
    if (next) yield await next;
  }
}

/** A partial tile may be gone once the full one is there, of which it is the beginning. */
async function readTilePath(read: ReadPath, tile: TilePath): Promise<Uint8Array | undefined> {
  const own = await read(tilePath(tile));
  if (own !== undefined || tile.width === TILE_WIDTH) return own;
  return read(tilePath({ ...tile, width: TILE_WIDTH }));
}

function usableTile({ n, width, tile }: Block, problems: TilesProblem[]): Uint8Array | undefined {
  const path = tilePath({ level: 0, n, width });
  if (!tile) {
    problems.push({ code: 'tile_missing', detail: path });
    return undefined;
  }
  if (tile.length === width * HASH_SIZE) return tile;
  if (tile.length === TILE_WIDTH * HASH_SIZE) return tile.subarray(0, width * HASH_SIZE);
  problems.push({ code: 'tile_malformed', detail: `${path}: ${tile.length} bytes` });
  return undefined;
}

function usableBundle({ n, width, bundle }: Block, problems: TilesProblem[]): Uint8Array[] {
  const path = tilePath({ level: 'entries', n, width });
  if (!bundle) {
    problems.push({ code: 'bundle_missing', index: n * TILE_WIDTH, detail: path });
    return [];
  }
  const entries = decodeEntryBundle(bundle);
  if (entries && (entries.length === width || entries.length === TILE_WIDTH)) {
    return entries.slice(0, width);
  }
  const holds = entries ? `${entries.length} entries instead of ${width}` : 'broken off';
  problems.push({ code: 'bundle_malformed', index: n * TILE_WIDTH, detail: `${path}: ${holds}` });
  return entries ?? [];
}

/** Each hash of a tile above the lowest level is the root of a full tile one level down. */
async function checkUpperTiles(
  read: ReadPath,
  size: number,
  lowest: readonly (Uint8Array | undefined)[],
  problems: TilesProblem[],
): Promise<void> {
  let below = lowest;
  for (let level = 1; tileWidth(level, 0, size) > 0; level++) {
    const roots: (Uint8Array | undefined)[] = [];
    for (let n = 0, width = 0; (width = tileWidth(level, n, size)) > 0; n++) {
      const path = tilePath({ level, n, width });
      const tile = await readTilePath(read, { level, n, width });
      if (!tile || tile.length < width * HASH_SIZE) {
        problems.push({ code: tile ? 'tile_malformed' : 'tile_missing', detail: path });
        continue;
      }
      for (let i = 0; i < width; i++) {
        const root = below[n * TILE_WIDTH + i];
        const said = tile.subarray(i * HASH_SIZE, (i + 1) * HASH_SIZE);
        if (root && !bytesEqual(root, said)) {
          const detail = `${path}: hash ${i} is not the root of the tile below it`;
          problems.push({ code: 'tile_root_mismatch', detail });
        }
      }
      if (width === TILE_WIDTH) roots[n] = perfectRoot(tile.subarray(0, TILE_WIDTH * HASH_SIZE));
    }
    below = roots;
  }
}
