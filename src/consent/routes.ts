import type { Db } from '../db/connection.ts';
import { notFound, ServiceError } from '../errors.ts';
import type { Handlers } from '../operation.ts';
import { DEFAULT_LIMIT, readCursor, toPage } from '../paging.ts';
import { overseesAll, type Principal } from '../principal.ts';
import { type ConsentWriter, recordConsents } from './commands.ts';
import { type ConsentRecord, type ConsentTotal, coveragePct, transferCovered } from './consent.ts';
import { readRecords, readTotals } from './store.ts';

type ConsentOperation = 'listConsentRecords' | 'recordConsent' | 'recordConsents' | 'getConsent';

/** Of a dataset, what this register must know: who publishes it and how many people are in it. */
export interface ConsentSubject {
  readonly id: string;
  readonly publisher: string;
  readonly subjectCount: unknown;
}

export interface ConsentRoutes extends ConsentWriter {
  readonly datasetOf: (db: Db, id: string) => Promise<ConsentSubject | undefined>;
}

export function consentHandlers(deps: ConsentRoutes): Handlers<ConsentOperation> {
  const write = async (
    principal: Principal,
    id: string,
    type: 'recordConsent' | 'recordConsents',
    input: readonly Partial<ConsentRecord>[],
  ) => {
    const subject = await own(deps, principal, id);
    if (!(principal.role === 'steward'))
      throw new ServiceError('forbidden', 'Only stewards record consent.');
    const records = input.map(
      (each) => ({ by_parent: false, covers_transfer_abroad: false, ...each }) as ConsentRecord,
    );
    const recorded = await recordConsents(deps, principal, type, { dataset: id, records });
    return {
      status: 200,
      body: { ...(await summary(deps, subject)), ...recorded, recorded: records.length },
    } as const;
  };
  return {
    listConsentRecords: async ({ principal, path, query }) => {
      const { id } = await own(deps, principal, path.dataset);
      const limit = query.limit ?? DEFAULT_LIMIT;
      const [purpose, subject] = readCursor(query.cursor, ['text', 'text']) ?? [];
      const after =
        purpose === undefined || subject === undefined ? undefined : { purpose, subject };
      const rows = await readRecords(
        deps.db,
        id,
        { purpose: query.purpose, status: query.status, after },
        limit + 1,
      );
      return {
        status: 200,
        body: toPage(
          rows,
          limit,
          (row) => row,
          (row) => [row.purpose, row.subject],
        ),
      };
    },
    recordConsent: ({ principal, path, body }) =>
      write(principal, path.dataset, 'recordConsent', [body]),
    recordConsents: ({ principal, path, body }) =>
      write(principal, path.dataset, 'recordConsents', body.records),
    getConsent: async ({ principal, path }) => ({
      status: 200,
      body: await summary(deps, await own(deps, principal, path.dataset)),
    }),
  };
}

/** Consent is for the publisher's stewards, auditors and the authority. */
async function own(deps: ConsentRoutes, principal: Principal, id: string): Promise<ConsentSubject> {
  const subject = await deps.datasetOf(deps.db, id);
  if (!subject || !(overseesAll(principal) || principal.organisation === subject.publisher))
    throw notFound();
  return subject;
}

async function summary({ db }: ConsentRoutes, { id, subjectCount }: ConsentSubject) {
  const totals = await readTotals(db, [id]);
  return { dataset: id, purposes: totals.map((total) => show(total, subjectCount)) };
}

function show(total: ConsentTotal, subjectCount: unknown) {
  const { purpose, given, refused, withdrawn, given_by_parent, last_withdrawal_at } = total;
  return {
    purpose,
    given,
    refused,
    withdrawn,
    by_parent: given_by_parent,
    coverage_pct: coveragePct(total, subjectCount),
    last_withdrawal_at,
    transfer_abroad_covered: transferCovered(total),
  };
}
