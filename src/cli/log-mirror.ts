import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Checkpoint, parseCheckpoint } from '../tlog/checkpoint-text.ts';
import { parseNote } from '../tlog/note.ts';
import { newTiles, TILE_WIDTH, type TilePath, tilePath } from '../tlog/tiles.ts';
import type { ReadPath } from '../tlog/verify-tiles.ts';
import { isUrl, openLogSource, shardsAt } from './log-source.ts';
import { progressLine } from './progress.ts';

/**
 * Copies a published log into a folder, which `log verify` then reads offline. What is there is
 * not fetched again, so that a copy that was broken off, or one of last month, goes on where it
 * is; the checkpoint comes last. Each checkpoint that was ever copied stays, as `checkpoint.SIZE`.
 *
 * Of a log in shards all are copied: the one that the folder was begun with into the folder itself,
 * each other one under `shards/YEAR`. 0 done, 2 no answer.
 */
export async function runLogMirror(
  from: string,
  folder: string,
  { token }: { readonly token?: string },
): Promise<number> {
  if (!isUrl(from)) throw new Error(`${from} is no URL`);
  const own =
    (await originIn(folder)) ??
    checkpointIn(await required(openLogSource(from, token), 'checkpoint')).origin;
  for (const { read, name } of await shardsAt(from, token)) {
    const note = await required(read, 'checkpoint');
    const { origin } = checkpointIn(note);
    await mirrorShard(read, note, name === '' || origin === own ? folder : join(folder, name));
  }
  return 0;
}

async function originIn(folder: string): Promise<string | undefined> {
  const kept = await readFile(join(folder, 'checkpoint')).catch(() => undefined);
  return kept && checkpointIn(kept).origin;
}

async function mirrorShard(read: ReadPath, note: Uint8Array, folder: string): Promise<void> {
  const { size, origin } = checkpointIn(note);
  const kept = await readFile(join(folder, 'checkpoint')).catch(() => undefined);
  const before = kept && checkpointIn(kept);
  if (before && before.origin !== origin) {
    throw new Error(`The copy in ${folder} is of ${before.origin}, not of ${origin}.`);
  }
  if (before && before.size > size) {
    throw new Error(
      `The log has ${size} entries, the copy in ${folder} has ${before.size}: the log was truncated. Nothing was changed.`,
    );
  }
  const tiles = [...newTiles(0, size)].flatMap((tile): TilePath[] =>
    tile.level === 0 ? [tile, { ...tile, level: 'entries' }] : [tile],
  );
  const progress = progressLine('tiles copied');
  let copied = 0;
  for (const [i, tile] of tiles.entries()) {
    if (await copy(read, folder, tilePath(tile))) copied += 1;
    if (tile.width === TILE_WIDTH) progress(i + 1, tiles.length);
  }
  for (const path of ['vkeys', 'tlog-policy', 'previous']) {
    const bytes = await read(path);
    if (bytes) await write(join(folder, path), bytes);
  }
  await write(join(folder, `checkpoint.${size}`), note);
  await write(join(folder, 'checkpoint'), note);
  progress(undefined);
  console.log(`${folder}: ${size} entries; ${copied} of ${tiles.length} tiles were new.`);
}

async function copy(read: ReadPath, folder: string, path: string): Promise<boolean> {
  const file = join(folder, path);
  const there = await readFile(file).catch(() => undefined);
  if (there) return false;
  await write(file, await required(read, path));
  return true;
}

async function required(read: ReadPath, path: string): Promise<Uint8Array> {
  const bytes = await read(path);
  if (!bytes) throw new Error(`The log has no ${path}.`);
  return bytes;
}

/** A file is whole or not there. */
async function write(file: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.part`, bytes);
  await rename(`${file}.part`, file);
}

function checkpointIn(note: Uint8Array): Checkpoint {
  const parsed = parseNote(note);
  const checkpoint = parsed && parseCheckpoint(parsed.text);
  if (!checkpoint) throw new Error('The checkpoint is not one.');
  return checkpoint;
}
