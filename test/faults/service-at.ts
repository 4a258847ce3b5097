/** The service as a process, with a clock that begins at `CLOCK`. */

import { readConfig } from '../../src/config.ts';
import { startService } from '../../src/service.ts';

const ahead = Date.parse(process.env['CLOCK'] ?? '') - Date.now();
const clock = (): Date => new Date(Date.now() + ahead);

const voice = {
  say: (line: string) => console.log(line),
  warn: (line: string) => console.error(line),
};
const service = await startService(readConfig(process.env, clock()), clock, voice);
process.on('SIGTERM', () => void service[Symbol.asyncDispose]());
console.log(`Umutungo listens on ${service.url}`);
