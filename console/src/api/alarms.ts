// The routes about alarms, and their shapes as they are on the wire. Keeps nothing and knows no page.
import { query, request } from './client';

export type Priority = 'low' | 'medium' | 'high' | 'critical';
export type AlarmState =
  | 'unacknowledged'
  | 'acknowledged'
  | 'returned_unacknowledged'
  | 'latched_unacknowledged'
  | 'latched_acknowledged'
  | 'shelved'
  | 'suppressed_by_design'
  | 'out_of_service'
  | 'normal';
export type Deed = 'acknowledge' | 'comment' | 'reset' | 'shelve' | 'unshelve' | 'out_of_service' | 'in_service';

export interface Both {
  zh: string;
  en: string;
}

export interface Done {
  by: string;
  time: string;
  comment: string;
  until?: string;
}

export interface Alarm {
  asset: string;
  rule: string;
  state: AlarmState;
  active: boolean;
  priority: Priority;
  title: Both;
  explanation: Both;
  advice?: Both;
  rationale?: Both;
  source?: string;
  version: number;
  raised: string;
  returned?: string;
  acknowledged?: Done;
  shelved?: Done;
  out_of_service?: Done;
  /** Another alarm of the asset that explains this one. */
  consequence_of?: { rule: string; title: Both };
  times: number;
  chattering: boolean;
  stale: boolean;
}

export interface Alarms {
  revision: number;
  alarms: Alarm[];
  total: number;
  states: Partial<Record<AlarmState, number>>;
  open: Partial<Record<Priority, number>>;
  /** Asset by asset, where that was asked for. */
  assets?: Record<string, AlarmsOfAsset>;
}

/** How many alarms an asset has, and the most urgent priority among them. */
export interface AlarmsOfAsset {
  alarms: number;
  priority: Priority;
}

/** The most urgent first. */
export const PRIORITIES: Priority[] = ['critical', 'high', 'medium', 'low'];

/** Which alarms are wanted: those that meet all of it. */
export interface AlarmFilter {
  /** `open`, `all` or a state. */
  state: string;
  /** A name in which `*` stands for any characters. */
  asset?: string | null;
  rule?: string | null;
  limit?: number;
  /** Also counted asset by asset. */
  byAsset?: boolean;
}

export interface AlarmRecord {
  time: string;
  asset: string;
  rule: string;
  event: string;
  by: string | null;
  comment: string | null;
  until: string | null;
  explanation_zh: string | null;
  explanation_en: string | null;
}

/** For how long the server holds an answer back until there is something new. */
const WAIT_SECS = 20;

/** The alarms that `filter` admits; waits for a while until there is another revision than `after`. */
export function fetchAlarms(filter: AlarmFilter, after: number | null, abort: AbortSignal): Promise<Alarms> {
  const wanted: [string, string][] = [['state', filter.state]];
  if (filter.asset) wanted.push(['asset', filter.asset]);
  if (filter.rule) wanted.push(['rule', filter.rule]);
  if (filter.limit !== undefined) wanted.push(['limit', String(filter.limit)]);
  if (filter.byAsset) wanted.push(['by', 'asset']);
  const waiting: [string, string][] =
    after === null
      ? []
      : [
          ['after', String(after)],
          ['wait_secs', String(WAIT_SECS)],
        ];
  const path = `/api/v1/alarms${query([...wanted, ...waiting])}`;
  return request<Alarms>(path, { signal: abort }, (WAIT_SECS + 15) * 1_000);
}

export async function fetchRecords(alarm: Alarm): Promise<AlarmRecord[]> {
  const wanted: [string, string][] = [
    ['asset', alarm.asset],
    ['rule', alarm.rule],
    ['limit', '50'],
  ];
  return (await request<{ records: AlarmRecord[] }>(`/api/v1/alarms/records${query(wanted)}`)).records;
}

export interface DeedBody {
  deed: Deed;
  by: string;
  comment: string;
  until?: string;
}

export function act(alarm: Alarm, body: DeedBody): Promise<Alarm> {
  const { asset, rule, raised } = alarm;
  const init = { method: 'POST', headers: { 'content-type': 'application/json' } };
  return request<Alarm>('/api/v1/alarms/deeds', { ...init, body: JSON.stringify({ asset, rule, raised, ...body }) });
}
