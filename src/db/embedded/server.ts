/** Joins the server of a cluster, or launches one. */

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Cluster, ensureCluster } from './cluster.ts';
import { codeOf, explain } from './errors.ts';
import { type Hold, takeHold } from './hold.ts';
import { commandAs } from './identity.ts';
import { discardStaleLock } from './lock-file.ts';
import { portOf, socketFile } from './socket.ts';

const READY_TIMEOUT_MS = 60_000;
const LOG_LIMIT_BYTES = 10 * 1024 * 1024;

/** Another server has the data directory or the socket, or the processes of a killed one linger. */
const LOST_RACE = /lock file ".*" (already exists|is empty)|shared memory block|already in use/;
/** No cluster, no socket, or a socket without a listener. */
const NO_SERVER = ['ENOENT', 'ECONNREFUSED'];

/** A `postgres` process we started; until it answers it may still lose to another one. */
interface Attempt {
  readonly child: ChildProcess;
  readonly logOffset: number;
}

export async function joinOrLaunch(
  cluster: Cluster,
): Promise<{ hold: Hold; startedByUs: boolean }> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let attempt: Attempt | undefined;
  for (;;) {
    try {
      const hold = await takeHold(cluster);
      const startedByUs = attempt?.child.pid === hold.serverPid;
      cluster.log(`PostgreSQL ${startedByUs ? 'started' : 'already running, joined'}`);
      return { hold, startedByUs };
    } catch (cause) {
      if (codeOf(cause) === 'EACCES') throw cause;
      if (Date.now() > deadline) {
        // It may still be recovering from a crash: it is left to it.
        const message = `PostgreSQL does not answer yet, see ${cluster.logFile}: ${String(cause)}`;
        throw new Error(message, { cause });
      }
      if (attempt === undefined) {
        if (NO_SERVER.includes(codeOf(cause))) attempt = await launch(cluster);
      } else if (attempt.child.exitCode !== null || attempt.child.signalCode !== null) {
        await explainExit(cluster, attempt);
        attempt = undefined;
      }
    }
    await sleep(40);
  }
}

async function launch(cluster: Cluster): Promise<Attempt> {
  const { pgdata, socketDir, logFile } = cluster;
  await ensureCluster(cluster);
  const port = await portOf(pgdata);
  await discardStaleLock(join(pgdata, 'postmaster.pid'));
  await discardStaleLock(`${socketFile(socketDir, port)}.lock`);
  const { size } = await stat(logFile).catch(() => ({ size: 0 }));
  const full = size > LOG_LIMIT_BYTES;
  if (full) await rename(logFile, `${logFile}.1`);
  await using log = await open(logFile, 'a', 0o600);
  const program = join(cluster.binDir, 'postgres');
  const args = ['-D', pgdata, ...settingsOf(cluster, port)];
  const [command, rest, options] = commandAs(cluster.identity, program, args);
  // Detached: a terminal's Ctrl-C must reach the service, which closes its pools and then stops the
  // server, and not both at once.
  const stdio: StdioOptions = ['ignore', log.fd, log.fd];
  const child = spawn(command, rest, { ...options, detached: true, stdio });
  await once(child, 'spawn');
  child.unref();
  return { child, logOffset: full ? 0 : size };
}

function settingsOf({ socketDir, settings }: Cluster, port: number): string[] {
  const all: Record<string, string> = {
    listen_addresses: '',
    // A list: quotes keep commas and spaces of the path together.
    unix_socket_directories: `"${socketDir.replaceAll('"', '""')}"`,
    port: String(port),
    log_checkpoints: 'off',
    // Statements and the values in a DETAIL line can be personal data; the log is no place for it.
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    // The default on macOS leaves the last writes in the drive's own cache.
    ...(process.platform === 'darwin' && { wal_sync_method: 'fsync_writethrough' }),
    ...settings,
  };
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Throws when the server failed for good; returns when trying again makes sense. */
async function explainExit({ logFile }: Cluster, { child, logOffset }: Attempt): Promise<void> {
  // Somebody joined it before we did, was the last one out, and stopped it.
  if (child.exitCode === 0) return;
  const log = await readFile(logFile);
  const said = log.subarray(logOffset).toString('utf8');
  if (LOST_RACE.test(said)) return sleep(200);
  throw new Error(
    `PostgreSQL did not start: ${explain(said)}\n` +
      `It ended with ${child.signalCode ?? child.exitCode}, see ${logFile}.`,
  );
}
