import { describe, expect, it } from 'vitest';
import type { Alarm } from '../api/alarms';
import { foldsOf, hiddenPriority, hiddenUnseen, keyOf } from './folds';
import { madeUpAlarm } from './made-up';

function alarm(rule: string, cause?: string, more: Partial<Alarm> = {}): Alarm {
  const explained = cause === undefined ? {} : { consequence_of: { rule: cause, title: { zh: '', en: '' } } };
  return madeUpAlarm({ rule, ...explained, ...more });
}

/** `cause: consequence consequence` of each fold. */
function check(alarms: Alarm[], expected: string[]) {
  const folds = foldsOf(alarms);
  const shown = folds.map(({ cause, consequences }) => [`${cause.rule}:`, ...consequences.map(({ rule }) => rule)]);
  expect(shown.map((words) => words.join(' '))).toEqual(expected);
  const all = folds.flatMap(({ cause, consequences }) => [cause, ...consequences]);
  expect(new Set(all)).toEqual(new Set(alarms));
  expect(all.length).toBe(alarms.length);
}

describe('what stands under what', () => {
  it('folds consequences under their cause, wherever that stands in the list', () => {
    check([], []);
    check([alarm('a'), alarm('b')], ['a:', 'b:']);
    check([alarm('a'), alarm('b', 'a'), alarm('c'), alarm('d', 'a')], ['a: b d', 'c:']);
  });

  it('a fold stands where its most urgent alarm stands', () => {
    check([alarm('b', 'a'), alarm('c'), alarm('a')], ['a: b', 'c:']);
  });

  it('a consequence whose cause is not in the list stands alone, and may have its own', () => {
    check([alarm('b', 'gone'), alarm('a')], ['b:', 'a:']);
    check([alarm('c', 'b'), alarm('b', 'gone')], ['b: c']);
  });

  it('a consequence of a consequence stands under the first cause', () => {
    check([alarm('c', 'b'), alarm('a'), alarm('b', 'a'), alarm('d', 'c')], ['a: c b d']);
  });

  it('only an alarm of the same asset is a cause', () => {
    const other = { asset: 'vehicle/V2' };
    check([alarm('a'), alarm('b', 'a', other)], ['a:', 'b:']);
    check([alarm('a'), alarm('b', 'a', other), alarm('a', undefined, other), alarm('b', 'a')], ['a: b', 'a: b']);
  });

  it('a circle hides nothing, nor what leads into it', () => {
    check([alarm('a', 'a')], ['a:']);
    check([alarm('a', 'b'), alarm('b', 'a')], ['a:', 'b:']);
    check(
      [alarm('x', 'a'), alarm('a', 'b'), alarm('b', 'c'), alarm('c', 'a'), alarm('y', 'x')],
      ['a: x y', 'b:', 'c:'],
    );
  });

  it('loses none when the server tells one twice', () => {
    check([alarm('a'), alarm('a'), alarm('b', 'a')], ['a:', 'a: b']);
  });

  it('a long chain is one fold', () => {
    const chain = Array.from({ length: 500 }, (_, i) => alarm(`r${i}`, i === 0 ? undefined : `r${i - 1}`));
    const [fold, ...others] = foldsOf(chain.reverse());
    expect([fold?.cause.rule, fold?.consequences.length, others.length]).toEqual(['r0', 499, 0]);
  });
});

it('says of what is folded that it is more urgent, or that nobody has seen it', () => {
  const fold = (cause: Partial<Alarm>, ...consequences: Partial<Alarm>[]) => ({
    cause: alarm('a', undefined, cause),
    consequences: consequences.map((given, i) => alarm(`c${i}`, 'a', given)),
  });
  expect(hiddenPriority(fold({ priority: 'medium' }, { priority: 'low' }, { priority: 'critical' }))).toBe('critical');
  expect(hiddenPriority(fold({ priority: 'medium' }, { priority: 'medium' }))).toBeNull();
  expect(hiddenPriority(fold({}))).toBeNull();
  const seen: Partial<Alarm> = { state: 'acknowledged' };
  expect(hiddenUnseen(fold(seen, {}, seen, { state: 'returned_unacknowledged' }))).toBe(2);
  expect(hiddenUnseen(fold({}, {}))).toBe(0);
  expect(hiddenUnseen(fold(seen, seen, { state: 'shelved' }))).toBe(0);
});

it('keys tell assets and rules apart', () => {
  expect(keyOf({ asset: 'vehicle/V1', rule: 'a' })).not.toBe(keyOf({ asset: 'vehicle/V2', rule: 'a' }));
});
