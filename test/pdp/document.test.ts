import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseCondition } from '../../src/pdp/condition.ts';
import type { FileProblem } from '../../src/pdp/document.ts';
import { parsePolicy, readYaml } from '../../src/pdp/document.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { explain } from '../../src/pdp/explain.ts';
import { buildProgram } from '../../src/pdp/build.ts';
import { loadFacts } from '../../src/pdp/program.ts';
import {
  build,
  built,
  cpuSeconds,
  packFiles,
  policyDocument,
  ruleOf,
  smallPack,
} from './support.ts';

/** A policy as people write it, so that lines and columns mean something. Line 10 is the rule. */
const GOOD = `policy: test-policy
version: 1
layer: statute
concern: consent
title: {en: Title}
instrument: law
in_force: {from: 2026-01-01}
rules:
  - id: FIRST
    title: {en: First}
    sentence: {en: First}
    applies: request.yes
    holds: {fact: request.count, gteq: 2}
    otherwise: deny
    cites: [{instrument: law, article: Art. 1, confidence: high}]
`;

const replaced = (from: string, to: string): string => {
  expect(GOOD.split(from)).toHaveLength(2);
  return GOOD.replace(from, to);
};

const problemsOf = (...texts: (string | object)[]): readonly FileProblem[] => {
  const result = build(smallPack(), ...texts);
  return result.ok ? [] : result.problems;
};

interface Mistake {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly at: string;
  readonly message: RegExp;
  /** Where the file as a whole is at fault, no rule is named. */
  readonly rule?: null;
}

const MISTAKES: readonly Mistake[] = [
  {
    name: 'an unknown fact',
    from: 'applies: request.yes',
    to: 'applies: request.yess',
    at: '12:5',
    message: /no fact "request\.yess" \(did you mean request\.yes\?\)/,
  },
  {
    name: 'an unknown fact in a comparison',
    from: 'fact: request.count',
    to: 'fact: request.cuont',
    at: '13:13',
    message: /did you mean request\.count\?/,
  },
  {
    name: 'an unknown fact on the right',
    from: 'gteq: 2',
    to: 'gteq: {fact: request.limits}',
    at: '13:34',
    message: /did you mean request\.limit\?/,
  },
  {
    name: 'an unknown operator',
    from: 'gteq: 2',
    to: 'gteqq: 2',
    at: '13:34',
    message: /unknown operator "gteqq".*did you mean gteq\?/,
  },
  {
    name: 'two operators',
    from: 'gteq: 2',
    to: 'gteq: 2, lt: 3',
    at: '13:5',
    message: /one operator beside "fact"/,
  },
  {
    name: 'an unknown combination',
    from: 'applies: request.yes',
    to: 'applies: {nto: request.yes}',
    at: '12:15',
    message: /unknown key "nto".*did you mean not\?/,
  },
  {
    name: 'an empty combination',
    from: 'applies: request.yes',
    to: 'applies: {and: []}',
    at: '12:15',
    message: /a list of 1 to 1000 conditions/,
  },
  {
    name: 'a number for a condition',
    from: 'applies: request.yes',
    to: 'applies: 7',
    at: '12:5',
    message: /a condition is the name of a fact or an object/,
  },
  {
    name: 'a bad layer',
    from: 'layer: statute',
    to: 'layer: statut',
    at: '3:1',
    message: /must be one of statute, .*did you mean statute\?/,
    rule: null,
  },
  {
    name: 'a bad concern',
    from: 'concern: consent',
    to: 'concern: consents',
    at: '4:1',
    message: /did you mean consent\?/,
    rule: null,
  },
  {
    name: 'a bad effect',
    from: 'otherwise: deny',
    to: 'otherwise: dney',
    at: '14:5',
    message: /must be one of permit, deny, review, oblige.*did you mean deny\?/,
  },
  {
    name: 'a bad effect in a list',
    from: 'otherwise: deny',
    to: 'otherwise: [{when: request.no, effect: review}, {effect: denny}]',
    at: '14:54',
    message: /did you mean deny\?/,
  },
  {
    name: 'a bad confidence',
    from: 'confidence: high',
    to: 'confidence: hihg',
    at: '15:48',
    message: /must be one of high, medium, low, not_confirmed.*did you mean high\?/,
  },
  {
    name: 'a date that does not exist',
    from: 'from: 2026-01-01',
    to: 'from: 2026-02-30',
    at: '7:12',
    message: /"from" must match format "date"/,
    rule: null,
  },
  {
    name: 'a constant date that does not exist',
    from: '{fact: request.count, gteq: 2}',
    to: '{fact: request.until, gteq: 2026-02-30}',
    at: '13:34',
    message: /expected a date/,
  },
  {
    name: 'a constant of a wrong type',
    from: 'gteq: 2',
    to: 'gteq: two',
    at: '13:34',
    message: /expected a number/,
  },
  {
    name: 'a value that an enumeration has not',
    from: '{fact: request.count, gteq: 2}',
    to: '{fact: request.asked, lteq: hihg}',
    at: '13:34',
    message: /"hihg" is no value of request\.asked.*did you mean high\?/,
  },
  {
    name: 'facts of different types',
    from: 'gteq: 2',
    to: 'gteq: {fact: request.until}',
    at: '13:34',
    message: /compares a number with a date/,
  },
  {
    name: 'an order of what has none',
    from: '{fact: request.count, gteq: 2}',
    to: '{fact: request.purpose, gteq: care}',
    at: '13:36',
    message: /gteq compares numbers, dates and ranked values/,
  },
  {
    name: 'a set compared as a value',
    from: '{fact: request.count, gteq: 2}',
    to: '{fact: request.codes, eq: care}',
    at: '13:34',
    message: /sets compare with/,
  },
  {
    name: 'an object compared as a value',
    from: '{fact: request.count, gteq: 2}',
    to: '{fact: request.paper, eq: true}',
    at: '13:34',
    message: /is an object: use "exists"/,
  },
  {
    name: 'whether a number is empty',
    from: 'applies: request.yes',
    to: 'applies: {nonempty: request.count}',
    at: '12:15',
    message: /request\.count is not a set/,
  },
  {
    name: 'an unknown rule',
    from: 'applies: request.yes',
    to: 'applies: {applies: FRIST}',
    at: '12:15',
    message: /no rule "FRIST" \(did you mean FIRST\?\)/,
  },
  {
    name: 'a rule that refers to itself',
    from: 'applies: request.yes',
    to: 'applies: {not: {holds: FIRST}}',
    at: '9:5',
    message: /FIRST refers to itself in a circle/,
  },
  {
    name: 'an unknown instrument',
    from: '{instrument: law, article',
    to: '{instrument: lwa, article',
    at: '15:14',
    message: /no instrument "lwa" in the pack/,
  },
  {
    name: 'an unknown instrument of the whole',
    from: 'instrument: law\nin_force',
    to: 'instrument: lwa\nin_force',
    at: '6:1',
    message: /no instrument "lwa" in the pack/,
    rule: null,
  },
  {
    name: 'a source that is not confirmed and denies',
    from: 'confidence: high',
    to: 'confidence: not_confirmed',
    at: '15:5',
    message: /not confirmed may only ask for review or oblige/,
  },
  {
    name: 'an obligation that says nothing',
    from: 'otherwise: deny',
    to: 'otherwise: oblige',
    at: '9:5',
    message: /"obligation" is missing/,
  },
  {
    name: 'a missing key',
    from: '    sentence: {en: First}\n',
    to: '',
    at: '9:5',
    message: /"sentence" is missing/,
  },
  {
    name: 'a missing key of the document',
    from: 'concern: consent\n',
    to: '',
    at: '1:1',
    message: /"concern" is missing/,
    rule: null,
  },
  {
    name: 'an unknown key',
    from: 'otherwise: deny',
    to: 'otherwice: deny',
    at: '14:5',
    message: /unknown key "otherwice" \(did you mean otherwise\?\)/,
  },
  {
    name: 'neither outcome nor otherwise',
    from: '    otherwise: deny\n',
    to: '',
    at: '9:5',
    message: /either "outcome", or "holds" and "otherwise"|"otherwise" is missing/,
  },
  {
    name: 'outcome beside holds',
    from: 'otherwise: deny',
    to: 'otherwise: deny\n    outcome: deny',
    at: '9:5',
    message: /either "outcome", or "holds" and "otherwise"/,
  },
  {
    name: 'no citation',
    from: 'cites: [{instrument: law, article: Art. 1, confidence: high}]',
    to: 'cites: []',
    at: '15:5',
    message: /"cites" must NOT have fewer than 1 items/,
  },
  {
    name: 'a text without English',
    from: 'title: {en: First}',
    to: 'title: {fr: Premier}',
    at: '10:5',
    message: /"en" is missing/,
  },
  {
    name: 'no rules',
    from: GOOD.slice(GOOD.indexOf('rules:')),
    to: 'rules: []\n',
    at: '8:1',
    message: /"rules" must NOT have fewer than 1 items/,
    rule: null,
  },
  {
    name: 'a key twice',
    from: 'concern: consent',
    to: 'concern: consent\nconcern: sovereignty',
    at: '5:1',
    message: /Map keys must be unique/,
    rule: null,
  },
  {
    name: 'a bracket that is not closed',
    from: 'title: {en: Title}',
    to: 'title: {en: Title',
    at: '6:1',
    message: /Flow map/,
    rule: null,
  },
  {
    name: 'a tabulator',
    from: '    title: {en: First}',
    to: '\ttitle: {en: First}',
    at: '10:1',
    message: /./,
    rule: null,
  },
  {
    name: 'a second document',
    from: 'version: 1',
    to: 'version: 1\n---',
    at: '3:1',
    message: /multiple documents/,
    rule: null,
  },
  {
    name: 'an alias of nothing',
    from: 'applies: request.yes',
    to: 'applies: *nothing',
    at: '12:14',
    message: /Unresolved alias/,
    rule: null,
  },
];

describe('a mistake in a policy', () => {
  test('is none in the policy that the others vary', () => {
    expect(problemsOf(GOOD)).toEqual([]);
  });

  test.each(MISTAKES)(
    '$name is named with file, line, column and rule',
    ({ from, to, at, message, rule }) => {
      const problems = problemsOf(replaced(from, to));
      const [problem] = problems;
      const found = problems.find((each) => message.test(each.message)) ?? problem;
      expect(found?.message).toMatch(message);
      expect(`${found?.line}:${found?.column}`).toBe(at);
      expect(found?.file).toBe('policy-1.yaml');
      expect(found?.rule).toBe(rule === null ? undefined : 'FIRST');
    },
  );

  test('is named where it is in a list of outcomes, of both forms', () => {
    const otherwise = replaced(
      'otherwise: deny',
      'otherwise:\n      - {when: request.nay, effect: review}\n      - effect: deny',
    );
    const outcome = replaced(
      '    holds: {fact: request.count, gteq: 2}\n    otherwise: deny',
      '    outcome:\n      - {when: {fact: request.count, gt: x}, effect: review}',
    );
    expect(problemsOf(otherwise)).toMatchObject([{ line: 15, rule: 'FIRST' }]);
    expect(problemsOf(outcome)).toMatchObject([{ line: 14, rule: 'FIRST' }]);
  });

  test('is listed with all the others of all files', () => {
    const result = problemsOf(
      replaced('layer: statute', 'layer: law'),
      replaced('gteq: 2', 'gteqq: 2'),
      GOOD,
    );
    expect(result.map(({ file, line }) => `${file}:${line}`)).toEqual([
      'policy-1.yaml:3',
      'policy-2.yaml:13',
    ]);
  });

  test.each([
    '',
    '# nothing',
    'null',
    '[]',
    '7',
    'text',
    '{}',
    'rules: 7',
    'rules: [null, 7, []]',
    '- - -',
    '? ',
    '\u0000',
    '\uFEFF',
  ])('that is the whole of it: %j', (text) => {
    const problems = problemsOf(text);
    expect(problems.length).toBeGreaterThan(0);
    for (const { message, line, column } of problems) {
      expect(message).toMatch(/\w/);
      expect(message).not.toMatch(/^""/);
      expect(line * column).toBeGreaterThan(0);
    }
  });
});

test('a program names its policies, by their versions and the bytes of their files', () => {
  const texts = [GOOD, replaced('version: 1', 'version: 2').replaceAll('FIRST', 'SECOND')];
  const pack = JSON.stringify(smallPack());
  const result = buildProgram(
    { file: 'pack.yaml', text: pack },
    texts.map((text, i) => ({ file: `policy-${i}.yaml`, text })),
  );
  const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
  expect(result).toMatchObject({
    ok: true,
    value: {
      packSha256: sha256(pack),
      policies: texts.map((text, i) => ({
        policy: 'test-policy',
        version: i + 1,
        sha256: sha256(text),
      })),
    },
  });
});

describe('rules that belong together', () => {
  const choice = { layer: 'national_choice', concern: 'sovereignty', instrument: 'choice' };
  const cites = (instrument: string, confidence = 'high'): object => ({
    cites: [{ instrument, article: 'x', confidence }],
  });

  test('may not have the same id, in one file or two', () => {
    const rule = ruleOf('SAME', { outcome: 'review' });
    expect(problemsOf(policyDocument([rule, rule]))).toMatchObject([
      { rule: 'SAME', message: 'there is another rule SAME' },
    ]);
    expect(
      problemsOf(policyDocument([rule]), policyDocument([rule], { policy: 'other' })),
    ).toMatchObject([{ file: 'policy-2.yaml', rule: 'SAME' }]);
  });

  test('may not refer to one another in a circle, over two files either', () => {
    const a = ruleOf('A-RULE', { applies: { applies: 'B-RULE' }, outcome: 'review' });
    const b = ruleOf('B-RULE', { applies: { not: { applies: 'C-RULE' } }, outcome: 'review' });
    const c = ruleOf('C-RULE', { outcome: [{ when: { applies: 'A-RULE' }, effect: 'review' }] });
    const problems = problemsOf(policyDocument([a, b]), policyDocument([c], { policy: 'other' }));
    expect(problems).toMatchObject([
      { message: expect.stringContaining('refers to itself in a circle') },
    ]);
    expect(problems[0]?.rule).toMatch(/^[ABC]-RULE$/);
  });

  test('may refer to rules that come later, and to those of another file', () => {
    const first = ruleOf('FIRST', { applies: { holds: 'LATER' }, outcome: 'permit' });
    const later = ruleOf('LATER', { holds: 'request.yes', otherwise: 'review' });
    const program = built(
      smallPack(),
      policyDocument([first]),
      policyDocument([later], { policy: 'other' }),
    );
    expect(evaluate(program, loadFacts(program, { request: { yes: true } })).effect).toBe('permit');
  });

  test('that are a national choice may cite no law, and rest on none', () => {
    for (const instrument of ['law', 'rule']) {
      const cited = ruleOf('CHOICE', { outcome: 'deny', ...cites(instrument) });
      for (const layer of ['national_choice', 'steward']) {
        const owner = layer === 'steward' ? { owner: 'nisr' } : {};
        expect(problemsOf(policyDocument([cited], { ...choice, ...owner, layer }))).toMatchObject([
          { rule: 'CHOICE', message: 'a national choice must not be cited as law' },
        ]);
      }
      const resting = policyDocument([ruleOf('CHOICE', { outcome: 'deny', ...cites('choice') })], {
        ...choice,
        instrument,
      });
      expect(problemsOf(resting)).toMatchObject([
        { message: expect.stringContaining('national choice') },
      ]);
    }
    expect(
      problemsOf(
        policyDocument([ruleOf('CHOICE', { outcome: 'deny', ...cites('choice') })], choice),
      ),
    ).toEqual([]);
  });

  test('whose source is not confirmed may neither deny nor permit, by any outcome', () => {
    const unsure = cites('law', 'not_confirmed');
    for (const parts of [
      { outcome: 'deny' },
      { outcome: 'permit' },
      { outcome: [{ when: 'request.yes', effect: 'review' }, { effect: 'deny' }] },
      { holds: true, then: 'permit', otherwise: 'review' },
    ]) {
      expect(problemsOf(policyDocument([ruleOf('UNSURE', { ...parts, ...unsure })]))).toMatchObject(
        [{ rule: 'UNSURE' }],
      );
    }
    const obligation = { sentence: { en: 'x' }, due: 'throughout', evidence: { en: 'x' } };
    for (const parts of [{ outcome: 'review' }, { outcome: 'oblige', obligation }]) {
      expect(problemsOf(policyDocument([ruleOf('UNSURE', { ...parts, ...unsure })]))).toEqual([]);
    }
  });

  test('that oblige by a date name a fact that is one', () => {
    const obligation = {
      sentence: { en: 'x' },
      due: { fact: 'request.count' },
      evidence: { en: 'x' },
    };
    expect(
      problemsOf(policyDocument([ruleOf('DUE', { outcome: 'oblige', obligation })])),
    ).toMatchObject([{ rule: 'DUE' }]);
  });
});

describe('a mistake in a pack', () => {
  const rules = policyDocument([ruleOf('ANY', { outcome: 'permit' })]);
  const derived = (spec: object): object =>
    smallPack({ derived: { made: { title: { en: 'x' }, ...spec } } });

  const cites = [{ instrument: 'law', article: 'Art. 1', confidence: 'high' }];
  const text = { en: 'x' };
  const recorded = (spec: object): object =>
    smallPack({
      record_of_processing: {
        title: text,
        cites,
        sections: [{ id: 'one', title: text, sentence: text, cites, facts: [], ...spec }],
      },
    });

  test.each([
    [
      'a time zone that does not exist',
      smallPack({ timezone: 'Africa/Nowhere' }),
      /no time zone "Africa\/Nowhere"/,
    ],
    [
      'an expiry that is no fact',
      smallPack({ expiries: [{ name: 'x', fact: 'request.untill' }] }),
      /no fact "request\.untill"/,
    ],
    [
      'an expiry that is no date',
      smallPack({ expiries: [{ name: 'x', fact: 'request.count' }] }),
      /no date/,
    ],
    [
      'a record of processing of a fact that is none',
      recorded({ facts: ['request.untill'] }),
      /no fact "request\.untill"/,
    ],
    [
      'a record of processing that cites what is no instrument',
      recorded({ cites: [{ instrument: 'lore', article: 'Art. 1', confidence: 'high' }] }),
      /no instrument "lore"/,
    ],
    [
      'a derived fact of an unknown one',
      derived({ condition: 'request.yess' }),
      /did you mean request\.yes\?/,
    ],
    ['a derived fact of itself', derived({ condition: 'made' }), /no fact "made"/],
    [
      'a union of what is no set',
      derived({ union: ['request.count'] }),
      /request\.count is no set/,
    ],
    ['a derived fact of nothing', derived({}), /"condition" or a "union"/],
    [
      'no fact for the moment',
      smallPack({
        facts: {
          'request.yes': { type: 'boolean', source: 'request', title: { en: 'x' }, basis: 'x' },
        },
        derived: {},
      }),
      /request\.as_of/,
    ],
    ['a home that is no code', smallPack({ home: 'Rwanda' }), /"home" must match/],
    [
      'an unknown type',
      smallPack({
        facts: {
          'request.yes': { type: 'bool', source: 'request', title: { en: 'x' }, basis: 'x' },
        },
      }),
      /one of boolean, integer/,
    ],
    ['an unknown key', smallPack({ capital: 'Kigali' }), /unknown key "capital"/],
  ])('is named: %s', (_name, pack, message) => {
    const result = build(pack, rules);
    const problems = result.ok ? [] : result.problems;
    expect(problems.map((each) => each.message).join('\n')).toMatch(message);
    expect(problems.every(({ file }) => file === 'pack.yaml')).toBe(true);
  });
});

describe('the shipped pack', () => {
  test('has nothing that the test of the pack leaves out', () => {
    const folder = new URL('../../policies/rwanda/rules/', import.meta.url);
    const own = packFiles.policies.filter(({ file }) => file.startsWith('rwanda/'));
    expect(own).toHaveLength(readdirSync(folder).length);
  });

  test('survives no deletion of a line that carries a rule without saying so', () => {
    const { pack, policies } = packFiles;
    const [first, ...others] = policies;
    const lines = readFileSync(
      new URL('../../policies/rwanda/rules/agreement.yaml', import.meta.url),
      'utf8',
    ).split('\n');
    const silent = lines.filter((line, i) => {
      if (!/^\s*(- id|cites|otherwise|title|sentence|layer|policy|rules)\b/.test(line))
        return false;
      const text = lines.filter((_line, j) => j !== i).join('\n');
      return buildProgram(pack, [{ file: first?.file ?? '', text }, ...others]).ok;
    });
    expect(silent).toEqual([]);
  });
});

describe('a document that is meant to hurt', () => {
  const LIMIT = 3;
  const problemsWithin = (text: string): readonly FileProblem[] => {
    let problems: readonly FileProblem[] = [];
    const before = process.memoryUsage().rss;
    const spent = cpuSeconds(() => {
      const parsed = parsePolicy('big.yaml', text);
      problems = parsed.ok ? [] : parsed.problems;
    });
    expect(spent).toBeLessThan(LIMIT);
    expect(process.memoryUsage().rss - before).toBeLessThan(512 * 1024 * 1024);
    return problems;
  };

  test('of ten megabytes is refused by its size, before it is read', () => {
    const spent = cpuSeconds(() => {
      expect(problemsWithin(`${GOOD}# ${'x'.repeat(10_000_000)}`)).toMatchObject([
        { message: 'at most 4194304 bytes' },
      ]);
    });
    expect(spent).toBeLessThan(0.5);
  });

  test('of few characters and many bytes is measured in bytes', () => {
    expect(problemsWithin(`# ${'é'.repeat(2_200_000)}`)).toMatchObject([
      { message: 'at most 4194304 bytes' },
    ]);
  });

  const nested = (open: string, close: string, times: number): string =>
    replaced(
      'applies: request.yes',
      `applies: ${open.repeat(times)}request.yes${close.repeat(times)}`,
    );

  test.each([
    ['33 levels of "not"', nested('{not: ', '}', 33), /at most 32 levels of nesting/],
    ['1,000 levels of "not"', nested('{not: ', '}', 1000), /levels of nesting/],
    ['100,000 levels of lists', nested('[', ']', 100_000), /levels of nesting/],
    ['100,000 lists that are never closed', nested('[', '', 100_000), /levels of nesting/],
    ['100,000 dashes', `rules: \n${'- '.repeat(100_000)}x`, /levels of nesting/],
    ['100,000 question marks', `${'? '.repeat(100_000)}x`, /\w/],
    [
      '1,000 steps of indentation',
      Array.from({ length: 1000 }, (_, i) => `${' '.repeat(i)}k:`).join('\n'),
      /levels of nesting/,
    ],
    ['brackets closed before they are opened', nested(']', '[', 100_000), /closes nothing/],
    ['100,000 commas', nested('[', ','.repeat(100_000), 1), /a comma after nothing|Flow sequence/],
    ['30,000 keys', Array.from({ length: 30_000 }, (_, i) => `k${i}: 1`).join('\n'), /unknown key/],
    ['a million words', `rules: [${'x, '.repeat(400_000)}]`, /at most 800000 words and marks/],
    ['20,000 keys of one name', 'k: 1\n'.repeat(20_000), /Map keys must be unique/],
    ['ten thousand rules that are none', `rules: [${'x, '.repeat(9999)}x]`, /must be object/],
  ])('by %s is refused with a reason', (_name, text, message) => {
    const problems = problemsWithin(text);
    expect(problems.map((each) => each.message).join('\n')).toMatch(message);
  });

  test('is not one that merely writes of half-open intervals', () => {
    const prose = Array.from(
      { length: 500 },
      (_, i) => `# the interval [${i}, ${i + 1}) and {`,
    ).join('\n');
    expect(
      problemsOf(
        `${prose}\n${replaced('sentence: {en: First}', 'sentence: {en: "[0, 1) and [1, 2)"}')}`,
      ),
    ).toEqual([]);
  });

  test.each([
    [
      'by aliases of aliases',
      Array.from(
        { length: 40 },
        (_, i) =>
          `k${i}: &a${i} [${Array.from({ length: 9 }, () => (i ? `*a${i - 1}` : 'x')).join(', ')}]`,
      ).join('\n'),
    ],
    ['by an alias of itself', 'rules: &a [*a]'],
    [
      'by ten thousand aliases',
      `k: &a [x]\nrules: [${Array.from({ length: 10_000 }, () => '*a').join(', ')}]`,
    ],
    [
      'by anchors alone',
      `rules: [${Array.from({ length: 20_000 }, (_, i) => `&a${i} x`).join(', ')}]`,
    ],
  ])('%s is refused', (_name, text) => {
    expect(problemsWithin(text).length).toBeGreaterThan(0);
  });

  test('by a constant of 100,000 codes is answered rightly; by one more it is refused', () => {
    const codes = Array.from({ length: 100_001 }, (_, i) => `c${i}`);
    const list = (n: number): string =>
      replaced(
        '{fact: request.count, gteq: 2}',
        `{fact: request.purpose, isAnyOf: [${codes.slice(0, n).join(', ')}]}`,
      );
    const spent = cpuSeconds(() => {
      const program = built(smallPack(), list(100_000));
      for (const [purpose, deny] of [
        ['c99999', []],
        ['c100000', ['FIRST']],
      ] as const) {
        expect(
          evaluate(program, loadFacts(program, { request: { yes: true, purpose } })).deny,
        ).toEqual(deny);
      }
    });
    expect(spent).toBeLessThan(3);
    const tooMany = { fact: 'request.purpose', isAnyOf: codes };
    expect(() => parseCondition(tooMany, [])).toThrow('a list of at most 100000');
  });
});

describe('a document at the limits', () => {
  const mistakes = (text: string): string[] => {
    const read = readYaml('x', text);
    return read.ok
      ? []
      : read.problems.map(({ line, column, message }) => `${line}:${column} ${message}`);
  };
  const deep = 'at most 200 levels of nesting';
  const lists = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;

  test.each<[string, string, string[]]>([
    ['200 levels of lists', `# one\nx: ${lists(200)}`, []],
    ['201 levels of lists', `# one\nx: ${lists(201)}`, [`2:1 ${deep}`]],
    ['200 levels of maps', `x: ${'{a: '.repeat(200)}1${'}'.repeat(200)}`, []],
    ['201 levels of maps', `x: ${'{a: '.repeat(201)}1${'}'.repeat(201)}`, [`1:1 ${deep}`]],
    ['lists beside one another', `x: [${'[], '.repeat(300)}1]`, []],
    ['brackets in texts', `x: '${'['.repeat(300)}'\ny: "${']'.repeat(300)}"`, []],
    ['brackets in a block of text', `x: |\n  ${'{'.repeat(300)}\ny: a]b`, []],
    ['an indent of 400', `# x\n${' '.repeat(400)}# y`, []],
    ['an indent of 401', `# x\n${' '.repeat(401)}# y`, [`2:1 ${deep}`]],
    ['200 dashes', `${'- '.repeat(200)}x`, []],
    ['201 dashes', `${'- '.repeat(201)}x`, [`1:1 ${deep}`]],
    ['dashes within a text', `- x${' -'.repeat(300)}`, []],
    ['a bracket that nothing opened', 'x: 1\ny: 2]\nz: ]', ['3:1 ] closes nothing']],
    ['a brace that nothing opened', 'x: [1]\n}', ['2:1 } closes nothing']],
    ['commas after nothing', 'x: [1,\n , 2]', ['2:1 a comma after nothing']],
    ['a comma at the start of a list', 'x: [, 1]', ['1:1 a comma after nothing']],
    ['a comma at the start of a map', 'x:\n  {, a: 1}', ['2:1 a comma after nothing']],
    ['a comma at the end', 'x: [1, 2, ]', []],
    [
      'an alias of nothing',
      'x: 1\ny: [2, *z]',
      ['2:8 Unresolved alias (the anchor must be set before the alias): z'],
    ],
    ['a zero in a text', 'x: 1\ny: "a\\0b"', ['2:4 a text without \\0 and half characters']],
    ['half a character', 'x: "\\ud800"', ['1:4 a text without \\0 and half characters']],
    ['a whole character', 'x: "\\ud83d\\ude00"', []],
    ['a key twice', 'x: {a: 1, b: 2, a: 3}', ['1:17 Map keys must be unique']],
  ])('with %s', (_, text, expected) => {
    expect(mistakes(text)).toEqual(expected);
  });

  test.each([
    ['keys that come twice', 'a: 1\n'.repeat(70)],
    [
      'texts that no database takes',
      'a: ["\\0"]\n'.replace('["\\0"]', `[${'"\\0", '.repeat(70)}]`),
    ],
    ['marks that mean nothing', 'a: b: c\n'.repeat(70)],
  ])('of very many %s names the first fifty', (_, text) => {
    expect(mistakes(text)).toHaveLength(50);
  });

  test('of 250 rules names each mistake at its place, and no rule for what is in none', () => {
    const place = (i: number): string => (i % 120 === 7 ? 'otherwise: dney' : 'otherwise: deny');
    const rules = Array.from({ length: 250 }, (_, i) => {
      const rule = GOOD.slice(GOOD.indexOf('  - id'));
      return rule.replace('FIRST', `RULE-${i}`).replace('otherwise: deny', place(i));
    });
    const head = GOOD.slice(0, GOOD.indexOf('  - id'));
    const text = `${head.replace('layer: statute', 'layer: law')}${rules.join('')}`;
    const parsed = parsePolicy('x', text);
    const found = (parsed.ok ? [] : parsed.problems).filter(({ message }) =>
      message.includes('must be one of'),
    );
    const lines = text.split('\n');
    expect(found.map(({ line, column, rule }) => [lines[line - 1]?.trim(), column, rule])).toEqual([
      ['layer: law', 1, undefined],
      ['otherwise: dney', 5, 'RULE-7'],
      ['otherwise: dney', 5, 'RULE-127'],
      ['otherwise: dney', 5, 'RULE-247'],
    ]);
  });

  test('is in force from a day to the same day, and to no day before', () => {
    const until = (day: string): readonly FileProblem[] =>
      problemsOf(replaced('{from: 2026-01-01}', `{from: 2026-01-01, until: ${day}}`));
    expect(until('2026-01-01')).toEqual([]);
    expect(until('2025-12-31')).toMatchObject([
      { line: 7, column: 30, message: '"until" is before "from"' },
    ]);
  });
});

describe('ten thousand rules', () => {
  const LIMIT = 10;
  const id = (i: number): string => `RULE-${String(i).padStart(5, '0')}`;
  const many = (partsOf: (i: number) => object, length = 10_000): object =>
    policyDocument(Array.from({ length }, (_, i) => ruleOf(id(i), partsOf(i))));

  test('that refer to one another, each to the next, are put in order, decided and explained', () => {
    const spent = cpuSeconds(() => {
      const last = { applies: 'request.yes', outcome: 'review' };
      const rules = many((i) =>
        i === 9999 ? last : { applies: { applies: id(i + 1) }, outcome: 'review' },
      );
      const program = built(smallPack(), rules);
      expect(program.rules[0]?.rule.id).toBe(id(9999));
      const facts = { request: { yes: true } };
      expect(evaluate(program, loadFacts(program, facts)).review).toHaveLength(10_000);
      const { reasons } = explain(program, facts);
      expect(
        reasons
          .map(({ rule }) => rule)
          .toSorted()
          .at(-1),
      ).toBe(id(9999));
      expect(reasons.every((reason) => reason.facts[0]?.fact === 'request.yes')).toBe(true);
    });
    expect(spent).toBeLessThan(LIMIT);
  });

  test('and one are refused', () => {
    const rules = Array.from({ length: 10_001 }, () => 'x');
    expect(problemsOf(policyDocument([], { rules }))).toMatchObject([
      { message: 'at most 10000 rules' },
    ]);
  });

  test('or fewer, in one circle, are refused', () => {
    const problems = problemsOf(
      many((i) => ({ applies: { applies: id((i + 1) % 100) }, outcome: 'review' }), 100),
    );
    expect(problems).toMatchObject([{ message: expect.stringContaining('in a circle') }]);
  });

  test('or fewer, each with a mistake, are refused with the first fifty of them, in seconds', () => {
    const spent = cpuSeconds(() => {
      const problems = problemsOf(
        many(
          (i) => ({
            applies: { applies: `RULE-X${String(i).padStart(4, '0')}` },
            outcome: 'review',
          }),
          4000,
        ),
      );
      expect(problems).toHaveLength(50);
    });
    expect(spent).toBeLessThan(LIMIT);
  });
});
