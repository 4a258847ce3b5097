import { dayInZone } from '../pdp/calendar.ts';
import type { Program } from '../pdp/program.ts';
import { type HeldSnapshot, type Known, nameOf, type Said, type Snapshot } from './registers.ts';
import type { Revision } from './store.ts';

// In characters of JSON; some 10,000 datasets with everything that hangs on them.
const MOST = 64 * 1024 * 1024;

interface Entry {
  readonly known: Known<unknown>;
  readonly size: number;
}

/**
 * What the registers said when they were last read: a copy, to decide from at once. It may be old;
 * so nothing rests on it alone: the statement that makes a request looks at the revisions again.
 * Bounded; what was not asked for longest goes first.
 */
export class KnownRegisters implements Snapshot {
  readonly #entries = new Map<string, Entry>();
  #size = 0;
  #pack: { readonly program: Program; readonly basis: Revision; readonly day: number } | undefined;

  get<R extends keyof Said>(register: R, id: string): Known<Said[R]> | undefined {
    const name = nameOf(register, id);
    const entry = this.#entries.get(name);
    if (!entry) return undefined;
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    return entry.known as Known<Said[R]>;
  }

  /** The program in force, where it is known for the day of `now`. */
  program(now: Date): { readonly program: Program; readonly basis: Revision } | undefined {
    return this.#pack && dayOf(this.#pack.program, now) === this.#pack.day ? this.#pack : undefined;
  }

  /** Takes over what one transaction has read, with the program in force in it at `now`. */
  learn(snapshot: HeldSnapshot, program: Program, now: Date): void {
    const basis = snapshot.revisionOfPack;
    if (basis) this.#pack = { program, basis, day: dayOf(program, now) };
    for (const [name, known] of snapshot.entries()) {
      this.#forget(name);
      const size = JSON.stringify(known.said).length;
      this.#entries.set(name, { known, size });
      this.#size += size;
    }
    for (const name of this.#entries.keys()) {
      if (this.#size <= MOST) break;
      this.#forget(name);
    }
  }

  #forget(name: string): void {
    this.#size -= this.#entries.get(name)?.size ?? 0;
    this.#entries.delete(name);
  }
}

function dayOf({ pack }: Program, now: Date): number {
  return dayInZone(pack.timezone)(now.getTime());
}
