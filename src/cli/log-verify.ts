import { readFile } from 'node:fs/promises';
import { verifyStoredLog, type StoredLogReport } from '../audit/verify.ts';
import type { Config } from '../config.ts';
import { connect } from '../db/connection.ts';
import { parseVerifierKey } from '../tlog/note-key.ts';
import { openStoredDatabase } from './stored-database.ts';

interface Options {
  readonly vkey?: string;
  readonly checkpoint?: string;
  readonly json?: boolean;
}

/** Verifies the stored log and says in one line what was checked; 0 whole, 1 damaged, 2 no answer. */
export async function runLogVerify(config: Config, options: Options): Promise<number> {
  const verifier = options.vkey === undefined ? undefined : await readVerifier(options.vkey);
  const trustedCheckpoint =
    options.checkpoint === undefined ? undefined : await readFile(options.checkpoint, 'utf8');
  await using database = await openStoredDatabase(config);
  await using connection = connect(database.url, 2);
  const trust = {
    ...(verifier ? { verifiers: [verifier] } : {}),
    ...(trustedCheckpoint === undefined ? {} : { trustedCheckpoint }),
  };
  const report = await verifyStoredLog(connection.db, trust, progressLine());
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  if (options.json)
    console.log(JSON.stringify({ ...report, root: Buffer.from(report.root).toString('base64') }));
  else console.log(lineOf(report, options));
  return report.ok ? 0 : 1;
}

async function readVerifier(given: string) {
  const text = given.includes('+') ? given : await readFile(given, 'utf8');
  const parsed = parseVerifierKey(text.trim());
  if (!parsed.ok) throw new Error(`--vkey is no verifier key: ${parsed.reason}`);
  return parsed.verifier;
}

function progressLine(): (checked: number) => void {
  if (!process.stderr.isTTY) return () => {};
  return (checked) => process.stderr.write(`\r${checked} events checked`);
}

/** One wrong key makes every checkpoint a problem: a line for each kind is enough to act on. */
function firstOfEach(problems: StoredLogReport['problems']): StoredLogReport['problems'] {
  return problems.filter(({ code }, i) => problems.findIndex((each) => each.code === code) === i);
}

function lineOf(report: StoredLogReport, { vkey, checkpoint }: Options): string {
  const { entriesChecked, size, root, checkpointsChecked, pending, problems } = report;
  if (!report.ok) {
    return firstOfEach(problems)
      .map(({ code, index, event_id, detail }) => {
        const where = [
          index === undefined ? '' : ` at index ${index}`,
          event_id === undefined ? '' : ` (event ${event_id})`,
        ].join('');
        const more = problems.filter((each) => each.code === code).length - 1;
        const others = more > 0 ? ` (and ${more} more of this kind; --json lists them)` : '';
        return `DAMAGED ${code}${where}: ${detail}${others}`;
      })
      .join('\n');
  }
  const checked = `${entriesChecked} events, their hashes and bodies, the root ${Buffer.from(root).toString('base64')} of size ${size}, ${checkpointsChecked} checkpoints`;
  const waiting = pending > 0 ? `; ${pending} events wait for their index` : '';
  const kept = [
    vkey === undefined ? '' : 'signed by the key given',
    checkpoint === undefined ? '' : 'extends the checkpoint given',
  ].filter(Boolean);
  const proof =
    vkey === undefined
      ? `self-consistent only${checkpoint === undefined ? '' : ', and it extends the checkpoint given (its signature was not checked)'}: give --vkey and --checkpoint that you kept to prove that nobody rewrote it`
      : kept.join(', ');
  return `OK ${checked}${waiting}: ${proof}.`;
}
