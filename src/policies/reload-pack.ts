import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import { isDuplicate, type Tx } from '../db/connection.ts';
import { ServiceError, type InputProblem } from '../errors.ts';
import { newId } from '../ids.ts';
import { sha256 } from '../pdp/program.ts';
import { compilePack, type PackFiles } from './files.ts';
import {
  dayOf,
  type LoadedPack,
  loadedPack,
  type LoadedPolicy,
  loadedPolicy,
  type PolicySet,
  Programs,
  turningDays,
} from './programs.ts';
import {
  type InForce,
  insertPackVersion,
  insertPolicyVersion,
  lockInForce,
  putInForce,
  readPackVersion,
  readPolicyVersion,
} from './store.ts';

export interface PackLoad {
  /** Names of the policies, and of the pack, of which a new version came into force. */
  readonly changed: readonly string[];
  readonly recorded: Recorded | null;
}

interface Entry {
  readonly kind: 'pack' | 'policy';
  readonly name: string;
  readonly version: number;
  readonly sha256: string;
  readonly document: string;
  readonly file: string;
}

/** What is loaded, and the day of the load where the pack is at home. */
interface Load {
  readonly pack: LoadedPack;
  readonly policies: readonly LoadedPolicy[];
  readonly entries: readonly Entry[];
  readonly day: string;
}

interface By {
  readonly actor: string;
  readonly role: string;
}

/**
 * Brings the files of a pack into force. Nothing in force is ever edited: a file whose content
 * changed under the same version number is refused. A version whose first day is to come leaves
 * the earlier one in force until then. Policies beside the pack's stay, and must still fit. Each
 * new version is an event, and so is the load; loading what is in force already leaves none.
 * @throws ServiceError `invalid_policy`; the last good version stays in force.
 */
export async function reloadPack(writer: Writer, by: By, files: PackFiles): Promise<PackLoad> {
  const program = compilePack(files);
  const { pack, version } = program.pack;
  const policies = files.policies.map(({ text }, i) =>
    loadedPolicy(
      { policy: program.policies[i]?.policy ?? '', sha256: sha256(text), document: text },
      false,
    ),
  );
  const load: Load = {
    pack: loadedPack(program.packSha256, files.pack.text),
    policies,
    entries: [
      entry({ kind: 'pack', name: pack, version }, files.pack),
      ...files.policies.map((file, i) =>
        entry(
          {
            kind: 'policy',
            name: policies[i]?.policy ?? '',
            version: policies[i]?.version ?? 0,
          },
          file,
        ),
      ),
    ],
    day: dayOf(program, writer.clock()),
  };
  try {
    return await bringIntoForce(writer, by, load);
  } catch (error) {
    // Another replica has loaded the same files at its first start: then they are in force.
    if (!isDuplicate(error)) throw error;
    return bringIntoForce(writer, by, load);
  }
}

function bringIntoForce(writer: Writer, by: By, load: Load): Promise<PackLoad> {
  return change(writer, async (tx) => {
    const since = writer.clock().toISOString();
    const inForce = await lockInForce(tx);
    const wanted = inForce ? await wantedBeside(tx, inForce, load) : ofFiles(load);
    if (inForce && sameSet(inForce, wanted)) return { changed: [], recorded: null };
    const fresh = await newEntries(tx, load.entries);
    for (const each of fresh) await store(tx, writer, by, { ...each, now: since });
    const before = new Set([inForce?.pack_sha256, ...(inForce?.policy_sha256 ?? [])]);
    const changed = load.entries.filter((each) => !before.has(each.sha256));
    const generation = newId(Date.parse(since));
    const recorded = await record(tx, writer.log, since, {
      type: 'reloadPack',
      ...by,
      subject_ids: [load.entries[0]?.name ?? '', generation],
      outcome: 'success',
      body: {
        ...wanted,
        generation,
        changed: changed.map(({ kind, name, version, sha256: hash }) => ({
          kind,
          name,
          version,
          sha256: hash,
        })),
      },
    });
    await putInForce(tx, wanted, { generation, since });
    return { changed: changed.map(({ name }) => name), recorded };
  });
}

function ofFiles({ pack, policies }: Load): InForce {
  return {
    pack_sha256: pack.sha256,
    policy_sha256: policies.map((each) => each.sha256),
    extension_sha256: [],
  };
}

function sameSet(one: InForce, other: InForce): boolean {
  const keyOf = ({ pack_sha256, policy_sha256, extension_sha256 }: InForce): string =>
    [pack_sha256, ...policy_sha256, ...extension_sha256].join();
  return keyOf(one) === keyOf(other);
}

/**
 * What the files bring beside what stays in force: policies that are not the pack's, and versions
 * that apply until the day of a new one; without those, what they forbid would be permitted.
 * @throws ServiceError `invalid_policy` when it does not fit together, today or on a later day.
 */
async function wantedBeside(tx: Tx, inForce: InForce, load: Load): Promise<InForce> {
  const { pack, policies, day } = load;
  const programs = new Programs();
  const present = await programs.load(tx, inForce);
  if (present.pack.pack !== pack.pack) {
    throw new ServiceError('invalid_policy', 'The country of a database never changes.', [
      {
        path: `${pack.pack}/pack.yaml:1:1`,
        expected: `the pack ${present.pack.pack}, whose facts the registers state and which stays in force`,
      },
    ]);
  }
  const waiting = policies.filter(
    ({ from, sha256: hash }) => from > day || inForce.policy_sha256.includes(hash),
  );
  const earlier = (name: string): LoadedPolicy[] =>
    present.policies
      .filter(
        ({ isExtension, policy, version }) =>
          !isExtension &&
          policy === name &&
          waiting.some((next) => next.policy === policy && version < next.version),
      )
      .toSorted((a, b) => a.version - b.version);
  const extensions = present.policies.filter(({ isExtension }) => isExtension);
  const own = policies.flatMap((policy) => [...earlier(policy.policy), policy]);
  checkDays(programs, { pack, policies: [...own, ...extensions] }, day);
  return {
    pack_sha256: pack.sha256,
    policy_sha256: own.map((each) => each.sha256),
    extension_sha256: extensions.map((each) => each.sha256),
  };
}

/**
 * Compiles a set for today and for each later day on which another version applies.
 * @throws ServiceError `invalid_policy`.
 */
export function checkDays(programs: Programs, set: PolicySet, today: string): void {
  refuseSharedNames(set.policies);
  for (const day of turningDays(today, set.policies)) programs.on(set, day);
}

/** Of the versions of one name the highest decides: the pack's would end a policy beside it, or be ended. */
function refuseSharedNames(policies: readonly LoadedPolicy[]): void {
  const own = new Set(policies.flatMap((each) => (each.isExtension ? [] : [each.policy])));
  const problems = policies
    .filter(({ isExtension, policy }) => isExtension && own.has(policy))
    .map(({ policy }) => ({
      path: policy,
      expected: `another name: the pack and a policy beside it are called ${policy}`,
    }));
  if (problems.length > 0)
    throw new ServiceError('invalid_policy', 'Two policies have one name.', problems);
}

function entry(
  named: Pick<Entry, 'kind' | 'name' | 'version'>,
  { file, text }: { file: string; text: string },
): Entry {
  return { ...named, sha256: sha256(text), document: text, file };
}

async function newEntries(tx: Tx, entries: readonly Entry[]): Promise<Entry[]> {
  const fresh: Entry[] = [];
  const problems: InputProblem[] = [];
  for (const each of entries) {
    const stored = await (each.kind === 'pack' ? readPackVersion : readPolicyVersion)(
      tx,
      each.name,
      each.version,
    );
    if (!stored) fresh.push(each);
    else if (stored.sha256 !== each.sha256) {
      problems.push({
        path: `${each.file}:1:1`,
        expected: `a higher version: version ${each.version} of ${each.name} is kept with other content`,
      });
    }
  }
  if (problems.length > 0) {
    throw new ServiceError('invalid_policy', 'What was in force is never edited.', problems);
  }
  return fresh;
}

/** Keeps a version that came in a file; whoever keeps the files has approved it. */
async function store(
  tx: Tx,
  { log }: Writer,
  by: By,
  { kind, name, version, sha256: hash, document, now }: Entry & { readonly now: string },
): Promise<void> {
  const { event_id } = await record(tx, log, now, {
    type: 'enterPolicyVersion',
    ...by,
    subject_ids: [name],
    outcome: 'success',
    body: { kind, name, version, sha256: hash },
  });
  if (kind === 'pack') {
    await insertPackVersion(tx, {
      sha256: hash,
      name,
      version,
      document,
      created_at: now,
      event_id,
    });
    return;
  }
  await insertPolicyVersion(tx, {
    sha256: hash,
    policy: name,
    version,
    document,
    origin: 'pack',
    status: 'approved',
    owner: null,
    cases: null,
    editors: [],
    created_at: now,
    updated_at: now,
    approved_by: by.actor,
    approved_at: now,
    event_id,
  });
}
