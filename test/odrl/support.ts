import { evaluate, type Verdict } from '../../src/pdp/evaluate.ts';
import { importOdrl, type ImportOptions } from '../../src/odrl/import.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { loadFacts, type Program } from '../../src/pdp/program.ts';
import { built, smallPack } from '../pdp/support.ts';

const header = { in_force: { from: '2026-01-01' } };
const title = { en: 'Title' };
const given = (type: string): object => ({ type, source: 'request', title, basis: 'test' });

/** What every space has. */
const BUILT_IN = {
  'subject.type': given('text'),
  'subject.id': given('text'),
  'action.name': given('text'),
  'resource.type': given('text'),
  'resource.id': given('text'),
  'request.as_of': given('datetime'),
};

export type Answer = Awaited<ReturnType<typeof importOdrl>>;

export function importSpace(
  text: string,
  format: ImportOptions['format'],
  bindings: ImportOptions['bindings'] = {},
): Promise<Answer> {
  return importOdrl(text, { format, profile: 'space', bindings, header });
}

/** JSON-LD in the context of ODRL. */
export function odrlText(policy: object): string {
  return JSON.stringify({ '@context': 'http://www.w3.org/ns/odrl.jsonld', ...policy });
}

/** @throws Error with all problems. */
export async function spaceOf(
  text: string,
  format: ImportOptions['format'] = 'jsonld',
  bindings: ImportOptions['bindings'] = {},
): Promise<Program> {
  const answer = await importSpace(text, format, bindings);
  if (!answer.ok)
    throw new Error(answer.problems.map(({ where, message }) => `${where}: ${message}`).join('\n'));
  const facts = Object.fromEntries(
    Object.entries(answer.attributes).map(([path, spec]) => [path, { ...spec, source: 'request' }]),
  );
  const pack = smallPack({
    facts: { ...BUILT_IN, ...facts },
    purposes: answer.terms,
    disjoint: [],
    derived: {},
    instruments: { 'national-choice': { title, kind: 'national_choice' } },
  });
  return built(pack, answer.text);
}

export interface Question {
  readonly subject?: { readonly id?: string; readonly properties?: object };
  readonly action?: { readonly name?: string; readonly properties?: object };
  readonly resource?: { readonly id?: string; readonly properties?: object };
  readonly context?: object;
  readonly as_of?: string;
}

/** What a space answers to an AuthZEN question. */
export function ask(program: Program, question: Question): Verdict {
  const { as_of, subject, action, resource, context } = question;
  const facts = {
    subject: { type: 'user', id: 'alice', ...subject },
    action: { name: 'use', ...action },
    resource: { type: 'dataset', id: 'ds-1', ...resource },
    ...(context ? { context } : {}),
    request: { as_of: as_of ?? '2026-10-15T10:00:00Z' },
  } as unknown as Facts;
  const problems = program.vocabulary.check(facts);
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return evaluate(program, loadFacts(program, facts));
}
