import { digestOf, digestsIn, splitDisclosures } from './disclosures.ts';
import type { LogEntryRow } from './log-store.ts';

/** The type of the event that records what an erasure took out of other events. */
const ERASURE = 'approveErasure';

/** What is wrong with the values beside an event. */
export interface ValueProblem {
  readonly code: 'value_not_bound' | 'value_missing' | 'erasure_unfounded';
  readonly detail: string;
}

/** A value that is said to be erased, until the event is seen that says so. */
interface Waiting {
  readonly by: string;
  readonly index: number;
  readonly event_id: string;
  /** Of the shard of its event. */
  readonly origin: string;
  readonly isBody: boolean;
}

/**
 * Follows, while a log is read from its beginning, which values are missing and whether an event
 * of the log says that it erased them. Such an event comes after those that it took from.
 */
export class ErasuresSeen {
  readonly #waiting = new Map<string, Waiting>();
  #erased = 0;
  #pruned = 0;

  /** Values that are gone. */
  get erased(): number {
    return this.#erased;
  }

  /** Events whose bodies went with their whole shard. */
  get pruned(): number {
    return this.#pruned;
  }

  /**
   * Looks at one event of a shard whose body is the one that the leaf binds, or was erased.
   * @param bodyDigest the leaf's digest of the body. @param body null where it was erased.
   */
  see(
    { idx, event_id, type, disclosures, erased }: LogEntryRow,
    bodyDigest: string,
    body: Readonly<Record<string, unknown>> | null,
    origin: string,
  ): ValueProblem | undefined {
    const present = new Set(splitDisclosures(disclosures).map(digestOf));
    const bound = body === null ? [bodyDigest] : digestsIn(body);
    const stray = [...present].find((digest) => !bound.includes(digest));
    if (stray !== undefined) {
      return {
        code: 'value_not_bound',
        detail: `a value lies beside the body that the body does not bind (${stray})`,
      };
    }
    for (const digest of bound.filter((each) => !present.has(each))) {
      const said = erased?.find((each) => each.digest === digest);
      if (!said) {
        return {
          code: 'value_missing',
          detail: `a value that the body binds is gone, and no erasure says why (${digest})`,
        };
      }
      this.#erased += 1;
      const by = said.erased_by;
      const isBody = body === null;
      this.#waiting.set(nameOf(by, event_id, digest), { by, index: idx, event_id, origin, isBody });
    }
    if (body !== null) this.take({ event_id, type }, body);
    return undefined;
  }

  /** An event may be the one of an erasure: what it names is founded. */
  take(
    { event_id: by, type }: { readonly event_id: string; readonly type: string | null },
    { erased, shard }: Readonly<Record<string, unknown>>,
  ): void {
    if (type !== ERASURE) return;
    if (shard !== undefined) this.#takeShard(by, shard as { readonly origin?: unknown });
    if (!Array.isArray(erased)) return;
    for (const { event_id, digest } of erased as { event_id?: unknown; digest?: unknown }[]) {
      this.#waiting.delete(nameOf(by, String(event_id), String(digest)));
    }
  }

  #takeShard(by: string, { origin }: { readonly origin?: unknown }): void {
    for (const [name, each] of this.#waiting) {
      if (each.by !== by || each.origin !== origin) continue;
      if (each.isBody) this.#pruned += 1;
      this.#waiting.delete(name);
    }
  }

  /** Events that are said to have erased something, and were not seen. */
  get missing(): ReadonlySet<string> {
    return new Set([...this.#waiting.values()].map(({ by }) => by));
  }

  /** Values whose erasure no event of the log records, once all of it was read. */
  *unfounded(): Generator<ValueProblem & { readonly index: number; readonly event_id: string }> {
    for (const { index, event_id } of this.#waiting.values()) {
      yield {
        code: 'erasure_unfounded',
        detail: 'a value is said to be erased, and no event of the log says that it erased it',
        index,
        event_id,
      };
    }
  }
}

function nameOf(by: string, eventId: string, digest: string): string {
  return `${by} ${eventId} ${digest}`;
}
