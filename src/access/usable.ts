import { isPurposeNamed, readActiveDatasets } from '../catalogue/store.ts';
import { MAX_TESTS, type Usability } from '../catalogue/usable.ts';
import { readTotals } from '../consent/store.ts';
import type { Tx } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { newId } from '../ids.ts';
import type { Call } from '../operation.ts';
import { dayInZone } from '../pdp/calendar.ts';
import type { FactProblem } from '../pdp/facts.ts';
import { boundTo, withExtensions } from '../pdp/compose.ts';
import { evaluate } from '../pdp/evaluate.ts';
import { type Predicate, Predicates, sizeOf, type StoredFact } from '../pdp/predicate.ts';
import { loadFacts, type Program } from '../pdp/program.ts';
import { residual } from '../pdp/residual.ts';
import type { Principal } from '../principal.ts';
import type { AccessWriter } from './access.ts';
import {
  type Asked,
  checkPeriod,
  checkPurpose,
  factsOfDataset,
  factsOfRegisters,
  knownPurposes,
  overlay,
  type Registers,
  unknownPurpose,
  WILDCARD,
} from './facts.ts';
import { readRegisters } from './registers.ts';

type Query = Call<'listDatasets'>['query'];

/** The parameters that say what a request would say, and where it says it. */
const POINTERS = {
  usable_by: '/project',
  agreement: '/agreement',
  role: '/role',
  action: '/action',
  purpose: '/purpose',
  store_in: '/locations/storage',
  process_in: '/locations/processing',
  access_from: '/locations/access_from',
  hosting_provider: '/hosting/provider',
  hosting_jurisdiction: '/hosting/operator_jurisdiction',
  keys_held_by: '/hosting/keys_held_by',
  recipients: '/recipients',
  onward_transfer: '/onward_transfer',
  fields_scope: '/fields_scope',
  deidentification: '/deidentification',
  output_type: '/output/type',
  release_to: '/output/release_to',
  custody: '/output/custody',
  transfer_ground: '/transfer_ground',
  from: '/duration/from',
  until: '/duration/until',
  automated_decision: '/automated_decision',
  safeguards: '/safeguards',
} as const satisfies Partial<Record<keyof Query, string>>;
type Parameter = keyof typeof POINTERS;
const PARAMETERS = Object.keys(POINTERS) as Parameter[];

/**
 * "What may my project use?", as the parameters of the catalogue's list ask it; undefined where
 * they do not. The answer holds for a request made now with these facts.
 * @throws ServiceError `invalid_request` where a parameter that it needs is missing.
 */
export function usableQuestion(
  deps: Pick<AccessWriter, 'inForce' | 'clock'>,
  query: Query,
): ((tx: Tx, principal: Principal) => Promise<Usability>) | undefined {
  const given = [...PARAMETERS, 'usable' as const].filter((name) => query[name] !== undefined);
  if (given.length === 0) return undefined;
  const { usable_by: project, purpose } = query;
  const missing = [
    ...(project === undefined ? ['usable_by'] : []),
    ...(purpose === undefined ? ['purpose'] : []),
  ];
  if (project === undefined || purpose === undefined) {
    const expected = `a value: it is required with ${given.join(', ')}`;
    throw new ServiceError(
      'invalid_request',
      'What may be used is asked for a project and a purpose.',
      missing.map((path) => ({ path, expected })),
    );
  }
  const question = {
    project,
    purpose,
    agreement: query.agreement,
    asked: askedBy({ ...query, usable_by: project, purpose }),
    isReview: query.usable === 'review',
  };
  return async (tx, principal) => {
    try {
      return await usability(deps, tx, principal, question);
    } catch (error) {
      throw error instanceof ServiceError ? asParameters(error) : error;
    }
  };
}

type Question = Query & { readonly usable_by: string; readonly purpose: string };

/** What a project asks of all datasets at once. */
export interface UsableAsked {
  readonly project: string;
  readonly agreement: string | undefined;
  readonly purpose: string;
  /** What the caller of a request would send, its references apart. */
  readonly asked: Asked;
  /** Also what a person has to look at first. */
  readonly isReview: boolean;
}

/**
 * Which datasets a request made now with these facts would be permitted for.
 * @throws ServiceError `unknown_reference`, `invalid_facts`, each with a place of the request.
 */
export async function usability(
  { inForce, clock }: Pick<AccessWriter, 'inForce' | 'clock'>,
  tx: Tx,
  principal: Principal,
  { project, agreement, purpose: named, asked: written, isReview }: UsableAsked,
): Promise<Usability> {
  const now = clock();
  const [program, registers] = await Promise.all([
    inForce(tx),
    readRegisters(tx, principal, { project, agreement }),
  ]);
  const asked = program.vocabulary.canonical('request', written);
  const purpose = program.vocabulary.canonical('request.purpose', named);
  const today = dayInZone(program.pack.timezone)(now.getTime());
  const known = knownPurposes(program, registers);
  const isCommon = known.includes(purpose);
  const isKnown = isCommon || (purpose !== WILDCARD && (await isPurposeNamed(tx, purpose)));
  refuse([
    ...program.vocabulary.checkAt('request', asked),
    ...checkPeriod(asked, today),
    ...(isKnown ? [] : [unknownPurpose(purpose, known)]),
  ]);
  const predicates = new Predicates();
  const { and, or, not } = predicates;
  const request = requestFor({ program, registers, asked, now });
  const left = (of: Program): Left => {
    const rest = residual(of, request(null), { 'request.sector': 'sector' }, predicates);
    if (!isReview) return { usable: and(rest.clear, rest.permitted), review: predicates.never };
    return { usable: and(rest.allowed, or(rest.permitted, rest.review)), review: rest.review };
  };
  const { usable, review, leftOut } = fairly(program, left);
  const nameable = isCommon ? predicates.always : namedBy(purpose, predicates);
  const { pack, packSha256: sha256 } = program;
  return {
    usable: and(usable, nameable, not(publishedBy(leftOut, predicates))),
    review,
    purpose,
    exceptions: await exceptions(tx, { program, registers, request, purpose, isReview }),
    as_of: now.toISOString(),
    pack: { pack: pack.pack, version: pack.version, sha256 },
    policies: [...program.policies, ...program.extensions.flatMap(({ part }) => part.policies)],
    left_out: leftOut,
  };
}

/** What is left to the dataset of the question. */
type Left = Pick<Usability, 'usable' | 'review'>;

/** Tests that the policies of one organisation may take, where all together take too many. */
const SHARE = 2_000;

/**
 * What the policies leave to the dataset. A list is everybody's: where it gets too long, those
 * organisations are left out whose policies take more than their share, and named.
 */
function fairly(program: Program, left: (of: Program) => Left): Left & { leftOut: string[] } {
  // The program itself where nothing is left out: what residual has prepared of it is kept by it.
  const askOnly = (isAsked: (owner: string | undefined) => boolean): Left => {
    const asked = program.extensions.filter(({ owner }) => isAsked(owner));
    return left(withExtensions(program, asked));
  };
  const sizeOfAll = ({ usable, review }: Left): number => sizeOf(usable) + sizeOf(review);
  const whole = left(program);
  if (sizeOfAll(whole) <= MAX_TESTS / 2) return { ...whole, leftOut: [] };
  const common = sizeOfAll(askOnly((owner) => owner === undefined));
  const owners = new Set(program.extensions.flatMap(({ owner }) => owner ?? []));
  const leftOut = [...owners].filter(
    (each) => sizeOfAll(askOnly((owner) => owner === undefined || owner === each)) - common > SHARE,
  );
  return { ...askOnly((owner) => owner === undefined || !leftOut.includes(owner)), leftOut };
}

function publishedBy(owners: readonly string[], predicates: Predicates): Predicate {
  if (owners.length === 0) return predicates.never;
  const path = 'publisher';
  const fact: StoredFact = {
    name: `stated ${path}`,
    path,
    load: 'text',
    absences: [{ path, value: null }],
  };
  return predicates.test({ kind: 'in', fact, values: owners }, 'true');
}

interface Asking {
  readonly program: Program;
  readonly registers: Registers;
  readonly asked: Asked;
  readonly now: Date;
}

/** The facts of a request for one dataset, or for one that no authorisation names. */
function requestFor({ program, registers, asked, now }: Asking): RequestFor {
  const common = { id: newId(now.getTime()), as_of: now.toISOString() };
  return (dataset) => ({
    ...overlay(asked, factsOfRegisters(program, registers, dataset)),
    ...common,
  });
}

type RequestFor = (dataset: string | null) => Record<string, unknown>;

interface Exceptional {
  readonly program: Program;
  readonly registers: Registers;
  readonly request: RequestFor;
  readonly purpose: string;
  readonly isReview: boolean;
}

/**
 * An authorisation for one dataset makes the facts of a request for it others: those few datasets
 * are decided by themselves.
 */
async function exceptions(
  tx: Tx,
  { program, registers, request, purpose, isReview }: Exceptional,
): Promise<Usability['exceptions']> {
  const general = JSON.stringify(request(null));
  const authorised = new Set(registers.authorisations.flatMap(({ dataset }) => dataset ?? []));
  const ids = [...authorised].filter((id) => JSON.stringify(request(id)) !== general);
  const [datasets, totals] = await Promise.all([readActiveDatasets(tx, ids), readTotals(tx, ids)]);
  const effects = datasets.map((dataset) => {
    const own = totals.filter((each) => each.dataset === dataset.id);
    const facts = factsOfDataset(dataset, own, purpose);
    const whole = {
      dataset: facts,
      request: { ...request(dataset.id), sector: facts['sector'] ?? null },
    };
    const bound = boundTo(program, whole);
    const { effect } = evaluate(bound, loadFacts(bound, whole));
    const refused = checkPurpose(program, purpose, dataset, registers).length > 0;
    const isListed = !refused && (effect === 'permit' || isReview);
    return [dataset.id, isListed ? effect : 'deny'] as const;
  });
  return new Map(effects);
}

/** Of a purpose that neither the pack nor the agreement knows: the dataset names it itself. */
function namedBy(purpose: string, predicates: Predicates): Predicate {
  const none = { items: [], open: false };
  const facts = ['permitted_purposes', 'prohibited_purposes'].map(
    (path): { fact: StoredFact; without: [] } => ({
      fact: { name: `stated ${path}`, path, load: 'set', absences: [{ path, value: none }] },
      without: [],
    }),
  );
  return predicates.test(
    { kind: 'contains', set: { ...none, facts }, value: { value: purpose } },
    'true',
  );
}

/** What the caller of a request with these parameters would send. */
function askedBy(query: Question): Asked {
  const asked: Record<string, unknown> = {};
  for (const name of PARAMETERS) {
    const value = query[name];
    if (value === undefined || name === 'usable_by' || name === 'agreement') continue;
    const list = Array.isArray(value) ? (value as string[]).filter((item) => item !== '') : value;
    const [first = '', second] = POINTERS[name].slice(1).split('/');
    if (name === 'recipients') asked[first] = (list as string[]).map((country) => ({ country }));
    else if (second === undefined) asked[first] = list;
    else asked[first] = { ...(asked[first] as object | undefined), [second]: list };
  }
  return asked;
}

function refuse(problems: readonly FactProblem[]): void {
  if (problems.length === 0) return;
  throw new ServiceError(
    'invalid_facts',
    'The question has facts with impossible values.',
    problems,
  );
}

/** An error about a request, its places those parameters that say it. */
function asParameters({ code, message, errors }: ServiceError): ServiceError {
  const parameterOf = (path: string): string =>
    PARAMETERS.find((name) => `${path}/`.startsWith(`${POINTERS[name]}/`)) ??
    PARAMETERS.find((name) => POINTERS[name].startsWith(`${path}/`)) ??
    path;
  return new ServiceError(
    code,
    message,
    errors.map((error) => ({ ...error, path: parameterOf(error.path) })),
  );
}
