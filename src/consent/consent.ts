import type { ConsentStatus } from '../db/schema.ts';

/** What one pseudonymous person said about one purpose. */
export interface ConsentRecord {
  readonly purpose: string;
  readonly subject: string;
  readonly status: ConsentStatus;
  /** When the person spoke; of a withdrawal, when they applied. RFC 3339. */
  readonly at: string;
  readonly by_parent: boolean;
  readonly covers_transfer_abroad: boolean;
}

/** Counts of people for one dataset and purpose. */
export interface ConsentTotal {
  readonly purpose: string;
  readonly given: number;
  readonly refused: number;
  readonly withdrawn: number;
  readonly given_by_parent: number;
  readonly given_covering_transfer: number;
  readonly last_withdrawal_at: string | null;
}

/**
 * 100 × (given + withdrawn) / subject_count. Null, which is unknown, while the count is unknown or
 * 0, and when there are more people on record than the count says: then one of the two is wrong.
 */
export function coveragePct(
  { given, refused, withdrawn }: ConsentTotal,
  subjectCount: unknown,
): number | null {
  if (typeof subjectCount !== 'number' || given + refused + withdrawn > subjectCount) return null;
  return subjectCount === 0 ? null : (100 * (given + withdrawn)) / subjectCount;
}

/** Every valid consent covers transfer abroad, and there is one. */
export function transferCovered({ given, given_covering_transfer }: ConsentTotal): boolean {
  return given > 0 && given_covering_transfer === given;
}

/**
 * `dataset.consent` for a request with this purpose. Where the dataset has records they decide,
 * whatever the steward declared; the model and whether withdrawn people can be filtered out are
 * declared. A purpose without records has coverage 0.
 */
export function consentFacts(
  declared: unknown,
  totals: readonly ConsentTotal[],
  { purpose, subjectCount }: { readonly purpose: unknown; readonly subjectCount: unknown },
): unknown {
  if (totals.length === 0) return declared;
  const { model, withdrawal_filterable } = (declared ?? {}) as Record<string, unknown>;
  const total = totals.find((each) => each.purpose === purpose);
  return {
    ...(model === undefined ? {} : { model }),
    ...(withdrawal_filterable === undefined ? {} : { withdrawal_filterable }),
    purposes: totals.filter(({ given }) => given > 0).map((each) => each.purpose),
    coverage_pct: total ? coveragePct(total, subjectCount) : 0,
    withdrawn_count: total?.withdrawn ?? 0,
    last_withdrawal_at: total?.last_withdrawal_at ?? null,
    transfer_abroad_covered: total ? transferCovered(total) : false,
  };
}
