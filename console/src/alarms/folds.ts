// Which alarms stand under which: consequences under what causes them. Pure; knows no language.
import { PRIORITIES, type Alarm, type Priority } from '../api/alarms';

/** An alarm that nothing in the list explains, with all that it explains. */
export interface Fold {
  cause: Alarm;
  /** Also consequences of consequences; in the order of the list. */
  consequences: Alarm[];
}

/** What an alarm is called in a list: a rule says one thing of an asset. */
export function keyOf({ asset, rule }: { asset: string; rule: string }): string {
  return `${asset} ${rule}`;
}

/** Each alarm once. A fold stands where the first of its alarms, which is the most urgent one, stands in the list. */
export function foldsOf(alarms: readonly Alarm[]): Fold[] {
  const byKey = new Map(alarms.map((alarm) => [keyOf(alarm), alarm]));
  const causeOf = ({ asset, consequence_of: cause }: Alarm) => cause && byKey.get(keyOf({ asset, rule: cause.rule }));
  const folds = new Map<Alarm, Fold>();
  for (const alarm of alarms) {
    const cause = rootOf(alarm, causeOf);
    const fold = folds.get(cause) ?? { cause, consequences: [] };
    folds.set(cause, fold);
    if (alarm !== cause) fold.consequences.push(alarm);
  }
  return [...folds.values()];
}

/** What explains an alarm in the end. Alarms that explain each other in a circle stand by themselves. */
function rootOf(alarm: Alarm, causeOf: (alarm: Alarm) => Alarm | undefined): Alarm {
  const passed = new Set([alarm]);
  let root = alarm;
  for (let cause = causeOf(alarm); cause; cause = causeOf(cause)) {
    if (passed.has(cause)) return cause;
    passed.add(cause);
    root = cause;
  }
  return root;
}

/** The priority of what is folded, where that is more urgent than what is in sight. */
export function hiddenPriority({ cause, consequences }: Fold): Priority | null {
  const rank = ({ priority }: Alarm) => PRIORITIES.indexOf(priority);
  const most = Math.min(...consequences.map(rank));
  return most < rank(cause) ? (PRIORITIES[most] ?? null) : null;
}

/** How many nobody has seen among what is folded, where what is in sight has been seen. */
export function hiddenUnseen({ cause, consequences }: Fold): number {
  return isUnseen(cause) ? 0 : consequences.filter(isUnseen).length;
}

function isUnseen({ state }: Alarm): boolean {
  return ['unacknowledged', 'returned_unacknowledged', 'latched_unacknowledged'].includes(state);
}
