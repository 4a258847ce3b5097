import type { Db } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { formatDate, dayInZone } from '../pdp/calendar.ts';
import { parsePolicy } from '../pdp/document.ts';
import type { Program } from '../pdp/program.ts';
import { compilePack } from './files.ts';
import { type InForce, readInForce, readPackDocument, readPolicyDocuments } from './store.ts';

const KEEP = 16;

/** A version of a policy and the days on which it applies, `YYYY-MM-DD`, both included. */
export interface DatedVersion {
  readonly policy: string;
  readonly version: number;
  readonly from: string;
  readonly until?: string | undefined;
}

interface LoadedPolicy extends DatedVersion {
  readonly sha256: string;
  readonly document: string;
}

interface Loaded {
  readonly pack: { readonly sha256: string; readonly document: string };
  readonly policies: readonly LoadedPolicy[];
}

/** Of each policy the newest version that applies on a day; a later one does not end it before its own first day. */
export function versionsOn<T extends DatedVersion>(day: string, policies: readonly T[]): T[] {
  return newest(
    policies.filter(({ from, until }) => from <= day && (until === undefined || day <= until)),
  );
}

function newest<T extends DatedVersion>(policies: readonly T[]): T[] {
  return policies.filter(
    ({ policy, version }) =>
      !policies.some((other) => other.policy === policy && other.version > version),
  );
}

/**
 * Compiled programs by the hashes of what they are made of. Every replica has one; which policies
 * are in force is read from the database at each decision, so a change counts everywhere at once.
 */
export class Programs {
  readonly #loaded = new Map<string, Loaded>();
  readonly #compiled = new Map<string, Program>();

  /**
   * The program of the policies in force at an instant; `held`, they stay so until the
   * transaction at hand ends.
   * @throws ServiceError `unavailable` when no pack has ever been loaded.
   */
  async inForce(db: Db, at: Date, held?: 'held'): Promise<Program> {
    const inForce = await readInForce(db, held);
    if (!inForce) throw new ServiceError('unavailable', 'No pack of policies has been loaded.');
    const all = await this.#load(db, inForce);
    const { pack } = this.#compile(all.pack, newest(all.policies));
    const day = formatDate(dayInZone(pack.timezone)(at.getTime()));
    return this.#compile(all.pack, versionsOn(day, all.policies));
  }

  /** The program of the exact versions that a stored decision names. */
  async ofVersions(db: Db, inForce: InForce): Promise<Program> {
    const all = await this.#load(db, inForce);
    return this.#compile(all.pack, all.policies);
  }

  // Each caller loads for itself while nobody has: a promise that is shared would run on one
  // caller's transaction and fail with it.
  async #load(db: Db, inForce: InForce): Promise<Loaded> {
    const key = [inForce.pack_sha256, ...inForce.policy_sha256].join();
    const known = this.#loaded.get(key);
    if (known) return known;
    const loaded = await load(db, inForce);
    remember(this.#loaded, key, loaded);
    return loaded;
  }

  #compile(pack: Loaded['pack'], policies: readonly LoadedPolicy[]): Program {
    const key = [pack.sha256, ...policies.map(({ sha256 }) => sha256)].join();
    const known = this.#compiled.get(key);
    if (known) return known;
    const program = compilePack({
      pack: { file: 'pack', text: pack.document },
      policies: policies.map(({ policy, document }) => ({ file: policy, text: document })),
    });
    remember(this.#compiled, key, program);
    return program;
  }
}

async function load(db: Db, { pack_sha256, policy_sha256 }: InForce): Promise<Loaded> {
  const pack = await readPackDocument(db, pack_sha256);
  const documents = new Map(
    (await readPolicyDocuments(db, policy_sha256)).map((row) => [row.sha256, row]),
  );
  if (!pack) throw new Error(`the pack ${pack_sha256} is not stored`);
  const policies = policy_sha256.map((sha256) => {
    const row = documents.get(sha256);
    const parsed = row && parsePolicy(row.policy, row.document);
    if (!row || !parsed?.ok)
      throw new Error(`the policy ${sha256} is not stored, or was stored damaged`);
    const { from, until } = parsed.source.content.in_force;
    return { ...row, from, until };
  });
  return { pack, policies };
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.set(key, value);
  const oldest = map.keys().next().value;
  if (map.size > KEEP && oldest !== undefined) map.delete(oldest);
}
