import { type ReplayReport, replayDecision } from '../access/replay.ts';
import { readDecision } from '../access/store.ts';
import type { Config } from '../config.ts';
import { counted } from '../counted.ts';
import { connect } from '../db/connection.ts';
import { Programs } from '../policies/programs.ts';
import { openStoredDatabase } from './stored-database.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Decides a stored decision again and says what came of it; 0 the same, 1 different. */
export async function runDecisionReplay(
  config: Config,
  id: string,
  { json }: { readonly json?: boolean },
): Promise<number> {
  await using database = await openStoredDatabase(config);
  await using connection = connect(database.url, 2);
  const row = UUID.test(id) ? await readDecision(connection.db, id) : undefined;
  if (!row) throw new Error(`There is no decision ${id}.`);
  const report = await replayDecision(connection.db, new Programs(), row);
  console.log(json ? JSON.stringify(report) : linesOf(report));
  return report.same ? 0 : 1;
}

function linesOf({ decision, same, stored_sha256, versions, differences }: ReplayReport): string {
  if (same) {
    const count = versions.filter(({ kind }) => kind === 'policy').length;
    const policies = counted(count, 'policy', 'policies');
    return `SAME ${decision}: decided again from the pack and ${policies} that it names, the same bytes (SHA-256 ${stored_sha256}), which its event bound. Whether the event is in the log is for "umutungo log verify".`;
  }
  return differences
    .map(({ code, at, detail }) => `DIFFERENT ${code} at ${at}: ${detail}`)
    .join('\n');
}
