/**
 * A count with its noun and what is said of it: `1 value is erased`, `2 values are erased`.
 * @param many of more than one, and of none; left out, `one` with an "s".
 */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
