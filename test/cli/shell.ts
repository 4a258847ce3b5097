/** Commands of `umutungo` without a process for each: what they say, and their exit codes. */

import { vi } from 'vitest';
import { runCommand } from '../../src/cli/command-line.ts';

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in this process, with these settings and no others; one at a time. */
export async function shell(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const said = { stdout: '', stderr: '' };
  const write = (to: 'stdout' | 'stderr') => (chunk: unknown) => {
    said[to] += String(chunk);
    return true;
  };
  const line = (to: 'stdout' | 'stderr') => (text: unknown) => {
    said[to] += `${String(text)}\n`;
  };
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(write('stdout')),
    vi.spyOn(process.stderr, 'write').mockImplementation(write('stderr')),
    vi.spyOn(console, 'log').mockImplementation(line('stdout')),
    vi.spyOn(console, 'error').mockImplementation(line('stderr')),
  ];
  try {
    return { code: await runCommand(args, env), ...said };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
