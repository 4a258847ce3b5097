import { updateCutOff } from './cut-off-store.ts';
import { addCutOffTallies, type Cut, type CutOffTally, NOTHING_FELL } from './cut-off.ts';
import { readCuts, REQUESTS_AND_EVALUATIONS } from './run-store.ts';
import type { Job, RunKind } from './runs.ts';

/** A run that finds what an event cut off. */
export interface CutOffJob extends Job {
  readonly cut: Cut;
}

export const CUT_OFF_RUN: RunKind<CutOffJob, CutOffTally> = {
  table: 'cut_off',
  worker: new URL('./cut-off-worker.ts', import.meta.url),
  nothing: NOTHING_FELL,
  add: addCutOffTallies,
  cuts: (db, { cut: { scope } }, size) =>
    readCuts(db, { of: REQUESTS_AND_EVALUATIONS, scope }, size),
  update: updateCutOff,
};
