import { canonicalText } from '../audit/canonical.ts';
import { boundBody } from '../audit/event.ts';
import { type EventRow, readEvent } from '../audit/store.ts';
import { datasetFacts } from '../catalogue/dataset.ts';
import { readDatasetVersion } from '../catalogue/store.ts';
import type { Db } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { sha256 } from '../ids.ts';
import { isObject } from '../pdp/facts.ts';
import type { Programs } from '../policies/programs.ts';
import { readPackDocument, readPolicyDocuments } from '../policies/store.ts';
import { decide, type StoredDecision } from './decision.ts';
import { type AccessRequestRow, type DecisionRow, readAccessRequest } from './store.ts';

/** A version that a decision names. Whole: the SHA-256 of its stored bytes is its name. */
export interface ReplayedVersion {
  readonly kind: 'pack' | 'policy';
  readonly name: string;
  readonly version: number;
  readonly sha256: string;
  readonly state: 'whole' | 'damaged' | 'missing';
}

export interface ReplayDifference {
  readonly code:
    | 'version_damaged'
    | 'version_missing'
    | 'document_damaged'
    | 'facts_erased'
    | 'event_missing'
    | 'event_damaged'
    | 'event_erased'
    | 'document_differs_from_event'
    | 'cannot_decide'
    | 'answer_differs'
    | 'row_differs_from_document'
    | 'fact_differs_from_register';
  /** The member of the decision, the fact, the column, or the version. */
  readonly at: string;
  readonly detail: string;
}

export interface ReplayReport {
  readonly decision: string;
  /** The bytes come out the same, and are those that the event bound. */
  readonly same: boolean;
  readonly stored_sha256: string;
  /** Null where it could not be decided again. */
  readonly recomputed_sha256: string | null;
  readonly event_id: string;
  /** What the event bound; null where it is damaged or missing. */
  readonly event_sha256: string | null;
  readonly versions: ReplayedVersion[];
  readonly differences: ReplayDifference[];
}

/**
 * Decides a stored decision again from the very policy versions and facts that it names, and
 * compares byte for byte: with what is stored, and with what its event bound. Every text is read
 * anew and hashed; a program in `programs` was compiled from texts of the same hashes. Never throws
 * for bad data.
 */
export async function replayDecision(
  db: Db,
  programs: Programs,
  row: DecisionRow,
): Promise<ReplayReport> {
  const differences: ReplayDifference[] = [];
  const stored_sha256 = sha256(row.document);
  const event_sha256 = boundBy(await readEvent(db, row.event_id), row, differences);
  const stored = parseStored(row.document);
  let versions: ReplayedVersion[] = [];
  let recomputed: string | null = null;
  if (stored) {
    versions = await readVersions(db, stored);
    differences.push(...versions.flatMap(damageOf));
    if (differences.every(({ at }) => !versions.some((each) => nameOf(each) === at)))
      recomputed = await decideAgain({ db, programs }, stored, differences);
  } else if (row.facts_erased && differences.some(({ code }) => code === 'event_erased')) {
    const detail = 'what it was decided from was erased, as the body of its event was';
    differences.push({ code: 'facts_erased', at: 'document', detail });
  } else {
    const detail = 'the stored decision is no JSON of a decision';
    differences.push({ code: 'document_damaged', at: 'document', detail });
  }
  if (stored && recomputed !== null && recomputed !== row.document)
    differences.push(...compare(stored, JSON.parse(recomputed) as StoredDecision));
  const recomputed_sha256 = recomputed === null ? null : sha256(recomputed);
  const request = stored && (await requestOf(db, row, stored));
  if (event_sha256 !== null && event_sha256 !== stored_sha256) {
    differences.push({
      code: 'document_differs_from_event',
      at: 'document',
      detail:
        event_sha256 === recomputed_sha256
          ? 'what comes out is what the event bound: the stored decision was changed afterwards'
          : 'the stored decision, its facts among it, is not the one that the event bound',
    });
    if (stored && request) differences.push(...(await strangeFacts(db, stored, request)));
  }
  if (stored) differences.push(...compareRows(stored, row, request));
  return {
    decision: row.id,
    same: differences.length === 0,
    stored_sha256,
    recomputed_sha256,
    event_id: row.event_id,
    event_sha256,
    versions,
    differences,
  };
}

/** The hash of the decision that its event bound, or null, with why. */
function boundBy(
  event: EventRow | undefined,
  { id, event_id }: DecisionRow,
  differences: ReplayDifference[],
): string | null {
  const at = `event ${event_id}`;
  if (!event) {
    differences.push({ code: 'event_missing', at, detail: 'the event of the decision is gone' });
    return null;
  }
  if (event.body === null) {
    const [erased] = event.erased ?? [];
    const by = erased ? `on ${erased.erased_at} by the event ${erased.erased_by}` : 'by nobody';
    const detail = `the body of the event was erased ${by}: it binds the decision no more`;
    differences.push({ code: 'event_erased', at, detail });
    return null;
  }
  const body = boundBody(event);
  // One event may be about several evaluations of one call.
  const about = [body, body?.['decisions']].flat().filter((each) => isObject(each));
  const bound = about.find((each) => each['decision'] === id)?.['decision_sha256'];
  if (typeof bound === 'string') return bound;
  const detail = body
    ? 'the event is not about this decision'
    : 'the body of the event is not the one that its leaf binds';
  differences.push({ code: 'event_damaged', at, detail });
  return null;
}

function parseStored(document: string): StoredDecision | undefined {
  try {
    const stored = JSON.parse(document) as Partial<StoredDecision> | null;
    const isDecision =
      isObject(stored) &&
      isObject(stored.pack) &&
      isObject(stored.facts) &&
      // The hash of a part that is gone: what the dataset said then is not known.
      typeof stored.facts.dataset !== 'string' &&
      Array.isArray(stored.policies) &&
      stored.policies.every(isObject);
    return isDecision ? (stored as StoredDecision) : undefined;
  } catch {
    return undefined;
  }
}

async function readVersions(
  db: Db,
  { pack, policies }: StoredDecision,
): Promise<ReplayedVersion[]> {
  const [packText, texts] = [
    await readPackDocument(db, pack.sha256),
    await readPolicyDocuments(
      db,
      policies.map((each) => each.sha256),
    ),
  ];
  const documents = new Map(texts.map((each) => [each.sha256, each.document]));
  const version = (
    kind: ReplayedVersion['kind'],
    name: string,
    named: { readonly version: number; readonly sha256: string },
    document: string | undefined,
  ): ReplayedVersion => ({
    kind,
    name,
    version: named.version,
    sha256: named.sha256,
    state:
      document === undefined ? 'missing' : sha256(document) === named.sha256 ? 'whole' : 'damaged',
  });
  return [
    version('pack', pack.pack, pack, packText?.document),
    ...policies.map((each) => version('policy', each.policy, each, documents.get(each.sha256))),
  ];
}

function nameOf({ kind, name, version }: ReplayedVersion): string {
  return `${kind} ${name} version ${version}`;
}

function damageOf(version: ReplayedVersion): ReplayDifference[] {
  const at = nameOf(version);
  switch (version.state) {
    case 'whole':
      return [];
    case 'missing':
      return [{ code: 'version_missing', at, detail: `no text is stored as ${version.sha256}` }];
    case 'damaged': {
      const detail = `the text stored as ${version.sha256} has another SHA-256`;
      return [{ code: 'version_damaged', at, detail }];
    }
  }
}

/** The canonical bytes that come out, or null, with why. */
async function decideAgain(
  { db, programs }: { readonly db: Db; readonly programs: Programs },
  { as_of, simulation, pack, policies, facts }: StoredDecision,
  differences: ReplayDifference[],
): Promise<string | null> {
  try {
    const program = await programs.ofVersions(db, {
      pack_sha256: pack.sha256,
      policy_sha256: policies.map((each) => each.sha256),
    });
    return canonicalText(decide(program, facts, { asOf: as_of, simulation }).stored);
  } catch (error) {
    if (!(error instanceof ServiceError) || error.code !== 'invalid_policy') throw error;
    const why = error.errors.map(({ path, expected }) => `${path}: ${expected}`).join('; ');
    differences.push({
      code: 'cannot_decide',
      at: 'versions',
      detail: `the versions that it names do not fit together: ${why}`,
    });
    return null;
  }
}

function compare(stored: StoredDecision, recomputed: StoredDecision): ReplayDifference[] {
  const members = [...new Set([...Object.keys(stored), ...Object.keys(recomputed)])].toSorted();
  const text = (of: object, member: string): string =>
    JSON.stringify((of as Record<string, unknown>)[member]) ?? 'nothing';
  const found = members
    .filter((member) => !sameJson(valueIn(stored, member), valueIn(recomputed, member)))
    .map((member) => ({
      code: 'answer_differs' as const,
      at: member,
      detail: `stored ${text(stored, member)}, decided again ${text(recomputed, member)}`,
    }));
  if (found.length > 0) return found;
  const detail = 'the same members, but not in canonical JSON (RFC 8785)';
  return [{ code: 'answer_differs', at: 'document', detail }];
}

/** The columns that lists and filters read. */
function compareRows(
  stored: StoredDecision,
  row: DecisionRow,
  request: AccessRequestRow | undefined,
): ReplayDifference[] {
  const columns: readonly (readonly [string, unknown, unknown])[] = [
    ['decision.effect', row.effect, stored.effect],
    ['decision.simulation', row.simulation, stored.simulation],
    ...(request ? [['access_request.effect', request.effect, stored.effect] as const] : []),
  ];
  return columns
    .filter(([, column, member]) => column !== member)
    .map(([at, column, member]) => ({
      code: 'row_differs_from_document',
      at,
      detail: `the column says ${String(column)}, the decision ${String(member)}`,
    }));
}

async function requestOf(
  db: Db,
  { id: decision, simulation }: DecisionRow,
  { facts }: StoredDecision,
): Promise<AccessRequestRow | undefined> {
  const id = isObject(facts.request) ? facts.request['id'] : undefined;
  if (simulation || typeof id !== 'string' || !UUID.test(id)) return undefined;
  const request = await readAccessRequest(db, id);
  return request?.decision === decision ? request : undefined;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Facts that are not what the caller sent, or not what the dataset's version said: of a decision
 * that was changed, they tell where. Consent is left out: its totals have no versions.
 */
async function strangeFacts(
  db: Db,
  { facts }: StoredDecision,
  request: AccessRequestRow,
): Promise<ReplayDifference[]> {
  const { dataset: _dataset, project: _project, agreement: _agreement, ...asked } = request.request;
  const version = await readDatasetVersion(db, request.dataset, request.dataset_version);
  const { consent: _consent, ...known } = version ? datasetFacts(version) : {};
  return [
    ...strange('request', asked, facts.request, 'the caller sent'),
    ...strange('dataset', known, facts.dataset, `version ${request.dataset_version} said`),
  ];
}

function strange(
  path: string,
  expected: unknown,
  found: unknown,
  source: string,
): ReplayDifference[] {
  if (isObject(expected) && isObject(found)) {
    return Object.entries(expected).flatMap(([key, value]) =>
      strange(`${path}.${key}`, value, valueIn(found, key), source),
    );
  }
  if (sameJson(expected, found)) return [];
  const detail = `the decision has ${JSON.stringify(found) ?? 'nothing'}, ${source} ${JSON.stringify(expected)}`;
  return [{ code: 'fact_differs_from_register', at: path, detail }];
}

function valueIn(value: object, key: string): unknown {
  return Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}

function sameJson(one: unknown, other: unknown): boolean {
  if (one === undefined || other === undefined) return one === other;
  return canonicalText(one) === canonicalText(other);
}
