import { createReadStream } from 'node:fs';
import { copyFile, open, rename, rm, stat, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { checkpointIn, type ExportHeader } from '../audit/export-form.ts';
import { EXPORT_FORMS, type ExportFormat } from '../audit/export-forms.ts';
import { counted } from '../counted.ts';
import { readHeader, writeAs } from './export-file.ts';
import { progressLine } from './progress.ts';

export interface LogExportOptions {
  readonly out: string;
  readonly format: ExportFormat;
  readonly token?: string;
  /** Parameters of the API, `name=value`. */
  readonly filter?: readonly string[];
}

/** What is there of an export that was broken off. */
interface Part {
  readonly header: ExportHeader;
  readonly rows: number;
  readonly nextIndex: number;
  /** Length of the whole lines, in bytes. */
  readonly bytes: number;
}

const VERIFIER = join(import.meta.dirname, '../../verifier/verify.mjs');

/**
 * Fetches events into a file, with the verifier beside it. JSONL, which has the proofs, is what is
 * fetched; any other form is made of it here, and it stays beside it as `FILE.jsonl`. What was
 * broken off lies in `FILE.part`, and the same command goes on: with the rest of the JSONL, or, as it
 * says, with the other form from its beginning, without fetching anything again (a Parquet file has
 * its index at its end, and is nothing without it). The file itself is whole or not there. 0 done,
 * 2 no answer.
 */
export async function runLogExport(api: string, options: LogExportOptions): Promise<number> {
  const { out, format, token = '', filter = [] } = options;
  if (await isThere(out)) throw new Error(`${out} is there already.`);
  const asked = new URLSearchParams(filter.map(nameAndValue));
  const jsonl = format === 'jsonl' ? out : `${out}.jsonl`;
  const known = (await isThere(jsonl)) ? await readHeader(jsonl) : undefined;
  if (known) sameExport(known, asked, jsonl);
  else await fetchWhole(api, token, asked, jsonl);
  if (format !== 'jsonl') {
    if (await isThere(`${out}.part`)) {
      console.log(
        `${out}.part: only JSONL goes on where it was broken off. The ${format} is written anew from ${jsonl}; nothing is fetched again.`,
      );
    }
    await writeAs(EXPORT_FORMS[format], jsonl, `${out}.part`);
    await rename(`${out}.part`, out);
  }
  await copyFile(VERIFIER, join(dirname(out), 'verify.mjs'));
  console.log(`${out}: whole. Verify it with node verify.mjs ${jsonl} --vkey KEY`);
  return 0;
}

async function isThere(file: string): Promise<boolean> {
  return (await stat(file).catch(() => undefined)) !== undefined;
}

async function fetchWhole(
  api: string,
  token: string,
  asked: URLSearchParams,
  out: string,
): Promise<void> {
  const partFile = `${out}.part`;
  const part = await readPart(partFile);
  const url = new URL(`${api.replace(/\/$/, '')}/v1/audit/export`);
  for (const [name, value] of asked) url.searchParams.set(name, value);
  if (part) {
    sameExport(part.header, asked, partFile);
    await truncate(partFile, part.bytes);
    url.searchParams.set('shard', String(part.header.shard));
    url.searchParams.set('size', String(checkpointIn(part.header.checkpoint).size));
    url.searchParams.set('end', String(part.header.to));
    url.searchParams.set('resume_row', String(part.rows));
    url.searchParams.set('resume_index', String(part.nextIndex));
  } else {
    await rm(partFile, { force: true });
  }
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${await response.text()}`);
  const count = await append(partFile, response, part);
  await rename(partFile, out);
  console.log(`${out}: ${counted(count, 'event')}, whole.`);
}

/** Appends the answer as it comes; the number of events that the last line counts. */
async function append(file: string, response: Response, part: Part | undefined): Promise<number> {
  const progress = progressLine('entries exported');
  await using handle = await open(file, 'a');
  const decoder = new TextDecoder();
  let header = part?.header;
  let rest = '';
  let last = '';
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    await handle.write(chunk);
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    last = lines.at(-1) ?? last;
    header ??= lines[0] === undefined ? undefined : (JSON.parse(lines[0]) as ExportHeader);
    const at = indexIn(last);
    if (header && at !== undefined) progress(at + 1 - header.from, header.to - header.from);
  }
  await handle.sync();
  progress(undefined);
  const end = (last === '' ? {} : JSON.parse(last)) as { end?: boolean; count?: number };
  if (end.end !== true || rest !== '') {
    throw new Error(`The export was broken off; the same command goes on with ${file}.`);
  }
  return end.count ?? 0;
}

function indexIn(line: string): number | undefined {
  const index = /^\{"index":(\d+)/.exec(line)?.[1];
  return index === undefined ? undefined : Number(index);
}

async function readPart(file: string): Promise<Part | undefined> {
  const size = (await stat(file).catch(() => undefined))?.size ?? 0;
  const lines = createInterface({
    input: size > 0 ? createReadStream(file) : Readable.from([]),
    crlfDelay: Infinity,
  });
  let header: ExportHeader | undefined;
  let [rows, nextIndex, bytes] = [0, 0, 0];
  for await (const line of lines) {
    const end = bytes + Buffer.byteLength(line) + 1;
    // A line that was broken off, or the last one of a file that was not renamed: it comes again.
    if (end > size || (header && indexIn(line) === undefined)) break;
    bytes = end;
    if (header) {
      rows += 1;
      nextIndex = (indexIn(line) ?? 0) + 1;
    } else {
      header = JSON.parse(line) as ExportHeader;
      nextIndex = header.from;
    }
  }
  return header && { header, rows, nextIndex, bytes };
}

/** Of a part, the same export has to be asked for again; its checkpoint need not be said. */
function sameExport(
  { shard, from, to, filter, checkpoint }: ExportHeader,
  asked: URLSearchParams,
  file: string,
): void {
  const before = new URLSearchParams(
    Object.entries(filter).map(([name, value]): [string, string] => [name, String(value)]),
  );
  const now = new URLSearchParams(asked);
  for (const name of ['shard', 'start', 'end', 'size']) now.delete(name);
  before.sort();
  now.sort();
  if (now.toString() !== before.toString()) {
    throw new Error(`${file} is of another filter (${JSON.stringify(filter)}): remove it first.`);
  }
  const { size } = checkpointIn(checkpoint);
  const range = { shard, start: from, end: to, size };
  const otherwise = { shard, start: 0, end: size, size };
  for (const name of ['shard', 'start', 'end', 'size'] as const) {
    if (Number(asked.get(name) ?? otherwise[name]) !== range[name]) {
      throw new Error(`${file} is of another range (${name} ${range[name]}): remove it first.`);
    }
  }
}

function nameAndValue(text: string): [string, string] {
  const [name = '', ...rest] = text.split('=');
  if (rest.length === 0) throw new Error(`--filter ${text}: write it as name=value`);
  if (name === 'format') throw new Error('The form is said by --format.');
  return [name, rest.join('=')];
}
