import { setImmediate } from 'node:timers/promises';
import { dayInZone, formatDate } from '../pdp/calendar.ts';
import { evaluate, type Verdict } from '../pdp/evaluate.ts';
import { explain, type Explanation } from '../pdp/explain.ts';
import type { Facts, Frame } from '../pdp/facts.ts';
import { loadFacts, type Program } from '../pdp/program.ts';
import type { Action, Entity, Found, Page, Properties, Question } from './authzen.ts';
import { compileSpace, ignoredOf, propertiesOf, type Space, sourcesOf } from './space.ts';
import type { StoredEntity } from './store.ts';

/** Answers before others have their turn: some 5 ms. */
const AT_ONCE = 5_000;

/** An entity in memory, with its attributes in the form of a program's frame. */
interface LiveEntity {
  readonly id: string;
  readonly properties: Properties;
  /** The values of a side's slots, as this program loads them. */
  loaded: { readonly branch: Branch; readonly values: readonly unknown[] } | undefined;
}

/** The entities of one type. */
interface OfType {
  readonly byId: Map<string, LiveEntity>;
  /** In the order of their ids; undefined after a change. */
  ordered: LiveEntity[] | undefined;
}

/** The slots of all facts below `subject` or `resource`. */
interface Branch {
  readonly side: 'subject' | 'resource';
  readonly slots: readonly number[];
}

/** A program with what a space needs of it, for as long as the day lasts. */
interface Compiled {
  /** Since 1970-01-01, where the space is at home. */
  readonly day: number;
  readonly program: Program;
  readonly asOf: number;
  readonly subject: Branch;
  readonly resource: Branch;
}

/** The question before, of which the next one may share the very objects; forgotten with any change. */
interface Last extends Pick<Question, 'subject' | 'action'> {
  readonly context: Question['context'] | undefined;
  readonly program: Program;
  readonly frame: Frame;
}

/**
 * A space as it answers: its policies compiled and its entities in memory. Pure but for that: the
 * instant of each question is given.
 */
export class LiveSpace {
  readonly space: Space;
  /** The newest change of entities that it has seen. */
  entityRevision = 0;
  readonly #types = new Map<string, OfType>();
  readonly #sources;
  readonly #dayOf: (instant: number) => number;
  #compiled: Compiled | undefined;
  #last: Last | undefined;

  /** @throws ServiceError `invalid_policy`. */
  constructor(space: Space, today: number, before?: LiveSpace) {
    this.space = space;
    this.#sources = {
      subject: sourcesOf(space.document, 'subject'),
      action: sourcesOf(space.document, 'action'),
      resource: sourcesOf(space.document, 'resource'),
    };
    this.#dayOf = dayInZone(space.document.timezone);
    this.#at(today);
    if (!before) return;
    this.entityRevision = before.entityRevision;
    for (const [type, each] of before.#types) this.#types.set(type, each);
  }

  get size(): number {
    let size = 0;
    for (const { byId } of this.#types.values()) size += byId.size;
    return size;
  }

  /** Takes over changes of entities, in the order in which they were made. */
  learn(changes: readonly StoredEntity[]): void {
    this.#last = undefined;
    for (const { type, id, properties, revision } of changes) {
      const known = this.#types.get(type);
      const of: OfType = known ?? { byId: new Map(), ordered: undefined };
      if (!known) this.#types.set(type, of);
      of.ordered = undefined;
      if (properties) of.byId.set(id, { id, properties, loaded: undefined });
      else of.byId.delete(id);
      this.entityRevision = Math.max(this.entityRevision, revision);
    }
  }

  decide(question: Question, now: number): Verdict {
    const { program, asOf, resource } = this.#at(now);
    const frame = this.#frameOf(program, resource, question);
    frame[asOf] = now;
    return evaluate(program, frame);
  }

  /** Items of a batch have nearly all in common: of the next one only the resource is loaded. */
  #frameOf(program: Program, branch: Branch, question: Question): Frame {
    const { subject, action, resource, context } = question;
    const last = this.#last;
    if (
      last?.program !== program ||
      last.subject !== subject ||
      last.action !== action ||
      last.context !== context
    ) {
      const frame = loadFacts(program, this.#facts(question));
      this.#last = { program, subject, action, context, frame };
      return frame;
    }
    const { id } = resource;
    const entity = this.#entity(resource) ?? { id, properties: {}, loaded: undefined };
    this.#place(last.frame, branch, entity, resource);
    return last.frame;
  }

  explain(question: Question, now: number): Explanation {
    const { program } = this.#at(now);
    const request = { as_of: new Date(now).toISOString() };
    return explain(program, { ...this.#facts(question), request });
  }

  /** What the caller sent of what only the space's entities may say. */
  ignored({ subject, resource }: Question): { attribute: string; differs: boolean }[] {
    const own = (side: 'subject' | 'resource', { properties, ...entity }: Entity) =>
      ignoredOf(this.#sources[side], side, properties, this.#stored(entity));
    return [...own('subject', subject), ...own('resource', resource)];
  }

  /** The program that decides at an instant. @throws ServiceError `invalid_policy`. */
  program(now: number): Program {
    return this.#at(now).program;
  }

  /** Entities of one type for which the answer is yes, in the order of their ids. */
  async entities(
    side: 'subject' | 'resource',
    question: Question,
    { after, limit }: Page,
    now: number,
  ): Promise<Found<Pick<Entity, 'type' | 'id'>>> {
    const { type, properties } = question[side];
    const given = question[side === 'subject' ? 'resource' : 'subject'];
    const all = this.#ordered(type);
    if (all.length === 0 || !this.#entity(given)) return NOTHING;
    const results: Pick<Entity, 'type' | 'id'>[] = [];
    const answers = this.#asker(side, question, properties, now);
    let last = after;
    for (let i = after === undefined ? 0 : firstAfter(all, after); i < all.length; i++) {
      const entity = all[i] as LiveEntity;
      if (i % AT_ONCE === AT_ONCE - 1) {
        // oxlint-disable-next-line no-await-in-loop -- others have their turn
        await setImmediate();
      }
      if (!answers(entity)) continue;
      if (results.length === limit) return { results, next: last };
      results.push({ type, id: entity.id });
      last = entity.id;
    }
    return { results, next: undefined };
  }

  /** Actions of the space to which the answer is yes, in its order. */
  actions(
    question: Omit<Question, 'action'>,
    { after, limit }: Page,
    now: number,
  ): Found<Pick<Action, 'name'>> {
    if (!this.#entity(question.subject) || !this.#entity(question.resource)) return NOTHING;
    const names = this.space.document.actions.map(({ name }) => name);
    const from = after === undefined ? 0 : names.indexOf(after) + 1;
    const yes = names
      .slice(from)
      .filter((name) => this.decide({ ...question, action: { name } }, now).effect === 'permit');
    const results = yes.slice(0, limit).map((name) => ({ name }));
    return { results, next: yes.length > limit ? results.at(-1)?.name : undefined };
  }

  /** Decides for one entity after the other: all but the entity's own facts are loaded once. */
  #asker(
    side: 'subject' | 'resource',
    question: Question,
    sent: Properties | undefined,
    now: number,
  ): (entity: LiveEntity) => boolean {
    const { program, asOf, [side]: branch } = this.#at(now);
    const { type } = question[side];
    const frame = loadFacts(program, this.#facts({ ...question, [side]: { type, id: '' } }));
    frame[asOf] = now;
    return (entity) => {
      this.#place(frame, branch, entity, { type, properties: sent });
      return evaluate(program, frame).effect === 'permit';
    };
  }

  /** Puts an entity's own facts into a frame, with what the caller sent of it. */
  #place(
    frame: Frame,
    branch: Branch,
    entity: LiveEntity,
    { type, properties: sent }: Pick<Entity, 'type'> & { properties?: Properties | undefined },
  ): void {
    const values = sent
      ? this.#load(branch, type, entity, sent)
      : this.#loaded(branch, type, entity);
    for (let i = 0; i < branch.slots.length; i++) frame[branch.slots[i] ?? 0] = values[i];
  }

  #loaded(branch: Branch, type: string, entity: LiveEntity): readonly unknown[] {
    if (entity.loaded?.branch !== branch)
      entity.loaded = { branch, values: this.#load(branch, type, entity, undefined) };
    return entity.loaded.values;
  }

  #load(
    { side, slots }: Branch,
    type: string,
    { id, properties }: LiveEntity,
    sent: Properties | undefined,
  ): readonly unknown[] {
    const counted = propertiesOf(this.#sources[side], sent, properties);
    const frame: Frame = loadFacts(this.#compiled?.program as Program, {
      [side]: { type, id, properties: counted },
    });
    return slots.map((slot) => frame[slot]);
  }

  #facts({ subject, action, resource, context }: Question): Facts {
    const { properties } = action;
    return {
      subject: this.#side('subject', subject),
      action: { name: action.name, properties: propertiesOf(this.#sources.action, properties) },
      resource: this.#side('resource', resource),
      context,
    };
  }

  #side(side: 'subject' | 'resource', entity: Entity): Entity {
    const { type, id, properties } = entity;
    const stored = this.#stored(entity);
    return { type, id, properties: propertiesOf(this.#sources[side], properties, stored) };
  }

  #stored(entity: Pick<Entity, 'type' | 'id'>): Properties | undefined {
    return this.#entity(entity)?.properties;
  }

  #entity({ type, id }: Pick<Entity, 'type' | 'id'>): LiveEntity | undefined {
    return this.#types.get(type)?.byId.get(id);
  }

  #ordered(type: string): readonly LiveEntity[] {
    const of = this.#types.get(type);
    if (!of) return [];
    of.ordered ??= [...of.byId.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
    return of.ordered;
  }

  #at(now: number): Compiled {
    const day = this.#dayOf(now);
    if (this.#compiled?.day === day) return this.#compiled;
    const program = compileSpace(this.space.document, formatDate(day));
    const branch = (side: Branch['side']): Branch => ({
      side,
      slots: program.vocabulary.specs.flatMap(({ path }, slot) =>
        path.startsWith(`${side}.`) ? [slot] : [],
      ),
    });
    this.#compiled = {
      day,
      program,
      asOf: program.vocabulary.slotOf('request.as_of') ?? 0,
      subject: branch('subject'),
      resource: branch('resource'),
    };
    return this.#compiled;
  }
}

const NOTHING = { results: [], next: undefined };

/** The first place whose id comes after one that may be gone by now. */
function firstAfter(all: readonly LiveEntity[], after: string): number {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((all[middle]?.id ?? '') <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
