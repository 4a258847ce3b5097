/** The service as a process of its own, to be stopped, interrupted and killed. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const ROOT: string = join(import.meta.dirname, '../..');

export interface ServiceProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Everything that it has said so far. */
  output(): string;
  /** Resolves with the address that it prints; rejects when it ends without one. */
  readonly url: Promise<string>;
  /** Resolves when it has ended, with the exit code or the signal. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** Sends a signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
}

/** Only what is given, and what Node and PostgreSQL need to run. */
function environment(env: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env;
  return { PATH, HOME, ...(TMPDIR === undefined ? {} : { TMPDIR }), ...env };
}

/**
 * Starts `src/main.ts` with this environment; where it has `CLOCK`, the service with a clock that
 * begins there.
 * @param mounts shell commands that run before it, where what they mount is seen by it alone.
 */
export function spawnService(
  env: Readonly<Record<string, string>>,
  mounts?: string,
): ServiceProcess {
  const main = env['CLOCK'] === undefined ? 'src/main.ts' : 'test/faults/service-at.ts';
  const [command, args] =
    mounts === undefined
      ? [process.execPath, [main]]
      : ['unshare', ['-rm', 'sh', '-c', `${mounts}; exec '${process.execPath}' src/main.ts`]];
  const child = spawn(command, args, {
    cwd: ROOT,
    env: environment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const ended = once(child, 'close').then(
    ([code, signal]) => (signal ?? code) as number | NodeJS.Signals | null,
  );
  const url = new Promise<string>((resolve, reject) => {
    const listen = (chunk: Buffer): void => {
      output += chunk.toString();
      const found = /listens on (http:\S+)/.exec(output)?.[1];
      // It listens to signals a moment after it has said where it is.
      if (found !== undefined) setTimeout(() => resolve(found), 50);
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    void ended.then((code) => reject(new Error(`It ended (${String(code)}) and said:\n${output}`)));
  });
  // Whoever waits for the end only has no interest in the address.
  url.catch(() => undefined);
  const end = async (signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> => {
    child.kill(signal);
    return ended;
  };
  return {
    child,
    url,
    ended,
    end,
    output: () => output,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) await end('SIGKILL');
    },
  };
}

/** Runs a command of `umutungo` to its end. */
export async function umutungo(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ['src/cli/main.ts', ...args], {
    cwd: ROOT,
    env: environment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
