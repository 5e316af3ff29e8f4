// The fleet of a running demo as a person sees it: what vehicles report, with a server behind it that took it in by the
// standard's frames. Needs TONGMAI_URL: the stand-in has no frames that a vehicle sent.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch, picture, serverUnderTest, type Server } from './browser';

/** A busy computer takes its time. */
const PATIENCE_MS = 60_000;
/** The vehicles of the demo reissue what they would have said in hours before. */
const HISTORY_MS = 90_000;

describe.skipIf(!process.env['TONGMAI_URL'])('the fleet of the demo', () => {
  let server: Server;
  let browser: Browser;
  let page: Page;
  let vins: string[] = [];

  beforeAll(async () => {
    server = await serverUnderTest();
    browser = await launch();
    const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1920, height: 1080 } });
    context.setDefaultTimeout(PATIENCE_MS);
    page = await context.newPage();
  });

  afterAll(async () => {
    await browser?.close();
    server?.stop();
  });

  const ask = async <T>(path: string): Promise<T> => (await (await fetch(`${server.url}/api/v1/${path}`)).json()) as T;

  it('counts the vehicles that report', async () => {
    type Vehicles = { total: number; vehicles: { vin: string; time: string | null }[] };
    const fleet = () => ask<Vehicles>('fleet/vehicles?limit=500').then(({ vehicles }) => vehicles);
    const ready = () => fleet().then((all) => all.length === 40 && all.every(({ time }) => time !== null));
    await expect.poll(ready, { timeout: HISTORY_MS }).toBe(true);
    vins = (await fleet()).map(({ vin }) => vin);
    await page.goto(`${server.url}/fleet`);
    await page.waitForSelector('[data-row] a');
    await expect.poll(() => page.textContent('[data-count="all"]'), { timeout: PATIENCE_MS }).toBe('40');
    await page.waitForTimeout(1_000);
    await picture(page, 'demo-fleet');
  });

  it('shows a vehicle with its cells and its past', async () => {
    const vin = vins.find((one) => one.endsWith('000003')) ?? '';
    await page.goto(`${server.url}/vehicles/${vin}`);
    await page.waitForSelector(`[data-vin="${vin}"]`);
    await page.waitForSelector('[data-of="cells"] canvas');
    const worst = await page.$$eval('[data-of="cells"] tbody tr', (rows) => rows.map((row) => row.textContent ?? ''));
    expect(worst.length).toBe(10);
    expect(worst[0]).toMatch(/[+−][1-9]\d* mV/);
    await page.waitForSelector('[data-chart="vehicle_speed"] canvas');
    await page.waitForTimeout(1_000);
    await picture(page, 'demo-vehicle');
  });

  it('shows all cells of a truck that tells them in two reports', async () => {
    const truck = vins.find((one) => one.endsWith('000005')) ?? '';
    const opened = await page.context().newPage();
    await opened.goto(`${server.url}/vehicles/${truck}`);
    await opened.waitForSelector('[data-of="cells"][data-count="216"] canvas');
    await opened.close();
  });

  it('shows the frames that it sent, byte by byte', async () => {
    await page.click('[data-test="frames"] header button');
    await page.waitForSelector('[data-test="dump"]');
    expect(await page.textContent('[data-test="dump"]')).toContain('command: realtime report');
  });

  it('asks it for its parameters, and it answers', async () => {
    await page.click('[data-test="orders"] header button');
    await page.click('[data-test="orders"] button[type="submit"]');
    await page.waitForSelector('[data-order][data-state="answered"]');
    await picture(page, 'demo-orders');
  });

  it('lists alarms, and one is acknowledged', async () => {
    await page.goto(`${server.url}/alarms`);
    await page.waitForSelector('[data-alarm]');
    await page.click('[data-alarm] button');
    await page.waitForSelector('[data-test="alarm"][data-state$="unacknowledged"]');
    await page.click('[data-deed="acknowledge"]');
    expect(await page.textContent('[data-test="alarm"] [role="alert"]')).toContain('name');
    await page.fill('[data-test="by"]', 'Li Hua');
    await page.fill('[data-test="comment"]', 'On my way');
    await page.click('[data-deed="acknowledge"]');
    await page.waitForSelector('[data-test="records"] [data-event="acknowledged"]');
    expect(await page.textContent('[data-test="records"] [data-event="acknowledged"]')).toContain('On my way');
    await picture(page, 'demo-alarms');
  });
});
