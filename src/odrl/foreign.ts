import { type Condition, parseCondition } from '../pdp/condition.ts';
import type { Obligation, Outcome, Rule, Texts, PolicyDocument } from '../pdp/document.ts';
import { constraintsOf } from './constraint.ts';
import {
  type Graph,
  type Node,
  odrlName,
  OdrlMistake,
  type OdrlProblem,
  type Term,
  where,
} from './graph.ts';
import { type DutyMapping, WORDS } from './mapping.ts';
import { type Reading, wordsOf } from './reading.ts';
import { actionCondition, actionOf, allOf, anyOf, sharedValues, thingCondition } from './scope.ts';
import { DCT, localName, odrl, RDFS, shortName, SKOS } from './terms.ts';
import type { ImportHeader } from './import.ts';

type Kind = 'permission' | 'prohibition' | 'obligation';

const KINDS: readonly Kind[] = ['permission', 'prohibition', 'obligation'];
const SHARED = ['action', 'assignee', 'assigner', 'target'].map(odrl);
const POLICY = [
  ...SHARED,
  ...KINDS.map(odrl),
  ...['uid', 'profile', 'conflict', 'inheritAllowed'].map(odrl),
];
const RULE = [...SHARED, ...['uid', 'constraint', 'output'].map(odrl)];
/** Parties that a duty may name, and what it may be about: they become part of its sentence. */
const DUTY_WORDS = [
  'output',
  'attributedParty',
  'attributingParty',
  'compensatedParty',
  'compensatingParty',
  'consentingParty',
  'consentedParty',
  'informedParty',
  'informingParty',
  'trackingParty',
  'trackedParty',
  'contractingParty',
  'contractedParty',
].map(odrl);
const REASONS: Readonly<Record<string, string>> = {
  [odrl('inheritFrom')]: 'rules of another policy: nothing is fetched; put them into this one',
  [odrl('duty')]: 'a duty belongs to a permission, or to the policy as an obligation',
  [odrl('remedy')]: 'a remedy acts after a prohibition was violated: a decision comes before',
  [odrl('consequence')]: 'a consequence acts after a duty was not done: a decision comes before',
  [odrl('failure')]: 'what follows on a failure is decided elsewhere',
  [odrl('undefined')]: 'an unknown action is refused, whatever the policy says',
};
const MAX_PROBLEMS = 50;
const MAX_ARTICLE = 200;

/**
 * A policy that others wrote. Every rule is read even where one is refused, so that all that is in
 * the way is said at once.
 * @throws OdrlMistake for what is wrong with the policy itself.
 */
export function readForeign(
  reading: Reading,
  policy: Node,
  header: ImportHeader,
): { readonly document: PolicyDocument; readonly problems: readonly OdrlProblem[] } {
  return new ForeignReader(reading, policy, header).read();
}

class ForeignReader {
  readonly #reading: Reading;
  readonly #graph: Graph;
  readonly #policy: Node;
  readonly #header: ImportHeader;
  readonly #name: string;
  readonly #title: Texts;
  /** What the ids of its rules begin with. */
  readonly #prefix: string;
  readonly #rules: Rule[] = [];
  readonly #problems: OdrlProblem[] = [];

  constructor(reading: Reading, policy: Node, header: ImportHeader) {
    this.#reading = reading;
    this.#graph = reading.graph;
    this.#policy = policy;
    this.#header = header;
    this.#name = header.policy ?? slugOf(policy);
    this.#prefix = this.#name.toUpperCase().slice(0, 45);
    this.#title = reading.title(policy) ?? { en: wordsOf(this.#name) };
  }

  read(): { document: PolicyDocument; problems: OdrlProblem[] } {
    this.#checkPolicy();
    const nodes = KINDS.map(
      (kind) => [kind, this.#graph.nodesOf(this.#policy, odrl(kind))] as const,
    );
    if (nodes.every(([, each]) => each.length === 0))
      throw new OdrlMistake(where(this.#policy), 'a policy has at least one rule');
    const permissions = new Map<string, { target: Condition | undefined; rules: string[] }>();
    for (const [kind, each] of nodes)
      each.forEach((node, i) => {
        try {
          this.#rule(kind, node, { number: i + 1, permissions });
        } catch (error) {
          if (!(error instanceof OdrlMistake)) throw error;
          if (this.#problems.length < MAX_PROBLEMS)
            this.#problems.push({ where: error.where, message: error.message });
        }
      });
    if (this.#reading.mapping.closes) this.#close([...permissions.values()]);
    return { document: this.#document(), problems: this.#problems };
  }

  #checkPolicy(): void {
    const policy = this.#policy;
    this.#reading.only(policy, POLICY, REASONS);
    for (const profile of this.#graph.nodesOf(policy, odrl('profile')))
      if (!WORDS.profiles.includes(profile.value))
        throw new OdrlMistake(
          where(policy, odrl('profile')),
          `a policy of a profile that is not known, ${shortName(profile.value)}, must not be read (ODRL 2.2, 4.2)`,
        );
    const conflict = this.#graph.one(policy, odrl('conflict'));
    if (conflict && odrlName(conflict) !== 'prohibit')
      throw new OdrlMistake(
        where(policy, odrl('conflict')),
        'here a prohibition always wins: odrl:prohibit',
      );
    const isAgreement = this.#graph.types(policy).includes(odrl('Agreement'));
    for (const permission of isAgreement ? this.#graph.nodesOf(policy, odrl('permission')) : [])
      if (sharedValues(this.#reading, permission, policy, 'assignee').length === 0)
        throw new OdrlMistake(where(policy), 'an agreement says to whom it grants what it permits');
  }

  #document(): PolicyDocument {
    const { in_force, version = 1, owner, instrument, concern, layer } = this.#header;
    const defaults = this.#reading.mapping.header;
    const description = this.#description();
    return {
      policy: this.#name,
      version,
      layer: layer ?? (defaults.layer as PolicyDocument['layer']),
      concern: concern ?? (defaults.concern as PolicyDocument['concern']),
      ...(owner === undefined ? {} : { owner }),
      title: this.#title,
      ...(description && { description }),
      instrument: instrument ?? defaults.instrument,
      in_force,
      rules: this.#rules,
    };
  }

  #description(): Texts | undefined {
    for (const property of [`${DCT}description`, `${SKOS}editorialNote`, `${RDFS}comment`])
      for (const term of this.#graph.all(this.#policy, property))
        if (term.kind === 'literal' && term.value !== '') return { en: term.value.slice(0, 4000) };
    return undefined;
  }

  #rule(
    kind: Kind,
    node: Node,
    context: {
      number: number;
      permissions: Map<string, { target: Condition | undefined; rules: string[] }>;
    },
  ): void {
    const own = kind === 'permission' ? [...RULE, odrl('duty')] : RULE;
    const known = kind === 'obligation' ? [...own, ...DUTY_WORDS] : own;
    this.#reading.only(node, known, REASONS);
    const id = `${this.#prefix}-${LETTERS[kind]}${context.number}`;
    switch (kind) {
      case 'permission':
        this.#permission(id, node, context);
        break;
      case 'prohibition':
        this.#prohibition(id, node, context.number);
        break;
      case 'obligation':
        this.#duty(id, node, this.#scope(node, ['assignee', 'target'], 'each'));
    }
  }

  #permission(
    id: string,
    node: Node,
    {
      number,
      permissions,
    }: {
      number: number;
      permissions: Map<string, { target: Condition | undefined; rules: string[] }>;
    },
  ): void {
    const target = this.#thing(node, 'target', 'each');
    if (sharedValues(this.#reading, node, this.#policy, 'target').length === 0)
      throw new OdrlMistake(where(node), 'a permission says what it is about: its target');
    const duties = this.#graph.nodesOf(node, odrl('duty')).map((duty) => this.#dutyOf(duty));
    const conditions = duties.flatMap((duty) => this.#dutyCondition(duty));
    const applies = allOf([
      ...this.#scope(node, ['action', 'assignee', 'target'], 'each'),
      ...this.#output(node),
      ...constraintsOf(
        this.#reading,
        this.#graph.nodesOf(node, odrl('constraint')),
        'rule',
        'each',
      ),
      ...conditions,
    ]);
    this.#add(id, node, {
      title: { en: `Permission ${number}` },
      sentence: {
        en: `What permission ${number} of "${this.#title['en'] ?? ''}" is about is permitted.`,
      },
      applies,
      outcomes: [{ effect: 'permit' }],
    });
    const key = JSON.stringify(target ?? null);
    const list = permissions.get(key) ?? { target, rules: [] };
    list.rules.push(id);
    permissions.set(key, list);
    duties.forEach((duty, i) => {
      if (duty.mapping.condition === undefined)
        this.#duty(`${id}-D${i + 1}`, duty.node, [{ kind: 'applies', rule: id }], duty);
    });
  }

  /** Unknown asks a person: what is not known to be prohibited is not denied for it. */
  #prohibition(id: string, node: Node, number: number): void {
    const hit = allOf([
      ...this.#scope(node, ['action', 'assignee'], 'some'),
      ...this.#output(node),
      ...constraintsOf(
        this.#reading,
        this.#graph.nodesOf(node, odrl('constraint')),
        'rule',
        'some',
      ),
    ]);
    this.#add(id, node, {
      title: { en: `Prohibition ${number}` },
      sentence: {
        en: `What prohibition ${number} of "${this.#title['en'] ?? ''}" is about is denied.`,
      },
      applies: this.#thing(node, 'target', 'some'),
      ...(hit && { holds: { kind: 'not', of: hit } as const }),
      outcomes: [{ effect: 'deny' }],
    });
  }

  /** What a policy does not permit of what it is about is denied, beside a nation's own rules too. */
  #close(
    permissions: readonly { target: Condition | undefined; rules: readonly string[] }[],
  ): void {
    permissions.forEach(({ target, rules }, i) => {
      const permitted = anyOf(rules.map((rule): Condition => ({ kind: 'applies', rule })));
      if (!permitted) return;
      this.#add(`${this.#prefix}-CLOSED${i + 1}`, this.#policy, {
        title: { en: 'Nothing else' },
        sentence: { en: `What no permission of "${this.#title['en'] ?? ''}" is about is denied.` },
        applies: target,
        holds: permitted,
        outcomes: [{ effect: 'deny' }],
      });
    });
  }

  #add(
    id: string,
    node: Node,
    rule: Omit<Rule, 'id' | 'cites' | 'applies' | 'outcomes'> & {
      readonly applies: Condition | undefined;
      readonly outcomes: readonly Outcome[];
    },
  ): void {
    const { applies, ...rest } = rule;
    const title = node === this.#policy ? undefined : this.#reading.title(node);
    const assigners = sharedValues(this.#reading, node, this.#policy, 'assigner');
    this.#rules.push({
      id,
      ...rest,
      ...(title && { title }),
      applies: applies ?? { kind: 'constant', value: true },
      cites: [
        {
          instrument: this.#header.instrument ?? this.#reading.mapping.header.instrument,
          article: this.#article(),
          confidence: 'high',
        },
      ],
      ...(assigners.length > 0
        ? { note: `odrl:assigner ${assigners.map(termName).join(', ')}`.slice(0, 4000) }
        : {}),
    });
  }

  #article(): string {
    const { kind, value } = this.#policy;
    return kind === 'iri' && value.length <= MAX_ARTICLE ? value : `ODRL policy ${this.#name}`;
  }

  #scope(
    node: Node,
    parts: readonly ('action' | 'assignee' | 'target')[],
    quantifier: 'each' | 'some',
  ): Condition[] {
    const found = parts.map((part) =>
      part === 'action' ? this.#action(node, quantifier) : this.#thing(node, part, quantifier),
    );
    return found.filter((each) => each !== undefined);
  }

  #action(node: Node, quantifier: 'each' | 'some'): Condition | undefined {
    const actions = sharedValues(this.#reading, node, this.#policy, 'action');
    if (actions.length === 0) throw new OdrlMistake(where(node), 'a rule has an action');
    return actionCondition(this.#reading, actions, quantifier);
  }

  #thing(
    node: Node,
    role: 'assignee' | 'target',
    quantifier: 'each' | 'some',
  ): Condition | undefined {
    const things = sharedValues(this.#reading, node, this.#policy, role);
    return things.length > 0 ? thingCondition(this.#reading, things, role, quantifier) : undefined;
  }

  /** The asset that an action makes: a property of the action, where facts have those. */
  #output(node: Node): Condition[] {
    const outputs = this.#graph.nodesOf(node, odrl('output'));
    if (outputs.length === 0) return [];
    const { elsewhere } = this.#reading.mapping;
    if (!elsewhere)
      throw new OdrlMistake(
        where(node, odrl('output')),
        'no fact of the pack says what an action makes',
      );
    const fact = `${elsewhere.action}.output`;
    this.#reading.need(fact, odrl('output'), 'code');
    const constant = outputs.map((each) => {
      if (each.kind === 'iri') return this.#reading.word(each.value);
      throw new OdrlMistake(where(node, odrl('output')), 'an output is an IRI');
    });
    return [{ kind: 'compare', fact, operator: 'isA', right: { constant } }];
  }

  #dutyOf(node: Node): DutyRead {
    this.#reading.only(node, [...DUTY_WORDS, ...SHARED, odrl('constraint'), odrl('uid')], REASONS);
    const actions = this.#graph.all(node, odrl('action'));
    const [action] = actions;
    if (!action || actions.length > 1) throw new OdrlMistake(where(node), 'a duty has one action');
    const { iri, refinements } = actionOf(this.#reading, action);
    const own = this.#reading.mapping.duties;
    const table = Object.hasOwn(own, iri) ? own : WORDS.duties;
    const mapping = Object.hasOwn(table, iri) ? (table[iri] ?? {}) : {};
    if (mapping.attributes) this.#reading.take(mapping.attributes);
    return { node, iri, mapping, refinements };
  }

  /** A duty of which a fact tells whether it was done; then nothing more can be said of it. */
  #dutyCondition({ node, mapping, refinements }: DutyRead): Condition[] {
    if (mapping.condition === undefined) return [];
    const more = [...DUTY_WORDS, ...['target', 'assignee', 'constraint'].map(odrl)];
    const other = more.find((each) => this.#graph.all(node, each).length > 0);
    if (other !== undefined || refinements.length > 0)
      throw new OdrlMistake(
        where(node, other),
        'a fact tells whether this duty was done, and nothing of how, when and to whom',
      );
    return [parseCondition(mapping.condition, [])];
  }

  #duty(id: string, node: Node, scope: readonly Condition[], read = this.#dutyOf(node)): void {
    const { constraints, beforehand } = this.#dutyConstraints(node);
    const { due, sentence, evidence } = read.mapping;
    const obligation: Obligation = {
      sentence: this.#dutySentence(read, sentence),
      due: beforehand ? 'from_start' : (due ?? 'throughout'),
      evidence: evidence ?? { en: 'A record that it was done.' },
    };
    this.#add(id, node, {
      title: this.#reading.titleOf(read.iri),
      sentence: obligation.sentence,
      applies: allOf([...scope, ...constraintsOf(this.#reading, constraints, 'rule', 'some')]),
      outcomes: [{ effect: 'oblige' }],
      obligation,
    });
  }

  /** For people, as all of an obligation is: whom it names and how much of what is in it too. */
  #dutySentence(read: DutyRead, table: Texts | undefined): Texts {
    const { iri } = read;
    const what = table?.['en'] ?? `${this.#reading.titleOf(iri)['en'] ?? localName(iri)}.`;
    const words = this.#dutyWords(read);
    const more = words.length > 0 ? ` (${words.join(', ')})` : '';
    return { ...table, en: `${what.replace(/\.$/, '')}${more}.`.slice(0, 4000) };
  }

  #dutyWords({ node, refinements }: DutyRead): string[] {
    const named = [...DUTY_WORDS, odrl('target'), odrl('assignee')].flatMap((property) =>
      this.#graph
        .all(node, property)
        .map((term) => `${wordsOf(localName(property)).toLowerCase()} ${termName(term)}`),
    );
    const amounts = refinements.map((each) => {
      this.#reading.only(each, AMOUNT);
      const words = AMOUNT.slice(0, 4).flatMap((property) =>
        this.#graph.members(each, property).map((term) => amountWord(term)),
      );
      if (words.length < 3)
        throw new OdrlMistake(where(each), 'how much is to be done is one constraint');
      return words.join(' ');
    });
    return [...named, ...amounts];
  }

  /** `event lt policyUsage`: before anything is used. A deadline of its own no obligation has. */
  #dutyConstraints(node: Node): { constraints: Node[]; beforehand: boolean } {
    let beforehand = false;
    const constraints = this.#graph.nodesOf(node, odrl('constraint')).filter((each) => {
      const operand = odrlName(this.#graph.one(each, odrl('leftOperand')));
      if (operand === 'dateTime')
        throw new OdrlMistake(
          where(each),
          'a deadline on a given day: an obligation is due from the start, throughout, or by the date in a fact',
        );
      if (operand !== 'event') return true;
      const isBefore =
        odrlName(this.#graph.one(each, odrl('operator'))) === 'lt' &&
        odrlName(this.#graph.one(each, odrl('rightOperand'))) === 'policyUsage';
      if (!isBefore)
        throw new OdrlMistake(
          where(each),
          'of events only "before odrl:policyUsage" has a meaning for a duty',
        );
      beforehand = true;
      return false;
    });
    return { constraints, beforehand };
  }
}

interface DutyRead {
  readonly node: Node;
  readonly iri: string;
  readonly mapping: DutyMapping;
  readonly refinements: readonly Node[];
}

const LETTERS: Readonly<Record<Kind, string>> = {
  permission: 'P',
  prohibition: 'N',
  obligation: 'O',
};

const AMOUNT = ['leftOperand', 'operator', 'rightOperand', 'unit', 'dataType', 'uid'].map(odrl);

function amountWord(term: Term): string {
  return term.kind === 'literal' ? term.value : wordsOf(localName(term.value)).toLowerCase();
}

function termName(term: Term): string {
  return term.kind === 'literal' ? `"${term.value}"` : where(term);
}

/** The last part of a policy's IRI as the name of a policy. */
function slugOf(policy: Node): string {
  const words = policy.kind === 'iri' ? localName(policy.value).toLowerCase() : '';
  const slug = words
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^[^a-z]+|-+$/g, '')
    .slice(0, 40);
  return slug.length > 1 ? slug.replace(/-+$/, '') : `odrl-${slug || 'policy'}`;
}
