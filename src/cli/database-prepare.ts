import { prepareDatabase } from '../db/migrate.ts';

/**
 * Brings the database to this release's schema and gives the role `umutungo_service` its rights,
 * with the rights of the database's owner: the service itself then connects without them.
 */
export async function runDatabasePrepare(ownerUrl: string | null): Promise<number> {
  if (ownerUrl === null) {
    throw new Error('Set DATABASE_URL to the database, with a user that owns it.');
  }
  await prepareDatabase(ownerUrl);
  console.log('The schema is that of this release; the role umutungo_service has its rights.');
  return 0;
}
