// Rules as a person uses them: the list, one of them, what it would have raised, and another wording tried; and where open alarms
// are shown. Against the stand-in, or a running server.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch, picture, serverUnderTest, startMock, type Server } from './browser';

/** A busy computer takes its time. */
const PATIENCE_MS = 60_000;
const WALL = { width: 1920, height: 1080 };
const TABLET = { width: 1024, height: 768 };
const RULE = 'charge-empty';

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

async function open(locale: string, colorScheme: 'light' | 'dark', viewport = WALL): Promise<Page> {
  const context = await browser.newContext({ locale, colorScheme, viewport });
  context.setDefaultTimeout(PATIENCE_MS);
  const opened = await context.newPage();
  opened.on('pageerror', (error) => troubles.push(String(error)));
  opened.on('console', (message) => {
    if (/Content Security Policy/.test(message.text())) troubles.push(message.text());
  });
  return opened;
}

it('leads from alarms to rules, and to one of them', async () => {
  await page.goto(`${server.url}/alarms`);
  await page.click('a.rules');
  await page.waitForSelector('[data-test="rules"] [data-rule]');
  await picture(page, 'rules-en-light-1920');
  await page.fill('.head input', RULE);
  await expect.poll(() => page.$$eval('[data-rule]', (rows) => rows.length), { timeout: PATIENCE_MS }).toBe(1);
  await page.click(`[data-rule="${RULE}"] a`);
  await page.waitForSelector(`[data-test="rule"][data-rule="${RULE}"]`);
  expect(await page.textContent('[data-test="rule"] dl')).toContain('vehicle_soc < 10');
});

it('tells what the rule would have raised in the last week, day by day', async () => {
  await page.click('[data-span="week"]');
  await page.click('[data-test="run"]');
  await page.waitForSelector('[data-test="told"][data-of="rule"]');
  const counts = await page.$$eval('[data-test="counts"] [data-count]', (bars) =>
    bars.map((bar) => Number(bar.getAttribute('data-count'))),
  );
  const total = Number(await page.getAttribute('[data-test="told"]', 'data-total'));
  expect(counts.length).toBe(7);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(total);
  await picture(page, 'rule-en-light-1920');
});

it('tries another wording with the keyboard, and tells a mistake with its line', async () => {
  await page.focus('[data-test="backtest"] summary');
  await page.keyboard.press('Enter');
  const text = await page.inputValue('[data-test="text"]');
  expect(text).toContain('vehicle_soc < 10');
  const line = text.split('\n').findIndex((one) => one.startsWith('when')) + 1;
  await page.fill('[data-test="text"]', text.replace('vehicle_soc < 10', 'vehicle_soc + 1'));
  await page.click('[data-test="try"]');
  await page.waitForSelector('[data-test="problems"]');
  expect(await page.textContent('[data-test="problems"]')).toContain(`Line ${line}`);
  await page.click('[data-test="problems"] button');
  const chosen = await page.$eval('[data-test="text"]', (area: HTMLTextAreaElement) =>
    area.value.slice(area.selectionStart, area.selectionEnd),
  );
  expect(chosen).toContain('vehicle_soc + 1');
  await picture(page, 'rule-mistake-en-light-1920');
  await page.fill('[data-test="text"]', text.replace('vehicle_soc < 10', 'vehicle_soc < 100'));
  await page.click('[data-test="try"]');
  await page.waitForSelector('[data-test="told"][data-of="text"] [data-test="counts"]');
  expect(await page.$$eval('[data-test="found"] tbody a', (links) => links.length)).toBeGreaterThan(0);
  await picture(page, 'rule-tried-en-light-1920');
});

it('shows the rules and one of them in the dark, in Chinese, on a tablet', async () => {
  const dark = await open('zh-CN', 'dark', TABLET);
  await dark.goto(`${server.url}/rules/${RULE}`);
  await dark.click('[data-test="run"]');
  await dark.waitForSelector('[data-test="told"]');
  await picture(dark, 'rule-zh-dark-1024');
  await dark.goto(`${server.url}/rules`);
  await dark.waitForSelector('[data-test="rules"] [data-rule]');
  await picture(dark, 'rules-zh-dark-1024');
  await dark.close();
});

it('shows open alarms in the fleet, and leads to those of one vehicle', async () => {
  await page.goto(`${server.url}/fleet`);
  await page.waitForSelector('[data-row] a.mono');
  const ofPriority = await page.$$eval('[data-priority]', (figures) =>
    figures.map((figure) => [figure.getAttribute('data-priority'), Number(figure.textContent)] as const),
  );
  const [priority, count] = ofPriority.find(([, count]) => count > 0) ?? ['', 0];
  expect(count).toBeGreaterThan(0);
  await page.click(`button:has([data-priority="${priority}"])`);
  const total = () => page.getAttribute('[data-test="fleet-total"]', 'data-total').then(Number);
  await expect.poll(total, { timeout: PATIENCE_MS }).toBe(count);
  await picture(page, 'fleet-alarms-en-light-1920');
  const alarms = await page.getAttribute('[data-row="0"] [data-alarms]', 'data-alarms');
  await page.click('[data-row="0"] [data-alarms]');
  await page.waitForSelector('[data-test="only"]');
  // Those that are folded count too.
  const listed = async () =>
    (await page.$$eval('tr[data-alarm]:not([data-under])', (rows) => rows.length)) +
    (await page.$$eval('[data-test="consequences"]', (folds) =>
      folds.reduce((sum, fold) => sum + Number(fold.getAttribute('data-count')), 0),
    ));
  await expect.poll(listed, { timeout: PATIENCE_MS }).toBe(Number(alarms));
  await picture(page, 'alarms-of-vehicle-en-light-1920');
});

it('folds consequences under their cause, opens them with the keyboard, and tells who is told', async () => {
  const plant = await startMock({ historyMs: 60_000 });
  const { alarms } = (await (await fetch(`${plant.url}/api/v1/alarms`)).json()) as { alarms: object[] };
  await page.goto(`${plant.url}/alarms`);
  const door = 'tr[data-alarm="door"] [data-test="consequences"]';
  await page.waitForSelector(door);
  expect(await page.getAttribute(door, 'aria-expanded')).toBe('false');
  expect(await page.textContent(door)).toContain('2 consequences');
  expect(await page.$('[data-under]')).toBeNull();
  await page.focus(door);
  await page.keyboard.press('Enter');
  const under = () =>
    page.$$eval('[data-under="door"]', (rows) => rows.map((row) => row.getAttribute('data-alarm')).join(' '));
  await expect.poll(under).toBe('spindle-held part-late');
  expect(await page.getAttribute(door, 'aria-expanded')).toBe('true');
  await picture(page, 'alarms-open-fold-en-light-1920');
  // One of them can be seen in full, and folding loses none.
  await page.click('[data-alarm="part-late"] .title');
  await page.waitForSelector('[data-test="alarm"] dl');
  expect(await page.textContent('[data-test="alarm"] dl')).toContain('spindle-held');
  for (const fold of await page.$$('[data-test="consequences"][aria-expanded="false"]')) await fold.click();
  await expect.poll(() => page.$$eval('tr[data-alarm]', (rows) => rows.length)).toBe(alarms.length);
  await page.focus(door);
  await page.keyboard.press('Space');
  await expect.poll(under).toBe('');
  // Who is told, those with troubles first.
  const told = await page.$$eval('[data-target]', (rows) => rows.map((row) => row.getAttribute('data-state')));
  expect(told).toEqual(['failed', 'retrying', 'ready']);
  expect(await page.textContent('[data-target="manager"] [data-test="trouble"]')).toContain('connection refused');
  // Where its cause is not listed, a consequence stands alone.
  await page.goto(`${plant.url}/alarms?rule=part-late`);
  await page.waitForSelector('tr[data-alarm="part-late"]:not([data-under])');
  plant.stop();
});

it('shows open alarms on the cards of machines, and on the page of one', async () => {
  await page.goto(`${server.url}/`);
  await page.waitForSelector('[data-test="card-alarms"]');
  await picture(page, 'board-alarms-en-light-1920');
  const asset = await page.$eval('[data-test="card-alarms"]', (mark) =>
    mark.closest('[data-asset]')?.getAttribute('data-asset'),
  );
  await page.goto(`${server.url}/machines/${encodeURIComponent(asset ?? '')}`);
  await page.waitForSelector('[data-test="open-alarms"] [data-alarm]');
  await picture(page, 'machine-alarms-en-light-1920');
});

it('fits every screen, in both languages', async () => {
  for (const [locale, width] of [
    ['en-GB', 1400],
    ['zh-CN', 1024],
    ['en-GB', 390],
    ['zh-CN', 390],
  ] as const) {
    const small = await open(locale, 'light', { width, height: 844 });
    for (const path of ['/rules', `/rules/${RULE}`, '/alarms?asset=vehicle%2F*']) {
      await small.goto(`${server.url}${path}`);
      await small.waitForSelector('[data-rule], [data-alarm]');
      const widthPx = await small.evaluate(() => document.documentElement.scrollWidth);
      expect(widthPx, `${path} at ${width}`).toBeLessThanOrEqual(width);
      await picture(small, `small-${path.slice(1).replace(/\W+/g, '-')}-${locale}-${width}`);
    }
    await small.close();
  }
});

it('had no trouble', () => {
  expect(troubles).toEqual([]);
});
