import type { ChangeOfSets } from '../policies/change.ts';
import { updateImpact } from './impact-store.ts';
import { addTallies, NOTHING, type Tally } from './impact.ts';
import { readCuts, REQUESTS } from './run-store.ts';
import type { Job, RunKind } from './runs.ts';

/** A run that tries a version: its id, and what is compared. */
export interface ImpactJob extends Job {
  readonly change: ChangeOfSets;
}

export const IMPACT_RUN: RunKind<ImpactJob, Tally> = {
  table: 'impact',
  worker: new URL('./impact-worker.ts', import.meta.url),
  nothing: NOTHING,
  add: addTallies,
  cuts: (db, { change: { owner } }, size) =>
    readCuts(db, { of: REQUESTS, scope: { publisher: owner } }, size),
  update: updateImpact,
};
