// Which machines the board shows, and in which order. Pure.
import { MACHINE_STATES, type MachineState, type MachineView } from './state';

export const SORTS = ['name', 'state', 'duration'] as const;
export type Sort = (typeof SORTS)[number];

export interface Ranked {
  name: string;
  view: MachineView;
}

export interface Choice {
  sort: Sort;
  /** Only this state; null for all. */
  state: MachineState | null;
  /** Part of the name, in any case. */
  find: string;
}

// Numbers in names count as numbers: lathe-2 stands before lathe-10.
const names = new Intl.Collator(['zh-CN', 'en'], { numeric: true });

export function rankMachines<T extends Ranked>(machines: readonly T[], { sort, state, find }: Choice): T[] {
  const wanted = find.trim().toLowerCase();
  const shown = machines.filter(
    (machine) =>
      (state === null || machine.view.state === state) &&
      (machine.name.toLowerCase().includes(wanted) || (machine.view.program.text ?? '').toLowerCase().includes(wanted)),
  );
  const byName = (a: T, b: T) => names.compare(a.name, b.name);
  const byState = (a: T, b: T) => MACHINE_STATES.indexOf(a.view.state) - MACHINE_STATES.indexOf(b.view.state);
  // Who has been in its state the longest comes first; who has never spoken comes last.
  const since = (machine: T) => (machine.view.since === null ? Infinity : Date.parse(machine.view.since));
  const byDuration = (a: T, b: T) => Math.sign(since(a) - since(b)) || 0;
  const order = { name: byName, state: byState, duration: byDuration }[sort];
  return shown.sort((a, b) => order(a, b) || byName(a, b));
}

export function countStates(machines: readonly Ranked[]): Record<MachineState, number> {
  const counts: Record<MachineState, number> = { alarm: 0, interrupted: 0, idle: 0, active: 0, offline: 0 };
  for (const machine of machines) counts[machine.view.state] += 1;
  return counts;
}
