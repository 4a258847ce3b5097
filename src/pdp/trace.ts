import { formatDate } from './calendar.ts';
import { type RuleTracer, type Trace, tracerOf } from './emit.ts';
import type { Facts, FactSource, Frame } from './facts.ts';
import { ELSEWHERE } from './load.ts';
import { type CodeSet, FALSE } from './logic.ts';
import type { Derivation, Program } from './program.ts';

/** A fact that a rule has read, as it was. `null` where it is absent. */
export interface FactReading {
  readonly fact: string;
  readonly value: unknown;
  readonly source: FactSource;
}

/** How a slot's value is shown. */
interface SlotView {
  readonly fact: string;
  readonly keys: readonly string[];
  readonly source: FactSource;
}

type Slots = readonly number[];

/**
 * The rules of a program at work on one case after the other: what each came to, and which base
 * facts were read, through derived facts and through other rules. All that is said after `run` is
 * about its case; rules are gone through in their order, with `next`.
 */
export class Tracer {
  readonly trace: Trace;
  readonly #program: Program;
  readonly #tracers: readonly RuleTracer[];
  /** By rule, whether others refer to it. */
  readonly #isReferred: readonly boolean[];
  readonly #appliesSlots: Int32Array;
  readonly #holdsSlots: Int32Array;
  readonly #views: readonly SlotView[];
  /** By slot of an object, those of its members: its own says nothing where one of them is shown. */
  readonly #members: readonly (Slots | undefined)[];
  readonly #derivations: ReadonlyMap<number, Derivation>;
  /** By slot of a derived fact, all that may lie behind it. */
  readonly #allBehind: readonly (Slots | undefined)[];
  readonly #unstated: readonly undefined[];
  /** What lies behind the slots of derived facts and of rules, as far as somebody has asked. */
  readonly #behind: (Slots | undefined)[];
  /** What is missing behind the slots of uncertain rules. */
  readonly #blamed: (Slots | undefined)[];
  /** By slot, how it is shown, and in which case it was made. */
  readonly #readings: (FactReading | undefined)[];
  // Cases and collections are counted without end: not in 32 bits.
  readonly #madeIn: Float64Array;
  /** Slots under collection, and by slot the last collection that has it. */
  readonly #slots: Int32Array;
  readonly #collectedIn: Float64Array;
  #count = 0;
  #collection = 0;
  #case = 0;
  #facts: Facts = {};
  #given: unknown[] = [];
  #frame: Frame = [];

  constructor(program: Program) {
    const { rules, runners, width } = program;
    this.#program = program;
    this.#tracers = runners.map(tracerOf);
    const referred = new Set(this.#tracers.flatMap((each) => [...each.referred]));
    this.#isReferred = rules.map(
      ({ appliesSlot, holdsSlot }) => referred.has(appliesSlot) || referred.has(holdsSlot),
    );
    this.#appliesSlots = Int32Array.from(rules, ({ appliesSlot }) => appliesSlot);
    this.#holdsSlots = Int32Array.from(rules, ({ holdsSlot }) => holdsSlot);
    this.#views = viewsOf(program);
    this.#members = membersOf(program);
    this.#derivations = new Map(program.derivations.map((each) => [each.slot, each]));
    this.#allBehind = allBehind(program);
    this.#unstated = Array.from({ length: program.vocabulary.specs.length });
    this.#behind = Array.from({ length: width });
    this.#blamed = Array.from({ length: width });
    this.#readings = Array.from({ length: width });
    this.#madeIn = new Float64Array(width);
    this.#slots = new Int32Array(width);
    this.#collectedIn = new Float64Array(width);
    const ofRules = (): Int32Array => new Int32Array(rules.length);
    this.trace = {
      reads: new Int32Array(this.#tracers.reduce((sum, { reads }) => sum + reads, 0)),
      ends: ofRules(),
      applies: ofRules(),
      holds: ofRules(),
      effects: ofRules(),
      open: ofRules(),
    };
  }

  /** Decides a case. Its frame's rule slots are those of the rules gone through so far. */
  run(facts: Facts): Frame {
    const { vocabulary, width, derive, derivations } = this.#program;
    this.#case++;
    this.#facts = facts;
    this.#given = this.#unstated.slice();
    this.#frame = vocabulary.load(facts, width, this.#given);
    derive(this.#frame);
    for (const { slot } of derivations) this.#behind[slot] = undefined;
    let index = 0;
    for (const tracer of this.#tracers) {
      tracer.run(this.#frame, this.trace, index);
      index += tracer.rules;
    }
    return this.#frame;
  }

  /** Goes on to the rule at `index`, and says whether it applies or may. */
  next(index: number): boolean {
    const { applies, holds, ends, reads } = this.trace;
    const doesApply = applies[index] !== FALSE;
    const isReferred = this.#isReferred[index];
    if (!doesApply && !isReferred) return false;
    this.#begin();
    const end = ends[index] ?? 0;
    for (let i = index > 0 ? (ends[index - 1] ?? 0) : 0; i < end; i++) {
      this.#collect(reads[i] ?? 0, this.#behind);
    }
    if (isReferred) {
      // Rules of different modules may share slots: those that refer to them mean this rule's.
      const appliesSlot = this.#appliesSlots[index] ?? 0;
      const holdsSlot = this.#holdsSlots[index] ?? 0;
      this.#frame[appliesSlot] = applies[index];
      this.#frame[holdsSlot] = holds[index];
      const slots = this.#collected();
      this.#behind[appliesSlot] = slots;
      this.#behind[holdsSlot] = slots;
      this.#blamed[appliesSlot] = undefined;
    }
    return doesApply;
  }

  /** The base facts that the rule at hand has read, in order. */
  readings(): FactReading[] {
    const shown: FactReading[] = [];
    for (let i = 0; i < this.#count; i++) {
      const slot = this.#slots[i] ?? 0;
      const members = this.#members[slot];
      if (members && this.#hasAny(members)) continue;
      if (this.#madeIn[slot] !== this.#case) {
        this.#madeIn[slot] = this.#case;
        this.#readings[slot] = this.#reading(slot, this.#views[slot] as SlotView);
      }
      shown.push(this.#readings[slot] as FactReading);
    }
    return shown;
  }

  /** The base facts that are missing behind the slots that leave the rule at `index` open. */
  blame(index: number, open: ReadonlySet<number>): string[] {
    const { rules, vocabulary } = this.#program;
    this.#begin();
    for (const slot of open) this.#collect(slot, this.#blamed);
    const blamed = this.#collected();
    this.#blamed[rules[index]?.appliesSlot ?? 0] = blamed;
    const isMissing = (slot: number): boolean =>
      slot < vocabulary.specs.length && isUnknown(this.#frame[slot]);
    return blamed.filter(isMissing).map((slot) => this.#views[slot]?.fact ?? '');
  }

  /**
   * Was this slot among the readings that were given out in this case? Never true of an object
   * whose members were shown in its place.
   */
  wasRead(slot: number): boolean {
    return this.#madeIn[slot] === this.#case;
  }

  #begin(): void {
    this.#collection++;
    this.#count = 0;
  }

  #collected(): number[] {
    const slots: number[] = [];
    for (let i = 0; i < this.#count; i++) slots.push(this.#slots[i] ?? 0);
    return slots;
  }

  /** Adds a slot, or what lies behind it, unless it is there. */
  #collect(slot: number, ofRules: readonly (Slots | undefined)[]): void {
    const all = this.#allBehind[slot];
    const behind = all ? this.#behindDerived(slot, all) : ofRules[slot];
    if (behind) for (const each of behind) this.#add(each);
    else this.#add(slot);
  }

  #add(slot: number): void {
    if (this.#collectedIn[slot] === this.#collection) return;
    this.#collectedIn[slot] = this.#collection;
    this.#slots[this.#count++] = slot;
  }

  #hasAny(slots: Slots): boolean {
    for (const slot of slots) if (this.#collectedIn[slot] === this.#collection) return true;
    return false;
  }

  #behindDerived(slot: number, all: Slots): Slots {
    const known = this.#behind[slot];
    if (known) return known;
    // Nothing is missing, nearly always.
    const found = this.#hasUnknown(all) ? this.#mattered(slot) : all;
    this.#behind[slot] = found;
    return found;
  }

  #hasUnknown(slots: Slots): boolean {
    for (const slot of slots) if (isUnknown(this.#frame[slot])) return true;
    return false;
  }

  #mattered(slot: number): Slots {
    const derivation = this.#derivations.get(slot);
    if (!derivation) return [slot];
    // A derived fact that is known did not need those of its sources that are unknown.
    const isOpen = isUnknown(this.#frame[slot]);
    const sources = derivation.reads.filter((each) => isOpen || !isUnknown(this.#frame[each]));
    return [...shownSlot(derivation), ...sources.flatMap((each) => this.#mattered(each))];
  }

  #reading(slot: number, { fact, keys, source }: SlotView): FactReading {
    if (source === 'derived') return { fact, value: derivedValue(fact, this.#frame[slot]), source };
    const given = this.#given[slot];
    return {
      fact,
      value: given === ELSEWHERE ? valueAt(this.#facts, keys) : (given ?? null),
      source,
    };
  }
}

/** Home is the same in all cases: it says nothing of this one. */
function shownSlot({ name, slot }: Derivation): Slots {
  return name === 'home' ? [] : [slot];
}

function allBehind({ derivations, width }: Program): readonly (Slots | undefined)[] {
  const all: (Slots | undefined)[] = Array.from({ length: width });
  for (const derivation of derivations) {
    const behind = derivation.reads.flatMap((slot) => all[slot] ?? [slot]);
    all[derivation.slot] = [...shownSlot(derivation), ...behind];
  }
  return all;
}

function viewsOf({ slotNames, vocabulary }: Program): SlotView[] {
  return slotNames.map((fact, slot) => ({
    fact,
    keys: fact.split('.'),
    source: vocabulary.specs[slot]?.source ?? 'derived',
  }));
}

function membersOf({ vocabulary: { specs }, width }: Program): readonly (Slots | undefined)[] {
  const members: (Slots | undefined)[] = Array.from({ length: width });
  for (const [slot, { path, type }] of specs.entries()) {
    if (type !== 'object') continue;
    members[slot] = specs.flatMap((spec, i) => (spec.path.startsWith(`${path}.`) ? [i] : []));
  }
  return members;
}

function isUnknown(value: unknown): boolean {
  return (
    value === undefined || (typeof value === 'object' && value !== null && (value as CodeSet).open)
  );
}

function derivedValue(name: string, value: unknown): unknown {
  if (value === undefined) return null;
  if (name === 'today') return formatDate(value as number);
  return typeof value === 'object' && value !== null ? (value as CodeSet).items : value;
}

/** The value in explicit facts at a path; through a list, the members' values. */
export function valueAt(facts: Facts, keys: readonly string[]): unknown {
  let value: unknown = facts;
  for (const key of keys) {
    if (Array.isArray(value)) {
      value = value.map((item: unknown) => (item as Record<string, unknown> | null)?.[key] ?? null);
    } else if (typeof value === 'object' && value !== null && Object.hasOwn(value, key)) {
      value = (value as Record<string, unknown>)[key];
    } else {
      return null;
    }
  }
  return value ?? null;
}
