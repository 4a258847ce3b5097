import type { InputProblem } from '../errors.ts';
import { ServiceError } from '../errors.ts';
import type { Bindings, Imported } from '../odrl/import.ts';
import { buildProgram } from '../pdp/build.ts';
import type { PackDocument, Texts } from '../pdp/document.ts';
import { type FactSpec, isObject } from '../pdp/facts.ts';
import type { Program } from '../pdp/program.ts';
import { problemOf } from '../policies/files.ts';
import { overseesAll, type Principal } from '../principal.ts';

/** Who says what an attribute is: the space's entities, the caller, or the caller before them. */
export type Source = 'stored' | 'request' | 'request_over_stored';

export interface Attribute {
  readonly type: Exclude<FactSpec['type'], 'enum' | 'object' | 'list'>;
  readonly of?: 'text' | 'code' | 'country';
  readonly source?: Source;
  readonly absent?: 'none';
  readonly title?: Texts;
}

/** What a space is made of, its entities apart: nothing of it rests on the nation's policies. */
export interface SpaceDocument {
  readonly title: Texts;
  readonly callers: readonly string[];
  readonly logged: boolean;
  /** By path, such as `resource.properties.status`. */
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly terms: Readonly<Record<string, { title?: Texts; broader?: readonly string[] }>>;
  readonly actions: readonly { readonly name: string; readonly title?: Texts }[];
  /** By name, their texts. */
  readonly policies: Readonly<Record<string, string>>;
  /** ODRL policies as they were given, by name, and what they were read as. */
  readonly odrl: Readonly<Record<string, OdrlPolicy>>;
  readonly imported: Readonly<Record<string, ImportedPolicy>>;
  /** Those of the pack that was in force when the space was made. */
  readonly home: string;
  readonly timezone: string;
}

export interface OdrlPolicy {
  readonly format: 'jsonld' | 'turtle';
  readonly document: string;
  readonly bindings?: Bindings;
}

/** An ODRL policy in our language, with the attributes and terms that it reads. */
export type ImportedPolicy = Pick<Extract<Imported, { ok: true }>, 'text' | 'terms'> & {
  readonly attributes: Readonly<Record<string, Attribute>>;
};

export interface Space {
  readonly id: string;
  /** Whose stewards keep it; null where the authority does. */
  readonly organisation: string | null;
  readonly status: 'active' | 'retired';
  readonly version: number;
  /** Counts the changes of its entities. */
  readonly entity_revision: number;
  /** How many there are. */
  readonly entities: number;
  readonly created_at: string;
  readonly updated_at: string;
  readonly document: SpaceDocument;
}

type Kept = Pick<Space, 'organisation'>;
type Asked = Kept & { readonly document: Pick<SpaceDocument, 'callers'> };

/** May this caller change the space? */
export function mayKeep({ organisation }: Kept, principal: Principal): boolean {
  if (principal.role === 'authority') return true;
  return principal.role === 'steward' && principal.organisation === organisation;
}

/** May this caller read what the space is made of? */
export function maySee(space: Kept, principal: Principal): boolean {
  return overseesAll(principal) || mayKeep(space, principal);
}

/** May this caller ask the space for decisions? */
export function mayAsk(space: Asked, principal: Principal): boolean {
  if (overseesAll(principal)) return true;
  const { organisation } = principal;
  if (organisation === null) return false;
  return organisation === space.organisation || space.document.callers.includes(organisation);
}

/** Facts that every space has: what AuthZEN requires, and the instant of the question. */
const BUILT_IN = {
  'subject.type': 'text',
  'subject.id': 'text',
  'action.name': 'text',
  'resource.type': 'text',
  'resource.id': 'text',
  'request.as_of': 'datetime',
} as const;

/** The instrument that a rule of a space rests on where it names none: the space itself. */
export const OWN = 'space';

/**
 * The program of a space's policies on a day (`YYYY-MM-DD`, where the space is at home).
 * @throws ServiceError `invalid_policy` with name, line and column of every mistake.
 */
export function compileSpace(document: SpaceDocument, day: string): Program {
  const built = buildProgram(
    { file: 'space', text: JSON.stringify(packOf(document)) },
    policiesOf(document),
    (content) => completed(content, day),
  );
  if (built.ok) return built.value;
  throw new ServiceError(
    'invalid_policy',
    'The attributes, terms and policies of the space do not fit together.',
    built.problems.map(problemOf),
  );
}

function policiesOf({ policies, imported }: SpaceDocument): { file: string; text: string }[] {
  return [
    ...Object.entries(policies).map(([file, text]) => ({ file, text })),
    ...Object.entries(imported).map(([file, { text }]) => ({ file, text })),
  ];
}

/** The attributes that the space declares, and those that its ODRL policies read besides. */
export function attributesOf({
  attributes,
  imported,
}: Pick<SpaceDocument, 'attributes' | 'imported'>): Readonly<Record<string, Attribute>> {
  const read = Object.values(imported).map((each) => each.attributes);
  return Object.assign({}, ...read, attributes) as Record<string, Attribute>;
}

function packOf(document: SpaceDocument): PackDocument {
  const { title, imported, home, timezone } = document;
  const read = Object.values(imported).map((each) => each.terms);
  const terms = Object.assign({}, ...read, document.terms) as SpaceDocument['terms'];
  const facts = [
    ...Object.entries(BUILT_IN).map(([path, type]) => [path, { type }] as const),
    ...Object.entries(attributesOf(document)),
  ].map(([path, spec]: readonly [string, Attribute]) => [
    path,
    {
      title: { en: path },
      basis: OWN,
      ...spec,
      source: spec.source === 'stored' ? 'register' : 'request',
    },
  ]);
  const examiner = { role: 'steward', title: { en: 'Who keeps the space' } } as const;
  return {
    pack: OWN,
    version: 1,
    title,
    home,
    timezone,
    reviewed_by: null,
    instruments: { [OWN]: { title, kind: 'national_choice' } },
    examiners: {
      statute: examiner,
      regulation: examiner,
      agreement: examiner,
      national_choice: examiner,
      steward: examiner,
    },
    expiries: [],
    purposes: Object.fromEntries(
      Object.entries(terms).map(([code, term]) => [code, { title: { en: code }, ...term }]),
    ),
    sectors: {},
    place_groups: {},
    facts: Object.fromEntries(facts) as PackDocument['facts'],
    derived: {},
  };
}

const NOTHING: Readonly<Record<string, unknown>> = {};

/**
 * A policy of a space says what it wants of layer, law and words; what it leaves out is the
 * space's own. Outside its days it has no rules, and a rule that never applies stands for them.
 */
function completed(content: unknown, day: string): unknown {
  if (!isObject(content)) return content;
  const { policy, in_force } = content;
  const { from, until } = isObject(in_force) ? in_force : NOTHING;
  const isOver = typeof until === 'string' && until < day;
  const applies = !isOver && !(typeof from === 'string' && from > day);
  const rules = content['rules'];
  return {
    version: 1,
    layer: 'national_choice',
    concern: 'sovereignty',
    title: { en: typeof policy === 'string' ? policy : 'policy' },
    instrument: OWN,
    in_force: { from: '0001-01-01' },
    ...content,
    ...(Array.isArray(rules) && {
      rules: (rules as unknown[]).map((rule) => completedRule(rule, applies)),
    }),
  };
}

function completedRule(rule: unknown, applies: boolean): unknown {
  if (!isObject(rule)) return rule;
  const name = typeof rule['id'] === 'string' && rule['id'] !== '' ? rule['id'] : 'rule';
  return {
    title: { en: name },
    sentence: { en: name },
    cites: [{ instrument: OWN, article: name, confidence: 'high' }],
    ...rule,
    ...(applies ? {} : { applies: { and: [rule['applies'] ?? true, false] } }),
  };
}

/** Top-level properties of one side of a question, and who says each. */
export type Sources = ReadonlyMap<string, Source>;

/**
 * Who says the properties of `subject`, `resource` or `action`.
 * @throws ServiceError `invalid_facts` where two members of one property differ in it.
 */
export function sourcesOf(
  document: Pick<SpaceDocument, 'attributes' | 'imported'>,
  side: string,
): Sources {
  const prefix = `${side}.properties.`;
  const sources = new Map<string, Source>();
  for (const [path, { source = 'request' }] of Object.entries(attributesOf(document))) {
    if (!path.startsWith(prefix)) continue;
    const [name = ''] = path.slice(prefix.length).split('.');
    if ((sources.get(name) ?? source) !== source) {
      const expected = `"${sources.get(name)}": members of one property have one source`;
      throw new ServiceError('invalid_facts', 'The attributes do not fit together.', [
        { path: `/attributes/${path}/source`, expected },
      ]);
    }
    sources.set(name, source);
  }
  return sources;
}

type Properties = Readonly<Record<string, unknown>>;

/** The properties that count: each by who says it. What only an entity may say is never the caller's. */
export function propertiesOf(sources: Sources, sent?: Properties, stored?: Properties): Properties {
  if (sources.size === 0) return {};
  const counted = Object.create(null) as Record<string, unknown>;
  for (const [name, source] of sources) {
    const said = source !== 'stored' && sent && Object.hasOwn(sent, name) ? sent[name] : undefined;
    const kept = source !== 'request' && stored && Object.hasOwn(stored, name);
    counted[name] = said ?? (kept ? stored[name] : undefined);
  }
  return counted;
}

/** What the caller sent of what only an entity may say. */
export function ignoredOf(
  sources: Sources,
  side: string,
  sent: Properties = {},
  stored: Properties = {},
): { attribute: string; differs: boolean }[] {
  return [...sources].flatMap(([name, source]) => {
    if (source !== 'stored' || !Object.hasOwn(sent, name)) return [];
    const kept = Object.hasOwn(stored, name) ? stored[name] : undefined;
    const differs = JSON.stringify(sent[name]) !== JSON.stringify(kept);
    return [{ attribute: `${side}.properties.${name}`, differs }];
  });
}

/**
 * What is wrong with the properties of an entity: one that is declared for subjects or resources
 * must have a type that one of the two declares.
 */
export function entityProblems(
  { vocabulary }: Program,
  properties: Properties | undefined,
): InputProblem[] {
  return Object.entries(properties ?? {}).flatMap(([name, value]) => {
    const declared = ['subject', 'resource']
      .map((side) => `${side}.properties.${name}`)
      .filter((path) => !name.includes('.') && vocabulary.has(path));
    const found = declared.map((path) => vocabulary.checkAt(path, value));
    if (value === null || found.some((problems) => problems.length === 0)) return [];
    return found[0] ?? [];
  });
}
