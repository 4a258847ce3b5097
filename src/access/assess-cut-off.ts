import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import { newId } from '../ids.ts';
import type { Programs } from '../policies/programs.ts';
import type { Principal } from '../principal.ts';
import { cutOfEvent } from './cut-of-event.ts';
import type { CutOffJob } from './cut-off-run.ts';
import { insertCutOff } from './cut-off-store.ts';
import { NOTHING_FELL } from './cut-off.ts';

interface CutOffWriter extends Writer {
  readonly programs: Programs;
}

export interface AssessedCutOff {
  readonly job: CutOffJob;
  readonly recorded: Recorded;
}

/**
 * Stores the run that finds which permitted requests and evaluations an event cut off.
 * @throws ServiceError `not_found`, `wrong_status` for an event that changes no decision.
 */
export async function assessCutOff(
  writer: CutOffWriter,
  { actor, role }: Principal,
  event: string,
): Promise<AssessedCutOff> {
  return change(writer, async (tx) => {
    const cut = await cutOfEvent(tx, writer.programs, event);
    const now = writer.clock().toISOString();
    const id = newId(Date.parse(now));
    const recorded = await record(tx, writer.log, now, {
      type: 'assessCutOff',
      actor,
      role,
      subject_ids: [id, event],
      outcome: 'success',
      body: { cut_off: id, event, at: cut.at, generations: cut.generations },
    });
    await insertCutOff(tx, {
      ...NOTHING_FELL,
      id,
      event,
      at: cut.at,
      status: 'running',
      failure: null,
      total: null,
      rules: '[]',
      created_by: actor,
      created_at: now,
      finished_at: null,
      heartbeat_at: now,
      event_id: recorded.event_id,
    });
    return { job: { id, cut }, recorded };
  });
}
