// What is wrong with those who are told of alarms. Pure; knows no language.
import type { Target } from '../api/notify';

/** The last trouble of a target, and when that was, where it is known. */
export interface Trouble {
  reason: string;
  at: string | null;
  /** It is so still: nothing has been taken since. */
  present: boolean;
}

export function troubleOf(target: Target): Trouble | null {
  const { state, reason, last_error, last_error_at } = target;
  // Without a usable configuration nothing has been tried.
  if (state === 'failed') return { reason: reason ?? last_error ?? '', at: null, present: true };
  if (last_error === null) return null;
  return { reason: last_error, at: last_error_at, present: state === 'retrying' };
}

/** Those that need attention first; otherwise in the order of the configuration. */
export function inOrder(targets: readonly Target[]): Target[] {
  const rank = { failed: 0, retrying: 1, ready: 2 };
  return [...targets].sort((a, b) => (rank[a.state] ?? 0) - (rank[b.state] ?? 0));
}
