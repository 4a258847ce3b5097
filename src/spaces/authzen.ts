import { canonicalText } from '../audit/canonical.ts';
import type { Settled } from '../db/batch.ts';
import { ServiceError } from '../errors.ts';
import { sha256 } from '../ids.ts';
import type { BodyOf, AnswerOf } from '../operation.ts';
import { isObject } from '../pdp/facts.ts';

/** AuthZEN Authorization API 1.0: what every decision point has in common. */

export type Properties = Readonly<Record<string, unknown>>;

export interface Entity {
  readonly type: string;
  readonly id: string;
  readonly properties?: Properties;
}

export interface Action {
  readonly name: string;
  readonly properties?: Properties;
}

/** One question: may this subject do this with this resource? */
export interface Question {
  readonly subject: Entity;
  readonly action: Action;
  readonly resource: Entity;
  readonly context?: Properties;
}

/** The answer as it is sent: `{"decision": …}` and nothing else, where there is nothing to say. */
export type Answer = AnswerOf<'evaluateAccess'>;

/** Where a search goes on: after this one of its results. */
export interface Page {
  readonly after: string | undefined;
  readonly limit: number;
}

/** A page of results, and the last of them where more may follow. */
export interface Found<T> {
  readonly results: readonly T[];
  readonly next: string | undefined;
}

type EntityKey = Pick<Entity, 'type' | 'id'>;

/** One set of policies that can be asked. Whoever calls it has been found to be somebody who may. */
export interface DecisionPoint {
  /** @throws ServiceError where the question cannot be answered at all. */
  evaluate(question: Question, explain: boolean): Promise<Answer> | Answer;
  /** Several questions of one call, where that is less work than one after the other. */
  evaluateTogether?(
    questions: readonly Question[],
    explain: boolean,
  ): Promise<readonly Settled<Answer>[]>;
  subjects(question: Omit<Question, 'subject'> & Searched, page: Page): Promise<Found<EntityKey>>;
  resources(question: Omit<Question, 'resource'> & Wanted, page: Page): Promise<Found<EntityKey>>;
  actions(question: Omit<Question, 'action'>, page: Page): Promise<Found<Pick<Action, 'name'>>>;
}

interface Searched {
  readonly subject: Omit<Entity, 'id'>;
}
interface Wanted {
  readonly resource: Omit<Entity, 'id'>;
}

type Evaluations = BodyOf<'evaluateAccesses'>;

/**
 * The Access Evaluations endpoint. Members beside the list stand for those that an item leaves out,
 * whole; an item that is no question is answered with an error of its own. After an item that
 * ends the batch nothing more is asked. Without a list it is one evaluation.
 * @throws ServiceError `invalid_request` where there is no list, and no question either.
 */
export async function evaluateAll(
  point: DecisionPoint,
  body: Evaluations,
): Promise<AnswerOf<'evaluateAccesses'>> {
  const { evaluations, options = {} } = body;
  const explain = options.explain === true;
  const semantic = options.evaluations_semantic ?? 'execute_all';
  if (evaluations === undefined || evaluations.length === 0) {
    const question = questionOf(body);
    if ('wrong' in question)
      throw new ServiceError('invalid_request', 'This is no evaluation.', [question.wrong]);
    return point.evaluate(question, explain);
  }
  const questions = evaluations.map((item) =>
    isObject(item) ? questionOf(overDefaults(item, body)) : NO_QUESTION,
  );
  if (semantic === 'execute_all' && point.evaluateTogether) {
    const asked = questions.flatMap((question) => ('wrong' in question ? [] : [question]));
    const all = await point.evaluateTogether(asked, explain);
    const settled = all.values();
    // Where some of it is done and on the record, what is not says so itself.
    const isPartly = all.some(({ ok }) => ok);
    return {
      evaluations: questions.map((question) => {
        if ('wrong' in question) return refusedFor(question);
        const answer = settled.next().value as Settled<Answer>;
        if (answer.ok) return answer.value;
        return isPartly && isUnavailable(answer.error)
          ? refused(503, messageOf(answer.error))
          : refusedBy(answer.error);
      }),
    };
  }
  const ask = (question: Question | Wrong): Answer | Promise<Answer> => {
    if ('wrong' in question) return refusedFor(question);
    try {
      const answer = point.evaluate(question, explain);
      return answer instanceof Promise ? answer.catch(refusedBy) : answer;
    } catch (error) {
      return refusedBy(error);
    }
  };
  if (semantic === 'execute_all') {
    const asked = questions.map(ask);
    // Waiting for what is there already costs as much as deciding it.
    const waits = asked.some((answer) => answer instanceof Promise);
    if (!waits) return { evaluations: asked as Answer[] };
    return { evaluations: await Promise.all(asked.map(async (answer) => answer)) };
  }
  const answers: Answer[] = [];
  for (const question of questions) {
    // One after the other: what comes after the item that decides must not be asked at all.
    // oxlint-disable-next-line no-await-in-loop
    const answer = await ask(question);
    const isLast = answer.decision === (semantic === 'permit_on_first_permit');
    const context = { ...answer.context, code: '200', reason: semantic };
    answers.push(isLast ? { ...answer, context } : answer);
    if (isLast) break;
  }
  return { evaluations: answers };
}

/** An item's members, and of those that it leaves out the ones beside the list. */
function overDefaults(
  item: Readonly<Record<string, unknown>>,
  defaults: Evaluations,
): Record<keyof Question, unknown> {
  const of = (name: keyof Question): unknown =>
    Object.hasOwn(item, name) ? item[name] : defaults[name];
  return {
    subject: of('subject'),
    action: of('action'),
    resource: of('resource'),
    context: of('context'),
  };
}

/** The answer to an item that cannot be asked. @throws what is no refusal of it. */
function refusedBy(error: unknown): Answer {
  if (!(error instanceof ServiceError) || error.code === 'unavailable') throw error;
  return refused(STATUS[error.code] ?? 400, messageOf(error));
}

function isUnavailable(error: unknown): error is ServiceError {
  return error instanceof ServiceError && error.code === 'unavailable';
}

const STATUS: Partial<Record<ServiceError['code'], number>> = {
  body_too_large: 413,
  forbidden: 403,
  not_found: 404,
  unknown_reference: 404,
  retired: 404,
};

function messageOf({ message, errors }: ServiceError): string {
  return [message, ...errors.map(({ path, expected }) => `${path}: ${expected}`)].join(' ');
}

function refusedFor({ wrong: { path, expected } }: Wrong): Answer {
  return refused(400, `${path}: ${expected}`);
}

function refused(status: number, message: string): Answer {
  return { decision: false, context: { error: { status, message } } };
}

interface Wrong {
  readonly wrong: { readonly path: string; readonly expected: string };
}

const NO_QUESTION: Wrong = { wrong: { path: '', expected: 'an object' } };

/** A question from what may be none; the contract has looked at single ones, not at items. */
function questionOf(value: Readonly<Record<string, unknown>>): Question | Wrong {
  const { subject, action, resource, context } = value;
  const wrong =
    wrongEntity('/subject', subject, ['type', 'id']) ??
    wrongEntity('/action', action, ['name']) ??
    wrongEntity('/resource', resource, ['type', 'id']) ??
    (context === undefined || isObject(context)
      ? undefined
      : { path: '/context', expected: 'an object' });
  return wrong ? { wrong } : (value as unknown as Question);
}

function wrongEntity(
  path: string,
  value: unknown,
  names: readonly string[],
): Wrong['wrong'] | undefined {
  if (!isObject(value)) return { path, expected: 'an object: it is required' };
  const members = value as Readonly<Record<string, unknown>>;
  const missing = names.find((name) => typeof members[name] !== 'string');
  if (missing !== undefined)
    return { path: `${path}/${missing}`, expected: 'a text: it is required' };
  const { properties } = members;
  if (properties === undefined || isObject(properties)) return undefined;
  return { path: `${path}/properties`, expected: 'an object' };
}

const DEFAULT_LIMIT = 1000;

/** What a search is bound to: a token of one search is none of another's. */
interface Bound {
  /** The decision point, the kind of search and the caller. */
  readonly name: string;
  readonly question: unknown;
  /** Keyed; nobody else can make what it makes. */
  readonly seal: (text: string) => string;
}

type PageAsked = BodyOf<'searchSubjects'>['page'];

/**
 * The page that is asked for. A token carries its limit, so that the next page need not repeat it.
 * @throws ServiceError `invalid_request` for a token that was not given out for this very search,
 * or comes with another limit.
 */
function pageOf(asked: PageAsked, bound: Bound): Page {
  const { token, limit } = asked ?? {};
  if (token === undefined || token === '')
    return { after: undefined, limit: limit ?? DEFAULT_LIMIT };
  const [text = '', seal = ''] = token.split('.');
  const payload = Buffer.from(text, 'base64url').toString('utf8');
  if (seal === '' || seal !== sealOf(payload, bound)) throw noToken('a token of this search');
  const { after, limit: own } = JSON.parse(payload) as { after: string; limit: number };
  if (limit !== undefined && limit !== own) throw noToken(`the limit it was given for, ${own}`);
  return { after, limit: own };
}

function sealOf(payload: string, { name, question, seal }: Bound): string {
  return seal(`page ${sha256(canonicalText([payload, name, question]))}`);
}

function noToken(expected: string): ServiceError {
  return new ServiceError('invalid_request', 'This page does not follow.', [
    { path: '/page/token', expected },
  ]);
}

/** One page of a search; `page` is there where it was asked for, or where there is more. */
export async function search<T>(
  asked: PageAsked,
  bound: Bound,
  find: (page: Page) => Promise<Found<T>>,
): Promise<{ page?: { next_token: string; count: number }; results: T[] }> {
  const page = pageOf(asked, bound);
  const { results, next } = await find(page);
  const found = { results: [...results] };
  if (next === undefined && asked === undefined) return found;
  const payload = JSON.stringify({ after: next, limit: page.limit });
  const token =
    next === undefined
      ? ''
      : `${Buffer.from(payload).toString('base64url')}.${sealOf(payload, bound)}`;
  return { page: { next_token: token, count: results.length }, ...found };
}

/** AuthZEN's metadata of a decision point whose address is `base`. */
export function configurationOf(base: string): AnswerOf<'getDecisionPoint'> {
  return {
    policy_decision_point: base,
    access_evaluation_endpoint: `${base}/access/v1/evaluation`,
    access_evaluations_endpoint: `${base}/access/v1/evaluations`,
    search_subject_endpoint: `${base}/access/v1/search/subject`,
    search_resource_endpoint: `${base}/access/v1/search/resource`,
    search_action_endpoint: `${base}/access/v1/search/action`,
    supported_obligations: ['custom'],
  };
}
