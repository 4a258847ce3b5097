import { JsonText } from '../operation.ts';
import type { FactReading, Reason } from '../pdp/explain.ts';
import type { DecisionView } from './decision.ts';

/**
 * The JSON of an answer with a decision: equal to what `JSON.stringify` gives, in a third of the
 * time. Most of it is what the policies say, which is written once and not for each request.
 */
export function answerText<T extends { readonly decision: DecisionView }>({
  decision,
  ...rest
}: T): JsonText<T> {
  const { reasons, instruments, obligations, policies, ...own } = decision;
  const members = [
    open(own),
    `"reasons":${reasonsText(reasons)}`,
    `"instruments":{${Object.entries(instruments)
      .map(([name, title]) => `${JSON.stringify(name)}:${fixedText(title)}`)
      .join(',')}}`,
    `"obligations":[${obligations.map((each) => dutyText(each)).join(',')}]`,
    `"policies":${fixedText(policies)}`,
  ];
  return new JsonText(`${open(rest)},"decision":${members.join(',')}}}`);
}

/** An object's text without its last brace. */
function open(value: object): string {
  return JSON.stringify(value).slice(0, -1);
}

const fixedTexts = new WeakMap<object, string>();

/** The text of what a program holds: it is never changed. */
function fixedText(value: object): string {
  let text = fixedTexts.get(value);
  if (text === undefined) {
    text = JSON.stringify(value);
    fixedTexts.set(value, text);
  }
  return text;
}

function dutyText({ sentence, evidence, ...own }: DecisionView['obligations'][number]): string {
  return `${open(own)},"sentence":${fixedText(sentence)},"evidence":${fixedText(evidence)}}`;
}

// What is the same in each of a rule's reasons, by its sentence: two rules may share a text.
const ruleTexts = new WeakMap<object, Map<string, string>>();

function ruleText(reason: Reason): string {
  const known = ruleTexts.get(reason.sentence)?.get(reason.rule);
  if (known !== undefined) return known;
  const { effect: _effect, uncertain: _uncertain, facts: _facts, ...fixed } = reason;
  const texts = ruleTexts.get(reason.sentence) ?? new Map<string, string>();
  ruleTexts.set(reason.sentence, texts.set(reason.rule, open(fixed)));
  return open(fixed);
}

// By fact, what stands before the value in each of its readings.
const readingTexts = new Map<string, string>();

function readingText({ fact, value, source }: FactReading): string {
  let before = readingTexts.get(fact);
  if (before === undefined) {
    before = `{"fact":${JSON.stringify(fact)},"value":`;
    readingTexts.set(fact, before);
  }
  return `${before}${JSON.stringify(value)},"source":"${source}"}`;
}

function reasonsText(reasons: readonly Reason[]): string {
  // Rules read the same facts again and again.
  const readings = new Map<FactReading, string>();
  const parts: string[] = [];
  for (const reason of reasons) {
    let facts = '';
    for (const reading of reason.facts) {
      let text = readings.get(reading);
      if (text === undefined) {
        text = readingText(reading);
        readings.set(reading, text);
      }
      facts += facts === '' ? text : `,${text}`;
    }
    parts.push(
      `${ruleText(reason)},"effect":"${reason.effect}","uncertain":${reason.uncertain},"facts":[${facts}]}`,
    );
  }
  return `[${parts.join(',')}]`;
}
