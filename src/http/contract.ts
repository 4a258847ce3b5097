import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { type InputProblem, ServiceError } from '../errors.ts';
import type { OperationId } from '../operation.ts';
import { parseDate, parseInstant } from '../pdp/calendar.ts';
import { COUNTRIES } from '../pdp/countries.ts';
import { suggestion } from '../pdp/facts.ts';
import type { Role } from '../principal.ts';
import { escapePointer } from './json.ts';

const FILE = join(import.meta.dirname, '../../openapi/openapi.yaml');
const MAX_ERRORS = 100;
const PLAIN_TEXT = 'text without control characters';

interface ParameterObject {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required?: boolean;
  readonly schema: object;
}

interface OperationObject {
  readonly operationId: OperationId;
  readonly security?: readonly object[];
  readonly 'x-roles'?: readonly Role[];
  readonly 'x-protocol'?: 'authzen';
  readonly parameters?: readonly object[];
  readonly requestBody?: {
    readonly required?: boolean;
    readonly content: Readonly<Record<string, { readonly schema: object }>>;
  };
  readonly responses: Readonly<Record<string, unknown>>;
}

/** One operation of the contract, ready to check requests against. */
export interface Operation {
  readonly id: OperationId;
  readonly method: string;
  /** Path with `{parameters}`. */
  readonly path: string;
  /** Roles that may call it; empty where nobody has to say who they are. */
  readonly roles: readonly Role[];
  /** Media types of the body; undefined where there is none. */
  readonly mediaTypes: readonly string[] | undefined;
  readonly bodyRequired: boolean;
  /** AuthZEN has a body of another type answered with 400, and not with 415. */
  readonly isAuthzen: boolean;
  readonly checkBody: (body: unknown) => void;
  /** Checks and converts path and query parameters (texts become numbers). */
  readonly checkParameters: (given: GivenParameters) => {
    path: Record<string, unknown>;
    query: Record<string, unknown>;
  };
}

export interface GivenParameters {
  readonly path: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** By its name in lower-case letters. */
  readonly header: (name: string) => string | undefined;
}

/** The contract: the document, its operations and its schemas. */
export interface Contract {
  readonly document: Readonly<Record<string, unknown>>;
  readonly operations: readonly Operation[];
  /** @throws ServiceError `invalid_request` when the value does not fit the named schema. */
  readonly checkSchema: (name: string, value: unknown) => void;
  /** The validator of an operation's response, for tests; undefined for an undocumented status. */
  readonly responseValidator: (
    id: OperationId,
    status: number,
    mediaType: string,
  ) => ValidateFunction | undefined;
}

// Control characters but tab and line breaks have no place in texts that people and logs read.
// Neither have line and paragraph separators, nor marks that turn the direction of reading.
const CONTROL = /(?![\t\n\r])\p{Cc}|\p{Zl}|\p{Zp}|[\u202a-\u202e\u2066-\u2069]/u;

function newAjv(coerce: boolean): Ajv2020 {
  const ajv = new Ajv2020({
    allErrors: true,
    strict: false,
    verbose: true,
    coerceTypes: coerce ? 'array' : false,
  });
  ajv.addFormat('date', (text: string) => parseDate(text) !== undefined);
  ajv.addFormat('date-time', isStorableInstant);
  ajv.addFormat('country', (text: string) => COUNTRIES.has(text));
  ajv.addFormat('plain-text', (text: string) => !CONTROL.test(text));
  ajv.addFormat('uuid', /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  ajv.addFormat('uri', (text: string) => URL.canParse(text) && !CONTROL.test(text));
  ajv.addFormat('email', /^[^\s@]{1,64}@[^\s@]+\.[^\s@]+$/);
  return ajv;
}

// The database keeps offsets below 16 hours, and answers years before the first as "BC".
const FIRST_INSTANT = Date.parse('0001-01-01T00:00:00Z');
const LAST_INSTANT = Date.parse('9999-12-31T23:59:59.999Z');

function isStorableInstant(text: string): boolean {
  const instant = parseInstant(text);
  if (instant === undefined || /[+-](1[6-9]|2\d):\d\d$/.test(text)) return false;
  return instant >= FIRST_INSTANT && instant <= LAST_INSTANT;
}

/** Reads `openapi/openapi.yaml` and compiles its validators. */
export function loadContract(): Contract {
  const document = parse(readFileSync(FILE, 'utf8'), { merge: true }) as Record<string, unknown>;
  const bodies = newAjv(false).addSchema(document, 'openapi');
  const parameters = newAjv(true).addSchema(document, 'openapi');
  const paths = document['paths'] as Record<
    string,
    Record<string, OperationObject & { parameters?: object[] }>
  >;
  const operations: Operation[] = [];
  const responses = new Map<string, string>();
  for (const [path, item] of Object.entries(paths)) {
    for (const method of ['get', 'post', 'patch', 'put', 'delete']) {
      const operation = item[method];
      if (!operation) continue;
      const shared = item['parameters'] as unknown as object[] | undefined;
      const all = [...(shared ?? []), ...(operation.parameters ?? [])].map(
        (each) => resolve(document, each) as ParameterObject,
      );
      operations.push(
        compileOperation({ bodies, parameters, document }, { path, method, operation, all }),
      );
      responses.set(operation.operationId, `#/paths/${escape(path)}/${method}/responses`);
    }
  }
  return {
    document,
    operations,
    checkSchema: (name, value) =>
      check(document, bodies.getSchema(`openapi#/components/schemas/${name}`), value),
    responseValidator: (id, status, mediaType) =>
      responseValidator({ bodies, document }, responses.get(id) ?? '', status, mediaType),
  };
}

interface Compiler {
  readonly bodies: Ajv2020;
  readonly parameters: Ajv2020;
  readonly document: Record<string, unknown>;
}

interface Source {
  readonly path: string;
  readonly method: string;
  readonly operation: OperationObject;
  readonly all: readonly ParameterObject[];
}

function compileOperation(
  { bodies, parameters, document }: Compiler,
  { path, method, operation, all }: Source,
): Operation {
  const content = operation.requestBody?.content;
  const mediaTypes = content && Object.keys(content);
  const [mediaType] = mediaTypes ?? [];
  const pointer = `openapi#/paths/${escape(path)}/${method}/requestBody/content/${escape(mediaType ?? '')}/schema`;
  const validators = {
    path: parameterSchema(parameters, all, 'path'),
    query: parameterSchema(parameters, all, 'query'),
  };
  const headers = all.filter((each) => each.in === 'header');
  const headerValidator = parameterSchema(parameters, all, 'header');
  let body: ValidateFunction | undefined;
  return {
    id: operation.operationId,
    method: method.toUpperCase(),
    path,
    roles: operation['x-roles'] ?? [],
    mediaTypes,
    bodyRequired: operation.requestBody?.required ?? false,
    isAuthzen: operation['x-protocol'] === 'authzen',
    checkBody: (value) => {
      checkTexts(value);
      check(document, (body ??= bodies.getSchema(pointer)), value);
    },
    checkParameters: ({ path: inPath, query, header }) => {
      const given = { path: { ...inPath } as Record<string, unknown>, query: queryObject(query) };
      checkParameters(document, validators.path, given.path);
      checkParameters(document, validators.query, given.query);
      const present = headers.flatMap(({ name }) => {
        const value = header(name.toLowerCase());
        return value === undefined ? [] : [[name, value] as const];
      });
      checkParameters(document, headerValidator, Object.fromEntries(present));
      return given;
    },
  };
}

function parameterSchema(
  ajv: Ajv2020,
  all: readonly ParameterObject[],
  where: string,
): ValidateFunction {
  const own = all.filter((each) => each.in === where);
  const properties = Object.fromEntries(own.map(({ name, schema }) => [name, absolute(schema)]));
  return ajv.compile({
    type: 'object',
    properties,
    required: own.filter(({ required }) => required).map(({ name }) => name),
    ...(where === 'query' ? { additionalProperties: false } : {}),
  });
}

/** References of a schema that is compiled on its own point into the document. */
function absolute(schema: object): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#/', '"$ref":"openapi#/')) as object;
}

function queryObject(query: URLSearchParams): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (const key of new Set(query.keys())) {
    const values = query.getAll(key);
    Object.defineProperty(object, key, {
      value: values.length === 1 ? values[0] : values,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return object;
}

function responseValidator(
  { bodies, document }: Pick<Compiler, 'bodies' | 'document'>,
  pointer: string,
  status: number,
  mediaType: string,
): ValidateFunction | undefined {
  const responses = at(document, pointer) as Record<string, unknown> | undefined;
  const key = [String(status), `${Math.floor(status / 100)}XX`].find(
    (each) => responses?.[each] !== undefined,
  );
  if (key === undefined) return undefined;
  const response = responses?.[key] as { $ref?: string };
  const where = response.$ref ?? `${pointer}/${key}`;
  const schema = `${where}/content/${escape(mediaType)}/schema`;
  return at(document, schema) === undefined ? undefined : bodies.getSchema(`openapi${schema}`);
}

type Validate = ValidateFunction | undefined;

/** @throws ServiceError `invalid_request` naming each place and what was expected there. */
function check(document: Contract['document'], validate: Validate, value: unknown): void {
  const problems = problemsOf(document, validate, value);
  if (problems.length > 0) refuse(problems);
}

/** As `check`; a parameter's place is its name. */
function checkParameters(
  document: Contract['document'],
  validate: Validate,
  value: Readonly<Record<string, unknown>>,
): void {
  const problems = problemsOf(document, validate, value);
  if (problems.length > 0) refuse(problems.map((each) => ({ ...each, path: each.path.slice(1) })));
}

/**
 * Texts that a schema says nothing about, facts for one, have no control characters either: the
 * database cannot even keep U+0000.
 */
function checkTexts(value: unknown): void {
  // Where there is one is looked for only where there is one.
  if (!hasControls(value)) return;
  const problems: InputProblem[] = [];
  collectControls(value, '', problems);
  refuse(problems);
}

function hasControls(value: unknown): boolean {
  if (typeof value === 'string') return CONTROL.test(value);
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return value.some((item) => hasControls(item));
  for (const key in value) {
    if (CONTROL.test(key) || hasControls((value as Record<string, unknown>)[key])) return true;
  }
  return false;
}

function collectControls(value: unknown, path: string, problems: InputProblem[]): void {
  if (typeof value === 'string') {
    if (CONTROL.test(value)) problems.push({ path, expected: PLAIN_TEXT });
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      const place = `${path}/${escapePointer(key)}`;
      if (CONTROL.test(key))
        problems.push({ path: place, expected: 'a name without control characters' });
      collectControls(member, place, problems);
    }
  }
}

function refuse(problems: readonly InputProblem[]): never {
  throw new ServiceError(
    'invalid_request',
    'The request does not fit the contract.',
    problems.slice(0, MAX_ERRORS),
  );
}

function problemsOf(
  document: Contract['document'],
  validate: Validate,
  value: unknown,
): InputProblem[] {
  if (!validate) throw new Error('the contract has no such schema');
  if (validate(value)) return [];
  const problems = new Map<string, InputProblem>();
  for (const error of validate.errors ?? []) {
    if (['oneOf', 'anyOf', 'allOf', 'not', 'if', 'propertyNames'].includes(error.keyword)) continue;
    const problem = problemOf(document, error);
    if (!problems.has(problem.path)) problems.set(problem.path, problem);
  }
  const [first] = validate.errors ?? [];
  if (problems.size === 0) {
    return [{ path: first?.instancePath ?? '', expected: first?.message ?? 'another value' }];
  }
  return [...problems.values()];
}

/** The members that a schema names, itself or by the schemas that it is made of. */
function membersOf(document: Contract['document'], schema: unknown): string[] {
  const { properties = {}, allOf = [] } = resolve(document, schema as object) as {
    properties?: object;
    allOf?: object[];
  };
  return [...Object.keys(properties), ...allOf.flatMap((each) => membersOf(document, each))];
}

function problemOf(document: Contract['document'], error: ErrorObject): InputProblem {
  const params = error.params as Record<string, unknown>;
  const base = error.instancePath;
  switch (error.keyword) {
    case 'required':
      return {
        path: `${base}/${escapePointer(String(params['missingProperty']))}`,
        expected: 'a value: it is required',
      };
    case 'additionalProperties':
    case 'unevaluatedProperties': {
      const name = String(params['additionalProperty'] ?? params['unevaluatedProperty']);
      const known = membersOf(document, error.parentSchema ?? {});
      const hint =
        known.length > 0 ? ` Known are ${known.join(', ')}${suggestion(name, known)}.` : '';
      return { path: `${base}/${escapePointer(name)}`, expected: `nothing of this name.${hint}` };
    }
    case 'enum':
      return {
        path: base,
        expected: `one of ${(params['allowedValues'] as unknown[]).join(', ')}${suggestion(error.data, params['allowedValues'] as string[])}`,
      };
    case 'format':
      return {
        path: base,
        expected: FORMATS[String(params['format'])] ?? `a ${String(params['format'])}`,
      };
    case 'pattern':
      return {
        path: base,
        expected:
          (error.parentSchema as { description?: string } | undefined)?.description ??
          `text like ${String(params['pattern'])}`,
      };
    default:
      return {
        path: base,
        expected: (error.message ?? 'another value')
          .replace(/^must be/, '')
          .replace(/^must/, 'it must')
          .trim(),
      };
  }
}

const FORMATS: Readonly<Record<string, string>> = {
  date: 'a date that exists, YYYY-MM-DD',
  'date-time': 'an RFC 3339 date-time with seconds and an offset',
  country: 'an ISO 3166-1 alpha-2 country code, in capital letters',
  'plain-text': PLAIN_TEXT,
  uuid: 'a UUID in lower case',
  uri: 'an absolute URI',
  email: 'an e-mail address',
};

function resolve(document: Contract['document'], object: object): unknown {
  const { $ref } = object as { $ref?: string };
  return $ref === undefined ? object : at(document, $ref);
}

function at(document: unknown, pointer: string): unknown {
  let value = document;
  for (const part of pointer.split('/').slice(1)) {
    const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    value = (value as Record<string, unknown> | undefined)?.[key];
  }
  return value;
}

function escape(part: string): string {
  return part
    .replaceAll('~', '~0')
    .replaceAll('/', '~1')
    .replaceAll('{', '%7B')
    .replaceAll('}', '%7D')
    .replaceAll('+', '%2B');
}
