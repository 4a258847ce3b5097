/**
 * The closed vocabulary of what can go wrong. Registers and commands throw these; the door maps
 * each to one HTTP status in `http/problems.ts`. A refusal by a policy is none of them.
 */
export type ErrorCode =
  | 'malformed_request'
  | 'invalid_request'
  | 'invalid_facts'
  | 'unauthenticated'
  | 'invalid_token'
  | 'forbidden'
  | 'second_person_required'
  | 'authority_required'
  | 'not_found'
  | 'method_not_allowed'
  | 'not_acceptable'
  | 'unsupported_media_type'
  | 'body_too_large'
  | 'already_exists'
  | 'not_sequenced'
  | 'retired'
  | 'wrong_status'
  | 'legal_hold'
  | 'retention_runs'
  | 'precondition_failed'
  | 'precondition_required'
  | 'idempotency_key_reused'
  | 'unknown_reference'
  | 'older_than_recorded'
  | 'not_requestable'
  | 'expired_denial'
  | 'facts_erased'
  | 'invalid_policy'
  | 'unavailable'
  | 'internal';

/** What was expected at a place of the input. */
export interface InputProblem {
  /** JSON pointer into the body, the name of a parameter, or file:line:column. */
  readonly path: string;
  readonly expected: string;
  readonly rule?: string;
}

/** An error with a stable code. Its message is public: no internals in it. */
export class ServiceError extends Error {
  readonly code: ErrorCode;
  readonly errors: readonly InputProblem[];
  constructor(code: ErrorCode, detail: string, errors: readonly InputProblem[] = []) {
    super(detail);
    this.name = 'ServiceError';
    this.code = code;
    this.errors = errors;
  }
}

export function notFound(): ServiceError {
  return new ServiceError('not_found', 'There is nothing here, or nothing that you may see.');
}

/** The answer for a reference in the input to something that does not exist for the caller. */
export function unknownReference(path: string, what: string): ServiceError {
  return new ServiceError('unknown_reference', 'The request names something that does not exist.', [
    { path, expected: what },
  ]);
}
