/** Joins the server of a cluster, or launches one. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Cluster, ensureCluster, NAME } from './cluster.ts';
import { codeOf, inPlainWords, lastLines, messageOf } from './errors.ts';
import { type Hold, takeHold } from './hold.ts';
import { spawnAs } from './identity.ts';
import { discardStaleLock } from './lock-file.ts';
import { portOf, socketFile } from './socket.ts';

const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 40;
const LOST_RACE_PAUSE_MS = 200;
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

/** The hold on the server, and its process id when it is one that this call launched. */
export async function joinOrLaunch(
  cluster: Cluster,
): Promise<{ hold: Hold; startedPid: number | undefined }> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let attempt: Attempt | undefined;
  for (;;) {
    try {
      const hold = await takeHold(cluster);
      const ours = attempt?.child.pid === hold.serverPid;
      cluster.log(`PostgreSQL ${ours ? 'started' : 'already running, joined'}: ${cluster.pgdata}`);
      return { hold, startedPid: ours ? hold.serverPid : undefined };
    } catch (error) {
      if (codeOf(error) === 'EACCES') throw error;
      if (attempt !== undefined && hasExited(attempt.child)) {
        await explainExit(cluster, attempt);
        attempt = undefined;
      } else if (attempt === undefined && NO_SERVER.includes(codeOf(error) ?? '')) {
        attempt = await launch(cluster);
      }
      if (Date.now() > deadline) throw await notReady(cluster, error);
      await sleep(POLL_MS);
    }
  }
}

async function launch(cluster: Cluster): Promise<Attempt> {
  await ensureCluster(cluster);
  const port = await portOf(cluster.pgdata);
  await discardStaleLock(join(cluster.pgdata, 'postmaster.pid'));
  await discardStaleLock(`${socketFile(cluster.socketDir, port)}.lock`);
  const { size } = await stat(cluster.logFile).catch(() => ({ size: 0 }));
  const full = size > LOG_LIMIT_BYTES;
  if (full) await rename(cluster.logFile, `${cluster.logFile}.1`);
  await using log = await open(cluster.logFile, 'a', 0o600);
  const program = join(cluster.binDir, 'postgres');
  const child = spawnAs(cluster.identity, program, serverArguments(cluster, port), {
    // A session of its own: a terminal's Ctrl-C must reach the service, which closes its pools and
    // then stops the server, and not both at once.
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  });
  await once(child, 'spawn');
  child.unref();
  return { child, logOffset: full ? 0 : size };
}

function serverArguments(cluster: Cluster, port: number): string[] {
  const settings: Record<string, string> = {
    listen_addresses: '',
    // A list: quotes keep commas and spaces of the path together.
    unix_socket_directories: `"${cluster.socketDir.replaceAll('"', '""')}"`,
    port: String(port),
    cluster_name: NAME,
    logging_collector: 'off',
    log_checkpoints: 'off',
    // Statements and the values in a DETAIL line can be personal data; the log is no place for it.
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    // The default on macOS leaves the last writes in the drive's own cache.
    ...(process.platform === 'darwin' && { wal_sync_method: 'fsync_writethrough' }),
    ...cluster.settings,
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return ['-D', cluster.pgdata, ...options];
}

function hasExited({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** Throws when the server failed for good; returns when trying again makes sense. */
async function explainExit({ logFile }: Cluster, { child, logOffset }: Attempt): Promise<void> {
  // Somebody joined it before we did, was the last one out, and stopped it.
  if (child.exitCode === 0) return;
  const lines = await logTail(logFile, logOffset);
  if (LOST_RACE.test(lines)) return sleep(LOST_RACE_PAUSE_MS);
  const { signalCode } = child;
  const reason = signalCode === null ? inPlainWords(lines) : `it was ended by ${signalCode}.`;
  throw new Error(`PostgreSQL did not start: ${reason}\nThe last lines of ${logFile}:\n${lines}`);
}

async function notReady({ logFile }: Cluster, cause: unknown): Promise<Error> {
  return new Error(
    `PostgreSQL did not answer within ${READY_TIMEOUT_MS / 1000} seconds (${messageOf(cause)}). ` +
      'It may still be recovering from a crash: start again in a moment.\n' +
      `The last lines of ${logFile}:\n${await logTail(logFile, 0)}`,
    { cause },
  );
}

async function logTail(path: string, from: number): Promise<string> {
  const text = await readFile(path).catch(() => Buffer.alloc(0));
  return lastLines(text.subarray(from).toString('utf8'));
}
