import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The newest checkpoint that this log has signed, kept outside its database: a database that was
 * restored to an older state does not have it, and the log must not sign what does not extend it.
 */
export interface Guard {
  /** The signed note, as it was kept; undefined before the first. */
  newest(): Promise<string | undefined>;
  /** Keeps a note of a tree of `size`, on disk before it returns. */
  keep(size: number, note: string): Promise<void>;
}

const NAME = /^[0-9]{16}\.checkpoint$/;

/**
 * A guard in a folder. Each checkpoint is a file named by its size, so that of several processes
 * none takes back what another has kept: the largest name counts, the others are removed.
 */
export function folderGuard(folder: string): Guard {
  const names = async (): Promise<string[]> => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return (await readdir(folder)).filter((name) => NAME.test(name)).toSorted();
  };
  return {
    async newest() {
      // The largest may be removed by another process, for a larger one, while it is read.
      for (let tries = 0; tries < 10; tries++) {
        const name = (await names()).at(-1);
        if (name === undefined) return undefined;
        const text = await readFile(join(folder, name), 'utf8').catch(ignoreMissing);
        if (text !== undefined) return text;
      }
      throw new Error(`the checkpoints in ${folder} cannot be read`);
    },
    async keep(size, note) {
      const name = `${String(size).padStart(16, '0')}.checkpoint`;
      const aside = join(folder, `${randomBytes(6).toString('hex')}.part`);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      try {
        await writeFile(aside, note, { mode: 0o600, flush: true });
        await link(aside, join(folder, name)).catch(ignoreExisting);
      } finally {
        // On a full disk it is tried again every two seconds.
        await rm(aside, { force: true });
      }
      const older = (await names()).filter((each) => each < name);
      for (const each of older) await rm(join(folder, each), { force: true });
    },
  };
}

function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

function ignoreExisting(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
}
