-- The rights of the service, for a database whose owner is somebody else. Run by the owner, after
-- every migration (`umutungo database prepare` does both), and as often as one likes. The service
-- then connects as a member of the role:
--
--   create role umutungo login password '…' in role umutungo_service;
--
-- It owns nothing, so that it cannot drop a trigger or a table; what is recorded it can add to, and
-- take out of only what the triggers let an erasure take. Whoever owns the tables can do more: that
-- is what the proofs, the witnesses and the copies elsewhere are for.

do $$
begin
  if not exists (select from pg_roles where rolname = 'umutungo_service') then
    create role umutungo_service nologin;
  end if;
exception when duplicate_object or unique_violation then
  null; -- somebody else makes it at this moment
end $$;

revoke create on schema public from public;
grant usage on schema public to umutungo_service;
revoke all on all tables in schema public from umutungo_service;
grant select on all tables in schema public to umutungo_service;

-- What is only ever added to.
grant insert on audit_event, audit_pending, log_leaf, log_tile, log_checkpoint, erased_value,
  dataset_version, pack_version, in_force_history, decision, decision_part, access_request, space_version, fact_apart,
  consent_total_version to umutungo_service;
-- What an erasure takes out of it.
grant update (body, disclosures) on audit_event to umutungo_service;
grant update (document) on dataset_version to umutungo_service;
grant update (created_by) on decision, access_request, space_version to umutungo_service;
grant execute on function erase_facts to umutungo_service;
-- The queue, and what only grows, by the triggers.
grant delete on audit_pending to umutungo_service;
grant insert on log_head to umutungo_service;
grant update (size, root, frontier) on log_head to umutungo_service;
grant insert, update on log_signed, log_published, witnessed_log to umutungo_service;
grant insert, update on erasure, legal_hold to umutungo_service;

-- The registers as they are now.
grant insert, update on organisation, agreement, project, registration, authorisation, dataset,
  consent_total, policy_version, pack_in_force, register_revision, dataset_facts, fact_profile, space,
  space_entity to umutungo_service;
grant insert, update, delete on consent_record to umutungo_service;

-- What can be made again, or is forgotten by itself.
grant insert, update, delete on event_block, event_term, idempotency_key, impact, impact_change,
  cut_off, cut_off_decision to umutungo_service;
