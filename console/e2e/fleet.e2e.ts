// The fleet as a person uses it: counts, table, map, a vehicle with its cells, frames and orders. Always against the
// stand-in, which has 100,000 vehicles.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch, picture, startMock, type Server } from './browser';

const VEHICLES = 100_000;
const WALL = { width: 1920, height: 1080 };
const PATIENCE_MS = 60_000;
/**
 * The share of time that scrolling through all rows may take. It takes 0.3 of a core that others use too, where a table
 * whose rows are made anew takes all of it; on a busy computer work takes longer, so it may try again.
 */
const BUSY_MAX = 0.6;
const BUSY_ATTEMPTS_MAX = 10;
/** Elements that the table may have, whatever its length. */
const ROWS_MAX = 80;

let server: Server;
let browser: Browser;
let page: Page;
const troubles: string[] = [];

beforeAll(async () => {
  server = await startMock({ vehicles: VEHICLES, historyMs: 60_000 });
  browser = await launch();
  page = await open('en-GB', 'light');
});

afterAll(async () => {
  await browser?.close();
  server?.stop();
});

async function open(locale: string, colorScheme: 'light' | 'dark', viewport = WALL): Promise<Page> {
  const context = await browser.newContext({ locale, colorScheme, viewport });
  context.setDefaultTimeout(PATIENCE_MS);
  const opened = await context.newPage();
  opened.on('pageerror', (error) => troubles.push(String(error)));
  opened.on('console', (message) => {
    if (/Content Security Policy/.test(message.text())) troubles.push(message.text());
  });
  opened.on('request', (request) => {
    if (!request.url().startsWith(server.url)) troubles.push(`request to ${request.url()}`);
  });
  return opened;
}

const total = (of = page) =>
  of.$eval('[data-test="fleet-total"]', (element) => Number(element.getAttribute('data-total')));

const vins = (of = page) =>
  of.$$eval('[data-row] a.mono', (links) =>
    links
      .map((link) => [Number(link.closest('[data-row]')?.getAttribute('data-row')), link.textContent] as const)
      .sort(([a], [b]) => a - b)
      .map(([, vin]) => vin),
  );

it('leads from the bar to the fleet, and counts it', async () => {
  await page.goto(`${server.url}/`);
  await page.click('nav a[href="/fleet"]');
  await page.waitForSelector('[data-test="fleet-counts"]');
  await page.waitForSelector('[data-row] a');
  const answer = (await (await fetch(`${server.url}/api/v1/fleet`)).json()) as {
    states: Record<string, number>;
    levels: number[];
  };
  const shown = await page.$$eval('[data-count]', (figures) =>
    figures.map((figure) => [figure.getAttribute('data-count'), Number(figure.textContent?.replaceAll(',', ''))]),
  );
  expect(Object.fromEntries(shown)).toEqual({ all: VEHICLES, ...answer.states });
  expect(await total()).toBe(VEHICLES);
  expect(await page.$$eval('[data-test="silent"] li', (rows) => rows.length)).toBe(10);
  await picture(page, 'fleet-en-light-1920');
});

it('filters by what vehicles do and by their alarms', async () => {
  const answer = (await (await fetch(`${server.url}/api/v1/fleet`)).json()) as {
    states: Record<string, number>;
    levels: number[];
  };
  await page.click('button:has([data-count="charging"])');
  await expect.poll(() => total(), { timeout: PATIENCE_MS }).toBe(answer.states['charging']);
  await page.click('button:has([data-count="charging"])');
  await page.click('button:has([data-level="4"])');
  await expect.poll(() => total(), { timeout: PATIENCE_MS }).toBe(answer.levels[4]);
  expect(await page.$$eval('[data-row] .level-4', (marks) => marks.length)).toBe(answer.levels[4]);
  await page.click('button:has([data-level="4"])');
  await expect.poll(() => total(), { timeout: PATIENCE_MS }).toBe(VEHICLES);
});

it('has only the rows in sight, also at the end of 100,000', async () => {
  await page.click('[role="columnheader"] button');
  await expect.poll(() => vins().then(([first]) => first), { timeout: PATIENCE_MS }).toBe('LTMTEST0000000000');
  await page.$eval('[data-test="fleet-table"]', (table) => (table.scrollTop = table.scrollHeight));
  const last = `LTMTEST${String(VEHICLES - 1).padStart(10, '0')}`;
  await expect.poll(() => vins().then((all) => all.at(-1)), { timeout: PATIENCE_MS }).toBe(last);
  expect(await page.$$eval('[data-row]', (rows) => rows.length)).toBeLessThan(ROWS_MAX);
  await page.$eval('[data-test="fleet-table"]', (table) => (table.scrollTop = 0));
});

it('stays fluid while 100,000 rows are scrolled through', async () => {
  let measured = await scroll();
  for (let attempt = 1; attempt < BUSY_ATTEMPTS_MAX && measured.busy >= BUSY_MAX; attempt += 1) {
    measured = await scroll();
  }
  const { framesPerSec, busy } = measured;
  process.stdout.write(`100,000 rows: ${framesPerSec.toFixed(1)} frames per second, ${busy.toFixed(2)} of a core\n`);
  expect(busy).toBeLessThan(BUSY_MAX);
  await expect.poll(() => vins().then((all) => all.length), { timeout: PATIENCE_MS }).toBeGreaterThan(10);
});

/** A thousand rows a second, for four seconds. */
async function scroll(): Promise<{ framesPerSec: number; busy: number }> {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const metrics = async () => {
    const { metrics: all } = await session.send('Performance.getMetrics');
    const secs = (name: string) => all.find((metric) => metric.name === name)?.value ?? Number.NaN;
    return {
      work: secs('ScriptDuration') + secs('LayoutDuration') + secs('RecalcStyleDuration'),
      now: secs('Timestamp'),
    };
  };
  const before = await metrics();
  const framesPerSec = await page.$eval('[data-test="fleet-table"]', async (table) => {
    const [start, lengthMs] = [performance.now(), 4_000];
    let frames = 0;
    while (performance.now() - start < lengthMs) {
      table.scrollTop = (performance.now() - start) * 36;
      await new Promise(requestAnimationFrame);
      frames += 1;
    }
    return (frames * 1000) / (performance.now() - start);
  });
  const after = await metrics();
  return { framesPerSec, busy: (after.work - before.work) / (after.now - before.now) };
}

it('has a map without tiles, that zooms and leads to a vehicle', async () => {
  const canvas = page.locator('[data-test="fleet-map"]');
  await page.waitForFunction(
    () => Number(document.querySelector('[data-test="fleet-map"]')?.getAttribute('data-total')) > 0,
  );
  const colours = () =>
    canvas.evaluate((element) => {
      const { width, height } = element as HTMLCanvasElement;
      const pixels = (element as HTMLCanvasElement).getContext('2d')?.getImageData(0, 0, width, height).data ?? [];
      let sum = 0;
      for (let i = 0; i < pixels.length; i += 97) sum += pixels[i] ?? 0;
      return sum;
    });
  const before = await colours();
  expect(before).toBeGreaterThan(0);
  await canvas.focus();
  await page.keyboard.press('+');
  await expect.poll(colours).not.toBe(before);
  await page.keyboard.press('0');
  await expect.poll(colours).toBe(before);
});

it('finds a vehicle by part of its VIN', async () => {
  await page.fill('input[type="search"]', '0055558');
  await expect.poll(() => total(), { timeout: PATIENCE_MS }).toBe(1);
  await page.click('[data-row] a');
  await page.waitForSelector('[data-vin="LTMTEST0000055558"]');
});

it('shows the cells of a vehicle and those that deviate most', async () => {
  await page.waitForSelector('[data-of="cells"][data-count="192"] canvas');
  const worst = await page.$$eval('[data-of="cells"] tbody tr', (rows) => rows.map((row) => row.textContent ?? ''));
  expect(worst.length).toBe(10);
  expect(worst[0]).toMatch(/−\d+ mV/);
  expect(await page.$$eval('[data-of="probes"] tbody tr', (rows) => rows.length)).toBe(10);
  expect(await page.$$eval('[data-test="alarms"] [data-bit]', (rows) => rows.length)).toBeGreaterThan(0);
  await page.waitForSelector('[data-chart="vehicle_speed"] canvas');
  expect(await page.textContent('[data-test="signals"]')).toContain('车辆状态');
  await picture(page, 'vehicle-en-light-1920');
});

it('shows the frames that a vehicle sent, with what their bytes mean', async () => {
  await page.click('[data-test="frames"] header button');
  await page.waitForSelector('[data-test="dump"]');
  expect(await page.textContent('[data-test="dump"]')).toContain('command: realtime report');
  await page.click('[data-test="frames"] .tools button:nth-child(2)');
  expect(await page.textContent('[data-test="dump"]')).toMatch(/^ +0 {2}23 23 02 fe/);
});

it('gives orders, asks before it acts, and shows what became of them', async () => {
  await page.click('[data-test="orders"] header button');
  await page.click('[data-test="orders"] button[type="submit"]');
  await page.waitForSelector('[data-order][data-state="answered"]');
  await page.click('[data-order] summary');
  expect(await page.textContent('[data-order]')).toContain('30 s');
  await page.click('[data-test="orders"] header button');
  await page.click('[data-test="orders"] .tabs button:nth-child(3)');
  await page.click('[data-test="orders"] button[type="submit"]');
  expect(await page.$$eval('[data-order]', (orders) => orders.length)).toBe(1);
  await page.click('[role="alertdialog"] .danger');
  await page.waitForFunction(() => document.querySelectorAll('[data-order]').length === 2);
});

it('fits every screen, in both languages', async () => {
  for (const [locale, scheme] of [
    ['en-GB', 'light'],
    ['zh-CN', 'dark'],
  ] as const) {
    for (const viewport of [
      WALL,
      { width: 1440, height: 900 },
      { width: 1024, height: 768 },
      { width: 390, height: 844 },
    ]) {
      const opened = await open(locale, scheme, viewport);
      for (const path of ['/fleet', '/vehicles/LTMTEST0000000004']) {
        await opened.goto(`${server.url}${path}`);
        await opened.waitForSelector('[data-row] a, [data-test="cell-map"] canvas');
        await opened.waitForTimeout(500);
        const widthPx = await opened.evaluate(() => document.documentElement.scrollWidth);
        expect(widthPx, `${path} at ${viewport.width}`).toBeLessThanOrEqual(viewport.width);
        await picture(
          opened,
          `${path.startsWith('/fleet') ? 'fleet' : 'vehicle'}-${locale}-${scheme}-${viewport.width}`,
        );
      }
      await opened.context().close();
    }
  }
});

it('asks nothing of any other host, and throws no error', () => {
  expect(troubles).toEqual([]);
});
