-- Which decisions are evaluations of a decision point: no request was made of them.
alter table decision add column evaluation boolean not null default false;
update decision d set evaluation = true
  from audit_event e where e.event_id = d.event_id and e.type = 'evaluateAccess';
-- Those that an event may cut off, oldest first: of a dataset, of all.
create index decision_evaluated_dataset on decision (dataset, id) where evaluation and effect = 'permit';
create index decision_evaluated on decision (id) where evaluation and effect = 'permit';

-- What an event cut off is a decision; of an evaluation there is no request.
alter table cut_off_request rename to cut_off_decision;
alter table cut_off_decision add column decision uuid references decision;
update cut_off_decision c set decision = r.decision from access_request r where r.id = c.access_request;
alter table cut_off_decision drop constraint cut_off_request_pkey;
alter table cut_off_decision add primary key (run, outcome, decision);
alter table cut_off_decision alter column access_request drop not null;

-- A request for an erasure that is not carried out ends all the same, and names nobody after that.
alter table erasure
  drop constraint erasure_status_check,
  drop constraint erasure_check,
  add constraint erasure_status_check
    check (status in ('requested', 'approved', 'done', 'refused', 'withdrawn', 'expired')),
  add constraint erasure_check check ((status in ('approved', 'done')) = (event_id is not null)),
  add column refusal text, -- a code
  add column ended_by text,
  add column ended_at timestamptz,
  add column end_event uuid,
  add check ((status in ('refused', 'withdrawn', 'expired')) = (end_event is not null)),
  add check ((status = 'refused') = (refusal is not null));
create index erasure_open on erasure (id) where status = 'requested'; -- those that may have expired
