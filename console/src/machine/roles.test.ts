import { expect, it } from 'vitest';
import type { Profile, Signal, ValueKind } from '../api/types';
import { findRoles, shownUnit } from './roles';

function profile(...lines: [id: string, meaning: string, kind: ValueKind, description: string | null][]): Profile {
  const signals = lines.map(([id, meaning, kind, description]): Signal => {
    return { id, meaning: `mtconnect:${meaning}`, kind, unit: null, description };
  });
  return { id: 'p', shape: 'changes', signals };
}

function check(given: Profile, expected: Record<string, string | undefined>) {
  const roles = findRoles(given) as unknown as Record<string, Signal | undefined>;
  for (const [role, id] of Object.entries(expected)) expect(roles[role]?.id, role).toBe(id);
}

it('finds the spindle of a modern model: the rotary with a velocity and a load', () => {
  const modern = profile(
    ['Xload', 'LOAD', 'number', 'Axes/Linear[X1]'],
    ['Bload', 'LOAD', 'number', 'Axes/Rotary[B]'],
    ['S2prog', 'ROTARY_VELOCITY.PROGRAMMED', 'number', 'Axes/Rotary[C1]'],
    ['Sload_cond', 'LOAD', 'condition', 'Axes/Rotary[C1]'],
    ['Sload', 'LOAD', 'number', 'Axes/Rotary[C1]'],
    ['Srpm', 'ROTARY_VELOCITY.ACTUAL', 'number', 'Axes/Rotary[C1]'],
  );
  check(modern, { spindleLoad: 'Sload', spindleSpeed: 'Srpm' });
  expect(findRoles(modern).conditions.map((signal) => signal.id)).toEqual(['Sload_cond']);
});

it('finds it in a legacy model, and passes over a spindle without a load', () => {
  check(
    profile(
      ['S1speed', 'SPINDLE_SPEED', 'number', 'Axes/Spindle[S1]'],
      ['S2speed', 'SPINDLE_SPEED', 'number', 'Axes/Spindle[S2]'],
      ['S2load', 'LOAD', 'number', 'Axes/Spindle[S2]'],
    ),
    { spindleLoad: 'S2load', spindleSpeed: 'S2speed' },
  );
  check(profile(['S1speed', 'SPINDLE_SPEED.ACTUAL', 'number', null]), {
    spindleLoad: undefined,
    spindleSpeed: 'S1speed',
  });
  check(profile(['Xload', 'LOAD', 'number', 'Axes/Linear[X]']), { spindleLoad: undefined, spindleSpeed: undefined });
});

it('takes what belongs to a path from the first path', () => {
  check(
    profile(
      ['avail', 'AVAILABILITY', 'text', null],
      ['F2', 'PATH_FEEDRATE.ACTUAL', 'number', 'Controller/Path[P2]'],
      ['exec1', 'EXECUTION', 'text', 'Controller/Path[P1]'],
      ['F1', 'PATH_FEEDRATE', 'number', 'Controller/Path[P1]'],
      ['exec2', 'EXECUTION', 'text', 'Controller/Path[P2]'],
      ['mode', 'CONTROLLER_MODE', 'text', 'Controller'],
      ['prog', 'PROGRAM.MAIN', 'text', 'Controller/Path[P1]'],
      ['parts', 'PART_COUNT', 'number', 'Controller/Path[P1]'],
    ),
    { availability: 'avail', execution: 'exec1', feedRate: 'F1', mode: 'mode', program: 'prog', partCount: 'parts' },
  );
});

it('shows feed rates in mm/min, and everything else in its own unit', () => {
  const check = (meaning: string, unit: string | null, factor: number, shown: string | null) => {
    const signal: Signal = { id: 'f', meaning: `mtconnect:${meaning}`, kind: 'number', unit, description: null };
    expect(shownUnit(signal)).toEqual({ factor, unit: shown });
  };
  check('PATH_FEEDRATE.ACTUAL', 'mm/s', 60, 'mm/min');
  check('AXIS_FEEDRATE', 'mm/s', 60, 'mm/min');
  check('PATH_FEEDRATE.ACTUAL', 'mm/{rev}', 1, 'mm/{rev}');
  check('PATH_FEEDRATE_OVERRIDE', '%', 1, '%');
  check('VELOCITY', 'mm/s', 1, 'mm/s');
});
