// Where the end-to-end test finds its browser and its server. Knows no page of the console.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function launch(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: ARGUMENTS });
}

export interface Server {
  url: string;
  stop: () => void;
}

/** The mock can also behave like a server whose client fell behind. */
export interface Mock extends Server {
  mute: () => void;
  resync: () => void;
}

/** Starts the mock, by default as it is; `machines` and `vehicles` make it larger, with a shorter past. */
export async function startMock(
  options: { machines?: number; vehicles?: number; historyMs?: number } = {},
): Promise<Mock> {
  const mock = (await import('../mock/server.mjs')) as unknown as { startMock: (given: object) => Promise<Mock> };
  return mock.startMock(options);
}

/** The server under test: a running one by TONGMAI_URL, the mock otherwise. */
export async function serverUnderTest(): Promise<Server> {
  const url = process.env['TONGMAI_URL'];
  return url ? { url: url.replace(/\/$/, ''), stop: () => undefined } : startMock();
}

/** Saves a picture where TONGMAI_SCREENSHOTS says; nothing where it is not set. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env['TONGMAI_SCREENSHOTS'];
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
