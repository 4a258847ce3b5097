import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { openDatabase } from '../service.ts';

/**
 * The database of a configuration, where there is one: commands that read make none.
 * @throws Error saying what to set.
 */
export async function openStoredDatabase(
  config: Config,
): Promise<{ url: string } & AsyncDisposable> {
  if (config.databaseUrl === null && !existsSync(join(config.dataDir, 'postgres'))) {
    throw new Error(
      `There is no database in ${config.dataDir}: set DATA_DIR or DATABASE_URL as for the service.`,
    );
  }
  return openDatabase(config, { say: () => {}, warn: () => {} });
}
