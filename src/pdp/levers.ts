import { formatDate } from './calendar.ts';
import { type FactSpec, type Frame, isObject, type RemedySpec, type Vocabulary } from './facts.ts';

/**
 * What changes as a whole: a fact by itself, a record that is obtained with what it must say, or
 * a list of objects.
 */
export interface Unit {
  readonly path: string;
  readonly shape: 'plain' | 'record' | 'list';
  /** How a record is obtained. */
  readonly obtain: RemedySpec | undefined;
  /** The levers of a record's members. */
  readonly members: readonly Lever[];
}

/** A fact that whoever asks may truthfully change, in the ways that its pack names. */
export interface Lever {
  readonly spec: FactSpec;
  readonly slot: number;
  readonly unit: Unit;
  /** Its name inside a record or a list. */
  readonly key: string | undefined;
  readonly remedies: readonly RemedySpec[];
}

export type Delta =
  | { readonly set: unknown; readonly one_of?: readonly unknown[] }
  | { readonly add: readonly string[] }
  | { readonly remove: readonly string[] }
  /** Of a list: what is unknown goes too. */
  | { readonly keep: readonly string[] }
  | { readonly obtain: true };

/** One change of one lever by one of its remedies. */
export interface Move {
  readonly lever: Lever;
  readonly remedy: RemedySpec;
  readonly delta: Delta;
}

const known = new WeakMap<Vocabulary, ReadonlyMap<string, Lever>>();

/** The levers of a pack, by the path of their facts. */
export function leversOf(vocabulary: Vocabulary): ReadonlyMap<string, Lever> {
  const found = known.get(vocabulary);
  if (found) return found;
  const units = new Map<string, Unit & { members: Lever[] }>();
  const levers = new Map<string, Lever>();
  vocabulary.specs.forEach((spec, slot) => {
    if (!spec.remedies) return;
    const parent = parentOf(vocabulary, spec.path);
    const owner = parent ?? spec;
    const unit = units.get(owner.path) ?? {
      path: owner.path,
      shape: shapeOf(owner),
      obtain: owner.remedies?.find(({ to }) => to === 'obtain'),
      members: [],
    };
    units.set(owner.path, unit);
    const key = parent && spec.path.slice(parent.path.length + 1);
    const lever: Lever = { spec, slot, unit, key, remedies: spec.remedies };
    if (parent) unit.members.push(lever);
    levers.set(spec.path, lever);
  });
  known.set(vocabulary, levers);
  return levers;
}

function shapeOf({ type }: FactSpec): Unit['shape'] {
  return type === 'list' ? 'list' : type === 'object' ? 'record' : 'plain';
}

/** The record that is obtained, or the list, of which the fact is a member. */
function parentOf(vocabulary: Vocabulary, path: string): FactSpec | undefined {
  const parent = vocabulary.get(path.slice(0, path.lastIndexOf('.')));
  const whole =
    parent?.type === 'list' || parent?.remedies?.some(({ to }) => to === 'obtain') === true;
  return whole ? parent : undefined;
}

/** A pack's mistakes in its remedies, each at a path into the pack. */
export function remedyProblems(
  vocabulary: Vocabulary,
): { path: readonly (string | number)[]; message: string }[] {
  return vocabulary.specs.flatMap((spec) =>
    (spec.remedies ?? []).flatMap((remedy, i) => {
      const message = remedyProblem(vocabulary, spec, remedy);
      return message === undefined
        ? []
        : [{ path: ['facts', spec.path, 'remedies', i, 'to'], message }];
    }),
  );
}

function remedyProblem(
  vocabulary: Vocabulary,
  spec: FactSpec,
  { to, values, cover }: RemedySpec,
): string | undefined {
  if (spec.path.startsWith('dataset.')) return 'whoever asks does not change a dataset';
  if (!FITS[to](spec, vocabulary)) return `"${to}" does not fit ${spec.path}`;
  if (to === 'value' && !values) return '"value" needs "values"';
  const wrong = values?.find((value) => !isValueOf(spec, value));
  if (wrong !== undefined) return `${String(wrong)} is no value of ${spec.path}`;
  if (cover !== undefined && (spec.type !== 'date' || vocabulary.get(cover)?.type !== 'date'))
    return `"cover" names a date, for a date, not "${cover}"`;
  return undefined;
}

const FITS: Record<RemedySpec['to'], (spec: FactSpec, vocabulary: Vocabulary) => boolean> = {
  home: ({ type, of }) => type === 'country' || (type === 'set' && of === 'country'),
  remove: ({ type, path }, vocabulary) =>
    type === 'set' || parentOf(vocabulary, path)?.type === 'list',
  add: ({ type }) => type === 'set',
  value: ({ type }) => type === 'enum' || type === 'boolean' || type === 'code',
  reach: ({ type }) => type === 'integer' || type === 'number' || type === 'date',
  obtain: ({ type }) => type === 'object',
  state: ({ type }) => type === 'enum' || type === 'boolean',
};

function isValueOf({ type, values }: FactSpec, value: unknown): boolean {
  if (type === 'boolean') return typeof value === 'boolean';
  return typeof value === 'string' && (!values || values.includes(value));
}

/**
 * A unit's value after a move, in the form of explicit facts. A record that there was not is made
 * with all its levers at rest (sets empty, dates of today), so that nothing in it is unknown.
 */
export function moved(
  { lever, delta }: Move,
  current: unknown,
  frame: Frame,
  dates: Dates,
): unknown {
  const { unit, key } = lever;
  if (unit.shape === 'list') return movedList(delta, key ?? '', current);
  if (unit.shape === 'plain') return movedFact(delta, current);
  const record = isObject(current) ? current : atRest(unit, frame, dates);
  if (key === undefined) return record;
  return { ...record, [key]: movedFact(delta, record[key]) };
}

/** The slots of dates: of today, and of those that may have to be covered. */
export interface Dates {
  readonly today: number;
  slotOf(fact: string): number | undefined;
}

function movedFact(delta: Delta, current: unknown): unknown {
  if ('set' in delta) return delta.set;
  const members = Array.isArray(current) ? (current as unknown[]) : [];
  if ('add' in delta) return [...members, ...delta.add.filter((each) => !members.includes(each))];
  if ('remove' in delta) return members.filter((each) => !delta.remove.includes(each as string));
  return current;
}

function movedList(delta: Delta, key: string, current: unknown): unknown {
  const items = Array.isArray(current) ? (current as unknown[]) : [];
  return items.filter((item) => {
    const code = isObject(item) ? (item[key] as string) : '';
    if ('keep' in delta) return delta.keep.includes(code);
    return !('remove' in delta) || !delta.remove.includes(code);
  });
}

function atRest({ members }: Unit, frame: Frame, dates: Dates): Record<string, unknown> {
  const record: Record<string, unknown> = {};
  for (const { spec, key, remedies } of members) {
    const [remedy] = remedies;
    if (key === undefined || !remedy) continue;
    if (spec.type === 'set') record[key] = [];
    else if (remedy.to === 'value') record[key] = remedy.values?.[0];
    else if (spec.type === 'date')
      record[key] = coveredDay(remedy, frame[dates.today], frame, dates);
    else if (remedy.to === 'reach') record[key] = Math.max(0, spec.minimum ?? 0);
  }
  return record;
}

function coveredDay(remedy: RemedySpec, from: unknown, frame: Frame, dates: Dates): unknown {
  if (typeof from !== 'number') return undefined;
  return formatDate(covered(remedy, from, frame, dates));
}

/** A day, or the day that the remedy is to cover where that is later. */
export function covered({ cover }: RemedySpec, day: number, frame: Frame, dates: Dates): number {
  const slot = cover === undefined ? undefined : dates.slotOf(cover);
  const wanted = slot === undefined ? undefined : frame[slot];
  return typeof wanted === 'number' && wanted > day ? wanted : day;
}
