/** Values beside a body: nothing is lost, nothing is said by what is left, and nothing can be put in. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  digestOf,
  digestsIn,
  joinDisclosures,
  putBack,
  readDisclosure,
  seal,
} from '../../src/audit/disclosures.ts';

const value = fc.jsonValue({ maxDepth: 2 }).map((each) => each as unknown);
const ERASABLE = ['actor', 'query', 'question', 'subject', 'note'];
const body = fc
  .tuple(
    fc.dictionary(fc.constantFrom(...ERASABLE, 'decision', 'deny', 'count'), value, { maxKeys: 6 }),
    fc.option(
      fc.record(
        {
          id: value,
          document: fc.record({ title: value, contact_point: value, classification: value }),
        },
        { requiredKeys: [] },
      ),
      { nil: undefined },
    ),
  )
  .map(([members, dataset]) => ({ ...members, ...(dataset && { dataset }) }))
  // JSON has no negative zero.
  .map((each) => JSON.parse(JSON.stringify(each)) as Record<string, unknown>);

test('put back they make the body that was sealed', () => {
  fc.assert(
    fc.property(body, (whole) => {
      const sealed = seal(whole);
      expect(putBack(sealed.body, joinDisclosures(sealed.disclosures))).toEqual(whole);
      expect(digestsIn(sealed.body).toSorted()).toEqual(
        sealed.disclosures.map(digestOf).toSorted(),
      );
    }),
  );
});

test('without one of them all others are back, and the body does not have it', () => {
  fc.assert(
    fc.property(body, fc.nat(), (whole, n) => {
      const { body: kept, disclosures } = seal(whole);
      fc.pre(disclosures.length > 0);
      const gone = disclosures[n % disclosures.length] ?? '';
      const left = putBack(kept, joinDisclosures(disclosures.filter((each) => each !== gone)));
      const path = (readDisclosure(gone)?.path ?? '').slice(1).split('/');
      const at = path.reduce<unknown>(
        (from, name) => (from as Record<string, unknown>)[name],
        left,
      );
      expect(at).toBeUndefined();
    }),
  );
});

test('the same value is bound by another digest each time', () => {
  const [one, two] = [seal({ actor: 'uwase' }), seal({ actor: 'uwase' })];
  expect(one.body['_sd']).not.toEqual(two.body['_sd']);
});

test('a path leads to what the body has itself, and to nothing that all objects have', () => {
  for (const path of ['/__proto__/polluted', '/constructor/prototype/polluted', '/__proto__']) {
    const text = Buffer.from(JSON.stringify(['salt', path, { polluted: true }])).toString(
      'base64url',
    );
    expect(putBack({ _sd: [], a: 1 }, text)).toEqual({ a: 1 });
    expect(Object.getPrototypeOf(putBack({ a: 1 }, text))).toBe(Object.prototype);
  }
  expect('polluted' in {}).toBe(false);
});

test('a text that is none is read as none', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(() => putBack({ a: 1 }, text)).not.toThrow();
    }),
  );
  for (const said of ['[]', '["s", 1, 2]', '["s", "/a"]', '{}'])
    expect(readDisclosure(Buffer.from(said).toString('base64url'))).toBeUndefined();
});
