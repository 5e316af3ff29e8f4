// From a machine's signals to what a person wants to know of it at a glance. Pure: no network, no clock, no words
// of a language. Data that are missing stay missing: nothing here turns "unavailable" into zero.
import type { Condition, Gateway, Observation, Signal } from '../api/types';
import { compareTimes, type AssetValues, type SignalNow } from '../live/values';
import { shownUnit, type Roles } from './roles';

/** The states of a machine, worst first: the order in which they are sorted and counted. */
export const MACHINE_STATES = ['alarm', 'interrupted', 'idle', 'active', 'offline'] as const;
export type MachineState = (typeof MACHINE_STATES)[number];

export type ExecutionState = 'active' | 'interrupted' | 'idle' | 'unknown';

const EXECUTION_STATES: Record<string, ExecutionState> = {
  ACTIVE: 'active',
  INTERRUPTED: 'interrupted',
  FEED_HOLD: 'interrupted',
  OPTIONAL_STOP: 'interrupted',
  PROGRAM_STOPPED: 'interrupted',
  WAIT: 'interrupted',
  STOPPED: 'idle',
  READY: 'idle',
  PROGRAM_COMPLETED: 'idle',
};

/** The state behind a word of EXECUTION; null and unknown words are `unknown`, never idle. */
export function executionState(word: string | null | undefined): ExecutionState {
  return EXECUTION_STATES[word ?? ''] ?? 'unknown';
}

/** A number, a text, or the reason why there is none. */
export interface Reading {
  number: number | null;
  text: string | null;
  /** `missing`: the machine has no such signal, or has not spoken of it yet. */
  quality: Observation['quality'] | 'missing';
  unit: string | null;
}

export interface ActiveCondition extends Condition {
  signal: string;
  time: string;
}

export interface MachineView {
  state: MachineState;
  /** Since when it is in this state; null when nobody knows. */
  since: string | null;
  /** The word of EXECUTION as the machine says it. */
  execution: string | null;
  mode: string | null;
  available: boolean;
  emergencyStop: boolean;
  program: Reading;
  partCount: Reading;
  tool: Reading;
  feedRate: Reading;
  spindleLoad: Reading;
  spindleSpeed: Reading;
  /** Warnings and faults, faults first, then the newest first. */
  conditions: ActiveCondition[];
  /** The values come from a source that does not speak now. */
  stale: boolean;
  /** Why the source does not speak, where its gateway says so. */
  staleReason: string | null;
}

/** What is known of the way to the machine: the best of the gateways that bring it. */
export interface Source {
  connected: boolean;
  reason: string | null;
  since: string;
}

export function sourceOf(asset: string, gateways: Gateway[]): Source | null {
  const carrying = gateways.filter((gateway) => gateway.assets.includes(asset));
  const best = carrying.find((gateway) => gateway.state === 'connected') ?? carrying[0];
  // Refused means that our own store cannot keep more: the machine speaks, but what we show does not move.
  return best ? { connected: best.state === 'connected', reason: best.reason, since: best.since } : null;
}

export function viewMachine(roles: Roles, values: AssetValues, source: Source | null): MachineView {
  const now = (signal: { id: string } | undefined) => (signal ? values.get(signal.id) : undefined);
  const availability = now(roles.availability);
  const execution = now(roles.execution);
  const emergency = now(roles.emergencyStop);
  const conditions = activeConditions(roles, values);
  const stale = source !== null && !source.connected;
  const view: MachineView = {
    state: 'offline',
    since: null,
    execution: textOf(execution),
    mode: textOf(now(roles.mode)),
    available: textOf(availability) === 'AVAILABLE',
    emergencyStop: textOf(emergency) === 'TRIGGERED',
    program: readingOf(roles.program, values),
    partCount: readingOf(roles.partCount, values),
    tool: readingOf(roles.tool, values),
    feedRate: readingOf(roles.feedRate, values),
    spindleLoad: readingOf(roles.spindleLoad, values),
    spindleSpeed: readingOf(roles.spindleSpeed, values),
    conditions,
    stale,
    staleReason: stale ? source.reason : null,
  };
  return { ...view, ...decideState(view, { availability, execution, emergency }, source) };
}

interface Deciding {
  availability: SignalNow | undefined;
  execution: SignalNow | undefined;
  emergency: SignalNow | undefined;
}

function decideState(
  view: MachineView,
  { availability, execution, emergency }: Deciding,
  source: Source | null,
): Pick<MachineView, 'state' | 'since'> {
  if (view.stale) return { state: 'offline', since: source?.since ?? null };
  if (availability && !view.available) return { state: 'offline', since: availability.since };
  const faults = view.conditions.filter((condition) => condition.level === 'FAULT').map((fault) => fault.time);
  if (view.emergencyStop && emergency) faults.push(emergency.since);
  if (faults.length > 0) return { state: 'alarm', since: faults.reduce((a, b) => (compareTimes(a, b) <= 0 ? a : b)) };
  const state = executionState(view.execution);
  return { state: state === 'unknown' ? 'offline' : state, since: execution?.since ?? availability?.since ?? null };
}

function textOf(now: SignalNow | undefined): string | null {
  return now?.latest.quality === 'good' ? now.latest.text : null;
}

function readingOf(signal: Signal | undefined, values: AssetValues): Reading {
  const latest = signal && values.get(signal.id)?.latest;
  const { factor, unit } = signal ? shownUnit(signal) : { factor: 1, unit: null };
  if (!latest) return { number: null, text: null, quality: 'missing', unit };
  if (latest.quality !== 'good') return { number: null, text: null, quality: latest.quality, unit };
  const number = latest.value === null ? null : latest.value * factor;
  return { number, text: latest.text, quality: 'good', unit };
}

function activeConditions(roles: Roles, values: AssetValues): ActiveCondition[] {
  const active = roles.conditions.flatMap((signal) =>
    [...(values.get(signal.id)?.active.values() ?? [])].flatMap((said) =>
      said.condition ? [{ ...said.condition, signal: signal.id, time: said.time }] : [],
    ),
  );
  const rank = (condition: ActiveCondition) => (condition.level === 'FAULT' ? 0 : 1);
  return active.sort((a, b) => rank(a) - rank(b) || compareTimes(b.time, a.time));
}
