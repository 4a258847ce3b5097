import { readFile } from 'node:fs/promises';
import type { NoteVerifier } from '../tlog/note-key.ts';
import { parsePolicy, type Policy } from '../tlog/policy.ts';
import { type LogKeys, loadWitnessKeys } from './keys.ts';
import type { Witness } from './witness.ts';

/**
 * The witnesses, groups and quorum of a file in tlog-policy form, where there is one.
 * @throws Error naming the line that is wrong.
 */
export async function readLogPolicy(file: string | null): Promise<Policy> {
  if (file === null) return { logs: [], witnesses: [], groups: [], quorum: 'none' };
  return { ...(await readPolicy('LOG_POLICY', file)), logs: [] };
}

/** Whom to trust for a checkpoint of the shard with an origin: its keys, and the quorum. */
export function policyOf(
  { keys, policy }: { readonly keys: LogKeys; readonly policy: Policy },
  origin: string,
): Policy {
  return { ...policy, logs: keys.checkpoints(origin).map((verifier) => ({ verifier })) };
}

/**
 * This service as a witness: its name, its keys, and the logs that a file in tlog-policy form
 * lists (its witnesses and quorum are of no meaning here).
 * @throws Error naming the line that is wrong.
 */
export async function readWitness(
  { name, logs: file }: { readonly name: string; readonly logs: string },
  keysFolder: string,
): Promise<Witness> {
  const logs = new Map<string, NoteVerifier[]>();
  const options = { sharedLogKeys: true };
  for (const { verifier } of (await readPolicy('WITNESS_LOGS', file, options)).logs) {
    logs.set(verifier.name, [...(logs.get(verifier.name) ?? []), verifier]);
  }
  return { name, keys: await loadWitnessKeys(keysFolder), logs };
}

async function readPolicy(
  variable: string,
  file: string,
  options?: Parameters<typeof parsePolicy>[1],
): Promise<Policy> {
  const parsed = parsePolicy(await readFile(file, 'utf8'), options);
  if (parsed.ok) return parsed.policy;
  throw new Error(`${variable}: ${file}, line ${parsed.line}: ${parsed.reason}`);
}
