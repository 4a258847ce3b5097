import type { Db } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { encodeBase64 } from '../tlog/encoding.ts';
import { leafHash } from '../tlog/leaf.ts';
import { inclusionProof, type ReadTile, subtreeRoots } from '../tlog/prove.ts';
import { canonicalText } from './canonical.ts';
import { splitDisclosures } from './disclosures.ts';
import { actorOf, bodyOf } from './event.ts';
import { newestCheckpoint, tileReader } from './proofs.ts';
import { eachEvent } from './search.ts';
import type { Period } from './search-store.ts';
import { type EventRow, keepCheckpoint, readCheckpointAt, type StoredCheckpoint } from './store.ts';
import { type EventQuery, termsOfQuery } from './terms.ts';

const EXPORT_FORMAT = 'umutungo-export@v1';

/** What is exported. All of it is fixed by the checkpoint: the same words give the same bytes. */
export interface ExportQuery extends EventQuery, Period {
  readonly format: 'jsonl' | 'csv';
  /** Size of the published checkpoint that it is under; the newest where it is not said. */
  readonly size?: number | undefined;
  /** Index of the first entry, and of the first that is no more in it. */
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  /** Goes on with an export that was broken off: after so many rows, from this index on. */
  readonly resume?: { readonly row: number; readonly index: number } | undefined;
  /** The filter in the words of the caller, for the export to name. */
  readonly filter: Readonly<Record<string, unknown>>;
}

/** Who exports, and what the export names. */
export interface ExportLog {
  readonly origin: string;
  /** The log's verifier keys, one a line. */
  readonly vkeys: string;
}

interface Plan {
  readonly query: ExportQuery;
  readonly log: ExportLog;
  readonly checkpoint: StoredCheckpoint;
  readonly from: number;
  readonly to: number;
  readonly filtered: boolean;
  readonly readTile: ReadTile;
}

/**
 * The lines of an export: what it is (range, filter, checkpoint), a line an event, and a last line
 * that says that it is whole. Without that line it was broken off. A JSONL export can be verified
 * offline: one without a filter has the edges of its range, which prove that nothing in between is
 * missing; one with a filter has a proof for each entry, and cannot prove that there are no more.
 * @throws ServiceError `invalid_request` for a range that the checkpoint does not have, before the
 * first line. What fails later breaks the iteration off.
 */
export async function exportLines(
  db: Db,
  log: ExportLog,
  query: ExportQuery,
): Promise<AsyncGenerator<string>> {
  const checkpoint = await checkpointOf(db, query.size);
  const { start: from = 0, end: to = checkpoint.size } = query;
  if (to > checkpoint.size || from > to) {
    throw new ServiceError('invalid_request', 'The range does not fit the checkpoint.', [
      {
        path: to > checkpoint.size ? 'end' : 'start',
        expected: `at most ${Math.min(to, checkpoint.size)}`,
      },
    ]);
  }
  // Refused here, before the first line, where it cannot be searched for.
  termsOfQuery(query);
  const filtered = Object.keys(query.filter).length > 0;
  const readTile = remembered(tileReader(db));
  const plan: Plan = { query, log, checkpoint, from, to, filtered, readTile };
  return query.format === 'jsonl' ? jsonLines(db, plan) : csvLines(db, plan);
}

async function checkpointOf(db: Db, size: number | undefined): Promise<StoredCheckpoint> {
  const checkpoint =
    size === undefined ? await newestCheckpoint(db) : await readCheckpointAt(db, size);
  if (checkpoint) {
    await keepCheckpoint(db, checkpoint.size);
    return checkpoint;
  }
  throw new ServiceError('invalid_request', 'No checkpoint of this size was published and kept.', [
    { path: 'size', expected: 'the size of a published checkpoint' },
  ]);
}

async function* jsonLines(db: Db, plan: Plan): AsyncGenerator<string> {
  const { query, log, checkpoint, from, to, filtered, readTile } = plan;
  const edge = async (range: { from: number; to: number }): Promise<string[]> =>
    filtered ? [] : (await subtreeRoots(range, checkpoint.size, readTile)).map(encodeBase64);
  if (!query.resume) {
    yield line({
      format: EXPORT_FORMAT,
      origin: log.origin,
      from,
      to,
      filtered,
      filter: query.filter,
      complete: completeness(filtered),
      checkpoint: checkpoint.note,
      vkeys: log.vkeys,
      left: await edge({ from: 0, to: from }),
    });
  }
  let count = query.resume?.row ?? 0;
  for await (const event of eachEvent(db, query, { from: query.resume?.index ?? from, to })) {
    const { leaf, body, disclosures, erased } = event;
    const index = event.idx ?? 0;
    const proof = filtered
      ? { proof: (await inclusionProof(index, checkpoint.size, readTile)).map(encodeBase64) }
      : {};
    count += 1;
    yield line({
      index,
      leaf_hash: encodeBase64(leafHash(leaf)),
      leaf: leaf.toString('utf8'),
      body: body?.toString('utf8') ?? null,
      ...(disclosures === null ? {} : { disclosures: splitDisclosures(disclosures) }),
      ...(erased === null ? {} : { erased }),
      ...proof,
    });
  }
  yield line({ end: true, count, right: await edge({ from: to, to: checkpoint.size }) });
}

const COLUMNS = [
  'index',
  'event_id',
  'time',
  'type',
  'actor',
  'role',
  'outcome',
  'subject_ids',
  'rules',
  'leaf_hash',
  'body',
] as const;

/** RFC 4180, for people. Lines that begin with "#" say what it is, and that it is whole. */
async function* csvLines(db: Db, plan: Plan): AsyncGenerator<string> {
  const { query, log, checkpoint, from, to, filtered } = plan;
  if (!query.resume) {
    const root = encodeBase64(checkpoint.root);
    yield `# ${EXPORT_FORMAT} of ${log.origin}: entries ${from} up to ${to} under the checkpoint of size ${checkpoint.size} and root ${root}\r\n`;
    yield `# filter ${JSON.stringify(query.filter)}; ${completeness(filtered)}\r\n`;
    yield `${COLUMNS.join(',')}\r\n`;
  }
  let count = query.resume?.row ?? 0;
  for await (const event of eachEvent(db, query, { from: query.resume?.index ?? from, to })) {
    count += 1;
    yield `${cellsOf(event).map(cell).join(',')}\r\n`;
  }
  yield `# end, ${count} rows\r\n`;
}

function cellsOf(event: EventRow): string[] {
  const body = bodyOf(event);
  const rules = ['deny', 'review', 'obligations'].flatMap((name) => (body[name] as string[]) ?? []);
  return [
    String(event.idx),
    event.event_id,
    event.time,
    event.type,
    actorOf(event),
    event.role,
    event.outcome,
    event.subject_ids.join(' '),
    rules.join(' '),
    encodeBase64(leafHash(event.leaf)),
    canonicalText(body),
  ];
}

/** Spreadsheets take what begins like a formula for one. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function completeness(filtered: boolean): string {
  return filtered
    ? 'what a filter chose: each entry is proved, that there are no others is not'
    : 'all entries of the range: that none is missing is proved';
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
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
