import { describe, expect, it } from 'vitest';
import type { Condition, Observation } from '../api/types';
import { applyObservation, compareTimes, snapshotValues, type AssetValues } from './values';

const at = (second: number) => `2026-11-21T08:00:${String(second).padStart(2, '0')}Z`;

function said(signal: string, second: number, text: string | null, sequence = 0): Observation {
  const quality = text === null ? 'unavailable' : 'good';
  return { asset: 'machine/a', signal, time: at(second), received: at(second), sequence, quality, value: null, text };
}

function condition(second: number, level: Condition['level'], code: string | null = null): Observation {
  const detail = { level, native_code: code, native_severity: null, qualifier: null, message: `${code}` };
  return { ...said('system', second, level), condition: detail };
}

describe('plain signals', () => {
  it('keep the latest by source time, then by sequence', () => {
    const check = (observations: Observation[], expected: string | null, since: string) => {
      const values: AssetValues = new Map();
      for (const observation of observations) applyObservation(values, observation);
      expect(values.get('execution')?.latest.text).toBe(expected);
      expect(values.get('execution')?.since).toBe(since);
    };
    check([said('execution', 1, 'READY'), said('execution', 2, 'ACTIVE')], 'ACTIVE', at(2));
    check([said('execution', 2, 'ACTIVE'), said('execution', 1, 'READY')], 'ACTIVE', at(2));
    check([said('execution', 1, 'READY', 1), said('execution', 1, 'ACTIVE', 0)], 'READY', at(1));
    check([said('execution', 1, 'ACTIVE'), said('execution', 5, 'ACTIVE')], 'ACTIVE', at(1));
    check([said('execution', 1, 'ACTIVE'), said('execution', 5, null)], null, at(5));
  });

  it('are ordered also within a millisecond', () => {
    expect(compareTimes('2026-11-21T08:00:00.1234567Z', '2026-11-21T08:00:00.1234568Z')).toBeLessThan(0);
    expect(compareTimes('2026-11-21T08:00:00.5Z', '2026-11-21T08:00:00.500Z')).toBe(0);
    expect(compareTimes('2026-11-21T08:00:01Z', '2026-11-21T08:00:00.999999999Z')).toBeGreaterThan(0);
  });
});

describe('conditions', () => {
  it('add up by native code and are cleared by NORMAL', () => {
    const check = (observations: Observation[], expected: string[]) => {
      const values: AssetValues = new Map();
      for (const observation of observations) applyObservation(values, observation);
      expect([...(values.get('system')?.active.keys() ?? [])]).toEqual(expected);
    };
    const two = [condition(1, 'WARNING', '401'), condition(2, 'FAULT', '500')];
    check(two, ['401', '500']);
    check([...two, condition(3, 'FAULT', '401')], ['401', '500']);
    check([...two, condition(3, 'NORMAL', '401')], ['500']);
    check([...two, condition(3, 'NORMAL')], []);
    check([...two, condition(3, 'UNAVAILABLE')], []);
    check([...two, condition(0, 'NORMAL')], ['401', '500']);
    check([condition(1, 'FAULT'), condition(2, 'FAULT')], ['']);
  });
});

describe('a snapshot', () => {
  it('holds one entry per native code, in whatever order they come', () => {
    const assets = snapshotValues([condition(5, 'FAULT', '500'), condition(2, 'WARNING', '401')]);
    const system = assets.get('machine/a')?.get('system');
    expect([...(system?.active.keys() ?? [])]).toEqual(['500', '401']);
    expect(system?.latest.time).toBe(at(5));
  });

  it('is not set back by changes that it already holds', () => {
    const values = snapshotValues([said('execution', 9, 'ACTIVE')]).get('machine/a') as AssetValues;
    expect(applyObservation(values, said('execution', 8, 'READY'))).toBe(false);
    expect(applyObservation(values, said('execution', 10, 'STOPPED'))).toBe(true);
    expect(values.get('execution')?.latest.text).toBe('STOPPED');
  });
});
