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

/** The change as it is on each day from today on on which it becomes another one. */
export async function changesOf(
  { programs, clock }: Policies,
  db: Db,
  row: PolicyVersion,
): Promise<{ generation: string; today: string; changes: PolicyChange[] }> {
  const { generation, ...before } = await programs.present(db);
  const today = dayOf(before, clock());
  return { generation, today, changes: byDay(programs, before, row, today) };
}

function byDay(
  programs: Programs,
  before: PolicySet,
  row: PolicyVersion,
  today: string,
): PolicyChange[] {
  const after = nextSet(before, row, today);
  const own = [...before.policies, ...after.policies].filter(
    ({ isExtension, policy }) => isExtension && policy === row.policy,
  );
  return turningDays(today, own).map((day) => ({
    before: programs.on(before, day),
    after: programs.on(after, day),
    owner: row.owner,
  }));
}

interface NextSet {
  /** With the version as if it had begun, on this day. */
  readonly after: Program;
  readonly changes: PolicyChange[];
  readonly wanted: InForce;
  readonly set: PolicySet;
  readonly today: string;
}

/** As `changeOf` and `changesOf`, of what is in force under the caller's lock; and the set that comes of it. */
export async function changeIn(
  { programs, clock }: Policies,
  tx: Tx,
  inForce: InForce,
  row: PolicyVersion,
): Promise<NextSet> {
  const present = await programs.load(tx, inForce);
  const today = dayOf(present, clock());
  const set = nextSet(present, row, today);
  return {
    after: programs.on(nextSet(present, row, today, 'begun'), today),
    changes: byDay(programs, present, row, today),
    set,
    today,
    wanted: {
      ...inForce,
      extension_sha256: set.policies
        .filter(({ isExtension }) => isExtension)
        .map((each) => each.sha256),
    },
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
