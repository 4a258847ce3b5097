import type { Writer } from '../audit/record.ts';
import type { Db } from '../db/connection.ts';
import type { Program } from '../pdp/program.ts';
import type { Programs } from '../policies/programs.ts';

/** What deciding needs beside the registers. */
export interface AccessWriter extends Writer {
  /** The program of the policies in force now. */
  readonly inForce: (db: Db, held?: 'held') => Promise<Program>;
  /** Programs of earlier versions, for stored decisions. */
  readonly programs: Programs;
}
