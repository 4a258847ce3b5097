import { sha256 } from '../ids.ts';
import {
  columnsOf,
  type EventColumns,
  type Export,
  type ExportForm,
  type ExportHeader,
  type ExportRow,
} from './export-form.ts';
import { ACTIVITIES, CLASSES, OCSF_EVENTS, type OcsfEvent } from './ocsf-events.ts';

const VERSION = '1.8.0';
const PRODUCT = { name: 'Umutungo', vendor_name: 'Umutungo' };
const INFORMATIONAL = { severity_id: 1, severity: 'Informational' };
/** The numbers of SHA-256 among fingerprints, and of what has no number of its own. */
const SHA_256 = 3;
const OTHER = 99;

/**
 * OCSF 1.8.0, an event a line, for the lakes and monitors that read it. It is a projection: what is
 * in the tree are the leaves' own bytes, which each line has as `raw_data`, with its index as
 * `metadata.sequence` and its leaf hash under `unmapped`. The first and the last line are events of
 * class 0 (Base Event), so that every line is one of OCSF; what the export is lies under `unmapped`.
 */
export const OCSF: ExportForm = {
  mediaType: 'application/jsonl',
  extension: 'ocsf.jsonl',
  resumable: true,
  proves: true,
  async *write({ header, resumed, rows, right }: Export) {
    if (resumed === undefined) yield line(about(header, 'Export begins', { ...header }));
    let count = resumed ?? 0;
    for await (const row of rows) {
      count += 1;
      yield line(ocsfEvent(row, header.origin));
    }
    yield line(about(header, 'Export is whole', { end: true, count, right: right() }));
  },
};

function about({ origin, signed_at }: ExportHeader, message: string, unmapped: object): object {
  return {
    ...classified('base_event', { name: 'Other', id: OTHER }),
    ...INFORMATIONAL,
    time: Date.parse(signed_at),
    message,
    metadata: { version: VERSION, product: PRODUCT, log_name: origin },
    unmapped,
  };
}

/** One of our events as OCSF has it; one of a type that is not in the table as a Base Event. */
function ocsfEvent(row: ExportRow, origin: string): object {
  const event = columnsOf(row);
  const known = OCSF_EVENTS[event.type];
  return {
    ...(known
      ? projected(known, event)
      : classified('base_event', { name: event.type, id: OTHER })),
    ...INFORMATIONAL,
    ...statusOf(event.outcome),
    time: Date.parse(event.time),
    message: `${event.type}: ${event.outcome}`,
    metadata: {
      version: VERSION,
      product: PRODUCT,
      uid: event.event_id,
      sequence: row.index,
      log_name: origin,
      event_code: event.type,
      original_time: event.time,
    },
    raw_data: row.leaf,
    raw_data_hash: { algorithm: 'SHA-256', algorithm_id: SHA_256, value: sha256(row.leaf) },
    unmapped: {
      leaf_hash: row.leaf_hash,
      subject_ids: event.subject_ids,
      body: event.body,
      ...(row.erased && { erased: row.erased }),
      ...(row.proof && { proof: row.proof }),
    },
  };
}

function projected(known: OcsfEvent, event: EventColumns): object {
  const actor = actorOf(event);
  const [subject] = event.subject_ids;
  if (known.class === 'entity_management') {
    const name = activityOf(known, event);
    const entity = { type: known.entity, type_id: OTHER, uid: subject ?? event.event_id };
    return {
      ...classified('entity_management', { name, id: ACTIVITIES.entity_management[name] }),
      actor,
      entity,
    };
  }
  return {
    ...classified('api_activity', {
      name: known.activity,
      id: ACTIVITIES.api_activity[known.activity],
    }),
    actor,
    api: { operation: event.type },
    // The class demands one; the log does not know from where somebody called.
    src_endpoint: { name: 'not recorded' },
    resources: event.subject_ids.map((uid) => ({ uid })),
  };
}

type Activity = keyof (typeof ACTIVITIES)['entity_management'];

function activityOf(
  { activity, of_status = {} }: Extract<OcsfEvent, { class: 'entity_management' }>,
  { body }: EventColumns,
): Activity {
  const statuses = Object.keys(body['statuses'] ?? {});
  return (statuses.length === 1 && of_status[statuses[0] ?? '']) || activity;
}

function classified(
  name: keyof typeof CLASSES,
  activity: { readonly name: string; readonly id: number },
): object {
  const { uid, name: class_name, category } = CLASSES[name];
  return {
    class_uid: uid,
    class_name,
    category_uid: category.uid,
    category_name: category.name,
    activity_id: activity.id,
    activity_name: activity.name,
    type_uid: uid * 100 + activity.id,
  };
}

function actorOf({ pseudonym, actor, role, deny, review, obligations, outcome }: EventColumns) {
  const by = (decision: string, rules: readonly string[]) =>
    rules.map((uid) => ({ decision, policy: { uid } }));
  const ruled = [...by('deny', deny), ...by('review', review), ...by('oblige', obligations)];
  const decided = outcome === 'success' ? [] : [{ decision: outcome }];
  const authorizations = [...decided, ...ruled];
  return {
    user: { uid: pseudonym, ...(actor !== '' && { name: actor }), type: role, type_id: OTHER },
    ...(authorizations.length > 0 && { authorizations }),
  };
}

/** A denial is an answer and no mistake, but the one who asked did not get what they asked for. */
function statusOf(outcome: string): object {
  const statuses: Readonly<Record<string, object>> = {
    success: { status_id: 1, status: 'Success' },
    permit: { status_id: 1, status: 'Success' },
    deny: { status_id: 2, status: 'Failure' },
  };
  return {
    ...(statuses[outcome] ?? { status_id: OTHER, status: outcome }),
    status_code: outcome,
  };
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
