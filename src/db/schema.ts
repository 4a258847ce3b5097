import type { ColumnType, Generated } from 'kysely';

/** Timestamps are written and read as RFC 3339 texts in UTC, dates as `YYYY-MM-DD`. */
type Instant = string;
type CalendarDate = string;
/** Written as JSON text, read as the value. */
export type Json<T> = ColumnType<T, string, string>;
type NullableJson<T> = ColumnType<T | null, string | null, string | null>;
export type Texts = Readonly<Record<string, string>>;

interface Versioned {
  version: number;
  created_at: ColumnType<Instant, Instant, never>;
  updated_at: Instant;
}

export interface OrganisationTable extends Versioned {
  id: string;
  name: Json<Texts>;
  country: string;
  legal_form: string;
  homepage: string | null;
}

export interface AgreementTable extends Versioned {
  id: string;
  title: Json<Texts>;
  kinds: string[];
  binding: boolean;
  sectors: string[];
  purposes: string[];
  valid_from: CalendarDate;
  valid_until: CalendarDate;
  signatories: string[];
  subprocessors_authorised: string[] | null;
}

export interface ProjectTable extends Versioned {
  id: string;
  organisation: string;
  title: Json<Texts>;
  purposes: string[];
  sector: string;
  stage: string;
  team: NullableJson<readonly unknown[]>;
  poc: NullableJson<Readonly<Record<string, unknown>>>;
  knowledge_transfer: NullableJson<Readonly<Record<string, unknown>>>;
  benefit_sharing: boolean | null;
}

export interface RegistrationTable extends Versioned {
  id: string;
  kind: string;
  organisation: string;
  fields: Json<Readonly<Record<string, unknown>>>;
  revoked: boolean;
}

export interface AuthorisationTable extends Versioned {
  id: string;
  kind: string;
  project: string;
  dataset: string | null;
  fields: Json<Readonly<Record<string, unknown>>>;
  revoked: boolean;
}

export type DatasetStatus = 'draft' | 'active' | 'retired';

/** See migration 0007. */
export interface SpaceTable {
  id: string;
  organisation: string | null;
  status: 'active' | 'retired';
  version: number;
  entity_revision: Generated<number>;
  entities: Generated<number>;
  created_at: ColumnType<Instant, Instant, never>;
  updated_at: Instant;
}

export interface SpaceVersionTable {
  space: string;
  version: number;
  /** Canonical JSON (RFC 8785). */
  document: string;
  created_at: Instant;
  created_by: string;
  event_id: string;
}

export interface SpaceEntityTable {
  space: string;
  type: string;
  id: string;
  properties: NullableJson<Readonly<Record<string, unknown>>>;
  revision: number;
}

export interface DatasetTable extends Versioned {
  id: string;
  status: DatasetStatus;
  publisher: string;
  sector: string | null;
  classification: string | null;
  document: Json<Readonly<Record<string, unknown>>>;
  search: unknown;
}

/** What policies read of datasets, see migration 0005; triggers write all three. */
export interface FactProfileTable {
  sha256: Buffer;
  facts: unknown;
}

export interface DatasetFactsTable {
  dataset: string;
  created_at: Instant;
  active: boolean;
  consented: boolean;
  profile: Buffer;
  apart: unknown;
}

export interface FactApartTable {
  fact: string;
}

export interface DatasetVersionTable {
  dataset: string;
  version: number;
  status: DatasetStatus;
  document: Json<Readonly<Record<string, unknown>>>;
  updated_at: Instant;
  event_id: string;
}

export type ConsentStatus = 'given' | 'refused' | 'withdrawn';

export interface ConsentRecordTable {
  dataset: string;
  purpose: string;
  subject: string;
  status: ConsentStatus;
  at: Instant;
  by_parent: boolean;
  covers_transfer_abroad: boolean;
  recorded_at: Instant;
  salt: string | null;
}

export interface ConsentTotalTable {
  dataset: string;
  purpose: string;
  given: number;
  refused: number;
  withdrawn: number;
  given_by_parent: number;
  given_covering_transfer: number;
  last_withdrawal_at: Instant | null;
}

/** What an event made of the totals of a dataset and purpose; without an event, where it is not known. */
export interface ConsentTotalVersionTable extends ConsentTotalTable {
  id: Generated<number>;
  at: Instant;
  event_id: string | null;
}

export type PolicyStatus = 'draft' | 'checked' | 'approved' | 'withdrawn';

export interface PolicyVersionTable {
  sha256: string;
  policy: string;
  version: number;
  document: string;
  origin: 'pack' | 'register';
  status: PolicyStatus;
  owner: string | null;
  cases: string | null;
  revision: Generated<number>;
  editors: string[];
  created_at: Instant;
  updated_at: Instant;
  approved_by: string | null;
  approved_at: Instant | null;
  withdrawal_asked_by: string | null;
  withdrawn_by: string | null;
  withdrawn_at: Instant | null;
  event_id: string;
}

export interface PackVersionTable {
  sha256: string;
  pack: string;
  version: number;
  document: string;
  created_at: Instant;
  event_id: string;
}

export interface PackInForceTable {
  only_one: Generated<boolean>;
  pack_sha256: string;
  policy_sha256: string[];
  extension_sha256: string[];
  generation: string;
  since: Instant;
}

export interface InForceHistoryTable {
  generation: string;
  since: Instant;
  pack_sha256: string;
  policy_sha256: string[];
  extension_sha256: string[];
}

export interface RegisterRevisionTable {
  register: string;
  id: string;
  revision: string;
}

export interface DecisionTable {
  id: string;
  simulation: boolean;
  /** Asked at the decision point: no request was made of it. */
  evaluation: Generated<boolean>;
  effect: 'permit' | 'deny' | 'review';
  dataset: string | null;
  project: string | null;
  created_by: string;
  created_at: Instant;
  /** With the hashes of its parts in their places: `whole_document` has them back. */
  document: string;
  /** What it was made from is gone, with the body of its event. */
  facts_erased: Generated<boolean>;
  event_id: string;
}

export interface AccessRequestTable {
  id: string;
  dataset: string;
  dataset_version: number;
  project: string;
  agreement: string | null;
  purpose: string;
  request: Json<Readonly<Record<string, unknown>>>;
  decision: string;
  effect: 'permit' | 'deny' | 'review';
  created_at: Instant;
  created_by: string;
}

export interface ImpactTransition {
  readonly from: DecisionTable['effect'];
  readonly to: DecisionTable['effect'];
  readonly count: number;
  readonly rules: readonly {
    readonly rule: string;
    readonly added: number;
    readonly removed: number;
  }[];
}

export interface ImpactTable {
  id: string;
  policy: string;
  version: number;
  sha256: string;
  generation: string;
  status: 'running' | 'done' | 'failed';
  failure: 'service_stopped' | 'abandoned' | 'error' | null;
  total: number | null;
  done: number;
  changed: number;
  more_permitted: number;
  less_permitted: number;
  transitions: Json<readonly ImpactTransition[]>;
  created_by: string;
  created_at: Instant;
  finished_at: Instant | null;
  heartbeat_at: Instant;
  event_id: string;
}

/** How many requests a rule cut off; several may cut off one. */
export interface CutOffRule {
  readonly rule: string;
  readonly count: number;
}

export interface CutOffTable {
  id: string;
  event: string;
  at: Instant;
  status: 'running' | 'done' | 'failed';
  failure: 'service_stopped' | 'abandoned' | 'error' | null;
  total: number | null;
  done: number;
  stands: number;
  cut_off: number;
  refused_before: number;
  ended: number;
  unknown: number;
  rules: Json<readonly CutOffRule[]>;
  created_by: string;
  created_at: Instant;
  finished_at: Instant | null;
  heartbeat_at: Instant;
  event_id: string;
}

export interface CutOffDecisionTable {
  run: string;
  /** Null: an evaluation. */
  access_request: string | null;
  decision: string;
  outcome: 'cut_off' | 'refused_before' | 'ended' | 'unknown';
  effect: 'permit' | 'deny' | 'review' | null;
  rules: string[];
  rules_removed: string[];
  refusal: string | null;
  until: CalendarDate | null;
}

export interface ImpactChangeTable {
  impact: string;
  access_request: string;
  recorded: DecisionTable['effect'];
  from: DecisionTable['effect'];
  to: DecisionTable['effect'];
  rules_added: string[];
  rules_removed: string[];
  more_permitted: boolean;
}

export interface IdempotencyKeyTable {
  actor: string;
  operation: string;
  key: string;
  request_sha256: string;
  resource: string;
  created_at: Instant;
}

export interface AuditEventTable {
  event_id: string;
  type: string;
  time: Instant;
  actor: string;
  role: string;
  subject_ids: string[];
  outcome: string;
  leaf: Buffer;
  body: Buffer | null;
  disclosures: string | null;
}

/** See migration 0009. */
export interface ErasedValueTable {
  event_id: string;
  digest: string;
  path: string | null;
  erased_at: Instant;
  erased_by: string;
}

export interface ErasureTable {
  id: string;
  status: 'requested' | 'approved' | 'done' | 'refused' | 'withdrawn' | 'expired';
  scope: Json<ErasureScope>;
  reason: string;
  reference: string | null;
  requested_by: string;
  requested_at: Instant;
  request_event: string;
  approved_by: string | null;
  approved_at: Instant | null;
  event_id: string | null;
  erased: Generated<number>;
  refusal: 'not_founded' | 'has_to_be_kept' | 'not_the_person' | 'asked_in_error' | null;
  ended_by: string | null;
  ended_at: Instant | null;
  end_event: string | null;
}

/** Exactly one of these: what is to be erased. A person's name is gone once that has ended. */
export interface ErasureScope {
  readonly values?: readonly { readonly event_id: string; readonly paths?: readonly string[] }[];
  readonly actor?: string | null;
  readonly consent?: { readonly dataset: string; readonly subject: string | null };
  /** Year of a shard of the log that has ended. */
  readonly shard?: number;
}

export interface LegalHoldTable {
  id: string;
  scope: Json<HoldScope>;
  reason: string;
  reference: string | null;
  placed_by: string;
  placed_at: Instant;
  event_id: string;
  lifted_by: string | null;
  lifted_at: Instant | null;
  lift_event: string | null;
}

/** Exactly one of these: what must stay. */
export interface HoldScope {
  readonly dataset?: string;
  readonly project?: string;
  /** An actor, as the issuer names them, or the pseudonym of a consent record; null once it is erased. */
  readonly person?: string | null;
  /** Indices of entries of a shard, by its year (the first one, where it is not said); `end` does not belong to it, and is open where it is missing: later shards are in it. */
  readonly entries?: { readonly start: number; readonly end?: number; readonly shard?: number };
}

export interface AuditPendingTable {
  id: Generated<number>;
  event_id: string;
  leaf_hash: Buffer;
}

export interface LogLeafTable {
  log_id: number;
  idx: number;
  event_id: string;
  leaf_hash: Buffer;
}

export interface LogTileTable {
  log_id: number;
  level: number;
  n: number;
  hashes: Buffer;
  root: Buffer;
}

export interface LogHeadTable {
  log_id: number;
  origin: string;
  year: number;
  base: number;
  size: number;
  root: Buffer;
  frontier: Buffer;
}

export interface LogCheckpointTable {
  log_id: number;
  size: number;
  root: Buffer;
  note: string;
  signed_at: Instant;
  published_at: Instant | null;
}

export interface LogSignedTable {
  log_id: number;
  size: number;
  root: Buffer;
  note: string;
  signed_at: Instant;
}

export interface LogPublishedTable extends LogSignedTable {
  published_at: Instant;
}

export interface WitnessedLogTable {
  origin: string;
  size: number;
  root: Buffer;
  note: string | null;
  cosigned_at: Instant | null;
}

export interface EventBlockTable {
  block: number;
  first_time: Instant;
  last_time: Instant;
}

export interface EventTermTable {
  term: string;
  block: number;
  /** 256 digits, that of the block's first entry first. */
  entries: string;
}

/** The database, one interface a table; columns have the names of the API's members. */
export interface Schema {
  organisation: OrganisationTable;
  agreement: AgreementTable;
  project: ProjectTable;
  registration: RegistrationTable;
  authorisation: AuthorisationTable;
  dataset: DatasetTable;
  dataset_version: DatasetVersionTable;
  fact_profile: FactProfileTable;
  dataset_facts: DatasetFactsTable;
  fact_apart: FactApartTable;
  consent_record: ConsentRecordTable;
  consent_total: ConsentTotalTable;
  erased_value: ErasedValueTable;
  erasure: ErasureTable;
  legal_hold: LegalHoldTable;
  consent_total_version: ConsentTotalVersionTable;
  policy_version: PolicyVersionTable;
  pack_version: PackVersionTable;
  pack_in_force: PackInForceTable;
  in_force_history: InForceHistoryTable;
  register_revision: RegisterRevisionTable;
  decision: DecisionTable;
  access_request: AccessRequestTable;
  space: SpaceTable;
  space_version: SpaceVersionTable;
  space_entity: SpaceEntityTable;
  impact: ImpactTable;
  impact_change: ImpactChangeTable;
  cut_off: CutOffTable;
  cut_off_decision: CutOffDecisionTable;
  idempotency_key: IdempotencyKeyTable;
  audit_event: AuditEventTable;
  audit_pending: AuditPendingTable;
  log_leaf: LogLeafTable;
  log_tile: LogTileTable;
  log_head: LogHeadTable;
  log_checkpoint: LogCheckpointTable;
  log_signed: LogSignedTable;
  log_published: LogPublishedTable;
  witnessed_log: WitnessedLogTable;
  event_block: EventBlockTable;
  event_term: EventTermTable;
}
