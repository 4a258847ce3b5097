import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Db } from '../db/connection.ts';
import { notFound } from '../errors.ts';
import { type AnswerOf, type Handlers, JsonText } from '../operation.ts';
import { cursorOf, DEFAULT_LIMIT, readCursor } from '../paging.ts';
import { overseesAll, type Principal } from '../principal.ts';
import { leafHash } from '../tlog/leaf.ts';
import { formatVerifierKey, type NoteKey } from '../tlog/note-key.ts';
import { formatPolicy } from '../tlog/policy.ts';
import { readDisclosure, splitDisclosures } from './disclosures.ts';
import { actorOf, bodyOf } from './event.ts';
import { exportEvents } from './export.ts';
import { EXPORT_FORMS } from './export-forms.ts';
import { consistency, newestCheckpoint, proofFile } from './proofs.ts';
import { policyOf } from './policy-file.ts';
import type { Log } from './record.ts';
import { searchEvents } from './search.ts';
import { bodyOfFirst, listShards, originOf, readStatus } from './status.ts';
import { type EventRow, readEvent, readEvents } from './store.ts';

type AuditOperation =
  | 'listEvents'
  | 'searchEvents'
  | 'exportEvents'
  | 'getVerifier'
  | 'getEvent'
  | 'getEventProof'
  | 'listShards'
  | 'getPrevious'
  | 'getShardCheckpoint'
  | 'getShardVerifierKeys'
  | 'getShardTrustPolicy'
  | 'getShardConsistencyProof'
  | 'getShardPrevious'
  | 'getCheckpoint'
  | 'getVerifierKey'
  | 'getVerifierKeys'
  | 'getTrustPolicy'
  | 'getLogStatus'
  | 'getReceiptKeys'
  | 'getConsistencyProof';

/** The verifier of one file that goes with exports. */
const VERIFIER = join(import.meta.dirname, '../../verifier/verify.mjs');

type TurnBody = AnswerOf<'getPrevious'>;

/** What searches and exports ask for beside a page or a range. */
interface Asked {
  readonly dataset?: string;
  readonly project?: string;
  readonly actor?: string;
  readonly effect?: string;
}

export interface AuditRoutes {
  readonly db: Db;
  readonly log: Log;
}

export function auditHandlers({ db, log }: AuditRoutes): Handlers<AuditOperation> {
  const vkeysOf = (origin: string): string => linesOf(log.keys.checkpoints(origin));
  // Of the shard of a year, or of the newest that has a checkpoint.
  const checkpoint = async (year?: number) => ({
    status: 200 as const,
    body: (await newestCheckpoint(db, year)).note,
    headers: { 'cache-control': 'public, max-age=1' },
  });
  const verifierKeys = async (year?: number) => ({
    status: 200 as const,
    body: vkeysOf(await originOf(db, log, year)),
  });
  const trustPolicy = async (year?: number) => ({
    status: 200 as const,
    body: formatPolicy(policyOf(log, await originOf(db, log, year))),
  });
  const proof = async (sizes: { from: number; to: number }, year?: number) => ({
    status: 200 as const,
    body: { ...sizes, proof: await consistency(db, year, sizes) },
  });
  const previous = async (year?: number) => ({
    status: 200 as const,
    // As it is: whoever verifies it needs these bytes.
    body: new JsonText<TurnBody>(await bodyOfFirst(db, year)),
  });
  return {
    listEvents: async ({ query }) => {
      const limit = query.limit ?? DEFAULT_LIMIT;
      const [before] = readCursor(query.cursor, ['uuid']) ?? [];
      const { type, subject } = query;
      const { events, next } = await readEvents(db, { type, subject, before }, limit);
      const next_cursor = next === undefined ? null : cursorOf([next]);
      return { status: 200, body: { items: events.map(show), next_cursor } };
    },
    searchEvents: async ({ query }) => {
      const { cursor, limit = DEFAULT_LIMIT, ...asked } = query;
      const [before] = readCursor(cursor, ['integer']) ?? [];
      const { events, reached } = await searchEvents(
        db,
        { ...inTerms(log, asked), ...(before !== undefined && { before: Number(before) }) },
        limit,
      );
      const next_cursor = reached > 0 ? cursorOf([String(reached)]) : null;
      return { status: 200, body: { items: events.map(show), next_cursor } };
    },
    exportEvents: async ({ query }) => {
      const {
        format = 'jsonl',
        shard,
        size,
        start,
        end,
        resume_row,
        resume_index,
        ...filter
      } = query;
      const range = { shard, size, start, end, resume_row, resume_index };
      const asked = { ...inTerms(log, filter), ...range, filter, format };
      const exported = await exportEvents(db, vkeysOf, asked);
      const { mediaType, extension } = EXPORT_FORMS[format];
      return {
        status: 200,
        body: ReadableStream.from(inChunks(exported)),
        headers: {
          'content-type': mediaType,
          'content-disposition': `attachment; filename="events.${extension}"`,
        },
      };
    },
    getVerifier: async () => ({
      status: 200,
      body: await readFile(VERIFIER, 'utf8'),
      headers: { 'content-type': 'text/javascript; charset=utf-8' },
    }),
    getEvent: async ({ principal, path }) => ({
      status: 200,
      body: show(await visible(db, principal, path.id)),
    }),
    getEventProof: async ({ principal, path }) => {
      return { status: 200, body: await proofFile(db, await visible(db, principal, path.id)) };
    },
    listShards: async () => ({ status: 200, body: await listShards(db, log) }),
    getCheckpoint: () => checkpoint(),
    getVerifierKey: async () => {
      const [ed25519] = log.keys.checkpoints(await originOf(db, log));
      return { status: 200, body: `${formatVerifierKey(ed25519)}\n` };
    },
    getVerifierKeys: () => verifierKeys(),
    getTrustPolicy: () => trustPolicy(),
    getPrevious: () => previous(),
    getShardCheckpoint: ({ path }) => checkpoint(path.year),
    getShardVerifierKeys: ({ path }) => verifierKeys(path.year),
    getShardTrustPolicy: ({ path }) => trustPolicy(path.year),
    getShardPrevious: ({ path }) => previous(path.year),
    getShardConsistencyProof: ({ path, query: { from, to } }) => proof({ from, to }, path.year),
    getLogStatus: async () => ({ status: 200, body: await readStatus(db, log) }),
    getReceiptKeys: () => ({ status: 200, body: { keys: [{ ...log.keys.receipts.jwk }] } }),
    getConsistencyProof: ({ query: { from, to } }) => proof({ from, to }),
  };
}

/** A query in the words of the API, as the index has them. */
function inTerms<T extends Asked>(log: Log, { dataset, project, actor, effect, ...rest }: T) {
  return {
    ...rest,
    outcome: effect,
    subjects: [dataset, project].filter((each) => each !== undefined),
    ...(actor !== undefined && { actor: log.keys.pseudonym(actor) }),
  };
}

const CHUNK = 64 * 1024;

/** Lines in pieces of some size: a write each line would cost more than the line. */
async function* inChunks(parts: AsyncIterable<string | Uint8Array>): AsyncGenerator<Uint8Array> {
  let chunk = '';
  for await (const part of parts) {
    if (typeof part !== 'string') yield part;
    else chunk += part;
    if (chunk.length < CHUNK) continue;
    yield Buffer.from(chunk, 'utf8');
    chunk = '';
  }
  yield Buffer.from(chunk, 'utf8');
}

function linesOf(keys: readonly NoteKey[]): string {
  return keys.map((key) => `${formatVerifierKey(key)}\n`).join('');
}

/**
 * An event that the caller may read: all for overseers; for a partner those of partners about their
 * own projects, and their own simulations.
 */
async function visible(db: Db, principal: Principal, id: string): Promise<EventRow> {
  const row = await readEvent(db, id);
  if (!row) throw notFound();
  if (overseesAll(principal)) return row;
  const theirs =
    row.type === 'simulateDecision'
      ? bodyOf(row)['actor'] === principal.actor
      : row.subject_ids.some((subject) => principal.projects.includes(subject));
  if (row.role !== 'partner' || !theirs) throw notFound();
  return row;
}

function show(row: EventRow) {
  const { idx, year, leaf, body, disclosures, erased, log_id: _id, position: _at, ...rest } = row;
  return {
    ...rest,
    actor: actorOf(row),
    shard: year,
    index: idx,
    leaf_hash: Buffer.from(leafHash(leaf)).toString('base64'),
    leaf: leaf.toString('utf8'),
    body: body && (JSON.parse(body.toString('utf8')) as Record<string, unknown>),
    values: splitDisclosures(disclosures).flatMap((text) => {
      const { path, value } = readDisclosure(text) ?? {};
      return path === undefined ? [] : [{ path, value, disclosure: text }];
    }),
    erased: erased ?? [],
  };
}
