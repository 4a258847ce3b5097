import { type Context, Hono } from 'hono';
import { asUnavailable } from '../db/connection.ts';
import { notFound, ServiceError } from '../errors.ts';
import { sha256 } from '../ids.ts';
import { type Call, type Handlers, JsonText, type OperationId, type Reply } from '../operation.ts';
import type { Read } from '../audit/reads.ts';
import { isOverseen, type Principal } from '../principal.ts';
import type { Contract, Operation } from './contract.ts';
import { parseJson } from './json.ts';
import { problemResponse } from './problems.ts';
import { SECURITY_HEADERS } from './security.ts';

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
}

const MAX_BODY = 2 * 1024 * 1024;
const NOBODY: Principal = { actor: 'anonymous', role: 'holder', organisation: null, projects: [] };
const JSON_TYPE = 'application/json';

/**
 * The door. One route an operation of the contract; each request is authenticated, its role
 * checked, its parameters and body checked against the contract, and only then handled.
 */
export function createApp(options: AppOptions): Hono {
  const { contract, report } = options;
  const app = new Hono();
  for (const operation of contract.operations) {
    const path = operation.path.replaceAll(/\{(\w+)\}/g, ':$1');
    app.on(operation.method, path, (context) => handle(operation, context, options));
  }
  for (const each of options.beside) app.route('/', each);
  const methods = methodsByPath(contract);
  app.notFound((context) => {
    const allowed = methods.find(({ pattern }) => pattern.test(context.req.path))?.allowed;
    if (!allowed) return problemResponse(notFound(), report);
    const response = problemResponse(
      new ServiceError('method_not_allowed', `Allowed are ${allowed}.`),
      report,
    );
    response.headers.set('allow', allowed);
    return response;
  });
  app.onError((error) => problemResponse(asUnavailable(error), report));
  return app;
}

async function handle(
  operation: Operation,
  context: Context,
  options: AppOptions,
): Promise<Response> {
  try {
    const principal = await admit(operation, context, options);
    const header = (name: string): string | undefined => context.req.header(name);
    const url = new URL(context.req.url);
    const { path, query } = operation.checkParameters({
      path: context.req.param() as Record<string, string>,
      query: url.searchParams,
      header,
    });
    const { body, bodySha256 } = await readBody(operation, context);
    const headers = { ifMatch: header('if-match'), idempotencyKey: header('idempotency-key') };
    const call = { principal, path, query, headers, body, bodySha256 } as unknown as Call<never>;
    const handler = options.handlers[operation.id] as (
      call: Call<never>,
    ) => Promise<Reply<'getDataset'>>;
    const reply = await handler(call);
    if (isOverseen(principal) && operation.method === 'GET') {
      await options.recordRead(principal, { operation: operation.id, path, query });
    }
    return respond(reply, url);
  } catch (error) {
    return problemResponse(asUnavailable(error), options.report);
  }
}

/** Authenticate, then check the role, before anything else is looked at. */
async function admit(
  operation: Operation,
  context: Context,
  { authenticate }: AppOptions,
): Promise<Principal> {
  if (operation.roles.length === 0) return NOBODY;
  const principal = await authenticate(context.req.header('authorization'));
  if (operation.roles.includes(principal.role)) return principal;
  throw new ServiceError(
    'forbidden',
    `This is for ${operation.roles.join(', ')}; you are ${principal.role}.`,
  );
}

async function readBody(
  operation: Operation,
  context: Context,
): Promise<{ body: unknown; bodySha256: string }> {
  const bytes = await limitedBody(context, MAX_BODY);
  const bodySha256 = sha256(bytes);
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
    return { body: undefined, bodySha256 };
  }
  const type = context.req.header('content-type')?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (!mediaTypes.includes(type)) {
    throw new ServiceError('unsupported_media_type', `Send ${mediaTypes.join(' or ')}.`);
  }
  const body = parseJson(bytes);
  operation.checkBody(body);
  return { body, bodySha256 };
}

/** The body, read no further than the limit, whatever Content-Length says. */
export async function limitedBody(context: Context, limit: number): Promise<Uint8Array> {
  const tooLarge = (): ServiceError =>
    new ServiceError('body_too_large', `At most ${limit} bytes.`);
  if (Number(context.req.header('content-length') ?? 0) > limit) throw tooLarge();
  // Node sees to it that a body is as long as its Content-Length says.
  if (context.req.header('content-length') !== undefined)
    return new Uint8Array(await context.req.raw.arrayBuffer());
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

function respond(reply: Reply<'getDataset'>, url: URL): Response {
  const headers: Record<string, string> = {
    ...SECURITY_HEADERS,
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
    url.searchParams.set('cursor', next);
    headers['link'] = `<${url.pathname}${url.search}>; rel="next"`;
  }
  headers['content-type'] = JSON_TYPE;
  return new Response(JSON.stringify(body), { status: reply.status, headers });
}

function methodsByPath({ operations }: Contract): { pattern: RegExp; allowed: string }[] {
  return Object.entries(Object.groupBy(operations, ({ path }) => path)).map(([path, own]) => ({
    pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
    allowed: (own ?? []).map(({ method }) => method).join(', '),
  }));
}
