// Cells of a battery by their packs, and how far each is from the mean. Pure.

/** How many of those that deviate most are listed. */
export const WORST = 10;
/** No more cells than this are taken for missing between two that were told. */
const CELLS_MISSING_MAX = 1_000;

export interface Cell {
  /** The number of its pack, as the vehicle counts. */
  pack: number;
  /** Its number in the pack, from 1. */
  number: number;
  value: number | null;
  /** Value less mean; null where there is no value. */
  deviation: number | null;
}

export interface Pack {
  number: number;
  cells: Cell[];
}

export interface Battery {
  packs: Pack[];
  mean: number | null;
  lowest: Cell | null;
  highest: Cell | null;
  /** Those that deviate most, the worst first. */
  worst: Cell[];
}

type Numbers = readonly (number | null)[];

export interface CellLists {
  values: Numbers;
  /** How many values each pack has; without it all are of one pack. */
  counts?: Numbers | undefined;
  packs?: Numbers | undefined;
  /** The number of the first cell of each pack in this report, where a report does not begin with the first. */
  firsts?: Numbers | undefined;
}

/** One cell as it was told: the number of its pack, its number in that, its value. */
export type ToldCell = readonly [pack: number, number: number, value: number | null];

/** Cells in the order of their packs and numbers as lists; a number that nobody told has no value. */
export function listsOf(cells: readonly ToldCell[]): CellLists {
  const lists = {
    values: [] as (number | null)[],
    counts: [] as number[],
    packs: [] as number[],
    firsts: [] as number[],
  };
  let next = 0;
  for (const [pack, number, value] of cells) {
    let last = lists.packs.length - 1;
    if (lists.packs[last] !== pack) {
      last = lists.packs.push(pack) - 1;
      lists.firsts.push(number);
      lists.counts.push(0);
      next = number;
    }
    const missing = Math.min(Math.max(0, number - next), CELLS_MISSING_MAX);
    lists.values.push(...Array<null>(missing).fill(null), value);
    lists.counts[last] = (lists.counts[last] ?? 0) + missing + 1;
    next = number + 1;
  }
  return lists;
}

/** Deals the values out to their packs; what goes beyond the counts belongs to the last one. */
export function batteryOf({ values, counts, packs, firsts }: CellLists): Battery {
  const known = values.filter((value) => value !== null);
  const mean = known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
  const groups: Pack[] = [];
  let at = 0;
  const lengths = counts && counts.length > 0 ? counts : [values.length];
  lengths.forEach((length, group) => {
    const last = group === lengths.length - 1;
    const end = last ? values.length : Math.min(values.length, at + Math.max(0, length ?? 0));
    const number = packs?.[group] ?? group + 1;
    const first = firsts?.[group] ?? 1;
    const cells = values.slice(at, end).map((value, i) => {
      const deviation = value === null || mean === null ? null : value - mean;
      return { pack: number, number: first + i, value, deviation };
    });
    if (cells.length > 0) groups.push({ number, cells });
    at = end;
  });
  const all = groups.flatMap((group) => group.cells).filter((cell) => cell.value !== null);
  const byValue = [...all].sort((a, b) => (a.value ?? 0) - (b.value ?? 0));
  const worst = [...all].sort((a, b) => Math.abs(b.deviation ?? 0) - Math.abs(a.deviation ?? 0)).slice(0, WORST);
  return { packs: groups, mean, lowest: byValue[0] ?? null, highest: byValue.at(-1) ?? null, worst };
}

/** The end of a colour scale that is symmetric about the mean: a round number, and never so small that noise glows. */
export function scaleEnd(deviations: Iterable<number | null>, smallest: number): number {
  let largest = 0;
  for (const deviation of deviations) largest = Math.max(largest, Math.abs(deviation ?? 0));
  if (largest <= smallest) return smallest;
  const power = 10 ** Math.floor(Math.log10(largest));
  return ([1, 2, 5, 10].find((step) => step * power >= largest * (1 - 1e-9)) ?? 10) * power;
}

type Colour = readonly [number, number, number];
/** From far below the mean to far above it, in equal steps; the middle is that of the surface. */
export interface Palette {
  below: Colour;
  middle: Colour;
  above: Colour;
}

export const LIGHT: Palette = { below: [22, 92, 190], middle: [226, 233, 232], above: [205, 38, 28] };
export const DARK: Palette = { below: [74, 146, 255], middle: [43, 54, 53], above: [255, 92, 76] };

/** The colour of a deviation on a scale that ends at `end`. */
export function colourOf(deviation: number, end: number, { below, middle, above }: Palette): string {
  const share = Math.max(-1, Math.min(1, deviation / end));
  const target = share < 0 ? below : above;
  // The root makes small deviations visible, without which one bad cell hides all others.
  const weight = Math.sqrt(Math.abs(share));
  const mixed = middle.map((from, i) => Math.round(from + ((target[i] ?? from) - from) * weight));
  return `rgb(${mixed.join(' ')})`;
}

/** The side of a cell's square, so that all packs together are neither a strip nor a wall; and the cells of a full line. */
export function cellGrid(cells: number, widthPx: number): { columns: number; px: number } {
  const [smallest, largest] = [9, 38];
  const px = Math.max(smallest, Math.min(largest, Math.floor(Math.sqrt((widthPx * 240) / Math.max(1, cells)))));
  return { columns: Math.max(1, Math.floor(widthPx / px)), px };
}

/** The lines of a pack are equally long, as far as that goes. */
export function balanced(cells: number, columns: number): number {
  const lines = Math.max(1, Math.ceil(cells / columns));
  return Math.max(1, Math.ceil(cells / lines));
}
