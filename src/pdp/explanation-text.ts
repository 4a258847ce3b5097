import type { PackDocument } from './document.ts';
import type { Explanation, FactReading, ObligationDue, Reason } from './explain.ts';
import type { Remedy } from './remedies.ts';
import { factTitle, textIn, valueTitle, wordsIn } from './words.ts';

/** The paragraphs of an explanation, and how they are put into words. */
interface Reading {
  readonly pack: PackDocument;
  readonly language: string;
}

/**
 * An explanation in words, as plain text in paragraphs: the answer, every rule that mattered with
 * the facts that it read, each with its value and source, what must be done, what is missing, who
 * decides, and what would turn the answer. Texts are in `language` where there are any, else in
 * English.
 */
export function explanationText(
  explanation: Explanation,
  language: string,
  pack: PackDocument,
  remedies: readonly Remedy[] = [],
): string {
  const reading: Reading = { pack, language };
  const { labels, answers } = wordsIn(language);
  const { effect, reasons, obligations, missing, examiners, expiry } = explanation;
  const until = expiry
    ? ` ${labels.expiry} ${expiry.date} (${factTitle(pack, expiry.fact, language)}).`
    : '';
  const sections: [string, string[]][] = [
    [labels.reasons, reasons.map((reason) => reasonText(reason, explanation, reading))],
    [labels.obligations, obligations.map((each) => obligationText(each, reading))],
    [labels.missing, missing.map((fact) => `- ${factTitle(pack, fact, language)}`)],
    [
      labels.examiners,
      examiners.map(({ title, rules }) => `- ${textIn(title, language)} (${rules.join(', ')})`),
    ],
    [labels.remedies, remedies.map((remedy, i) => remedyText(remedy, i + 1, reading))],
  ];
  const { colon } = wordsIn(language);
  const paragraphs = sections.flatMap(([label, lines]) =>
    lines.length > 0 ? [`${label}${colon}\n${lines.join('\n')}`] : [],
  );
  return `${[`${answers[effect]}${until}`, ...paragraphs].join('\n\n')}\n`;
}

function reasonText(reason: Reason, { instruments }: Explanation, reading: Reading): string {
  const { language } = reading;
  const { effects, labels, confidences, layers, colon } = wordsIn(language);
  const { rule, effect, title, sentence, citations, facts, uncertain, layer } = reason;
  const sources = citations.map(({ instrument, article, confidence }) => {
    const name = textIn(instruments[instrument] ?? { en: instrument }, language);
    return `${name}, ${article} (${labels.confidence}${colon} ${confidences[confidence]})`;
  });
  const lines = [
    `- ${rule}, ${textIn(title, language)} (${layers[layer]})${colon} ${effects[effect]}. ${textIn(sentence, language)}`,
    ...(uncertain ? [`  ${labels.uncertain}`] : []),
    `  ${labels.facts}${colon} ${facts.map((fact) => factText(fact, reading)).join('; ') || wordsIn(language).none}.`,
    `  ${labels.sources}${colon} ${sources.join('; ')}.`,
  ];
  return lines.join('\n');
}

function factText({ fact, value, source }: FactReading, { pack, language }: Reading): string {
  const { sources, colon } = wordsIn(language);
  const shown = valueTitle(pack, fact, value, language);
  return `${factTitle(pack, fact, language)}${colon} ${shown} (${sources[source]})`;
}

function obligationText(
  { rule, sentence, due, evidence }: ObligationDue,
  { language }: Reading,
): string {
  const { due: dues, labels, colon } = wordsIn(language);
  const when = Object.hasOwn(dues, due) ? dues[due as keyof typeof dues] : due;
  return `- ${rule}${colon} ${textIn(sentence, language)} ${labels.due}${colon} ${when}. ${labels.evidence}${colon} ${textIn(evidence, language)}.`;
}

function remedyText(remedy: Remedy, number: number, { language }: Reading): string {
  const { answers, actors, labels, colon } = wordsIn(language);
  const { effect, changes, remaining, obligations } = remedy;
  const rules = (label: string, ids: readonly string[]): string[] =>
    ids.length > 0 ? [`   ${label}${colon} ${ids.join(', ')}.`] : [];
  return [
    `${number}. ${answers[effect]}`,
    ...changes.map(({ sentence, by }) => `   - ${textIn(sentence, language)} (${actors[by]})`),
    ...rules(labels.remaining, remaining),
    ...rules(labels.obligations, obligations),
  ].join('\n');
}
