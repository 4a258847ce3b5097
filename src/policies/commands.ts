import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import { isDuplicate, type Tx } from '../db/connection.ts';
import { ServiceError, type InputProblem } from '../errors.ts';
import { dayInZone, formatDate } from '../pdp/calendar.ts';
import { parsePolicy } from '../pdp/document.ts';
import { sha256 } from '../pdp/program.ts';
import { compilePack, type PackFiles } from './files.ts';
import { type DatedVersion, versionsOn } from './programs.ts';
import {
  type InForce,
  insertPackVersion,
  insertPolicyVersion,
  lockInForce,
  readPackVersion,
  readPolicyDocuments,
  readPolicyVersion,
  upsertInForce,
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

interface PolicyEntry extends Entry, DatedVersion {}

/** What is loaded, and the day of the load where the pack is at home. */
interface Load {
  readonly pack: Entry;
  readonly policies: readonly PolicyEntry[];
  readonly day: string;
}

/**
 * Brings the files of a pack into force. Nothing in force is ever edited: a file whose content
 * changed under the same version number is refused. A version whose first day is to come leaves
 * the earlier one in force until then. Loading what is in force already does nothing and leaves no
 * event.
 * @throws ServiceError `invalid_policy`; the last good version stays in force.
 */
export async function reloadPack(
  writer: Writer,
  by: { readonly actor: string; readonly role: string },
  files: PackFiles,
): Promise<PackLoad> {
  const program = compilePack(files);
  const pack: Entry = entry('pack', program.pack.pack, program.pack.version, files.pack);
  const policies = files.policies.map((file, i): PolicyEntry => {
    const { policy, version } = program.policies[i] ?? { policy: '', version: 0 };
    return { ...entry('policy', policy, version, file), policy, ...datesOf(file.file, file.text) };
  });
  const day = formatDate(dayInZone(program.pack.timezone)(writer.clock().getTime()));
  try {
    return await bringIntoForce(writer, by, { pack, policies, day });
  } catch (error) {
    // Another replica has loaded the same files at its first start: then they are in force.
    if (!isDuplicate(error)) throw error;
    return bringIntoForce(writer, by, { pack, policies, day });
  }
}

function bringIntoForce(
  writer: Writer,
  by: { readonly actor: string; readonly role: string },
  { pack, policies, day }: Load,
): Promise<PackLoad> {
  return change(writer, async (tx) => {
    const now = writer.clock().toISOString();
    const inForce = await lockInForce(tx);
    const earlier = inForce ? await earlierVersions(tx, inForce, { pack, policies, day }) : [];
    const wanted = {
      pack_sha256: pack.sha256,
      policy_sha256: policies.flatMap(({ name, sha256: hash }) => [
        ...earlier.filter(({ policy }) => policy === name).map((each) => each.sha256),
        hash,
      ]),
    };
    const same =
      inForce?.pack_sha256 === wanted.pack_sha256 &&
      String(inForce.policy_sha256) === String(wanted.policy_sha256);
    if (same) return { changed: [], recorded: null };
    const fresh = await newEntries(tx, [pack, ...policies]);
    const before = new Set([inForce?.pack_sha256, ...(inForce?.policy_sha256 ?? [])]);
    const changes = [pack, ...policies].filter((each) => !before.has(each.sha256));
    const changed = changes.map(({ name }) => name);
    const recorded = await record(tx, writer.log, now, {
      type: 'reloadPack',
      ...by,
      subject_ids: [pack.name],
      outcome: 'success',
      body: {
        ...wanted,
        changed: changes.map(({ kind, name, version, sha256: hash }) => ({
          kind,
          name,
          version,
          sha256: hash,
        })),
      },
    });
    for (const { kind, name, version, sha256: hash, document } of fresh) {
      const row = {
        sha256: hash,
        name,
        version,
        document,
        created_at: now,
        event_id: recorded.event_id,
      };
      await (kind === 'pack' ? insertPackVersion(tx, row) : insertPolicyVersion(tx, row));
    }
    await upsertInForce(tx, wanted, now);
    return { changed, recorded };
  });
}

/**
 * Versions in force that stay so beside the new ones: a policy whose new version is for a later
 * day would otherwise have none until then, and what it forbids would be permitted.
 * @throws ServiceError `invalid_policy` when they do not fit the rest of the pack.
 */
async function earlierVersions(
  tx: Tx,
  inForce: InForce,
  { pack, policies, day }: Load,
): Promise<(DatedVersion & { readonly sha256: string })[]> {
  const waiting = policies.filter(
    ({ from, sha256: hash }) => from > day || inForce.policy_sha256.includes(hash),
  );
  const stored = (await readPolicyDocuments(tx, inForce.policy_sha256))
    .filter((each) =>
      waiting.some(({ name, version }) => name === each.policy && each.version < version),
    )
    .map((each) => ({ ...each, ...datesOf(each.policy, each.document) }))
    .toSorted((a, b) => a.version - b.version);
  if (stored.length === 0) return [];
  const today = versionsOn(day, [
    ...stored.map((each) => ({ ...each, file: `${each.policy} version ${each.version}` })),
    ...policies,
  ]);
  compilePack({
    pack: { file: pack.file, text: pack.document },
    policies: today.map(({ file, document }) => ({ file, text: document })),
  });
  return stored;
}

/** The days of a policy that is known to be one. */
function datesOf(file: string, text: string): { from: string; until: string | undefined } {
  const parsed = parsePolicy(file, text);
  if (!parsed.ok) throw new Error(`${file} is no policy, or was stored damaged`);
  const { from, until } = parsed.source.content.in_force;
  return { from, until };
}

function entry(
  kind: Entry['kind'],
  name: string,
  version: number,
  { file, text }: { file: string; text: string },
): Entry {
  return { kind, name, version, sha256: sha256(text), document: text, file };
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
