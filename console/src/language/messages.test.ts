import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const read = (locale: string) => JSON.parse(readFileSync(`messages/${locale}.json`, 'utf8')) as Record<string, string>;
const en = read('en');
const zh = read('zh');
const keys = Object.keys(en).filter((key) => !key.startsWith('$'));

it('both languages say everything, with the same places for values', () => {
  expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
  const places = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const key of keys) {
    expect(zh[key], key).not.toBe('');
    expect(places(zh[key] ?? ''), key).toEqual(places(en[key] ?? ''));
  }
});

it('no message is left over', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(svelte|ts)$/.test(file) && !file.startsWith('paraglide'))
    .map((file) => readFileSync(`src/${file}`, 'utf8'));
  const used = new Set(files.flatMap((text) => [...text.matchAll(/\bm\.(\w+)/g)].map(([, key]) => key)));
  expect(keys.filter((key) => !used.has(key))).toEqual([]);
});
