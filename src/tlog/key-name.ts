/** Whether a text can be a key's name (C2SP signed-note, "Format"); a log's is its origin. */
export function isKeyName(name: string): boolean {
  // oxlint-disable-next-line no-control-regex -- a name with one could not stand in a note
  return name.isWellFormed() && /^[^\p{White_Space}+\u0000-\u001f]+$/u.test(name);
}
