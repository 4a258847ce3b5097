import { unknownReference } from '../errors.ts';
import { isObject, type Vocabulary } from '../pdp/facts.ts';
import type { Properties, Question } from '../spaces/authzen.ts';
import type { Asked } from './facts.ts';

/**
 * What an AuthZEN question asks, as an access request says it: `subject` is a project, `resource` a
 * dataset, `action.name` the action; the facts of the request are properties of the action, or
 * members of the context where it has none.
 */
export interface AskedQuestion {
  readonly request: Asked & {
    readonly project: string;
    readonly dataset: string;
    readonly agreement?: string;
    readonly purpose?: string;
  };
  /** Facts that only a register may say, as the caller sent them, by name. */
  readonly ignored: ReadonlyMap<string, unknown>;
  readonly carried: Carried;
}

/**
 * What the record keeps of a question beside its facts: the entry in the record of processing
 * activities, that in the register of algorithms, and the W3C trace (Logius authzen-nlgov).
 */
export interface Carried {
  readonly processing_activity_id?: string;
  readonly algorithm_id?: string;
  readonly traceparent?: string;
}

type Asking = Omit<Question, 'subject' | 'resource'> & {
  readonly subject: {
    readonly type: string;
    readonly id?: string;
    readonly properties?: Properties;
  };
  readonly resource: {
    readonly type: string;
    readonly id?: string;
    readonly properties?: Properties;
  };
};

const PROJECT = 'project';
const DATASET = 'dataset';

/** Could anything be found for subjects and resources of these types? */
export function areKnownTypes({
  subject,
  resource,
}: Pick<Asking, 'subject' | 'resource'>): boolean {
  return subject.type === PROJECT && resource.type === DATASET;
}

/** @throws ServiceError `unknown_reference` for a subject that is no project, a resource that is no dataset. */
export function askedBy(vocabulary: Vocabulary, question: Asking): AskedQuestion {
  const { subject, action, resource, context = {} } = question;
  if (subject.type !== PROJECT) throw unknownReference('/subject/type', `"${PROJECT}"`);
  if (resource.type !== DATASET) throw unknownReference('/resource/type', `"${DATASET}"`);
  const ignored = new Map<string, unknown>();
  const said = { ...context, ...action.properties, action: action.name };
  const { agreement, ...rest } = said as Record<string, unknown>;
  const request = vocabulary.canonical('request', assertable(vocabulary, 'request', rest, ignored));
  if (isObject(agreement)) ignored.set('request.agreement', agreement);
  assertable(vocabulary, 'dataset', resource.properties, ignored);
  assertable(vocabulary, 'request.requester', subject.properties, ignored);
  return {
    request: {
      ...request,
      project: subject.id ?? '',
      dataset: resource.id ?? '',
      ...(typeof agreement === 'string' ? { agreement } : {}),
    },
    ignored,
    carried: carriedBy(action.properties, context),
  };
}

/** Those members that a caller may say; those that are a register's go to `ignored`. */
function assertable(
  vocabulary: Vocabulary,
  branch: string,
  said: object | undefined,
  ignored: Map<string, unknown>,
): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(said ?? {})) {
    const path = `${branch}.${key}`;
    // Receivers ignore what they do not know.
    if (!vocabulary.has(path) || value === null) continue;
    const spec = vocabulary.get(path);
    if (spec?.source === 'register') ignored.set(path, value);
    else if (isObject(value)) kept[key] = assertable(vocabulary, path, value, ignored);
    else kept[key] = value;
  }
  return kept;
}

const MAX_URI = 2_000;
/** W3C Trace Context, version 00. */
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

function carriedBy(properties: Properties = {}, context: Properties = {}): Carried {
  const uri = (name: string): string | undefined => {
    const value = properties[name];
    const isUri = typeof value === 'string' && value.length <= MAX_URI && URL.canParse(value);
    return isUri ? value : undefined;
  };
  const processing_activity_id = uri('processing_activity_id');
  const algorithm_id = uri('algorithm_id');
  const { traceparent } = context;
  return {
    ...(processing_activity_id === undefined ? {} : { processing_activity_id }),
    ...(algorithm_id === undefined ? {} : { algorithm_id }),
    ...(typeof traceparent === 'string' && TRACEPARENT.test(traceparent) ? { traceparent } : {}),
  };
}
