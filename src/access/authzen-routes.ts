import type { AnswerOf, Call, Handlers, OperationId, Reply } from '../operation.ts';
import { notFound, ServiceError } from '../errors.ts';
import type { Program } from '../pdp/program.ts';
import {
  configurationOf,
  type DecisionPoint,
  evaluateAll,
  type Found,
  type Page,
  search,
} from '../spaces/authzen.ts';
import type { KnownSpaces } from '../spaces/known-spaces.ts';
import { decisionPointOf } from '../spaces/routes.ts';
import { mayAsk } from '../spaces/space.ts';
import { answerLog, spacePoint } from '../spaces/space-point.ts';
import type { AccessWriter } from './access.ts';
import { foreignPackPoint } from './foreign-pack-point.ts';
import { nationalPoint, REQUESTABLE_MS } from './national-point.ts';
import { askedBy } from './questions.ts';
import { mayReadDecision } from './routes.ts';
import { readAccessRequest, readDecision } from './store.ts';
import { type Submit, submitOne } from './submit-access-request.ts';

export interface AuthzenRoutes extends AccessWriter {
  /** Checks a value against a named schema of the contract. @throws ServiceError `invalid_request`. */
  readonly checkSchema: (schema: string, value: unknown) => void;
  readonly spaces: KnownSpaces;
  readonly submit: Submit;
  /** Other countries' packs. */
  readonly packs: readonly Program[];
}

type Question = 'evaluateAccess' | 'evaluateAccesses';
type Search = 'searchSubjects' | 'searchResources' | 'searchActions';
type AuthzenOperation =
  | Question
  | Search
  | `${Question | Search}InSpace`
  | 'getDecisionPoint'
  | 'getDecisionPointOfSpace'
  | 'requestAccess'
  | 'getAccessTask';

/** The handlers of all decision points: the nation's own at the root, and each space's. */
export function authzenHandlers(deps: AuthzenRoutes): Handlers<AuthzenOperation> {
  const log = answerLog(deps);
  const pointOf = async (call: AnyCall): Promise<DecisionPoint> => {
    const { principal, path, origin } = call;
    if ((path.space ?? NATIONAL) === NATIONAL) {
      const requestEndpoint = requestEndpointOf(origin);
      return nationalPoint(deps, { principal, submit: deps.submit, requestEndpoint });
    }
    const pack = deps.packs.find(({ pack: { pack: name } }) => name === path.space);
    if (pack) return foreignPackPoint(deps, pack, principal);
    const now = deps.clock().getTime();
    const known = deps.spaces.get(path.space ?? '');
    const live = known instanceof Promise ? await known : known;
    if (!live || !mayAsk(live.space, principal)) throw notFound();
    return spacePoint(live, { principal, now, log });
  };
  const bound = ({ principal, path }: AnyCall, kind: Search, question: unknown) => ({
    name: `${path.space ?? NATIONAL} ${kind} ${principal.role} ${principal.actor}`,
    question,
    seal: deps.log.keys.pseudonym,
  });
  const evaluation = async (call: AnyCall): Promise<Answered<'evaluateAccess'>> => {
    const body = call.body as Call<'evaluateAccess'>['body'];
    const point = await pointOf(call);
    return { status: 200, body: await point.evaluate(body, body.options?.explain === true) };
  };
  const evaluations = async (call: AnyCall): Promise<Answered<'evaluateAccesses'>> => {
    const body = call.body as Call<'evaluateAccesses'>['body'];
    return { status: 200, body: await evaluateAll(await pointOf(call), body) };
  };
  const found = async <T>(
    call: AnyCall,
    kind: Search,
    question: object,
    find: (point: DecisionPoint, page: Page) => Promise<Found<T>>,
  ) => {
    const { page } = call.body as Call<'searchSubjects'>['body'];
    const point = await pointOf(call);
    const body = await search(page, bound(call, kind, question), (at) => find(point, at));
    return { status: 200 as const, body };
  };
  const subjects = (call: AnyCall): Promise<Answered<'searchSubjects'>> => {
    const { subject, action, resource, context = {} } = call.body as Call<'searchSubjects'>['body'];
    const question = { subject: withoutId(subject), action, resource, context };
    return found(call, 'searchSubjects', question, (point, at) => point.subjects(question, at));
  };
  const resources = (call: AnyCall): Promise<Answered<'searchResources'>> => {
    const {
      subject,
      action,
      resource,
      context = {},
    } = call.body as Call<'searchResources'>['body'];
    const question = { subject, action, resource: withoutId(resource), context };
    return found(call, 'searchResources', question, (point, at) => point.resources(question, at));
  };
  const actions = (call: AnyCall): Promise<Answered<'searchActions'>> => {
    const { subject, resource, context = {} } = call.body as Call<'searchActions'>['body'];
    const question = { subject, resource, context };
    return found(call, 'searchActions', question, (point, at) => point.actions(question, at));
  };
  return {
    evaluateAccess: evaluation,
    evaluateAccessInSpace: evaluation,
    evaluateAccesses: evaluations,
    evaluateAccessesInSpace: evaluations,
    searchSubjects: subjects,
    searchSubjectsInSpace: subjects,
    searchResources: resources,
    searchResourcesInSpace: resources,
    searchActions: actions,
    searchActionsInSpace: actions,
    requestAccess: (call) => requestAccess(deps, call),
    getAccessTask: async ({ principal, path, origin }) => {
      const row = await readAccessRequest(deps.db, path.id);
      if (!row || !(await mayReadDecision(deps, principal, row))) throw notFound();
      return { status: 200, body: taskOf(row.id, row.effect, origin) };
    },
    getDecisionPoint: ({ origin }) => ({ status: 200, body: metadata(deps, origin, NATIONAL) }),
    getDecisionPointOfSpace: ({ origin, path }) => ({
      status: 200,
      body: metadata(deps, origin, path.space),
    }),
  };
}

/** A call of any of them: the nation's own names no space. */
type AnyCall = Pick<Call<'evaluateAccess'>, 'principal' | 'origin'> & {
  readonly path: { readonly space?: string };
  readonly body: unknown;
};

/** An answer of an operation at the root, which is that of the same one in a space. */
interface Answered<Id extends OperationId> {
  readonly status: 200;
  readonly body: AnswerOf<Id>;
}

const NATIONAL = 'national';

/**
 * Makes the access request that a review has answered with (Access Request and Approval profile).
 * It is decided anew: nothing rests on what the caller repeats of the evaluation.
 * @throws ServiceError `not_requestable`, `expired_denial`.
 */
async function requestAccess(
  deps: AuthzenRoutes,
  { principal, body, headers, bodySha256, origin }: Call<'requestAccess'>,
): Promise<Reply<'requestAccess'>> {
  const { denial, subject, resource } = body;
  const evaluation = await readDecision(deps.db, denial.evaluation_id);
  const isTheirs =
    evaluation?.created_by === principal.actor &&
    evaluation.effect === 'review' &&
    !evaluation.simulation &&
    evaluation.project === subject.id &&
    evaluation.dataset === resource.id;
  if (!isTheirs) {
    throw new ServiceError('not_requestable', 'The denial is no review of this question.', [
      { path: '/denial/evaluation_id', expected: 'the evaluation_id that came with the review' },
    ]);
  }
  if (deps.clock().getTime() > Date.parse(evaluation.created_at) + REQUESTABLE_MS) {
    throw new ServiceError('expired_denial', 'The review is too old. Evaluate again.');
  }
  const { vocabulary } = await deps.inForce(deps.db);
  const { names, asked } = askedBy(vocabulary, body);
  const request = { ...asked, ...names };
  deps.checkSchema('AccessRequestInput', request);
  const key = headers.idempotencyKey;
  const submitted = await submitOne(deps.submit, {
    operation: 'submitAccessRequest',
    principal,
    request,
    idempotent:
      key === undefined
        ? undefined
        : {
            actor: principal.actor,
            operation: 'submitAccessRequest',
            key,
            request_sha256: bodySha256(),
          },
  });
  const made =
    submitted.made === 'now' ? submitted.request : await readAccessRequest(deps.db, submitted.id);
  if (!made) throw notFound();
  const task = taskOf(made.id, made.effect, origin);
  return {
    status: 201,
    body: task,
    headers: { Location: new URL(task.task.status_endpoint).pathname },
  };
}

const STATUS_OF = { review: 'pending', permit: 'approved', deny: 'denied' } as const;

function taskOf(
  id: string,
  effect: keyof typeof STATUS_OF,
  origin: string,
): AnswerOf<'getAccessTask'> {
  return {
    task: {
      id,
      status: STATUS_OF[effect],
      status_endpoint: `${origin}/access/v1/tasks/${id}`,
      links: { ticket: `${origin}/v1/access-requests/${id}` },
    },
  };
}

/** A search ignores the id of what it looks for. */
function withoutId<T extends { readonly type: string }>(entity: T): T {
  const { id: _id, ...rest } = entity as T & { id?: unknown };
  return rest as unknown as T;
}

function requestEndpointOf(origin: string): string {
  return `${origin}/access/v1/request`;
}

function metadata(
  { packs }: Pick<AuthzenRoutes, 'packs'>,
  origin: string,
  space: string,
): AnswerOf<'getDecisionPoint'> {
  const base = decisionPointOf(origin, space);
  const configuration = configurationOf(base);
  if (packs.some(({ pack }) => pack.pack === space)) {
    // Nothing is registered there that a search could go through.
    const {
      search_subject_endpoint: _subject,
      search_resource_endpoint: _resource,
      search_action_endpoint: _action,
      ...rest
    } = configuration;
    return rest;
  }
  if (space !== NATIONAL) return configuration;
  return {
    ...configuration,
    access_request_endpoint: requestEndpointOf(origin),
    capabilities: ['urn:openid:authzen:capability:access-request'],
  };
}
