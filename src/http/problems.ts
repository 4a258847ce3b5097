import type { ErrorCode } from '../errors.ts';
import { ServiceError } from '../errors.ts';
import { API_HEADERS } from './security.ts';

interface ProblemKind {
  readonly status: number;
  readonly title: string;
}

/** Every code, its status and its title; the one place where errors meet HTTP. */
export const PROBLEMS: Readonly<Record<ErrorCode, ProblemKind>> = {
  malformed_request: { status: 400, title: 'The request cannot be read' },
  invalid_request: { status: 400, title: 'The request does not fit the contract' },
  invalid_facts: { status: 400, title: 'Facts do not fit the pack' },
  unauthenticated: { status: 401, title: 'A bearer token is required' },
  invalid_token: { status: 401, title: 'The token is not accepted' },
  forbidden: { status: 403, title: 'Your role may not do this' },
  second_person_required: { status: 403, title: 'Another person has to do this' },
  authority_required: { status: 403, title: 'The authority has to do this' },
  not_requestable: { status: 400, title: 'No access request can be made of this' },
  not_found: { status: 404, title: 'Not found' },
  method_not_allowed: { status: 405, title: 'The method is not allowed here' },
  not_acceptable: { status: 406, title: 'There is no answer of the type asked for' },
  already_exists: { status: 409, title: 'It exists already' },
  not_sequenced: { status: 409, title: 'Not in the log yet' },
  wrong_status: { status: 409, title: 'It is not in a state for this' },
  legal_hold: { status: 409, title: 'A legal hold covers it' },
  retention_runs: { status: 409, title: 'It has to be kept for now' },
  retired: { status: 409, title: 'The dataset is retired' },
  older_than_recorded: { status: 409, title: 'A later statement is on record' },
  expired_denial: { status: 410, title: 'The denial is too old to be made a request' },
  facts_erased: { status: 410, title: 'What it was decided from has been erased' },
  precondition_failed: { status: 412, title: 'It was changed in the meantime' },
  body_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The type of the body is not accepted' },
  unknown_reference: { status: 422, title: 'It names something that does not exist' },
  idempotency_key_reused: {
    status: 422,
    title: 'The Idempotency-Key was used for another request',
  },
  invalid_policy: { status: 422, title: 'The policy or the pack has mistakes' },
  precondition_required: { status: 428, title: 'If-Match is required' },
  internal: { status: 500, title: 'Something went wrong here' },
  unavailable: { status: 503, title: 'Not available now' },
};

const BASE = 'https://umutungo.example/problems/';
const RETRY_AFTER_SECONDS = '2';

/**
 * The RFC 9457 answer for an error. What is no `ServiceError` is a defect of ours: the caller is
 * told so and nothing of it; `report` gets the error itself.
 */
export function problemResponse(error: unknown, report: (error: unknown) => void): Response {
  const known =
    error instanceof ServiceError
      ? error
      : new ServiceError('internal', 'The error has been reported. Nothing was changed.');
  if (known !== error) report(error);
  const { status, title } = PROBLEMS[known.code];
  const body = {
    type: BASE + known.code,
    title,
    status,
    code: known.code,
    detail: known.message,
    ...(known.errors.length > 0 ? { errors: known.errors } : {}),
  };
  const headers: Record<string, string> = {
    ...API_HEADERS,
    'content-type': 'application/problem+json',
    // A 404 may be cached without being asked to (RFC 9110 section 15.5.5); tomorrow it may be there.
    'cache-control': 'no-store',
  };
  if (status === 401)
    headers['www-authenticate'] =
      known.code === 'invalid_token' ? 'Bearer error="invalid_token"' : 'Bearer';
  if (status === 503) headers['retry-after'] = RETRY_AFTER_SECONDS;
  return new Response(JSON.stringify(body), { status, headers });
}
