import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import { notFound, ServiceError } from '../errors.ts';
import { newId } from '../ids.ts';
import { changeOfSets, programsOf } from '../policies/change.ts';
import { mayApprove } from '../policies/life.ts';
import type { Programs } from '../policies/programs.ts';
import { readPolicyVersion } from '../policies/store.ts';
import type { Principal } from '../principal.ts';
import type { ImpactJob } from './impact-run.ts';
import { type Impact, insertImpact } from './impact-store.ts';
import { NOTHING } from './impact.ts';

interface AssessWriter extends Writer {
  readonly programs: Programs;
}

export interface AssessedImpact {
  readonly job: ImpactJob;
  readonly recorded: Recorded;
}

/**
 * Stores the run that tries a version on the recorded requests; whoever may write or approve the
 * version may start one. Its text is read now: a draft that changes later is another one.
 * @throws ServiceError `not_found`, `wrong_status`, `invalid_policy`.
 */
export async function assessPolicyImpact(
  writer: AssessWriter,
  principal: Principal,
  { policy, version }: { readonly policy: string; readonly version: number },
): Promise<AssessedImpact> {
  return change(writer, async (tx) => {
    const row = await readPolicyVersion(tx, policy, version);
    if (!row || !mayApprove(row.owner, principal)) throw notFound();
    if (row.origin === 'pack')
      throw new ServiceError('wrong_status', 'It comes from the files of the pack: change those.');
    if (row.status === 'withdrawn')
      throw new ServiceError('wrong_status', 'The version is withdrawn; draft the next one.');
    const { generation, ...sets } = await changeOfSets(writer, tx, row);
    // Compiled here to say at once what does not fit together.
    programsOf(writer.programs, sets);
    const now = writer.clock().toISOString();
    const impact = newId(Date.parse(now));
    const named = { policy, version, sha256: row.sha256, generation };
    const recorded = await record(tx, writer.log, now, {
      type: 'assessPolicyImpact',
      actor: principal.actor,
      role: principal.role,
      subject_ids: [impact, policy, ...(row.owner === null ? [] : [row.owner])],
      outcome: 'success',
      body: { impact, ...named, status: row.status },
    });
    const { done, changed, more_permitted, less_permitted, transitions } = NOTHING;
    const started: Impact & { readonly status: 'running' } = {
      id: impact,
      ...named,
      status: 'running',
      failure: null,
      total: null,
      done,
      changed,
      more_permitted,
      less_permitted,
      transitions,
      created_by: principal.actor,
      created_at: now,
      finished_at: null,
      heartbeat_at: now,
      event_id: recorded.event_id,
    };
    await insertImpact(tx, started);
    return { job: { id: impact, change: sets }, recorded };
  });
}
