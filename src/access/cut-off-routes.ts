import { notFound } from '../errors.ts';
import type { Handlers } from '../operation.ts';
import { DEFAULT_LIMIT, readCursor, toPage } from '../paging.ts';
import type { AccessWriter } from './access.ts';
import { assessCutOff } from './assess-cut-off.ts';
import type { CutOffJob } from './cut-off-run.ts';
import { type CutOff, readCutOff, readFallen } from './cut-off-store.ts';
import type { CutOffTally } from './cut-off.ts';
import { patiently, type Runs } from './runs.ts';

type CutOffOperation = 'assessCutOff' | 'getCutOff' | 'getCutOffRequests';

export type CutOffRuns = Runs<CutOffJob, CutOffTally>;

export interface CutOffRoutes extends AccessWriter {
  readonly runs: CutOffRuns;
}

export function cutOffHandlers(deps: CutOffRoutes): Handlers<CutOffOperation> {
  return {
    assessCutOff: async ({ principal, path }) => {
      const { job, recorded, finished } = await deps.runs.start(() =>
        assessCutOff(deps, principal, path.id),
      );
      await patiently(finished);
      const row = await readCutOff(deps.db, job.id);
      if (!row) throw notFound();
      return {
        status: 201,
        body: { ...viewOf(row), ...recorded },
        headers: { Location: `/v1/audit/events/${row.event}/cut-offs/${row.id}` },
      };
    },
    getCutOff: async ({ path }) => ({ status: 200, body: viewOf(await readable(deps, path)) }),
    getCutOffRequests: async ({ path, query }) => {
      const { outcome, limit = DEFAULT_LIMIT } = query;
      const [reached, decision] = readCursor(query.cursor, ['text', 'uuid']) ?? [];
      const after =
        reached === undefined || decision === undefined
          ? undefined
          : { outcome: reached, decision };
      const { id } = await readable(deps, path);
      const rows = await readFallen(deps.db, id, { outcome, after }, limit + 1);
      return {
        status: 200,
        body: toPage(
          rows,
          limit,
          ({ decision: decision_id, ...row }) => ({
            kind:
              row.access_request === null ? ('evaluation' as const) : ('access_request' as const),
            ...row,
            decision_id,
          }),
          (row) => [row.outcome, row.decision],
        ),
      };
    },
  };
}

async function readable(
  { db, runs }: CutOffRoutes,
  { id, run }: { readonly id: string; readonly run: string },
): Promise<CutOff> {
  await runs.failAbandoned();
  const row = await readCutOff(db, run);
  if (row?.event !== id) throw notFound();
  return row;
}

function viewOf({ heartbeat_at: _heartbeat, rules, ...row }: CutOff) {
  return { ...row, rules: rules.map((each) => ({ ...each })) };
}
