// What can be done with an alarm in which state, and what that takes. Pure; knows no language.
import type { Alarm, Deed } from '../api/alarms';

/** The deeds that make sense, the most urgent first. */
export function deedsOf(alarm: Alarm): Deed[] {
  if (alarm.state === 'out_of_service') return ['in_service', 'comment'];
  const deeds: Deed[] = [];
  if (alarm.acknowledged === undefined) deeds.push('acknowledge');
  if (alarm.state === 'latched_acknowledged') deeds.push('reset');
  deeds.push(alarm.state === 'shelved' ? 'unshelve' : 'shelve');
  return [...deeds, 'out_of_service', 'comment'];
}

/** Whether it takes a reason: what hides an alarm does. */
export function wantsReason(deed: Deed): boolean {
  return deed === 'shelve' || deed === 'out_of_service' || deed === 'comment';
}

/** Whether a rule raised it, and not the source itself: conditions of MTConnect have colons in their names. */
export function isRule(name: string): boolean {
  return !name.includes(':');
}

/** An asset of a kind that has a page, and the address of that. */
export function pageOf(asset: string): string | null {
  if (asset.startsWith('vehicle/')) return `/vehicles/${encodeURIComponent(asset.slice('vehicle/'.length))}`;
  return asset.startsWith('machine/') ? `/machines/${encodeURIComponent(asset)}` : null;
}
