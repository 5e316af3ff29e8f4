import { expect, it } from 'vitest';
import type { Target } from '../api/notify';
import { inOrder, troubleOf } from './targets';

function target(given: Partial<Target>): Target {
  return {
    name: 'shift',
    kind: 'smtp',
    state: 'ready',
    reason: null,
    waiting_about: 0,
    told: 0,
    given_up: 0,
    failures: 0,
    last_success: null,
    last_error: null,
    last_error_at: null,
    ...given,
  };
}

it('tells the last trouble, and whether it is over', () => {
  const at = '2026-07-07T10:00:00Z';
  const refused = { last_error: 'connection refused', last_error_at: at };
  expect(troubleOf(target({}))).toBeNull();
  expect(troubleOf(target({ ...refused }))).toEqual({ reason: 'connection refused', at, present: false });
  expect(troubleOf(target({ ...refused, state: 'retrying' }))?.present).toBe(true);
});

it('a target that cannot be used says why', () => {
  const reason = 'secret_file: no such file';
  expect(troubleOf(target({ state: 'failed', reason }))).toEqual({ reason, at: null, present: true });
  expect(troubleOf(target({ state: 'failed' }))).toEqual({ reason: '', at: null, present: true });
});

it('puts those first that need attention, and others as they are configured', () => {
  const named = (name: string, state: string) => target({ name, state: state as Target['state'] });
  const given = [named('b', 'ready'), named('a', 'ready'), named('c', 'retrying'), named('d', 'failed')];
  expect(inOrder(given).map(({ name }) => name)).toEqual(['d', 'c', 'b', 'a']);
  expect(given[0]?.name).toBe('b');
  // A state of a later server is worth a look.
  expect(inOrder([named('a', 'ready'), named('b', 'paused')]).map(({ name }) => name)).toEqual(['b', 'a']);
  expect(inOrder([])).toEqual([]);
});
