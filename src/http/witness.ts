import { Hono } from 'hono';
import { addCheckpoint, cosignedCheckpoint, type Witness, witnessKeys } from '../audit/witness.ts';
import { asUnavailable, type Db } from '../db/connection.ts';
import { notFound, ServiceError } from '../errors.ts';
import { limitedBody } from './app.ts';
import { problemResponse } from './problems.ts';
import { API_HEADERS } from './security.ts';

export interface WitnessDoor {
  readonly db: Db;
  /** Undefined where this service is no witness: then there is nothing here. */
  readonly witness: Witness | undefined;
  readonly clock: () => Date;
  readonly report: (error: unknown) => void;
}

const MAX_BODY = 256 * 1024;

/**
 * This service as a witness of other logs, under `/witness/` (C2SP tlog-witness): nobody has to
 * say who they are, a call is as good as the signature in it.
 */
export function witnessDoor({ db, witness, clock, report }: WitnessDoor): Hono {
  const app = new Hono();
  if (!witness) return app;
  const text = (body: string, type = 'text/plain; charset=utf-8', status = 200): Response =>
    new Response(body, {
      status,
      headers: { ...API_HEADERS, 'content-type': type, 'cache-control': 'no-store' },
    });
  app.post('/witness/add-checkpoint', async (context) => {
    const bytes = await limitedBody(context, MAX_BODY);
    const { status, type, body } = await addCheckpoint(db, witness, readText(bytes), clock());
    return text(body, type, status);
  });
  app.get('/witness/vkeys', () => text(witnessKeys(witness)));
  app.get('/witness/:origin{[0-9a-f]{64}}/checkpoint', async (context) => {
    const note = await cosignedCheckpoint(db, witness, context.req.param('origin'));
    if (note === undefined) throw notFound();
    return text(note);
  });
  app.onError((error) => problemResponse(asUnavailable(error), report));
  return app;
}

function readText(bytes: Uint8Array): string {
  try {
    // A byte order mark is part of what was signed.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ServiceError('malformed_request', 'The body is not UTF-8.');
  }
}
