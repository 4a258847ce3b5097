-- What a decision was made from goes with the body of its event: nothing binds it any more.
alter table decision add column facts_erased boolean not null default false;

-- Takes the facts out of decisions whose events have lost their whole body, and what was sent out of
-- their requests; of events that have not, nothing. The service may do no more to a decision. With
-- the rights of its owner, so `pg_temp` comes last: else whoever calls it could put a table of theirs
-- in the place of one of ours. Which agreement and purpose an evaluation was for is found by cut-offs.
create function erase_facts(events uuid[]) returns void
  language sql security definer set search_path = pg_catalog, public, pg_temp as $$
  with named as materialized (
    select e.event_id, subject::uuid as id from audit_event e, unnest(e.subject_ids) subject
    where e.event_id = any(events) and subject ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      and exists (select from erased_value v where v.event_id = e.event_id and v.path is null)
  ), gone as (
    update decision d
    set facts_erased = true, document = (whole_document(d.document)::jsonb - 'facts' || case
      when d.evaluation then jsonb_build_object(
        'agreement', d.document::jsonb #> '{facts,request,agreement,id}',
        'purpose', d.document::jsonb #> '{facts,request,purpose}')
      else '{}' end)::text
    from named where d.id = named.id and d.event_id = named.event_id and not d.facts_erased
    returning d.id
  )
  update access_request r set request = '{}' from named, gone where r.id = named.id and r.decision = gone.id
$$;
revoke execute on function erase_facts from public;

-- An event of before 0009 that lost its actor lost its body with it: what it is about stays in force.
select erase_facts(array(
  select v.event_id from erased_value v join erasure x on x.event_id = v.erased_by
  where v.path is null and not x.scope ? 'actor'));
