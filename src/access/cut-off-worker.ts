/** The thread that looks at what was permitted on both sides of an event; `runs.ts` feeds it. */
import { workerData } from 'node:worker_threads';
import { connect } from '../db/connection.ts';
import { Programs } from '../policies/programs.ts';
import type { CutOffJob } from './cut-off-run.ts';
import { insertFallen } from './cut-off-store.ts';
import { fellBy, tallyOfFallen } from './cut-off.ts';
import { type Work, workOn } from './runs.ts';

const { databaseUrl, id, cut } = workerData as Work<CutOffJob>;

// What the registers said is read together.
await using connection = connect(databaseUrl, 4);
const { db } = connection;
const programs = new Programs();
const { before, after } = cut.generations;
const both = {
  before: await programs.ofGeneration(db, before, cut.day),
  after: await programs.ofGeneration(db, after, cut.day),
};
await workOn(async function* look(range) {
  for await (const { done, fallen } of fellBy(db, cut, both, range)) {
    await insertFallen(db, id, fallen);
    yield tallyOfFallen(done, fallen);
  }
});
