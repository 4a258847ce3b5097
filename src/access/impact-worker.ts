/** The thread that replays parts of the recorded requests; `impact-runs.ts` starts and feeds it. */
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { connect } from '../db/connection.ts';
import { programsOf } from '../policies/change.ts';
import { Programs } from '../policies/programs.ts';
import type { ImpactWork } from './impact-runs.ts';
import { insertImpactChanges } from './impact-store.ts';
import { type Range, replayRecorded, tallyOf } from './impact.ts';

const { databaseUrl, impact, change: texts } = workerData as ImpactWork;
if (!parentPort) throw new Error('This is a thread of the service.');
const port = parentPort;

// One reads the next page while the other writes what was found in the last.
await using connection = connect(databaseUrl, 2);
const { db } = connection;
const change = programsOf(new Programs(), texts);
for (;;) {
  // "Nothing to do": the answer is the next part, or null when there is none.
  port.postMessage(null);
  const [range] = (await once(port, 'message')) as [Range | null];
  if (!range) break;
  for await (const { done, turned } of replayRecorded(db, change, range)) {
    await insertImpactChanges(db, impact, turned);
    port.postMessage(tallyOf(done, turned));
  }
}
