import { expect, it } from 'vitest';
import { countStates, rankMachines, type Choice } from './ranking';
import type { MachineState, MachineView } from './state';

const machine = (name: string, state: MachineState, since: string | null, program = '') => {
  return { name, view: { state, since, program: { text: program } } as MachineView };
};
const machines = [
  machine('lathe-10', 'active', '2026-11-21T08:00:00Z', 'O1234'),
  machine('lathe-2', 'idle', '2026-11-21T06:00:00Z'),
  machine('mill-1', 'alarm', '2026-11-21T07:00:00Z'),
  machine('五轴-3', 'offline', null),
];

it('sorts and filters by what was chosen', () => {
  const check = (choice: Partial<Choice>, expected: string[]) => {
    const ranked = rankMachines(machines, { sort: 'name', state: null, find: '', ...choice });
    expect(ranked.map(({ name }) => name)).toEqual(expected);
  };
  check({ find: 'L' }, ['lathe-2', 'lathe-10', 'mill-1']);
  check({ sort: 'state' }, ['mill-1', 'lathe-2', 'lathe-10', '五轴-3']);
  check({ sort: 'duration' }, ['lathe-2', 'mill-1', 'lathe-10', '五轴-3']);
  check({ state: 'idle' }, ['lathe-2']);
  check({ find: 'o12' }, ['lathe-10']);
  check({ find: '五轴' }, ['五轴-3']);
});

it('counts every machine in exactly one state', () => {
  expect(countStates(machines)).toEqual({ alarm: 1, interrupted: 0, idle: 1, active: 1, offline: 1 });
});
