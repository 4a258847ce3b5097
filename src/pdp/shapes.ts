import { parseDate } from './calendar.ts';
import { COUNTED, EMPTY, NONE, STATED, UNSTATED } from './demand.ts';
import type { FactSpec } from './facts.ts';
import type { Program } from './program.ts';

/** What explicit facts can say of one fact: where it stands and what its absence means. */
export interface Shape {
  readonly fact: string;
  readonly spec: FactSpec;
  readonly kind: 'object' | 'list' | 'set' | 'number' | 'code';
  /** The nearest object or list that it is in. */
  readonly parent: Shape | undefined;
  readonly isMember: boolean;
  readonly children: Shape[];
  /** The ways in which it can stand, all in all. */
  readonly mask: number;
}

/** The shapes of a program's facts by name, and values to prefer. */
export interface Shapes {
  readonly of: ReadonlyMap<string, Shape>;
  readonly home: string;
  /** A day (since 1970) to put dates near. */
  readonly day: number;
  /** The terms that a fact takes and no others; undefined where any code will do. */
  readonly termsOf: (spec: FactSpec) => ReadonlySet<string> | undefined;
}

/** Every way in which a fact can stand. */
export const WAYS: readonly number[] = [STATED, NONE, UNSTATED, COUNTED, EMPTY];

const shapes = new WeakMap<Program, Shapes>();

/** The shapes of a program's facts, made once. */
export function shapesOf(program: Program): Shapes {
  const known = shapes.get(program);
  if (known) return known;
  const of = new Map<string, Shape>();
  const make = (spec: FactSpec): Shape => {
    const made = of.get(spec.path);
    if (made) return made;
    const parent = parentOf(program, spec.path);
    const parentShape = parent && make(parent);
    const shape: Shape = {
      fact: spec.path,
      spec,
      kind: shapeKind(spec, parent),
      parent: parentShape,
      isMember: parent?.type === 'list',
      children: [],
      mask: 0,
    };
    const mask = WAYS.reduce<number>(
      (ways, way) => (parentShape && parentShape.mask & way ? ways | waysIn(shape, way) : ways),
      parentShape ? 0 : waysIn(shape, STATED),
    );
    const finished = { ...shape, mask };
    of.set(spec.path, finished);
    parentShape?.children.push(finished);
    return finished;
  };
  for (const spec of program.vocabulary.specs) make(spec);
  const days = program.rules.map(({ document }) => parseDate(document.in_force.from) ?? 0);
  const made: Shapes = {
    of,
    home: program.pack.home,
    day: days.reduce((a, b) => Math.max(a, b), 0),
    termsOf: (spec) => program.vocabulary.termsOf(spec),
  };
  shapes.set(program, made);
  return made;
}

function parentOf({ vocabulary }: Program, path: string): FactSpec | undefined {
  for (let at = path.lastIndexOf('.'); at > 0; at = path.lastIndexOf('.', at - 1)) {
    const spec = vocabulary.get(path.slice(0, at));
    if (spec?.type === 'object' || spec?.type === 'list') return spec;
  }
  return undefined;
}

function shapeKind(spec: FactSpec, parent: FactSpec | undefined): Shape['kind'] {
  if (parent?.type === 'list') return 'set';
  switch (spec.type) {
    case 'object':
    case 'list':
    case 'set':
      return spec.type;
    case 'integer':
    case 'number':
    case 'date':
    case 'datetime':
      return 'number';
    case 'boolean':
    case 'text':
    case 'code':
    case 'enum':
    case 'country':
      return 'code';
  }
}

/** How a fact can stand where what it is in stands in one way: as `load.ts` reads it. */
export function waysIn(shape: Shape, parent: number): number {
  const { spec, isMember } = shape;
  if (isMember) return memberWays(shape, parent);
  const counts = spec.absent !== undefined && spec.absent !== 'none';
  if (parent === NONE) return counts && spec.type !== 'object' ? COUNTED : NONE;
  if (spec.type === 'list') return parent === UNSTATED ? UNSTATED : STATED | EMPTY | UNSTATED;
  const left = spec.absent === 'none' ? NONE : counts ? COUNTED : UNSTATED;
  if (parent === UNSTATED) return left;
  // An object whose absence counts as a value says nothing that it could not state.
  if (spec.type === 'object' && counts) return STATED;
  return STATED | left;
}

function memberWays({ spec }: Shape, list: number): number {
  // What a list cannot hold as codes is not known of its items.
  const isText = ['code', 'enum', 'country', 'text'].includes(spec.type);
  if (list === STATED) return isText ? STATED | UNSTATED : UNSTATED;
  return list === EMPTY ? STATED : list;
}
