import { canonicalText } from '../audit/canonical.ts';
import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import type { Db } from '../db/connection.ts';
import { type InputProblem, ServiceError } from '../errors.ts';
import { randomToken, sha256 } from '../ids.ts';
import { parseInstant } from '../pdp/calendar.ts';
import type { Program } from '../pdp/program.ts';
import { purposeProblems, purposesNamed } from '../pdp/purposes.ts';
import type { Principal } from '../principal.ts';
import type { ConsentRecord } from './consent.ts';
import { keepTotals, lockDataset, writeRecords } from './store.ts';

export interface ConsentWriter extends Writer {
  /** The program of the policies in force now. */
  readonly inForce: (db: Db) => Promise<Program>;
}

// A clock of another system may run a little ahead of ours.
const AHEAD_MS = 5 * 60_000;

/**
 * Records statements of people about a dataset, all or none, and one event for them. The event
 * names purposes, a count and a digest, and no subject: pseudonyms stay in the register. The digest
 * is over those of the records, each with the salt that lies with the record.
 * @throws ServiceError `invalid_request` for a subject twice or a moment in the future,
 * `older_than_recorded` where the record is newer than the statement.
 */
export async function recordConsents(
  writer: ConsentWriter,
  principal: Principal,
  type: 'recordConsent' | 'recordConsents',
  {
    dataset,
    records: written,
  }: { readonly dataset: string; readonly records: readonly ConsentRecord[] },
): Promise<Recorded> {
  return change(writer, async (tx) => {
    const now = writer.clock();
    const prefix = type === 'recordConsents' ? '/records/' : '';
    const pathOf = (i: number): string => (prefix ? `${prefix}${i}` : '');
    const program = await writer.inForce(tx);
    const names = purposesNamed(
      program,
      written.map(({ purpose }) => purpose),
    );
    const records = written.map((each, i) => ({ ...each, purpose: names[i] ?? each.purpose }));
    refuse([...checkPurposes(program, records, pathOf), ...checkRecords(records, now, pathOf)]);
    await lockDataset(tx, dataset);
    const salted = records.map((each) => ({ ...each, salt: randomToken() }));
    const { older, salts } = await writeRecords(tx, dataset, salted, now.toISOString());
    if (older.length > 0) refuseOlder(records, older, prefix);
    const { actor, role } = principal;
    const purposes = [...new Set(records.map(({ purpose }) => purpose))].toSorted();
    const digest = sha256(
      canonicalText(records.map((each, i) => sha256(canonicalText([salts[i] ?? '', each])))),
    );
    const at = now.toISOString();
    const recorded = await record(tx, writer.log, at, {
      type,
      actor,
      role,
      subject_ids: [dataset],
      outcome: 'success',
      body: {
        dataset,
        purposes,
        records: records.length,
        records_sha256: digest,
        statuses: countStatuses(records),
      },
    });
    await keepTotals(tx, { dataset, purposes }, { event_id: recorded.event_id, at });
    return recorded;
  });
}

/** Nobody agrees to what does not exist; whoever once did may always say otherwise. */
function checkPurposes(
  program: Program,
  records: readonly ConsentRecord[],
  at: (i: number) => string,
): InputProblem[] {
  return records.flatMap(({ purpose, status }, i) =>
    status === 'given' ? purposeProblems(program, [purpose], () => `${at(i)}/purpose`) : [],
  );
}

function countStatuses(records: readonly ConsentRecord[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status } of records) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

function checkRecords(
  records: readonly ConsentRecord[],
  now: Date,
  path: (i: number) => string,
): InputProblem[] {
  const problems: InputProblem[] = [];
  const seen = new Set<string>();
  records.forEach(({ purpose, subject, at }, i) => {
    const key = `${purpose}\n${subject}`;
    if (seen.has(key))
      problems.push({ path: `${path(i)}/subject`, expected: 'each subject once for a purpose' });
    seen.add(key);
    if ((parseInstant(at) ?? Number.NaN) > now.getTime() + AHEAD_MS) {
      problems.push({ path: `${path(i)}/at`, expected: 'a moment that is not in the future' });
    }
  });
  return problems;
}

function refuse(problems: readonly InputProblem[]): void {
  if (problems.length > 0)
    throw new ServiceError('invalid_request', 'Nothing was recorded.', problems.slice(0, 100));
}

function refuseOlder(
  records: readonly ConsentRecord[],
  older: readonly { purpose: string; subject: string }[],
  prefix: string,
): never {
  const problems = older.map(({ purpose, subject }) => {
    const index = records.findIndex((each) => each.purpose === purpose && each.subject === subject);
    return {
      path: `${prefix ? `${prefix}${index}` : ''}/at`,
      expected: 'a moment after that of the record that is kept',
    };
  });
  throw new ServiceError(
    'older_than_recorded',
    'A later statement of the same person is on record. Nothing was recorded.',
    problems,
  );
}
