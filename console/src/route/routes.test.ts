import { expect, it } from 'vitest';
import { alarmsPath, machinePath, parseRoute, rulePath, vehiclePath, type Route } from './routes';

it('every address names a page, and the page of a machine finds its way back', () => {
  const check = (path: string, expected: Route) => expect(parseRoute(path)).toEqual(expected);
  check('/', { page: 'board' });
  check('/connections', { page: 'connections' });
  check('/ask/', { page: 'ask' });
  check('/machines/machine%2Flathe-01', { page: 'machine', asset: 'machine/lathe-01' });
  check(machinePath('machine/五轴-01'), { page: 'machine', asset: 'machine/五轴-01' });
  check('/fleet', { page: 'fleet' });
  check('/alarms', { page: 'alarms', asset: null, rule: null });
  check('/rules', { page: 'rules' });
  check(rulePath('cell-behind'), { page: 'rule', rule: 'cell-behind' });
  check(vehiclePath('LTMTEST0000000001'), { page: 'vehicle', vin: 'LTMTEST0000000001' });
  check('/vehicles', { page: 'unknown', path: '/vehicles' });
  check('/machines/%E0%A4%A', { page: 'unknown', path: '/machines/%E0%A4%A' });
  check('/machines/machine/lathe-01', { page: 'unknown', path: '/machines/machine/lathe-01' });
  check('/nothing', { page: 'unknown', path: '/nothing' });
});

it('the list of alarms may be of one asset, or by one rule', () => {
  const path = alarmsPath({ asset: 'machine/五轴 & 01', rule: 'condition:x:1' });
  const [address = '', search] = path.split('?');
  expect(parseRoute(address, `?${search}`)).toEqual({
    page: 'alarms',
    asset: 'machine/五轴 & 01',
    rule: 'condition:x:1',
  });
  expect(alarmsPath()).toBe('/alarms');
});
