import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { counted } from '../counted.ts';
import { decodeEntryBundle } from '../tlog/bundle.ts';
import { type Checkpoint, parseCheckpoint } from '../tlog/checkpoint-text.ts';
import { HASH_SIZE } from '../tlog/leaf.ts';
import { parseNote } from '../tlog/note.ts';
import { newTiles, TILE_WIDTH, type TilePath, tilePath } from '../tlog/tiles.ts';
import type { ReadPath } from '../tlog/verify-tiles.ts';
import { isUrl, openLogSource, shardsAt } from './log-source.ts';
import { progressLine } from './progress.ts';

/**
 * Copies a published log into a folder, which `log verify` then reads offline. What is there whole
 * is not fetched again, so that a copy that was broken off, or one of last month, goes on where it
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
      `The log has ${counted(size, 'entry', 'entries')}, the copy in ${folder} has ${before.size}: the log was truncated. Nothing was changed.`,
    );
  }
  const tiles = [...newTiles(0, size)].flatMap((tile): TilePath[] =>
    tile.level === 0 ? [tile, { ...tile, level: 'entries' }] : [tile],
  );
  await removeParts(folder);
  const progress = progressLine('tiles copied');
  let copied = 0;
  for (const [i, tile] of tiles.entries()) {
    if (await copy(read, folder, tile)) copied += 1;
    if (tile.width === TILE_WIDTH) progress(i + 1, tiles.length);
  }
  for (const path of ['vkeys', 'tlog-policy', 'previous']) {
    const bytes = await read(path);
    if (bytes) await write(folder, path, bytes);
  }
  await write(folder, `checkpoint.${size}`, note);
  await write(folder, 'checkpoint', note);
  progress(undefined);
  const all = counted(tiles.length, 'tile');
  console.log(
    `${folder}: ${counted(size, 'entry', 'entries')}; ${copied} of ${all} ${copied === 1 ? 'was' : 'were'} new.`,
  );
}

async function copy(read: ReadPath, folder: string, tile: TilePath): Promise<boolean> {
  const path = tilePath(tile);
  const there = await readFile(join(folder, path)).catch(() => undefined);
  if (there && isWhole(tile, there)) return false;
  const bytes = await required(read, path);
  if (!isWhole(tile, bytes)) throw new Error(`The log's ${path} is not whole.`);
  await write(folder, path, bytes);
  return true;
}

/** Does it hold as much as it should? After a power cut a file can be there and have nothing in it. */
function isWhole({ level, width }: TilePath, bytes: Uint8Array): boolean {
  if (level === 'entries') return decodeEntryBundle(bytes)?.length === width;
  return bytes.length === width * HASH_SIZE;
}

async function required(read: ReadPath, path: string): Promise<Uint8Array> {
  const bytes = await read(path);
  if (!bytes) throw new Error(`The log has no ${path}.`);
  return bytes;
}

/** A file is whole or not there: it is written beside, under a name that no other copying has. */
async function write(folder: string, path: string, bytes: Uint8Array): Promise<void> {
  const file = join(folder, path);
  const aside = join(folder, `${randomBytes(6).toString('hex')}.part`);
  await mkdir(dirname(file), { recursive: true });
  try {
    await writeFile(aside, bytes);
    await rename(aside, file);
  } catch (error) {
    // On a full disk, half of it would only be in the way.
    await rm(aside, { force: true });
    throw error;
  }
}

/** What copying that was killed has left; one that goes on at this moment fails, and is run again. */
async function removeParts(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names)
    if (/^[0-9a-f]{12}\.part$/.test(name)) await rm(join(folder, name), { force: true });
}

function checkpointIn(note: Uint8Array): Checkpoint {
  const parsed = parseNote(note);
  const checkpoint = parsed && parseCheckpoint(parsed.text);
  if (!checkpoint) throw new Error('The checkpoint is not one.');
  return checkpoint;
}
