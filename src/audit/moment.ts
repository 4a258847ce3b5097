/** A moment of the registers: as an event found them, or as it left them. */
export interface Moment {
  readonly side: 'before' | 'after';
  /** The event's own time: what others changed by then is the same on both sides. RFC 3339. */
  readonly time: string;
  readonly event_id: string;
}
