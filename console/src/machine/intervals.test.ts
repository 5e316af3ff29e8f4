import { describe, expect, it } from 'vitest';
import type { ConditionSeries, TextSeries } from '../api/types';
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
  /** Points as `time level code`, `-` for what is not there; spells as `level code from-to`, newest first. */
  const check = (points: string[], expected: string[], spellsMax = 10) => {
    const words = points.map((point) => point.split(' ').map((word) => (word === '-' ? null : word)));
    const conditions: ConditionSeries = {
      signal: 'x',
      kind: 'condition',
      times: words.map(([time]) => Number(time)),
      texts: words.map(([, level]) => level ?? null),
      codes: words.map(([, , code]) => code ?? null),
      messages: words.map(([, , , message]) => message ?? null),
    };
    const shown = conditionSpells([conditions], spellsMax).map(({ level, code, message, fromMs, toMs }) =>
      [level, code ?? '-', `${fromMs}-${toMs ?? ''}`, message].filter(Boolean).join(' '),
    );
    expect(shown).toEqual(expected);
  };

  it('begin and end with their level; the last may still be open', () => {
    const points = ['0 NORMAL', '10 WARNING', '20 WARNING', '30 FAULT', '40 NORMAL', '50 FAULT'];
    check(points, ['FAULT - 50-', 'FAULT - 30-40', 'WARNING - 10-30']);
    check(points, ['FAULT - 50-'], 1);
    check(['10 FAULT', '20 -', '30 FAULT'], ['FAULT - 30-', 'FAULT - 10-20']);
  });

  it('stand beside each other by native code', () => {
    check(['10 FAULT a', '20 WARNING b', '30 NORMAL a'], ['WARNING b 20-', 'FAULT a 10-30']);
    check(['10 FAULT a', '20 FAULT b', '30 NORMAL'], ['FAULT b 20-30', 'FAULT a 10-30']);
    check(['10 FAULT a', '20 FAULT b', '30 -'], ['FAULT b 20-30', 'FAULT a 10-30']);
    check(['10 WARNING a', '20 FAULT a', '30 NORMAL b'], ['FAULT a 20-', 'WARNING a 10-20']);
    check(
      ['10 WARNING a one', '20 WARNING a two', '30 WARNING a', '40 FAULT a'],
      ['FAULT a 40-', 'WARNING a 10-40 two'],
    );
  });
});
