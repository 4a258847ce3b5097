const STEP_MS = 100;

/**
 * A line on the terminal that says how far something is, and that `undefined` takes away again;
 * nothing where there is no terminal.
 */
export function progressLine(what: string): (done: number | undefined, total?: number) => void {
  const { stderr } = process;
  if (!stderr.isTTY) return () => {};
  let shown = 0;
  return (done, total) => {
    if (done === undefined) {
      stderr.write('\r\u001b[K');
      return;
    }
    const now = performance.now();
    if (now - shown < STEP_MS) return;
    shown = now;
    const of = total === undefined ? '' : ` of ${total} (${Math.floor((100 * done) / total)} %)`;
    stderr.write(`\r\u001b[K${done}${of} ${what}`);
  };
}
