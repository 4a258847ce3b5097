import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadPath } from '../tlog/verify-tiles.ts';

const TRIES = 4;
const TIMEOUT_MS = 30_000;
const YEAR = /^\d{4}$/;

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

/** A shard of a log, and where it lies below it; empty for what lies there directly. */
export interface ShardSource {
  readonly name: string;
  readonly read: ReadPath;
}

/**
 * The shards of a log: those that its list names, or that lie beside one another in a folder. One
 * alone where there are none, as in the logs of others.
 */
export async function shardsAt(from: string, token: string | undefined): Promise<ShardSource[]> {
  const read = openLogSource(from, token);
  const years = isUrl(from) ? yearsIn(await read('shards')) : await foldersIn(from);
  const shards = years.map((year) => `shards/${year}`);
  // In a folder one of them lies in the folder itself.
  const here = !isUrl(from) || shards.length === 0 ? [{ name: '', read }] : [];
  const beside = shards.map((name) => ({
    name,
    read: (path: string) => read(`${name}/${path}`),
  }));
  return [...here, ...beside];
}

function yearsIn(list: Uint8Array | undefined): string[] {
  try {
    const { items } = JSON.parse(Buffer.from(list ?? []).toString('utf8')) as {
      items: readonly { readonly year: number }[];
    };
    return items.map(({ year }) => String(year)).filter((year) => YEAR.test(year));
  } catch {
    return []; // no list of ours
  }
}

async function foldersIn(folder: string): Promise<string[]> {
  const names = await readdir(join(folder, 'shards')).catch(() => []);
  return names.filter((name) => YEAR.test(name)).toSorted();
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
