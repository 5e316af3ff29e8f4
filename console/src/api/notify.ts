// The route about who is told of alarms, and its shape as it is on the wire. Keeps nothing and knows no page.
import { request } from './client';

export type TargetKind = 'webhook' | 'smtp' | 'mqtt';
/** `failed`: the configuration cannot be used. */
export type TargetState = 'ready' | 'retrying' | 'failed';

/** How one target is doing; counts and times are since the start of the server. */
export interface Target {
  name: string;
  kind: TargetKind;
  state: TargetState;
  /** Why it has failed. */
  reason: string | null;
  /** About how many records of alarms wait, whether they are to be told or not. */
  waiting_about: number;
  /** Messages that were taken, and that were given up. */
  told: number;
  given_up: number;
  /** Attempts that failed. */
  failures: number;
  last_success: string | null;
  last_error: string | null;
  last_error_at: string | null;
}

export async function fetchTargets(): Promise<Target[]> {
  return (await request<{ targets: Target[] }>('/api/v1/notify')).targets;
}
