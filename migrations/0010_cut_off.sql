-- What each event made of consent: the totals of a dataset and purpose after it. Registers whose
-- events carry the whole row, and datasets, whose versions are kept, need no such table; an event
-- about consent names no total. Rows of a dataset are numbered under its lock, so that their order is
-- that of the changes. Those without an event are what was there when this table came.
create table consent_total_version (
  dataset text not null references dataset,
  purpose text not null,
  id bigint generated always as identity,
  at timestamptz not null,
  event_id uuid,
  given bigint not null,
  refused bigint not null,
  withdrawn bigint not null,
  given_by_parent bigint not null,
  given_covering_transfer bigint not null,
  last_withdrawal_at timestamptz,
  primary key (dataset, purpose, id)
);
create index consent_total_version_event on consent_total_version (event_id); -- just before and after one
create trigger consent_total_version_append_only before update or delete on consent_total_version
  for each row execute function refuse_change();
create trigger consent_total_version_no_truncate before truncate on consent_total_version
  execute function refuse_change();
insert into consent_total_version (dataset, purpose, at, given, refused, withdrawn, given_by_parent,
    given_covering_transfer, last_withdrawal_at)
  select dataset, purpose, now(), given, refused, withdrawn, given_by_parent, given_covering_transfer,
    last_withdrawal_at from consent_total;

-- Which permitted requests an event cut off. A run is worked on by one replica and read by any, as
-- those of `impact` are.
create table cut_off (
  id uuid primary key,
  event uuid not null, -- the one that is asked about
  at timestamptz not null, -- when what it changed began to count
  status text not null check (status in ('running', 'done', 'failed')),
  failure text check (failure in ('service_stopped', 'abandoned', 'error')),
  total integer, -- null until counted
  done integer not null,
  stands integer not null,
  cut_off integer not null,
  refused_before integer not null,
  ended integer not null,
  unknown integer not null,
  rules jsonb not null,
  created_by text not null,
  created_at timestamptz not null,
  finished_at timestamptz,
  heartbeat_at timestamptz not null,
  event_id uuid not null,
  check ((status = 'failed') = (failure is not null))
);
create index cut_off_age on cut_off (created_at); -- removal after 30 days
create index cut_off_running on cut_off (heartbeat_at) where status = 'running'; -- those abandoned

create table cut_off_request ( -- those that do not stand
  run uuid not null references cut_off on delete cascade,
  access_request uuid not null references access_request,
  outcome text not null check (outcome in ('cut_off', 'refused_before', 'ended', 'unknown')),
  effect text, -- what it is answered with after the event (cut_off) or was before it (refused_before)
  rules text[] not null, -- that yield this effect
  rules_removed text[] not null, -- that permitted it, and no longer do
  refusal text, -- the code of the problem, where it could not even be asked
  until date, -- its last day, where it had ended
  primary key (run, outcome, access_request)
);
