-- What many decisions say alike is kept once, by its SHA-256: what a dataset and the policies in
-- force say. A decision's document has the hash, in hex, in their places. Documents from before stay
-- whole.
create table decision_part (
  sha256 bytea primary key check (length(sha256) = 32),
  text text not null -- canonical JSON (RFC 8785)
);
create trigger decision_part_kept before update or delete on decision_part
  for each row execute function refuse_change();
create trigger decision_part_no_truncate before truncate on decision_part execute function refuse_change();

-- What is left, some 2.3 kB, is not compressed: that would take a fifth of the database's time.
alter table decision set (toast_tuple_target = 8160);

-- A decision's document with its parts in their places: the bytes that its event binds. A part that
-- is gone leaves its hash. The places are found by what stands around them and by nothing that a
-- caller or a steward could have written: a text of theirs may look like a hash.
create function whole_document(document text) returns text language plpgsql stable parallel safe as $$
declare
  before constant text := '"facts":{"dataset":';
  -- Where the two values begin: the first one of its name, and the last one. A quote inside a text
  -- is escaped, so neither is found in one.
  dataset_at constant integer := position(before in document) + length(before);
  policies_at constant integer := length(document) - position('":"seicilop"' in reverse(document)) + 1;
  dataset constant text := substr(document, dataset_at, 66); -- 64 digits in quotes
  policies constant text := substr(document, policies_at, 66);
  reference constant text := '^"[0-9a-f]{64}"$';
begin
  if dataset !~ reference or policies !~ reference then
    return document;
  end if;
  return left(document, dataset_at - 1)
    || coalesce((select text from decision_part where sha256 = decode(substr(dataset, 2, 64), 'hex')), dataset)
    || substr(document, dataset_at + 66, policies_at - dataset_at - 66)
    || coalesce((select text from decision_part where sha256 = decode(substr(policies, 2, 64), 'hex')), policies)
    || substr(document, policies_at + 66);
end
$$;
