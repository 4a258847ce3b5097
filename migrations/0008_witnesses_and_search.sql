-- What the log has signed, and what of it is published with enough cosignatures: one row each, which
-- only grows. A checkpoint takes some 4 kB with its signatures and there are two a second, so that
-- log_checkpoint keeps one in ten minutes of those that were published, and those of exports.
create table log_signed (
  log_id integer primary key,
  size bigint not null,
  root bytea not null check (octet_length(root) = 32),
  note text not null,
  signed_at timestamptz not null
);
insert into log_signed (log_id, size, root, note, signed_at)
  select distinct on (log_id) log_id, size, root, note, signed_at from log_checkpoint
  order by log_id, size desc;

create table log_published (
  log_id integer primary key,
  size bigint not null,
  root bytea not null check (octet_length(root) = 32),
  note text not null,
  signed_at timestamptz not null,
  published_at timestamptz not null
);
insert into log_published (log_id, size, root, note, signed_at, published_at)
  select distinct on (log_id) log_id, size, root, note, signed_at, coalesce(published_at, signed_at)
  from log_checkpoint order by log_id, size desc;

-- Other logs that this service is a witness of: the largest tree of each that it has cosigned.
-- Written before the cosignature leaves the service; going back would let a log fork.
create table witnessed_log (
  origin text primary key,
  size bigint not null,
  root bytea not null check (octet_length(root) = 32),
  note text, -- with our cosignatures; null until the first
  cosigned_at timestamptz
);

create function refuse_shrinking() returns trigger language plpgsql as $$
begin
  if new.size < old.size or (new.size = old.size and new.root <> old.root) then
    raise exception '% never goes back', tg_table_name using errcode = 'restrict_violation';
  end if;
  return new;
end $$;
create trigger log_signed_grows before update on log_signed
  for each row execute function refuse_shrinking();
create trigger log_published_grows before update on log_published
  for each row execute function refuse_shrinking();
create trigger witnessed_log_grows before update on witnessed_log
  for each row execute function refuse_shrinking();
create trigger log_signed_no_delete before delete on log_signed
  for each row execute function refuse_delete();
create trigger log_published_no_delete before delete on log_published
  for each row execute function refuse_delete();
create trigger witnessed_log_no_delete before delete on witnessed_log
  for each row execute function refuse_delete();

-- What auditors search by. Entries are indexed in blocks of 256, when a block is full: one row says
-- in which entries of a block a term stands. A term that is everywhere has as many rows as there
-- are blocks, so that no search reads much more than that. It can be made again from audit_event.
create table event_block (
  block bigint primary key, -- entries from block * 256 on
  first_time timestamptz not null,
  last_time timestamptz not null
);

create table event_term (
  term text collate "C" not null, -- 'actor:…', 'subject:…', 'rule:…', 'outcome:…', 'word:…'
  block bigint not null,
  entries bit(256) not null,
  primary key (term, block)
);
