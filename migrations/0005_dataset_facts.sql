-- What policies read of a dataset, in a form that is quick to test: "which datasets may my project
-- use?" is a predicate over these rows. Kept by triggers in the statement that changes a dataset,
-- so that no writer, an older release among them, can leave it behind. Which facts there are is
-- not known here: every member of a document that is not DCAT's counts as one.
--
-- A fact is stored under its type and its path, `s:classification`, so that one look-up gives a
-- value of the type that is wanted, and a value of another type is seen to be one:
--   s text   b boolean   n number   t list of texts, each once   a other list   o object
--   d text that is a date (days since 1970-01-01)   i text that is an instant (milliseconds)
--
-- Datasets that state the same share one profile, and are found through it by an index. Numbers,
-- dates, titles and texts that are no codes hardly ever agree: a profile says only that there is
-- one (null), and the value is beside the dataset; titles are left in its document.

create table fact_profile (
  sha256 bytea primary key check (octet_length(sha256) = 32),
  facts jsonb not null
);

create table dataset_facts (
  dataset text primary key references dataset,
  created_at timestamptz not null,
  active boolean not null,
  consented boolean not null, -- there are consent records: they decide, and not what is declared
  profile bytea not null references fact_profile,
  apart jsonb not null
);
create index dataset_facts_newest on dataset_facts (created_at desc, dataset desc) where active; -- usable datasets
create index dataset_facts_profile on dataset_facts (profile, created_at desc, dataset desc) where active; -- those of few profiles

-- Texts and lists of texts that some dataset has beside its profile.
create table fact_apart (
  fact text primary key
);

-- Milliseconds since 1970 of an RFC 3339 date-time with seconds and an offset, the rest cut off;
-- null for what is none. Offsets of up to 23:59, unlike PostgreSQL's own.
create function instant_ms(value text) returns bigint language sql stable strict parallel safe as $$
  select case when p is not null and pg_input_is_valid(p[1], 'date')
      and p[2]::integer < 24 and p[3]::integer < 60 and p[4]::integer < 60
      and coalesce(p[7]::integer, 0) < 24 and coalesce(p[8]::integer, 0) < 60
    then (p[1]::date - date '1970-01-01') * 86400000::bigint
      + ((p[2]::integer * 60 + p[3]::integer
        - (coalesce(p[7]::integer, 0) * 60 + coalesce(p[8]::integer, 0)) * case p[6] when '-' then -1 else 1 end) * 60
        + p[4]::integer) * 1000::bigint
      + rpad(left(coalesce(p[5], ''), 3), 3, '0')::integer end
  from regexp_match(value, '^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$') p
$$;

create function store_facts(ids text[]) returns void language sql as $$
  with recursive member (id, path, value, type) as (
    select id, key, value, jsonb_typeof(value)
    from dataset, jsonb_each(
      document
        - '{id,title,description,keyword,theme,language,identifier,landing_page,issued,modified,spatial,temporal,accrual_periodicity,creator,access_rights,provenance,contact_point,distribution}'::text[]
        || jsonb_build_object('title', document -> 'title', 'publisher', publisher))
    where id = any(ids) and strpos(key, '.') = 0
    union all
    select id, path || '.' || each.key, each.value, jsonb_typeof(each.value)
    from member, jsonb_each(case member.type when 'object' then member.value else '{}' end) each
    where strpos(each.key, '.') = 0
  ), text as (
    select id, path, value, value #>> '{}' as text from member where type = 'string'
  ), dated as (
    select id, path, text from text where text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}'
  ), list as (
    select id, path, value, items, texts, loose
    from member, lateral (
      select coalesce(jsonb_agg(distinct item order by item), '[]') as items,
        coalesce(bool_and(jsonb_typeof(item) = 'string'), true) as texts,
        coalesce(count(*) > 64 or bool_or(item #>> '{}' !~ '^[A-Za-z0-9][A-Za-z0-9_.:/#-]{0,199}$'), false) as loose
      from jsonb_array_elements(case type when 'array' then value else '[]' end) item
    ) items
    where type = 'array'
  ), fact (id, key, value, apart) as (
    select id, 'o:' || path, 'true'::jsonb, false from member where type = 'object'
    union all
    select id, 'b:' || path, value, false from member where type = 'boolean'
    union all
    select id, 'n:' || path, value, true from member where type = 'number'
    union all
    select id, case when texts then 't:' else 'a:' end || path, case when texts then items else value end,
      loose or not texts
    from list
    union all
    select id, 's:' || path, value,
      text !~ '^[A-Za-z0-9][A-Za-z0-9_.:/#-]{0,199}$' or text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' or path ~ '^title(\.|$)'
    from text
    union all
    select id, 'd:' || path, to_jsonb(text::date - date '1970-01-01'), true
    from dated where case length(text) when 10 then pg_input_is_valid(text, 'date') else false end
    union all
    select id, 'i:' || path, to_jsonb(instant_ms(text)), true from dated where instant_ms(text) is not null
  ), split as materialized (
    select id, coalesce(jsonb_object_agg(key, case when apart then 'null' else value end), '{}') as profile,
      coalesce(jsonb_object_agg(key, value) filter (where apart and key !~ '^s:title(\.|$)'), '{}') as apart
    from fact group by id
  ), stated as materialized (
    select id, d.created_at, d.status = 'active' as active,
      exists (select from consent_total t where t.dataset = id) as consented,
      sha256(convert_to(profile::text, 'UTF8')) as sha256, profile, apart
    from split join dataset d using (id)
  ), profiles as (
    insert into fact_profile select distinct on (sha256) sha256, profile from stated order by sha256
    on conflict do nothing
  ), beside as (
    insert into fact_apart
    select distinct key from stated, jsonb_object_keys(apart) key where key ~ '^[st]:' order by key
    on conflict do nothing
  )
  insert into dataset_facts as f (dataset, created_at, active, consented, profile, apart)
  select id, created_at, active, consented, sha256, apart from stated
  on conflict (dataset) do update
    set active = excluded.active, profile = excluded.profile, apart = excluded.apart
$$;

create function keep_dataset_facts() returns trigger language plpgsql as $$
begin
  perform store_facts(array(select id from changed));
  return null;
end $$;

create trigger dataset_inserted after insert on dataset referencing new table as changed
  for each statement execute function keep_dataset_facts();
create trigger dataset_updated after update on dataset referencing new table as changed
  for each statement execute function keep_dataset_facts();

create function keep_consented() returns trigger language plpgsql as $$
begin
  update dataset_facts set consented = true
  where dataset in (select dataset from added) and not consented;
  return null;
end $$;

create trigger consent_total_inserted after insert on consent_total referencing new table as added
  for each statement execute function keep_consented();

select store_facts(array(select id from dataset));
