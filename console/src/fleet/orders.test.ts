import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { PARAMETERS, problemOf, requestOf, type Draft } from './orders';

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
  check({ command: 'control' }, { control: { kind: 'reset', arguments: {} } });
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
