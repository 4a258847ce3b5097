-- The life of a policy: drafted, checked, approved by a second person, in force from a date,
-- replaced or withdrawn. What came from a pack's files is approved by whoever keeps those.

alter table policy_version
  add column origin text not null default 'pack' check (origin in ('pack', 'register')),
  add column status text not null default 'approved' check (status in ('draft', 'checked', 'approved', 'withdrawn')),
  add column owner text references organisation, -- null: the nation's
  add column cases text, -- tests as data, as they were written
  add column revision integer not null default 1, -- of the draft, for If-Match
  add column editors text[] not null default '{}', -- who wrote it: none of them approves it
  add column updated_at timestamptz,
  add column approved_by text,
  add column approved_at timestamptz,
  add column withdrawal_asked_by text,
  add column withdrawn_by text,
  add column withdrawn_at timestamptz;
update policy_version set updated_at = created_at, approved_at = created_at;
alter table policy_version alter column updated_at set not null;
create index policy_version_owner on policy_version (owner, policy, version desc); -- a steward's own

-- What is approved is never edited: a second line of defence behind the commands.
create function refuse_edit_of_policy() returns trigger language plpgsql as $$
begin
  if old.status in ('approved', 'withdrawn') and (new.sha256, new.policy, new.version, new.document, new.cases, new.owner)
    is distinct from (old.sha256, old.policy, old.version, old.document, old.cases, old.owner) then
    raise exception 'policy % version % is approved and never edited', old.policy, old.version
      using errcode = 'restrict_violation';
  end if;
  return new;
end $$;
create trigger policy_version_kept before update on policy_version
  for each row execute function refuse_edit_of_policy();

-- Each set of versions that was ever in force together. `pack_in_force` names the present one by
-- its generation: the only thing of all this that a decision reads.
create table in_force_history (
  generation uuid primary key,
  since timestamptz not null,
  pack_sha256 text not null references pack_version,
  policy_sha256 text[] not null, -- the pack's policies, in the order in which they are compiled
  extension_sha256 text[] not null -- policies beside the pack's, in the order of their approval
);
create index in_force_history_since on in_force_history (since desc); -- what was in force on a day
create trigger in_force_history_append_only before update or delete on in_force_history
  for each row execute function refuse_change();
create trigger in_force_history_no_truncate before truncate on in_force_history execute function refuse_change();

alter table pack_in_force
  add column extension_sha256 text[] not null default '{}',
  add column generation uuid not null default gen_random_uuid();
insert into in_force_history (generation, since, pack_sha256, policy_sha256, extension_sha256)
  select generation, since, pack_sha256, policy_sha256, extension_sha256 from pack_in_force;
alter table pack_in_force alter column generation drop default;
