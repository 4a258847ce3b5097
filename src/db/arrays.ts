/**
 * Arrays as PostgreSQL's binary protocol has them (`array_send`): no text is escaped, none is
 * parsed. The driver sends a Buffer as a binary value; the statement says which type it is.
 */

const TEXT = 25;
const BYTEA = 17;
const UUID = 2950;
const HEADER = 20;

/** A value of type `text[]`. */
export function textArray(values: readonly (string | null)[]): Buffer {
  return arrayOf(
    TEXT,
    values.map((value) => (value === null ? null : Buffer.from(value, 'utf8'))),
  );
}

/** A value of type `bytea[]`; of `text[]` where the bytes are UTF-8 and `text` is said. */
export function bytesArray(values: readonly Buffer[], type: 'bytea' | 'text' = 'bytea'): Buffer {
  return arrayOf(type === 'text' ? TEXT : BYTEA, values);
}

/** A value of type `uuid[]`. */
export function uuidArray(values: readonly string[]): Buffer {
  return arrayOf(
    UUID,
    values.map((value) => Buffer.from(value.replaceAll('-', ''), 'hex')),
  );
}

function arrayOf(type: number, values: readonly (Buffer | null)[]): Buffer {
  const size = values.reduce((sum, value) => sum + 4 + (value?.length ?? 0), HEADER);
  const array = Buffer.allocUnsafe(size);
  array.writeInt32BE(1, 0); // dimensions
  array.writeInt32BE(values.includes(null) ? 1 : 0, 4);
  array.writeInt32BE(type, 8);
  array.writeInt32BE(values.length, 12);
  array.writeInt32BE(1, 16); // index of the first
  let at = HEADER;
  for (const value of values) {
    at = array.writeInt32BE(value ? value.length : -1, at);
    if (value) at += value.copy(array, at);
  }
  return array;
}
