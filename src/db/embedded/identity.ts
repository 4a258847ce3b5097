/** As whom PostgreSQL runs: it refuses to be root. And how programs are run as them. */

import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process';
import { chmod, chown, lchown, lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { DataDir } from './cluster.ts';

interface Account {
  readonly uid: number;
  readonly gid: number;
}

export interface Identity {
  /** Set when another account is needed: files are given to it. */
  readonly account?: Account;
  /** A program and its first arguments to put before the real one. */
  readonly wrapper: readonly string[];
}

/**
 * In a user namespace of its own the server sees itself as nobody while it stays root on the
 * outside: no account to make, no files to give away, and a data directory below /root can be
 * reached. Containers often forbid it.
 */
const UNSHARE: Identity = {
  wrapper: ['unshare', '--user', '--map-user=65534', '--map-group=65534'],
};
const NOBODY: Account = { uid: 65_534, gid: 65_534 };

/** @throws Error for the operator when nobody is found as whom it could run. */
export async function chooseIdentity(dataDir: DataDir, binDir: string): Promise<Identity> {
  const me = process.getuid?.();
  const owner = await stat(dataDir.pgdata).catch(() => undefined);
  if (me !== 0) {
    if (owner === undefined || owner.uid === me) return { wrapper: [] };
    throw new Error(
      `The database in ${dataDir.pgdata} belongs to user id ${owner.uid}, this process runs as ` +
        `${me}. Run it as that user, or give it another data directory.`,
    );
  }
  if (process.platform !== 'linux') {
    throw new Error(
      'PostgreSQL does not run as root. Run as an ordinary user, or set DATABASE_URL.',
    );
  }
  const postgres = join(binDir, 'postgres');
  // Data made by an ordinary user stays theirs: root runs the server as them.
  const account = owner !== undefined && owner.uid !== 0 ? owner : undefined;
  if (account === undefined && (await succeeds(UNSHARE, postgres, ['--version']))) return UNSHARE;
  return asAccount(account ?? NOBODY, dataDir.path, postgres);
}

async function asAccount({ uid, gid }: Account, dir: string, postgres: string): Promise<Identity> {
  const identity: Identity = { account: { uid, gid }, wrapper: [] };
  const canReach = (path: string): Promise<boolean> => succeeds(identity, 'test', ['-x', path]);
  // Passage only: listing and reading stay forbidden.
  if (!(await canReach(dir))) await chmod(dir, 0o711);
  for (const path of [dir, postgres]) {
    if (await canReach(path)) continue;
    throw new Error(
      `PostgreSQL does not run as root, and user id ${uid}, which would run it, cannot reach ` +
        `${path}. Run as an ordinary user, move the folder to where others may pass ` +
        '(/var/lib, /srv), or set DATABASE_URL.',
    );
  }
  return identity;
}

/** Gives a tree to the account. The top comes last: until then, the next start does it again. */
export async function giveTo(account: Account | undefined, dir: string): Promise<void> {
  if (account === undefined || (await lstat(dir)).uid === account.uid) return;
  for (const entry of await readdir(dir, { recursive: true })) {
    await lchown(join(dir, entry), account.uid, account.gid);
  }
  await chown(dir, account.uid, account.gid);
}

/** Runs a program to its end. The error of one that failed ends with what it wrote to stderr. */
export async function run(
  identity: Identity,
  program: string,
  args: readonly string[],
): Promise<void> {
  const [command = program, ...rest] = [...identity.wrapper, program, ...args];
  await promisify(execFile)(command, rest, surroundings(identity));
}

function succeeds(identity: Identity, program: string, args: readonly string[]): Promise<boolean> {
  return run(identity, program, args).then(
    () => true,
    () => false,
  );
}

export function spawnAs(
  identity: Identity,
  program: string,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  const [command = program, ...rest] = [...identity.wrapper, program, ...args];
  return spawn(command, rest, { ...options, ...surroundings(identity) });
}

/** Nothing of the service's environment, which holds its secrets. Messages in English. */
function surroundings({ account }: Identity): Pick<SpawnOptions, 'uid' | 'gid' | 'env' | 'cwd'> {
  return { ...account, env: { PATH: process.env['PATH'], LC_ALL: 'C' }, cwd: '/' };
}
