import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { connect } from './connection.ts';

const FOLDER = join(import.meta.dirname, '../../migrations');

/**
 * Brings a database to the newest schema. Forward only, each file once, all in one transaction;
 * any number of migrators may run at once, and a database of a newer release is refused.
 * @throws Error naming the migration that failed.
 */
export async function migrate(connectionString: string): Promise<void> {
  await using database = connect(connectionString, 1);
  const migrator = new Migrator({ db: database.db, provider: { getMigrations: readMigrations } });
  const { error, results } = await migrator.migrateToLatest();
  if (!error) return;
  const failed = results?.find(({ status }) => status === 'Error')?.migrationName;
  throw new Error(
    `migration ${failed ?? ''} failed: ${error instanceof Error ? error.message : 'unknown'}`,
    {
      cause: error,
    },
  );
}

/** Migrates as the owner of the database, and gives the role `umutungo_service` its rights. */
export async function prepareDatabase(ownerUrl: string): Promise<void> {
  await migrate(ownerUrl);
  await using database = connect(ownerUrl, 1);
  const rights = await readFile(join(FOLDER, 'service-role.sql'), 'utf8');
  await database.db.transaction().execute((tx) => sql.raw(rights).execute(tx));
}

async function readMigrations(): Promise<Record<string, Migration>> {
  const files = (await readdir(FOLDER)).filter((file) => /^\d{4}_\w+\.sql$/.test(file)).toSorted();
  const entries = files.map(async (file): Promise<[string, Migration]> => {
    const text = await readFile(join(FOLDER, file), 'utf8');
    return [file.replace('.sql', ''), { up: async (db) => void (await sql.raw(text).execute(db)) }];
  });
  return Object.fromEntries(await Promise.all(entries));
}
