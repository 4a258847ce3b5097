/** The thread that replays parts of the recorded requests; `runs.ts` starts and feeds it. */
import { workerData } from 'node:worker_threads';
import { connect } from '../db/connection.ts';
import { programsOf } from '../policies/change.ts';
import { Programs } from '../policies/programs.ts';
import type { ImpactJob } from './impact-run.ts';
import { insertImpactChanges } from './impact-store.ts';
import { replayRecorded, tallyOf } from './impact.ts';
import { type Work, workOn } from './runs.ts';

const { databaseUrl, id, change: texts } = workerData as Work<ImpactJob>;

// One reads the next page while the other writes what was found in the last.
await using connection = connect(databaseUrl, 2);
const { db } = connection;
const change = programsOf(new Programs(), texts);
await workOn(async function* look(range) {
  for await (const { done, turned } of replayRecorded(db, change, range)) {
    await insertImpactChanges(db, id, turned);
    yield tallyOf(done, turned);
  }
});
