import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Db } from '../db/connection.ts';
import { notFound } from '../errors.ts';
import type { Handlers } from '../operation.ts';
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
import type { Log } from './record.ts';
import { searchEvents } from './search.ts';
import { readStatus } from './status.ts';
import { type EventRow, readEvent, readEvents } from './store.ts';

type AuditOperation =
  | 'listEvents'
  | 'searchEvents'
  | 'exportEvents'
  | 'getVerifier'
  | 'getEvent'
  | 'getEventProof'
  | 'getCheckpoint'
  | 'getVerifierKey'
  | 'getVerifierKeys'
  | 'getTrustPolicy'
  | 'getLogStatus'
  | 'getReceiptKeys'
  | 'getConsistencyProof';

/** The verifier of one file that goes with exports. */
const VERIFIER = join(import.meta.dirname, '../../verifier/verify.mjs');

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
      const { format = 'jsonl', size, start, end, resume_row, resume_index, ...filter } = query;
      const range = { size, start, end, resume_row, resume_index };
      const asked = { ...inTerms(log, filter), ...range, filter, format };
      const vkeys = linesOf(log.keys.checkpoints);
      const exported = await exportEvents(db, { origin: log.origin, vkeys }, asked);
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
      const { idx } = await visible(db, principal, path.id);
      return { status: 200, body: await proofFile(db, idx) };
    },
    getCheckpoint: async () => ({
      status: 200,
      body: (await newestCheckpoint(db)).note,
      headers: { 'cache-control': 'public, max-age=1' },
    }),
    getVerifierKey: () => ({
      status: 200,
      body: `${formatVerifierKey(log.keys.checkpoints[0])}\n`,
    }),
    getVerifierKeys: () => ({ status: 200, body: linesOf(log.keys.checkpoints) }),
    getTrustPolicy: () => ({ status: 200, body: formatPolicy(log.policy) }),
    getLogStatus: async () => ({ status: 200, body: await readStatus(db, log) }),
    getReceiptKeys: () => ({ status: 200, body: { keys: [{ ...log.keys.receipts.jwk }] } }),
    getConsistencyProof: async ({ query: { from, to } }) => ({
      status: 200,
      body: { from, to, proof: await consistency(db, from, to) },
    }),
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
  const { idx, leaf, body, disclosures, erased, ...rest } = row;
  return {
    ...rest,
    actor: actorOf(row),
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
