import type { HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { asUnavailable } from '../db/connection.ts';
import { notFound, ServiceError } from '../errors.ts';
import { sha256 } from '../ids.ts';
import { type Handlers, JsonText, type OperationId, type Reply } from '../operation.ts';
import type { Read } from '../audit/reads.ts';
import { isOverseen, type Principal } from '../principal.ts';
import type { Contract, Operation } from './contract.ts';
import { parseJson } from './json.ts';
import { problemResponse } from './problems.ts';
import { API_HEADERS } from './security.ts';

export interface AppOptions {
  readonly contract: Contract;
  readonly handlers: Handlers<OperationId>;
  readonly authenticate: (header: string | undefined) => Promise<Principal>;
  /** Keeps what an auditor has read; it comes before the answer. */
  readonly recordRead: (principal: Principal, read: Read) => Promise<void>;
  /** Gets errors that are defects; the caller only learns that there was one. */
  readonly report: (error: unknown) => void;
  /** Pages, assets and the doors of other standards beside the contract. */
  readonly beside: readonly Hono[];
  /** Where callers find the service, where that is not where it listens. */
  readonly publicUrl: string | null;
}

/** What the server gives along with a request. */
interface Env {
  readonly Bindings: HttpBindings;
}

const MAX_BODY = 2 * 1024 * 1024;
const NOBODY: Principal = { actor: 'anonymous', role: 'holder', organisation: null, projects: [] };
const JSON_TYPE = 'application/json';

/**
 * The door. One route an operation of the contract; each request is authenticated, its role
 * checked, its parameters and body checked against the contract, and only then handled.
 */
export function createApp(options: AppOptions): Hono<Env> {
  const { contract, report } = options;
  const app = new Hono<Env>();
  // By themselves: what fits a pattern of another route would take the fast router from all.
  const beside = new Hono<Env>();
  for (const operation of contract.operations) {
    const path = operation.path.replaceAll(/\{(\w+)\}/g, ':$1');
    const home = isAmbiguous(operation, contract.operations) ? beside : app;
    home.on(operation.method, path, (context) => handle(operation, context, options));
  }
  for (const each of options.beside) beside.route('/', each);
  const methods = methodsByPath(contract);
  app.notFound((context) => beside.fetch(context.req.raw, context.env));
  beside.notFound((context) => {
    const allowed = methods.find(({ pattern }) => pattern.test(context.req.path))?.allowed;
    if (!allowed) return problemResponse(notFound(), report);
    const response = problemResponse(
      new ServiceError('method_not_allowed', `Allowed are ${allowed}.`),
      report,
    );
    response.headers.set('allow', allowed);
    return response;
  });
  for (const each of [app, beside])
    each.onError((error) => problemResponse(asUnavailable(error), report));
  return app;
}

async function handle(
  operation: Operation,
  context: Context<Env>,
  options: AppOptions,
): Promise<Response> {
  const { headers } = context.env.incoming;
  const header = (name: string): string | undefined => {
    const value = headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  const requestId = header(REQUEST_ID);
  try {
    const principal = await admit(operation, header('authorization'), options);
    const { path, query } = operation.checkParameters({
      path: context.req.param() as Record<string, string>,
      query: queryOf(context.req.url),
      header,
    });
    const { bytes, body } = await readBody(operation, context, header('content-type'));
    const call = {
      principal,
      path,
      query,
      headers: { ifMatch: header('if-match'), idempotencyKey: header('idempotency-key') },
      body,
      origin: options.publicUrl ?? originOf(context.req.url),
      bodySha256: (): string => sha256(bytes),
    };
    const handler = options.handlers[operation.id] as unknown as (
      given: typeof call,
    ) => Promise<Reply<'getDataset'>>;
    const reply = await handler(call);
    if (isOverseen(principal) && operation.method === 'GET') {
      await options.recordRead(principal, { operation: operation.id, path, query });
    }
    await endOfTurn();
    return named(respond(reply, context.req.url), requestId);
  } catch (error) {
    return named(problemResponse(asUnavailable(error), options.report), requestId);
  }
}

let turn: Promise<void> | undefined;

/**
 * When everything that had arrived has been handled. Answers are written then, one after the other:
 * an answer that is written while its caller sleeps wakes it, and where each one did, waking callers
 * cost more than the rest of an evaluation (42 of 80 microseconds).
 */
function endOfTurn(): Promise<void> {
  turn ??= new Promise((resolve) => {
    setImmediate(() => {
      turn = undefined;
      resolve();
    });
  });
  return turn;
}

const NO_QUERY = new URLSearchParams();

// Addresses are whole, and most have no query: reading them as one costs more than deciding.
function queryOf(url: string): URLSearchParams {
  const at = url.indexOf('?');
  return at < 0 ? NO_QUERY : new URL(url).searchParams;
}

function originOf(url: string): string {
  return url.slice(0, url.indexOf('/', 'https://'.length));
}

const REQUEST_ID = 'x-request-id';

/** The answer under the caller's own name for the request, where it has one (AuthZEN 1.0). */
function named(response: Response, id: string | undefined): Response {
  if (id !== undefined) response.headers.set(REQUEST_ID, id);
  return response;
}

/** Authenticate, then check the role, before anything else is looked at. */
async function admit(
  operation: Operation,
  authorization: string | undefined,
  { authenticate }: AppOptions,
): Promise<Principal> {
  if (operation.roles.length === 0) return NOBODY;
  const principal = await authenticate(authorization);
  if (operation.roles.includes(principal.role)) return principal;
  throw new ServiceError(
    'forbidden',
    `This is for ${operation.roles.join(', ')}; you are ${principal.role}.`,
  );
}

async function readBody(
  operation: Operation,
  context: Context,
  contentType: string | undefined,
): Promise<{ body: unknown; bytes: Uint8Array }> {
  const bytes = await limitedBody(context, MAX_BODY);
  const { mediaTypes } = operation;
  if (!mediaTypes || bytes.length === 0) {
    if (bytes.length > 0 && !mediaTypes)
      throw new ServiceError('invalid_request', 'This operation takes no body.', [
        { path: '', expected: 'no body' },
      ]);
    if (operation.bodyRequired)
      throw new ServiceError('malformed_request', 'A body is required.', [
        { path: '', expected: 'JSON' },
      ]);
    return { body: undefined, bytes };
  }
  const type = contentType?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (!mediaTypes.includes(type)) {
    const code = operation.isAuthzen ? 'malformed_request' : 'unsupported_media_type';
    throw new ServiceError(code, `Send ${mediaTypes.join(' or ')}.`);
  }
  const body = parseJson(bytes);
  operation.checkBody(body);
  return { body, bytes };
}

/** The body, read no further than the limit, whatever Content-Length says. */
export async function limitedBody(context: Context, limit: number): Promise<Uint8Array> {
  const tooLarge = (): ServiceError =>
    new ServiceError('body_too_large', `At most ${limit} bytes.`);
  const length = context.req.header('content-length');
  if (Number(length ?? 0) > limit) throw tooLarge();
  // Node sees to it that a body is as long as its Content-Length says.
  if (length !== undefined) return new Uint8Array(await context.req.raw.arrayBuffer());
  const stream = context.req.raw.body;
  if (!stream) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
}

function respond(reply: Reply<'getDataset'>, address: string): Response {
  const headers: Record<string, string> = {
    ...API_HEADERS,
    'cache-control': 'no-store',
    ...reply.headers,
  };
  const body: unknown = reply.body;
  if (body instanceof JsonText) {
    headers['content-type'] = JSON_TYPE;
    return new Response(body.text, { status: reply.status, headers });
  }
  if (body instanceof ReadableStream) {
    return new Response(body as ReadableStream<Uint8Array>, { status: reply.status, headers });
  }
  if (typeof body === 'string') {
    headers['content-type'] ??= 'text/plain; charset=utf-8';
    return new Response(body, { status: reply.status, headers });
  }
  const next = (body as { next_cursor?: string | null }).next_cursor;
  if (typeof next === 'string') {
    const url = new URL(address);
    url.searchParams.set('cursor', next);
    headers['link'] = `<${url.pathname}${url.search}>; rel="next"`;
  }
  headers['content-type'] = JSON_TYPE;
  return new Response(JSON.stringify(body), { status: reply.status, headers });
}

/** Is it a path like `/things/all`, where `/things/{thing}/…` is one too? */
function isAmbiguous({ path, method }: Operation, operations: readonly Operation[]): boolean {
  return (
    !path.includes('{') &&
    operations.some(
      (other) =>
        other.method === method &&
        other.path.includes('{') &&
        path.startsWith(other.path.slice(0, other.path.indexOf('{'))),
    )
  );
}

function methodsByPath({ operations }: Contract): { pattern: RegExp; allowed: string }[] {
  return Object.entries(Object.groupBy(operations, ({ path }) => path)).map(([path, own]) => ({
    pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
    allowed: (own ?? []).map(({ method }) => method).join(', '),
  }));
}
