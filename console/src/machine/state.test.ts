import { describe, expect, it } from 'vitest';
import type { ConditionLevel, Gateway, Observation, Signal } from '../api/types';
import { snapshotValues, type AssetValues } from '../live/values';
import { executionState, sourceOf, viewMachine, type MachineState } from './state';
import type { Roles } from './roles';

const signal = (id: string, unit: string | null = null): Signal => {
  return { id, meaning: `mtconnect:${id}`, kind: 'text', unit, description: null };
};
const roles: Roles = {
  availability: signal('avail'),
  execution: signal('execution'),
  emergencyStop: signal('estop'),
  spindleLoad: signal('load', '%'),
  partCount: signal('parts'),
  conditions: [{ ...signal('system'), kind: 'condition' }],
};

type Said = [signal: string, minute: number, value: string | number | null];

function values(...said: Said[]): AssetValues {
  const observations = said.map(([id, minute, value]): Observation => {
    const time = `2026-11-21T08:${String(minute).padStart(2, '0')}:00Z`;
    const level = id === 'system' ? (value as ConditionLevel) : null;
    const detail = { native_code: `${minute}`, native_severity: null, qualifier: null, message: null };
    return {
      asset: 'machine/a',
      signal: id,
      time,
      received: time,
      sequence: 0,
      quality: value === null ? 'unavailable' : 'good',
      value: typeof value === 'number' ? value : null,
      text: typeof value === 'string' ? value : null,
      ...(level ? { condition: { level, ...detail } } : {}),
    };
  });
  return snapshotValues(observations).get('machine/a') ?? new Map();
}

const up: Said[] = [['avail', 0, 'AVAILABLE']];

describe('the state of a machine', () => {
  const check = (said: Said[], state: MachineState, sinceMinute: number) => {
    const view = viewMachine(roles, values(...said), { connected: true, reason: null, since: 'x' });
    expect(view.state).toBe(state);
    expect(view.since).toBe(`2026-11-21T08:${String(sinceMinute).padStart(2, '0')}:00Z`);
  };

  it('follows availability, then faults and emergency stop, then execution', () => {
    check([...up, ['execution', 5, 'ACTIVE']], 'active', 5);
    check([...up, ['execution', 5, 'FEED_HOLD']], 'interrupted', 5);
    check([...up, ['execution', 5, 'READY']], 'idle', 5);
    check([...up, ['execution', 5, 'ACTIVE'], ['system', 6, 'WARNING']], 'active', 5);
    check([...up, ['execution', 5, 'ACTIVE'], ['system', 9, 'FAULT'], ['system', 7, 'FAULT']], 'alarm', 7);
    check([...up, ['execution', 5, 'READY'], ['estop', 8, 'TRIGGERED']], 'alarm', 8);
    check(
      [
        ['avail', 9, null],
        ['execution', 5, 'ACTIVE'],
        ['system', 7, 'FAULT'],
      ],
      'offline',
      9,
    );
  });

  it('is never guessed: without an execution it is offline, not idle', () => {
    check([...up, ['execution', 5, null]], 'offline', 5);
    check(up, 'offline', 0);
    expect(executionState('SOMETHING_NEW')).toBe('unknown');
  });
});

describe('readings', () => {
  it('tell unavailable from missing, and neither is zero', () => {
    const view = viewMachine(roles, values(...up, ['load', 1, null]), null);
    expect(view.spindleLoad).toEqual({ number: null, text: null, quality: 'unavailable', unit: '%' });
    expect(view.partCount.quality).toBe('missing');
    expect(viewMachine(roles, values(...up, ['load', 1, 0]), null).spindleLoad.number).toBe(0);
  });

  it('are stale while no gateway brings the machine, and say why', () => {
    const gateway = (state: Gateway['state'], reason: string | null) =>
      ({ state, reason, since: '2026-11-21T09:00:00Z', assets: ['machine/a'] }) as unknown as Gateway;
    const running = values(...up, ['execution', 5, 'ACTIVE']);
    const lost = viewMachine(roles, running, sourceOf('machine/a', [gateway('waiting', 'connection refused')]));
    expect([lost.state, lost.stale, lost.staleReason]).toEqual(['offline', true, 'connection refused']);
    const both = [gateway('waiting', 'connection refused'), gateway('connected', null)];
    expect(viewMachine(roles, running, sourceOf('machine/a', both)).state).toBe('active');
    expect(sourceOf('machine/b', both)).toBeNull();
  });

  it('list faults before warnings, each newest first', () => {
    const said: Said[] = [
      ['system', 1, 'WARNING'],
      ['system', 2, 'FAULT'],
      ['system', 3, 'WARNING'],
      ['system', 4, 'FAULT'],
    ];
    const view = viewMachine(roles, values(...up, ...said), null);
    expect(view.conditions.map((condition) => condition.native_code)).toEqual(['4', '2', '3', '1']);
  });
});
