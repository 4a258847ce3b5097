import type { Db } from '../db/connection.ts';
import { type PermittedRequest, readPermitted } from './store.ts';

export interface AccessOnDay {
  readonly requests: readonly PermittedRequest[];
  /** Where to go on; undefined when everything has been looked at. */
  readonly next: string | undefined;
}

/** Requests that are looked at for one page: of those that ended before the day there may be many. */
const MAX_EXAMINED = 500;

/**
 * Who had access to a dataset on a day: the requests that were permitted by its end and had not
 * ended before it, the newest first. At most `limit`; may be fewer although there are more.
 */
export async function accessOnDay(
  db: Db,
  asked: {
    readonly dataset: string;
    /** `YYYY-MM-DD` in the time zone `zone`. */
    readonly on: string;
    readonly zone: string;
    readonly before: string | undefined;
  },
  limit: number,
): Promise<AccessOnDay> {
  const examined = await readPermitted(db, asked, MAX_EXAMINED);
  const requests: PermittedRequest[] = [];
  for (const request of examined) {
    // Dates of one length compare as they sort.
    if (request.until === null || request.until >= asked.on) requests.push(request);
    if (requests.length === limit) return { requests, next: request.id };
  }
  const next = examined.length === MAX_EXAMINED ? examined.at(-1)?.id : undefined;
  return { requests, next };
}
