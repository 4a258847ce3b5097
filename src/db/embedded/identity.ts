/** As whom PostgreSQL runs: it refuses to be root. */

import { execFile, type SpawnOptions } from 'node:child_process';
import { chmod, chown, lchown, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Identity {
  /** Set when another account is needed: files are given to it. */
  readonly account?: { readonly uid: number; readonly gid: number };
  /** A program and its first arguments to put before the real one. */
  readonly wrapper: readonly string[];
}

const OURSELVES: Identity = { wrapper: [] };
/**
 * In a user namespace of its own the server sees itself as nobody while it stays root on the
 * outside: no account to make, no files to give away, and a data directory below /root can be
 * reached. Containers often forbid it.
 */
const UNSHARED: Identity = {
  wrapper: ['unshare', '--user', '--map-user=65534', '--map-group=65534'],
};
const NOBODY = { uid: 65_534, gid: 65_534 };

/** @throws Error for the operator when root has nobody to run it as. */
export async function chooseIdentity(dataDir: string, binDir: string): Promise<Identity> {
  if (process.getuid?.() !== 0 || process.platform !== 'linux') return OURSELVES;
  const postgres = join(binDir, 'postgres');
  const { uid, gid } = await stat(join(dataDir, 'postgres')).catch(() => ({ uid: 0, gid: 0 }));
  if (uid === 0 && (await succeeds(UNSHARED, postgres, '--version'))) return UNSHARED;
  // Data made by an ordinary user stays theirs.
  const identity: Identity = { account: uid === 0 ? NOBODY : { uid, gid }, wrapper: [] };
  const canReach = (path: string): Promise<boolean> => succeeds(identity, 'test', '-x', path);
  // Passage only: listing and reading stay forbidden.
  if (!(await canReach(dataDir))) await chmod(dataDir, 0o711);
  if ((await canReach(dataDir)) && (await canReach(postgres))) return identity;
  throw new Error(
    `PostgreSQL does not run as root, and user id ${identity.account?.uid}, which would run it, ` +
      `cannot reach both ${dataDir} and ${postgres}. Run as an ordinary user, move them to where ` +
      'others may pass (/var/lib, /srv), or set DATABASE_URL.',
  );
}

/** Gives a tree to the account. The top comes last: until then, the next start does it again. */
export async function giveTo({ account }: Identity, dir: string): Promise<void> {
  if (account === undefined || (await stat(dir)).uid === account.uid) return;
  for (const entry of await readdir(dir, { recursive: true })) {
    await lchown(join(dir, entry), account.uid, account.gid);
  }
  await chown(dir, account.uid, account.gid);
}

/** What `spawn` and `execFile` take to run a program as this identity. */
export function commandAs(
  { account, wrapper }: Identity,
  program: string,
  args: readonly string[],
): [string, string[], Pick<SpawnOptions, 'uid' | 'gid' | 'cwd' | 'env'>] {
  const [first = program, ...rest] = [...wrapper, program, ...args];
  // Nothing of the service's environment, which holds its secrets. Messages in English.
  const env = { PATH: process.env['PATH'], LC_ALL: 'C' };
  return [first, rest, { ...account, cwd: '/', env }];
}

function succeeds(identity: Identity, program: string, ...args: string[]): Promise<boolean> {
  return promisify(execFile)(...commandAs(identity, program, args)).then(
    () => true,
    () => false,
  );
}
