import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import { type Db, isDuplicate, sqlState, type Tx } from '../db/connection.ts';
import { notFound, ServiceError, unknownReference } from '../errors.ts';
import type { Program } from '../pdp/program.ts';
import type { Principal } from '../principal.ts';
import { staleVersion } from '../versions.ts';
import { PARTIES, type Parties, type PartyInput, type PartyKind, withPurposes } from './party.ts';
import { insertParty, missingReferences, readParty, updateParty } from './store.ts';

export interface PartyWriter extends Writer {
  /** The program of the policies in force now. */
  readonly inForce: (db: Db) => Promise<Program>;
}

export interface PartyChange<Kind extends PartyKind> {
  readonly row: Parties[Kind];
  readonly recorded: Recorded;
}

/**
 * Registers an organisation, agreement, project, registration or authorisation.
 * @throws ServiceError `invalid_facts`, `unknown_reference`, `already_exists`.
 */
export async function registerParty<Kind extends PartyKind>(
  writer: PartyWriter,
  principal: Principal,
  kind: Kind,
  input: PartyInput<Kind>,
): Promise<PartyChange<Kind>> {
  try {
    return await change(writer, async (tx) => {
      const named = await checked(tx, writer, kind, input);
      const now = writer.clock().toISOString();
      const row = await insertParty(tx, kind, named, now);
      return {
        row,
        recorded: await recordParty(tx, writer, { principal, kind, row, verb: 'register', now }),
      };
    });
  } catch (error) {
    if (!isDuplicate(error)) throw noSuchDataset(error);
    throw new ServiceError('already_exists', `There is another ${kind} with this id.`, [
      { path: '/id', expected: 'an id that is not taken' },
    ]);
  }
}

/**
 * Replaces the content of a party that is still at `version`.
 * @throws ServiceError as `registerParty`, and `not_found`, `precondition_failed`.
 */
export async function changeParty<Kind extends PartyKind>(
  writer: PartyWriter,
  principal: Principal,
  kind: Kind,
  { input, version }: { readonly input: PartyInput<Kind>; readonly version: number },
): Promise<PartyChange<Kind>> {
  try {
    return await change(writer, async (tx) => {
      const named = await checked(tx, writer, kind, input);
      const now = writer.clock().toISOString();
      const row = await updateParty(tx, kind, { input: named, version, now });
      if (!row) throw (await readParty(tx, kind, input.id)) ? staleVersion() : notFound();
      return {
        row,
        recorded: await recordParty(tx, writer, { principal, kind, row, verb: 'change', now }),
      };
    });
  } catch (error) {
    throw noSuchDataset(error);
  }
}

// Datasets are a register above this one: the database's own reference tells that one is missing.
function noSuchDataset(error: unknown): unknown {
  return sqlState(error) === '23503'
    ? unknownReference('/dataset', 'the id of a registered dataset')
    : error;
}

/** What is to be kept of what was sent. */
async function checked<Kind extends PartyKind>(
  tx: Tx,
  writer: PartyWriter,
  kind: Kind,
  written: PartyInput<Kind>,
): Promise<PartyInput<Kind>> {
  const program = await writer.inForce(tx);
  const input = withPurposes(written, program);
  const problems = PARTIES[kind].check(input, program);
  if (problems.length > 0)
    throw new ServiceError(
      'invalid_facts',
      `This ${kind} does not fit the facts of the pack.`,
      problems,
    );
  const missing = await missingReferences(tx, PARTIES[kind].references(input));
  if (missing.length > 0) {
    throw new ServiceError(
      'unknown_reference',
      'It names something that does not exist.',
      missing.map(({ path, table }) => ({ path, expected: `the id of a registered ${table}` })),
    );
  }
  return input;
}

interface PartyEvent<Kind extends PartyKind> {
  readonly principal: Principal;
  readonly kind: Kind;
  readonly row: Parties[Kind];
  readonly verb: 'register' | 'change';
  readonly now: string;
}

function recordParty<Kind extends PartyKind>(
  tx: Tx,
  { log }: Writer,
  { principal, kind, row, verb, now }: PartyEvent<Kind>,
): Promise<Recorded> {
  const type = `${verb}${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
  const { actor, role } = principal;
  return record(tx, log, now, {
    type,
    actor,
    role,
    subject_ids: [row.id],
    outcome: 'success',
    body: { [kind]: row },
  });
}
