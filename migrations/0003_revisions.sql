-- What a decision rests on, one row a thing: `revision` is a new random name whenever what the
-- register says of the thing, or what hangs on it, changes. A decision holds the rows of what it
-- read (`for share`) until it commits, and is made only if their revisions are still those that it
-- read: so a change is either seen or comes after, whichever replica decided and from whatever copy.
-- Random and not counted, so that a database restored from a backup never says an old name again.
create table register_revision (
  register text not null,
  id text not null,
  revision uuid not null,
  primary key (register, id)
) with (fillfactor = 70); -- room for new versions on the same page: no index is written

-- Arguments: the register of the thing that changed, and the column that names it.
create function touch_revision() returns trigger language plpgsql as $$
begin
  insert into register_revision (register, id, revision)
  select tg_argv[0], touched.id, gen_random_uuid()
  from (select to_jsonb(new) ->> tg_argv[1] as id union select to_jsonb(old) ->> tg_argv[1]) touched
  where touched.id is not null
  order by touched.id -- two who touch the same rows wait for one another and do not deadlock
  on conflict (register, id) do update set revision = excluded.revision;
  return null;
end $$;

create trigger dataset_revision after insert or update or delete on dataset
  for each row execute function touch_revision('dataset', 'id');
create trigger consent_total_revision after insert or update or delete on consent_total
  for each row execute function touch_revision('dataset', 'dataset');
create trigger project_revision after insert or update or delete on project
  for each row execute function touch_revision('project', 'id');
create trigger authorisation_revision after insert or update or delete on authorisation
  for each row execute function touch_revision('project', 'project');
create trigger organisation_revision after insert or update or delete on organisation
  for each row execute function touch_revision('organisation', 'id');
create trigger registration_revision after insert or update or delete on registration
  for each row execute function touch_revision('organisation', 'organisation');
create trigger agreement_revision after insert or update or delete on agreement
  for each row execute function touch_revision('agreement', 'id');
create trigger pack_in_force_revision after insert or update or delete on pack_in_force
  for each row execute function touch_revision('pack', 'only_one');

insert into register_revision (register, id, revision)
  select 'dataset', id, gen_random_uuid() from dataset
  union all select 'project', id, gen_random_uuid() from project
  union all select 'organisation', id, gen_random_uuid() from organisation
  union all select 'agreement', id, gen_random_uuid() from agreement
  union all select 'pack', 'true', gen_random_uuid() from pack_in_force;

-- A request is written in the statement that holds the revisions of its dataset, project and
-- agreement, and that writes its decision: they are there. Looking each of them up once more took
-- four queries a row. The other half of the constraint, that nothing named is ever deleted, stays.
alter table access_request
  drop constraint access_request_dataset_fkey,
  drop constraint access_request_project_fkey,
  drop constraint access_request_agreement_fkey,
  drop constraint access_request_decision_fkey;

create function refuse_delete() returns trigger language plpgsql as $$
begin
  raise exception 'rows of % are never deleted', tg_table_name using errcode = 'restrict_violation';
end $$;

create trigger dataset_no_delete before delete on dataset
  for each row execute function refuse_delete();
create trigger project_no_delete before delete on project
  for each row execute function refuse_delete();
create trigger agreement_no_delete before delete on agreement
  for each row execute function refuse_delete();
create trigger decision_no_delete before delete on decision
  for each row execute function refuse_delete();
