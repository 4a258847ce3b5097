-- The registers. Identifiers of registered things are slugs chosen by people; of what the
-- service makes, UUIDv7 made by the service. Every time comes from the service's clock.

create table organisation (
  id text primary key,
  version integer not null,
  name jsonb not null,
  country text not null,
  legal_form text not null,
  homepage text,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create table agreement (
  id text primary key,
  version integer not null,
  title jsonb not null,
  kinds text[] not null,
  binding boolean not null,
  sectors text[] not null,
  purposes text[] not null,
  valid_from date not null,
  valid_until date not null,
  signatories text[] not null,
  subprocessors_authorised text[],
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index agreement_signatories on agreement using gin (signatories); -- lists by organisation

create table project (
  id text primary key,
  version integer not null,
  organisation text not null references organisation,
  title jsonb not null,
  purposes text[] not null,
  sector text not null,
  stage text not null,
  team jsonb,
  poc jsonb,
  knowledge_transfer jsonb,
  benefit_sharing boolean,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index project_organisation on project (organisation, id); -- lists by organisation

create table registration (
  id text primary key,
  version integer not null,
  kind text not null,
  organisation text not null references organisation,
  fields jsonb not null,
  revoked boolean not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index registration_organisation on registration (organisation, kind); -- facts of a request

create table dataset (
  id text primary key,
  version integer not null,
  status text not null check (status in ('draft', 'active', 'retired')),
  publisher text not null references organisation,
  sector text,
  classification text,
  document jsonb not null,
  search tsvector not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index dataset_newest on dataset (created_at desc, id desc); -- the list
create index dataset_publisher on dataset (publisher, created_at desc, id desc); -- list by publisher
create index dataset_sector on dataset (sector, created_at desc, id desc); -- list by sector
create index dataset_search on dataset using gin (search); -- text search

create table dataset_version (
  dataset text not null references dataset,
  version integer not null,
  status text not null,
  document jsonb not null,
  updated_at timestamptz not null,
  event_id uuid not null,
  primary key (dataset, version)
);

create table authorisation (
  id text primary key,
  version integer not null,
  kind text not null,
  project text not null references project,
  dataset text references dataset,
  fields jsonb not null,
  revoked boolean not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index authorisation_project on authorisation (project, kind); -- facts of a request

-- One row a person and purpose. Totals are kept in the same transaction, so that a decision reads
-- one row a purpose however many people there are.
create table consent_record (
  dataset text not null references dataset,
  purpose text not null,
  subject text not null,
  status text not null check (status in ('given', 'refused', 'withdrawn')),
  at timestamptz not null,
  by_parent boolean not null,
  covers_transfer_abroad boolean not null,
  recorded_at timestamptz not null,
  primary key (dataset, purpose, subject)
);

create table consent_total (
  dataset text not null references dataset,
  purpose text not null,
  given bigint not null,
  refused bigint not null,
  withdrawn bigint not null,
  given_by_parent bigint not null,
  given_covering_transfer bigint not null,
  last_withdrawal_at timestamptz,
  primary key (dataset, purpose)
);

-- Policy documents, kept byte for byte; their SHA-256 is their name.
create table policy_version (
  sha256 text primary key,
  policy text not null,
  version integer not null,
  document text not null,
  created_at timestamptz not null,
  event_id uuid not null,
  unique (policy, version)
);

create table pack_version (
  sha256 text primary key,
  pack text not null,
  version integer not null,
  document text not null,
  created_at timestamptz not null,
  event_id uuid not null,
  unique (pack, version)
);

create table pack_in_force (
  only_one boolean primary key default true check (only_one),
  pack_sha256 text not null references pack_version,
  policy_sha256 text[] not null, -- in the order in which they are compiled
  since timestamptz not null
);

create table decision (
  id uuid primary key,
  simulation boolean not null,
  effect text not null check (effect in ('permit', 'deny', 'review')),
  dataset text,
  project text,
  created_by text not null,
  created_at timestamptz not null,
  document text not null, -- canonical JSON (RFC 8785): facts, policy versions, answer
  event_id uuid not null
);

create table access_request (
  id uuid primary key,
  dataset text not null references dataset,
  dataset_version integer not null,
  project text not null references project,
  agreement text references agreement,
  purpose text not null,
  request jsonb not null,
  decision uuid not null references decision,
  effect text not null,
  created_at timestamptz not null,
  created_by text not null
);
-- UUIDv7 order is time order: the newest first, for a project, for a dataset.
create index access_request_project on access_request (project, id desc);
create index access_request_dataset on access_request (dataset, id desc);

create table idempotency_key (
  actor text not null,
  operation text not null,
  key text not null,
  request_sha256 text not null,
  resource text not null,
  created_at timestamptz not null,
  primary key (actor, operation, key)
);
create index idempotency_key_age on idempotency_key (created_at); -- removal after 30 days
