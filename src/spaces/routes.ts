import { notFound, ServiceError } from '../errors.ts';
import type { AnswerOf, BodyOf, Call, Handlers } from '../operation.ts';
import { DEFAULT_LIMIT, readCursor, toPage } from '../paging.ts';
import { overseesAll, type Principal } from '../principal.ts';
import { etagOf, expectedVersion, mergePatch, refuseManaged, staleVersion } from '../versions.ts';
import {
  changeSpace,
  changeSpaceEntities,
  idTaken,
  registerSpace,
  retireSpace,
  type SpaceChange,
  type SpaceWriter,
} from './commands.ts';
import type { KnownSpaces } from './known-spaces.ts';
import { attributesOf, mayAsk, mayKeep, maySee, type Space, type SpaceDocument } from './space.ts';
import { readEntities, readSpace, readSpaces } from './store.ts';

export interface SpaceRoutes extends SpaceWriter {
  readonly spaces: KnownSpaces;
  /** Spaces that are there without having been made: the nation's own, and packs. */
  readonly builtIn: readonly BuiltIn[];
  /** Checks a value against a named schema of the contract. @throws ServiceError `invalid_request`. */
  readonly checkSchema: (schema: string, value: unknown) => void;
}

export type BuiltIn = Pick<AnswerOf<'getSpace'>, 'id' | 'title'> & {
  readonly kind: 'national' | 'pack';
  readonly version: number;
};

type SpaceOperation =
  | 'listSpaces'
  | 'registerSpace'
  | 'getSpace'
  | 'changeSpace'
  | 'retireSpace'
  | 'listSpaceEntities'
  | 'changeSpaceEntities';

type View = AnswerOf<'getSpace'>;
/** What a space is made from. */
export type NewSpaceInput = BodyOf<'registerSpace'>;
type Input = Omit<NewSpaceInput, 'id'>;

export function spaceHandlers(deps: SpaceRoutes): Handlers<SpaceOperation> {
  return {
    listSpaces: async ({ principal, query, origin }) => {
      const limit = query.limit ?? DEFAULT_LIMIT;
      const [after] = readCursor(query.cursor, ['slug']) ?? [];
      const organisation = overseesAll(principal) ? null : (principal.organisation ?? '');
      const rows = await readSpaces(
        deps.db,
        { organisation, ...(after === undefined ? {} : { after }) },
        limit + 1,
      );
      const page = toPage(
        rows,
        limit,
        (space) => show(space, principal, origin),
        ({ id }) => [id],
      );
      const first =
        after === undefined ? deps.builtIn.map((each) => showBuiltIn(each, origin)) : [];
      return { status: 200, body: { ...page, items: [...first, ...page.items] } };
    },
    registerSpace: async ({ principal, body, origin }) => {
      const { id, ...input } = body;
      const organisation =
        principal.role === 'steward' ? principal.organisation : (input.organisation ?? null);
      if (deps.builtIn.some((each) => each.id === id)) throw idTaken();
      if (input.organisation !== undefined && input.organisation !== organisation) throw notYours();
      const document = spaceDocumentOf(input);
      const changed = await registerSpace(deps, principal, { id, organisation, document });
      const shown = showChange(changed, principal, origin);
      return { status: 201, ...shown, headers: { ...shown.headers, Location: `/v1/spaces/${id}` } };
    },
    getSpace: async ({ principal, path, origin }) => {
      const builtIn = deps.builtIn.find(({ id }) => id === path.space);
      if (builtIn) return { status: 200, body: showBuiltIn(builtIn, origin) };
      const space = await readSpace(deps.db, path.space);
      if (!space || !(maySee(space, principal) || mayAsk(space, principal))) throw notFound();
      const headers = { ETag: etagOf(space.version) };
      return { status: 200, body: show(space, principal, origin), headers };
    },
    changeSpace: async (call) => {
      const { path, principal, origin } = call;
      const changed = await changeSpace(deps, principal, await patched(deps, call));
      await deps.spaces.changed(path.space);
      return { status: 200, ...showChange(changed, principal, origin) };
    },
    retireSpace: async ({ principal, path, headers, origin }) => {
      const version = expectedVersion(headers.ifMatch);
      const changed = await retireSpace(deps, principal, { id: path.space, version });
      await deps.spaces.changed(path.space);
      return { status: 200, ...showChange(changed, principal, origin) };
    },
    listSpaceEntities: async ({ principal, path, query }) => {
      const space = await readSpace(deps.db, path.space);
      if (!space || !maySee(space, principal)) throw notFound();
      const limit = query.limit ?? DEFAULT_LIMIT;
      const after = readCursor(query.cursor, ['text', 'text']);
      const rows = await readEntities(deps.db, space.id, { type: query.type, after }, limit + 1);
      const body = toPage(
        rows,
        limit,
        ({ type, id, properties }) => ({ type, id, properties: { ...properties } }),
        ({ type, id }) => [type, id],
      );
      return { status: 200, body };
    },
    changeSpaceEntities: async ({ principal, path, body }) => {
      const { put = [], remove = [] } = body;
      const { recorded, ...changed } = await changeSpaceEntities(deps, principal, path.space, [
        ...put.map(({ type, id, properties = {} }) => ({ type, id, properties })),
        ...remove.map(({ type, id }) => ({ type, id, properties: null })),
      ]);
      await deps.spaces.changed(path.space);
      return { status: 200, body: { space: path.space, ...changed, ...recorded } };
    },
  };
}

function notYours(): ServiceError {
  return new ServiceError('invalid_request', 'A steward makes spaces of their organisation.', [
    { path: '/organisation', expected: 'your own, or leave it out' },
  ]);
}

async function patched(
  deps: SpaceRoutes,
  { principal, path, body, headers }: Call<'changeSpace'>,
): Promise<Parameters<typeof changeSpace>[2]> {
  const version = expectedVersion(headers.ifMatch);
  const space = await readSpace(deps.db, path.space);
  if (!space || !mayKeep(space, principal)) throw notFound();
  if (space.version !== version) throw staleVersion();
  const { home, timezone, imported: _imported, ...document } = space.document;
  const managed = { id: space.id, organisation: space.organisation, version };
  const patch = refuseManaged(body, managed, ['id', 'organisation', 'version']);
  const { organisation: _organisation, version: _version, ...changes } = patch;
  const input = mergePatch({ ...document, id: space.id }, changes);
  deps.checkSchema('SpaceInput', input);
  return {
    id: space.id,
    version,
    document: { ...spaceDocumentOf(input as Input), home, timezone },
  };
}

/** A space's document, what was left out filled in. */
export function spaceDocumentOf(
  input: Input,
): Omit<SpaceDocument, 'home' | 'timezone' | 'imported'> {
  const { title, callers = [], logged = false } = input;
  const { attributes = {}, terms = {}, actions = [], policies = {}, odrl = {} } = input;
  return { title, callers, logged, attributes, terms, actions, policies, odrl };
}

/** Where a space is asked: `https://data.example/spaces/NAME`; the nation's own is at the root. */
export function decisionPointOf(origin: string, id: string): string {
  return id === 'national' ? origin : `${origin}/spaces/${id}`;
}

function showBuiltIn(builtIn: BuiltIn, origin: string): View {
  const decision_point = decisionPointOf(origin, builtIn.id);
  return { ...builtIn, status: 'active', decision_point };
}

function show(space: Space, principal: Principal, origin: string): View {
  const { id, organisation, status, version, entities, created_at, updated_at } = space;
  const { title, terms, actions, callers, logged, policies, odrl } = space.document;
  const own = maySee(space, principal) ? { callers, logged, policies, odrl, entities } : {};
  // Who asks must know those, too, that only an ODRL policy reads.
  const attributes = maySee(space, principal)
    ? space.document.attributes
    : attributesOf(space.document);
  return {
    id,
    kind: 'register',
    status,
    version,
    decision_point: decisionPointOf(origin, id),
    ...(organisation === null ? {} : { organisation }),
    title,
    attributes,
    terms,
    actions,
    ...own,
    created_at,
    updated_at,
  };
}

function showChange(
  { space, recorded }: SpaceChange,
  principal: Principal,
  origin: string,
): { body: AnswerOf<'changeSpace'>; headers: Record<string, string> } {
  const body = { ...show(space, principal, origin), ...recorded } as AnswerOf<'changeSpace'>;
  return { body, headers: { ETag: etagOf(space.version) } };
}
