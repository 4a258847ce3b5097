import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Export, ExportForm, ExportHeader, ExportRow } from '../audit/export-form.ts';
import { progressLine } from './progress.ts';

/** The first line of a JSONL export, which may be the only one that is there. */
export async function readHeader(file: string): Promise<ExportHeader | undefined> {
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity }))
    return JSON.parse(text) as ExportHeader;
  return undefined;
}

/**
 * Writes a whole JSONL export in another form, row by row, and returns how many events it has.
 * @throws Error where the JSONL is not whole: what was written so far is no export then.
 */
export async function writeAs(form: ExportForm, jsonl: string, out: string): Promise<number> {
  const header = await readHeader(jsonl);
  if (!header) throw new Error(`${jsonl} is empty.`);
  const progress = progressLine(`entries written as ${form.extension}`);
  let [rows, right]: [number, readonly string[]] = [0, []];
  async function* all(): AsyncGenerator<ExportRow> {
    for await (const said of linesAfterFirst(jsonl)) {
      if ('index' in said) {
        rows += 1;
        progress(rows, header && header.to - header.from);
        yield said;
      } else if (said.count === rows) {
        ({ right } = said);
        return;
      } else break;
    }
    throw new Error(`${jsonl} is not whole.`);
  }
  const exported: Export = { header, rows: all(), right: () => right };
  await using handle = await open(out, 'w');
  for await (const part of form.write(exported)) {
    await handle.write(typeof part === 'string' ? Buffer.from(part, 'utf8') : part);
  }
  await handle.sync();
  progress(undefined);
  return rows;
}

type Line = ExportRow | { readonly count: number; readonly right: readonly string[] };

async function* linesAfterFirst(file: string): AsyncGenerator<Line> {
  let first = true;
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Infinity });
  for await (const text of lines) {
    if (!first) yield JSON.parse(text) as Line;
    first = false;
  }
}
