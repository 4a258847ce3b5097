import { describe, expect, test } from 'vitest';
import { signCheckpoint } from '../../src/tlog/checkpoint.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { formatProofFile, parseProofFile, verifyProofFile } from '../../src/tlog/proof-file.ts';
import { inclusionProof } from '../../src/tlog/prove.ts';
import { base64, testLeaves, testSigner, tilesOf, treeRoot } from './reference.ts';

const log = testSigner('log.example/2026');
const leaves = testLeaves(300);
const leaf = leafHash(Buffer.from('entry 77'));
const proof = await inclusionProof(77, 300, tilesOf(leaves).readTile);
const checkpoint = signCheckpoint({ origin: log.name, size: 300, root: treeRoot(leaves) }, [log]);
const file = formatProofFile({ index: 77, proof, checkpoint });

describe('proof files', () => {
  test('have the lines of the tlog-proof specification', () => {
    const hashes = proof.map(base64).join('\n');
    expect(file).toBe(`c2sp.org/tlog-proof@v1\nindex 77\n${hashes}\n\n${checkpoint}`);
    const extra = formatProofFile({ extra: Buffer.from('more'), index: 0, proof: [], checkpoint });
    expect(extra).toBe(`c2sp.org/tlog-proof@v1\nextra bW9yZQ==\nindex 0\n\n${checkpoint}`);
  });

  test('give back their parts, with and without extra data and hashes', () => {
    for (const parts of [
      { index: 77, proof, checkpoint },
      { extra: Buffer.from('more'), index: 2 ** 53 - 1, proof: [], checkpoint },
    ]) {
      expect(parseProofFile(formatProofFile(parts))).toEqual(parts);
    }
  });

  test('prove the entry to anyone with the key of the log', () => {
    expect(verifyProofFile(file, leaf, [log])).toMatchObject({
      ok: true,
      index: 77,
      checkpoint: { origin: log.name, size: 300 },
    });
  });

  test('do not prove anything else, and say why', () => {
    const other = testSigner('log.example/2026', 9);
    const [first = ''] = proof.map(base64);
    for (const [text, entry, verifier, reason] of [
      [file, leafHash(Buffer.from('entry 78')), log, 'root_mismatch'],
      [file, leaf, other, 'no_verified_signature'],
      [file.replace('index 77', 'index 76'), leaf, log, 'root_mismatch'],
      [file.replace('index 77', 'index 300'), leaf, log, 'out_of_range'],
      [file.replace(`${first}\n`, ''), leaf, log, 'wrong_length'],
      [file.replace('\n300\n', '\n299\n'), leaf, log, 'invalid_signature'],
      [file.slice(0, -1), leaf, log, 'malformed_note'],
      ['', leaf, log, 'malformed_proof'],
    ] as const) {
      expect(verifyProofFile(text, entry, [verifier])).toEqual({ ok: false, reason });
    }
  });

  test('are refused when a line is missing, out of place or spelt differently', () => {
    const [hash = ''] = proof.map(base64);
    for (const text of [
      file.replace('@v1', '@v2'),
      file.replace('index 77', 'index 077'),
      file.replace('index 77', 'index -1'),
      file.replace('index 77', 'index'),
      file.replace('index 77\n', ''),
      file.replace('index 77', 'index 77\nextra bW9yZQ=='),
      file.replace('index 77', 'extra bW9yZQ\nindex 77'),
      file.replace('index 77', 'extra bW9yZQ==\nextra bW9yZQ==\nindex 77'),
      file.replace(hash, hash.slice(1)),
      file.replace(hash, `${hash} `),
      file.replaceAll('\n', '\r\n'),
      file.replace('index 77', `index 77${`\n${hash}`.repeat(60)}`),
      file.replace('\n\n', '\n'),
    ]) {
      expect(text).not.toBe(file);
      expect(verifyProofFile(text, leaf, [log])).toEqual({ ok: false, reason: 'malformed_proof' });
    }
  });
});
