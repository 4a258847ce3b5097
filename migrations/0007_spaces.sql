-- Spaces: sets of policies with a decision point of their own. What a space is made of is one
-- document a version; every version is kept. Entities are what searches go through and what stored
-- attributes come from; each change of them takes the space's next `entity_revision`, under the lock
-- of its row, so that a replica that has seen one revision asks for what came after it.

create table space (
  id text primary key,
  organisation text references organisation, -- null: the authority keeps it
  status text not null check (status in ('active', 'retired')),
  version integer not null,
  entity_revision bigint not null default 0,
  entities integer not null default 0, -- those that are there
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create table space_version (
  space text not null references space,
  version integer not null,
  document text not null, -- canonical JSON (RFC 8785)
  created_at timestamptz not null,
  created_by text not null,
  event_id uuid not null,
  primary key (space, version)
);

create table space_entity (
  space text not null references space,
  type text collate "C" not null,
  id text collate "C" not null,
  properties jsonb, -- null: it was removed, at `revision`
  revision bigint not null,
  primary key (space, type, id)
);
create index space_entity_revision on space_entity (space, revision); -- what came after one seen
