// An alarm for tests. Knows no test.
import type { Alarm } from '../api/alarms';

/** One that nobody has seen yet, but for what `more` says. */
export function madeUpAlarm(more: Partial<Alarm>): Alarm {
  const both = { zh: '', en: '' };
  return {
    asset: 'vehicle/V1',
    rule: 'r',
    state: 'unacknowledged',
    active: true,
    priority: 'high',
    title: both,
    explanation: both,
    version: 1,
    raised: '2026-07-07T10:00:00Z',
    times: 1,
    chattering: false,
    stale: false,
    ...more,
  };
}
