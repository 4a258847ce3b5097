import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  dayInZone,
  formatDate,
  formatInstant,
  parseDate,
  parseInstant,
} from '../../src/pdp/calendar.ts';

const DAY = 86_400_000;
const FIRST = Date.parse('0001-01-01T00:00:00Z');
const LAST = Date.parse('9999-12-31T23:59:59.999Z');
const runs = { numRuns: 3000 };

describe('dates', () => {
  test('are the days that the platform counts, from year 1 to 9999, and come back the same', () => {
    fc.assert(
      fc.property(fc.integer({ min: FIRST / DAY, max: Math.floor(LAST / DAY) }), (day) => {
        const text = new Date(day * DAY).toISOString().slice(0, 10);
        expect(parseDate(text)).toBe(day);
        expect(formatDate(day)).toBe(text);
      }),
      runs,
    );
  });

  test('of any year, month and day number exist exactly where the platform has them', () => {
    const number = (min: number, max: number, width: number): fc.Arbitrary<string> =>
      fc.integer({ min, max }).map((value) => String(value).padStart(width, '0'));
    fc.assert(
      fc.property(number(1, 9999, 4), number(0, 14, 2), number(0, 33, 2), (year, month, day) => {
        const text = `${year}-${month}-${day}`;
        // The platform reads 30 February as 1 March: a date exists when it comes back the same.
        const date = new Date(`${text}T00:00:00Z`);
        const exists = !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
        expect(parseDate(text)).toBe(exists ? date.getTime() / DAY : undefined);
      }),
      runs,
    );
  });

  test.each([
    '2026-02-30',
    '2026-02-29',
    '1900-02-29',
    '2100-02-29',
    '2026-04-31',
    '2026-13-01',
    '2026-00-10',
    '2026-01-00',
    '0000-01-01',
    '2026-1-1',
    '2026x10-15',
    '2026-10x15',
    '/026-10-15',
    ':026-10-15',
    '2/26-10-15',
    '2:26-10-15',
    '2026-10-1/',
    '2026-10-1:',
    '26-01-01',
    '+02026-01-01',
    '2026-01-01 ',
    '2026-01-01\n',
    ' 2026-01-01',
    '2026-01-01T00:00:00Z',
    '２０２６-01-01',
    '',
    'today',
  ])('%j is none', (text) => {
    expect(parseDate(text)).toBeUndefined();
  });

  test.each(['2024-02-29', '2000-02-29', '0001-01-01', '9999-12-31'])('%s is one', (text) => {
    expect(parseDate(text)).toBe(Date.parse(`${text}T00:00:00Z`) / DAY);
  });
});

describe('instants', () => {
  test('are those of the platform, whatever the offset and the fraction', () => {
    const digits = fc.stringMatching(/^\.[0-9]{1,9}$/);
    fc.assert(
      fc.property(
        fc.integer({ min: FIRST + DAY, max: LAST - DAY }),
        fc.oneof(fc.constant(''), digits),
        fc.oneof(
          fc.constantFrom('Z', 'z', '-00:00'),
          fc.stringMatching(/^[+-]([01][0-9]|2[0-3]):[0-5][0-9]$/),
        ),
        fc.constantFrom('T', 't'),
        (instant, fraction, offset, separator) => {
          const [date = '', time = ''] = new Date(instant).toISOString().slice(0, 19).split('T');
          const actual = parseInstant(`${date}${separator}${time}${fraction}${offset}`);
          // Milliseconds are cut, never rounded up: rounding could reach the next day.
          const fixed = fraction === '' ? '.000' : `${fraction}00`.slice(0, 4);
          expect(actual).toBe(
            Date.parse(`${date}T${time}${fixed}${offset === 'z' ? 'Z' : offset}`),
          );
        },
      ),
      runs,
    );
  });

  test.each([
    '2026-10-15',
    '2026-10-15T09:00Z',
    '2026-10-15T09:00:00',
    '2026-10-15 09:00:00Z',
    '2026-10-15T09x00:00Z',
    '2026-10-15T09:00x00Z',
    '2026-10-15T09:00:00+02x00',
    '2026-10-15T09:00:00+02:00 ',
    '2026-10-15T09:00:00x02:00',
    '2026-10-15T09:00:00.x5Z',
    '2026-10-15T24:00:00Z',
    '2026-10-15T09:60:00Z',
    '2026-02-30T09:00:00Z',
    '2026-10-15T09:00:00+24:00',
    '2026-10-15T09:00:00+02:60',
    '2026-10-15T09:00:00+0200',
    '2026-10-15T09:00:00.Z',
    '2026-10-15T09:00:00,5Z',
    '2026-10-15T09:00:00.1234567890Z',
    '0000-01-01T00:00:00Z',
    '2026-10-15T09:00:00Z ',
    '',
  ])('%j is none', (text) => {
    expect(parseInstant(text)).toBeUndefined();
  });

  test('are written as the platform writes them, with milliseconds where there are any', () => {
    fc.assert(
      fc.property(fc.integer({ min: FIRST, max: LAST }), fc.boolean(), (any, isWhole) => {
        const instant = isWhole ? Math.floor(any / 1000) * 1000 : any;
        const written = new Date(instant).toISOString().replace(/\.000Z$/, 'Z');
        expect(formatInstant(instant)).toBe(written);
        expect(parseInstant(written)).toBe(instant);
      }),
      runs,
    );
    expect(formatInstant(Date.parse('0999-01-02T03:04:05.006Z'))).toBe('0999-01-02T03:04:05.006Z');
  });

  test('a leap second is refused, not silently moved to the next day', () => {
    expect(parseInstant('2016-12-31T23:59:60Z')).toBeUndefined();
    expect(parseInstant('2017-01-01T00:59:60+01:00')).toBeUndefined();
  });
});

describe('the day in a time zone', () => {
  test('is the one that the platform shows, in every zone since 1980', () => {
    const zones = Intl.supportedValuesOf('timeZone');
    expect(zones.length).toBeGreaterThan(300);
    const shown = new Map<string, Intl.DateTimeFormat>();
    const days = new Map<string, (instant: number) => number>();
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.integer({
          min: Date.parse('1980-01-01T00:00:00Z'),
          max: Date.parse('2100-01-01T00:00:00Z'),
        }),
        (timeZone, instant) => {
          const format =
            shown.get(timeZone) ??
            new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short' });
          shown.set(timeZone, format);
          const day = days.get(timeZone) ?? dayInZone(timeZone);
          days.set(timeZone, day);
          expect(formatDate(day(instant))).toBe(format.format(instant));
        },
      ),
      { numRuns: 1500 },
    );
  });

  test('starts in Kigali at 22:00 UTC the day before, to the millisecond', () => {
    const day = dayInZone('Africa/Kigali');
    const midnight = Date.parse('2026-10-14T22:00:00Z');
    expect([-1, 0, DAY - 1, DAY].map((after) => formatDate(day(midnight + after)))).toEqual([
      '2026-10-14',
      '2026-10-15',
      '2026-10-15',
      '2026-10-16',
    ]);
  });

  test('starts when the clocks there show midnight, wherever they stand', () => {
    for (const [zone, midnight] of [
      ['Asia/Kathmandu', '2026-10-14T18:15:00Z'],
      ['America/St_Johns', '2026-10-15T02:30:00Z'],
      ['Pacific/Kiritimati', '2026-10-14T10:00:00Z'],
      ['Africa/Monrovia', '1971-01-01T00:44:30Z'],
    ] as const) {
      const [at, day] = [Date.parse(midnight), dayInZone(zone)];
      expect(day(at) - day(at - 1), zone).toBe(1);
      expect(day(at + DAY - 1), zone).toBe(day(at));
    }
  });

  test('does not depend on what was asked before', () => {
    const day = dayInZone('Pacific/Apia');
    // Samoa had no 30 December 2011.
    const around = [-DAY, -1, 0, 1, DAY].map((after) => Date.parse('2011-12-30T10:00:00Z') + after);
    const forwards = around.map(day);
    expect(around.toReversed().map(day).toReversed()).toEqual(forwards);
    expect(forwards.map(formatDate)).toEqual([
      '2011-12-29',
      '2011-12-29',
      '2011-12-31',
      '2011-12-31',
      '2012-01-01',
    ]);
  });

  test('of a zone that does not exist is an error', () => {
    expect(() => dayInZone('Africa/Nowhere')).toThrow(RangeError);
  });
});
