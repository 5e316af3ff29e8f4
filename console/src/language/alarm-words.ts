// The words for alarms, in the language of the person.
import type { AlarmState, Both, Deed, Priority } from '../api/alarms';
import type { TargetKind, TargetState } from '../api/notify';
import type { Locale } from '../format/format';
import { m } from '../paraglide/messages';

const STATES: Record<AlarmState, () => string> = {
  unacknowledged: m.alarm_unacknowledged,
  acknowledged: m.alarm_acknowledged,
  returned_unacknowledged: m.alarm_returned_unacknowledged,
  latched_unacknowledged: m.alarm_latched_unacknowledged,
  latched_acknowledged: m.alarm_latched_acknowledged,
  shelved: m.alarm_shelved,
  suppressed_by_design: m.alarm_suppressed_by_design,
  out_of_service: m.alarm_out_of_service,
  normal: m.alarm_normal,
};

const PRIORITIES: Record<Priority, () => string> = {
  critical: m.priority_critical,
  high: m.priority_high,
  medium: m.priority_medium,
  low: m.priority_low,
};

const DEEDS: Record<Deed, () => string> = {
  acknowledge: m.deed_acknowledge,
  comment: m.deed_comment,
  reset: m.deed_reset,
  shelve: m.deed_shelve,
  unshelve: m.deed_unshelve,
  out_of_service: m.deed_out_of_service,
  in_service: m.deed_in_service,
};

const EVENTS: Record<string, () => string> = {
  raised: m.event_raised,
  returned: m.event_returned,
  suppressed: m.event_suppressed,
  unsuppressed: m.event_unsuppressed,
  withdrawn: m.event_withdrawn,
  notified: m.event_notified,
  not_notified: m.event_not_notified,
  acknowledged: m.event_acknowledged,
  commented: m.event_commented,
  reset: m.event_reset,
  shelved: m.event_shelved,
  unshelved: m.event_unshelved,
  out_of_service: m.event_out_of_service,
  in_service: m.event_in_service,
};

const TARGET_KINDS: Record<TargetKind, () => string> = {
  webhook: m.target_webhook,
  smtp: m.target_smtp,
  mqtt: m.target_mqtt,
};

const TARGET_STATES: Record<TargetState, () => string> = {
  ready: m.target_ready,
  retrying: m.target_retrying,
  failed: m.target_failed,
};

export const targetKindWord = (kind: TargetKind): string => TARGET_KINDS[kind]?.() ?? kind;
export const targetStateWord = (state: TargetState): string => TARGET_STATES[state]?.() ?? state;
export const alarmStateWord = (state: AlarmState): string => STATES[state]?.() ?? state;
export const priorityWord = (priority: Priority): string => PRIORITIES[priority]?.() ?? priority;
export const deedWord = (deed: Deed): string => DEEDS[deed]();
export const eventWord = (event: string): string => EVENTS[event]?.() ?? event;
export const inLanguage = (text: Both, locale: Locale): string => text[locale];
