// The shapes of the HTTP API of `tongmai serve`, as they are on the wire. No behaviour here.

export type Quality = 'good' | 'abnormal' | 'invalid' | 'unavailable';
export type ConditionLevel = 'NORMAL' | 'WARNING' | 'FAULT' | 'UNAVAILABLE';
export type ValueKind = 'number' | 'integer' | 'text' | 'vector' | 'entries' | 'condition';

export interface Condition {
  level: ConditionLevel;
  native_code: string | null;
  native_severity: string | null;
  qualifier: string | null;
  message: string | null;
}

/** One signal of one asset at one source time. */
export interface Observation {
  asset: string;
  signal: string;
  time: string;
  received: string;
  sequence: number;
  quality: Quality;
  value: number | null;
  text: string | null;
  vector?: (number | null)[];
  entries?: Record<string, unknown>;
  condition?: Condition;
}

export interface Signal {
  id: string;
  meaning: string;
  kind: ValueKind;
  unit: string | null;
  /** The path of the component that the signal belongs to, for example `Axes/Rotary[S1]`. */
  description: string | null;
}

export interface Profile {
  id: string;
  shape: 'changes' | 'frames';
  signals: Signal[];
}

export interface Asset {
  asset: string;
  profile: string;
}

export type GatewayState = 'connecting' | 'connected' | 'waiting' | 'refused' | 'failed' | 'stopped';

export interface Gateway {
  name: string;
  kind: string;
  source: string;
  state: GatewayState;
  reason: string | null;
  since: string;
  assets: string[];
  bytes: number;
  messages: number;
  observations: number;
  accepted: number;
  duplicates: number;
  connections: number;
  last_received: string | null;
  rejected: Record<string, number>;
}

export interface Rejection {
  time: string;
  reason: string;
  detail: string;
  text: string;
}

export interface Current {
  now: string;
  observations: Observation[];
  /** If there are more: what to ask for as `after`. */
  next?: string;
}

export interface NumberSeries {
  signal: string;
  kind: 'number' | 'integer';
  unit: string | null;
  times: number[];
  values: (number | null)[];
}

export interface TextSeries {
  signal: string;
  kind: Exclude<ValueKind, 'number' | 'integer' | 'condition'>;
  times: number[];
  texts: (string | null)[];
}

/** What a condition said: its levels, and the native code and message that each is about. */
export interface ConditionSeries {
  signal: string;
  kind: 'condition';
  times: number[];
  texts: (string | null)[];
  codes: (string | null)[];
  messages: (string | null)[];
}

export type Series = NumberSeries | TextSeries | ConditionSeries;

export interface History {
  asset: string;
  from: string;
  to: string;
  series: Series[];
}

export interface SqlAnswer {
  columns: { name: string; type: string }[];
  rows: unknown[][];
  truncated: boolean;
  elapsed_ms: number;
}
