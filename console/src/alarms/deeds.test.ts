import { expect, it } from 'vitest';
import type { Alarm, AlarmState } from '../api/alarms';
import { deedsOf, isRule, pageOf, wantsReason } from './deeds';
import { madeUpAlarm } from './made-up';

function alarm(state: AlarmState, isSeen: boolean): Alarm {
  return madeUpAlarm({ state, ...(isSeen ? { acknowledged: { by: 'Li', time: '', comment: '' } } : {}) });
}

it('offers what the state allows', () => {
  expect(deedsOf(alarm('unacknowledged', false))).toEqual(['acknowledge', 'shelve', 'out_of_service', 'comment']);
  expect(deedsOf(alarm('acknowledged', true))).toEqual(['shelve', 'out_of_service', 'comment']);
  expect(deedsOf(alarm('latched_unacknowledged', false))[0]).toBe('acknowledge');
  expect(deedsOf(alarm('latched_acknowledged', true))[0]).toBe('reset');
  expect(deedsOf(alarm('shelved', true))).toEqual(['unshelve', 'out_of_service', 'comment']);
  expect(deedsOf(alarm('out_of_service', true))).toEqual(['in_service', 'comment']);
});

it('wants a reason for what hides an alarm', () => {
  expect(['acknowledge', 'reset', 'shelve', 'out_of_service'].map((deed) => wantsReason(deed as never))).toEqual([
    false,
    false,
    true,
    true,
  ]);
});

it('knows the pages of assets', () => {
  expect(pageOf('vehicle/LTM 1')).toBe('/vehicles/LTM%201');
  expect(pageOf('machine/lathe-01')).toBe('/machines/machine%2Flathe-01');
  expect(pageOf('site/local')).toBeNull();
});

it('tells rules from what sources raise themselves', () => {
  expect([isRule('insulation-low'), isRule('condition:servo:4711')]).toEqual([true, false]);
});
