/** The deep check of a log of a million entries of 400 bytes, on one core, read from memory. */
import { encodeEntryBundle } from '../src/tlog/bundle.ts';
import { signCheckpoint } from '../src/tlog/checkpoint.ts';
import { leafHash } from '../src/tlog/leaf.ts';
import { appendPerfect, emptyFrontier, perfectRoot, rootOf } from '../src/tlog/merkle.ts';
import { ed25519Signer } from '../src/tlog/note-key.ts';
import { parseTilePath } from '../src/tlog/tiles.ts';
import { verifyTiles } from '../src/tlog/verify-tiles.ts';

const TILES = 3_907;
const ENTRY_BYTES = 400;

/** CPU seconds for a million entries. Every tile has the same entries: the work is the same. */
export async function measureVerify(): Promise<{ entries: number; cpu_seconds: number }> {
  const entries = Array.from({ length: 256 }, (_, i) => Buffer.alloc(ENTRY_BYTES, i));
  const hashes = Buffer.concat(entries.map(leafHash));
  const bundle = encodeEntryBundle(entries);
  const root = perfectRoot(hashes);
  const row = Buffer.concat(Array.from({ length: 256 }, () => root));
  const upper = perfectRoot(row);
  let frontier = emptyFrontier;
  for (let n = 0; n < TILES; n++) frontier = appendPerfect(frontier, 8, root);
  const signer = ed25519Signer('bench.example/2026', new Uint8Array(32).fill(7));
  const { size } = frontier;
  const note = Buffer.from(
    signCheckpoint({ origin: signer.name, size, root: rootOf(frontier) }, [signer]),
  );
  const read = async (path: string): Promise<Uint8Array> => {
    const tile = parseTilePath(path);
    if (tile?.level === 'entries') return bundle;
    if (tile?.level === 0) return hashes;
    if (tile?.level === 1) return row.subarray(0, 32 * tile.width);
    return tile ? Buffer.concat(Array.from({ length: tile.width }, () => upper)) : note;
  };
  const before = process.cpuUsage();
  const report = await verifyTiles({ read, verifiers: [signer] });
  const { user, system } = process.cpuUsage(before);
  if (!report.ok || report.size !== size) {
    throw new Error(`the log does not verify: ${JSON.stringify(report.problems.slice(0, 3))}`);
  }
  return { entries: size, cpu_seconds: Math.round((user + system) / 10_000) / 100 };
}
