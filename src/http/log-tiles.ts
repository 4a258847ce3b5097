import { type Context, Hono } from 'hono';
import type { Read } from '../audit/reads.ts';
import { readLogTile } from '../audit/tiles.ts';
import { asUnavailable, type Db } from '../db/connection.ts';
import { notFound, ServiceError } from '../errors.ts';
import { isOverseen, overseesAll, type Principal } from '../principal.ts';
import { parseTilePath } from '../tlog/tiles.ts';
import { problemResponse } from './problems.ts';
import { API_HEADERS } from './security.ts';

export interface LogTilesOptions {
  readonly db: Db;
  readonly authenticate: (header: string | undefined) => Promise<Principal>;
  /** Keeps what an auditor has read; it comes before the answer. */
  readonly recordRead: (principal: Principal, read: Read) => Promise<void>;
  readonly report: (error: unknown) => void;
}

const PATH = /^\/log\/(?:shards\/([1-9]\d{3})\/)?(tile\/.*)$/;
// A tile's bytes are fixed by its path. Entries are for those who may read them: no shared cache.
const HASHES = 'public, max-age=31536000, immutable';
const ENTRIES = 'private, max-age=604800, immutable';

/**
 * The tiles of the newest shard under `/log/tile/`, and of each under `/log/shards/YEAR/tile/` (C2SP
 * tlog-tiles): hash tiles for everybody, entry bundles for auditors and the authority. Their paths have a number of segments that grows with
 * the log, which OpenAPI cannot say: the contract of this door is C2SP's.
 */
export function logTiles(options: LogTilesOptions): Hono {
  const { db, authenticate, recordRead, report } = options;
  const app = new Hono();
  const serve = async (context: Context): Promise<Response> => {
    const [, year, path = ''] = PATH.exec(context.req.path) ?? [];
    const tile = parseTilePath(path);
    if (!tile) throw notFound();
    const shard = year === undefined ? undefined : Number(year);
    const reader = tile.level === 'entries' ? await admit(context, authenticate) : undefined;
    const bytes = await readLogTile(db, shard, tile);
    if (reader && isOverseen(reader)) {
      await recordRead(reader, {
        operation: 'readEntries',
        path: { tile: path, ...(shard === undefined ? {} : { shard }) },
        query: {},
      });
    }
    return new Response(new Uint8Array(bytes), {
      headers: {
        ...API_HEADERS,
        'content-type': 'application/octet-stream',
        'cache-control': tile.level === 'entries' ? ENTRIES : HASHES,
      },
    });
  };
  app.get('/log/tile/*', serve);
  app.get('/log/shards/:year/tile/*', serve);
  app.onError((error) => problemResponse(asUnavailable(error), report));
  return app;
}

async function admit(
  context: Context,
  authenticate: LogTilesOptions['authenticate'],
): Promise<Principal> {
  const principal = await authenticate(context.req.header('authorization'));
  if (overseesAll(principal)) return principal;
  throw new ServiceError('forbidden', `Entries are for auditors; you are ${principal.role}.`);
}
