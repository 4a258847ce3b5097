import type { Tx } from '../db/connection.ts';
import { digestOf, joinDisclosures, readDisclosure, splitDisclosures } from './disclosures.ts';
import { readLeaf } from './event.ts';
import { type LostTerms, removeTerms } from './search-store.ts';
import { type Erased, type EventRow, insertErased, keepOnly } from './store.ts';
import { termsOf } from './terms.ts';

/** Values of one event that are to go. */
export interface Target {
  readonly event: EventRow;
  /** Where they are in the body; undefined: the whole body, with all that lies beside it. */
  readonly paths: readonly string[] | undefined;
}

/** A value that goes: the event, where it is in its body, and what binds it there. */
export type Taken = Pick<Erased, 'digest' | 'path'> & { readonly event_id: string };

/** What of the targets is still there, by its digests. */
export function takenFrom(targets: readonly Target[]): Taken[] {
  return targets.flatMap(({ event, paths }) => {
    const { event_id, leaf, body } = event;
    const beside = splitDisclosures(event.disclosures).flatMap((text) => {
      const path = readDisclosure(text)?.path ?? null;
      const goes = paths === undefined || (path !== null && paths.includes(path));
      return goes ? [{ event_id, digest: digestOf(text), path }] : [];
    });
    if (paths !== undefined || body === null) return beside;
    // The body's own digest stands for all that it has: its values are gone with it.
    return [{ event_id, digest: String(readLeaf(leaf)['body_sha256']), path: null }];
  });
}

/**
 * Takes values out of the record and of what is searched, in the caller's transaction, which has
 * locked the events and the index and has recorded the event `erased_by` that names all of them.
 * Salts go with the values: what is left binds them and says nothing of them.
 */
export async function erase(
  tx: Tx,
  targets: readonly Target[],
  by: Pick<Erased, 'erased_at' | 'erased_by'>,
): Promise<void> {
  const taken = takenFrom(targets);
  await insertErased(
    tx,
    taken.map((each) => ({ ...each, ...by })),
  );
  const digests = new Set(taken.map(({ digest }) => digest));
  const lost: LostTerms[] = [];
  const remaining = targets.map(({ event, paths }) => {
    const kept = splitDisclosures(event.disclosures).filter((text) => !digests.has(digestOf(text)));
    const body = event.body !== null && paths !== undefined;
    const disclosures = body && event.disclosures !== null ? joinDisclosures(kept) : null;
    if (event.position !== null) {
      const left = termsOf({ ...event, body: body ? event.body : null, disclosures });
      const terms = [...termsOf(event)].filter((term) => !left.has(term));
      lost.push({ position: event.position, terms });
    }
    return { event_id: event.event_id, body, disclosures };
  });
  await keepOnly(tx, remaining);
  await removeTerms(tx, lost);
}
