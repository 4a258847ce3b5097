import { type Recorded, receiptOf } from '../audit/record.ts';
import { readDataset } from '../catalogue/store.ts';
import { stewards } from '../catalogue/dataset.ts';
import { notFound } from '../errors.ts';
import type { AnswerOf, Handlers, JsonText, Reply } from '../operation.ts';
import { cursorOf, DEFAULT_LIMIT, readCursor, toPage } from '../paging.ts';
import { boundTo } from '../pdp/compose.ts';
import { explain } from '../pdp/explain.ts';
import { explanationText } from '../pdp/explanation-text.ts';
import { remedies } from '../pdp/remedies.ts';
import { dayOf } from '../policies/programs.ts';
import { overseesAll, type Principal } from '../principal.ts';
import type { AccessWriter } from './access.ts';
import { accessOnDay } from './access-on-day.ts';
import { answerText } from './answer.ts';
import { type Decided, type DecisionView, storedIn, viewOf } from './decision.ts';
import { replayDecision } from './replay.ts';
import { simulateDecision } from './simulate-decision.ts';
import {
  type AccessRequestFilter,
  type AccessRequestRow,
  type DecisionRow,
  readAccessRequest,
  readAccessRequests,
  readDecision,
} from './store.ts';
import { type Submit, submitOne } from './submit-access-request.ts';

type AccessOperation =
  | 'listAccessRequests'
  | 'listDatasetAccess'
  | 'submitAccessRequest'
  | 'getAccessRequest'
  | 'simulateDecision'
  | 'getDecision'
  | 'getDecisionExplanation'
  | 'replayDecision';

export interface AccessRoutes extends AccessWriter {
  readonly submit: Submit;
}

export function accessHandlers(deps: AccessRoutes): Handlers<AccessOperation> {
  return {
    listAccessRequests: async ({ principal, query }) => {
      const limit = query.limit ?? DEFAULT_LIMIT;
      const [before] = readCursor(query.cursor, ['uuid']) ?? [];
      const { dataset, project, effect } = query;
      const rows = await readAccessRequests(
        deps.db,
        { dataset, project, effect, before, ...scopeOf(principal) },
        limit + 1,
      );
      return {
        status: 200,
        body: toPage(
          rows,
          limit,
          ({ decision, ...row }) => ({ ...row, decision_id: decision }),
          ({ id }) => [id],
        ),
      };
    },
    listDatasetAccess: async ({ path, query: { on, cursor, limit = DEFAULT_LIMIT } }) => {
      if (!(await readDataset(deps.db, path.dataset))) throw notFound();
      const [before] = readCursor(cursor, ['uuid']) ?? [];
      const program = await deps.inForce(deps.db);
      const zone = program.pack.timezone;
      const asked = { dataset: path.dataset, on: on ?? dayOf(program, deps.clock()), zone, before };
      const { requests, next } = await accessOnDay(deps.db, asked, limit);
      const items = requests.map(({ decision, ...rest }) => ({ ...rest, decision_id: decision }));
      return {
        status: 200,
        body: { items, next_cursor: next === undefined ? null : cursorOf([next]) },
      };
    },
    submitAccessRequest: async ({ principal, body, headers, bodySha256 }) => {
      const key = headers.idempotencyKey;
      const idempotent =
        key === undefined
          ? undefined
          : {
              actor: principal.actor,
              operation: 'submitAccessRequest',
              key,
              request_sha256: bodySha256(),
            };
      const submitted = await submitOne(deps.submit, {
        operation: 'submitAccessRequest',
        principal,
        request: body,
        idempotent,
      });
      if (submitted.made === 'before') {
        // The key is the caller's own; whether they may still see the request is looked at again.
        const row = await readAccessRequest(deps.db, submitted.id);
        if (!row || !(await mayReadDecision(deps, principal, row))) throw notFound();
        return created(row.id, await loadRequest(deps, row));
      }
      const { request, decided, recorded } = submitted;
      const view = show(request, viewOf(request.decision, decided, recorded));
      return created(request.id, answerText(view));
    },
    getAccessRequest: async ({ principal, path }) => {
      const row = await readAccessRequest(deps.db, path.id);
      if (!row || !(await mayReadDecision(deps, principal, row))) throw notFound();
      return { status: 200, body: await loadRequest(deps, row) };
    },
    simulateDecision: async ({ principal, body }) => ({
      status: 200,
      body: await simulateDecision(deps, principal, body),
    }),
    getDecision: async ({ principal, path }) => ({
      status: 200,
      body: await loadDecision(deps, await readable(deps, principal, path.id)),
    }),
    getDecisionExplanation: async ({ principal, path, query }) => {
      const row = await readable(deps, principal, path.id);
      const { program, stored, explanation } = await decidedAgain(deps, row);
      const ways = remedies(program, stored.facts);
      const body = explanationText(explanation, query.language ?? 'en', program.pack, ways);
      return { status: 200, body };
    },
    replayDecision: async ({ principal, path }) => ({
      status: 200,
      body: await replayDecision(deps.db, deps.programs, await readable(deps, principal, path.id)),
    }),
  };
}

async function readable(
  deps: AccessWriter,
  principal: Principal,
  id: string,
): Promise<DecisionRow> {
  const row = await readDecision(deps.db, id);
  if (!row || !(await mayReadDecision(deps, principal, row))) throw notFound();
  return row;
}

function scopeOf(principal: Principal): Partial<AccessRequestFilter> {
  if (overseesAll(principal)) return {};
  if (principal.role === 'steward') return { publisher: principal.organisation ?? '' };
  return { projects: principal.projects };
}

/**
 * A partner sees what concerns their own projects, a steward what concerns their organisation's
 * datasets, auditors and the authority everything; whoever simulated sees that.
 */
export async function mayReadDecision(
  { db }: AccessWriter,
  principal: Principal,
  row: Pick<DecisionRow, 'dataset' | 'project' | 'created_by'> & { simulation?: boolean },
): Promise<boolean> {
  if (overseesAll(principal)) return true;
  if (row.simulation) return row.created_by === principal.actor;
  if (principal.role === 'partner')
    return row.project !== null && principal.projects.includes(row.project);
  const dataset = row.dataset === null ? undefined : await readDataset(db, row.dataset);
  return dataset !== undefined && stewards(dataset, principal);
}

type RequestView = AnswerOf<'getAccessRequest'>;

function created(
  id: string,
  body: RequestView | JsonText<RequestView>,
): Reply<'submitAccessRequest'> {
  return { status: 201, body, headers: { Location: `/v1/access-requests/${id}` } };
}

function show(
  { effect: _effect, purpose: _purpose, ...row }: AccessRequestRow,
  decision: DecisionView,
): RequestView & { readonly decision: DecisionView } {
  return { ...row, request: { ...row.request }, decision };
}

async function loadRequest(deps: AccessWriter, row: AccessRequestRow): Promise<RequestView> {
  const decision = await readDecision(deps.db, row.decision);
  if (!decision) throw notFound();
  return show(row, await loadDecision(deps, decision));
}

/** A stored decision with its explanation, from the very policy versions that it names. */
async function decidedAgain(deps: AccessWriter, row: DecisionRow): Promise<Decided> {
  const stored = storedIn(row.document);
  const inForce = await deps.programs.ofVersions(deps.db, {
    pack_sha256: stored.pack.sha256,
    policy_sha256: stored.policies.map(({ sha256 }) => sha256),
  });
  const program = boundTo(inForce, stored.facts);
  return { program, stored, explanation: explain(program, stored.facts) };
}

async function loadDecision(deps: AccessWriter, row: DecisionRow): Promise<DecisionView> {
  const recorded: Recorded = await receiptOf(deps, row.event_id);
  return viewOf(row.id, await decidedAgain(deps, row), recorded);
}
