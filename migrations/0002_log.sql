-- The transparency log. audit_event is written in the transaction of the change that it records;
-- the other tables belong to the sequencer and the publisher.

create table audit_event (
  event_id uuid primary key,
  type text not null,
  time timestamptz not null,
  actor text not null,
  role text not null,
  subject_ids text[] not null,
  outcome text not null,
  leaf bytea not null check (octet_length(leaf) between 1 and 65535), -- the exact bytes in the tree
  body bytea not null -- canonical JSON, bound to the leaf by its salted digest
);
create index audit_event_type on audit_event (type, event_id desc); -- lists by type
create index audit_event_subjects on audit_event using gin (subject_ids); -- lists by subject

-- A thin queue: the body is never rewritten. Identity order is causal order: a number drawn after
-- another event was acknowledged is larger.
create table audit_pending (
  id bigint generated always as identity primary key,
  event_id uuid not null unique,
  leaf_hash bytea not null check (octet_length(leaf_hash) = 32)
) with (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0);

create table log_leaf (
  log_id integer not null,
  idx bigint not null,
  event_id uuid not null unique,
  leaf_hash bytea not null check (octet_length(leaf_hash) = 32),
  primary key (log_id, idx)
);

create table log_tile ( -- full tiles only; partial ones are made from log_leaf when read
  log_id integer not null,
  level smallint not null,
  n bigint not null,
  hashes bytea not null check (octet_length(hashes) = 8192),
  root bytea not null check (octet_length(root) = 32), -- one hash of the tile a level up
  primary key (log_id, level, n)
);

create table log_head (
  log_id integer primary key,
  origin text not null unique,
  size bigint not null,
  root bytea not null check (octet_length(root) = 32),
  frontier bytea not null -- compact range, popcount(size) * 32 bytes: all that appending needs
);

create table log_checkpoint (
  log_id integer not null,
  size bigint not null,
  root bytea not null,
  note text not null,
  signed_at timestamptz not null,
  published_at timestamptz,
  primary key (log_id, size)
);

-- A second line of defence and no more: a superuser can drop it, which is what the proofs are for.
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;

create trigger audit_event_append_only before update or delete on audit_event
  for each row execute function refuse_change();
create trigger audit_event_no_truncate before truncate on audit_event execute function refuse_change();
create trigger log_leaf_append_only before update or delete on log_leaf
  for each row execute function refuse_change();
create trigger log_leaf_no_truncate before truncate on log_leaf execute function refuse_change();
create trigger log_tile_append_only before update or delete on log_tile
  for each row execute function refuse_change();
create trigger log_tile_no_truncate before truncate on log_tile execute function refuse_change();
create trigger log_checkpoint_append_only before update or delete on log_checkpoint
  for each row execute function refuse_change();
create trigger log_checkpoint_no_truncate before truncate on log_checkpoint execute function refuse_change();
