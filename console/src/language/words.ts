// The words of MTConnect's controlled vocabularies and of our own states, in the language of the person. What is not
// listed is shown as the machine says it.
import { m } from '../paraglide/messages';
import type { Locale } from '../format/format';
import type { ConditionLevel, GatewayState, Quality, Signal } from '../api/types';
import type { ExecutionState, MachineState } from '../machine/state';
import { typeOf } from '../machine/roles';
import { SUB_TYPES_ZH, TYPES_ZH } from './mtconnect-zh';

const MACHINE_STATES: Record<MachineState, () => string> = {
  active: m.state_active,
  interrupted: m.state_interrupted,
  idle: m.state_idle,
  alarm: m.state_alarm,
  offline: m.state_offline,
};

const EXECUTIONS: Record<string, () => string> = {
  READY: m.execution_ready,
  ACTIVE: m.execution_active,
  INTERRUPTED: m.execution_interrupted,
  FEED_HOLD: m.execution_feed_hold,
  STOPPED: m.execution_stopped,
  OPTIONAL_STOP: m.execution_optional_stop,
  PROGRAM_STOPPED: m.execution_program_stopped,
  PROGRAM_COMPLETED: m.execution_program_completed,
  WAIT: m.execution_wait,
};

const MODES: Record<string, () => string> = {
  AUTOMATIC: m.mode_automatic,
  MANUAL: m.mode_manual,
  MANUAL_DATA_INPUT: m.mode_manual_data_input,
  SEMI_AUTOMATIC: m.mode_semi_automatic,
  EDIT: m.mode_edit,
};

const LEVELS: Record<ConditionLevel, () => string> = {
  NORMAL: m.level_normal,
  WARNING: m.level_warning,
  FAULT: m.level_fault,
  UNAVAILABLE: m.level_unavailable,
};

const QUALITIES: Record<Quality, () => string> = {
  good: m.quality_good,
  abnormal: m.quality_abnormal,
  invalid: m.quality_invalid,
  unavailable: m.quality_unavailable,
};

const GATEWAY_STATES: Record<GatewayState, () => string> = {
  connecting: m.gateway_connecting,
  connected: m.gateway_connected,
  waiting: m.gateway_waiting,
  refused: m.gateway_refused,
  failed: m.gateway_failed,
  stopped: m.gateway_stopped,
};

export const machineStateWord = (state: MachineState): string => MACHINE_STATES[state]();
export const modeWord = (mode: string): string => MODES[mode]?.() ?? mode;
export const levelWord = (level: ConditionLevel): string => LEVELS[level]();
export const qualityWord = (quality: Quality): string => QUALITIES[quality]();
export const gatewayStateWord = (state: GatewayState): string => GATEWAY_STATES[state]?.() ?? state;

export function executionWord(word: string | null): string {
  return word === null ? m.unknown() : (EXECUTIONS[word]?.() ?? word);
}

export function executionStateWord(state: ExecutionState): string {
  return state === 'unknown' ? m.unknown() : MACHINE_STATES[state]();
}

/** What a signal measures: `mtconnect:ROTARY_VELOCITY.ACTUAL` → `Rotary velocity, actual`, 转速（实际）. */
export function typeWord(signal: Signal, locale: Locale): string {
  const [type = '', subType] = typeOf(signal).split('.');
  if (locale === 'zh') {
    const name = TYPES_ZH[type] ?? humanise(type);
    return subType ? `${name}（${SUB_TYPES_ZH[subType] ?? humanise(subType).toLowerCase()}）` : name;
  }
  return subType ? `${humanise(type)}, ${humanise(subType).toLowerCase()}` : humanise(type);
}

function humanise(word: string): string {
  const text = word.replaceAll('_', ' ').toLowerCase();
  return text.charAt(0).toUpperCase() + text.slice(1);
}
