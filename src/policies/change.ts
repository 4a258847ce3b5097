import type { Db, Tx } from '../db/connection.ts';
import type { Program } from '../pdp/program.ts';
import {
  dayOf,
  type LoadedPolicy,
  loadedPolicy,
  type PolicySet,
  type Programs,
  turningDays,
} from './programs.ts';
import type { InForce, PolicyVersion } from './store.ts';

/** What knowing the policies of a moment takes. */
export interface Policies {
  readonly programs: Programs;
  readonly clock: () => Date;
}

/** What a change of policies does to decisions: the program before and after it. */
export interface PolicyChange {
  readonly before: Program;
  readonly after: Program;
  /** Whose datasets it is about; null for all. */
  readonly owner: string | null;
}

/** A change as texts, to be compiled where its programs are needed. */
export interface ChangeOfSets {
  readonly before: PolicySet;
  readonly after: PolicySet;
  /** `YYYY-MM-DD`; what applies is what applies on that day. */
  readonly day: string;
  readonly owner: string | null;
}

/** The sets without and with what a version would do, and the name of the one in force now. */
export async function changeOfSets(
  { programs, clock }: Policies,
  db: Db,
  row: PolicyVersion,
): Promise<ChangeOfSets & { readonly generation: string }> {
  const { generation, ...before } = await programs.present(db);
  const day = dayOf(before, clock());
  // As if it had begun: what it will do is asked before its first day.
  const after = nextSet(before, row, day, 'begun');
  return { before, after, day, owner: row.owner, generation };
}

/** The programs of a change. @throws ServiceError `invalid_policy` when they do not fit together. */
export function programsOf(
  programs: Programs,
  { before, after, day, owner }: ChangeOfSets,
): PolicyChange {
  return { before: programs.on(before, day), after: programs.on(after, day), owner };
}

/** The programs without and with what a version would do: come into force, or leave it. */
export async function changeOf(
  policies: Policies,
  db: Db,
  row: PolicyVersion,
): Promise<PolicyChange> {
  return programsOf(policies.programs, await changeOfSets(policies, db, row));
}

/** A change as it is on each day from today on on which it becomes another one. */
export interface ChangesByDay {
  /** `YYYY-MM-DD`. */
  readonly today: string;
  readonly changes: readonly PolicyChange[];
  /** The set that comes of it. */
  readonly set: PolicySet;
  /** The program today, with the version as if it had begun. */
  readonly begun: () => Program;
}

/** What a version would do to what is in force now, and the name of that. */
export async function changesOf(
  policies: Policies,
  db: Db,
  row: PolicyVersion,
): Promise<ChangesByDay & { readonly generation: string }> {
  const { generation, ...before } = await policies.programs.present(db);
  return { generation, ...changesTo(policies, before, row) };
}

/** As `changesOf`, of what is in force under the caller's lock; and what is wanted in its place. */
export async function changeIn(
  policies: Policies,
  tx: Tx,
  inForce: InForce,
  row: PolicyVersion,
): Promise<ChangesByDay & { readonly wanted: InForce }> {
  const made = changesTo(policies, await policies.programs.load(tx, inForce), row);
  const extensions = made.set.policies.filter(({ isExtension }) => isExtension);
  const wanted = { ...inForce, extension_sha256: extensions.map(({ sha256 }) => sha256) };
  return { ...made, wanted };
}

function changesTo(
  { programs, clock }: Policies,
  before: PolicySet,
  row: PolicyVersion,
): ChangesByDay {
  const today = dayOf(before, clock());
  const set = nextSet(before, row, today);
  const own = [...before.policies, ...set.policies].filter(
    ({ isExtension, policy }) => isExtension && policy === row.policy,
  );
  return {
    today,
    set,
    changes: turningDays(today, own).map((day) => ({
      before: programs.on(before, day),
      after: programs.on(set, day),
      owner: row.owner,
    })),
    begun: () => programs.on(nextSet(before, row, today, 'begun'), today),
  };
}

/**
 * The set after a version has come, or gone. An older version stays for the days before the first
 * of the new one, and after its last: once a version without a last day has begun, or one is
 * withdrawn on a day of its own, no older one comes back. `begun` puts its first day at today, to
 * see what it will do.
 */
function nextSet(set: PolicySet, row: PolicyVersion, today: string, begun?: 'begun'): PolicySet {
  const written = loadedPolicy(row, true);
  const policy: LoadedPolicy =
    begun && today < written.from ? { ...written, from: today } : written;
  const { from, until } = policy;
  const goes = row.status === 'approved';
  const replaces = from <= today && (until === undefined || (goes && today <= until));
  const others = set.policies.filter(
    (each) =>
      each.sha256 !== policy.sha256 &&
      !(
        replaces &&
        each.isExtension &&
        each.policy === policy.policy &&
        each.version < policy.version
      ),
  );
  return { ...set, policies: goes ? others : [...others, policy] };
}
