import { encodeBase64 } from '../tlog/encoding.ts';
import { canonicalText } from './canonical.ts';
import {
  checkpointIn,
  columnsOf,
  type Export,
  type ExportForm,
  type ExportHeader,
  type ExportRow,
} from './export-form.ts';

const COLUMNS = [
  'index',
  'event_id',
  'time',
  'type',
  'actor',
  'role',
  'outcome',
  'subject_ids',
  'rules',
  'leaf_hash',
  'body',
] as const;

/** RFC 4180, for people. Lines that begin with "#" say what it is, and that it is whole. */
export const CSV: ExportForm = {
  mediaType: 'text/csv; charset=utf-8',
  extension: 'csv',
  resumable: true,
  proves: false,
  async *write({ header, resumed, rows }: Export) {
    if (resumed === undefined) yield headOf(header);
    let count = resumed ?? 0;
    for await (const row of rows) {
      count += 1;
      yield `${cellsOf(row).map(cell).join(',')}\r\n`;
    }
    yield `# end, ${count} rows\r\n`;
  },
};

function headOf(header: ExportHeader): string {
  const { format, origin, from, to, filter, complete, checkpoint, signed_at } = header;
  const { size, root } = checkpointIn(checkpoint);
  const under = `the checkpoint of size ${size} and root ${encodeBase64(root)}`;
  const lines = [
    `# ${format} of ${origin}: entries ${from} up to ${to} under ${under}`,
    `# signed ${signed_at}; filter ${JSON.stringify(filter)}; ${complete}`,
    COLUMNS.join(','),
  ];
  return lines.map((line) => `${line}\r\n`).join('');
}

function cellsOf(row: ExportRow): string[] {
  const event = columnsOf(row);
  return [
    String(row.index),
    event.event_id,
    event.time,
    event.type,
    event.actor,
    event.role,
    event.outcome,
    event.subject_ids.join(' '),
    [...event.deny, ...event.review, ...event.obligations].join(' '),
    row.leaf_hash,
    canonicalText(event.body),
  ];
}

/** Spreadsheets take what begins like a formula for one. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
