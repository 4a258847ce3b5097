import { canonicalText } from '../audit/canonical.ts';
import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import { type Db, isDuplicate, sqlState, type Tx } from '../db/connection.ts';
import { notFound, ServiceError, unknownReference } from '../errors.ts';
import { sha256 } from '../ids.ts';
import { importOdrl } from '../odrl/import.ts';
import { dayInZone, formatDate } from '../pdp/calendar.ts';
import type { Program } from '../pdp/program.ts';
import type { Principal } from '../principal.ts';
import { staleVersion } from '../versions.ts';
import {
  type Attribute,
  compileSpace,
  entityProblems,
  mayKeep,
  OWN,
  type Space,
  sourcesOf,
} from './space.ts';
import {
  changeEntities,
  type EntityChange,
  insertSpace,
  insertSpaceVersion,
  readSpace,
  updateSpace,
} from './store.ts';

export interface SpaceWriter extends Writer {
  /** The program of the policies in force now. */
  readonly inForce: (db: Db) => Promise<Program>;
}

export interface SpaceChange {
  readonly space: Space;
  readonly recorded: Recorded;
}

/** All texts of a space together; each version is kept whole. */
const MAX_DOCUMENT = 4_000_000;
/** In one space: a search goes through them, and a replica has them in memory. */
const MAX_ENTITIES = 200_000;

export type NewSpace = Pick<Space, 'id' | 'organisation'> & {
  readonly document: Omit<Space['document'], 'home' | 'timezone' | 'imported'>;
};

/**
 * Makes a space, as version 1, at home where the pack in force is.
 * @throws ServiceError `invalid_policy`, `invalid_facts`, `already_exists`, `unknown_reference`.
 */
export async function registerSpace(
  writer: SpaceWriter,
  principal: Principal,
  { id, organisation, document }: NewSpace,
): Promise<SpaceChange> {
  const imported = await importAll(document.odrl);
  try {
    return await change(writer, async (tx) => {
      const { home, timezone } = (await writer.inForce(tx)).pack;
      const now = writer.clock().toISOString();
      const space: Space = {
        id,
        organisation,
        status: 'active',
        version: 1,
        entity_revision: 0,
        entities: 0,
        created_at: now,
        updated_at: now,
        document: { ...document, imported, home, timezone },
      };
      check(writer, space);
      const { document: _document, ...row } = space;
      await insertSpace(tx, row);
      return finish(tx, writer, { principal, space, type: 'registerSpace', now });
    });
  } catch (error) {
    if (sqlState(error) === '23503')
      throw unknownReference('/organisation', 'the id of a registered organisation');
    if (!isDuplicate(error)) throw error;
    throw idTaken();
  }
}

/** The names of spaces that have ended are not given again. */
export function idTaken(): ServiceError {
  return new ServiceError('already_exists', 'There is, or was, another space with this id.', [
    { path: '/id', expected: 'an id that is not taken' },
  ]);
}

/**
 * Makes the next version of a space that is still at `version`.
 * @throws ServiceError `invalid_policy`, `invalid_facts`, `precondition_failed`, `wrong_status`.
 */
export async function changeSpace(
  writer: SpaceWriter,
  principal: Principal,
  next: Pick<Space, 'id' | 'version'> & { document: Omit<Space['document'], 'imported'> },
): Promise<SpaceChange> {
  const document = { ...next.document, imported: await importAll(next.document.odrl) };
  return change(writer, (tx) =>
    advance(tx, writer, principal, { ...next, document, status: 'active', type: 'changeSpace' }),
  );
}

/** Ends a space that is still at `version`; it keeps everything it had. */
export async function retireSpace(
  writer: SpaceWriter,
  principal: Principal,
  next: Pick<Space, 'id' | 'version'>,
): Promise<SpaceChange> {
  return change(writer, (tx) =>
    advance(tx, writer, principal, { ...next, status: 'retired', type: 'retireSpace' }),
  );
}

async function advance(
  tx: Tx,
  writer: SpaceWriter,
  principal: Principal,
  next: Pick<Space, 'id' | 'version' | 'status'> & {
    readonly document?: Space['document'];
    readonly type: 'changeSpace' | 'retireSpace';
  },
): Promise<SpaceChange> {
  const current = await readSpace(tx, next.id);
  if (!current || !mayKeep(current, principal)) throw notFound();
  if (current.version !== next.version) throw staleVersion();
  if (current.status === 'retired')
    throw new ServiceError('wrong_status', 'A space that has ended is not changed any more.');
  const now = writer.clock().toISOString();
  const { version, status, type, document = current.document } = next;
  const space = { ...current, version: version + 1, status, document, updated_at: now };
  check(writer, space);
  // Another writer may have come between the read and this: the version in the statement decides.
  const updated = { id: next.id, version, status, updated_at: now };
  if (!(await updateSpace(tx, updated))) throw staleVersion();
  return finish(tx, writer, { principal, space, type, now });
}

function check({ clock }: SpaceWriter, { document }: Space): void {
  const text = JSON.stringify(document);
  if (text.length > MAX_DOCUMENT)
    throw new ServiceError('body_too_large', `A space takes at most ${MAX_DOCUMENT} characters.`);
  sourcesOf(document, 'subject');
  sourcesOf(document, 'resource');
  const wrong = Object.entries(document.attributes).filter(
    ([path, { source }]) => /^(action|context)\./.test(path) && source && source !== 'request',
  );
  if (wrong.length > 0) {
    throw new ServiceError(
      'invalid_facts',
      'The attributes do not fit together.',
      wrong.map(([path]) => ({
        path: `/attributes/${path}/source`,
        expected: '"request": the space stores subjects and resources only',
      })),
    );
  }
  compileSpace(document, today(clock, document.timezone));
}

function today(clock: () => Date, timezone: string): string {
  return formatDate(dayInZone(timezone)(clock().getTime()));
}

/** @throws ServiceError `invalid_policy` for what has no meaning here: name, place and reason. */
async function importAll(odrl: Space['document']['odrl']): Promise<Space['document']['imported']> {
  const read = Object.entries(odrl).map(async ([name, { format, document, bindings = {} }]) => {
    const header = { policy: name, instrument: OWN, in_force: { from: '0001-01-01' } };
    const imported = await importOdrl(document, { format, bindings, header, profile: 'space' });
    return [name, imported] as const;
  });
  const all = await Promise.all(read);
  const problems = all.flatMap(([name, imported]) =>
    imported.ok
      ? []
      : imported.problems.map(({ where, message }) => ({
          path: `${name}: ${where}`,
          expected: message,
        })),
  );
  if (problems.length > 0)
    throw new ServiceError('invalid_policy', 'An ODRL policy cannot be read.', problems);
  return Object.fromEntries(
    all.flatMap(([name, imported]) => {
      if (!imported.ok) return [];
      const { text, terms } = imported;
      const attributes = Object.entries(imported.attributes).map(([path, spec]) => {
        // ODRL has no enumerations, and none of its operands is an object.
        const { basis: _basis, ...attribute } = spec;
        return [path, attribute as Attribute] as const;
      });
      return [[name, { text, terms, attributes: Object.fromEntries(attributes) }]];
    }),
  );
}

interface Finished {
  readonly principal: Principal;
  readonly space: Space;
  readonly type: string;
  readonly now: string;
}

async function finish(
  tx: Tx,
  { log }: SpaceWriter,
  { principal: { actor, role }, space, type, now }: Finished,
): Promise<SpaceChange> {
  const { id, version, organisation, status } = space;
  const document = canonicalText(space.document);
  const recorded = await record(tx, log, now, {
    type,
    actor,
    role,
    subject_ids: [id],
    outcome: 'success',
    body: { space: id, version, organisation, status, document_sha256: sha256(document) },
  });
  await insertSpaceVersion(tx, {
    space: id,
    version,
    document,
    created_at: now,
    created_by: actor,
    event_id: recorded.event_id,
  });
  return { space, recorded };
}

/**
 * Puts entities into a space and takes some out, all or none.
 * @throws ServiceError `not_found`, `invalid_facts` for an attribute of a wrong type,
 * `invalid_request` for an entity that comes twice.
 */
export async function changeSpaceEntities(
  writer: SpaceWriter,
  principal: Principal,
  id: string,
  changes: readonly EntityChange[],
): Promise<{ entities: number; entity_revision: number; recorded: Recorded }> {
  refuseTwice(changes);
  return change(writer, async (tx) => {
    const space = await readSpace(tx, id);
    if (!space || !mayKeep(space, principal)) throw notFound();
    const { document } = space;
    const program = compileSpace(document, today(writer.clock, document.timezone));
    const problems = changes.flatMap(({ properties }, i) =>
      entityProblems(program, properties ?? undefined).map(({ path, expected }) => ({
        path: `/put/${i}/properties${path}`,
        expected,
      })),
    );
    if (problems.length > 0) {
      const first = problems.slice(0, 100);
      throw new ServiceError('invalid_facts', 'Some properties have impossible values.', first);
    }
    const changed = await changeEntities(tx, id, changes);
    if (!changed)
      throw new ServiceError('wrong_status', 'A space that has ended is not changed any more.');
    if (changed.entities > MAX_ENTITIES) {
      throw new ServiceError('invalid_request', 'The space is full.', [
        { path: '/put', expected: `at most ${MAX_ENTITIES} entities in a space` },
      ]);
    }
    const { actor, role } = principal;
    const recorded = await record(tx, writer.log, writer.clock().toISOString(), {
      type: 'changeSpaceEntities',
      actor,
      role,
      subject_ids: [id],
      outcome: 'success',
      body: { space: id, ...changed, changes_sha256: sha256(canonicalText(changes)) },
    });
    return { ...changed, recorded };
  });
}

function refuseTwice(changes: readonly EntityChange[]): void {
  const seen = new Set<string>();
  for (const { type, id } of changes) {
    const name = JSON.stringify([type, id]);
    if (seen.has(name)) {
      throw new ServiceError('invalid_request', 'An entity comes twice.', [
        { path: '', expected: `${name} once` },
      ]);
    }
    seen.add(name);
  }
}
