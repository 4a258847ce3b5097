import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The newest checkpoint that a shard of the log has signed, kept outside the database: one that was
 * restored to an older state does not have it, and the log must not sign what does not extend it.
 * Nor does it sign any more of a shard that was ended.
 */
export interface Guard {
  /** The signed note, as it was kept; undefined before the first. */
  newest(): Promise<string | undefined>;
  /** Keeps a note of a tree of `size`, on disk before it returns. */
  keep(size: number, note: string): Promise<void>;
  /** Was it ended: another shard has begun to sign after it? */
  ended(): Promise<boolean>;
  /** Ends it for good, on disk before it returns. */
  end(): Promise<void>;
}

const ENDED = 'ended';
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
  const write = async (name: string, text: string): Promise<void> => {
    const aside = join(folder, `${randomBytes(6).toString('hex')}.part`);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    try {
      await writeFile(aside, text, { mode: 0o600, flush: true });
      await link(aside, join(folder, name)).catch(ignoreExisting);
    } finally {
      // On a full disk it is tried again every two seconds.
      await rm(aside, { force: true });
    }
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
      await write(name, note);
      const older = (await names()).filter((each) => each < name);
      for (const each of older) await rm(join(folder, each), { force: true });
    },
    async ended() {
      return (await readFile(join(folder, ENDED), 'utf8').catch(ignoreMissing)) !== undefined;
    },
    end: () => write(ENDED, ''),
  };
}

function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

function ignoreExisting(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
}
