import type { operations } from './generated/openapi.ts';
import type { Principal } from './principal.ts';

/** An operation of the contract; its id names the handler, the command and the event. */
export type OperationId = keyof operations;

type Content<T> = T extends { content: infer C } ? C[keyof C] : never;

export type BodyOf<Id extends OperationId> = operations[Id] extends { requestBody: infer B }
  ? Content<B>
  : undefined;
type ParametersOf<
  Id extends OperationId,
  In extends string,
> = operations[Id]['parameters'] extends infer P
  ? In extends keyof P
    ? NonNullable<P[In]>
    : Record<string, never>
  : never;

type Responses<Id extends OperationId> = operations[Id]['responses'];
type SuccessStatus<Id extends OperationId> = keyof Responses<Id> & (200 | 201);

/** The body of a good answer. */
export type AnswerOf<Id extends OperationId> = Content<Responses<Id>[SuccessStatus<Id>]>;

/** A request that the contract has accepted, of somebody who has a role that the operation takes. */
export interface Call<Id extends OperationId> {
  readonly principal: Principal;
  readonly path: ParametersOf<Id, 'path'>;
  readonly query: ParametersOf<Id, 'query'>;
  readonly headers: {
    readonly ifMatch: string | undefined;
    readonly idempotencyKey: string | undefined;
  };
  readonly body: BodyOf<Id>;
  /** Where callers find the service, without a slash at the end: `https://data.example`. */
  readonly origin: string;
  /** SHA-256 (hex) of the body's bytes. */
  readonly bodySha256: () => string;
}

/** A value that is JSON already: what is the same in many answers need not be written each time. */
export class JsonText<T> {
  /** Itself, or in UTF-8. */
  readonly text: string | Uint8Array<ArrayBuffer>;
  /** Never there: the type of the value. */
  declare readonly value: T;

  constructor(text: string | Uint8Array<ArrayBuffer>) {
    this.text = text;
  }
}

/** An answer of the contract; `body` is sent as JSON, a string and a stream as they are. */
export interface Reply<Id extends OperationId> {
  readonly status: SuccessStatus<Id>;
  readonly body: AnswerOf<Id> | JsonText<AnswerOf<Id>> | ReadableStream<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Handler<Id extends OperationId> = (call: Call<Id>) => Promise<Reply<Id>> | Reply<Id>;

/** Handlers of some operations; the door holds them together and tsc sees that none is missing. */
export type Handlers<Id extends OperationId> = { readonly [Each in Id]: Handler<Each> };
