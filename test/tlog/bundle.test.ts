import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeEntryBundle, encodeEntryBundle, MAX_ENTRY_SIZE } from '../../src/tlog/bundle.ts';
import { vectorText } from './reference.ts';

interface BundleCase {
  desc: string;
  hex: string;
  ok: boolean;
  n?: number;
}

test("bundles are read and refused as by Tessera's decoder", () => {
  const { entryBundle }: { entryBundle: BundleCase[] } = JSON.parse(
    vectorText('tessera-layout/paths.json'),
  );
  expect(entryBundle).toHaveLength(4);
  for (const { desc, hex, ok, n } of entryBundle) {
    const entries = decodeEntryBundle(Buffer.from(hex, 'hex'));
    expect([desc, entries?.length]).toEqual([desc, ok ? n : undefined]);
  }
});

test('a bundle gives back exactly its entries, and no proper prefix of it passes for the whole', () => {
  const entries = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 });
  fc.assert(
    fc.property(entries, fc.nat(), (list, cut) => {
      const bytes = encodeEntryBundle(list);
      const decoded = decodeEntryBundle(bytes)?.map((entry) => Uint8Array.from(entry));
      expect(decoded).toEqual(list);
      if (bytes.length === 0) return;
      const shorter = decodeEntryBundle(bytes.subarray(0, cut % bytes.length));
      expect((shorter ?? []).length).toBeLessThan(list.length);
    }),
    { numRuns: 100 },
  );
});

const emptyEntries = (count: number): Uint8Array[] =>
  Array.from({ length: count }, () => new Uint8Array());

test('a bundle holds 256 entries of 65,535 bytes and no more', () => {
  const longest = new Uint8Array(MAX_ENTRY_SIZE).fill(1);
  expect(decodeEntryBundle(encodeEntryBundle([longest]))?.[0]?.length).toBe(65_535);
  expect(() => encodeEntryBundle([new Uint8Array(MAX_ENTRY_SIZE + 1)])).toThrow(RangeError);
  expect(decodeEntryBundle(encodeEntryBundle(emptyEntries(256)))).toHaveLength(256);
  expect(() => encodeEntryBundle(emptyEntries(257))).toThrow(RangeError);
  expect(decodeEntryBundle(new Uint8Array(257 * 2))).toBeUndefined();
});
