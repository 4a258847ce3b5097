import type { Selectable } from 'kysely';
import type {
  AgreementTable,
  AuthorisationTable,
  OrganisationTable,
  ProjectTable,
  RegistrationTable,
} from '../db/schema.ts';
import type { InputProblem } from '../errors.ts';
import { parseDate } from '../pdp/calendar.ts';
import type { FactProblem, FactSpec, Vocabulary } from '../pdp/facts.ts';
import { purposeProblems, purposesNamed } from '../pdp/purposes.ts';
import type { Program } from '../pdp/program.ts';
import { overseesAll, type Principal } from '../principal.ts';

/** What the authority keeps, a row each; all but `version` and the times is what it writes. */
export interface Parties {
  organisation: Selectable<OrganisationTable>;
  agreement: Selectable<AgreementTable>;
  project: Selectable<ProjectTable>;
  registration: Selectable<RegistrationTable>;
  authorisation: Selectable<AuthorisationTable>;
}
export type PartyKind = keyof Parties;
export type PartyInput<Kind extends PartyKind> = Omit<
  Parties[Kind],
  'version' | 'created_at' | 'updated_at'
>;

/** A register's member that names a row of another register. */
export interface Reference {
  readonly path: string;
  readonly table: PartyKind;
  readonly id: string;
}

interface Rules<Kind extends PartyKind> {
  /** Columns that hold JSON. */
  readonly json: readonly (keyof Parties[Kind] & string)[];
  /** What the pack's facts say against it. */
  check(input: PartyInput<Kind>, program: Program): InputProblem[];
  references(input: PartyInput<Kind>): Reference[];
  /** May this caller see it? The project's organisation is given where the row hangs on a project. */
  visibleTo(row: Parties[Kind], principal: Principal): boolean;
}

/** The rules of each register of parties. Pure. */
export const PARTIES: { readonly [Kind in PartyKind]: Rules<Kind> } = {
  organisation: {
    json: ['name'],
    check: ({ country, legal_form }, program) =>
      columnProblems(program, 'request.requester', { country, legal_form }),
    references: () => [],
    visibleTo: () => true,
  },
  agreement: {
    json: ['title'],
    check: checkAgreement,
    references: ({ signatories }) =>
      signatories.map((id, i) => ({ path: `/signatories/${i}`, table: 'organisation', id })),
    visibleTo: ({ signatories }, principal) =>
      overseesAll(principal) ||
      (principal.organisation !== null && signatories.includes(principal.organisation)),
  },
  project: {
    json: ['title', 'team', 'poc', 'knowledge_transfer'],
    check: ({ purposes, sector, stage, poc, knowledge_transfer }, program) => [
      ...purposeProblems(program, purposes, (i) => `/purposes/${i}`),
      ...columnProblems(program, 'request', { sector }),
      ...columnProblems(program, 'request.poc', { stage }),
      ...objectProblems(program, 'request.poc', poc, '/poc'),
      ...objectProblems(
        program,
        'request.knowledge_transfer',
        knowledge_transfer,
        '/knowledge_transfer',
      ),
    ],
    references: ({ organisation }) => [
      { path: '/organisation', table: 'organisation', id: organisation },
    ],
    visibleTo: ({ id }, principal) =>
      overseesAll(principal) || principal.role === 'steward' || principal.projects.includes(id),
  },
  registration: {
    json: ['fields'],
    check: (input, program) => checkRecord(input, program, 'registration'),
    references: ({ organisation }) => [
      { path: '/organisation', table: 'organisation', id: organisation },
    ],
    visibleTo: ({ organisation }, principal) =>
      overseesAll(principal) ||
      principal.role === 'steward' ||
      principal.organisation === organisation,
  },
  authorisation: {
    json: ['fields'],
    check: (input, program) => checkRecord(input, program, 'authorisation'),
    references: ({ project }) => [{ path: '/project', table: 'project', id: project }],
    visibleTo: ({ project }, principal) =>
      overseesAll(principal) ||
      principal.role === 'steward' ||
      principal.projects.includes(project),
  },
};

/** A party's row with the pack's own codes for purposes that it calls by their IRIs. */
export function withPurposes<Kind extends PartyKind>(
  input: PartyInput<Kind>,
  program: Program,
): PartyInput<Kind> {
  if (!('purposes' in input)) return input;
  const purposes = purposesNamed(program, input.purposes as readonly string[]);
  return { ...input, purposes: [...new Set(purposes)] };
}

function checkAgreement(input: PartyInput<'agreement'>, program: Program): InputProblem[] {
  const { kinds, binding, sectors, purposes, valid_from, valid_until } = input;
  const facts = { kinds, binding, sectors, purposes, valid_from, valid_until };
  const problems = columnProblems(program, 'request.agreement', facts);
  const [from, until] = [parseDate(valid_from), parseDate(valid_until)];
  if (from !== undefined && until !== undefined && from > until) {
    problems.push({ path: '/valid_until', expected: 'a date on or after valid_from' });
  }
  return problems;
}

type RecordRegister = 'registration' | 'authorisation';

const specsByRegister = new WeakMap<Vocabulary, Record<RecordRegister, readonly FactSpec[]>>();

/** The facts of the pack that a register's records fill, by the kind of record. */
export function recordSpecs(
  { vocabulary }: Pick<Program, 'vocabulary'>,
  register: RecordRegister,
): readonly FactSpec[] {
  const known = specsByRegister.get(vocabulary);
  if (known) return known[register];
  const of = (name: RecordRegister): FactSpec[] =>
    vocabulary.specs.filter(({ record }) => record?.register === name);
  const specs = { registration: of('registration'), authorisation: of('authorisation') };
  specsByRegister.set(vocabulary, specs);
  return specs[register];
}

function checkRecord(
  { kind, fields }: { kind: string; fields: Readonly<Record<string, unknown>> },
  program: Program,
  register: RecordRegister,
): InputProblem[] {
  const specs = recordSpecs(program, register);
  const spec = specs.find(({ record }) => record?.kind === kind);
  if (!spec) {
    const kinds = specs.map(({ record }) => record?.kind).join(', ');
    return [{ path: '/kind', expected: `one of ${kinds}` }];
  }
  const { field } = spec.record ?? {};
  if (field === undefined) return factProblems(program, spec.path, fields, '/fields');
  const extra = Object.keys(fields).filter((key) => key !== field);
  const problems = extra.map((key) => ({ path: `/fields/${key}`, expected: `only "${field}"` }));
  return [
    ...problems,
    ...factProblems(program, spec.path, fields[field] ?? '', `/fields/${field}`),
  ];
}

/** What a pack does not declare no policy reads: it stays as the contract types it. */
function columnProblems(
  program: Program,
  branch: string,
  columns: Readonly<Record<string, unknown>>,
): InputProblem[] {
  const declared = Object.entries(columns).filter(([name]) =>
    program.vocabulary.has(`${branch}.${name}`),
  );
  return declared.length === 0
    ? []
    : factProblems(program, branch, Object.fromEntries(declared), '');
}

/** Whoever states a limit relies on it: what no policy would read is refused, not kept in silence. */
function objectProblems(
  program: Program,
  branch: string,
  value: unknown,
  path: string,
): InputProblem[] {
  if (value === null || value === undefined) return [];
  if (program.vocabulary.has(branch)) return factProblems(program, branch, value, path);
  return [{ path, expected: `nothing: the pack ${program.pack.pack} has no such facts` }];
}

function factProblems(
  program: Program,
  branch: string,
  value: unknown,
  prefix: string,
): InputProblem[] {
  return program.vocabulary
    .checkAt(branch, value)
    .map(({ path, expected }: FactProblem) => ({ path: prefix + path, expected }));
}
