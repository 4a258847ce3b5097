/** Texts of people who mean harm: a clear answer, soon. */

import { describe, expect, test } from 'vitest';
import { importSpace, odrlText } from './support.ts';

const SET =
  '@prefix : <http://www.w3.org/ns/odrl/2/> . @prefix e: <http://e.example/> . e:p a :Set ; ';
const RDF = 'http://www.w3.org/1999/02/22-rdf-syntax-ns#';
const constrained = (node: string, more: string): string =>
  `${SET} :permission [ :target e:t ; :action :use ; :constraint ${node} ] . ${more}`;
const many = (count: number, of: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => of(i)).join(' ');
const json = (parts: object): string =>
  odrlText({ '@type': 'Set', uid: 'http://e.example/p', ...parts });
const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

const texts: Readonly<Record<string, readonly ['jsonld' | 'turtle', () => string, RegExp]>> = {
  'ten megabytes': ['turtle', () => `# ${'x'.repeat(10_000_000)}`, /at most .* bytes/],
  'a million triples': [
    'turtle',
    () => `${SET} e:q e:a . ${many(300_000, () => 'e:a e:b 1.')}`,
    /at most .* (bytes|statements)/,
  ],
  'a hundred thousand of one kind': [
    'turtle',
    () => `${SET} :permission ${many(100_000, (i) => `e:r${i},`)} e:z .`,
    /./,
  ],
  'brackets without an end': [
    'turtle',
    () => `${SET} :permission ${'['.repeat(100_000)}`,
    /levels of nesting/,
  ],
  'brackets of JSON': ['jsonld', () => nested(50_000), /levels of nesting/],
  'a list that runs in a circle': [
    'turtle',
    () => constrained('e:c', `e:c :and e:l . e:l <${RDF}first> e:x ; <${RDF}rest> e:l .`),
    /runs in a circle/,
  ],
  'a list that forks': [
    'turtle',
    () => constrained('e:c', `e:c :and e:l . e:l <${RDF}first> e:x ; <${RDF}rest> e:l, () .`),
    /one value only/,
  ],
  'a list without an end': [
    'turtle',
    () => constrained('e:c', `e:c :and e:l . e:l <${RDF}first> e:x .`),
    /without an end/,
  ],
  'a constraint within itself': [
    'turtle',
    () => constrained('_:c', '_:c :and _:c .'),
    /levels of nesting/,
  ],
  'constraints that double': [
    'turtle',
    () =>
      constrained(
        'e:c0',
        many(30, (i) => `e:c${i} :and ( e:c${i + 1} e:c${i + 1} ) .`),
      ),
    /at most/,
  ],
  'constraints that double, and end': [
    'turtle',
    () =>
      constrained(
        'e:c0',
        `${many(23, (i) => `e:c${i} :and ( e:c${i + 1} e:c${i + 1} ) .`)} e:c23 :leftOperand :count ; :operator :eq ; :rightOperand 1 .`,
      ),
    /too intricate/,
  ],
  'a large hierarchy, all of it asked for': [
    'turtle',
    () =>
      `${SET} :permission ${many(5000, (i) => `[ :target e:t ; :action :use ; :assignee e:n${i} ] ${i < 4999 ? ',' : '.'}`)} ${many(5000, (i) => `e:n${i} a :PartyCollection . e:n${i + 1} :partOf e:n${i} .`)}`,
    /too intricate/,
  ],
  'a document of small things': [
    'jsonld',
    () => json({ permission: Array.from({ length: 40_000 }, () => ({ '@type': 'Permission' })) }),
    /at most|a rule has|what it is about/,
  ],
  'a document of small values': [
    'jsonld',
    () => json({ permission: [], 'rdfs:label': Array.from({ length: 150_000 }, (_, i) => `${i}`) }),
    /./,
  ],
  'a document of long names': [
    'jsonld',
    () =>
      json(
        Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`http://e.example/${i}`, i])),
      ),
    /./,
  ],
  'a hierarchy in a circle': [
    'turtle',
    () =>
      constrained(
        '[ :leftOperand :purpose ; :operator :isA ; :rightOperand e:a ]',
        '<http://www.w3.org/2004/02/skos/core#x> e:q e:b . e:a :partOf e:b . e:b :partOf e:a .',
      ),
    /^imported$/,
  ],
  'a deep hierarchy': [
    'turtle',
    () =>
      constrained(
        '[ :leftOperand :purpose ; :operator :isA ; :rightOperand e:n0 ]',
        many(20_000, (i) => `e:n${i + 1} :partOf e:n${i} .`),
      ),
    /^imported$/,
  ],
  'a statement about a statement': ['turtle', () => `${SET} e:q << e:a e:b e:c >> .`, /./],
  'no Turtle': ['turtle', () => '<a> <b', /./],
  'no JSON': ['jsonld', () => '{', /./],
  'only a word': ['jsonld', () => '"x"', /./],
  'a context from elsewhere': [
    'jsonld',
    () => JSON.stringify({ '@context': 'https://evil.example/context' }),
    /nothing is fetched/,
  ],
  'a context of a file': [
    'jsonld',
    () => JSON.stringify({ '@context': 'file:///etc/passwd' }),
    /nothing is fetched/,
  ],
  'a context that imports': [
    'jsonld',
    () => JSON.stringify({ '@context': { '@import': 'https://evil.example/' } }),
    /only prefixes and terms/,
  ],
  'contexts within contexts': [
    'jsonld',
    () => JSON.stringify({ '@context': { a: { '@id': 'http://a/', '@context': {} } } }),
    /only prefixes and terms/,
  ],
  'a context for each object': [
    'jsonld',
    () => json({ permission: [{ '@context': {} }] }),
    /at the top/,
  ],
  'a context of many terms': [
    'jsonld',
    () =>
      JSON.stringify({
        '@context': Object.fromEntries(
          Array.from({ length: 5000 }, (_, i) => [`t${i}`, 'http://a/']),
        ),
      }),
    /at most 1000 terms/,
  ],
  'the name of a prototype': [
    'jsonld',
    () => '{"@context":"http://www.w3.org/ns/odrl.jsonld","__proto__":{"@type":"Set"}}',
    /a name that nothing may have/,
  ],
  'an operand of that name': [
    'turtle',
    () =>
      constrained(
        '[ :leftOperand <http://e.example/__proto__> ; :operator :eq ; :rightOperand 1 ]',
        '',
      ),
    /cannot be the name of a fact/,
  ],
  'the name of a constructor': [
    'turtle',
    () =>
      constrained(
        '[ :leftOperand <http://e.example/constructor> ; :operator :eq ; :rightOperand 1 ]',
        '',
      ),
    /^imported$/,
  ],
  'a named graph': [
    'jsonld',
    () =>
      odrlText({
        '@id': 'http://e.example/g',
        '@graph': [{ '@type': 'Set', uid: 'http://e.example/p' }],
      }),
    /a named graph/,
  ],
  'texts that no database takes': [
    'jsonld',
    () =>
      json({
        'rdfs:label': 'a\u0000b',
        permission: [{ target: 'http://e.example/t', action: 'use' }],
      }),
    /without/,
  ],
};

describe('a hostile text', () => {
  test.each(Object.entries(texts))('%s', async (_name, [format, text, expected]) => {
    const written = text();
    const before = process.cpuUsage();
    const answer = await importSpace(written, format);
    const { user } = process.cpuUsage(before);
    const said = answer.ok ? 'imported' : answer.problems.map(({ message }) => message).join('; ');
    expect(said.slice(0, 500)).toMatch(expected);
    expect(user / 1e6).toBeLessThan(10);
    expect(Object.prototype).not.toHaveProperty('@type');
  });
});
