-- A log of its own for each year. The one that is there is the first, with the origin, the leaves and
-- the checkpoints that it has; its year is that of its first event.
alter table log_head
  add column year integer,
  add column base bigint not null default 0; -- entries of all shards before it
update log_head set year = coalesce(
  (select extract(year from time at time zone 'UTC')::integer from audit_event order by event_id limit 1),
  substring(origin from '.*([0-9]{4})')::integer,
  extract(year from now() at time zone 'UTC')::integer);
alter table log_head
  alter column year set not null,
  add constraint log_head_year_key unique (year); -- however many replicas turn, one shard comes of it

-- A shard that another one follows is final.
create function refuse_changing_final() returns trigger language plpgsql as $$
begin
  if exists (select from log_head h where h.log_id > old.log_id) then
    raise exception 'the log % is final', old.origin using errcode = 'restrict_violation';
  end if;
  return new;
end $$;
create trigger log_head_final before update on log_head
  for each row execute function refuse_changing_final();
create trigger log_head_no_delete before delete on log_head
  for each row execute function refuse_delete();

-- An erasure of a whole shard is carried out in steps: 'approved' until the last body has gone.
alter table erasure drop constraint erasure_status_check, drop constraint erasure_check;
alter table erasure
  add constraint erasure_status_check check (status in ('requested', 'approved', 'done')),
  add constraint erasure_check check ((status = 'requested') = (event_id is null));
