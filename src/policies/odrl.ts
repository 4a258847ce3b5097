import { type InputProblem, ServiceError } from '../errors.ts';
import { exportOdrl } from '../odrl/export.ts';
import { type Bindings, type Imported, importOdrl, type ImportOptions } from '../odrl/import.ts';
import { type Format, FORMATS } from '../odrl/read.ts';
import type { BodyOf } from '../operation.ts';
import { compareConditions, comparePolicies, type Relation } from '../pdp/compare.ts';
import { type Condition, parseCondition, PolicyProblem } from '../pdp/condition.ts';
import { parsePolicy, type PolicyDocument } from '../pdp/document.ts';
import type { Program } from '../pdp/program.ts';
import { problemOf } from './files.ts';

export type ImportedPolicy = Extract<Imported, { readonly ok: true }>;

/**
 * An ODRL policy as a document. `today` (YYYY-MM-DD): from when it is in force if not said.
 * @throws ServiceError `invalid_policy` with what has no meaning here, and where it stands.
 */
export async function importPolicy(
  { pack }: Program,
  { format, text, profile = 'national', bindings, from, owner, ...header }: BodyOf<'importPolicy'>,
  today: string,
): Promise<ImportedPolicy> {
  const options: ImportOptions = {
    format,
    bindings: bindings ?? {},
    header: {
      ...header,
      in_force: { from: from ?? today },
      ...(owner === undefined ? {} : { layer: 'steward', owner }),
    },
    ...(profile === 'space' ? { profile } : { profile, pack }),
  };
  return read(text, options, '/text');
}

async function read(text: string, options: ImportOptions, path: string): Promise<ImportedPolicy> {
  const imported = await importOdrl(text, options);
  if (imported.ok) return imported;
  const problems = imported.problems.map(({ where, message }) => ({
    path: where === '' ? path : `${path} ${where}`,
    expected: message,
  }));
  throw new ServiceError('invalid_policy', 'The ODRL policy cannot be taken over.', problems);
}

/** A policy's text in an ODRL format, and the media type of it. */
export function exportPolicy(
  { pack }: Program,
  document: string,
  format: Format,
): { readonly body: string; readonly mediaType: string } {
  const { content } = parsedOf('document', document);
  return { body: exportOdrl(content, { format, pack }), mediaType: FORMATS[format] };
}

function parsedOf(path: string, text: string): { readonly content: PolicyDocument } {
  const parsed = parsePolicy(path, text);
  if (parsed.ok) return parsed.source;
  throw new ServiceError(
    'invalid_policy',
    'The policy has mistakes.',
    parsed.problems.map(problemOf),
  );
}

type Side = BodyOf<'comparePolicies'>['a'];

/**
 * How two constraints, or two policies, relate beside what is in force.
 * @throws ServiceError `invalid_request` for one of each; `invalid_policy` for mistakes in them.
 */
export async function comparePolicyTexts(
  program: Program,
  { a, b }: BodyOf<'comparePolicies'>,
  today: string,
): Promise<Relation> {
  const sides = { a, b };
  for (const name of ['a', 'b'] as const) {
    const { constraint, document } = sides[name];
    if ((constraint === undefined) === (document === undefined))
      refuse(name, 'either a constraint or the document of a policy');
  }
  if ((a.document === undefined) !== (b.document === undefined))
    refuse('b', 'a constraint beside a constraint, a policy beside a policy');
  if (a.document === undefined) return ofConstraints(program, sides);
  const documents = {
    a: await documentOf(program, a, '/a/document', today),
    b: await documentOf(program, b, '/b/document', today),
  };
  const compared = comparePolicies(program, documents.a, documents.b);
  if (compared.ok) return compared.relation;
  const problems = compared.problems.map(
    ({ rule, message }): InputProblem => ({
      path: `/${compared.of}/document`,
      expected: message,
      ...(rule === undefined ? {} : { rule }),
    }),
  );
  throw new ServiceError('invalid_policy', 'The policy has mistakes.', problems);
}

function refuse(name: string, expected: string): never {
  throw new ServiceError('invalid_request', 'The request does not fit the contract.', [
    { path: `/${name}`, expected },
  ]);
}

function ofConstraints(program: Program, sides: { readonly a: Side; readonly b: Side }): Relation {
  try {
    const parse = (name: 'a' | 'b'): Condition => parseCondition(sides[name].constraint, [name]);
    return compareConditions(program, parse('a'), parse('b'));
  } catch (error) {
    if (!(error instanceof PolicyProblem)) throw error;
    const [name, ...rest] = error.path;
    throw new ServiceError('invalid_policy', 'The constraint has mistakes.', [
      { path: ['', name, 'constraint', ...rest].join('/'), expected: error.message },
    ]);
  }
}

async function documentOf(
  program: Program,
  { document = '', format = 'yaml', bindings = {} }: Side,
  path: string,
  today: string,
): Promise<PolicyDocument> {
  if (format === 'yaml') return parsedOf(path, document).content;
  const given: Bindings = bindings;
  const { text } = await read(
    document,
    {
      format,
      profile: 'national',
      pack: program.pack,
      bindings: given,
      header: { in_force: { from: today } },
    },
    path,
  );
  return parsedOf(path, text).content;
}
