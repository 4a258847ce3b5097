import type { Recorded } from '../audit/record.ts';
import type { Db } from '../db/connection.ts';
import { notFound } from '../errors.ts';
import type { AnswerOf, Handlers, Reply } from '../operation.ts';
import { DEFAULT_LIMIT, readCursor, toPage } from '../paging.ts';
import type { Comparison, Relation } from '../pdp/compare.ts';
import type { PackDocument, PolicyDocument } from '../pdp/document.ts';
import type { Program } from '../pdp/program.ts';
import { iriOf, isOwn, termLists } from '../pdp/terms.ts';
import { overseesAll, type Principal } from '../principal.ts';
import { etagOf, expectedVersion } from '../versions.ts';

import { fits, type PackFiles, type Template } from './files.ts';
import {
  approvePolicyVersion,
  changePolicyDraft,
  checkPolicyVersion,
  draftPolicy,
  mayReadVersion,
  mayWrite,
  type PolicyAt,
  type PolicyVersionChange,
  type PolicyWriter,
  withdrawPolicyVersion,
} from './life.ts';
import { comparePolicyTexts, exportPolicy, importPolicy } from './odrl.ts';
import { dayOf } from './programs.ts';
import { reloadPack } from './reload-pack.ts';
import {
  type PolicyVersion,
  readPolicyVersion,
  readPolicyVersions,
  readWrittenVersions,
} from './store.ts';

export interface PolicyRoutes extends PolicyWriter {
  readonly inForce: (db: Db) => Promise<Program>;
  /** Reads the pack's files from where the service was told they are. */
  readonly readPack: () => Promise<PackFiles>;
  readonly templates: readonly Template[];
}

type PolicyOperation =
  | 'getPack'
  | 'reloadPack'
  | 'listPolicies'
  | 'draftPolicy'
  | 'importPolicy'
  | 'comparePolicies'
  | 'listPolicyDrafts'
  | 'listPolicyTemplates'
  | 'listPolicyVersions'
  | 'getPolicyVersion'
  | 'changePolicyDraft'
  | 'getPolicyStatus'
  | 'checkPolicyVersion'
  | 'approvePolicyVersion'
  | 'withdrawPolicyVersion'
  | 'listFacts'
  | 'listTerms';

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
    listPolicies: async ({ query }) => {
      const program =
        query.on === undefined
          ? await deps.inForce(deps.db)
          : await deps.programs.onDay(deps.db, query.on);
      return { status: 200, body: { items: program ? policyViews(program) : [] } };
    },
    draftPolicy: async ({ principal, body }) => {
      const made = await draftPolicy(deps, principal, body);
      const { policy, version } = made.row;
      const { headers, ...reply } = await answer(deps, made, principal);
      const location = `/v1/policies/${policy}/versions/${version}`;
      return { ...reply, status: 201, headers: { ...headers, Location: location } };
    },
    importPolicy: async ({ body }) => {
      const program = await deps.inForce(deps.db);
      const { text, attributes, terms } = await importPolicy(program, body, await todayOf(deps));
      return {
        status: 200,
        body: { document: text, attributes: spreadOf(attributes), terms: spreadOf(terms) },
      };
    },
    comparePolicies: async ({ body }) => {
      const program = await deps.inForce(deps.db);
      const relation = await comparePolicyTexts(program, body, await todayOf(deps));
      return { status: 200, body: relationView(relation) };
    },
    listPolicyDrafts: async ({ principal, query }) => {
      const limit = query.limit ?? DEFAULT_LIMIT;
      const [policy, version] = readCursor(query.cursor, ['slug', 'integer']) ?? [];
      const rows = await readWrittenVersions(
        deps.db,
        {
          status: query.status,
          owner: overseesAll(principal) ? undefined : (principal.organisation ?? ''),
          after:
            policy === undefined || version === undefined
              ? undefined
              : { policy, version: Number(version) },
        },
        limit + 1,
      );
      return {
        status: 200,
        body: toPage(
          await versionViews(deps, rows, principal),
          limit,
          (view) => view,
          ({ policy: name, version: number }) => [name, String(number)],
        ),
      };
    },
    listPolicyTemplates: async () => {
      const program = await deps.inForce(deps.db);
      const items = deps.templates.filter((each) => fits(program, each));
      return { status: 200, body: { items } };
    },
    listPolicyVersions: async ({ principal, path, query }) => {
      const limit = query.limit ?? DEFAULT_LIMIT;
      const [before] = readCursor(query.cursor, ['integer']) ?? [];
      const found = await readPolicyVersions(deps.db, path.policy, {
        before: before === undefined ? undefined : Number(before),
        limit: limit + 1,
      });
      const rows = found.filter((row) => mayReadVersion(row, principal));
      if (rows.length === 0 && before === undefined) throw notFound();
      return {
        status: 200,
        body: toPage(
          await versionViews(deps, rows, principal),
          limit,
          (view) => view,
          ({ version }) => [String(version)],
        ),
      };
    },
    getPolicyVersion: async ({ principal, path, query }) => {
      const row = await readable(deps, principal, path);
      const { format = 'yaml' } = query;
      const { body, mediaType } =
        format === 'yaml'
          ? { body: row.document, mediaType: 'application/yaml' }
          : exportPolicy(await deps.inForce(deps.db), row.document, format);
      return {
        status: 200,
        body,
        headers: { ETag: etagOf(row.revision), 'content-type': `${mediaType}; charset=utf-8` },
      };
    },
    changePolicyDraft: async ({ principal, path, headers, body }) =>
      await answer(
        deps,
        await changePolicyDraft(deps, principal, at(path, headers), body),
        principal,
      ),
    getPolicyStatus: async ({ principal, path }) => {
      const row = await readable(deps, principal, path);
      return {
        status: 200,
        body: await versionView(deps, row, principal, await presentOf(deps)),
        headers: { ETag: etagOf(row.revision) },
      };
    },
    checkPolicyVersion: async ({ principal, path, headers }) => {
      const made = await checkPolicyVersion(deps, principal, at(path, headers));
      const reply = await answer(deps, made, principal);
      return { ...reply, body: { ...reply.body, report: made.report } };
    },
    approvePolicyVersion: async ({ principal, path, headers }) =>
      await answer(deps, await approvePolicyVersion(deps, principal, at(path, headers)), principal),
    withdrawPolicyVersion: async ({ principal, path, headers }) =>
      await answer(
        deps,
        await withdrawPolicyVersion(deps, principal, at(path, headers)),
        principal,
      ),
    listTerms: async ({ path }) => {
      const { pack } = await deps.inForce(deps.db);
      const view = termsView(pack, path.list);
      if (!view) throw notFound();
      return { status: 200, body: view };
    },
    listFacts: async () => {
      const { vocabulary } = await deps.inForce(deps.db);
      return { status: 200, body: { items: vocabulary.specs.map((spec) => ({ ...spec })) } };
    },
  };
}

async function readable(
  { db }: PolicyRoutes,
  principal: Principal,
  { policy, version }: { readonly policy: string; readonly version: number },
): Promise<PolicyVersion> {
  const row = await readPolicyVersion(db, policy, version);
  if (!row || !mayReadVersion(row, principal)) throw notFound();
  return row;
}

/** The same, as a type that the contract has: of the facts of a space it says no more. */
function spreadOf(entries: Readonly<Record<string, object>>) {
  return Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, { ...value }]));
}

function relationView({ a_implies_b, b_implies_a, equal, together, conflict }: Relation) {
  const view = ({ witness, ...rest }: Comparison) => ({
    ...rest,
    ...(witness && { witness: { ...witness } }),
  });
  return {
    a_implies_b: view(a_implies_b),
    b_implies_a: view(b_implies_a),
    equal: view(equal),
    together: view(together),
    conflict: view(conflict),
  };
}

/** The date in the country. */
async function todayOf({ db, clock, programs }: PolicyRoutes): Promise<string> {
  return dayOf(await programs.present(db), clock());
}

function at(
  { policy, version }: { readonly policy: string; readonly version: number },
  { ifMatch }: { readonly ifMatch: string | undefined },
): PolicyAt {
  return { policy, version, revision: expectedVersion(ifMatch) };
}

async function answer(
  deps: PolicyRoutes,
  { row, recorded }: PolicyVersionChange,
  principal: Principal,
) {
  return {
    status: 200,
    body: { ...(await versionView(deps, row, principal, await presentOf(deps))), ...recorded },
    headers: { ETag: etagOf(row.revision) },
  } as const satisfies Reply<'approvePolicyVersion'>;
}

/** Which versions decide now, which are kept to decide on some day, and what day it is. */
interface Present {
  readonly deciding: ReadonlySet<string>;
  readonly kept: ReadonlySet<string>;
  readonly today: string;
}

async function presentOf({ db, clock, programs, inForce }: PolicyRoutes): Promise<Present> {
  const [program, set] = [await inForce(db), await programs.present(db)];
  const parts = [program, ...program.extensions.map(({ part }) => part)];
  return {
    deciding: new Set(parts.flatMap(({ policies }) => policies.map(({ sha256 }) => sha256))),
    kept: new Set(set.policies.map(({ sha256 }) => sha256)),
    today: dayOf(set, clock()),
  };
}

/** Where a version is in its life: what is approved waits, decides, is replaced, or has ended. */
function statusOf(
  { status, sha256 }: PolicyVersion,
  { from, until }: PolicyDocument['in_force'],
  { deciding, kept, today }: Present,
): AnswerOf<'getPolicyStatus'>['status'] {
  if (status !== 'approved') return status;
  if (deciding.has(sha256)) return 'in_force';
  if (from > today && kept.has(sha256)) return 'approved';
  return until !== undefined && until < today ? 'ended' : 'replaced';
}

/** A version as the API shows it; who did what, to those who oversee or write it. */
async function versionView(
  { programs }: PolicyRoutes,
  row: PolicyVersion,
  principal: Principal,
  present: Present,
) {
  const { document: _document, revision: _revision, ...rest } = row;
  const { layer, concern, title, in_force } = await programs.head(row);
  const { editors, approved_by, withdrawal_asked_by, withdrawn_by, ...open } = rest;
  const inside = overseesAll(principal) || mayWrite(row.owner, principal);
  return {
    ...open,
    status: statusOf(row, in_force, present),
    layer,
    concern,
    title,
    in_force: { ...in_force },
    ...(inside && { editors: [...editors], approved_by, withdrawal_asked_by, withdrawn_by }),
  };
}

/** One after the other: reading a hundred long ones takes seconds, and others have their turn. */
async function versionViews(
  deps: PolicyRoutes,
  rows: readonly PolicyVersion[],
  principal: Principal,
): Promise<Awaited<ReturnType<typeof versionView>>[]> {
  const present = await presentOf(deps);
  const views: Awaited<ReturnType<typeof versionView>>[] = [];
  for (const row of rows) views.push(await versionView(deps, row, principal, present));
  return views;
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
    retention,
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
    ...(retention && { retention }),
  };
}

function termsView(pack: PackDocument, list: string) {
  const lists = termLists(pack);
  const terms = Object.hasOwn(lists, list) ? lists[list] : undefined;
  if (!terms) return undefined;
  return {
    list,
    closed: pack.closed?.includes(list) === true,
    parts: (pack.included ?? [])
      .filter((part) => part.lists[list])
      .map(({ part, version, title, source }) => ({ part, version, title, source: { ...source } })),
    disjoint: (pack.disjoint ?? [])
      .filter((group) => group.every((code) => Object.hasOwn(terms, code)))
      .map((group) => [...group]),
    items: Object.entries(terms).map(([code, { title, broader = [], exact = null }]) => ({
      code,
      iri: iriOf(pack, list, code),
      exact,
      title,
      broader: [...broader],
      own: isOwn(pack, list, code),
    })),
  };
}

function policyViews(program: Program) {
  return [program, ...program.extensions.map(({ part }) => part)].flatMap(
    ({ policies, rules, pack }) =>
      policies.map((reference) => {
        const own = rules.filter(({ document }) => document.policy === reference.policy);
        const [first] = own;
        return {
          ...reference,
          owner: first?.document.owner ?? null,
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
      }),
  );
}
