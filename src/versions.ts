import { ServiceError } from './errors.ts';
import { isObject } from './pdp/facts.ts';

/** The strong entity tag (RFC 9110 section 8.8) of a version. */
export function etagOf(version: number): string {
  return `"${version}"`;
}

/**
 * The version that a caller has read and means to change.
 * @throws ServiceError `precondition_required` without If-Match, `precondition_failed` for a tag
 * that is none of ours.
 */
export function expectedVersion(ifMatch: string | undefined): number {
  if (ifMatch === undefined) {
    throw new ServiceError(
      'precondition_required',
      'If-Match with the ETag of the version that you read is required, so that nobody is overwritten.',
      [{ path: 'If-Match', expected: 'the ETag of the version that you read' }],
    );
  }
  const version = /^"([1-9]\d{0,8})"$/.exec(ifMatch)?.[1];
  if (version === undefined) throw staleVersion();
  return Number(version);
}

export function staleVersion(): ServiceError {
  return new ServiceError(
    'precondition_failed',
    'If-Match is not the ETag of the present version (quotes included, such as "1"): somebody changed it since you read it, or the tag is incomplete. Read it again, then decide.',
  );
}

/**
 * A patch that leaves alone what the register keeps: those members can only be repeated.
 * @throws ServiceError `invalid_request`.
 */
export function refuseManaged<Key extends string>(
  patch: Readonly<Record<string, unknown>>,
  current: Readonly<Partial<Record<Key, unknown>>>,
  keys: readonly Key[],
): Readonly<Record<string, unknown>> {
  for (const key of keys) {
    if (key in patch && patch[key] !== current[key]) {
      throw new ServiceError('invalid_request', 'This member is kept by the register.', [
        { path: `/${key}`, expected: `${String(current[key])}, or leave it out` },
      ]);
    }
  }
  return patch;
}

/** RFC 7396 merge patch: members of `patch` replace, `null` removes, objects merge. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map<string, unknown>(isObject(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, mergePatch(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}

/** A resource as JSON shows it: without the members that are not there. */
export function withoutNulls<T extends object>(row: T): { [K in keyof T]: Exclude<T[K], null> } {
  return Object.fromEntries(
    Object.entries(row).filter(([, value]) => value !== null && value !== undefined),
  ) as {
    [K in keyof T]: Exclude<T[K], null>;
  };
}
