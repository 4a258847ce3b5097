import { connect, type Socket } from 'node:net';

/** One kept-alive HTTP/1.1 connection that sends a prepared request again and again. */
class Connection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #waiting: ((status: number) => void) | undefined;

  constructor(url: URL) {
    this.#socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
    this.#socket.on('data', (chunk) => this.#read(chunk));
  }

  send(request: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting = resolve;
      this.#socket.once('error', reject);
      this.#socket.write(request, () => this.#socket.off('error', reject));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const end = this.#received.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#received.toString('latin1', 0, end);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    if (this.#received.length < end + 4 + length) return;
    this.#received = this.#received.subarray(end + 4 + length);
    this.#waiting?.(Number(head.slice(9, 12)));
  }
}

export interface Load {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Rate {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Requests a second over `connections` connections, each with one request under way. */
export async function loadHttp(load: Load, connections: number, ms: number): Promise<Rate> {
  const url = new URL(load.url);
  const headers = {
    host: url.host,
    'content-length': String(Buffer.byteLength(load.body)),
    ...load.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const request = Buffer.from(
    `${load.method} ${url.pathname} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${load.body}`,
  );
  const pool = Array.from({ length: connections }, () => new Connection(url));
  const rate = await repeat(connections, ms, async (i) => {
    const status = (await pool[i]?.send(request)) ?? 0;
    if (status >= 300) throw new Error(`status ${status}`);
  });
  for (const connection of pool) connection.close();
  return rate;
}

/** The middle one of some measurements; 0 of none. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** How often `work` completes a second with `callers` callers at once, for `ms` milliseconds. */
export async function repeat(
  callers: number,
  ms: number,
  work: (caller: number) => Promise<void>,
): Promise<Rate> {
  const latencies: number[] = [];
  const start = performance.now();
  const until = start + ms;
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let now = performance.now(); now < until; ) {
        await work(caller);
        const after = performance.now();
        latencies.push(after - now);
        now = after;
      }
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(share * (latencies.length - 1))] ?? 0;
  return { perSecond: latencies.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99) };
}
