import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createAdaptorServer, type ServerType } from '@hono/node-server';
import { CUT_OFF_RUN } from './access/cut-off-run.ts';
import { IMPACT_RUN } from './access/impact-run.ts';
import { forgetRuns } from './access/run-store.ts';
import { Runs, type RunsOptions } from './access/runs.ts';
import { folderGuard, type Guard } from './audit/guard.ts';
import { loadLogKeys } from './audit/keys.ts';
import { readLogPolicy, readWitness } from './audit/policy-file.ts';
import { checkLogKeys } from './audit/publisher.ts';
import { runLog } from './audit/runner.ts';
import { openLog } from './audit/sequencer.ts';
import { type Read, recordRead } from './audit/reads.ts';
import type { Log, Writer } from './audit/record.ts';
import { Witnesses } from './audit/witnesses.ts';
import type { Config } from './config.ts';
import { connect, type Database, type Db } from './db/connection.ts';
import { startEmbedded } from './db/embedded.ts';
import { migrate } from './db/migrate.ts';
import { DEMO_AUDIENCE, DEMO_ISSUER, demoKeys, type DemoTry, fillDemo } from './demo.ts';
import { pruneShards } from './erasure/prune.ts';
import { expireErasures } from './erasure/requests.ts';
import { ServiceError } from './errors.ts';
import { createApp } from './http/app.ts';
import { authenticator } from './http/authenticate.ts';
import { loadContract } from './http/contract.ts';
import { createHandlers, type Deps } from './http/handlers.ts';
import { logTiles } from './http/log-tiles.ts';
import { pages } from './http/pages.ts';
import { witnessDoor } from './http/witness.ts';
import { forgetKeys } from './idempotency.ts';
import { sha256 } from './ids.ts';
import type { Program } from './pdp/program.ts';
import { reloadPack } from './policies/reload-pack.ts';
import { compilePack, packFolders, readPackFolder, readTemplates } from './policies/files.ts';
import { Programs } from './policies/programs.ts';
import { readGeneration } from './policies/store.ts';
import { type Principal, SERVICE } from './principal.ts';

export interface Service extends AsyncDisposable {
  /** Where it listens. */
  readonly url: string;
  /** What there is to try first; nothing where no demo was filled in. */
  readonly tries: readonly DemoTry[];
}

/** How the service speaks while it starts and runs. */
export interface Voice {
  say(line: string): void;
  warn(line: string): void;
}

/** Idempotency keys, and runs that tried a policy. */
const KEEP_MS = 30 * 24 * 3_600_000;
const HOUSEKEEPING_MS = 3_600_000;

/** The database of a configuration: the one that is named, or the embedded one. */
export async function openDatabase(
  config: Config,
  voice: Voice,
): Promise<{ url: string } & AsyncDisposable> {
  if (config.databaseUrl !== null)
    return { url: config.databaseUrl, [Symbol.asyncDispose]: async () => {} };
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const embedded = await startEmbedded({
    dataDir: config.dataDir,
    log: (line) => voice.warn(line),
  });
  return { url: embedded.connectionString, [Symbol.asyncDispose]: () => embedded.stop() };
}

/**
 * Starts everything, in the order in which one thing needs another; disposing stops it in the
 * reverse order: no new requests, those under way are answered, the log catches up, the database
 * closes.
 */
export async function startService(
  config: Config,
  clock: () => Date,
  voice: Voice,
): Promise<Service> {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await openDatabase(config, voice));
  await migrate(database.url);
  const { db } = stack.use(connect(database.url, config.poolSize)) satisfies Database;
  const log = await startLog(stack, { db, clock, config, voice });
  const runs: RunsOptions = {
    db,
    databaseUrl: database.url,
    clock,
    warn: (line) => voice.warn(line),
  };
  const deps: Deps = {
    db,
    clock,
    log,
    contract: loadContract(),
    files: {
      readPack: () => readPackFolder(config.packDir),
      templates: await readTemplates(join(dirname(config.packDir), 'templates')),
      packs: await otherPacks(config.packDir, voice),
    },
    runs: {
      impact: stack.use(new Runs(IMPACT_RUN, runs)),
      cutOff: stack.use(new Runs(CUT_OFF_RUN, runs)),
    },
  };
  await loadPolicies(deps, voice);
  const tries = config.demo ? await prepareDemo(deps, voice) : [];
  const witness = config.witness
    ? await readWitness(config.witness, join(config.dataDir, 'keys'))
    : undefined;
  const authenticate = authenticator(await issuerOf(config), clock);
  const report = (error: unknown): void =>
    voice.warn(error instanceof Error ? (error.stack ?? error.message) : String(error));
  const record = (principal: Principal, read: Read): Promise<void> =>
    recordRead(deps, principal, read);
  const app = createApp({
    contract: deps.contract,
    handlers: createHandlers(deps),
    publicUrl: config.publicUrl,
    authenticate,
    recordRead: record,
    report,
    beside: [
      pages(),
      logTiles({ db, authenticate, recordRead: record, report }),
      witnessDoor({ db, witness, clock, report }),
    ],
  });
  const stopped = new AbortController();
  let keeping = housekeeping(deps, stopped.signal);
  const timer = setInterval(() => {
    keeping = keeping.then(() => housekeeping(deps, stopped.signal));
  }, HOUSEKEEPING_MS);
  stack.defer(() => {
    clearInterval(timer);
    stopped.abort();
    return keeping;
  });
  const server = createAdaptorServer({ fetch: app.fetch });
  const port = await listen(server, config);
  stack.defer(() => close(server));
  const host = config.host.includes(':') ? `[${config.host}]` : config.host;
  const running = stack.move();
  return {
    url: `http://${host}:${port}`,
    tries,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function startLog(
  stack: AsyncDisposableStack,
  { db, clock, config, voice }: { db: Db; clock: () => Date; config: Config; voice: Voice },
): Promise<Log> {
  const keys = await loadLogKeys(join(config.dataDir, 'keys'));
  const origin = await openLog(db, config.logOrigin, clock());
  await checkLogKeys(db, { keys });
  const policy = await readLogPolicy(config.logPolicy);
  const witnesses = policy.quorum === 'none' ? undefined : new Witnesses(policy, clock);
  const guardOf = (name: string): Guard =>
    folderGuard(join(config.dataDir, 'signed', sha256(name).slice(0, 16)));
  const publisher = { db, keys, guardOf, witnesses, clock };
  const runner = stack.use(runLog(publisher, origin, (line) => voice.warn(line)));
  return {
    origin: () => runner.origin(),
    keys,
    policy,
    wake: () => runner.wake(),
    health: () => runner.health(),
  };
}

/** Files with mistakes do not stop a service that has a good version: it says so and goes on. */
async function loadPolicies(deps: Deps, voice: Voice): Promise<void> {
  try {
    const { changed } = await reloadPack(deps, SERVICE, await deps.files.readPack());
    if (changed.length > 0) voice.say(`Policies loaded: ${changed.join(', ')}`);
  } catch (error) {
    if (!(error instanceof ServiceError) || error.code !== 'invalid_policy') throw error;
    const lines = error.errors.map(
      ({ path, expected, rule }) => `  ${path}${rule ? ` ${rule}` : ''}: ${expected}`,
    );
    const text = [error.message, ...lines].join('\n');
    if (!(await readGeneration(deps.db))) throw new Error(text, { cause: error });
    voice.warn(text);
  }
}

/** The packs beside the home pack: one with mistakes is named and left out. */
async function otherPacks(packDir: string, voice: Voice): Promise<Program[]> {
  const packs: Program[] = [];
  for (const folder of await packFolders(dirname(packDir))) {
    if (folder === packDir) continue;
    try {
      // oxlint-disable-next-line no-await-in-loop -- a few, at the start
      packs.push(compilePack(await readPackFolder(folder)));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      const lines = error.errors.map(({ path, expected }) => `  ${path}: ${expected}`);
      voice.warn([`${folder} cannot be asked: ${error.message}`, ...lines].join('\n'));
    }
  }
  return packs;
}

async function prepareDemo(deps: Deps, voice: Voice): Promise<readonly DemoTry[]> {
  const programs = new Programs();
  const writer: Writer = deps;
  let shown = false;
  const { filled, demoPack, tries } = await fillDemo(
    { ...writer, inForce: (db) => programs.inForce(db, deps.clock()) },
    (done, total) => {
      if (done === total && shown) voice.say(`Demo filled: ${total} records`);
      shown ||= done < total;
    },
  );
  if (!filled) {
    voice.say(
      `The demo's records are of the pack "${demoPack}", which is not the home pack: nothing is filled in. Tokens of the demo issuer work.`,
    );
  }
  return tries;
}

async function issuerOf(config: Config) {
  if (config.issuer) return { ...config.issuer, keys: config.issuer.jwksUrl };
  return { issuer: DEMO_ISSUER, audience: DEMO_AUDIENCE, keys: await demoKeys(config.dataDir) };
}

async function housekeeping(
  deps: Pick<Deps, 'db' | 'clock' | 'log'>,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  const { db, clock } = deps;
  const programs = new Programs();
  const before = new Date(clock().getTime() - KEEP_MS).toISOString();
  // Next hour again; a database that is away is said elsewhere.
  await forgetKeys(db, before).catch(() => {});
  await forgetRuns(db, before).catch(() => {});
  const inForce = (from: Db): Promise<Program> => programs.inForce(from, clock());
  await expireErasures({ ...deps, inForce }).catch(() => {});
  await pruneShards({ ...deps, signal }).catch(() => {});
}

function listen(server: ServerType, { host, port }: Config): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new Error(`Port ${port} is taken. Set PORT to another one.`, { cause: error })
          : error,
      );
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : port);
    });
  });
}

/** No new connections; requests under way have ten seconds. */
function close(server: ServerType): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(
      () => 'closeAllConnections' in server && server.closeAllConnections(),
      10_000,
    );
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    if ('closeIdleConnections' in server) server.closeIdleConnections();
  });
}
