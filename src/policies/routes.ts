import type { Recorded, Writer } from '../audit/record.ts';
import type { Db } from '../db/connection.ts';
import { notFound } from '../errors.ts';
import type { Handlers } from '../operation.ts';
import type { Program } from '../pdp/program.ts';
import { reloadPack } from './commands.ts';
import { type PackFiles } from './files.ts';
import { readPolicyVersion } from './store.ts';

export interface PolicyRoutes extends Writer {
  readonly inForce: (db: Db) => Promise<Program>;
  /** Reads the pack's files from where the service was told they are. */
  readonly readPack: () => Promise<PackFiles>;
}

type PolicyOperation = 'getPack' | 'reloadPack' | 'listPolicies' | 'getPolicyVersion' | 'listFacts';

export function policyHandlers(deps: PolicyRoutes): Handlers<PolicyOperation> {
  return {
    getPack: async () => ({ status: 200, body: packView(await deps.inForce(deps.db)) }),
    reloadPack: async ({ principal }) => {
      const { actor, role } = principal;
      const { changed, recorded } = await reloadPack(deps, { actor, role }, await deps.readPack());
      const pack = packView(await deps.inForce(deps.db));
      return {
        status: 200,
        body: { ...pack, changed: [...changed], ...(recorded satisfies Recorded | null) },
      };
    },
    listPolicies: async () => ({
      status: 200,
      body: { items: policyViews(await deps.inForce(deps.db)) },
    }),
    getPolicyVersion: async ({ path }) => {
      const stored = await readPolicyVersion(deps.db, path.policy, path.version);
      if (!stored) throw notFound();
      return {
        status: 200,
        body: stored.document,
        headers: { 'content-type': 'application/yaml; charset=utf-8' },
      };
    },
    listFacts: async () => {
      const { vocabulary } = await deps.inForce(deps.db);
      return { status: 200, body: { items: vocabulary.specs.map((spec) => ({ ...spec })) } };
    },
  };
}

function packView(program: Program) {
  const {
    pack,
    version,
    title,
    home,
    timezone,
    reviewed_by,
    purposes,
    sectors,
    instruments,
    examiners,
    place_groups,
  } = program.pack;
  return {
    pack,
    version,
    sha256: program.packSha256,
    title,
    home,
    timezone,
    reviewed_by,
    policies: [...program.policies],
    purposes,
    sectors,
    instruments,
    examiners,
    place_groups: { ...place_groups },
  };
}

function policyViews({ policies, rules, pack }: Program) {
  return policies.map((reference) => {
    const own = rules.filter(({ document }) => document.policy === reference.policy);
    const [first] = own;
    return {
      ...reference,
      layer: first?.document.layer ?? '',
      concern: first?.document.concern ?? '',
      title: first?.document.title ?? {},
      in_force: first?.document.in_force ?? {},
      rules: own.map(({ rule }) => ({
        rule: rule.id,
        title: rule.title,
        sentence: rule.sentence,
        citations: rule.cites.map((citation) => ({
          ...citation,
          title: pack.instruments[citation.instrument]?.title ?? {},
        })),
      })),
    };
  });
}
