import cluster from 'node:cluster';
import { type Config, ConfigError, readConfig } from './config.ts';
import { serveAsProcess, startProcesses } from './processes.ts';
import { type Service, startService } from './service.ts';

const voice = {
  say: (line: string) => console.log(line),
  warn: (line: string) => console.error(line),
};

function welcome({ url, tries }: Service, { demo }: Config): string {
  if (!demo) return `Umutungo listens on ${url}`;
  const settings = ['DATA_DIR', 'DEMO']
    .map((name) => (process.env[name] ? `${name}=${process.env[name]} ` : ''))
    .join('');
  const lines = tries.map(
    ({ role, path }) =>
      `  ${role.padEnd(10)}curl -s '${url}${path}' -H "Authorization: Bearer $(${settings}npx umutungo token --role ${role})"`,
  );
  return [
    `Umutungo listens on ${url}   API reference: ${url}/docs   Ctrl-C stops it`,
    ...(lines.length > 0
      ? [
          'Demo mode: partners, agreements and figures are illustrative. One command to try for each role:',
          ...lines,
        ]
      : []),
  ].join('\n');
}

/**
 * Ctrl-C and SIGTERM, from the first moment on: a start that is under way is let come to its end
 * and then undone, so that no database is left running.
 */
function stopOnSignal(starting: Promise<Service>): void {
  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) {
      console.error('Stopped at once.');
      process.exit(130);
    }
    stopping = true;
    console.log(`\n${signal}: finishing what is under way; once more stops at once.`);
    starting
      .then((service) => service[Symbol.asyncDispose]())
      .then(
        () => console.log('Stopped.'),
        (error: unknown) => {
          console.error(error);
          process.exitCode = 1;
        },
      );
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}

// Whoever read what it says may be gone: that is no reason to end.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });

try {
  const config = readConfig(process.env, new Date());
  const start = (): Promise<Service> => startService(config, () => new Date(), voice);
  if (cluster.isWorker) await serveAsProcess(start());
  else {
    const starting = config.processes > 1 ? startProcesses(config, voice) : start();
    stopOnSignal(starting);
    console.log(welcome(await starting, config));
  }
} catch (error) {
  console.error(
    error instanceof ConfigError
      ? `Configuration:\n${error.message}`
      : error instanceof Error
        ? error.message
        : error,
  );
  process.exitCode = 1;
}
