import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadPath } from '../tlog/verify-tiles.ts';

const TRIES = 4;
const TIMEOUT_MS = 30_000;

export function isUrl(from: string): boolean {
  return /^https?:\/\//.test(from);
}

/**
 * Reads a log in tlog-tiles form: a folder, or the URL that `checkpoint` and `tile/` are under.
 * @param token for the entries, which are not for everybody.
 */
export function openLogSource(from: string, token: string | undefined): ReadPath {
  return isUrl(from) ? urlSource(from.replace(/\/$/, ''), token) : folderSource(from);
}

function folderSource(folder: string): ReadPath {
  return (path) =>
    readFile(join(folder, path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw error;
    });
}

function urlSource(url: string, token: string | undefined): ReadPath {
  const headers: Record<string, string> =
    token === undefined ? {} : { authorization: `Bearer ${token}` };
  return async (path) => {
    for (let tries = 1; ; tries++) {
      try {
        return await fetchBytes(`${url}/${path}`, headers);
      } catch (error) {
        if (error instanceof Refused || tries === TRIES) throw error;
        await sleep(200 * 2 ** tries);
      }
    }
  };
}

/** An answer that asking again does not change. */
class Refused extends Error {}

async function fetchBytes(
  url: string,
  headers: Record<string, string>,
): Promise<Uint8Array | undefined> {
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (response.status === 404) return undefined;
  if (response.status === 401 || response.status === 403) {
    throw new Refused(`${url}: ${response.status}; the entries take an auditor's --token`);
  }
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
