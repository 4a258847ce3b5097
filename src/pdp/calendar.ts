/**
 * Dates as numbers, without a clock: a date is the count of days since 1970-01-01, an instant
 * the milliseconds since 1970-01-01T00:00:00Z. Gregorian calendar, years 0001 to 9999.
 */

/** What may follow the seconds: a fraction of nanoseconds at most. */
const FRACTION = /^\.\d{1,9}/;
const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;
const DAY_MS = 86_400_000;

/** Days since 1970-01-01 of `YYYY-MM-DD`; undefined for what is no date (30 February). */
export function parseDate(text: string): number | undefined {
  return text.length === 10 ? dateAtStart(text) : undefined;
}

function dateAtStart(text: string): number | undefined {
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2);
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  if (text[4] !== '-' || text[7] !== '-' || Number.isNaN(year) || year < 1) return undefined;
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month))) return undefined;
  return daysFromCivil(year, month, day);
}

/** The number that two ASCII digits make at `index`; NaN where others stand. */
function twoDigits(text: string, index: number): number {
  const [tens, units] = [text.charCodeAt(index) - ZERO, text.charCodeAt(index + 1) - ZERO];
  return tens >= 0 && tens <= 9 && units >= 0 && units <= 9 ? tens * 10 + units : Number.NaN;
}

const ZERO = 48;

/** Milliseconds since the epoch of an RFC 3339 date-time with seconds and an offset; else undefined. */
export function parseInstant(text: string): number | undefined {
  const days = dateAtStart(text);
  const [hour, minute, second] = [twoDigits(text, 11), twoDigits(text, 14), twoDigits(text, 17)];
  const isTime = hour <= 23 && minute <= 59 && second <= 59 && text[13] === ':' && text[16] === ':';
  if (days === undefined || !isTime || (text[10] !== 'T' && text[10] !== 't')) return undefined;
  const fraction = text[19] === '.' ? FRACTION.exec(text.slice(19))?.[0] : '';
  const offset = fraction === undefined ? undefined : offsetAt(text, 19 + fraction.length);
  if (fraction === undefined || offset === undefined) return undefined;
  const whole = days * DAY_MS + ((hour * 60 + minute - offset) * 60 + second) * 1000;
  return fraction ? whole + Math.trunc(Number(`0${fraction}`) * 1000) : whole;
}

/** Minutes of the `Z`, `+02:00` or `-02:00` that a text ends with from `index` on. */
function offsetAt(text: string, index: number): number | undefined {
  const sign = text[index];
  if (sign === 'Z' || sign === 'z') return text.length === index + 1 ? 0 : undefined;
  const [hours, minutes] = [twoDigits(text, index + 1), twoDigits(text, index + 4)];
  const isOffset = hours <= 23 && minutes <= 59 && text[index + 3] === ':';
  if (!isOffset || text.length !== index + 6) return undefined;
  if (sign === '+') return hours * 60 + minutes;
  return sign === '-' ? -(hours * 60 + minutes) : undefined;
}

/** `YYYY-MM-DD` of a count of days since 1970-01-01. */
export function formatDate(days: number): string {
  const { year, month, day } = civilFromDays(days);
  const padded = year > 999 ? year : String(year).padStart(4, '0');
  return `${padded}${month < 10 ? '-0' : '-'}${month}${day < 10 ? '-0' : '-'}${day}`;
}

/** RFC 3339, in UTC, with milliseconds where there are any, of an instant (milliseconds since the epoch). */
export function formatInstant(instantMs: number): string {
  const days = Math.floor(instantMs / DAY_MS);
  const ms = instantMs - days * DAY_MS;
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  const time = `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}`;
  const fraction = ms % 1000 === 0 ? '' : `.${String(ms % 1000).padStart(3, '0')}`;
  return `${formatDate(days)}T${time}${fraction}Z`;
}

/**
 * A function that gives the date (days since 1970-01-01) of an instant in a time zone.
 * Offsets are looked up once per quarter of an hour, the finest step any zone changes at.
 * @throws RangeError for a name that is no IANA time zone.
 */
export function dayInZone(timeZone: string): (instantMs: number) => number {
  const known = zones.get(timeZone);
  if (known) return known;
  const made = makeDayInZone(timeZone);
  zones.set(timeZone, made);
  return made;
}

const zones = new Map<string, (instantMs: number) => number>();

function makeDayInZone(timeZone: string): (instantMs: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
    hourCycle: 'h23',
  });
  let quarter = Number.NaN;
  let offsetMs = 0;
  return (instantMs) => {
    const current = Math.floor(instantMs / 900_000);
    if (current !== quarter) {
      offsetMs = zoneOffsetMs(format, current * 900_000);
      quarter = current;
    }
    return Math.floor((instantMs + offsetMs) / DAY_MS);
  };
}

function zoneOffsetMs(format: Intl.DateTimeFormat, instantMs: number): number {
  const part: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(instantMs)) part[type] = Number(value);
  const days = daysFromCivil(part['year'] ?? 1970, part['month'] ?? 1, part['day'] ?? 1);
  const seconds = ((part['hour'] ?? 0) * 60 + (part['minute'] ?? 0)) * 60 + (part['second'] ?? 0);
  return days * DAY_MS + seconds * 1000 - instantMs;
}

function daysIn(year: number, month: number): number {
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  return month === 2 && leap ? 29 : (MONTH_DAYS[month - 1] ?? 0);
}

// Proleptic Gregorian day count; years start in March so that the leap day is the year's last.
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

function civilFromDays(days: number): { year: number; month: number; day: number } {
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1,
  };
}
