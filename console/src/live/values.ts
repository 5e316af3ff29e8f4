// What is known of one asset now, and how an observation changes it. Pure: no network, no clock, no reactivity.
import type { Observation } from '../api/types';

/** The latest of one signal. A condition signal may have several active at once, by native code. */
export interface SignalNow {
  /** The observation heard last. */
  latest: Observation;
  /** Active conditions (warnings and faults) by native code; empty for every other kind of signal. */
  active: Map<string, Observation>;
  /** Since when the value is what it is: repetitions of the same value do not move it. */
  since: string;
}

export type AssetValues = Map<string, SignalNow>;

/** Orders RFC 3339 UTC times, also where they differ in less than a millisecond. */
export function compareTimes(a: string, b: string): number {
  if (a === b) return 0;
  const difference = Date.parse(a) - Date.parse(b);
  return difference !== 0 ? difference : nanos(a) - nanos(b);
}

function nanos(time: string): number {
  const fraction = /\.(\d{1,9})/.exec(time)?.[1] ?? '';
  return Number(fraction.padEnd(9, '0'));
}

function isOlder(observation: Observation, than: Observation): boolean {
  const order = compareTimes(observation.time, than.time);
  return order < 0 || (order === 0 && observation.sequence < than.sequence);
}

function sameValue(a: Observation, b: Observation): boolean {
  if (a.quality !== b.quality || a.value !== b.value || a.text !== b.text) return false;
  return !a.vector && !b.vector && !a.entries && !b.entries && !a.condition && !b.condition;
}

/**
 * Takes in one observation; false when it says nothing new because something later is known.
 *
 * Conditions after MTConnect part 3: a NORMAL without native code, and UNAVAILABLE, clear everything; a NORMAL with a
 * native code clears that one; WARNING and FAULT add or replace the one with their code.
 */
export function applyObservation(values: AssetValues, observation: Observation): boolean {
  const known = values.get(observation.signal);
  if (known && isOlder(observation, known.latest)) return false;
  if (!observation.condition) {
    const since = known && sameValue(known.latest, observation) ? known.since : observation.time;
    values.set(observation.signal, { latest: observation, active: NONE_ACTIVE, since });
    return true;
  }
  const active = new Map(known?.active);
  const { level, native_code: code } = observation.condition;
  if (level === 'WARNING' || level === 'FAULT') active.set(code ?? '', observation);
  else if (level === 'NORMAL' && code) active.delete(code);
  else active.clear();
  values.set(observation.signal, { latest: observation, active, since: observation.time });
  return true;
}

const NONE_ACTIVE: Map<string, Observation> = new Map();

/** The values of every asset from a complete answer of `/current`: what is not in it is not known. */
export function snapshotValues(observations: Observation[]): Map<string, AssetValues> {
  const assets = new Map<string, AssetValues>();
  for (const observation of observations) {
    let values = assets.get(observation.asset);
    if (!values) assets.set(observation.asset, (values = new Map()));
    const known = values.get(observation.signal);
    const level = observation.condition?.level;
    if (known && (level === 'WARNING' || level === 'FAULT')) {
      // One entry per native code, in any order: they stand beside each other.
      known.active.set(observation.condition?.native_code ?? '', observation);
      if (!isOlder(observation, known.latest)) known.latest = observation;
    } else {
      applyObservation(values, observation);
    }
  }
  return assets;
}
