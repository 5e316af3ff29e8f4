// Numbers, times and units as people of a locale read them. Pure: the locale and "now" are arguments.

export type Locale = 'en' | 'zh';

/** The tag for Intl: "en" keeps to 24 hours and day before month, as shop floors outside the US do. */
const TAGS: Record<Locale, string> = { en: 'en-GB', zh: 'zh-CN' };

const numberFormats = new Map<string, Intl.NumberFormat>();
const timeFormats = new Map<string, Intl.DateTimeFormat>();

function numberFormat(locale: Locale, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = `${locale} ${JSON.stringify(options)}`;
  let format = numberFormats.get(key);
  if (!format) numberFormats.set(key, (format = new Intl.NumberFormat(TAGS[locale], options)));
  return format;
}

function timeFormat(locale: Locale, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${locale} ${JSON.stringify(options)}`;
  let format = timeFormats.get(key);
  const whole = { hourCycle: 'h23' as const, ...options };
  if (!format) timeFormats.set(key, (format = new Intl.DateTimeFormat(TAGS[locale], whole)));
  return format;
}

/** As many decimals as the size of the number makes worth reading. */
export function formatNumber(value: number, locale: Locale): string {
  if (!Number.isFinite(value)) return '—';
  const size = Math.abs(value);
  const decimals = Number.isInteger(value) || size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
  return numberFormat(locale, { maximumFractionDigits: decimals }).format(value);
}

export function formatWhole(value: number, locale: Locale): string {
  return numberFormat(locale, { maximumFractionDigits: 0 }).format(value);
}

export function formatPercent(fraction: number, locale: Locale): string {
  const digits = fraction > 0 && fraction < 0.1 ? 1 : 0;
  return numberFormat(locale, { style: 'percent', maximumFractionDigits: digits }).format(fraction);
}

export function formatBytes(bytes: number, locale: Locale): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let step = 0;
  let size = bytes;
  while (size >= 1000 && step < units.length - 1) {
    size /= 1000;
    step += 1;
  }
  const shown = numberFormat(locale, { maximumFractionDigits: step === 0 || size >= 100 ? 0 : 1 }).format(size);
  return `${shown} ${units[step]}`;
}

const DURATION_WORDS: Record<Locale, [day: string, hour: string, minute: string, second: string]> = {
  en: [' d', ' h', ' min', ' s'],
  zh: [' 天', ' 小时', ' 分', ' 秒'],
};

/** At most two units, so that it keeps its width: `42 s`, `7 min 05 s`, `3 h 20 min`, `2 d 4 h`. */
export function formatDuration(durationMs: number, locale: Locale): string {
  const total = Math.max(0, Math.floor(durationMs / 1000));
  const amounts = [Math.floor(total / 86_400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60, total % 60];
  const first = amounts.findIndex((amount) => amount > 0);
  if (first < 0 || first === 3) return `${total}${DURATION_WORDS[locale][3]}`;
  const words = DURATION_WORDS[locale];
  const small = String(amounts[first + 1]).padStart(first === 0 ? 1 : 2, '0');
  return `${amounts[first]}${words[first]} ${small}${words[first + 1]}`;
}

export function formatClock(timeMs: number, locale: Locale): string {
  return timeFormat(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(timeMs);
}

export function formatDay(timeMs: number, locale: Locale): string {
  return timeFormat(locale, { weekday: 'short', month: 'short', day: 'numeric' }).format(timeMs);
}

/** The time alone on the same day, with its date otherwise. */
export function formatTime(timeMs: number, nowMs: number, locale: Locale): string {
  const sameDay = new Date(timeMs).toDateString() === new Date(nowMs).toDateString();
  if (sameDay) return formatClock(timeMs, locale);
  const options = { month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' } as const;
  return timeFormat(locale, options).format(timeMs);
}

/** UCUM codes that people write otherwise. */
const UNITS: Record<string, string> = {
  '1': '',
  Cel: '°C',
  deg: '°',
  '/min': 'r/min',
  '{rev}/min': 'r/min',
  '{rpm}': 'r/min',
  'deg/s': '°/s',
  'deg/s2': '°/s²',
  'mm/s2': 'mm/s²',
  'N.m': 'N·m',
  'kW.h': 'kWh',
  'W.s': 'W·s',
  'V.A': 'V·A',
  '{count}': '',
  '[ppm]': 'ppm',
  Ohm: 'Ω',
  '{rev}': 'r',
  'mm/{rev}': 'mm/r',
  'W.h': 'W·h',
  'A.h': 'A·h',
  'V.A{reactive}': 'var',
  um: 'µm',
  urad: 'µrad',
  '[degF]': '°F',
  '[in_i]': 'in',
  '[pH]': 'pH',
  '[psi]': 'psi',
  '[g]': 'g',
};

export function formatUnit(unit: string | null): string {
  return unit === null ? '' : (UNITS[unit] ?? unit);
}
