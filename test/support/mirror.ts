/** A copy of a published log in a folder, fetched as any monitor would: the checkpoint, every tile. */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { newTiles, tilePath } from '../../src/tlog/tiles.ts';

/**
 * Fetches what is under `<url>/log/` into `folder`; entry bundles with the token. Returns the
 * number of entries.
 * @throws Error for a tile that is not there.
 */
export async function mirrorLog(url: string, token: string, folder: string): Promise<number> {
  const checkpoint = await (await fetch(`${url}/log/checkpoint`)).text();
  const size = Number(checkpoint.split('\n')[1]);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'checkpoint'), checkpoint);
  for (const tile of newTiles(0, size)) {
    await fetchInto(`${url}/log/${tilePath(tile)}`, join(folder, tilePath(tile)), '');
    if (tile.level > 0) continue;
    const entries = tilePath({ ...tile, level: 'entries' });
    await fetchInto(`${url}/log/${entries}`, join(folder, entries), token);
  }
  return size;
}

async function fetchInto(url: string, file: string, token: string): Promise<void> {
  const response = await fetch(url, {
    headers: token === '' ? {} : { authorization: `Bearer ${token}` },
  });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, new Uint8Array(await response.arrayBuffer()));
}
