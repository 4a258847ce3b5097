import type { Export, ExportForm } from './export-form.ts';

/** The reference form, which `verifier/verify.mjs` verifies; all others are made from it. */
export const JSONL: ExportForm = {
  mediaType: 'application/jsonl',
  extension: 'jsonl',
  resumable: true,
  proves: true,
  async *write({ header, resumed, rows, right }: Export) {
    if (resumed === undefined) yield line(header);
    let count = resumed ?? 0;
    for await (const row of rows) {
      count += 1;
      yield line(row);
    }
    yield line({ end: true, count, right: right() });
  },
};

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
