/** The cluster on disk: where it is, whether it is ours to use, how it is made. */

import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Client } from 'pg';

import { codeOf, inPlainWords, lastLines, messageOf } from './errors.ts';
import { giveTo, type Identity, run } from './identity.ts';

/** The superuser and the database. */
export const NAME = 'umutungo';
const ABANDONED_MS = 15 * 60_000;

export interface DataDir {
  readonly path: string;
  readonly pgdata: string;
  readonly logFile: string;
}

/** A data directory, and all that it takes to run a server on it. */
export interface Cluster extends DataDir {
  readonly binDir: string;
  readonly identity: Identity;
  readonly socketDir: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly log: (line: string) => void;
}

/** Makes the directory when it is missing; the directories above it are not ours to close. */
export async function prepareDataDir(wanted: string): Promise<DataDir> {
  await mkdir(dirname(wanted), { recursive: true });
  await mkdir(wanted, { recursive: true, mode: 0o700 });
  const path = await realpath(wanted);
  return { path, pgdata: join(path, 'postgres'), logFile: join(path, 'postgres.log') };
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
  await removeAbandoned(cluster.path);
  if (await hasCluster(cluster.pgdata)) return giveTo(cluster.identity.account, cluster.pgdata);
  cluster.log(`Making a new PostgreSQL database in ${cluster.pgdata}`);
  const temporary = `${cluster.pgdata}.init-${randomBytes(6).toString('hex')}`;
  await mkdir(temporary, { mode: 0o700 });
  try {
    await giveTo(cluster.identity.account, temporary);
    await initialise(cluster, temporary);
    await rename(temporary, cluster.pgdata).catch((error: unknown) => {
      if (!['ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) throw error;
    });
    // A power cut must not undo the rename once rows have been acknowledged.
    await using directory = await open(cluster.path, 'r');
    await directory.sync();
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function hasCluster(pgdata: string): Promise<boolean> {
  const entries = await readdir(pgdata).catch((error: unknown): string[] => {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  });
  if (entries.length === 0 || entries.includes('PG_VERSION')) return entries.length > 0;
  throw new Error(`${pgdata} holds files but is not a PostgreSQL database. Move it away.`);
}

/**
 * Sorting and case come from PostgreSQL's own C.UTF-8, the same on every machine. `lc_ctype` still
 * matters to pg_trgm, which under plain `C` takes accented letters for spaces.
 */
async function initialise({ identity, binDir, settings }: Cluster, dir: string): Promise<void> {
  try {
    await run(identity, join(binDir, 'initdb'), [
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
    ]);
  } catch (cause) {
    const said = lastLines(messageOf(cause));
    throw new Error(`PostgreSQL could not make its data: ${inPlainWords(said)}\n${said}`, {
      cause,
    });
  }
}

/** Half-made clusters of killed processes. By age, since process ids mean nothing across containers. */
async function removeAbandoned(dir: string): Promise<void> {
  for (const entry of await readdir(dir)) {
    if (!entry.startsWith('postgres.init-')) continue;
    const made = await stat(join(dir, entry)).catch(() => undefined);
    if (made === undefined || Date.now() - made.mtimeMs < ABANDONED_MS) continue;
    await rm(join(dir, entry), { recursive: true, force: true });
  }
}

export async function createDatabase(client: Client): Promise<void> {
  const exists = async (): Promise<boolean> =>
    (await client.query('select 1 from pg_database where datname = $1', [NAME])).rowCount === 1;
  if (await exists()) return;
  try {
    await client.query(`create database ${NAME}`);
  } catch (error) {
    // Another process may have been first.
    if (!(await exists())) throw error;
  }
}
