// The routes about rules, and their shapes as they are on the wire. Keeps nothing and knows no page.
import type { Both, Priority } from './alarms';
import { request } from './client';

export interface Rule {
  id: string;
  version: number;
  profile: string;
  assets: string;
  priority: Priority;
  title: Both;
  advice: Both;
  rationale: Both;
  source: string;
  explanation: Both;
  enabled: boolean;
  when: string;
  clear?: string;
  on_delay_secs: number;
  off_delay_secs: number;
  /** For how long nothing has to be heard after it was so. */
  silent_secs?: number;
  latched: boolean;
  /** File and line. */
  place: string;
  /** As it is written there. */
  text?: string;
  open: number;
  problem?: string;
}

export interface Rules {
  rules: Rule[];
  mistakes: string[];
  late: number;
  looked_at: string;
  trouble?: string;
}

export function fetchRules(): Promise<Rules> {
  return request<Rules>('/api/v1/rules');
}

export interface BacktestProblem {
  rule?: string;
  line: number;
  problem: string;
}

export interface BacktestFigures {
  rule: string;
  alarms: number;
  active: number;
  assets: number;
  assets_heard: number;
  asset_days: number;
  alarms_per_1000_asset_days: number | null;
}

export interface BacktestAlarm {
  rule: string;
  asset: string;
  priority: Priority;
  raised: string;
  returned?: string;
  explanation: Both;
}

export interface Backtest {
  from: string;
  to: string;
  problems: BacktestProblem[];
  figures: BacktestFigures[];
  alarms: BacktestAlarm[];
  total: number;
  bucket_secs: number;
  counts: Record<string, number[]>;
  limit?: { what: 'time' | 'rows' | 'alarms'; message: string };
  covered: { assets: number; assets_in_all: number };
  cost: { rows: number; rules_cpu_secs: number; reading_cpu_secs: number };
  elapsed_ms: number;
}

/** A rule that there is, or the text of one that is to be tried. */
export type Tried = { rule: string } | { text: string };

/** The server takes 30 s at most, and others may be at it before. */
const BACKTEST_MS_MAX = 60_000;

export function backtest(tried: Tried, fromMs: number, toMs: number, abort: AbortSignal): Promise<Backtest> {
  const times = { from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString() };
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, signal: abort };
  return request<Backtest>(
    '/api/v1/rules/backtest',
    { ...init, body: JSON.stringify({ ...tried, ...times }) },
    BACKTEST_MS_MAX,
  );
}
