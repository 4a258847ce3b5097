/** PostgreSQL's lock files, of the data directory and of the socket, and whom they name. */

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { link, readFile, rename, stat, unlink } from 'node:fs/promises';
import { promisify } from 'node:util';

const EMPTY_MS = 10_000;

/**
 * PostgreSQL discards a lock file whose process is gone, but trusts one whose process id now belongs
 * to any other program, which after a reboot, and always in containers, is likely; and one that a
 * power cut left empty. Such a file is moved out of the way first.
 */
export async function discardStaleLock(path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined || !(await isStale(path, text))) return;
  const aside = `${path}.stale-${randomBytes(4).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  // Another process may have done the same and started a server in between: then this is its file.
  if ((await readFile(aside, 'utf8')) !== text) await link(aside, path).catch(() => undefined);
  await unlink(aside);
}

async function isStale(path: string, text: string): Promise<boolean> {
  const [pid, pgdata] = text.split('\n');
  if (pid && pgdata) return !(await isServer(Number(pid), pgdata));
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > EMPTY_MS;
}

/** Whether the server of that directory lives, here, under this id. A zombie has no command line. */
export async function isServer(pid: number, pgdata: string): Promise<boolean> {
  const command =
    process.platform === 'linux'
      ? readFile(`/proc/${pid}/cmdline`, 'utf8')
      : promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', `${pid}`]).then(
          (ps) => ps.stdout,
        );
  const text = await command.catch(() => '');
  return text.replaceAll('\0', ' ').includes(` -D ${pgdata} `);
}
