import { ServiceError } from './errors.ts';
import { parseInstant } from './pdp/calendar.ts';

export const DEFAULT_LIMIT = 50;

/** A page of a list, and where the next one starts. */
export interface Page<T> {
  readonly items: T[];
  readonly next_cursor: string | null;
}

type Part = 'instant' | 'slug' | 'uuid' | 'integer' | 'text';

const PARTS: Readonly<Record<Part, (value: string) => boolean>> = {
  // As the service writes them: UTC, milliseconds.
  instant: (value) => /^\d{4}-.*\.\d{3}Z$/.test(value) && parseInstant(value) !== undefined,
  slug: (value) => /^[a-z0-9][a-z0-9_-]{0,99}$/.test(value),
  uuid: (value) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value),
  integer: (value) => /^\d{1,9}$/.test(value),
  text: (value) => value.length <= 200 && !/\p{Cc}/u.test(value),
};

/**
 * Makes a page of `limit` from rows that were read with a limit of one more; `key` gives the
 * keyset position of the last row shown.
 */
export function toPage<Row, T>(
  rows: readonly Row[],
  limit: number,
  show: (row: Row) => T,
  key: (row: Row) => readonly string[],
): Page<T> {
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? shown.at(-1) : undefined;
  return {
    items: shown.map(show),
    next_cursor: last === undefined ? null : cursorOf(key(last)),
  };
}

/** The cursor of a keyset position. */
export function cursorOf(position: readonly string[]): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url');
}

/**
 * The position in a cursor, checked against the parts that its list uses.
 * @throws ServiceError `invalid_request` for a cursor that this list has not given out.
 */
export function readCursor(
  cursor: string | undefined,
  parts: readonly Part[],
): string[] | undefined {
  if (cursor === undefined) return undefined;
  try {
    const values = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown;
    if (Array.isArray(values) && values.length === parts.length) {
      const texts = values.filter((value): value is string => typeof value === 'string');
      if (texts.length === parts.length && parts.every((part, i) => PARTS[part](texts[i] ?? '')))
        return texts;
    }
  } catch {
    // Not JSON: the same answer as for any other forged cursor.
  }
  throw new ServiceError('invalid_request', 'The cursor is not one of this list.', [
    { path: 'cursor', expected: 'next_cursor of the page before' },
  ]);
}
