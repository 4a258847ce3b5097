import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from './config.ts';
import { openDatabase, type Service, type Voice } from './service.ts';

/** What a process tells the first one, once it answers requests. */
type Ready = Pick<Service, 'url' | 'tries'>;

const STOP = 'stop';
const RESTART_MS = 1_000;
/** A little more than the requests under way are given. */
const STOP_MS = 20_000;

/**
 * The service in several processes that share its port: one process decides on one core. Each of
 * them is a replica like any on another machine; this one only keeps the database, and starts a
 * process anew that has ended. The first prepares the database for the others.
 * @throws Error where the first one does not start; it has said why.
 */
export async function startProcesses(config: Config, voice: Voice): Promise<Service> {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await openDatabase(config, voice));
  const environment = { DATABASE_URL: database.url, DEMO: config.demo ? 'on' : 'off' };
  let stopping = false;
  const start = (): Worker => {
    const worker = cluster.fork(environment);
    worker.once('exit', (code, signal) => {
      if (stopping || !running) return;
      voice.warn(`A process of the service has ended (${signal || code}); another one starts.`);
      void sleep(RESTART_MS).then(() => stopping || start());
    });
    return worker;
  };
  let running = false;
  stack.defer(async () => {
    stopping = true;
    const workers = Object.values(cluster.workers ?? {}).filter((each) => each !== undefined);
    await Promise.all(workers.map((each) => end(each)));
  });
  const ready = await readyOf(start());
  running = true;
  for (let i = 1; i < config.processes; i++) start();
  const all = stack.move();
  return { ...ready, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

async function readyOf(worker: Worker): Promise<Ready> {
  const failed = once(worker, 'exit').then((): never => {
    throw new Error('The service did not start.');
  });
  const [message] = (await Promise.race([once(worker, 'message'), failed])) as unknown[];
  failed.catch(() => {}); // when it ends later, that is said elsewhere
  return message as Ready;
}

async function end(worker: Worker): Promise<void> {
  if (worker.isDead()) return;
  const ended = once(worker, 'exit');
  if (worker.isConnected()) worker.send(STOP);
  const force = setTimeout(() => worker.process.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(force);
}

/** One of several processes: it answers until the first process says that it stops, or is gone. */
export async function serveAsProcess(starting: Promise<Service>): Promise<void> {
  const told = new Promise<void>((resolve) => {
    process.on('message', (message) => message === STOP && resolve());
    process.on('disconnect', resolve);
  });
  // Ctrl-C reaches all processes of a terminal at once: the first one tells the others.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
  const service = await starting;
  const { url, tries } = service;
  process.send?.({ url, tries } satisfies Ready);
  await told;
  await service[Symbol.asyncDispose]();
  process.exit(0);
}
