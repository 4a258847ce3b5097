import type { Db } from '../db/connection.ts';
import type { NoteVerifier } from '../tlog/note-key.ts';
import { type LogEntry, type LogProblem, type LogReport, verifyLog } from '../tlog/verify.ts';
import { leafBindsBody } from './event.ts';
import { countUnsequenced, readCheckpoints, readEntries, readHead } from './store.ts';

export interface StoredLogProblem extends Omit<LogProblem, 'code'> {
  readonly code:
    | LogProblem['code']
    | 'event_missing'
    | 'body_digest_mismatch'
    | 'event_lost'
    | 'no_log';
  readonly event_id?: string;
}

export interface StoredLogReport extends Omit<LogReport, 'problems' | 'ok'> {
  readonly ok: boolean;
  readonly problems: readonly StoredLogProblem[];
  readonly pending: number;
}

const PAGE = 2_000;
const CHECKPOINTS = 1_000;
const MAX_PROBLEMS = 100;

/**
 * Re-reads every event of the log in the database, recomputes every hash, the root and the newest
 * 1,000 checkpoints, and checks that each leaf binds its body and that no event is outside the
 * tree. Never throws for bad data. `progress` is called with the number of entries so far.
 */
export async function verifyStoredLog(
  db: Db,
  trust: { readonly verifiers?: readonly NoteVerifier[]; readonly trustedCheckpoint?: string },
  progress: (checked: number) => void = () => {},
): Promise<StoredLogReport> {
  const head = await readHead(db);
  const problems: StoredLogProblem[] = [];
  if (!head) problems.push({ code: 'no_log', detail: 'the database has no log' });
  const checkpoints = await readCheckpoints(db, CHECKPOINTS);
  const entries = readAll(db, head?.size ?? 0, problems, progress);
  const report = await verifyLog({
    origin: head?.origin ?? '',
    entries,
    head: { size: head?.size ?? 0, root: head?.root ?? new Uint8Array(32) },
    checkpoints: checkpoints.map(({ note }) => note),
    ...trust,
  });
  const { pending, lost } = await countUnsequenced(db);
  if (lost > 0)
    problems.push({
      code: 'event_lost',
      detail: `${lost} events are neither in the tree nor waiting for it`,
    });
  for (const problem of report.problems) {
    const [row] = problem.index === undefined ? [] : await readEntries(db, problem.index, 1);
    problems.push(
      row?.idx === problem.index && row ? { ...problem, event_id: row.event_id } : problem,
    );
  }
  return { ...report, ok: report.ok && problems.length === 0, problems, pending };
}

async function* readAll(
  db: Db,
  size: number,
  problems: StoredLogProblem[],
  progress: (checked: number) => void,
): AsyncGenerator<LogEntry> {
  for (let from = 0; from < size; ) {
    const rows = await readEntries(db, from, PAGE);
    if (rows.length === 0) return;
    for (const { idx, event_id, leaf_hash, leaf, body } of rows) {
      if (idx >= size) return; // sequenced after the head was read
      from = idx + 1;
      if (!leaf) {
        if (problems.length < MAX_PROBLEMS)
          problems.push({
            code: 'event_missing',
            index: idx,
            event_id,
            detail: 'the event of this leaf is gone',
          });
        continue;
      }
      if ((!body || !bindsBody(leaf, body)) && problems.length < MAX_PROBLEMS) {
        problems.push({
          code: 'body_digest_mismatch',
          index: idx,
          event_id,
          detail: 'the body is not the one that the leaf binds',
        });
      }
      yield { index: idx, entry: leaf, storedLeafHash: leaf_hash };
    }
    progress(from);
  }
}

function bindsBody(leaf: Uint8Array, body: Uint8Array): boolean {
  try {
    return leafBindsBody(leaf, body);
  } catch {
    return false; // a leaf that is no JSON any more
  }
}
