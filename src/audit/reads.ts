import type { Principal } from '../principal.ts';
import { change, record, type Writer } from './record.ts';

/** What somebody has read: an operation, and what it was asked for. */
export interface Read {
  readonly operation: string;
  readonly path: Readonly<Record<string, unknown>>;
  readonly query: Readonly<Record<string, unknown>>;
}

// As identifiers of registered things and of what the service makes are: nothing else may stand in a leaf.
const IDENTIFIER = /^[a-z0-9][a-z0-9_-]{0,99}$/;

/**
 * Records what an auditor read: whoever oversees everybody is overseen as well. To be called
 * before the answer leaves: when the event cannot be written, nothing is read. What was searched
 * for lies in the body, beside the leaf; where a page began does not.
 */
export async function recordRead(
  writer: Writer,
  { actor, role }: Principal,
  { operation, path, query: { cursor: _cursor, ...query } }: Read,
): Promise<void> {
  const subjects = Object.values(path).filter(
    (value): value is string => typeof value === 'string' && IDENTIFIER.test(value),
  );
  await change(writer, (tx) =>
    record(tx, writer.log, writer.clock().toISOString(), {
      type: operation,
      actor,
      role,
      subject_ids: subjects,
      outcome: 'success',
      body: { path, query },
    }),
  );
}
