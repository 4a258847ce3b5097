/**
 * The embedded PostgreSQL: what the service uses when `DATABASE_URL` is not set.
 *
 * A real PostgreSQL server, from the npm binaries, on a unix socket that only this user can open.
 * The data directory holds everything, so that moving or deleting it moves or deletes the database:
 *
 *     <dataDir>/postgres       the cluster
 *     <dataDir>/sock           the socket (in /tmp when this path is too long for one)
 *     <dataDir>/postgres.log   what the server says; one earlier file is kept as postgres.log.1
 *
 * Who stops the server: `embedded/hold.ts`.
 */

import { join, resolve } from 'node:path';

import {
  type Cluster,
  createDatabase,
  prepareDataDir,
  refuseOtherVersion,
} from './embedded/cluster.ts';
import { keepHold, leave } from './embedded/hold.ts';
import { chooseIdentity } from './embedded/identity.ts';
import { findBinaries } from './embedded/package.ts';
import { joinOrLaunch } from './embedded/server.ts';
import { connectionString, prepareSocketDir } from './embedded/socket.ts';

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
  const { binDir, major } = await findBinaries();
  const dataDir = await prepareDataDir(resolve(options.dataDir));
  const pgdata = join(dataDir, 'postgres');
  await refuseOtherVersion(pgdata, major);
  const identity = await chooseIdentity(dataDir, binDir);
  const cluster: Cluster = {
    dataDir,
    pgdata,
    logFile: join(dataDir, 'postgres.log'),
    socketDir: await prepareSocketDir(dataDir, identity),
    binDir,
    identity,
    settings: options.settings ?? {},
    log: options.log ?? (() => undefined),
  };
  const { hold, startedByUs } = await joinOrLaunch(cluster);
  await createDatabase(hold.client).catch(async (error: unknown) => {
    await leave(cluster, hold);
    throw error;
  });
  const release = keepHold(cluster, hold, startedByUs);
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= release());
  return {
    connectionString: connectionString(cluster.socketDir, hold.port),
    startedByUs,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
