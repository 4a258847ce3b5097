import { setImmediate } from 'node:timers/promises';
import type { Db } from '../db/connection.ts';
import { ServiceError, type InputProblem } from '../errors.ts';
import { buildExtension } from '../pdp/build.ts';
import { dayInZone, formatDate } from '../pdp/calendar.ts';
import { withExtensions } from '../pdp/compose.ts';
import { parsePack, parsePolicy, type PolicyDocument } from '../pdp/document.ts';
import { type Extension, type Program, sha256 as hashOf } from '../pdp/program.ts';
import { compilePack, problemOf } from './files.ts';
import {
  type InForce,
  type PolicyVersion,
  readGeneration,
  readGenerationOn,
  readPackDocument,
  readPolicyDocuments,
  readSet,
} from './store.ts';

const KEEP_SETS = 16;
const KEEP_POLICIES = 5_000;

/** A version of a policy and the days on which it applies, `YYYY-MM-DD`, both included. */
export interface DatedVersion {
  readonly policy: string;
  readonly version: number;
  readonly from: string;
  readonly until?: string | undefined;
}

export interface LoadedPolicy extends DatedVersion {
  readonly sha256: string;
  readonly document: string;
  /** Beside the pack's, and bound to some datasets. */
  readonly isExtension: boolean;
}

export interface LoadedPack {
  readonly pack: string;
  readonly sha256: string;
  readonly document: string;
  readonly timezone: string;
}

/** Everything in force together, whatever the day; which of it applies the day says. */
export interface PolicySet {
  readonly pack: LoadedPack;
  readonly policies: readonly LoadedPolicy[];
}

/**
 * Of each policy the newest version that applies on a day; a later one does not end it before its
 * own first day. A file of the pack and a policy beside the pack are two, whatever their names: a
 * name that the pack comes to use ends nothing.
 */
function versionsOn(day: string, policies: readonly LoadedPolicy[]): LoadedPolicy[] {
  const applying = policies.filter(
    ({ from, until }) => from <= day && (until === undefined || day <= until),
  );
  const nameOf = ({ policy, isExtension }: LoadedPolicy): string => `${isExtension} ${policy}`;
  const newest = new Map<string, number>();
  for (const each of applying)
    newest.set(nameOf(each), Math.max(each.version, newest.get(nameOf(each)) ?? 0));
  return applying.filter((each) => newest.get(nameOf(each)) === each.version);
}

/** Days from `day` on at which another version of something begins or ends to apply. */
export function turningDays(day: string, policies: readonly DatedVersion[]): string[] {
  const ends = policies.flatMap(({ until }) => (until === undefined ? [] : [dayAfter(until)]));
  const days = [day, ...policies.map(({ from }) => from), ...ends];
  return [...new Set(days.filter((each) => each >= day))].toSorted();
}

function dayAfter(day: string): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);
}

/** What a version says of itself, for lists. */
export type PolicyHead = Pick<PolicyDocument, 'layer' | 'concern' | 'title' | 'in_force'>;

/** A policy's text with its days. @throws Error for a text that is no policy, or not the one named. */
export function loadedPolicy(
  text: { readonly policy: string; readonly sha256: string; readonly document: string },
  isExtension: boolean,
): LoadedPolicy {
  const parsed = parsePolicy(text.policy, text.document);
  if (!parsed.ok || hashOf(text.document) !== text.sha256)
    throw new Error(`the policy ${text.policy} ${text.sha256} is none, or was stored damaged`);
  const { policy, version, in_force } = parsed.source.content;
  const { sha256, document } = text;
  return {
    policy,
    version,
    sha256,
    document,
    isExtension,
    from: in_force.from,
    until: in_force.until,
  };
}

/** A pack's text with its time zone. @throws Error for a text that is no pack, or not the one named. */
export function loadedPack(sha256: string, document: string): LoadedPack {
  const parsed = parsePack('pack', document);
  if (!parsed.ok || hashOf(document) !== sha256)
    throw new Error(`the pack ${sha256} is none, or was stored damaged`);
  const { pack, timezone } = parsed.source.content;
  return { pack, sha256, document, timezone };
}

/**
 * Compiled programs by the hashes of what they are made of. Every replica has one; which policies
 * are in force is read from the database at each decision, so a change counts everywhere at once.
 */
export class Programs {
  readonly #packs = new Map<string, LoadedPack>();
  readonly #policies = new Map<string, LoadedPolicy>();
  readonly #sets = new Map<string, PolicySet>();
  readonly #bases = new Map<string, Program>();
  readonly #extensions = new Map<string, Extension>();
  readonly #whole = new Map<string, Program>();
  readonly #heads = new Map<string, PolicyHead>();

  /**
   * The program of the policies in force at an instant; `held`, they stay so until the
   * transaction at hand ends.
   * @throws ServiceError `unavailable` when no pack has ever been loaded.
   */
  async inForce(db: Db, at: Date, held?: 'held'): Promise<Program> {
    const generation = await present(db, held);
    const set = await this.#set(db, generation);
    return this.on(set, dayOf(set, at), generation);
  }

  /** The program that decided on a past day (`YYYY-MM-DD`), or will on a later one if nothing changes. */
  async onDay(db: Db, day: string): Promise<Program | undefined> {
    const { timezone } = (await this.present(db)).pack;
    const generation = await readGenerationOn(db, day, timezone);
    if (!generation) return undefined;
    return this.ofGeneration(db, generation, day);
  }

  /** The program of a set that is, or was, in force, as it is on a day (`YYYY-MM-DD`). */
  async ofGeneration(db: Db, generation: string, day: string): Promise<Program> {
    return this.on(await this.#set(db, generation), day, generation);
  }

  /** The program of the exact versions that a stored decision names; `boundTo` leaves it as it is. */
  async ofVersions(
    db: Db,
    { pack_sha256, policy_sha256 }: Pick<InForce, 'pack_sha256' | 'policy_sha256'>,
  ): Promise<Program> {
    const set = await this.load(db, { pack_sha256, policy_sha256, extension_sha256: [] });
    return this.#compile(set.pack, set.policies);
  }

  /** Everything in force now, loaded. @throws ServiceError `unavailable` without a pack. */
  async present(db: Db): Promise<PolicySet & { readonly generation: string }> {
    const generation = await present(db);
    return { ...(await this.#set(db, generation)), generation };
  }

  /** What a version says of itself. Before one is read that is not known yet, others have their turn. */
  async head({
    policy,
    sha256,
    document,
  }: Pick<PolicyVersion, 'policy' | 'sha256' | 'document'>): Promise<PolicyHead> {
    const known = this.#heads.get(sha256);
    if (known) return known;
    await setImmediate();
    const parsed = parsePolicy(policy, document);
    if (!parsed.ok) throw new Error(`the policy ${policy} was stored damaged`);
    const { layer, concern, title, in_force } = parsed.source.content;
    const head = { layer, concern, title, in_force };
    remember(this.#heads, sha256, head, KEEP_POLICIES);
    return head;
  }

  /**
   * The program of a set on a day.
   * @throws ServiceError `invalid_policy` when its parts do not fit together.
   */
  on({ pack, policies }: PolicySet, day: string, generation?: string): Program {
    const key = `${generation} ${day}`;
    const known = generation === undefined ? undefined : this.#whole.get(key);
    if (known) return known;
    const program = this.#compile(pack, versionsOn(day, policies));
    if (generation !== undefined) remember(this.#whole, key, program, KEEP_SETS);
    return program;
  }

  #compile(pack: LoadedPack, policies: readonly LoadedPolicy[]): Program {
    const own = policies.filter(({ isExtension }) => !isExtension);
    const key = [pack.sha256, ...own.map(({ sha256 }) => sha256)].join();
    const base = this.#base(key, pack, own);
    const extensions = policies
      .filter(({ isExtension }) => isExtension)
      .map((policy) => this.#extension(key, base, policy));
    refuseSharedIds(extensions);
    return extensions.length > 0 ? withExtensions(base, extensions) : base;
  }

  #base(key: string, pack: LoadedPack, policies: readonly LoadedPolicy[]): Program {
    const known = this.#bases.get(key);
    if (known) return known;
    const program = compilePack({
      pack: { file: 'pack', text: pack.document },
      policies: policies.map(({ policy, document }) => ({ file: policy, text: document })),
    });
    remember(this.#bases, key, program, KEEP_SETS);
    return program;
  }

  #extension(baseKey: string, base: Program, policy: LoadedPolicy): Extension {
    const key = `${baseKey} ${policy.sha256}`;
    const known = this.#extensions.get(key);
    if (known) return known;
    const file = `${policy.policy} version ${policy.version}`;
    const built = buildExtension(base, { file, text: policy.document });
    if (!built.ok) {
      throw new ServiceError(
        'invalid_policy',
        `The policy ${file} does not fit the pack.`,
        built.problems.map(problemOf),
      );
    }
    remember(this.#extensions, key, built.value, KEEP_POLICIES);
    return built.value;
  }

  async #set(db: Db, generation: string): Promise<PolicySet> {
    const known = this.#sets.get(generation);
    if (known) return known;
    const inForce = await readSet(db, generation);
    if (!inForce) throw new Error(`the set of policies ${generation} is not stored`);
    const set = await this.load(db, inForce);
    remember(this.#sets, generation, set, KEEP_SETS);
    return set;
  }

  /**
   * A set that may not be stored, loaded. Each caller loads for itself while nobody has: a promise
   * that is shared would run on one caller's transaction and fail with it.
   */
  async load(db: Db, inForce: InForce): Promise<PolicySet> {
    const { pack_sha256, policy_sha256, extension_sha256 } = inForce;
    const wanted = [...policy_sha256, ...extension_sha256];
    const loaded = new Map(wanted.map((sha256) => [sha256, this.#policies.get(sha256)]));
    const missing = wanted.filter((sha256) => !loaded.get(sha256));
    for (const row of await readPolicyDocuments(db, missing)) {
      const policy = loadedPolicy(row, row.origin === 'register');
      loaded.set(row.sha256, policy);
      remember(this.#policies, row.sha256, policy, KEEP_POLICIES);
    }
    const policies = wanted.map((sha256) => {
      const policy = loaded.get(sha256);
      if (!policy) throw new Error(`the policy ${sha256} is not stored`);
      return policy;
    });
    return { pack: await this.#pack(db, pack_sha256), policies };
  }

  async #pack(db: Db, sha256: string): Promise<LoadedPack> {
    const known = this.#packs.get(sha256);
    if (known) return known;
    const row = await readPackDocument(db, sha256);
    if (!row) throw new Error(`the pack ${sha256} is not stored`);
    const pack = loadedPack(sha256, row.document);
    remember(this.#packs, sha256, pack, KEEP_SETS);
    return pack;
  }
}

/** The day of an instant where the pack is at home. */
export function dayOf(
  { pack }: { readonly pack: { readonly timezone: string } },
  at: Date,
): string {
  return formatDate(dayInZone(pack.timezone)(at.getTime()));
}

async function present(db: Db, held?: 'held'): Promise<string> {
  const generation = await readGeneration(db, held);
  if (generation) return generation;
  throw new ServiceError('unavailable', 'No pack of policies has been loaded.');
}

/** A decision names rules by their ids: two that may speak of one dataset cannot share one. */
function refuseSharedIds(extensions: readonly Extension[]): void {
  const taken = new Map<string, Extension[]>();
  const problems: InputProblem[] = [];
  for (const extension of extensions) {
    const [reference] = extension.part.policies;
    for (const { rule } of extension.part.rules) {
      const others = taken.get(rule.id) ?? [];
      const clash = others.find(
        ({ owner }) =>
          owner === extension.owner || owner === undefined || extension.owner === undefined,
      );
      if (clash) {
        problems.push({
          path: reference?.policy ?? '',
          expected: `another id: the policy ${clash.part.policies[0]?.policy ?? ''} has a rule ${rule.id}`,
          rule: rule.id,
        });
      }
      taken.set(rule.id, [...others, extension]);
    }
  }
  if (problems.length > 0)
    throw new ServiceError('invalid_policy', 'Two policies have rules of one id.', problems);
}

/** Keeps the newest `keep` entries. */
function remember<T>(map: Map<string, T>, key: string, value: T, keep: number): void {
  map.set(key, value);
  const oldest = map.keys().next().value;
  if (map.size > keep && oldest !== undefined) map.delete(oldest);
}
