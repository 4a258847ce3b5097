/** A moment of the registers: as an event found them, or as it left them. */
export interface Moment {
  readonly side: 'before' | 'after';
  /**
   * The event's own time, or a later one from which on it counts: what others changed by then is the
   * same on both sides. RFC 3339.
   */
  readonly time: string;
  readonly event_id: string;
}

/** Clocks of replicas differ by less: what one says happened longer before a time did so. */
const CLOCKS_DIFFER_MS = 900_000;

/** The time before which nothing happened after `time`, whoever's clock it is by. RFC 3339. */
export function surelyBefore(time: string): string {
  return new Date(Date.parse(time) - CLOCKS_DIFFER_MS).toISOString();
}

/** The time after which nothing happened before `time`. RFC 3339. */
export function surelyAfter(time: string): string {
  return new Date(Date.parse(time) + CLOCKS_DIFFER_MS).toISOString();
}
