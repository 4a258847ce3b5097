import { inOrder } from '../audit/canonical.ts';
import { type Dataset, datasetFacts } from '../catalogue/dataset.ts';
import type { ConsentTotal } from '../consent/consent.ts';
import { consentFacts } from '../consent/consent.ts';
import { type Parties, recordSpecs } from '../parties/party.ts';
import { parseDate } from '../pdp/calendar.ts';
import { type FactProblem, type Facts, isObject, suggestion } from '../pdp/facts.ts';
import type { Program } from '../pdp/program.ts';

/** What a caller of a request may say; everything else comes from the registers. */
export type Asked = Readonly<Record<string, unknown>>;

/** What the registers know that a request touches, all of one moment. */
export interface Registers {
  readonly project: Parties['project'];
  readonly organisation: Parties['organisation'];
  readonly agreement: Parties['agreement'] | null;
  /** Of the project's organisation, not revoked. */
  readonly registrations: readonly Parties['registration'][];
  /** Of the project, not revoked; those for other datasets are passed over. */
  readonly authorisations: readonly Parties['authorisation'][];
}

/**
 * What is wrong with the period asked for: it ends before it begins, or before `today` (days since
 * 1970-01-01; left out, only the first is looked at).
 */
export function checkPeriod({ duration }: Asked, today?: number): FactProblem[] {
  const { from, until } = (duration ?? {}) as { from?: unknown; until?: unknown };
  const end = typeof until === 'string' ? parseDate(until) : undefined;
  const begin = typeof from === 'string' ? parseDate(from) : undefined;
  if (end === undefined) return [];
  const path = '/duration/until';
  if (begin !== undefined && end < begin) return [{ path, expected: 'a date on or after "from"' }];
  if (today !== undefined && end < today) return [{ path, expected: 'a date that is not past' }];
  return [];
}

/**
 * What is wrong with the purpose asked for: a code that neither the pack, nor the dataset, nor the
 * agreement knows would slip past a prohibition of what it really is; `any` is no purpose.
 */
export function checkPurpose(
  program: Program,
  purpose: string,
  { document }: Dataset,
  registers: Pick<Registers, 'agreement'>,
): FactProblem[] {
  if (purpose !== WILDCARD && Object.hasOwn(program.pack.purposes, purpose)) return [];
  const { permitted_purposes, prohibited_purposes } = document;
  const named = [permitted_purposes ?? [], prohibited_purposes ?? []].flat() as string[];
  const known = [
    ...knownPurposes(program, registers),
    ...named.filter((code) => code !== WILDCARD),
  ];
  return known.includes(purpose) ? [] : [unknownPurpose(purpose, known)];
}

/** The purposes that the pack and the agreement know, whatever the dataset. */
export function knownPurposes(
  { pack }: Program,
  { agreement }: Pick<Registers, 'agreement'>,
): string[] {
  return [...Object.keys(pack.purposes), ...(agreement?.purposes ?? [])].filter(
    (code) => code !== WILDCARD,
  );
}

export function unknownPurpose(purpose: string, known: readonly string[]): FactProblem {
  return {
    path: '/purpose',
    expected: `one of ${[...new Set(known)].toSorted().join(', ')}${suggestion(purpose, known)}`,
  };
}

/** Permits every purpose where it is among those permitted; nothing is asked for it. */
export const WILDCARD = 'any';

/** The dataset's facts for a request with this purpose: its own, and the consent on record. */
export function factsOfDataset(
  dataset: Dataset,
  totals: readonly ConsentTotal[],
  purpose: unknown,
): Record<string, unknown> {
  const facts = datasetFacts(dataset);
  const subjectCount = facts['subject_count'];
  const consent = consentFacts(facts['consent'], totals, { purpose, subjectCount });
  return consent === undefined ? facts : { ...facts, consent };
}

/**
 * By project, what the registers said for it the last time, and which: one entry, since most ask
 * with one agreement, and few authorisations are for one dataset.
 */
const lastSaid = new WeakMap<
  Registers['project'],
  {
    readonly program: Program;
    readonly registers: Registers;
    /** Of the authorisations that are for one dataset. */
    readonly datasetId: string | null;
    readonly facts: Readonly<Record<string, unknown>>;
  }
>();

/**
 * `request.*` as far as the registers know it; `datasetId` picks authorisations for one dataset.
 * The very same objects for the same registers, in the order in which they are written.
 */
export function factsOfRegisters(
  program: Program,
  registers: Registers,
  datasetId: string | null,
): Readonly<Record<string, unknown>> {
  const { project, authorisations } = registers;
  const own = authorisations.some(({ dataset }) => dataset === datasetId) ? datasetId : null;
  const last = lastSaid.get(project);
  if (
    last?.program === program &&
    last.datasetId === own &&
    REGISTERS.every((each) => last.registers[each] === registers[each])
  )
    return last.facts;
  const facts = inOrder(registerFacts(program, registers, own));
  lastSaid.set(project, { program, registers, datasetId: own, facts });
  return facts;
}

const REGISTERS = ['organisation', 'agreement', 'registrations', 'authorisations'] as const;

function registerFacts(
  program: Program,
  registers: Registers,
  datasetId: string | null,
): Record<string, unknown> {
  const { project, organisation, agreement } = registers;
  const facts: Record<string, unknown> = {
    requester: {
      ...(program.vocabulary.has('request.requester.id') && { id: organisation.id }),
      ...(program.vocabulary.has('request.requester.project') && { project: project.id }),
      ...namedFacts(organisation),
    },
    agreement: agreement && factsOfAgreement(agreement),
    poc: project.poc && { stage: project.stage, ...project.poc },
    knowledge_transfer: project.knowledge_transfer,
    benefit_sharing: project.benefit_sharing,
  };
  const { registrations, authorisations } = registers;
  const records = { registration: registrations, authorisation: authorisations };
  for (const register of ['registration', 'authorisation'] as const) {
    for (const { path, record } of recordSpecs(program, register)) {
      place(facts, path, newest(records[register], record?.kind, datasetId), record?.field);
    }
  }
  return facts;
}

/** `request.*` as far as it is about an organisation that asks for nothing. */
export function factsOfOrganisation(
  program: Program,
  organisation: Parties['organisation'],
  registrations: readonly Parties['registration'][],
): Record<string, unknown> {
  const facts: Record<string, unknown> = { requester: namedFacts(organisation) };
  for (const { path, record } of recordSpecs(program, 'registration')) {
    place(facts, path, newest(registrations, record?.kind, null), record?.field);
  }
  return facts;
}

function namedFacts({ name, country, legal_form }: Parties['organisation']): object {
  return { name, country, legal_form };
}

/**
 * What cases say alike in which the same is asked, and the registers know the same of who asks.
 * Nobody may change it.
 */
export function baseOfCases(
  program: Program,
  asked: Asked,
  ofRegisters: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  return overlay(asked, ofRegisters, program.vocabulary.blank('request'));
}

/** What is added to it in each case. */
export const OF_EACH_CASE = ['as_of', 'id', 'sector'] as const;

/** What of a case is its own. */
interface OwnOfCase {
  readonly id: string;
  /** RFC 3339. */
  readonly asOf: string;
  /** The dataset's own facts. */
  readonly said: Readonly<Record<string, unknown>>;
}

interface CaseFacts extends Facts {
  readonly dataset: Readonly<Record<string, unknown>>;
  readonly request: Record<string, unknown>;
}

/** The facts of one case that has this base. */
export function factsOn(
  base: Readonly<Record<string, unknown>>,
  { id, asOf, said }: OwnOfCase,
): CaseFacts {
  const own: Record<(typeof OF_EACH_CASE)[number], unknown> = {
    as_of: asOf,
    id,
    sector: said['sector'] ?? null,
  };
  return { dataset: said, request: { ...base, ...own } };
}

/** The facts of one case: what is asked, and what the registers know. */
export function factsOfCase(
  program: Program,
  asked: Asked,
  {
    registers,
    dataset,
    ...own
  }: OwnOfCase & { readonly registers: Registers; readonly dataset: string },
): CaseFacts {
  return factsOn(baseOfCases(program, asked, factsOfRegisters(program, registers, dataset)), own);
}

export function factsOfAgreement(agreement: Parties['agreement']): Record<string, unknown> {
  const {
    id,
    kinds,
    binding,
    sectors,
    purposes,
    valid_from,
    valid_until,
    signatories,
    subprocessors_authorised,
  } = agreement;
  return {
    id,
    kinds,
    binding,
    sectors,
    purposes,
    valid_from,
    valid_until,
    signatories,
    subprocessors_authorised,
  };
}

/** What the caller asked over what the registers know: names nest, the registers never lose. */
export function overlay(
  asked: Asked,
  registers: Readonly<Record<string, unknown>>,
  merged: Record<string, unknown> = {},
): Record<string, unknown> {
  for (const key of Object.keys(asked)) merged[key] = asked[key];
  for (const key of Object.keys(registers)) {
    const [mine, value] = [merged[key], registers[key]];
    merged[key] = isObject(mine) && isObject(value) ? { ...mine, ...value } : value;
  }
  return merged;
}

interface AuthorityRecord {
  readonly id: string;
  readonly kind: string;
  readonly dataset?: string | null;
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * The record of a kind that counts: one for this very dataset before one for all, then the one
 * that is valid longest. Two records never add up: a second country needs an authorisation that
 * names both.
 */
function newest(
  records: readonly AuthorityRecord[],
  kind: string | undefined,
  dataset: string | null,
): AuthorityRecord | undefined {
  const rank = ({ dataset: of, fields, id }: AuthorityRecord): string =>
    `${of ? 1 : 0} ${typeof fields['valid_until'] === 'string' ? fields['valid_until'] : ''} ${id}`;
  return records
    .filter((each) => each.kind === kind && (!each.dataset || each.dataset === dataset))
    .toSorted((a, b) => (rank(a) < rank(b) ? 1 : -1))[0];
}

/** Puts a record's fields, or its one field, at the path that the pack gives it. */
function place(
  facts: Record<string, unknown>,
  path: string,
  record: AuthorityRecord | undefined,
  field: string | undefined,
): void {
  const keys = path.split('.').slice(1);
  const last = keys.pop();
  if (last === undefined || !record) return;
  let at = facts;
  for (const key of keys) {
    const next = at[key];
    const branch = isObject(next) ? { ...next } : {};
    at[key] = branch;
    at = branch;
  }
  at[last] = field === undefined ? record.fields : (record.fields[field] ?? null);
}
