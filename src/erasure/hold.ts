import type { EventRow } from '../audit/store.ts';
import type { HoldScope } from '../db/schema.ts';

/** Does a hold cover an event? @param pseudonym as it stands in leaves. */
export function holds(
  { dataset, project, person, entries }: HoldScope,
  event: Pick<EventRow, 'subject_ids' | 'actor' | 'idx' | 'year' | 'log_id'>,
  pseudonym: (actor: string) => string,
): boolean {
  if (entries) {
    const { start, end = Infinity, shard } = entries;
    const { idx, year, log_id } = event;
    // What has no index yet may get one in the range.
    if (idx === null || year === null || log_id === null) return true;
    const later = shard === undefined ? log_id - 1 : year - shard;
    return later === 0 ? idx >= start && idx < end : later > 0 && end === Infinity;
  }
  if (person !== undefined) return event.actor === pseudonym(person);
  return event.subject_ids.includes(dataset ?? project ?? '');
}

/** Does a hold cover the consent records of a person about a dataset? */
export function holdsConsent(
  { dataset, person, project, entries }: HoldScope,
  consent: { readonly dataset: string; readonly subject: string },
): boolean {
  if (project !== undefined || entries) return false;
  return dataset === consent.dataset || person === consent.subject;
}
