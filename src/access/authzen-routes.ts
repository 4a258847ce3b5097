import type { AnswerOf, Call, Handlers, OperationId } from '../operation.ts';
import { notFound } from '../errors.ts';
import { configurationOf, type DecisionPoint, evaluateAll, search } from '../spaces/authzen.ts';
import type { KnownSpaces } from '../spaces/known-spaces.ts';
import { decisionPointOf } from '../spaces/routes.ts';
import { mayAsk } from '../spaces/space.ts';
import { answerLog, spacePoint } from '../spaces/space-point.ts';
import type { AccessWriter } from './access.ts';

export interface AuthzenRoutes extends AccessWriter {
  readonly spaces: KnownSpaces;
}

type Question = 'evaluateAccess' | 'evaluateAccesses';
type Search = 'searchSubjects' | 'searchResources' | 'searchActions';
type AuthzenOperation =
  | Question
  | Search
  | `${Question | Search}InSpace`
  | 'getDecisionPoint'
  | 'getDecisionPointOfSpace';

/** The handlers of all decision points: the nation's own at the root, and each space's. */
export function authzenHandlers(deps: AuthzenRoutes): Handlers<AuthzenOperation> {
  const log = answerLog(deps);
  const pointOf = async (call: AnyCall): Promise<DecisionPoint> => {
    const { principal, path } = call;
    const now = deps.clock().getTime();
    const known = deps.spaces.get(path.space ?? NATIONAL);
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
  const subjects = async (call: AnyCall): Promise<Answered<'searchSubjects'>> => {
    const { subject, action, resource, context, page } = call.body as Call<'searchSubjects'>['body'];
    const question = { subject: withoutId(subject), action, resource, context: context ?? {} };
    const point = await pointOf(call);
    return {
      status: 200,
      body: await search(page, bound(call, 'searchSubjects', question), (at) =>
        point.subjects(question, at),
      ),
    };
  };
  const resources = async (call: AnyCall): Promise<Answered<'searchResources'>> => {
    const { subject, action, resource, context, page } =
      call.body as Call<'searchResources'>['body'];
    const question = { subject, action, resource: withoutId(resource), context: context ?? {} };
    const point = await pointOf(call);
    return {
      status: 200,
      body: await search(page, bound(call, 'searchResources', question), (at) =>
        point.resources(question, at),
      ),
    };
  };
  const actions = async (call: AnyCall): Promise<Answered<'searchActions'>> => {
    const { subject, resource, context, page } = call.body as Call<'searchActions'>['body'];
    const question = { subject, resource, context: context ?? {} };
    const point = await pointOf(call);
    return {
      status: 200,
      body: await search(page, bound(call, 'searchActions', question), (at) =>
        point.actions(question, at),
      ),
    };
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
    getDecisionPoint: ({ origin }) => ({ status: 200, body: metadata(origin, NATIONAL) }),
    getDecisionPointOfSpace: ({ origin, path }) => ({
      status: 200,
      body: metadata(origin, path.space),
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

/** A search ignores the id of what it looks for. */
function withoutId<T extends { readonly type: string }>(entity: T): T {
  const { id: _id, ...rest } = entity as T & { id?: unknown };
  return rest as unknown as T;
}

function metadata(origin: string, space: string): AnswerOf<'getDecisionPoint'> {
  return configurationOf(decisionPointOf(origin, space));
}
