import type { Call, Handlers, OperationId } from '../operation.ts';
import { DEFAULT_LIMIT, type Page, readCursor, toPage } from '../paging.ts';
import { notFound } from '../errors.ts';
import { overseesAll, type Principal } from '../principal.ts';
import {
  etagOf,
  expectedVersion,
  mergePatch,
  refuseManaged,
  staleVersion,
  withoutNulls,
} from '../versions.ts';
import { changeParty, type PartyChange, type PartyWriter, registerParty } from './commands.ts';
import { PARTIES, type Parties, type PartyInput, type PartyKind } from './party.ts';
import { type PartyFilter, readParties, readParty } from './store.ts';

export interface PartyRoutes extends PartyWriter {
  /** Checks a value against a named schema of the contract. @throws ServiceError `invalid_request`. */
  readonly checkSchema: (schema: string, value: unknown) => void;
}

type PartyOperation = Extract<
  OperationId,
  `${'list' | 'get' | 'register' | 'change'}${'Organisation' | 'Agreement' | 'Project' | 'Registration' | 'Authorisation'}${'' | 's'}`
>;

/** What a register's row has where the input leaves it out. */
export const PARTY_DEFAULTS: { readonly [Kind in PartyKind]: Partial<PartyInput<Kind>> } = {
  organisation: { homepage: null },
  agreement: { subprocessors_authorised: null },
  project: { team: null, poc: null, knowledge_transfer: null, benefit_sharing: null },
  registration: { fields: {}, revoked: false },
  authorisation: { dataset: null, fields: {}, revoked: false },
};

/** The handlers of the five registers of parties; they differ only in their rules. */
export function partyHandlers(deps: PartyRoutes): Handlers<PartyOperation> {
  const entries = (Object.keys(PARTIES) as PartyKind[]).flatMap((kind) => {
    const name = kind.charAt(0).toUpperCase() + kind.slice(1);
    const { list, get, register, patch } = registerHandlers(deps, kind, name);
    return [
      [`list${name}s`, list],
      [`get${name}`, get],
      [`register${name}`, register],
      [`change${name}`, patch],
    ] as const;
  });
  return Object.fromEntries(entries) as unknown as Handlers<PartyOperation>;
}

function registerHandlers(
  deps: PartyRoutes,
  kind: PartyKind,
  name: string,
): Readonly<Record<'list' | 'get' | 'register' | 'patch', (call: never) => Promise<unknown>>> {
  const visible = async (principal: Principal, id: string): Promise<Parties[PartyKind]> => {
    const row = await readParty(deps.db, kind, id);
    if (!row || !PARTIES[kind].visibleTo(row as never, principal)) throw notFound();
    return row;
  };
  return {
    list: async ({ principal, query }: Call<'listAgreements'>) => ({
      status: 200,
      body: await listParties(deps, kind, principal, query),
    }),
    get: async ({ principal, path }: Call<'getProject'>) => {
      const row = await visible(principal, path.id);
      return { status: 200, body: withoutNulls(row), headers: { ETag: etagOf(row.version) } };
    },
    register: async ({ principal, body }: Call<'registerProject'>) => {
      const changed = await registerParty(deps, principal, kind, {
        ...PARTY_DEFAULTS[kind],
        ...body,
      });
      return {
        ...shown(changed),
        status: 201,
        headers: { ...shown(changed).headers, Location: `/v1/${kind}s/${changed.row.id}` },
      };
    },
    patch: async ({ principal, path, body, headers }: Call<'changeProject'>) => {
      const version = expectedVersion(headers.ifMatch);
      const row = await visible(principal, path.id);
      if (row.version !== version) throw staleVersion();
      const { version: _version, created_at: _created, updated_at: _updated, ...current } = row;
      const patch = refuseManaged(body, row, ['id', 'version', 'created_at', 'updated_at']);
      const input = mergePatch(withoutNulls(current), patch);
      deps.checkSchema(`${name}Input`, input);
      return {
        ...shown(
          await changeParty(deps, principal, kind, {
            input: { ...PARTY_DEFAULTS[kind], ...(input as object) } as never,
            version,
          }),
        ),
        status: 200,
      };
    },
  };
}

function shown({ row, recorded }: PartyChange<PartyKind>): {
  body: object;
  headers: Record<string, string>;
} {
  return { body: { ...withoutNulls(row), ...recorded }, headers: { ETag: etagOf(row.version) } };
}

async function listParties(
  deps: PartyRoutes,
  kind: PartyKind,
  principal: Principal,
  query: Partial<Record<'organisation' | 'project' | 'cursor', string>> & { limit?: number },
): Promise<Page<object>> {
  const limit = query.limit ?? DEFAULT_LIMIT;
  const [after] = readCursor(query.cursor, ['slug']) ?? [];
  const filter: PartyFilter = { organisation: query.organisation, project: query.project, after };
  const rows = await readParties(
    deps.db,
    kind,
    { ...filter, ...ownOnly(kind, principal) },
    limit + 1,
  );
  return toPage(
    rows,
    limit,
    (row) => withoutNulls(row),
    ({ id }) => [id],
  );
}

/** Narrows a list to what the caller may see, in the query and not after it. */
function ownOnly(kind: PartyKind, principal: Principal): Partial<PartyFilter> {
  if (overseesAll(principal) || kind === 'organisation') return {};
  const own = [principal.organisation ?? ''];
  if (kind === 'agreement') return { ownOrganisations: own };
  if (principal.role === 'steward') return {};
  return kind === 'registration' ? { ownOrganisations: own } : { projects: principal.projects };
}
