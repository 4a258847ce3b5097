/** What is exported is imported to an equal policy. */

import { readdirSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exportOdrl } from '../../src/odrl/export.ts';
import { importOdrl } from '../../src/odrl/import.ts';
import { type PolicyDocument, parsePolicy } from '../../src/pdp/document.ts';
import { packs } from '../pdp/packs.ts';
import { obligation, ruleLists } from '../pdp/policies.ts';
import { conditionSource as sourceOf } from '../../src/pdp/source.ts';
import { tree } from '../pdp/conditions.ts';
import { policyDocument, ruleOf } from '../pdp/support.ts';

const FORMATS = ['jsonld', 'turtle'] as const;
const header = { in_force: { from: '1999-01-01' } };

function parsed(text: string): PolicyDocument {
  const read = parsePolicy('policy', text);
  if (read.ok) return read.source.content;
  throw new Error(JSON.stringify(read.problems));
}

/** The document after export and import, in each format. */
async function returned(
  document: PolicyDocument,
  pack = packs[0]?.program.pack,
): Promise<PolicyDocument[]> {
  const all: PolicyDocument[] = [];
  for (const format of FORMATS) {
    const text = exportOdrl(document, { format, ...(pack && { pack }) });
    const back = await importOdrl(text, { format, profile: 'space', header });
    if (!back.ok) throw new Error(`${JSON.stringify(back.problems)}\n${text}`);
    all.push(parsed(back.text));
  }
  return all;
}

describe('a policy that was exported comes back equal', () => {
  for (const { name, program } of packs)
    test(`each of ${name}`, async () => {
      const documents = new Set(program.rules.map(({ document }) => document));
      expect(documents.size).toBeGreaterThan(1);
      for (const document of documents) {
        const text = exportOdrl(document, { format: 'jsonld', pack: program.pack });
        const back = await importOdrl(text, {
          format: 'jsonld',
          profile: 'national',
          pack: program.pack,
          header,
        });
        expect(back.ok && parsed(back.text)).toEqual(document);
        expect(await returned(document, program.pack)).toEqual([document, document]);
      }
    });

  test('each template', async () => {
    const folder = new URL('../../policies/templates/', import.meta.url);
    for (const file of readdirSync(folder).filter((each) => !each.includes('.cases.'))) {
      const document = parsed(readFileSync(new URL(file, folder), 'utf8'));
      expect(await returned(document)).toEqual([document, document]);
    }
  });

  test('random rules, with owners, targets and texts that need escapes', async () => {
    const head = fc.record(
      {
        layer: fc.constantFrom('statute', 'steward'),
        target: tree.map(sourceOf),
        until: fc.constantFrom('2026-01-01', '2030-12-31'),
        description: fc.record({ en: fc.string({ minLength: 1, unit: 'grapheme' }) }),
        note: fc.string({ unit: 'binary-ascii' }),
      },
      { requiredKeys: ['layer'] },
    );
    await fc.assert(
      fc.asyncProperty(ruleLists, head, async (rules, { layer, until, note, ...rest }) => {
        const noted = rules.map((rule) => ({ ...rule, ...(note === undefined ? {} : { note }) }));
        const text = JSON.stringify(
          policyDocument(noted, {
            layer,
            in_force: { from: '2026-01-01', ...(until === undefined ? {} : { until }) },
            ...(layer === 'steward' ? { owner: 'moh' } : {}),
            ...rest,
          }),
        );
        const read = parsePolicy('policy', text);
        fc.pre(read.ok);
        const document = read.source.content;
        expect(await returned(document)).toEqual([document, document]);
      }),
      { numRuns: 60 },
    );
  });

  test('every kind of condition and constant', async () => {
    const constants = [
      'plain',
      'RW',
      'dpv:AcademicResearch',
      'academic_research',
      'http://example.org/a b<>"{}',
      'true',
      '5',
      5,
      -0.5,
      1e21,
      1e-9,
      true,
      false,
      '2026-01-01',
      '2026-01-01T00:00:00+02:00',
      [],
      ['one'],
      ['b', 'a', 'b'],
      [1, 'x', 0.25],
      '"quoted"\\ \t\n  é 🦓',
    ];
    const rules = [
      ...constants.map((eq, i) =>
        ruleOf(`C-${i}`, { applies: { fact: 'request.purpose', eq }, outcome: 'permit' }),
      ),
      ...constants.map((isAnyOf, i) =>
        ruleOf(`D-${i}`, {
          applies: { fact: 'request.locations.storage', isAnyOf },
          outcome: 'review',
        }),
      ),
      ruleOf('E-1', {
        applies: { xone: [true, { exists: 'request.a' }, { not: { nonempty: 'request.b' } }] },
        holds: { or: [{ applies: 'C-1' }, { holds: 'OTHER-RULE' }] },
        then: 'oblige',
        otherwise: [
          { when: false, effect: 'review' },
          { when: 'request.c', effect: 'permit' },
          { effect: 'deny' },
        ],
        obligation: { ...obligation, due: { fact: 'request.duration.until' } },
      }),
    ];
    const document = parsed(JSON.stringify(policyDocument(rules)));
    expect(await returned(document)).toEqual([document, document]);
  });
});

describe('what was exported and then changed', () => {
  const document = parsed(
    JSON.stringify(
      policyDocument([
        ruleOf('A-1', { applies: 'request.yes', holds: 'request.no', otherwise: 'deny' }),
        ruleOf('A-2', { outcome: 'permit' }),
      ]),
    ),
  );
  const text = exportOdrl(document, { format: 'turtle' });
  const changes: Readonly<Record<string, readonly [string | RegExp, string, RegExp]>> = {
    'a prohibition taken away': [
      /odrl:prohibition \[[^;]*;[^;]*;[^;]*;[^;]*;[^\]]*\] \] ;/,
      '',
      /is missing that follows/,
    ],
    'a constraint of an ODRL rule': [
      'umt:not <urn:umutungo:rule:A-1:holds>',
      'umt:not <urn:umutungo:rule:A-1:applies>',
      /not what umt:Rule A-1 says/,
    ],
    'an effect of a umt:Rule': [
      'umt:effect umt:deny',
      'umt:effect umt:review',
      /not what umt:Rule A-1 says/,
    ],
    'an effect that there is not': [
      'umt:effect umt:deny',
      'umt:effect umt:maybe',
      /no effect "maybe"/,
    ],
    'a property beside': ['a umt:Rule ;', 'a umt:Rule ; odrl:duty [ ] ;', /has no meaning here/],
    'an operator': ['odrl:operator odrl:eq', 'odrl:operator <urn:x>', /no operator/],
    'a fact': ['umt:fact/request.yes', 'http://example.org/x', /./],
  };
  test.each(Object.entries(changes))('%s', async (_name, [from, to, message]) => {
    const changed = text
      .replace(from, to)
      .replace(
        'https://umutungo.example/ns/odrl#fact/request.yes',
        to.startsWith('http') ? to : 'https://umutungo.example/ns/odrl#fact/request.yes',
      );
    expect(changed).not.toBe(text);
    const back = await importOdrl(changed, { format: 'turtle', profile: 'space', header });
    expect(back.ok).toBe(false);
    if (!back.ok) expect(back.problems.map((each) => each.message).join()).toMatch(message);
  });
});
