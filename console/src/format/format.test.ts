import { expect, it } from 'vitest';
import { formatBytes, formatDuration, formatNumber, formatPercent, formatTime, formatUnit } from './format';

it('numbers have as many decimals as are worth reading', () => {
  const check = (value: number, expected: string) => expect(formatNumber(value, 'en')).toBe(expected);
  check(0, '0');
  check(0.12345, '0.123');
  check(12.3456, '12.35');
  check(123.456, '123.5');
  check(2400.4, '2,400');
  check(-5, '-5');
  check(Number.NaN, '—');
});

it('durations are told in at most two units, in the language', () => {
  const check = (seconds: number, en: string, zh: string) => {
    expect(formatDuration(seconds * 1000, 'en')).toBe(en);
    expect(formatDuration(seconds * 1000, 'zh')).toBe(zh);
  };
  check(-3, '0 s', '0 秒');
  check(42, '42 s', '42 秒');
  check(425, '7 min 05 s', '7 分 05 秒');
  check(3600, '1 h 00 min', '1 小时 00 分');
  check(12_000, '3 h 20 min', '3 小时 20 分');
  check(187_200, '2 d 4 h', '2 天 4 小时');
});

it('shares, sizes and units read as people write them', () => {
  expect(formatPercent(0.734, 'en')).toBe('73%');
  expect(formatPercent(0.0123, 'zh')).toBe('1.2%');
  expect(formatBytes(999, 'en')).toBe('999 B');
  expect(formatBytes(1_234_567, 'en')).toBe('1.2 MB');
  expect(formatUnit('Cel')).toBe('°C');
  expect(formatUnit('mm')).toBe('mm');
  expect(formatUnit(null)).toBe('');
});

it('times of another day carry their date', () => {
  const now = new Date(2026, 10, 21, 12, 0, 0).getTime();
  expect(formatTime(new Date(2026, 10, 21, 8, 5, 9).getTime(), now, 'en')).toBe('08:05:09');
  expect(formatTime(new Date(2026, 10, 20, 0, 5, 9).getTime(), now, 'en')).toContain('20/11');
});
