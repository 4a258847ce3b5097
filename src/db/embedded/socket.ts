/** The unix socket: its directory, its name, its address. */

import { createHash } from 'node:crypto';
import { chmod, chown, lstat, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { NAME } from './cluster.ts';
import type { Identity } from './identity.ts';

/** `sun_path` is 104 bytes on macOS, 108 on Linux, its closing NUL included. */
const PATH_LIMIT = 104;
const FIRST_PORT = 10_000;
const PORTS = 50_000;

/**
 * The port only names the socket file. It comes from the cluster's own identifier: a forgotten
 * server whose data directory was deleted removes its socket file by name when it ends, and that
 * must not be the name of the one made anew in its place.
 *
 * @throws Error with the code ENOENT when there is no cluster.
 */
export async function portOf(pgdata: string): Promise<number> {
  // The file begins with the system identifier, 64 bits in native order.
  const control = await readFile(join(pgdata, 'global/pg_control'));
  return FIRST_PORT + Number(control.readBigUInt64LE(0) % BigInt(PORTS));
}

export function socketFile(socketDir: string, port: number): string {
  return join(socketDir, `.s.PGSQL.${port}`);
}

/** In /tmp when the path is too long; not in TMPDIR, so that every process looks in one place. */
export async function prepareSocketDir(dataDir: string, { account }: Identity): Promise<string> {
  const near = join(dataDir, 'sock');
  const fits = Buffer.byteLength(socketFile(near, FIRST_PORT)) < PATH_LIMIT;
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  const dir = fits ? near : `/tmp/${NAME}-${hash}`;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const found = await lstat(dir);
  // Anybody may have taken a name in /tmp first, to listen in our place.
  if (!found.isDirectory() || ![process.getuid?.(), account?.uid].includes(found.uid)) {
    throw new Error(
      `${dir} is not a directory of this user. Run as the user it belongs to, or remove it.`,
    );
  }
  await chmod(dir, 0o700);
  if (account !== undefined) await chown(dir, account.uid, account.gid);
  return dir;
}

export function connectionString(socketDir: string, port: number): string {
  const query = `host=${encodeURIComponent(socketDir)}&port=${port}`;
  // With sslmode said, PGSSLMODE of the environment has no say.
  return `postgresql://${NAME}@localhost/${NAME}?${query}&sslmode=disable`;
}
