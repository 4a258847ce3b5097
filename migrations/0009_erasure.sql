-- What may have to be erased lies beside the body, which binds it by salted digests: disclosures as
-- SD-JWT has them (RFC 9901), joined by "~". Null in events of older releases, whose bodies hold
-- everything and are erased as a whole. Neither change rewrites a row.
alter table audit_event
  add column disclosures text,
  alter column body drop not null;

-- What was erased, and by which event: reads, exports and verifiers say so instead of complaining.
create table erased_value (
  event_id uuid not null, -- the event that lost it
  digest text not null, -- of the disclosure, or the leaf's digest of the whole body
  path text, -- where the value was in the body; null: the whole body
  erased_at timestamptz not null,
  erased_by uuid not null, -- the event of the erasure
  primary key (event_id, digest)
);
create trigger erased_value_append_only before update or delete on erased_value
  for each row execute function refuse_change();
create trigger erased_value_no_truncate before truncate on erased_value execute function refuse_change();

-- An event is never changed, but that what was recorded as erased goes out of it.
create function refuse_all_but_erasing() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE'
    and (new.event_id, new.type, new.time, new.actor, new.role, new.subject_ids, new.outcome, new.leaf)
      is not distinct from
      (old.event_id, old.type, old.time, old.actor, old.role, old.subject_ids, old.outcome, old.leaf)
    and (new.body is null or new.body = old.body)
    and (new.disclosures is null
      or string_to_array(new.disclosures, '~') <@ string_to_array(old.disclosures, '~'))
    and exists (select from erased_value v where v.event_id = old.event_id)
  then
    return new;
  end if;
  raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
create or replace trigger audit_event_append_only before update or delete on audit_event
  for each row execute function refuse_all_but_erasing();

-- Two people: one asks, another carries it out. `scope` names what is to go (a person among it), and
-- is emptied of that when it has gone.
create table erasure (
  id uuid primary key,
  status text not null check (status in ('requested', 'done')),
  scope jsonb not null,
  reason text not null,
  reference text,
  requested_by text not null,
  requested_at timestamptz not null,
  request_event uuid not null,
  approved_by text,
  approved_at timestamptz,
  event_id uuid, -- the event of the erasure
  erased integer not null default 0,
  check ((status = 'done') = (event_id is not null))
);

-- What must stay, whatever else is asked for. Never deleted: that there was a hold stays known.
create table legal_hold (
  id uuid primary key,
  scope jsonb not null,
  reason text not null,
  reference text,
  placed_by text not null,
  placed_at timestamptz not null,
  event_id uuid not null,
  lifted_by text,
  lifted_at timestamptz,
  lift_event uuid
);
create trigger legal_hold_no_delete before delete on legal_hold
  for each row execute function refuse_delete();
create trigger legal_hold_no_truncate before truncate on legal_hold execute function refuse_change();

-- A hold ends once, and nothing else of it changes.
create function refuse_all_but_lifting() returns trigger language plpgsql as $$
begin
  if old.lifted_at is null and (new.id, new.scope, new.reason, new.reference, new.placed_by, new.placed_at, new.event_id)
    is not distinct from (old.id, old.scope, old.reason, old.reference, old.placed_by, old.placed_at, old.event_id)
  then
    return new;
  end if;
  raise exception 'a legal hold is lifted, and not changed' using errcode = 'restrict_violation';
end $$;
create trigger legal_hold_kept before update on legal_hold
  for each row execute function refuse_all_but_lifting();

-- The event's digest of a consent record is over the record and this salt: once the record is erased,
-- salt and all, none of the events that it was in can be tried against a guess. Null in records of
-- older releases until they change.
alter table consent_record add column salt text;
