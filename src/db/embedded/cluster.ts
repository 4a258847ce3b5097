/** The cluster on disk: where it is, whether it is ours to use, how it is made. */

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Client } from 'pg';

import { codeOf, explain } from './errors.ts';
import { commandAs, giveTo, type Identity } from './identity.ts';

/** The superuser and the database. */
export const NAME = 'umutungo';
const ABANDONED_MS = 15 * 60_000;

/** Where a cluster is, and all that it takes to run a server on it. */
export interface Cluster {
  readonly dataDir: string;
  readonly pgdata: string;
  readonly logFile: string;
  readonly socketDir: string;
  readonly binDir: string;
  readonly identity: Identity;
  readonly settings: Readonly<Record<string, string>>;
  readonly log: (line: string) => void;
}

/** Makes the directory when it is missing; the directories above it are not ours to close. */
export async function prepareDataDir(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await mkdir(path, { recursive: true, mode: 0o700 });
  return realpath(path);
}

export async function refuseOtherVersion(pgdata: string, major: string): Promise<void> {
  const text = await readFile(join(pgdata, 'PG_VERSION'), 'utf8').catch(() => major);
  if (text.trim() === major) return;
  throw new Error(
    `The data in ${pgdata} was written by PostgreSQL ${text.trim()}; this release brings ` +
      `PostgreSQL ${major} and has changed nothing. Either go back to the release that wrote it, ` +
      `or move the data to a PostgreSQL server of your own (pg_dump or pg_upgrade) and set ` +
      'DATABASE_URL. To begin with an empty database, move the directory away.',
  );
}

/**
 * Makes the cluster when there is none: beside its place, then renamed. Killed before the rename:
 * the half-made one is swept up later. Two at once: the second rename fails, and its cluster is
 * thrown away.
 */
export async function ensureCluster(cluster: Cluster): Promise<void> {
  const { dataDir, pgdata, identity } = cluster;
  await removeAbandoned(dataDir);
  const entries = await readdir(pgdata).catch((): string[] => []);
  if (entries.includes('PG_VERSION')) return giveTo(identity, pgdata);
  if (entries.length > 0) {
    throw new Error(`${pgdata} holds files but is not a PostgreSQL database. Move it away.`);
  }
  cluster.log(`Making a new PostgreSQL database in ${pgdata}`);
  const temporary = `${pgdata}.init-${randomBytes(6).toString('hex')}`;
  await mkdir(temporary, { mode: 0o700 });
  try {
    await giveTo(identity, temporary);
    await initialise(cluster, temporary);
    await rename(temporary, pgdata);
    // A power cut must not undo the rename once rows have been acknowledged.
    await using directory = await open(dataDir, 'r');
    await directory.sync();
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes(codeOf(error))) throw error;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/**
 * Sorting and case come from PostgreSQL's own C.UTF-8, the same on every machine. `lc_ctype` still
 * matters to pg_trgm, which under plain `C` takes accented letters for spaces.
 */
async function initialise({ identity, binDir, settings }: Cluster, dir: string): Promise<void> {
  const args = [
    `--pgdata=${dir}`,
    `--username=${NAME}`,
    '--auth=trust',
    '--encoding=UTF8',
    '--data-checksums',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
    // Older releases of macOS have no C.UTF-8.
    `--lc-ctype=${process.platform === 'darwin' ? 'en_US.UTF-8' : 'C.UTF-8'}`,
    ...(settings['fsync'] === 'off' ? ['--no-sync'] : []),
  ];
  try {
    await promisify(execFile)(...commandAs(identity, join(binDir, 'initdb'), args));
  } catch (cause) {
    // Its message ends with what the program wrote to stderr.
    throw new Error(`PostgreSQL could not make its data: ${explain(String(cause))}`, { cause });
  }
}

/** Half-made clusters of killed processes. By age, since process ids mean nothing across containers. */
async function removeAbandoned(dir: string): Promise<void> {
  for (const entry of await readdir(dir)) {
    if (!entry.startsWith('postgres.init-')) continue;
    const { mtimeMs } = await stat(join(dir, entry)).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs < ABANDONED_MS) continue;
    await rm(join(dir, entry), { recursive: true, force: true });
  }
}

export async function createDatabase(client: Client): Promise<void> {
  const query = 'select 1 from pg_database where datname = $1';
  if ((await client.query(query, [NAME])).rowCount === 1) return;
  await client.query(`create database ${NAME}`).catch((error: unknown) => {
    // Another process was first: duplicate_database, or unique_violation when at the same moment.
    if (!['42P04', '23505'].includes(codeOf(error))) throw error;
  });
}
