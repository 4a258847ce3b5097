import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { operations } from '../http/operations.ts';
import { startTestService, type TestService } from '../support/service.ts';

const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const browser = BROWSERS.find((path) => existsSync(path));
if (!browser)
  console.log(`Skipped: the pages in a browser, because there is none of ${BROWSERS.join(', ')}.`);

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

describe.runIf(browser)('/docs in a browser', () => {
  let service: TestService;
  let profile: string;
  let context: BrowserContext;
  const requests: string[] = [];
  const complaints: string[] = [];

  beforeAll(async () => {
    service = await startTestService();
    profile = await mkdtemp(join(tmpdir(), 'umutungo-browser-'));
    context = await chromium.launchPersistentContext(profile, {
      executablePath: browser ?? '',
      headless: true,
      args: FLAGS,
    });
    context.on('request', (request) => requests.push(request.url()));
    context.on('requestfailed', (request) =>
      complaints.push(`${request.url()}: ${request.failure()?.errorText ?? ''}`),
    );
    context.on('console', (message) => {
      if (message.type() !== 'log' && message.type() !== 'info')
        complaints.push(`${message.type()}: ${message.text()}`);
    });
    context.on('weberror', (error) => complaints.push(String(error.error())));
  });
  afterAll(async () => {
    await context.close();
    await service[Symbol.asyncDispose]();
    await rm(profile, { recursive: true, force: true, maxRetries: 3 });
  });

  test('shows every operation, opens one, and asks nobody else', async () => {
    const page = await context.newPage();
    await page.goto(`${service.url}/docs`);
    await page.locator('.opblock').first().waitFor();
    expect(await page.locator('.opblock').count()).toBe(operations.length);
    expect(await page.title()).toBe('Umutungo API');
    expect(await page.locator('#api h1, #api h2').first().innerText()).toContain('Umutungo');
    await page
      .locator('#operations-access-submitAccessRequest button.opblock-summary-control')
      .click();
    await page.locator('#operations-access-submitAccessRequest .opblock-body').waitFor();
    expect(await page.locator('#operations-access-submitAccessRequest').innerText()).toContain(
      'nhic-idsr-cases',
    );

    expect(complaints).toEqual([]);
    const hosts = new Set(
      requests.filter((url) => !url.startsWith('data:')).map((url) => new URL(url).origin),
    );
    expect([...hosts]).toEqual([service.url]);
  });

  test('lets one try an operation with a token', async () => {
    const page = await context.newPage();
    await page.goto(`${service.url}/docs`);
    await page.locator('.btn.authorize').click();
    await page.locator('.auth-container input').fill(await service.token('auditor'));
    await page.locator('.auth-btn-wrapper .authorize').click();
    await page.locator('.btn-done').click();
    const pack = page.locator('#operations-policies-getPack');
    await pack.locator('button.opblock-summary-control').click();
    await pack.locator('.try-out__btn').click();
    const answered = page.waitForResponse(`${service.url}/v1/pack`);
    await pack.locator('.execute').click();
    expect((await answered).status()).toBe(200);
    expect(complaints).toEqual([]);
  });
});
