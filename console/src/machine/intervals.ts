// Intervals of a time line from a series of words: execution states, and spells of conditions. Pure.
import type { ConditionSeries, TextSeries } from '../api/types';
import { executionState, type ExecutionState } from './state';

export interface Interval {
  fromMs: number;
  toMs: number;
  /** The word as the machine said it; null while it was not available. */
  word: string | null;
  state: ExecutionState;
}

/** How long one native code of a condition stayed at a level above NORMAL. */
export interface ConditionSpell {
  signal: string;
  level: 'WARNING' | 'FAULT';
  code: string | null;
  /** The last that was said of it. */
  message: string | null;
  fromMs: number;
  /** Null while it lasts. */
  toMs: number | null;
}

/**
 * Cuts the window into intervals without gap or overlap. Time before the first word, and after `heardToMs` when the
 * source fell silent, is unknown.
 */
export function executionIntervals(series: TextSeries, fromMs: number, toMs: number, heardToMs = toMs): Interval[] {
  const intervals: Interval[] = [];
  const push = (start: number, end: number, word: string | null) => {
    const from = Math.max(start, fromMs);
    const to = Math.min(end, toMs);
    if (to <= from) return;
    const last = intervals.at(-1);
    if (last && last.word === word && last.toMs === from) last.toMs = to;
    else intervals.push({ fromMs: from, toMs: to, word, state: executionState(word) });
  };
  const heardTo = Math.min(heardToMs, toMs);
  push(fromMs, Math.min(series.times[0] ?? toMs, toMs), null);
  series.times.forEach((start, i) => {
    push(start, Math.min(series.times[i + 1] ?? heardTo, heardTo), series.texts[i] ?? null);
  });
  if (heardTo < toMs && series.times.length > 0) push(heardTo, toMs, null);
  return intervals;
}

export interface Share {
  word: string | null;
  state: ExecutionState;
  durationMs: number;
  /** Of the whole window, 0 to 1. */
  fraction: number;
}

const STATE_ORDER: ExecutionState[] = ['active', 'interrupted', 'idle', 'unknown'];

/** How long each word lasted in sum: by state, then the longest first. */
export function shares(intervals: Interval[]): Share[] {
  const total = intervals.reduce((sum, interval) => sum + interval.toMs - interval.fromMs, 0);
  const byWord = new Map<string | null, Share>();
  for (const { word, state, fromMs, toMs } of intervals) {
    const share = byWord.get(word) ?? { word, state, durationMs: 0, fraction: 0 };
    share.durationMs += toMs - fromMs;
    share.fraction = total > 0 ? share.durationMs / total : 0;
    byWord.set(word, share);
  }
  const rank = (share: Share) => STATE_ORDER.indexOf(share.state);
  return [...byWord.values()].sort((a, b) => rank(a) - rank(b) || b.durationMs - a.durationMs);
}

/** The interval at a time, by binary search. */
export function intervalAt(intervals: Interval[], timeMs: number): Interval | undefined {
  let low = 0;
  let high = intervals.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const interval = intervals[middle];
    if (!interval) return undefined;
    if (timeMs < interval.fromMs) high = middle - 1;
    else if (timeMs >= interval.toMs) low = middle + 1;
    else return interval;
  }
  return undefined;
}

/**
 * The spells of warnings and faults in condition series, newest first. Several native codes of one condition may be
 * active at once: each ends by a NORMAL with its code or by another level; a NORMAL without code and what is
 * unavailable end all.
 */
export function conditionSpells(series: ConditionSeries[], spellsMax: number): ConditionSpell[] {
  const spells: ConditionSpell[] = [];
  for (const { signal, times, texts, codes, messages } of series) {
    const open = new Map<string, ConditionSpell>();
    const end = (code: string, toMs: number) => {
      const spell = open.get(code);
      if (spell) spells.push({ ...spell, toMs });
      open.delete(code);
    };
    times.forEach((time, i) => {
      const level = texts[i];
      const code = codes[i] ?? null;
      const key = code ?? '';
      if (level === 'WARNING' || level === 'FAULT') {
        const lasting = open.get(key);
        const message = messages[i] ?? (lasting?.level === level ? lasting.message : null);
        if (lasting?.level !== level) end(key, time);
        const fromMs = open.get(key)?.fromMs ?? time;
        open.set(key, { signal, level, code, message, fromMs, toMs: null });
      } else if (level === 'NORMAL' && code !== null) {
        end(code, time);
      } else {
        for (const active of [...open.keys()]) end(active, time);
      }
    });
    spells.push(...open.values());
  }
  return spells.sort((a, b) => b.fromMs - a.fromMs).slice(0, spellsMax);
}
