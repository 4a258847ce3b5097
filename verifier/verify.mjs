#!/usr/bin/env node
/**
 * Verifies an export of the transparency log, or a folder with a copy of it, with Node alone:
 *
 *   node verify.mjs EXPORT.jsonl|FOLDER --vkey KEY|FILE [--checkpoint FILE]...
 *
 * It shares no code with the service that it checks. Keys and checkpoints are worth something only
 * if you have kept them yourself, or have them from somebody other than the operator: without a
 * key it says that it proved self-consistency and no more.
 *
 * A log has a shard for each year, each a log of its own with the same key under its own name: a
 * folder may have several, under `shards/YEAR`, and each but the first begins with an event that
 * says how the one before it ended.
 *
 * Formats: RFC 6962 section 2.1 (the tree), C2SP signed-note, tlog-checkpoint, tlog-cosignature
 * and tlog-tiles. Exit code 0: whole; 1: damaged; 2: it could not be read.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const FORMAT = 'umutungo-export@v1';
/** The type of the event that says what an erasure took. */
const ERASURE = 'approveErasure';
/** The type of the event that a shard begins with, which names the one before it. */
const TURN = 'turnLog';
const SHOWN = 20;

class Unreadable extends Error {}

const sha256 = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const LEAF = Buffer.from([0]);
const NODE = Buffer.from([1]);
const leafHash = (entry) => sha256(LEAF, entry);
const nodeHash = (left, right) => sha256(NODE, left, right);
const unbase64 = (text) => Buffer.from(text, 'base64');

/** A growing tree: the roots of its perfect subtrees, each with its number of leaves. */
class Tree {
  size = 0;
  parts = [];
  /** Appends a perfect subtree of `width` leaves (1: a leaf). */
  add(hash, width = 1) {
    let part = { hash, width };
    for (let last = this.parts.at(-1); last?.width === part.width; last = this.parts.at(-1)) {
      this.parts.pop();
      part = { hash: nodeHash(last.hash, part.hash), width: 2 * part.width };
    }
    this.parts.push(part);
    this.size += width;
  }
  root() {
    if (this.parts.length === 0) return sha256();
    return this.parts.map(({ hash }) => hash).reduceRight((right, left) => nodeHash(left, right));
  }
}

/** Widths of the perfect subtrees between two sizes of a tree, left to right. */
function widthsBetween(from, to) {
  const widths = [];
  for (let at = from; at < to; ) {
    let width = 1;
    while (at % (2 * width) === 0 && at + 2 * width <= to) width *= 2;
    widths.push(width);
    at += width;
  }
  return widths;
}

/** The root that an inclusion proof leads to: the path from the leaf, sides told by the recursion. */
function rootFromProof(leaf, index, size, proof) {
  const sides = [];
  for (let start = 0, end = size; end - start > 1; ) {
    let half = 1;
    while (2 * half < end - start) half *= 2;
    const left = index < start + half;
    sides.push(left);
    if (left) end = start + half;
    else start += half;
  }
  if (sides.length !== proof.length) return undefined;
  return sides
    .toReversed()
    .reduce((hash, left, i) => (left ? nodeHash(hash, proof[i]) : nodeHash(proof[i], hash)), leaf);
}

const ALGORITHMS = {
  1: { prefix: '302a300506032b6570032100', time: false },
  4: { prefix: '302a300506032b6570032100', time: true },
  6: { prefix: '30820532300b06096086480165030403110382052100', time: true },
};

function readKey(vkey) {
  const [name, id, ...rest] = vkey.trim().split('+');
  const bytes = unbase64(rest.join('+'));
  const algorithm = ALGORITHMS[bytes[0]];
  if (!algorithm) throw new Unreadable(`unknown kind of key: ${vkey.slice(0, 60)}`);
  if (keyId(name, bytes).toString('hex') !== id) {
    throw new Unreadable(`the id of the key of ${name} is wrong`);
  }
  const der = Buffer.concat([Buffer.from(algorithm.prefix, 'hex'), bytes.subarray(1)]);
  let key;
  try {
    key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch {
    console.error(`This Node has no ML-DSA-44: the second key of ${name} is not used.`);
  }
  return { name, id: keyId(name, bytes), type: bytes[0], bytes, key };
}

function keyId(name, bytes) {
  return sha256(`${name}\n`, bytes).subarray(0, 4);
}

/** Keys as the shard with an origin has them: those of another shard that is here, under its name. */
function keysOf(keys, origin, origins) {
  const own = keys.map((key) =>
    origins.includes(key.name) ? { ...key, name: origin, id: keyId(origin, key.bytes) } : key,
  );
  const twin = (key, i) =>
    own.findIndex((each) => each.name === key.name && each.id.equals(key.id)) === i;
  return own.filter(twin);
}

function u64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** What a signature of a type is over (tlog-cosignature). */
function signedMessage({ type, name }, time, checkpoint) {
  if (type === 1) return Buffer.from(checkpoint.text);
  if (type === 4) {
    return Buffer.from(`cosignature/v1\ntime ${time.readBigUInt64BE()}\n${checkpoint.text}`);
  }
  const sized = (text) =>
    Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)]);
  return Buffer.concat([
    Buffer.from('subtree/v1\n\0', 'latin1'),
    sized(name),
    time,
    sized(checkpoint.origin),
    u64(0),
    u64(checkpoint.size),
    checkpoint.root,
  ]);
}

/** A checkpoint from a signed note, and by how many of the keys it is signed. */
function readCheckpoint(note, keys) {
  const blank = note.lastIndexOf('\n\n');
  const text = note.slice(0, blank + 1);
  const [origin, size, root] = text.split('\n');
  if (blank < 0 || !/^(0|[1-9]\d*)$/.test(size ?? '')) throw new Unreadable('no checkpoint');
  const checkpoint = { origin, size: Number(size), root: unbase64(root), text };
  if (checkpoint.root.length !== 32) throw new Unreadable('no checkpoint');
  let signed = 0;
  for (const line of note
    .slice(blank + 2)
    .trimEnd()
    .split('\n')) {
    const [, name, base64 = ''] = line.split(' ');
    const bytes = unbase64(base64);
    const key = keys.find((each) => each.name === name && each.id.equals(bytes.subarray(0, 4)));
    if (!key?.key) continue;
    const { time } = ALGORITHMS[key.type];
    const at = bytes.subarray(4, 12);
    const signature = bytes.subarray(time ? 12 : 4);
    if (!verify(null, signedMessage(key, at, checkpoint), key.key, signature)) {
      return { ...checkpoint, signed: 0 };
    }
    if (name === origin) signed += 1;
  }
  return { ...checkpoint, signed };
}

/** Collects what is wrong. */
class Problems {
  all = [];
  add(code, index, detail) {
    this.all.push({ code, index, detail });
  }
  print() {
    for (const { code, index, detail, origin } of this.all.slice(0, SHOWN)) {
      const where = `${origin ? ` in ${origin}` : ''}${index === undefined ? '' : ` at index ${index}`}`;
      console.log(`DAMAGED ${code}${where}: ${detail}`);
    }
    if (this.all.length > SHOWN) console.log(`and ${this.all.length - SHOWN} more`);
  }
}

/** Compares a tree that grows with the checkpoints that somebody kept. */
class Watch {
  constructor(kept, signedSize) {
    this.waiting = kept.toSorted((a, b) => a.size - b.size);
    this.signedSize = signedSize;
  }
  meet(tree, problems) {
    while (this.waiting[0]?.size === tree.size) {
      const { size, root, signed } = this.waiting.shift();
      if (root.equals(tree.root())) continue;
      const code = signed > 0 && this.signedSize >= size ? 'split_view' : 'trusted_root_mismatch';
      problems.add(
        code,
        undefined,
        `the checkpoint of size ${size} that you kept has another root`,
      );
    }
  }
}

function progress(done, total) {
  if (!process.stderr.isTTY || done % 4096 !== 0) return;
  process.stderr.write(`\r${done} of ${total} entries checked`);
}

/** A folder in tlog-tiles form, and the shards that lie under it. */
function verifyFolders(folder, keys, keptFiles) {
  const beside = join(folder, 'shards');
  const years = existsSync(beside)
    ? readdirSync(beside).filter((name) => /^\d{4}$/.test(name))
    : [];
  const folders = [folder, ...years.map((year) => join(beside, year))];
  const originIn = (file) => readFileSync(file, 'utf8').split('\n')[0];
  const origins = folders.map((each) => originIn(join(each, 'checkpoint')));
  const shards = folders.map((each, i) => {
    const kept = keptFiles.filter((file) => {
      const origin = originIn(file);
      return origin === origins[i] || (i === 0 && !origins.includes(origin));
    });
    return verifyFolder(each, keysOf(keys, origins[i], origins), kept);
  });
  if (shards.length === 1) return { ...shards[0], note: beforeIt(shards[0].previous) };
  judgeLinks(shards);
  const problems = new Problems();
  for (const { problems: own, checkpoint } of shards) {
    problems.all.push(...own.all.map((each) => ({ ...each, origin: checkpoint.origin })));
  }
  const sum = (of) => shards.reduce((total, shard) => total + of(shard), 0);
  const newest = shards.find((shard) =>
    shards.every(({ previous }) => previous?.origin !== shard.checkpoint.origin),
  );
  return {
    problems,
    checkpoint: (newest ?? shards[0]).checkpoint,
    checked: sum(({ checked }) => checked),
    kept: sum(({ kept }) => kept),
    what: `entries of ${shards.length} shards, each linked to the one before it, the last`,
  };
}

function beforeIt(previous) {
  return previous
    ? ` It continues ${previous.origin} from ${previous.size} entries and the root ${previous.root}.`
    : '';
}

/** Each shard but the first is the only one to continue another, and says how that one ended. */
function judgeLinks(shards) {
  const continued = new Set();
  let begun = false;
  for (const { previous, problems } of shards) {
    const add = (detail) => problems.add('shard_not_linked', 0, detail);
    if (previous === null) add('the first event does not say how the shard before it ended');
    else if (previous === undefined) {
      if (begun) add('the first event names no shard before it');
      begun = true;
    } else {
      const before = shards.find(({ checkpoint }) => checkpoint.origin === previous.origin);
      if (!before) add(`${previous.origin}, which it continues, is not there`);
      else if (
        before.checkpoint.size !== previous.size ||
        before.checkpoint.root.toString('base64') !== previous.root
      ) {
        add(`${previous.origin} did not end as the first event says`);
      } else if (continued.has(previous.origin)) add(`two shards continue ${previous.origin}`);
      continued.add(previous.origin);
    }
  }
}

/** What a shard's first entry says of the one before it: undefined for none, null for a broken link. */
function previousIn(leaf, body) {
  try {
    const { type, body_sha256 } = JSON.parse(leaf);
    if (type !== TURN) return undefined;
    if (!body || sha256(body).toString('hex') !== body_sha256) return null;
    const { origin, size, root } = JSON.parse(body).previous;
    return { origin, size, root };
  } catch {
    return null;
  }
}

function verifyFolder(folder, keys, keptFiles) {
  const problems = new Problems();
  const checkpoint = readCheckpoint(readFileSync(join(folder, 'checkpoint'), 'utf8'), keys);
  const { size } = checkpoint;
  const copies = readdirSync(folder).filter((name) => /^checkpoint\.\d+$/.test(name));
  const kept = [...keptFiles, ...copies.map((name) => join(folder, name))].map((file) =>
    readCheckpoint(readFileSync(file, 'utf8'), keys),
  );
  judgeCheckpoints(checkpoint, kept, keys, problems);
  const watch = new Watch(kept, checkpoint.signed > 0 ? size : -1);
  const tree = new Tree();
  const wrong = [];
  let previous;
  watch.meet(tree, problems);
  for (let n = 0; n * 256 < size; n++) {
    const width = Math.min(256, size - n * 256);
    const entries = readBundle(folder, n, width, problems);
    const tile = readTile(folder, `tile/0/${tilePath(n)}`, width, problems);
    if (n === 0 && entries.length > 0) {
      const file = join(folder, 'previous');
      previous = previousIn(entries[0], existsSync(file) && readFileSync(file));
    }
    for (const [i, entry] of entries.entries()) {
      const hash = leafHash(entry);
      const said = tile?.subarray(32 * i, 32 * i + 32);
      if (said && !said.equals(hash)) wrong.push({ index: n * 256 + i, hash, said });
      tree.add(hash);
      watch.meet(tree, problems);
    }
    if (entries.length < width) break;
    progress(tree.size, size);
  }
  nameWrong(wrong, problems);
  if (tree.size < size) {
    problems.add('log_truncated', undefined, `entries end at ${tree.size} of ${size}`);
  } else if (!tree.root().equals(checkpoint.root)) {
    problems.add('root_mismatch', undefined, 'the entries have another root than the checkpoint');
  }
  return {
    problems,
    checkpoint,
    checked: tree.size,
    kept: kept.length,
    what: tree.size === 1 ? 'entry' : 'entries',
    previous,
  };
}

/** An entry that stands where another one belongs was moved; else it was edited. */
function nameWrong(wrong, problems) {
  const at = new Map(wrong.map(({ hash, index }) => [hash.toString('hex'), index]));
  for (const { index, said } of wrong) {
    const other = at.get(said.toString('hex'));
    if (other === undefined) problems.add('tile_hash_mismatch', index, 'the entry was edited');
    else problems.add('leaves_swapped', index, `the entry that belongs here is at ${other}`);
  }
}

function tilePath(n) {
  const digits = String(n).padStart(Math.ceil(String(n).length / 3) * 3, '0');
  const groups = digits.match(/.{3}/g);
  return groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/');
}

function readPart(folder, path, width) {
  const names = width === 256 ? [path] : [`${path}.p/${width}`, path];
  const file = names.map((name) => join(folder, name)).find((each) => existsSync(each));
  return file && readFileSync(file);
}

function readTile(folder, path, width, problems) {
  const bytes = readPart(folder, path, width);
  if (bytes && bytes.length >= 32 * width) return bytes.subarray(0, 32 * width);
  problems.add('tile_missing', undefined, path);
  return undefined;
}

function readBundle(folder, n, width, problems) {
  const bytes = readPart(folder, `tile/entries/${tilePath(n)}`, width);
  const entries = [];
  for (let at = 0; bytes && at + 2 <= bytes.length && entries.length < width; ) {
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length) break;
    entries.push(bytes.subarray(at + 2, end));
    at = end;
  }
  if (entries.length < width) {
    problems.add('bundle_missing', n * 256, `${entries.length} of ${width} entries are there`);
  }
  return entries;
}

/** An export: a line that says what it is, a line an entry, and a line that says that it is whole. */
async function verifyExport(file, keys, keptFiles) {
  const problems = new Problems();
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Infinity });
  let header;
  let checkpoint;
  let walk;
  let end;
  for await (const line of lines) {
    if (end) throw new Unreadable('there is something after the last line');
    const row = parse(line);
    if (!header) {
      if (row.format !== FORMAT) throw new Unreadable(`this is no ${FORMAT}`);
      header = row;
      checkpoint = readCheckpoint(row.checkpoint, keys);
      const kept = keptFiles.map((each) => readCheckpoint(readFileSync(each, 'utf8'), keys));
      judgeCheckpoints(checkpoint, kept, keys, problems);
      walk = startWalk(header, checkpoint, kept);
      walk.watch.meet(walk.tree, problems);
    } else if (row.end === true) {
      end = row;
    } else {
      walkRow(walk, row, problems);
      progress(walk.count, header.to - header.from);
    }
  }
  if (!header) throw new Unreadable('the file is empty');
  if (!end) problems.add('export_truncated', undefined, 'the last line is missing');
  else judgeEnd(walk, end, problems);
  if (walk) await judgeValues(file, walk.values, problems);
  const one = walk.count === 1;
  const what = header.filtered
    ? `${one ? 'entry' : 'entries'} that a filter chose`
    : `${one ? 'entry, all of its' : 'entries, all of their'} range,`;
  const { values } = walk;
  const elsewhere = values.waiting.size;
  const erased =
    values.erased === 0
      ? ''
      : ` ${values.erased} ${values.erased === 1 ? 'value is' : 'values are'} erased${elsewhere > 0 ? `, ${elsewhere} of them by events that are not in this export` : ', as its events say'}.`;
  const note = erased + beforeIt(walk.previous);
  return { problems, checkpoint, checked: walk.count, kept: keptFiles.length, what, note };
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    throw new Unreadable('a line is no JSON: the file is damaged or was broken off');
  }
}

function startWalk(header, checkpoint, kept) {
  const tree = new Tree();
  if (!header.filtered) {
    const widths = widthsBetween(0, header.from);
    if (widths.length !== header.left.length) throw new Unreadable('the left edge is wrong');
    for (const [i, width] of widths.entries()) tree.add(unbase64(header.left[i]), width);
  }
  const watch = new Watch(
    header.filtered ? [] : kept.filter(({ size }) => size >= header.from && size <= header.to),
    checkpoint.signed > 0 ? checkpoint.size : -1,
  );
  const values = { erased: 0, waiting: new Map() };
  return { header, checkpoint, tree, watch, values, count: 0, next: header.from };
}

/**
 * The values beside a body, each a disclosure whose digest the body has in `_sd` (RFC 9901). One
 * that is missing was erased: by which event the row says, and that event must say so as well,
 * where the export has it.
 */
function walkValues({ values }, { index, leaf, body, disclosures = [], erased = [] }, problems) {
  const { event_id, type, body_sha256 } = JSON.parse(leaf);
  const said = body === null ? null : JSON.parse(body);
  const present = disclosures.map((each) => sha256(each).toString('base64url'));
  const bound = said === null ? [body_sha256] : (said._sd ?? []);
  if (present.some((digest) => !bound.includes(digest))) {
    problems.add('value_not_bound', index, 'a value lies beside the body that it does not bind');
  }
  for (const digest of bound.filter((each) => !present.includes(each))) {
    const by = erased.find((each) => each.digest === digest)?.erased_by;
    if (by === undefined) {
      problems.add('value_missing', index, 'a value is gone, and no erasure says why');
    } else {
      values.erased += 1;
      values.waiting.set(`${by} ${event_id} ${digest}`, { index, by });
    }
  }
  if (type !== ERASURE || said === null) return;
  for (const each of said.erased ?? []) {
    values.waiting.delete(`${event_id} ${each.event_id} ${each.digest}`);
  }
}

/**
 * Of values that no event of the export says it erased: is the event that is named in it, then it
 * should have. The file is read again for that, which is seldom: the ids of all events would not fit.
 */
async function judgeValues(file, { waiting }, problems) {
  if (waiting.size === 0) return;
  const named = new Set([...waiting.values()].map(({ by }) => by));
  const there = new Set();
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Infinity });
  for await (const line of lines) {
    const { leaf } = parse(line);
    const id = leaf === undefined ? undefined : JSON.parse(leaf).event_id;
    if (named.has(id)) there.add(id);
  }
  for (const { index, by } of waiting.values()) {
    if (!there.has(by)) continue;
    problems.add('erasure_unfounded', index, `the event ${by} does not say that it erased this`);
  }
}

function walkRow(walk, row, problems) {
  const { index, leaf, body, proof } = row;
  const { header, checkpoint, tree, watch } = walk;
  const hash = leafHash(Buffer.from(leaf));
  walk.count += 1;
  if (body !== null && JSON.parse(leaf).body_sha256 !== sha256(Buffer.from(body)).toString('hex')) {
    problems.add('body_digest_mismatch', index, 'the body is not the one that the leaf binds');
  } else walkValues(walk, row, problems);
  if (index === 0) {
    walk.previous = previousIn(leaf, body);
    if (walk.previous === null) {
      problems.add('shard_not_linked', 0, 'it does not say how the shard before it ended');
    }
  }
  if (header.filtered) {
    if (index < walk.next || index >= header.to) problems.add('index_out_of_order', index, 'range');
    walk.next = index + 1;
    const root = rootFromProof(hash, index, checkpoint.size, proof.map(unbase64));
    if (!root?.equals(checkpoint.root)) {
      problems.add('proof_mismatch', index, 'the entry is not in the tree of the checkpoint');
    }
    return;
  }
  if (index !== walk.next) problems.add('index_gap', index, `${walk.next} was expected`);
  walk.next = index + 1;
  tree.add(hash);
  watch.meet(tree, problems);
}

function judgeEnd({ header, checkpoint, tree, count }, end, problems) {
  if (end.count !== count) {
    problems.add(
      'export_truncated',
      undefined,
      `${count} entries, the last line counts ${end.count}`,
    );
    return;
  }
  if (header.filtered) return;
  if (count !== header.to - header.from) {
    problems.add('export_truncated', undefined, `${count} of ${header.to - header.from} entries`);
    return;
  }
  const widths = widthsBetween(header.to, checkpoint.size);
  if (widths.length !== end.right.length) throw new Unreadable('the right edge is wrong');
  for (const [i, width] of widths.entries()) tree.add(unbase64(end.right[i]), width);
  if (!tree.root().equals(checkpoint.root)) {
    problems.add('root_mismatch', undefined, 'the entries are not those under the checkpoint');
  }
}

function judgeCheckpoints(checkpoint, kept, keys, problems) {
  if (keys.length > 0 && checkpoint.signed === 0) {
    problems.add('checkpoint_signature', undefined, 'no key that you gave has signed it');
  }
  for (const { size, origin, signed } of kept) {
    if (origin !== checkpoint.origin) problems.add('origin_mismatch', undefined, origin);
    if (keys.length > 0 && signed === 0) {
      problems.add('checkpoint_signature', undefined, `the one of size ${size} that you kept`);
    }
    if (size > checkpoint.size) {
      const detail = `it has ${checkpoint.size} entries, the checkpoint that you kept counts ${size}`;
      problems.add('log_truncated', undefined, detail);
    }
  }
}

function readArguments(words) {
  const given = { from: undefined, keys: [], checkpoints: [] };
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    if (word === '--vkey' || word === '--checkpoint') {
      const value = words[++i];
      if (value === undefined) throw new Unreadable(`${word} takes a value`);
      if (word === '--checkpoint') given.checkpoints.push(value);
      else {
        const text = value.includes('+') ? value : readFileSync(value, 'utf8');
        given.keys.push(...text.trim().split('\n').map(readKey));
      }
    } else if (word.startsWith('-') || given.from !== undefined) {
      throw new Unreadable(
        'usage: node verify.mjs EXPORT.jsonl|FOLDER --vkey KEY|FILE [--checkpoint FILE]...',
      );
    } else given.from = word;
  }
  if (given.from === undefined) throw new Unreadable('which export, or which folder?');
  return given;
}

async function main() {
  const { from, keys, checkpoints } = readArguments(process.argv.slice(2));
  const work = statSync(from).isDirectory() ? verifyFolders : verifyExport;
  const {
    problems,
    checkpoint,
    checked,
    kept,
    what,
    note = '',
  } = await work(from, keys, checkpoints);
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  problems.print();
  if (problems.all.length > 0) return 1;
  const size = `${checkpoint.origin}, size ${checkpoint.size}`;
  const proof =
    keys.length === 0
      ? 'self-consistent only: give --vkey with a key that you kept'
      : `signed by the key given${kept > 0 ? `, extends the checkpoint${kept === 1 ? '' : 's'} given` : ''}`;
  console.log(`OK ${checked} ${what} under the checkpoint of ${size}: ${proof}.${note}`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
