import { expect, it } from 'vitest';
import { bucketsOf, lineAt, timesOf } from './backtest';

it('a week is seven days of the calendar, with today', () => {
  const now = new Date(2026, 6, 7, 15, 30).getTime();
  expect(timesOf('day', now)).toEqual({ fromMs: now - 86_400_000, toMs: now });
  expect(timesOf('week', now)).toEqual({ fromMs: new Date(2026, 6, 1).getTime(), toMs: now });
  expect(timesOf('month', now)).toEqual({ fromMs: new Date(2026, 5, 8).getTime(), toMs: now });
});

it('counts of all rules are added', () => {
  const told = { from: '2026-07-07T00:00:00Z', bucket_secs: 3600, counts: { one: [1, 0], two: [2, 5] } };
  const from = Date.parse(told.from);
  expect(bucketsOf(told)).toEqual([
    { fromMs: from, count: 3 },
    { fromMs: from + 3_600_000, count: 5 },
  ]);
  expect(bucketsOf({ ...told, counts: {} })).toEqual([]);
});

it('a line is found in a text', () => {
  const text = 'one\ntwo\n\nfour';
  expect([1, 2, 3, 4, 9].map((line) => Object.values(lineAt(text, line)))).toEqual([
    [0, 3],
    [4, 7],
    [8, 8],
    [9, 13],
    [13, 13],
  ]);
});
