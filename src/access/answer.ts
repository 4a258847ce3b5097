import { JsonText } from '../operation.ts';
import type { FactReading, Reason } from '../pdp/explain.ts';
import type { DecisionView } from './decision.ts';

/**
 * The JSON of an answer with a decision, in UTF-8: what `JSON.stringify` gives, in a third of the
 * time. Most of it is what the policies say, which is written once and copied into each answer.
 */
export function answerText<T extends { readonly decision: DecisionView }>({
  decision,
  ...rest
}: T): JsonText<T> {
  const { reasons, instruments, obligations, policies, ...own } = decision;
  const answer = new Answer();
  answer.add(`${open(rest)},"decision":${open(own)},"reasons":[`);
  addReasons(answer, reasons);
  answer.add('],"instruments":{');
  let before = '';
  for (const [name, title] of Object.entries(instruments)) {
    answer.add(`${before}${JSON.stringify(name)}:`);
    answer.copy(bytesOf(title));
    before = ',';
  }
  answer.add('},"obligations":[');
  before = '';
  for (const { sentence, evidence, ...due } of obligations) {
    answer.add(`${before}${open(due)},"sentence":`);
    answer.copy(bytesOf(sentence));
    answer.add(',"evidence":');
    answer.copy(bytesOf(evidence));
    answer.add('}');
    before = ',';
  }
  answer.add('],"policies":');
  answer.copy(bytesOf(policies));
  answer.add('}}');
  return new JsonText(answer.end());
}

/** An object's text without its last brace. */
function open(value: object): string {
  return JSON.stringify(value).slice(0, -1);
}

const SLAB = 512 * 1024;
/** UTF-8 has at most so many bytes for a unit of UTF-16. */
const MOST_BYTES = 3;

// Answers stand in it one after the other: an allocation each would cost as much as writing one.
let slab = Buffer.allocUnsafeSlow(SLAB);
let used = 0;

/** Text that is put together in UTF-8. One at a time: none begins before the last one has ended. */
class Answer {
  #start = used;

  add(text: string): void {
    this.#reserve(MOST_BYTES * text.length);
    used += slab.write(text, used, 'utf8');
  }

  copy(bytes: Buffer): void {
    this.#reserve(bytes.length);
    used += bytes.copy(slab, used);
  }

  end(): Buffer<ArrayBuffer> {
    return slab.subarray(this.#start, used);
  }

  #reserve(size: number): void {
    if (used + size <= slab.length) return;
    const begun = slab.subarray(this.#start, used);
    slab = Buffer.allocUnsafeSlow(Math.max(SLAB, 2 * (begun.length + size)));
    used = begun.copy(slab);
    this.#start = 0;
  }
}

const fixedBytes = new WeakMap<object, Buffer>();

/** The text of what a program holds: it is never changed. */
function bytesOf(value: object): Buffer {
  const bytes = fixedBytes.get(value) ?? Buffer.from(JSON.stringify(value), 'utf8');
  fixedBytes.set(value, bytes);
  return bytes;
}

// What is the same in each of a rule's reasons, by its sentence: two rules may share a text.
const ruleBytes = new WeakMap<object, Map<string, Buffer>>();

function bytesOfRule(reason: Reason): Buffer {
  const known = ruleBytes.get(reason.sentence)?.get(reason.rule);
  if (known) return known;
  const { effect: _effect, uncertain: _uncertain, facts: _facts, ...fixed } = reason;
  const bytes = Buffer.from(open(fixed), 'utf8');
  const byRule = ruleBytes.get(reason.sentence) ?? new Map<string, Buffer>();
  ruleBytes.set(reason.sentence, byRule.set(reason.rule, bytes));
  return bytes;
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

function addReasons(answer: Answer, reasons: readonly Reason[]): void {
  // Rules read the same facts again and again.
  const readings = new Map<FactReading, string>();
  for (const [i, reason] of reasons.entries()) {
    answer.copy(bytesOfRule(reason));
    let facts = '';
    for (const reading of reason.facts) {
      let text = readings.get(reading);
      if (text === undefined) {
        text = readingText(reading);
        readings.set(reading, text);
      }
      facts += facts === '' ? text : `,${text}`;
    }
    answer.add(
      `,"effect":"${reason.effect}","uncertain":${reason.uncertain},"facts":[${facts}]}${i + 1 < reasons.length ? ',' : ''}`,
    );
  }
}
