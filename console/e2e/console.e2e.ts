// The console as a person uses it: board, machine, connections, language; and that all of it is live.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch, picture, serverUnderTest, startMock, type Server } from './browser';

/** How long a simulated machine may take until its execution changes. */
const CHANGE_MS_MAX = 90_000;
const WALL = { width: 1920, height: 1080 };
const TABLET = { width: 1024, height: 768 };

let server: Server;
let browser: Browser;
let page: Page;
const troubles: string[] = [];

beforeAll(async () => {
  server = await serverUnderTest();
  browser = await launch();
  page = await open('en-GB', 'light');
});

afterAll(async () => {
  await browser?.close();
  server?.stop();
});

async function open(locale: string, colorScheme: 'light' | 'dark', viewport = WALL, host = server): Promise<Page> {
  const context = await browser.newContext({ locale, colorScheme, viewport });
  const opened = await context.newPage();
  opened.on('pageerror', (error) => troubles.push(String(error)));
  opened.on('console', (message) => {
    if (/Content Security Policy/.test(message.text())) troubles.push(message.text());
  });
  opened.on('request', (request) => {
    if (!request.url().startsWith(host.url)) troubles.push(`request to ${request.url()}`);
  });
  return opened;
}

/** Execution by asset, as the cards show it. */
function executions(of = page): Promise<Record<string, string>> {
  return of.$$eval('[data-test="cards"] > li', (cards) =>
    Object.fromEntries(cards.map((card) => [card.getAttribute('data-asset'), card.getAttribute('data-execution')])),
  ) as Promise<Record<string, string>>;
}

it('shows a card for every machine and counts their states', async () => {
  await page.goto(`${server.url}/`);
  await page.waitForSelector('[data-link="live"]');
  await page.waitForSelector('[data-test="cards"] > li');
  const answer = (await (await fetch(`${server.url}/api/v1/assets`)).json()) as { assets: { asset: string }[] };
  const machines = answer.assets.map(({ asset }) => asset).filter((asset) => asset.startsWith('machine/'));
  expect(Object.keys(await executions()).sort()).toEqual(machines.sort());
  const counts = await page.$$eval('[data-count]', (figures) => figures.map((figure) => Number(figure.textContent)));
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(machines.length);
  await picture(page, 'board-en-light-1920');
});

it("shows a machine's execution change live, without a reload", async () => {
  await page.evaluate(() => Object.assign(window, { loadedOnce: true }));
  const before = await executions();
  const changed = await page.waitForFunction(
    (known) => {
      const cards = [...document.querySelectorAll('[data-test="cards"] > li')];
      const card = cards.find(
        (one) => known[one.getAttribute('data-asset') ?? ''] !== one.getAttribute('data-execution'),
      );
      return card && { asset: card.getAttribute('data-asset') ?? '', word: card.querySelector('.band')?.textContent };
    },
    before,
    { timeout: CHANGE_MS_MAX },
  );
  const { asset, word } = (await changed.jsonValue()) as { asset: string; word: string };
  expect(asset in before).toBe(true);
  expect(word.trim()).not.toBe('');
  expect(await page.evaluate(() => 'loadedOnce' in window)).toBe(true);
});

it('filters by state and by name', async () => {
  const asset = Object.keys(await executions())[0] ?? '';
  const name = asset.slice('machine/'.length);
  await page.fill('.tools input', name);
  await page.waitForFunction((wanted) => {
    const cards = [...document.querySelectorAll('[data-test="cards"] > li')];
    return cards.length > 0 && cards.every((card) => (card.getAttribute('data-asset') ?? '').includes(wanted));
  }, name);
  await page.fill('.tools input', '');
});

it("opens a machine's page with time line, charts and signals", async () => {
  // A machine that speaks, so that there is something to draw.
  await page.click('[data-test="cards"] > li:not([data-state="offline"]) a');
  await page.waitForSelector('[data-test="timeline"] rect:not([data-word=""])');
  await page.waitForSelector('[data-chart] canvas');
  expect(await page.$$eval('[data-chart]', (charts) => charts.length)).toBeGreaterThanOrEqual(1);
  const drawn = await page.$eval('[data-chart] canvas', (canvas) => {
    const { width, height } = canvas as HTMLCanvasElement;
    const pixels = (canvas as HTMLCanvasElement).getContext('2d')?.getImageData(0, 0, width, height).data ?? [];
    return pixels.some((value) => value !== 0);
  });
  expect(drawn).toBe(true);
  expect(await page.$$eval('[data-test="signals"] tbody tr', (rows) => rows.length)).toBeGreaterThan(5);
  await page.hover('[data-test="timeline"] .plot', { position: { x: 300, y: 12 } });
  await page.waitForSelector('.tip');
  await picture(page, 'machine-en-light-1920');
});

it('zooms by dragging over a chart, and comes back to live', async () => {
  const box = await page.locator('[data-chart] .u-over').first().boundingBox();
  if (!box) throw new Error('the chart has no plot');
  await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 5 });
  await page.mouse.up();
  await page.click('.range .primary');
  await page.waitForSelector('.range .hint');
});

it('lists every gateway', async () => {
  await page.click('nav a[href="/connections"]');
  await page.waitForSelector('[data-gateway]');
  const answer = (await (await fetch(`${server.url}/api/v1/gateways`)).json()) as { gateways: { name: string }[] };
  const shown = await page.$$eval('[data-gateway]', (rows) => rows.map((row) => row.getAttribute('data-gateway')));
  expect(shown.sort()).toEqual(answer.gateways.map(({ name }) => name).sort());
  await picture(page, 'connections-en-light-1920');
});

it('switches the language and remembers it', async () => {
  await page.click('[data-test="language"]');
  await page.waitForFunction(() => document.documentElement.lang === 'zh-CN');
  expect(await page.textContent('nav')).toContain('设备看板');
  await page.reload();
  await page.waitForSelector('[data-link="live"]');
  expect(await page.textContent('h1')).toBe('连接');
  await page.goto(`${server.url}/`);
  await page.waitForSelector('[data-test="cards"] > li');
  await picture(page, 'board-zh-light-1920');
});

it("follows the browser's language, fits a tablet, and survives a lost connection", async () => {
  const tablet = await open('zh-CN', 'dark', TABLET);
  await tablet.goto(`${server.url}/`);
  await tablet.waitForSelector('[data-link="live"]');
  await tablet.waitForSelector('[data-test="cards"] > li');
  expect(await tablet.evaluate(() => document.documentElement.lang)).toBe('zh-CN');
  expect(await tablet.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  await picture(tablet, 'board-zh-dark-tablet');
  await tablet.click('[data-test="cards"] > li:not([data-state="offline"]) a');
  await tablet.waitForSelector('[data-chart] canvas');
  expect(await tablet.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  await picture(tablet, 'machine-zh-dark-tablet');
  await tablet.goBack();
  await tablet.context().setOffline(true);
  await tablet.waitForSelector('[data-link="lost"]', { timeout: 30_000 });
  await picture(tablet, 'board-zh-dark-tablet-lost');
  await tablet.context().setOffline(false);
  await tablet.waitForSelector('[data-link="live"]', { timeout: 40_000 });
  await tablet.context().close();
});

/** Execution by asset, as the server holds it. */
async function currentExecutions(url: string): Promise<Record<string, string>> {
  const answer = (await (await fetch(`${url}/api/v1/current`)).json()) as {
    observations: { asset: string; signal: string; text: string | null }[];
  };
  const told = answer.observations.filter(({ signal }) => signal === 'execution');
  return Object.fromEntries(told.map(({ asset, text }) => [asset, text ?? '']));
}

const differ = (a: Record<string, string>, b: Record<string, string>) =>
  Object.keys(a).filter((asset) => a[asset] !== b[asset]);

it('catches up through /current when the server says that it fell behind', async () => {
  const plant = await startMock({ historyMs: 60_000 });
  const board = await open('en-GB', 'light', WALL, plant);
  await board.goto(`${plant.url}/`);
  await board.waitForSelector('[data-test="cards"] > li');
  plant.mute();
  await board.waitForTimeout(1_000);
  const before = await executions(board);
  let missed: string[] = [];
  for (const end = Date.now() + CHANGE_MS_MAX; missed.length === 0 && Date.now() < end;) {
    await board.waitForTimeout(500);
    missed = differ(before, await currentExecutions(plant.url));
  }
  expect(missed).not.toEqual([]);
  expect(await executions(board)).toEqual(before);
  plant.resync();
  await board.waitForFunction(
    ([asset, old]) => document.querySelector(`[data-asset="${asset}"]`)?.getAttribute('data-execution') !== old,
    [missed[0], before[missed[0] ?? '']],
  );
  await board.context().close();
  plant.stop();
});

it('stays fluid with 500 machines', async () => {
  const plant = await startMock({ machines: 500, historyMs: 60_000 });
  const wall = await open('zh-CN', 'dark', WALL, plant);
  await wall.goto(`${plant.url}/`);
  await wall.waitForFunction(() => document.querySelectorAll('[data-test="cards"] > li').length === 500);
  const framesPerSec = await wall.evaluate(async () => {
    const [start, lengthMs] = [performance.now(), 4_000];
    let frames = 0;
    while (performance.now() - start < lengthMs) {
      await new Promise(requestAnimationFrame);
      frames += 1;
    }
    return (frames * 1000) / lengthMs;
  });
  await picture(wall, 'board-zh-dark-500-machines');
  await wall.context().close();
  plant.stop();
  process.stdout.write(`500 machines: ${framesPerSec.toFixed(1)} frames per second\n`);
  // Far below what a desktop shows, but out of reach for a page that redraws itself with every change.
  expect(framesPerSec).toBeGreaterThan(8);
});

it('asks nothing of any other host, and throws no error', () => {
  expect(troubles).toEqual([]);
});
