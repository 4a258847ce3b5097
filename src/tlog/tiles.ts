/**
 * Tile coordinates of C2SP tlog-tiles. A tile of level L holds up to 256 hashes, the roots of
 * perfect subtrees of height 8 * L; tile n holds the hashes from index n * 256 of that row.
 * An entry bundle has the coordinates of a level 0 tile and holds entries instead of hashes.
 */
/** Hashes in a full tile, and entries in a full bundle. */
export const TILE_WIDTH = 256;
/** Levels of the tree that one tile spans: 2^8 = 256. */
const TILE_HEIGHT = 8;

const MAX_LEVEL = 63;
const PATH =
  /^tile\/(entries|0|[1-9][0-9]?)\/((?:x(?!000)[0-9]{3}\/(?:x[0-9]{3}\/)*)?[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;

/** A hash tile. `width` is the number of hashes: 256 for a full tile, 1 to 255 for a partial one. */
export interface Tile {
  readonly level: number;
  readonly n: number;
  readonly width: number;
}

/** What a path under the log's prefix names: a hash tile, or an entry bundle (level `entries`). */
export interface TilePath {
  readonly level: number | 'entries';
  readonly n: number;
  readonly width: number;
}

/**
 * Path of a tile or entry bundle below the log's prefix: `tile/<L>/<N>[.p/<W>]`, `<N>` in groups
 * of three digits (1234067 is `x001/x234/067`). A width of 256 is a full tile. Throws RangeError
 * for coordinates that no tile has.
 */
export function tilePath({ level, n, width }: TilePath): string {
  const levelFits = level === 'entries' || isWithin(level, 0, MAX_LEVEL);
  if (!levelFits || !isWithin(n, 0, Number.MAX_SAFE_INTEGER) || !isWithin(width, 1, TILE_WIDTH)) {
    throw new RangeError(`no tile has level ${level}, number ${n}, width ${width}`);
  }
  const digits = String(n);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g) ?? [];
  const last = groups.pop() ?? '';
  const number = [...groups.map((group) => `x${group}`), last].join('/');
  return `tile/${level}/${number}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

/**
 * Coordinates of a path written by `tilePath`; undefined for every other text, also for another
 * spelling of a good path (leading zeros), for level 64 and up, for partial widths outside 1 to
 * 255, and for numbers above 2^53 - 1. It says nothing on whether the log has such a tile.
 */
export function parseTilePath(path: string): TilePath | undefined {
  const parts = PATH.exec(path);
  if (!parts) return undefined;
  const level = parts[1] === 'entries' ? 'entries' : Number(parts[1]);
  const n = Number(parts[2]?.replaceAll(/[x/]/g, ''));
  const partialWidth = parts[3] === undefined ? undefined : Number(parts[3]);
  if (level !== 'entries' && level > MAX_LEVEL) return undefined;
  if (!Number.isSafeInteger(n)) return undefined;
  if (partialWidth !== undefined && partialWidth >= TILE_WIDTH) return undefined;
  return { level, n, width: partialWidth ?? TILE_WIDTH };
}

/** How many hashes tile (level, n) holds in a tree of `size` leaves: 0 (no such tile) to 256. */
export function tileWidth(level: number, n: number, size: number): number {
  const row = rowLength(size, TILE_HEIGHT * level);
  return Math.max(0, Math.min(TILE_WIDTH, row - n * TILE_WIDTH));
}

/**
 * The tiles that a log writes when it grows from one size to another, level by level: those that
 * become full, and at the end of each level that grew the partial one, if any. A store that keeps
 * full tiles only takes those of width 256. `height` is 8 in tlog-tiles; Go's checksum database
 * uses other heights, where a full tile has 2^height hashes.
 */
export function* newTiles(from: number, to: number, height: number = TILE_HEIGHT): Generator<Tile> {
  const full = 2 ** height;
  for (let level = 0; rowLength(to, level * height) > 0; level++) {
    const before = rowLength(from, level * height);
    const after = rowLength(to, level * height);
    const firstOpen = Math.floor(before / full);
    const lastOpen = Math.floor(after / full);
    for (let n = firstOpen; n < lastOpen; n++) yield { level, n, width: full };
    const width = after - lastOpen * full;
    if (after > before && width > 0) yield { level, n: lastOpen, width };
  }
}

/**
 * Where to find the perfect subtree of the given height at `index` (its first leaf is
 * `index * 2^height`): the tile, and the `count` adjacent hashes from `first` whose root it is.
 */
export function nodeInTile(
  height: number,
  index: number,
): { level: number; n: number; first: number; count: number } {
  const level = Math.floor(height / TILE_HEIGHT);
  const count = 2 ** (height % TILE_HEIGHT);
  const inRow = index * count;
  const n = Math.floor(inRow / TILE_WIDTH);
  return { level, n, first: inRow - n * TILE_WIDTH, count };
}

/** Number of perfect subtrees of the given height in a tree of `size` leaves. */
function rowLength(size: number, height: number): number {
  return Math.floor(size / 2 ** height);
}

function isWithin(value: number, low: number, high: number): boolean {
  return Number.isSafeInteger(value) && value >= low && value <= high;
}
