-- Who placed a hold, who lifted it and whom it kept have their names erased from it as from
-- everywhere else: together with that in the event which says so, and with nothing else of the hold.
create function is_erased(event uuid, at text) returns boolean language sql stable as $$
  select exists (
    select from erased_value v where v.event_id = event and (v.path is null or v.path = at))
$$;

-- In the place of a name stands the pseudonym of the leaf. A hold that stands names whom it keeps.
create or replace function refuse_all_but_lifting() returns trigger language plpgsql as $$
begin
  if (new.id, new.reason, new.reference, new.placed_at, new.event_id)
      is not distinct from (old.id, old.reason, old.reference, old.placed_at, old.event_id)
    and (new.scope = old.scope
      or (old.lifted_at is not null and old.scope ? 'person' and new.scope = '{"person": null}'
        and is_erased(old.event_id, '/subject')))
    and (new.placed_by = old.placed_by
      or (is_erased(old.event_id, '/actor')
        and new.placed_by = (select actor from audit_event where event_id = old.event_id)))
    and (old.lifted_at is null
      or ((new.lifted_at, new.lift_event) is not distinct from (old.lifted_at, old.lift_event)
        and (new.lifted_by = old.lifted_by
          or (is_erased(old.lift_event, '/actor')
            and new.lifted_by = (select actor from audit_event where event_id = old.lift_event)))))
  then
    return new;
  end if;
  raise exception 'a legal hold is lifted, and not changed' using errcode = 'restrict_violation';
end $$;

-- What was erased by a release before this one: rows still name who acted in events that no longer do.
create temporary table gone on commit drop as
  select event_id, type, time, actor, subject_ids from audit_event
  where event_id in (select event_id from erased_value where path is null or path = '/actor');
create temporary table gone_id on commit drop as
  select event_id, actor, id::uuid from gone, unnest(subject_ids) id
  where id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
update decision d set created_by = g.actor from gone_id g where d.id = g.id and d.event_id = g.event_id;
update access_request r set created_by = g.actor from gone_id g, decision d
  where r.id = g.id and d.id = r.decision and d.event_id = g.event_id;
update erasure x set requested_by = g.actor from gone g where g.event_id = x.request_event;
update erasure x set approved_by = g.actor from gone g
  where g.type = 'approveErasure' and x.id::text = any(g.subject_ids) and g.time = x.approved_at;
update erasure x set ended_by = g.actor from gone g where g.event_id = x.end_event;
update legal_hold h set placed_by = g.actor from gone g where g.event_id = h.event_id;
update legal_hold h set lifted_by = g.actor from gone g where g.event_id = h.lift_event;
update legal_hold h set scope = '{"person": null}'
  where scope ? 'person' and lifted_at is not null and is_erased(event_id, '/subject');
update space_version t set created_by = g.actor from gone g where g.event_id = t.event_id;
update impact t set created_by = g.actor from gone g where g.event_id = t.event_id;
update cut_off t set created_by = g.actor from gone g where g.event_id = t.event_id;
