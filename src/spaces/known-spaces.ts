import type { Db } from '../db/connection.ts';
import { LiveSpace } from './live-space.ts';
import { readEntitiesSince, readSpace, readSpaceState } from './store.ts';

/** How old what an answer rests on may be: another replica's change counts here after so long. */
const FRESH_MS = 1_000;
/** Entities in memory, of all spaces together; those asked least recently go first. */
const MOST = 1_000_000;

interface Entry {
  readonly live: LiveSpace;
  /** When it was last as new as the database, by the process's own clock. */
  seen: number;
}

/**
 * Spaces in memory, as new as a second ago. A question that comes later looks whether anything was
 * changed, and fails where the database cannot be asked: nobody is answered from what may be over.
 */
export class KnownSpaces {
  readonly #db: Db;
  readonly #clock: () => Date;
  readonly #entries = new Map<string, Entry>();
  /** Looks that are under way: callers that come meanwhile wait for the same one. */
  readonly #looks = new Map<string, Promise<LiveSpace | undefined>>();

  constructor({ db, clock }: { readonly db: Db; readonly clock: () => Date }) {
    this.#db = db;
    this.#clock = clock;
  }

  /** The space of this id, where there is one and it answers. */
  get(id: string): LiveSpace | Promise<LiveSpace | undefined> {
    const entry = this.#entries.get(id);
    if (entry && performance.now() - entry.seen < FRESH_MS) return entry.live;
    const under = this.#looks.get(id);
    if (under) return under;
    const look = this.#look(id, entry?.live).finally(() => this.#looks.delete(id));
    this.#looks.set(id, look);
    return look;
  }

  /** After a change that was made here: the next question sees it. */
  async changed(id: string): Promise<void> {
    await this.#looks.get(id)?.catch(() => undefined);
    const entry = this.#entries.get(id);
    if (entry) entry.seen = Number.NEGATIVE_INFINITY;
  }

  async #look(id: string, known: LiveSpace | undefined): Promise<LiveSpace | undefined> {
    const seen = performance.now();
    const state = await readSpaceState(this.#db, id);
    const isThere = state?.status === 'active';
    const live = isThere && known?.space.version === state.version ? known : undefined;
    const next = live ?? (isThere ? await this.#load(id, known) : undefined);
    this.#entries.delete(id);
    if (!next || !state) return undefined;
    if (next.entityRevision < state.entity_revision) {
      next.learn(await readEntitiesSince(this.#db, id, next.entityRevision));
      // What was taken out before it was ever here leaves no row.
      next.entityRevision = Math.max(next.entityRevision, state.entity_revision);
    }
    this.#entries.set(id, { live: next, seen });
    this.#trim();
    return next;
  }

  async #load(id: string, before: LiveSpace | undefined): Promise<LiveSpace | undefined> {
    const space = await readSpace(this.#db, id);
    return space && new LiveSpace(space, this.#clock().getTime(), before);
  }

  #trim(): void {
    let size = 0;
    for (const { live } of this.#entries.values()) size += live.size;
    for (const [id, { live }] of this.#entries) {
      if (size <= MOST || this.#entries.size === 1) break;
      this.#entries.delete(id);
      size -= live.size;
    }
  }
}
