-- What a version of a policy would do to the requests that were made. A run is worked on by one
-- replica and read by any; `heartbeat_at` says that somebody still works on it.

create table impact (
  id uuid primary key,
  policy text not null,
  version integer not null,
  sha256 text not null, -- of the text that was tried: a draft may change
  generation uuid not null references in_force_history, -- what it was compared with
  status text not null check (status in ('running', 'done', 'failed')),
  failure text check (failure in ('service_stopped', 'abandoned', 'error')),
  total integer, -- null until counted
  done integer not null,
  changed integer not null,
  more_permitted integer not null,
  less_permitted integer not null,
  transitions jsonb not null,
  created_by text not null,
  created_at timestamptz not null,
  finished_at timestamptz,
  heartbeat_at timestamptz not null,
  event_id uuid not null,
  foreign key (policy, version) references policy_version (policy, version),
  check ((status = 'failed') = (failure is not null))
);
create index impact_age on impact (created_at); -- removal after 30 days
create index impact_running on impact (heartbeat_at) where status = 'running'; -- those abandoned

create table impact_change (
  impact uuid not null references impact on delete cascade,
  access_request uuid not null references access_request,
  recorded text not null,
  "from" text not null,
  "to" text not null,
  rules_added text[] not null,
  rules_removed text[] not null,
  more_permitted boolean not null,
  primary key (impact, access_request)
);
