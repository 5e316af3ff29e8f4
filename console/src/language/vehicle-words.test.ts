// The pack `vehicle` says what things are called: the words here have to be those.
import { readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';

// The messages are made by the build; only tables are compared here.
vi.mock('../paraglide/messages', () => ({ m: new Proxy({}, { get: (_, name) => () => String(name) }) }));
const { ALARM_FLAGS, alarmFlagWord, signalNames, valueWord } = await import('./vehicle-words');

const pack = (edition: number) =>
  readFileSync(new URL(`../../../packs/vehicle/gbt32960-${edition}.toml`, import.meta.url), 'utf8');

it('alarm flags are called as in the pack', () => {
  const line = pack(2025)
    .split('\n')
    .find((one) => one.includes('id = "flags"'));
  const flags = [...(line?.split('flags = {')[1]?.matchAll(/(\d+) = "([^"]+)"/g) ?? [])];
  expect(flags.length).toBe(ALARM_FLAGS.length);
  for (const [, bit, name] of flags) expect(ALARM_FLAGS[Number(bit)]?.[0]).toBe(name);
  expect(alarmFlagWord(23, 'en')).toBe('Thermal event');
  expect(alarmFlagWord(23, 'zh')).toBe('热事件');
});

it('no Chinese name of the pack has a space, so that both names of a signal can be told apart', () => {
  const names = [2016, 2025].flatMap((edition) =>
    [...pack(edition).matchAll(/zh = "([^"]+)"/g)].map(([, name]) => name),
  );
  expect(names.length).toBeGreaterThan(100);
  expect(names.filter((name) => name?.includes(' '))).toEqual([]);
  const signal = {
    id: 'vehicle_dc_dc',
    meaning: '',
    kind: 'integer',
    unit: null,
    description: 'DC/DC状态 DC-DC state',
  } as const;
  expect(signalNames(signal)).toEqual({ zh: 'DC/DC状态', en: 'DC-DC state' });
  expect(valueWord('vehicle_charging', 1, 'zh')).toBe('停车充电');
  expect(valueWord('vehicle_charging', 9, 'zh')).toBeNull();
});
