// What the alarm block of a report says: bits, their levels, lists of fault codes. Pure; knows no language.

export const FLAG_COUNT = 28;

export interface Alarm {
  /** The bit of the general alarm flags. */
  bit: number;
  /** Its own level, which only reports of 2025 tell. */
  level: number | null;
}

type Numbers = readonly (number | null)[] | undefined;

/** The alarms that are on, those with the highest level first. Bits that no edition names are told as well. */
export function alarmsOf(flags: number | null, bits: Numbers, levels: Numbers): Alarm[] {
  const own = new Map<number, number | null>();
  bits?.forEach((bit, i) => {
    if (bit !== null) own.set(bit, levels?.[i] ?? null);
  });
  const on = new Set(own.keys());
  for (let bit = 0; bit < 32; bit += 1) {
    // Not `>>`: the flags are 32 bits without a sign.
    if (flags !== null && Math.floor(flags / 2 ** bit) % 2 === 1) on.add(bit);
  }
  const alarms = [...on].map((bit) => ({ bit, level: own.get(bit) ?? null }));
  return alarms.sort((a, b) => (b.level ?? 0) - (a.level ?? 0) || a.bit - b.bit);
}

/** A fault code as makers write it: `0x0012ABCD`. */
export function faultCode(code: number): string {
  return `0x${code.toString(16).toUpperCase().padStart(8, '0')}`;
}
