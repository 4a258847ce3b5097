import { notFound } from '../errors.ts';
import type { Handlers } from '../operation.ts';
import type { PackDocument } from '../pdp/document.ts';
import { overseesAll } from '../principal.ts';
import type { AccessWriter } from './access.ts';
import { type ProcessingRecord, recordOfProcessing } from './record-of-processing.ts';

export interface RecordRoutes extends AccessWriter {
  /** The record as a page, and the headers that pages have. */
  readonly recordPage: (
    record: ProcessingRecord,
    pack: PackDocument,
    language: string,
  ) => Promise<{ readonly body: string; readonly headers: Readonly<Record<string, string>> }>;
}

export function recordHandlers(deps: RecordRoutes): Handlers<'getRecordOfProcessing'> {
  return {
    getRecordOfProcessing: async ({ principal, path, query }) => {
      const { format = 'json', language = 'en', dataset } = query;
      if (!overseesAll(principal) && principal.organisation !== path.id) throw notFound();
      const { record, pack } = await recordOfProcessing(deps, { organisation: path.id, dataset });
      if (format === 'json') return { status: 200, body: record };
      return { status: 200, ...(await deps.recordPage(record, pack, language)) };
    },
  };
}
