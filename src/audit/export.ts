import type { Db } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { encodeBase64 } from '../tlog/encoding.ts';
import { leafHash } from '../tlog/leaf.ts';
import { inclusionProof, type ReadTile, subtreeRoots } from '../tlog/prove.ts';
import { splitDisclosures } from './disclosures.ts';
import { EXPORT_FORMAT, type Export, type ExportRow } from './export-form.ts';
import { EXPORT_FORMS, type ExportFormat } from './export-forms.ts';
import { newestCheckpoint, tileReader } from './proofs.ts';
import { eachEvent } from './search.ts';
import type { Period } from './search-store.ts';
import {
  keepNewestCheckpoint,
  type KeptCheckpoint,
  type Published,
  readCheckpointAt,
  readHeads,
} from './log-store.ts';
import { type EventQuery, termsOfQuery } from './terms.ts';

/** What is exported. All of it is fixed by the checkpoint: the same words give the same bytes. */
export interface ExportQuery extends EventQuery, Period {
  readonly format: ExportFormat;
  /** Year of the shard that it is of; may be left out where there is one only that has such events. */
  readonly shard?: number | undefined;
  /** Size of the published checkpoint that it is under; the newest where it is not said. */
  readonly size?: number | undefined;
  /** Index of the first entry, and of the first that is no more in it. */
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  /** Goes on with an export that was broken off: after so many rows, from this index on. */
  readonly resume_row?: number | undefined;
  readonly resume_index?: number | undefined;
  /** The filter in the words of the caller, for the export to name. */
  readonly filter: Readonly<Record<string, unknown>>;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

/**
 * An export in its form: what it is (range, filter, checkpoint), the events, and an end that says
 * that it is whole. Without that end it was broken off. JSONL can be verified offline: without a
 * filter it has the edges of its range, which prove that nothing in between is missing; with one
 * it has a proof for each entry, and cannot prove that there are no more.
 * It is of one shard: two logs have no checkpoint in common.
 * @param vkeysOf verifier keys of the shard with an origin, one a line.
 * @throws ServiceError `invalid_request` for events of several shards where none is named, for a
 * range that the checkpoint does not have and for a rest that cannot be asked for, before the
 * first byte. What fails later breaks the iteration off.
 */
export async function exportEvents(
  db: Db,
  vkeysOf: (origin: string) => string,
  query: ExportQuery,
): Promise<AsyncIterable<string | Uint8Array>> {
  const form = EXPORT_FORMS[query.format];
  const resume = resumed(query, form.resumable);
  // Refused here, before the first byte, where it cannot be searched for.
  termsOfQuery(query);
  const shard = await newestCheckpoint(db, query.shard ?? (await onlyShard(db, query)));
  const checkpoint = await checkpointOf(db, shard, query.size);
  const range = rangeOf(query, checkpoint.size);
  const rest = resume ? restOf(range, resume, query) : range;
  const filtered = Object.keys(query.filter).length > 0;
  const readTile = remembered(tileReader(db, shard.log_id));
  const edge = async (from: number, to: number): Promise<string[]> =>
    filtered ? [] : (await subtreeRoots({ from, to }, checkpoint.size, readTile)).map(encodeBase64);
  const right = await edge(range.to, checkpoint.size);
  const exported: Export = {
    header: {
      format: EXPORT_FORMAT,
      origin: shard.origin,
      shard: shard.year,
      ...range,
      filtered,
      filter: query.filter,
      complete: completeness(filtered),
      checkpoint: checkpoint.note,
      signed_at: checkpoint.signed_at,
      vkeys: vkeysOf(shard.origin),
      left: await edge(0, range.from),
    },
    resumed: resume?.row,
    rows: rowsOf(db, query, placesOf(shard, rest), async (index) =>
      filtered && form.proves
        ? { proof: (await inclusionProof(index, checkpoint.size, readTile)).map(encodeBase64) }
        : {},
    ),
    right: () => right,
  };
  return form.write(exported);
}

async function* rowsOf(
  db: Db,
  query: ExportQuery,
  range: Range,
  proofOf: (index: number) => Promise<Pick<ExportRow, 'proof'>>,
): AsyncGenerator<ExportRow> {
  for await (const { idx, leaf, body, disclosures, erased } of eachEvent(db, query, range)) {
    const index = idx ?? 0;
    yield {
      index,
      leaf_hash: encodeBase64(leafHash(leaf)),
      leaf: leaf.toString('utf8'),
      body: body?.toString('utf8') ?? null,
      ...(disclosures === null ? {} : { disclosures: splitDisclosures(disclosures) }),
      ...(erased === null ? {} : { erased }),
      ...(await proofOf(index)),
    };
  }
}

function placesOf({ base }: Published, { from, to }: Range): Range {
  return { from: base + from, to: base + to };
}

/**
 * The year of the only shard that has events of a query; undefined where none has.
 * @throws ServiceError `invalid_request` where there are several.
 */
async function onlyShard(db: Db, query: ExportQuery): Promise<number | undefined> {
  const shards = await readHeads(db);
  if (shards.length === 1) return undefined;
  const having: number[] = [];
  for (const { year, base, size } of shards) {
    const events = eachEvent(db, query, { from: base, to: base + size });
    if (!(await events.next()).done) having.push(year);
    await events.return(undefined);
  }
  if (having.length <= 1) return having[0];
  throw invalid(
    'shard',
    `one of ${having.join(', ')}: there are such events in each of these shards, and an export is under the checkpoint of one; ask once for each`,
  );
}

interface Resume {
  readonly row: number;
  readonly index: number;
}

/** A rest is of an export that began under some checkpoint: the newest would be another one. */
function resumed(query: ExportQuery, resumable: boolean): Resume | undefined {
  const { resume_row: row, resume_index: index, size, format } = query;
  if (row === undefined && index === undefined) return undefined;
  if (!resumable) {
    throw invalid('resume_row', `nothing, with ${format}: it cannot be begun in the middle`);
  }
  if (row === undefined) throw invalid('resume_row', 'a number of rows, with resume_index');
  if (index === undefined) throw invalid('resume_index', 'an index, with resume_row');
  if (size === undefined) throw invalid('size', 'that of the checkpoint that the export is under');
  return { row, index };
}

function rangeOf({ start: from = 0, end: to }: ExportQuery, size: number): Range {
  const range = { from, to: to ?? size };
  if (range.to > size) throw invalid('end', `at most ${size}`);
  if (from > range.to) throw invalid('start', `at most ${range.to}`);
  return range;
}

/** Where rows are missing between what the caller has and the rest, the end would count them wrongly. */
function restOf({ from, to }: Range, { row, index }: Resume, { filter }: ExportQuery): Range {
  if (index < from || index > to) throw invalid('resume_index', `from ${from} to ${to}`);
  const all = Object.keys(filter).length === 0;
  if (all ? row !== index - from : row > index - from) {
    throw invalid('resume_row', `${all ? '' : 'at most '}${index - from}`);
  }
  return { from: index, to };
}

function invalid(path: string, expected: string): ServiceError {
  return new ServiceError('invalid_request', 'The export cannot be made so.', [{ path, expected }]);
}

async function checkpointOf(
  db: Db,
  { log_id, size: newestSize }: Published,
  size: number | undefined,
): Promise<KeptCheckpoint> {
  const newest = await keepNewestCheckpoint(db, log_id, size);
  if (newest) return newest;
  const kept = await readCheckpointAt(db, log_id, size ?? newestSize);
  if (kept) return kept;
  throw invalid('size', 'the size of a published checkpoint that was kept');
}

function completeness(filtered: boolean): string {
  return filtered
    ? 'what a filter chose: each entry is proved, that there are no others is not'
    : 'all entries of the range: that none is missing is proved';
}

const MAX_TILES = 64;

/** The tiles read last: neighbouring entries have most of their proof in common. */
function remembered(read: ReadTile): ReadTile {
  const tiles = new Map<string, Promise<Uint8Array>>();
  return (level, n, width) => {
    const key = `${level}/${n}/${width}`;
    const known = tiles.get(key);
    if (known) return known;
    const tile = read(level, n, width);
    tiles.set(key, tile);
    const oldest = tiles.keys().next().value;
    if (tiles.size > MAX_TILES && oldest !== undefined) tiles.delete(oldest);
    return tile;
  };
}
