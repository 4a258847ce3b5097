import { type Condition, conditionFacts, type Operator, parseCondition } from './condition.ts';
import type { Outcome, PackDocument, PolicyDocument, Rule } from './document.ts';
import { factTitle, listed, placeTitle, specOf, textIn, valueTitle, wordsIn } from './words.ts';

/**
 * A policy for people to read, as Markdown: what it is about, each rule with its conditions in
 * words, and the meaning of the derived facts that they use. Nothing of a condition is left out.
 * Texts are in `language` where there are any, else in English.
 */
export function renderPolicy(
  document: PolicyDocument,
  pack: PackDocument,
  language: string,
): string {
  const reading: Reading = { pack, language };
  const rules = document.rules.map((rule) => renderRule(rule, reading));
  const parts = [...headOf(document, reading), ...rules.flat(), ...wordsUsed(document, reading)];
  return `${parts.join('\n\n')}\n`;
}

/** A condition in words: a list, in which what belongs together is indented. */
export function renderCondition(
  condition: Condition,
  pack: PackDocument,
  language: string,
): string {
  return linesOf(condition, { pack, language }, '').join('\n');
}

interface Reading {
  readonly pack: PackDocument;
  readonly language: string;
}

function headOf(document: PolicyDocument, reading: Reading): string[] {
  const { language, pack } = reading;
  const { labels, layers, concerns, colon } = wordsIn(language);
  const { from, until } = document.in_force;
  const instrument = pack.instruments[document.instrument]?.title;
  const lines: [keyof typeof labels, string][] = [
    ['policy', `${document.policy}, ${labels.version} ${document.version}`],
    ['layer', layers[document.layer]],
    ['concern', concerns[document.concern]],
    ['instrument', instrument ? textIn(instrument, language) : document.instrument],
    ['in_force', `${from} – ${until ?? ''}`.trimEnd()],
  ];
  if (document.owner !== undefined) lines.push(['owner', document.owner]);
  return [
    `# ${plain(textIn(document.title, language))}`,
    ...(document.description ? [plain(textIn(document.description, language))] : []),
    lines.map(([label, text]) => `- ${labels[label]}${colon} ${plain(text)}`).join('\n'),
    ...(document.target ? section('target', document.target, reading) : []),
  ];
}

function renderRule(rule: Rule, reading: Reading): string[] {
  const { language } = reading;
  const words = wordsIn(language);
  const { labels, colon } = words;
  const effect = (name: keyof typeof words.effects): string => words.effects[name];
  return [
    `## ${rule.id}${colon} ${plain(textIn(rule.title, language))}`,
    plain(textIn(rule.sentence, language)),
    ...section('applies', rule.applies, reading),
    ...(rule.holds ? section('holds', rule.holds, reading) : []),
    ...(rule.holds ? [`${labels.then}${colon} ${effect(rule.then ?? 'satisfied')}`] : []),
    outcomesOf(rule.holds ? 'otherwise' : 'outcome', rule.outcomes, reading),
    ...obligationOf(rule, reading),
    sourcesOf(rule, reading),
    ...(rule.note === undefined ? [] : [`${labels.note}${colon} ${plain(rule.note)}`]),
  ];
}

function section(
  label: 'target' | 'applies' | 'holds',
  condition: Condition,
  { pack, language }: Reading,
): string[] {
  const { labels, colon } = wordsIn(language);
  return [`${labels[label]}${colon}`, renderCondition(condition, pack, language)];
}

function outcomesOf(
  label: 'otherwise' | 'outcome',
  outcomes: readonly Outcome[],
  reading: Reading,
): string {
  const { labels, effects, colon } = wordsIn(reading.language);
  const [first] = outcomes;
  if (outcomes.length === 1 && first && !first.when)
    return `${labels[label]}${colon} ${effects[first.effect]}`;
  const lines = outcomes.flatMap(({ when, effect }) =>
    when
      ? [`- ${effects[effect]}, ${labels.when}${colon}`, ...linesOf(when, reading, '  ')]
      : [`- ${effects[effect]}, ${labels.else}`],
  );
  return [`${labels[label]}${colon}`, '', ...lines].join('\n');
}

function obligationOf({ obligation }: Rule, { pack, language }: Reading): string[] {
  if (!obligation) return [];
  const { labels, due: dues, colon } = wordsIn(language);
  const due =
    typeof obligation.due === 'string'
      ? dues[obligation.due]
      : factTitle(pack, obligation.due.fact, language);
  return [
    `${labels.obligation}${colon} ${plain(textIn(obligation.sentence, language))}`,
    `${labels.due}${colon} ${plain(due)}. ${labels.evidence}${colon} ${plain(textIn(obligation.evidence, language))}`,
  ];
}

function sourcesOf({ cites }: Rule, { pack, language }: Reading): string {
  const { labels, confidences, colon } = wordsIn(language);
  const lines = cites.map(({ instrument, article, confidence }) => {
    const title = pack.instruments[instrument]?.title;
    const name = title ? textIn(title, language) : instrument;
    return `- ${plain(name)}, ${plain(article)} (${labels.confidence}${colon} ${confidences[confidence]})`;
  });
  return [`${labels.sources}${colon}`, '', ...lines].join('\n');
}

/** What the derived facts of a policy mean, and those that these are made of. */
function wordsUsed(document: PolicyDocument, reading: Reading): string[] {
  const { pack, language } = reading;
  const { labels, colon } = wordsIn(language);
  const used = new Set<string>();
  const visit = (name: string): void => {
    const derived = Object.hasOwn(pack.derived, name) ? pack.derived[name] : undefined;
    if (!derived || used.has(name)) return;
    used.add(name);
    const inner =
      derived.condition === undefined
        ? (derived.union ?? [])
        : conditionFacts(parseCondition(derived.condition, []));
    for (const each of inner) visit(each);
  };
  for (const { applies, holds, outcomes } of document.rules) {
    const conditions = [applies, holds, ...outcomes.map(({ when }) => when)];
    for (const each of conditions) if (each) conditionFacts(each).forEach(visit);
  }
  if (used.size === 0) return [];
  const lines = [...used].flatMap((name) => [
    `- ${bold(factTitle(pack, name, language))}${colon}`,
    ...meaningOf(name, reading),
  ]);
  return [`## ${labels.words}`, lines.join('\n')];
}

function meaningOf(name: string, reading: Reading): string[] {
  const { pack, language } = reading;
  const { labels, and } = wordsIn(language);
  const { condition, union, without_home } = pack.derived[name] ?? {};
  if (condition !== undefined) return linesOf(parseCondition(condition, []), reading, '  ');
  const names = (union ?? []).map((each) => bold(factTitle(pack, each, language)));
  const rest = without_home ? `, ${labels.without_home}` : '';
  return [`  - ${labels.union} ${listed(names, and)}${rest}`];
}

function linesOf(condition: Condition, reading: Reading, indent: string): string[] {
  const { all_of, any_of, one_of, not, colon } = wordsIn(reading.language);
  const inner = `${indent}  `;
  switch (condition.kind) {
    case 'and':
    case 'or':
    case 'xone': {
      const head = { and: all_of, or: any_of, xone: one_of }[condition.kind];
      const parts = condition.of.flatMap((part) => linesOf(part, reading, inner));
      return [`${indent}- ${head}${colon}`, ...parts];
    }
    case 'not':
      return [`${indent}- ${not}${colon}`, ...linesOf(condition.of, reading, inner)];
    default:
      return [`${indent}- ${leafText(condition, reading)}`];
  }
}

type Leaf = Exclude<Condition, { readonly of: unknown }>;

function leafText(leaf: Leaf, { pack, language }: Reading): string {
  const words = wordsIn(language);
  const fact = (name: string): string => bold(factTitle(pack, name, language));
  switch (leaf.kind) {
    case 'constant':
      return leaf.value ? words.always : words.never;
    case 'applies':
      return words.rule_applies.replace('{value}', leaf.rule);
    case 'holds':
      return words.rule_holds.replace('{value}', leaf.rule);
    case 'exists':
    case 'nonempty':
      return said(words.comparisons[leaf.kind], fact(leaf.fact), '');
    case 'compare': {
      const value =
        'fact' in leaf.right ? fact(leaf.right.fact) : constantText(leaf, { pack, language });
      return said(words.comparisons[phraseOf(leaf, pack)], fact(leaf.fact), value);
    }
  }
}

// Functions, so that a "$" in a title is only a "$".
function said(phrase: string, fact: string, value: string): string {
  return phrase.replaceAll(/\{(fact|value)\}/g, (_, name) => (name === 'fact' ? fact : value));
}

type Comparison = Extract<Condition, { readonly kind: 'compare' }>;
type Phrase = keyof ReturnType<typeof wordsIn>['comparisons'];

const OF_DATES: Partial<Record<Operator, Phrase>> = {
  lt: 'before',
  lteq: 'notAfter',
  gt: 'after',
  gteq: 'notBefore',
};
const OF_SETS: Partial<Record<Operator, Phrase>> = {
  isAnyOf: 'sharesAnyOf',
  isNoneOf: 'sharesNoneOf',
};

function phraseOf({ fact, operator, right }: Comparison, pack: PackDocument): Phrase {
  const type = fact === 'today' ? 'date' : specOf(pack, fact)?.type;
  if (type === 'date' || type === 'datetime') return OF_DATES[operator] ?? operator;
  const isListed = specOf(pack, fact.slice(0, fact.lastIndexOf('.')))?.type === 'list';
  if (type === 'set' || isListed) return OF_SETS[operator] ?? operator;
  const isAnswer = 'constant' in right && typeof right.constant === 'boolean';
  if (isAnswer && operator === 'eq') return 'yes';
  return isAnswer && operator === 'neq' ? 'notYes' : operator;
}

function constantText({ fact, operator, right }: Comparison, { pack, language }: Reading): string {
  const { quote, or, and } = wordsIn(language);
  const constant = 'constant' in right ? right.constant : '';
  const one = (value: unknown): string => {
    const title = plain(valueTitle(pack, fact, value, language));
    return typeof value === 'string' ? quote.replace('{value}', () => title) : title;
  };
  if (Array.isArray(constant)) {
    const isWhole = operator === 'isAllOf' || operator === 'hasPart';
    return listed(constant.map(one), isWhole ? and : or);
  }
  const isGroup = operator === 'isPartOf' && typeof constant === 'string';
  const group = isGroup && Object.hasOwn(pack.place_groups, constant);
  if (!group) return one(constant);
  const members = (pack.place_groups[constant] ?? []).map((code) => placeTitle(code, language));
  return `${quote.replace('{value}', constant)} (${members.join(', ')})`;
}

function bold(text: string): string {
  return `**${plain(text)}**`;
}

/** A text on one line, and nothing in it that Markdown or HTML would read as more than text. */
function plain(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll(/[\\`*[\]<>]/g, String.raw`\$&`);
}
