-- What a decision was made from goes with the body of its event: nothing binds it any more.
alter table decision add column facts_erased boolean not null default false;

-- Takes the facts out of decisions whose events have lost their whole body, and what was sent out of
-- their requests; of events that have not, nothing. The service may do no more to a decision.
create function erase_facts(events uuid[]) returns void
  language sql security definer set search_path = pg_catalog, public as $$
  with named as materialized (
    select e.event_id, subject::uuid as id from audit_event e, unnest(e.subject_ids) subject
    where e.event_id = any(events) and subject ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      and exists (select from erased_value v where v.event_id = e.event_id and v.path is null)
  ), gone as (
    update decision d
    set facts_erased = true, document = (whole_document(d.document)::jsonb - 'facts')::text
    from named where d.id = named.id and d.event_id = named.event_id and not d.facts_erased
    returning d.id
  )
  update access_request r set request = '{}' from named, gone where r.id = named.id and r.decision = gone.id
$$;
revoke execute on function erase_facts from public;

select erase_facts(array(select event_id from erased_value where path is null));
