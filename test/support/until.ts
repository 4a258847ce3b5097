import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until something is so. @throws when it has not come to that in 20 seconds. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await condition()) return;
    await sleep(50);
  }
  throw new Error('It did not come to that in 20 seconds.');
}
