import { expect, it } from 'vitest';
import { alarmsOf, faultCode } from './alarms';

it('the bits that are on are alarms, those with the highest level first', () => {
  expect(alarmsOf(0, undefined, undefined)).toEqual([]);
  expect(alarmsOf(null, undefined, undefined)).toEqual([]);
  expect(alarmsOf(0b1000_0000_0001, [], [])).toEqual([
    { bit: 0, level: null },
    { bit: 11, level: null },
  ]);
  expect(alarmsOf(2 ** 23 + 1, [23, 0], [4, 1])).toEqual([
    { bit: 23, level: 4 },
    { bit: 0, level: 1 },
  ]);
  expect(alarmsOf(2 ** 31, [null, 5], [1, 2]).map(({ bit }) => bit)).toEqual([5, 31]);
});

it('fault codes are written as makers write them', () => {
  expect(faultCode(0x12abcd)).toBe('0x0012ABCD');
  expect(faultCode(0xffff_fffe)).toBe('0xFFFFFFFE');
});
