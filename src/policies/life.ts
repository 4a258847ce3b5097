import { isNameOf } from '../audit/keys.ts';
import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import { type Db, isDuplicate, type Tx } from '../db/connection.ts';
import { notFound, ServiceError } from '../errors.ts';
import { firstIdAt, newId } from '../ids.ts';
import { parsePolicy, type PolicyDocument } from '../pdp/document.ts';
import { sha256 } from '../pdp/program.ts';
import { overseesAll, type Principal } from '../principal.ts';
import { staleVersion } from '../versions.ts';
import { type CheckReport, checkPolicy, readCases } from './check.ts';
import { problemOf } from './files.ts';
import {
  changeIn,
  changeOf,
  type ChangesByDay,
  changesOf,
  type Policies,
  type PolicyChange,
} from './change.ts';
import { dayOf, loadedPolicy } from './programs.ts';
import { checkDays } from './reload-pack.ts';
import {
  type InForce,
  insertPolicyVersion,
  lockInForce,
  lockPolicyVersion,
  type PolicyVersion,
  putInForce,
  readGeneration,
  readPolicyVersion,
  readPolicyVersions,
  updatePolicyVersion,
} from './store.ts';

/** What the life of policies needs beside the register. */
export interface PolicyWriter extends Writer, Policies {
  /** How many recorded requests `after` permits more than `before` does, of those in a range of ids. */
  readonly countMorePermitted: (
    db: Db,
    change: PolicyChange,
    range: { readonly after: string | null; readonly upTo: string | null },
  ) => Promise<number>;
}

export interface PolicyText {
  readonly document: string;
  readonly cases?: string | undefined;
}

export interface PolicyVersionChange {
  readonly row: PolicyVersion;
  readonly recorded: Recorded;
}

/** A version, at a revision of its draft that somebody has read. */
export interface PolicyAt {
  readonly policy: string;
  readonly version: number;
  readonly revision: number;
}

/**
 * Everybody reads what is, or was, in force; drafts only those who may write them, and those who
 * oversee.
 */
export function mayReadVersion(row: PolicyVersion, principal: Principal): boolean {
  const isPublic = row.approved_at !== null;
  return isPublic || overseesAll(principal) || mayWrite(row.owner, principal);
}

/** A steward writes for their organisation's datasets, the authority for the nation. */
export function mayWrite(owner: string | null, { role, organisation }: Principal): boolean {
  return owner === null ? role === 'authority' : role === 'steward' && organisation === owner;
}

/**
 * Writes the first draft of the next version of a policy.
 * @throws ServiceError `invalid_policy`, `forbidden`, `already_exists`.
 */
export async function draftPolicy(
  writer: PolicyWriter,
  principal: Principal,
  text: PolicyText,
): Promise<PolicyVersionChange> {
  const content = parsed(text);
  const owner = ownerFor(content, principal);
  return change(writer, async (tx) => {
    const now = writer.clock().toISOString();
    const [newest] = await readPolicyVersions(tx, content.policy, { limit: 1 });
    if (newest) refuseTaken(newest, owner, content);
    const expected = (newest?.version ?? 0) + 1;
    if (content.version !== expected)
      throw invalid('/document', `version ${expected}: that is the next one of ${content.policy}`);
    await compiles(writer, tx, content, text);
    const row: Omit<PolicyVersion, 'revision'> = {
      ...textOf(text),
      policy: content.policy,
      version: content.version,
      origin: 'register',
      status: 'draft',
      owner,
      editors: [principal.actor],
      created_at: now,
      updated_at: now,
      approved_by: null,
      approved_at: null,
      withdrawal_asked_by: null,
      withdrawn_by: null,
      withdrawn_at: null,
    };
    const recorded = await recordChange(tx, writer, principal, { type: 'draftPolicy', row, now });
    try {
      await insertPolicyVersion(tx, { ...row, event_id: recorded.event_id });
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      throw new ServiceError('already_exists', 'Somebody drafted this version just now.');
    }
    return { row: { ...row, revision: 1 }, recorded };
  });
}

/**
 * Changes a draft; what was checked has to be checked again.
 * @throws ServiceError `invalid_policy`, `not_found`, `precondition_failed`, `wrong_status`.
 */
export async function changePolicyDraft(
  writer: PolicyWriter,
  principal: Principal,
  at: PolicyAt,
  text: PolicyText,
): Promise<PolicyVersionChange> {
  const content = parsed(text);
  return change(writer, async (tx) => {
    const row = await lockedFor(tx, principal, at, mayWrite);
    expectStatus(row, ['draft', 'checked']);
    if (content.policy !== row.policy || content.version !== row.version)
      throw invalid('/document', `policy ${row.policy}, version ${row.version}`);
    if (ownerFor(content, principal) !== row.owner)
      throw invalid('/document', `owner ${row.owner ?? 'left out'}`);
    await compiles(writer, tx, content, text);
    return advance(tx, writer, principal, {
      before: row,
      type: 'changePolicyDraft',
      changed: {
        ...textOf(text),
        status: 'draft',
        editors: [...new Set([...row.editors, principal.actor])],
      },
    });
  });
}

/**
 * Decides the cases beside a draft, with everything else in force. A draft that passes is
 * `checked`, and may be approved.
 */
export async function checkPolicyVersion(
  writer: PolicyWriter,
  principal: Principal,
  at: PolicyAt,
): Promise<PolicyVersionChange & { readonly report: CheckReport }> {
  // Before anything is locked: it may take its time.
  const seen = await readPolicyVersion(writer.db, at.policy, at.version);
  const isMeant = seen?.revision === at.revision && mayWrite(seen.owner, principal);
  const report =
    isMeant && (seen.status === 'draft' || seen.status === 'checked')
      ? await checkPolicy((await changeOf(writer, writer.db, seen)).after, seen)
      : undefined;
  return change(writer, async (tx) => {
    const row = await lockedFor(tx, principal, at, mayWrite);
    expectStatus(row, ['draft', 'checked']);
    if (!report) throw staleVersion();
    const made = await advance(tx, writer, principal, {
      before: row,
      type: 'checkPolicyVersion',
      changed: { status: report.passed ? 'checked' : 'draft' },
      body: {
        passed: report.passed,
        findings: report.findings.length,
        cases: report.cases.total,
      },
      sameRevision: true,
    });
    return { ...made, report };
  });
}

/**
 * Brings a checked version into force, from its own first day on. A second person does that: not
 * one of those who wrote it. Where it would permit more than is permitted now, that person is the
 * authority.
 * @throws ServiceError `second_person_required`, `authority_required`, `wrong_status`,
 * `invalid_policy`, `precondition_failed`.
 */
export async function approvePolicyVersion(
  writer: PolicyWriter,
  principal: Principal,
  at: PolicyAt,
): Promise<PolicyVersionChange> {
  const looked = await lookAt(writer, principal, at, 'approve');
  return change(writer, async (tx) => {
    const inForce = await lockInForce(tx);
    const row = await lockedFor(tx, principal, at, mayApprove);
    expectStatus(row, ['checked']);
    refuseFirstPerson(writer, row.editors, principal);
    const next = await nextIn(tx, writer, { inForce, row, looked });
    const report = next.still?.report ?? (await checkPolicy(next.begun(), row));
    if (!report.passed) throw notPassed(report);
    const now = writer.clock().toISOString();
    return enact(tx, writer, principal, {
      ...next,
      before: row,
      type: 'approvePolicyVersion',
      changed: { status: 'approved', approved_by: principal.actor, approved_at: now },
      now,
    });
  });
}

/**
 * Takes a version back. A draft goes at once. What is in force goes when a second person agrees:
 * the first call asks, another person's call does it; where more would be permitted without it,
 * that person is the authority.
 */
export async function withdrawPolicyVersion(
  writer: PolicyWriter,
  principal: Principal,
  at: PolicyAt,
): Promise<PolicyVersionChange> {
  const looked = await lookAt(writer, principal, at, 'withdraw');
  return change(writer, async (tx) => {
    const inForce = await lockInForce(tx);
    const row = await lockedFor(tx, principal, at, mayApprove);
    expectStatus(row, ['draft', 'checked', 'approved']);
    const now = writer.clock().toISOString();
    const type = 'withdrawPolicyVersion';
    const withdrawn = {
      status: 'withdrawn',
      withdrawn_by: principal.actor,
      withdrawn_at: now,
    } as const;
    if (row.status !== 'approved') {
      if (!mayWrite(row.owner, principal)) throw notFound();
      return advance(tx, writer, principal, {
        before: row,
        type,
        changed: withdrawn,
        now,
      });
    }
    if (row.withdrawal_asked_by === null) {
      const changed = { withdrawal_asked_by: principal.actor };
      return advance(tx, writer, principal, {
        before: row,
        type,
        changed,
        now,
        body: { asked: true },
      });
    }
    refuseFirstPerson(writer, [row.withdrawal_asked_by], principal);
    const next = await nextIn(tx, writer, { inForce, row, looked });
    return enact(tx, writer, principal, { ...next, before: row, type, changed: withdrawn, now });
  });
}

/** Requests that were asked so long ago are all recorded: a statement lasts fifteen seconds at most. */
const SETTLED_MS = 20_000;

/** What was found out before anything was locked, and of what. */
interface Looked {
  readonly generation: string;
  /** `YYYY-MM-DD`. */
  readonly day: string;
  /** Of a version that is to be approved. */
  readonly report: CheckReport | undefined;
  /** Recorded requests up to the id `upTo` that would be more permitted, by the change's days. */
  readonly more: readonly number[];
  readonly upTo: string;
}

/**
 * Decides the cases and replays the recorded requests before anything is locked: there may be
 * many, and decisions wait for whoever changes what is in force. Requests that come in between are
 * replayed under the lock. Undefined where the version is not the one meant, or not the caller's.
 */
async function lookAt(
  writer: PolicyWriter,
  principal: Principal,
  at: PolicyAt,
  what: 'approve' | 'withdraw',
): Promise<Looked | undefined> {
  const row = await readPolicyVersion(writer.db, at.policy, at.version);
  if (row?.revision !== at.revision || !mayApprove(row.owner, principal)) return undefined;
  const matters = what === 'approve' ? row.status === 'checked' : row.withdrawal_asked_by !== null;
  if (!matters) return undefined;
  const { generation, today, changes, begun } = await changesOf(writer, writer.db, row);
  const report = what === 'approve' ? await checkPolicy(begun(), row) : undefined;
  const upTo = firstIdAt(writer.clock().getTime() - SETTLED_MS);
  const more: number[] = [];
  if (principal.role !== 'authority') {
    for (const each of changes)
      more.push(await writer.countMorePermitted(writer.db, each, { after: null, upTo }));
  }
  return { generation, day: today, report, more, upTo };
}

interface Next extends ChangesByDay {
  readonly wanted: InForce;
  /** What was looked at before, where that is still so. */
  readonly still: Looked | undefined;
}

/** What a version makes of what is in force, under the lock; it fits together on every day. */
async function nextIn(
  tx: Tx,
  writer: PolicyWriter,
  {
    inForce,
    row,
    looked,
  }: {
    readonly inForce: InForce | undefined;
    readonly row: PolicyVersion;
    readonly looked: Looked | undefined;
  },
): Promise<Next> {
  if (!inForce) throw new ServiceError('unavailable', 'No pack of policies has been loaded.');
  if (!looked) throw staleVersion();
  const next = await changeIn(writer, tx, inForce, row);
  checkDays(writer.programs, next.set, next.today);
  return { ...next, still: await stillHolds(tx, looked, next.today) };
}

/** Puts in force what a version makes of it, unless that permits more than its second person may. */
async function enact(
  tx: Tx,
  writer: PolicyWriter,
  principal: Principal,
  { wanted, changes, still, before, type, changed, now }: Next & Advance & { readonly now: string },
): Promise<PolicyVersionChange> {
  await refusePermissive(tx, writer, principal, { changes, still });
  const generation = newId(Date.parse(now));
  const body = { generation };
  const made = await advance(tx, writer, principal, { before, type, changed, body, now });
  await putInForce(tx, wanted, { generation, since: now });
  return made;
}

/** What was looked at, unless something else came into force since, or another day. */
async function stillHolds(tx: Tx, looked: Looked, today: string): Promise<Looked | undefined> {
  const isSame = looked.day === today && looked.generation === (await readGeneration(tx));
  return isSame ? looked : undefined;
}

async function refusePermissive(
  tx: Tx,
  writer: PolicyWriter,
  { role }: Principal,
  {
    changes,
    still,
  }: { readonly changes: readonly PolicyChange[]; readonly still: Looked | undefined },
): Promise<void> {
  if (role === 'authority') return;
  const range = { after: still?.upTo ?? null, upTo: null };
  for (const [i, each] of changes.entries()) {
    const more = (still?.more[i] ?? 0) + (await writer.countMorePermitted(tx, each, range));
    if (more > 0) throw authorityRequired(more);
  }
}

function authorityRequired(more: number): ServiceError {
  return new ServiceError(
    'authority_required',
    `${more} recorded requests would be more permitted than they are. The second person for that is the authority.`,
  );
}

/** May this person be the second one? Those who may write may, and the authority always. */
export function mayApprove(owner: string | null, principal: Principal): boolean {
  return principal.role === 'authority' || mayWrite(owner, principal);
}

function refuseFirstPerson({ log }: Writer, first: readonly string[], { actor }: Principal): void {
  if (!first.some((name) => isNameOf(actor, name, log.keys))) return;
  throw new ServiceError(
    'second_person_required',
    'Nobody approves what they wrote or asked for themselves: another person has to.',
  );
}

function notPassed({ findings, cases: { total, failed } }: CheckReport): ServiceError {
  if (total === 0)
    return invalid(
      '/cases',
      'at least one case, so that it is known what the policy is meant to do',
    );
  return new ServiceError('invalid_policy', 'The policy does not pass its check any more.', [
    ...findings
      .filter(({ severity }) => severity === 'error')
      .map(({ line, column, sentence }) => ({
        path: `document:${line}:${column}`,
        expected: sentence,
      })),
    ...failed.map(({ id, problems }) => ({ path: `/cases/${id}`, expected: problems.join('; ') })),
  ]);
}

function invalid(path: string, expected: string): ServiceError {
  return new ServiceError('invalid_policy', 'The policy cannot be taken as it is.', [
    { path, expected },
  ]);
}

function textOf({ document, cases }: PolicyText) {
  return { sha256: sha256(document), document, cases: cases ?? null };
}

function parsed({ document, cases }: PolicyText): PolicyDocument {
  const policy = parsePolicy('document', document);
  if (!policy.ok)
    throw new ServiceError(
      'invalid_policy',
      'The policy has mistakes. Nothing was stored.',
      policy.problems.map(problemOf),
    );
  if (cases !== undefined) readCases(cases);
  return policy.source.content;
}

function ownerFor(
  { owner, layer }: PolicyDocument,
  { role, organisation }: Principal,
): string | null {
  if (role === 'steward' && owner !== organisation)
    throw invalid('/document', `layer: steward, and owner: ${organisation}`);
  if (role === 'authority' && layer === 'steward')
    throw invalid('/document', 'another layer than steward: the authority writes for the nation');
  return owner ?? null;
}

function refuseTaken(
  newest: PolicyVersion,
  owner: string | null,
  { policy }: PolicyDocument,
): void {
  if (newest.origin === 'pack')
    throw invalid('/document', `another name: ${policy} comes from the files of the pack`);
  // Whose it is stays unsaid: the name of somebody's draft is not everybody's to know.
  if (newest.owner !== owner) throw invalid('/document', `another name: ${policy} is taken`);
  if (newest.status === 'draft' || newest.status === 'checked')
    throw new ServiceError(
      'already_exists',
      `Version ${newest.version} of ${policy} is still a draft: change that one, or withdraw it.`,
    );
}

/** Does it compile with everything in force? @throws ServiceError `invalid_policy`. */
async function compiles(
  { programs, clock }: PolicyWriter,
  tx: Tx,
  { policy }: PolicyDocument,
  text: PolicyText,
): Promise<void> {
  const set = await programs.present(tx);
  const draft = loadedPolicy({ ...textOf(text), policy }, true);
  const today = dayOf(set, clock());
  const day = draft.until !== undefined && draft.until < today ? draft.until : today;
  const policies = [...set.policies.filter((each) => each.policy !== policy), draft];
  programs.on({ ...set, policies }, day < draft.from ? draft.from : day);
}

/**
 * A version, locked.
 * @throws ServiceError `not_found` where it is not the caller's to change, `precondition_failed`.
 */
async function lockedFor(
  tx: Tx,
  principal: Principal,
  { policy, version, revision }: PolicyAt,
  allowed: (owner: string | null, principal: Principal) => boolean,
): Promise<PolicyVersion> {
  const row = await lockPolicyVersion(tx, policy, version);
  if (!row || !mayReadVersion(row, principal)) throw notFound();
  if (row.origin === 'pack')
    throw new ServiceError('wrong_status', 'It comes from the files of the pack: change those.');
  if (!allowed(row.owner, principal))
    throw new ServiceError('forbidden', 'The policy is not yours to change.');
  if (row.revision !== revision) throw staleVersion();
  return row;
}

function expectStatus({ status }: PolicyVersion, wanted: readonly PolicyVersion['status'][]): void {
  if (wanted.includes(status)) return;
  throw new ServiceError(
    'wrong_status',
    `The version is ${status}; this is for one that is ${wanted.join(' or ')}.`,
  );
}

interface Advance {
  readonly before: PolicyVersion;
  readonly type: string;
  readonly changed: Partial<PolicyVersion>;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly now?: string;
  /** What the draft says stays as it was. */
  readonly sameRevision?: true;
}

async function advance(
  tx: Tx,
  writer: PolicyWriter,
  principal: Principal,
  { before, type, changed, body, sameRevision, now = writer.clock().toISOString() }: Advance,
): Promise<PolicyVersionChange> {
  const revision = before.revision + (sameRevision ? 0 : 1);
  const row: PolicyVersion = { ...before, ...changed, revision, updated_at: now };
  const recorded = await recordChange(tx, writer, principal, {
    type,
    row,
    now,
    ...(body && { body }),
  });
  await updatePolicyVersion(tx, before, { ...changed, revision, updated_at: now });
  return { row, recorded };
}

async function recordChange(
  tx: Tx,
  { log }: Writer,
  { actor, role }: Principal,
  {
    type,
    row: { policy, version, sha256: hash, status, owner, cases },
    now,
    body,
  }: {
    readonly type: string;
    readonly row: Omit<PolicyVersion, 'revision'>;
    readonly now: string;
    readonly body?: Readonly<Record<string, unknown>>;
  },
): Promise<Recorded> {
  return record(tx, log, now, {
    type,
    actor,
    role,
    subject_ids: [policy, ...(owner === null ? [] : [owner])],
    outcome: 'success',
    body: {
      policy,
      version,
      sha256: hash,
      status,
      ...(cases === null ? {} : { cases_sha256: sha256(cases) }),
      ...body,
    },
  });
}
