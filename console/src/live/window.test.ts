import { describe, expect, it } from 'vitest';
import type { ConditionSeries, NumberSeries, Observation } from '../api/types';
import { appendObservation, drawnPoints, timeTicks } from './window';

function said(timeMs: number, more: Partial<Observation>): Observation {
  const time = new Date(timeMs).toISOString();
  const plain = { asset: 'machine/a', signal: 's', time, received: time, sequence: 0, value: null, text: null };
  return { ...plain, quality: 'good', ...more };
}

describe('live observations', () => {
  it('append to numbers; what is not good is a gap, and late data wait for the next load', () => {
    const series: NumberSeries = { signal: 's', kind: 'number', unit: null, times: [1000], values: [1] };
    appendObservation(series, said(2000, { value: 0 }));
    appendObservation(series, said(3000, { quality: 'unavailable' }));
    appendObservation(series, said(1500, { value: 9 }));
    expect([series.times, series.values]).toEqual([
      [1000, 2000, 3000],
      [1, 0, null],
    ]);
  });

  it('of conditions carry code and message; what is unavailable says nothing', () => {
    const series: ConditionSeries = { signal: 's', kind: 'condition', times: [], texts: [], codes: [], messages: [] };
    const plain = { native_severity: null, qualifier: null };
    appendObservation(
      series,
      said(1, { text: 'FAULT', condition: { level: 'FAULT', native_code: '401', message: 'VRDY OFF', ...plain } }),
    );
    appendObservation(
      series,
      said(2, {
        quality: 'unavailable',
        condition: { level: 'UNAVAILABLE', native_code: null, message: null, ...plain },
      }),
    );
    expect(series).toMatchObject({ times: [1, 2], texts: ['FAULT', null], codes: ['401', null] });
    expect(series.messages).toEqual(['VRDY OFF', null]);
  });
});

it('a value is drawn until the end of the window, a gap stays a gap', () => {
  expect(drawnPoints([1000, 2000], [5, 7], 4000)).toEqual([
    [1, 2, 4],
    [5, 7, 7],
  ]);
  expect(drawnPoints([1000, 2000], [5, null], 4000)).toEqual([
    [1, 2, 4],
    [5, null, null],
  ]);
  expect(drawnPoints([], [], 4000)).toEqual([[], []]);
});

it('ticks stand on round local times, and are not too many', () => {
  const from = new Date(2026, 10, 21, 8, 7, 0).getTime();
  const ticks = timeTicks(from, from + 3_600_000, 8).map((tick) => new Date(tick).getMinutes());
  expect(ticks).toEqual([10, 20, 30, 40, 50, 0]);
  const day = timeTicks(from, from + 24 * 3_600_000, 8).map((tick) => new Date(tick).getHours());
  expect(day).toEqual([9, 12, 15, 18, 21, 0, 3, 6]);
});
