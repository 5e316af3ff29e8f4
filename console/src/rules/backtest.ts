// Which time a back-test looks at, and how many alarms came when. Pure.
import type { Backtest } from '../api/rules';

export const SPANS = ['day', 'week', 'month'] as const;
export type Span = (typeof SPANS)[number];

const DAYS: Record<Span, number> = { day: 1, week: 7, month: 30 };
const DAY_MS = 86_400_000;

/** From when until when: the last hours until now, or whole days of the person's calendar, of which today is the last. */
export function timesOf(span: Span, nowMs: number): { fromMs: number; toMs: number } {
  if (span === 'day') return { fromMs: nowMs - DAY_MS, toMs: nowMs };
  const midnight = new Date(nowMs);
  midnight.setHours(0, 0, 0, 0);
  midnight.setDate(midnight.getDate() - DAYS[span] + 1);
  return { fromMs: midnight.getTime(), toMs: nowMs };
}

export interface Bucket {
  fromMs: number;
  count: number;
}

/** How many alarms all rules together raised, from each time on. */
export function bucketsOf(told: Pick<Backtest, 'from' | 'bucket_secs' | 'counts'>): Bucket[] {
  const rules = Object.values(told.counts);
  const length = Math.max(0, ...rules.map((counts) => counts.length));
  const fromMs = Date.parse(told.from);
  return Array.from({ length }, (_, i) => ({
    fromMs: fromMs + i * told.bucket_secs * 1_000,
    count: rules.reduce((sum, counts) => sum + (counts[i] ?? 0), 0),
  }));
}

/** Where a line of a text begins and ends, counted from 1; its end where there is no such line. */
export function lineAt(text: string, line: number): { start: number; end: number } {
  const lines = text.split('\n');
  const before = lines.slice(0, Math.max(0, line - 1));
  const start = Math.min(
    text.length,
    before.reduce((sum, one) => sum + one.length + 1, 0),
  );
  return { start, end: Math.min(text.length, start + (lines[line - 1]?.length ?? 0)) };
}
