/**
 * Arrays as PostgreSQL's binary protocol has them (`array_send`): no text is escaped, none is
 * parsed. The driver sends a Buffer as a binary value; the statement says which type it is.
 */

const TEXT = 25;
const BYTEA = 17;
const UUID = 2950;
const HEADER = 20;
/** The size that says that there is no value. */
const NULL = -1;

/** A value of type `text[]`. */
export function textArray(values: readonly (string | null)[]): Buffer {
  const sizes = values.map((value) => (value === null ? NULL : Buffer.byteLength(value, 'utf8')));
  return arrayOf(TEXT, sizes, (array, i, at) => array.write(values[i] ?? '', at, 'utf8'));
}

/** A value of type `bytea[]`. */
export function bytesArray(values: readonly Buffer[]): Buffer {
  const sizes = values.map(({ length }) => length);
  return arrayOf(BYTEA, sizes, (array, i, at) => values[i]?.copy(array, at));
}

/** A value of type `uuid[]`. */
export function uuidArray(values: readonly string[]): Buffer {
  const sizes = values.map(() => 16);
  return arrayOf(UUID, sizes, (array, i, at) =>
    array.write((values[i] ?? '').replaceAll('-', ''), at, 'hex'),
  );
}

/** An array of elements of these sizes in bytes, each written in its place. */
function arrayOf(
  type: number,
  sizes: readonly number[],
  write: (array: Buffer, index: number, at: number) => unknown,
): Buffer {
  const array = Buffer.allocUnsafe(
    sizes.reduce((sum, size) => sum + 4 + Math.max(0, size), HEADER),
  );
  array.writeInt32BE(1, 0); // dimensions
  array.writeInt32BE(sizes.includes(NULL) ? 1 : 0, 4);
  array.writeInt32BE(type, 8);
  array.writeInt32BE(sizes.length, 12);
  array.writeInt32BE(1, 16); // index of the first
  let at = HEADER;
  for (const [i, size] of sizes.entries()) {
    at = array.writeInt32BE(size, at);
    if (size <= 0) continue;
    write(array, i, at);
    at += size;
  }
  return array;
}
