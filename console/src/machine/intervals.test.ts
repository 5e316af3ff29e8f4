import { describe, expect, it } from 'vitest';
import type { TextSeries } from '../api/types';
import { conditionSpells, executionIntervals, intervalAt, shares } from './intervals';

function series(...points: [timeMs: number, text: string | null][]): TextSeries {
  return { signal: 'x', kind: 'text', times: points.map(([time]) => time), texts: points.map(([, text]) => text) };
}

describe('execution intervals', () => {
  const check = (points: [number, string | null][], heardToMs: number, expected: string) => {
    const intervals = executionIntervals(series(...points), 0, 100, heardToMs);
    expect(intervals.map(({ fromMs, toMs, word }) => `${word ?? '?'} ${fromMs}-${toMs}`).join(', ')).toBe(expected);
  };

  it('cover the window without gap or overlap', () => {
    check(
      [
        [0, 'READY'],
        [40, 'ACTIVE'],
      ],
      100,
      'READY 0-40, ACTIVE 40-100',
    );
    check(
      [
        [-10, 'READY'],
        [40, 'ACTIVE'],
        [60, 'ACTIVE'],
        [70, 'STOPPED'],
      ],
      100,
      'READY 0-40, ACTIVE 40-70, STOPPED 70-100',
    );
    check(
      [
        [0, 'ACTIVE'],
        [40, null],
        [70, 'ACTIVE'],
      ],
      100,
      'ACTIVE 0-40, ? 40-70, ACTIVE 70-100',
    );
    check(
      [
        [0, 'ACTIVE'],
        [120, 'READY'],
      ],
      100,
      'ACTIVE 0-100',
    );
  });

  it('are unknown before the first word and after the last one of a silent source', () => {
    check([], 100, '? 0-100');
    check([[30, 'ACTIVE']], 100, '? 0-30, ACTIVE 30-100');
    check([[0, 'ACTIVE']], 60, 'ACTIVE 0-60, ? 60-100');
  });

  it('sum up to shares of the whole window', () => {
    const intervals = executionIntervals(
      series([0, 'READY'], [20, 'ACTIVE'], [60, 'FEED_HOLD'], [70, 'ACTIVE']),
      0,
      100,
    );
    const summed = shares(intervals).map(({ word, durationMs, fraction }) => [word, durationMs, fraction]);
    expect(summed).toEqual([
      ['ACTIVE', 70, 0.7],
      ['FEED_HOLD', 10, 0.1],
      ['READY', 20, 0.2],
    ]);
    expect(intervalAt(intervals, 65)?.word).toBe('FEED_HOLD');
    expect(intervalAt(intervals, 20)?.word).toBe('ACTIVE');
    expect(intervalAt(intervals, 100)).toBeUndefined();
  });
});

describe('spells of conditions', () => {
  it('begin and end with their level; the last may still be open', () => {
    const points = series(
      [0, 'NORMAL'],
      [10, 'WARNING'],
      [20, 'WARNING'],
      [30, 'FAULT'],
      [40, 'NORMAL'],
      [50, 'FAULT'],
    );
    const spells = conditionSpells([points], 10).map(({ level, fromMs, toMs }) => [level, fromMs, toMs]);
    expect(spells).toEqual([
      ['FAULT', 50, null],
      ['FAULT', 30, 40],
      ['WARNING', 10, 30],
    ]);
    expect(conditionSpells([points], 1)).toHaveLength(1);
  });
});
