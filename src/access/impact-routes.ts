import { notFound } from '../errors.ts';
import type { Handlers } from '../operation.ts';
import { DEFAULT_LIMIT, readCursor, toPage } from '../paging.ts';
import { mayWrite } from '../policies/life.ts';
import { readPolicyVersion } from '../policies/store.ts';
import { overseesAll, type Principal } from '../principal.ts';
import type { AccessWriter } from './access.ts';
import { assessPolicyImpact } from './assess-policy-impact.ts';
import type { ImpactJob } from './impact-run.ts';
import { type Impact, readImpact, readImpactChanges } from './impact-store.ts';
import type { Tally } from './impact.ts';
import { patiently, type Runs } from './runs.ts';

type ImpactOperation = 'assessPolicyImpact' | 'getPolicyImpact' | 'getPolicyImpactChanges';

export type ImpactRuns = Runs<ImpactJob, Tally>;

export interface ImpactRoutes extends AccessWriter {
  readonly runs: ImpactRuns;
}

export function impactHandlers(deps: ImpactRoutes): Handlers<ImpactOperation> {
  return {
    assessPolicyImpact: async ({ principal, path }) => {
      const { job, recorded, finished } = await deps.runs.start(() =>
        assessPolicyImpact(deps, principal, path),
      );
      await patiently(finished);
      const row = await readImpact(deps.db, job.id);
      if (!row) throw notFound();
      return {
        status: 201,
        body: { ...viewOf(row), ...recorded },
        headers: {
          Location: `/v1/policies/${row.policy}/versions/${row.version}/impact/${row.id}`,
        },
      };
    },
    getPolicyImpact: async ({ principal, path }) => ({
      status: 200,
      body: viewOf(await readable(deps, principal, path)),
    }),
    getPolicyImpactChanges: async ({ principal, path, query }) => {
      const limit = query.limit ?? DEFAULT_LIMIT;
      const [after] = readCursor(query.cursor, ['uuid']) ?? [];
      const { id } = await readable(deps, principal, path);
      const { from, to } = query;
      const rows = await readImpactChanges(deps.db, id, { from, to, after }, limit + 1);
      return {
        status: 200,
        body: toPage(
          rows,
          limit,
          (row) => row,
          ({ access_request }) => [access_request],
        ),
      };
    },
  };
}

/**
 * A run, for those who may write the policy and those who oversee: it is about requests on one
 * organisation's datasets where the policy is that organisation's, and on all where it is national.
 */
async function readable(
  { db, runs }: ImpactRoutes,
  principal: Principal,
  {
    policy,
    version,
    id,
  }: { readonly policy: string; readonly version: number; readonly id: string },
): Promise<Impact> {
  const row = await readPolicyVersion(db, policy, version);
  if (!row || !(overseesAll(principal) || mayWrite(row.owner, principal))) throw notFound();
  await runs.failAbandoned();
  const impact = await readImpact(db, id);
  if (impact?.policy !== policy || impact.version !== version) throw notFound();
  return impact;
}

function viewOf({ heartbeat_at: _heartbeat, transitions, ...row }: Impact) {
  return {
    ...row,
    transitions: transitions.map((each) => ({
      ...each,
      rules: each.rules.map((rule) => ({ ...rule })),
    })),
  };
}
