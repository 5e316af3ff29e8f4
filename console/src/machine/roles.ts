// Which signal of a profile plays which role on a machine, found by meaning: modern and legacy MTConnect models
// alike. Pure; knows no values.
import type { Profile, Signal, ValueKind } from '../api/types';

export interface Roles {
  availability?: Signal;
  execution?: Signal;
  mode?: Signal;
  program?: Signal;
  partCount?: Signal;
  tool?: Signal;
  feedRate?: Signal;
  block?: Signal;
  line?: Signal;
  message?: Signal;
  emergencyStop?: Signal;
  spindleLoad?: Signal;
  spindleSpeed?: Signal;
  conditions: Signal[];
}

/** For each role the meanings that can play it, best first. */
const MEANINGS = {
  availability: ['AVAILABILITY'],
  execution: ['EXECUTION'],
  mode: ['CONTROLLER_MODE'],
  program: ['PROGRAM', 'PROGRAM.ACTIVE', 'PROGRAM.MAIN'],
  partCount: ['PART_COUNT.ALL', 'PART_COUNT', 'PART_COUNT.COMPLETE', 'PART_COUNT.GOOD'],
  tool: ['TOOL_NUMBER', 'TOOL_ASSET_ID', 'TOOL_ID'],
  feedRate: ['PATH_FEEDRATE.ACTUAL', 'PATH_FEEDRATE'],
  block: ['BLOCK'],
  line: ['LINE_NUMBER', 'LINE_NUMBER.ABSOLUTE', 'LINE'],
  message: ['MESSAGE'],
  emergencyStop: ['EMERGENCY_STOP'],
} as const;

const SPINDLE_SPEEDS = ['ROTARY_VELOCITY.ACTUAL', 'SPINDLE_SPEED.ACTUAL', 'ROTARY_VELOCITY', 'SPINDLE_SPEED'];
const LOADS = ['LOAD.ACTUAL', 'LOAD'];

export function isNumeric(kind: ValueKind): boolean {
  return kind === 'number' || kind === 'integer';
}

/** The type of a signal in its standard: `mtconnect:LOAD` → `LOAD`. */
export function typeOf(signal: Signal): string {
  return signal.meaning.slice(signal.meaning.indexOf(':') + 1);
}

export function componentOf(signal: Signal): string {
  return signal.description ?? '';
}

/** How a number is read on the shop floor where that is not the unit it is kept in. */
export interface ShownUnit {
  factor: number;
  unit: string | null;
}

/** Feed rates are kept in mm/s, as MTConnect has them, and read in mm/min. */
export function shownUnit(signal: Signal): ShownUnit {
  const isFeed = /^(PATH|AXIS)_FEEDRATE(\.|$)/.test(typeOf(signal));
  return isFeed && signal.unit === 'mm/s' ? { factor: 60, unit: 'mm/min' } : { factor: 1, unit: signal.unit };
}

function isWithin(component: string, whole: string): boolean {
  return component === whole || component.startsWith(`${whole}/`);
}

export function findRoles(profile: Profile): Roles {
  const plain = profile.signals.filter((signal) => signal.kind !== 'condition');
  // The first path is where the execution is told; what belongs to a path is taken from the same one if it is there.
  const execution = plain.find((signal) => typeOf(signal) === 'EXECUTION');
  const path = execution ? componentOf(execution) : '';
  const roles: Roles = { conditions: profile.signals.filter((signal) => signal.kind === 'condition') };
  for (const [role, meanings] of Object.entries(MEANINGS) as [keyof typeof MEANINGS, readonly string[]][]) {
    const found = findFirst(plain, meanings, path);
    if (found) roles[role] = found;
  }
  return { ...roles, ...findSpindle(plain) };
}

function findFirst(signals: Signal[], meanings: readonly string[], path: string): Signal | undefined {
  for (const near of [true, false]) {
    for (const meaning of meanings) {
      const fits = (signal: Signal) => typeOf(signal) === meaning && (!near || isWithin(componentOf(signal), path));
      const found = signals.find(fits);
      if (found) return found;
    }
  }
  return undefined;
}

/** The spindle is the first rotary component that has a speed and, where any has one, a load. */
function findSpindle(signals: Signal[]): Pick<Roles, 'spindleLoad' | 'spindleSpeed'> {
  const numeric = signals.filter((signal) => isNumeric(signal.kind));
  const speeds = SPINDLE_SPEEDS.flatMap((meaning) => numeric.filter((signal) => typeOf(signal) === meaning));
  // In the order of the model, not of the meanings, so that the first spindle stays the first.
  speeds.sort((a, b) => numeric.indexOf(a) - numeric.indexOf(b));
  for (const speed of speeds) {
    const load = findFirst(
      numeric.filter((signal) => isWithin(componentOf(signal), componentOf(speed))),
      LOADS,
      componentOf(speed),
    );
    if (!load) continue;
    const component = componentOf(speed);
    const actual = speeds.find((other) => componentOf(other) === component && typeOf(other).endsWith('.ACTUAL'));
    return { spindleLoad: load, spindleSpeed: actual ?? speed };
  }
  return speeds[0] ? { spindleSpeed: speeds[0] } : {};
}
