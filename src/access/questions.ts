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
  readonly names: Names;
  readonly asked: Asked;
  /** Facts that only a register may say, as the caller sent them, by name. */
  readonly ignored: ReadonlyMap<string, unknown>;
  readonly carried: Carried;
}

/** What a request names in the registers. */
export interface Names {
  readonly project: string;
  readonly dataset: string;
  readonly agreement?: string;
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
  const said = { ...context, ...action.properties, action: action.name, agreement: undefined };
  const asked = vocabulary.canonical('request', vocabulary.sayable('request', said, ignored));
  const agreement = agreementOf(question);
  if (isObject(agreement)) ignored.set('request.agreement', agreement);
  if (resource.properties) vocabulary.sayable('dataset', resource.properties, ignored);
  if (subject.properties) vocabulary.sayable('request.requester', subject.properties, ignored);
  const names = { project: subject.id ?? '', dataset: resource.id ?? '' };
  return {
    names: typeof agreement === 'string' ? { ...names, agreement } : names,
    asked,
    ignored,
    carried: carriedBy(action.properties, context),
  };
}

/** The agreement that a question names, or what it says of one: a property of the action comes first. */
export function agreementOf({
  action: { properties = {} },
  context = {},
}: Pick<Asking, 'action' | 'context'>): unknown {
  return Object.hasOwn(properties, 'agreement') ? properties['agreement'] : context['agreement'];
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
