// Series of one machine over a window of time, that grow as changes come in. Pure: the page fetches and draws.
import type { Observation, Series } from '../api/types';

/** What one live observation adds to its series. */
export function appendObservation(series: Series, observation: Observation): void {
  const timeMs = Date.parse(observation.time);
  const last = series.times.at(-1);
  // Late data belong in the middle; the next load from the server brings them there.
  if (Number.isNaN(timeMs) || (last !== undefined && timeMs < last)) return;
  const good = observation.quality === 'good';
  series.times.push(timeMs);
  if ('values' in series) {
    series.values.push(good ? observation.value : null);
  } else if ('codes' in series) {
    const { condition } = observation;
    series.texts.push(good && condition ? condition.level : null);
    series.codes.push(condition?.native_code || null);
    series.messages.push(condition?.message || null);
  } else {
    series.texts.push(good ? observation.text : null);
  }
}

/**
 * The points to draw of a number series: seconds and values, with the last value carried to `endMs`, because a signal
 * that speaks on change holds its value until it speaks again.
 */
export function drawnPoints(
  times: number[],
  values: (number | null)[],
  endMs: number,
): [seconds: number[], values: (number | null)[]] {
  const seconds = times.map((time) => time / 1000);
  const last = times.at(-1);
  if (last === undefined || endMs <= last) return [seconds, values];
  return [
    [...seconds, endMs / 1000],
    [...values, values.at(-1) ?? null],
  ];
}

/** Steps of a time axis in minutes, and the ticks that fall into the window on round local times. */
const STEPS_MIN = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360];

export function timeTicks(fromMs: number, toMs: number, ticksMax: number): number[] {
  const spanMs = toMs - fromMs;
  const stepMin = STEPS_MIN.find((step) => spanMs / (step * 60_000) <= ticksMax) ?? 720;
  const stepMs = stepMin * 60_000;
  const offsetMs = new Date(fromMs).getTimezoneOffset() * 60_000;
  const first = Math.ceil((fromMs - offsetMs) / stepMs) * stepMs + offsetMs;
  const ticks: number[] = [];
  for (let tick = first; tick <= toMs; tick += stepMs) ticks.push(tick);
  return ticks;
}
