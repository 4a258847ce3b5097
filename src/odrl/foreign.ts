import type { Graph, Node } from './graph.ts';
import { OdrlMistake, where } from './graph.ts';
import type { ImportOptions } from './import.ts';
import type { AttributeSpec, TermSpec } from './mapping.ts';
import type { WrittenPolicy } from './source.ts';
export function readForeign(
  _graph: Graph,
  policy: Node,
  _o: ImportOptions,
): {
  document: WrittenPolicy;
  attributes: Record<string, AttributeSpec>;
  terms: Record<string, TermSpec>;
} {
  throw new OdrlMistake(where(policy), 'not yet');
}
