import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  newTiles,
  nodeInTile,
  parseTilePath,
  TILE_WIDTH,
  tilePath,
  tileWidth,
} from '../../src/tlog/tiles.ts';
import { vectorText } from './reference.ts';

interface Layout {
  entriesPathForLogIndex: [index: number, size: number, path: string][];
  entriesPath: [n: number, partial: number, path: string][];
  tilePath: [level: number, n: number, partial: number, path: string][];
  parse: {
    valid: [level: string, path: string, level: number, n: string, partial: number][];
    invalid: [level: string, path: string][];
  };
  nodeToTile: number[][];
}

interface Sumdb {
  newTilesHeight10: [from: number, to: number, count: number][];
  tilePaths: { path: string; tile: [height: number, level: number, n: number, w: number] | null }[];
}

const layout: Layout = JSON.parse(vectorText('tessera-layout/paths.json'));
const sumdb: Sumdb = JSON.parse(vectorText('sumdb/tlog.json'));

/** Tessera and Go write 0, or the full width of their height, for a full tile. */
const widthOf = (partial: number, full = 0): number => (partial === full ? TILE_WIDTH : partial);

describe('paths', () => {
  test("are Tessera's for hash tiles and entry bundles", () => {
    expect([layout.tilePath.length, layout.entriesPath.length]).toEqual([5, 4]);
    for (const [level, n, partial, path] of layout.tilePath) {
      expect(tilePath({ level, n, width: widthOf(partial) })).toBe(path);
    }
    for (const [n, partial, path] of layout.entriesPath) {
      expect(tilePath({ level: 'entries', n, width: widthOf(partial) })).toBe(path);
    }
  });

  test('of the bundle with a given entry depend on the size of the log', () => {
    expect(layout.entriesPathForLogIndex).toHaveLength(7);
    for (const [index, size, path] of layout.entriesPathForLogIndex) {
      const n = Math.floor(index / TILE_WIDTH);
      expect(tilePath({ level: 'entries', n, width: tileWidth(0, n, size) })).toBe(path);
    }
  });

  test("that Tessera reads are read alike, but for a number beyond this log's 2^53", () => {
    const beyond: string[] = [];
    for (const [levelText, path, level, n, partial] of layout.parse.valid) {
      const parsed = parseTilePath(`tile/${levelText}/${path}`);
      if (Number(n) > Number.MAX_SAFE_INTEGER) beyond.push(n);
      const expected = { level, n: Number(n), width: widthOf(partial) };
      expect(parsed).toEqual(Number.isSafeInteger(Number(n)) ? expected : undefined);
    }
    expect([layout.parse.valid.length, beyond]).toEqual([4, ['999999999999999999']]);
  });

  test('that Tessera refuses are refused', () => {
    expect(layout.parse.invalid).toHaveLength(15);
    for (const [level, path] of layout.parse.invalid) {
      expect(parseTilePath(`tile/${level}/${path}`)).toBeUndefined();
    }
  });

  test("of Go's checksum database are read alike, once the tile height is taken out", () => {
    expect(sumdb.tilePaths).toHaveLength(8);
    for (const { path, tile } of sumdb.tilePaths) {
      const parsed = parseTilePath(
        path.replace(/^tile\/\d+\/(data)?/, (_, data) => `tile/${data ? 'entries' : ''}`),
      );
      const [height = 0, level = 0, n = 0, width = 0] = tile ?? [];
      const expected = {
        level: level < 0 ? 'entries' : level,
        n,
        width: widthOf(width, 2 ** height),
      };
      expect(parsed).toEqual(tile ? expected : undefined);
    }
  });

  test('survive a round trip for all coordinates that a log can have', () => {
    const level = fc.oneof(fc.constant('entries' as const), fc.nat({ max: 63 }));
    const n = fc.oneof(fc.maxSafeNat(), fc.nat({ max: 2000 }));
    const width = fc.integer({ min: 1, max: 256 });
    fc.assert(
      fc.property(level, n, width, (...[l, number, w]) => {
        const tile = { level: l, n: number, width: w };
        expect(parseTilePath(tilePath(tile))).toEqual(tile);
      }),
      { numRuns: 500 },
    );
  });

  test('have one spelling: other texts for the same tile are refused', () => {
    for (const path of [
      'tile/00/001',
      'tile/0/x000/001',
      'tile/0/1',
      'tile/0/0001',
      'tile/0/001.p/05',
      'tile/0/001.p/0',
      'tile/0/001.p/256',
      'tile/0/001/',
      '/tile/0/001',
      'tile/0/001\n',
      'tile/entries/x000/x001/002',
      'tile/0/X001/002',
      'tile/0/٠٠١',
      'tile/0/x009/x007/x199/x254/x740/992',
    ]) {
      expect([path, parseTilePath(path)]).toEqual([path, undefined]);
    }
    expect(parseTilePath('tile/0/x009/x007/x199/x254/x740/991')?.n).toBe(2 ** 53 - 1);
  });

  test('are not made for coordinates that no tile has', () => {
    for (const [level, n, width] of [
      [64, 0, 1],
      [-1, 0, 1],
      [0, -1, 1],
      [0, 2 ** 53, 1],
      [0, 0, 0],
      [0, 0, 257],
      [0.5, 0, 1],
    ] as const) {
      expect(() => tilePath({ level, n, width })).toThrow(RangeError);
    }
  });
});

describe('coordinates', () => {
  test("of nodes are Tessera's", () => {
    expect(layout.nodeToTile).toHaveLength(5);
    for (const [
      height = 0,
      index = 0,
      level,
      n,
      nodeLevel = 0,
      nodeIndex = 0,
    ] of layout.nodeToTile) {
      const count = 2 ** nodeLevel;
      expect(nodeInTile(height, index)).toEqual({ level, n, first: nodeIndex * count, count });
    }
  });

  test('a log of 70,000 entries has the tiles of the tlog-tiles specification', () => {
    const tiles = [...newTiles(0, 70_000)];
    const summary = [0, 1, 2, 3].map((level) => {
      const row = tiles.filter((tile) => tile.level === level);
      return [row.filter(({ width }) => width === 256).length, row.at(-1)?.width];
    });
    expect(summary).toEqual([
      [273, 112],
      [1, 17],
      [0, 1],
      [0, undefined],
    ]);
    expect([...newTiles(0, 256)]).toEqual([
      { level: 0, n: 0, width: 256 },
      { level: 1, n: 0, width: 1 },
    ]);
  });

  test("growth makes as many tiles as in Go's checksum database, of height 10", () => {
    expect(sumdb.newTilesHeight10).toHaveLength(7);
    for (const [from, to, count] of sumdb.newTilesHeight10) {
      expect([...newTiles(from, to, 10)]).toHaveLength(count);
    }
  });

  test('growth in steps makes every full tile exactly once, and only tiles of the right width', () => {
    const sizes = fc.uniqueArray(fc.nat({ max: 140_000 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(sizes, (steps) => {
        const ordered = [0, ...steps.toSorted((a, b) => a - b)];
        const grown = ordered.slice(1).flatMap((to, i) => {
          const tiles = [...newTiles(ordered[i] ?? 0, to)];
          for (const { level, n, width } of tiles) expect(tileWidth(level, n, to)).toBe(width);
          return tiles;
        });
        const full = (tiles: typeof grown): string[] =>
          tiles.filter(({ width }) => width === 256).map(({ level, n }) => `${level}/${n}`);
        const atOnce = full([...newTiles(0, ordered.at(-1) ?? 0)]);
        expect(full(grown).toSorted()).toEqual(atOnce.toSorted());
      }),
      { numRuns: 30 },
    );
  });
});
