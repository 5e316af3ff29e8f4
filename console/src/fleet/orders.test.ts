import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { answeredOf, CONTROLS, PARAMETERS, problemOf, requestOf, saidOf, type Draft } from './orders';

const DRAFT: Draft = {
  command: 'query_parameters',
  asked: [],
  set: {},
  control: 'reset',
  level: 1,
  text: '',
  expiresSecs: 600,
};
const ASSET = 'vehicle/LTMTEST0000000001';

it('an order says what it has to, and nothing is ordered before that', () => {
  const check = (draft: Partial<Draft>, expected: object | null) => {
    const request = requestOf({ ...DRAFT, ...draft }, ASSET, 2016);
    if (expected === null) expect(request).toBeNull();
    else expect(request).toMatchObject({ asset: ASSET, expires_secs: 600, ...expected });
  };
  check({}, null);
  check({ asked: ['report_period'] }, { command: 'query_parameters', parameters: ['report_period'] });
  check({ command: 'set_parameters' }, null);
  check({ command: 'set_parameters', set: { report_period: '' } }, null);
  check({ command: 'set_parameters', set: { report_period: '601' } }, null);
  check(
    { command: 'set_parameters', set: { report_period: ' 30 ', host: 'a.b' } },
    { parameters: { report_period: 30, host: 'a.b' } },
  );
  check({ command: 'set_parameters', set: { hardware_version: '1' } }, null);
  check({ command: 'control' }, { control: { kind: 'reset' } });
  expect(requestOf({ ...DRAFT, command: 'control' }, ASSET, 2016)?.control).toEqual({ kind: 'reset' });
  check(
    { command: 'control', control: 'alarm', level: 3, text: 'stop' },
    { control: { kind: 'alarm', arguments: { level: 3, text: 'stop' } } },
  );
});

it('bounds are those of the edition', () => {
  const parameter = PARAMETERS.find(({ id }) => id === 'report_period')!;
  expect(problemOf(parameter, '31', 2016)).toBeNull();
  expect(problemOf(parameter, '31', 2025)).toEqual([1, 30]);
  expect(problemOf(parameter, '1.5', 2025)).toEqual([1, 30]);
});

it('parameters are called and bounded as in the pack', () => {
  for (const edition of [2016, 2025]) {
    const pack = readFileSync(new URL(`../../../packs/vehicle/gbt32960-${edition}.toml`, import.meta.url), 'utf8');
    for (const { id, zh, en, bounds, readOnly } of PARAMETERS) {
      const at = pack.indexOf(`field = { id = "${id}",`);
      expect(at, id).toBeGreaterThan(0);
      const line = pack.slice(at, pack.indexOf('\n', at));
      expect(line).toContain(`zh = "${zh}", en = "${en}"`);
      const [low, high] = bounds?.[edition] ?? [];
      const said = (word: string) => new RegExp(`${word} = (\\d+)`).exec(line)?.[1];
      if (said('max')) expect(high, id).toBe(Number(said('max')));
      if (said('min')) expect(low, id).toBe(Number(said('min')));
      expect(pack.slice(at - 20, at).includes('read_only = true'), id).toBe(readOnly === true);
    }
  }
});

it('controls are those of the pack', () => {
  const pack = readFileSync(new URL('../../../packs/vehicle/gbt32960-2016.toml', import.meta.url), 'utf8');
  const line = pack.split('\n').find((one) => one.includes('id = "control", bytes'));
  const words = [...(line?.split('values = {')[1]?.matchAll(/"([^"]+)"/g) ?? [])].map(([, word]) => word);
  expect(words.map((word) => word?.replaceAll(' ', '_')).sort()).toEqual([...CONTROLS].sort());
});

it('an order and its answer are told thing by thing', () => {
  expect(saidOf({ command: 'query_parameters', parameters: ['host'] })).toEqual([{ id: 'host', value: '' }]);
  expect(saidOf({ command: 'set_parameters', parameters: { port: 1 } })).toEqual([{ id: 'port', value: '1' }]);
  const alarm = { kind: 'alarm', arguments: { level: 2, text: 'stop' } };
  expect(saidOf({ command: 'control', control: alarm })).toEqual([{ id: 'alarm', value: '2 · stop' }]);
  expect(answeredOf(null)).toEqual([]);
  expect(answeredOf({})).toEqual([]);
  const parameters = [
    { id: 'report_period', value: { value: 30, unit: 's' } },
    { id: 'host', value: { text: 'a.cn' } },
    { id: 'port', value: { quality: 'invalid' } },
  ];
  expect(answeredOf({ parameters }).map(({ value }) => value)).toEqual(['30 s', 'a.cn', 'invalid']);
});
