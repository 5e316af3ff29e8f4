// Vehicles that stand close together on the screen, as one mark. Pure; made anew for each picture, in one pass.
import type { Size, View } from './projection';

/** The side of a square whose vehicles are one mark. */
export const CELL_PX = 56;
/** So many vehicles of a square are still drawn one by one. */
export const SINGLE_MAX = 5;
/** From this scale on every vehicle is drawn by itself: a square is then some ten metres. */
export const SCALE_SINGLES = 2 ** 24;
export const STATE_COUNT = 6;
/** From this level on a vehicle has to stop at once. */
const LEVEL_GRAVE = 3;

/** Where vehicles are in the square of the projection, and how they are. */
export interface Places {
  x: Float64Array;
  y: Float64Array;
  state: Uint8Array;
  level: Uint8Array;
  /** What the server calls each of them. */
  place: Uint32Array;
}

export interface Cluster {
  /** Where its vehicles are on average, on the screen. */
  x: number;
  y: number;
  count: number;
  /** Vehicles by the place of their state. */
  states: number[];
  /** The highest level of alarm among them. */
  level: number;
  /** Those that have to stop at once, or are on fire. */
  grave: number;
  /** The places in the arrays of some of them, at most as many as are drawn one by one. */
  members: number[];
}

/**
 * The marks of a screen. Squares are fixed to the ground, not to the screen: moving the map does not deal the vehicles
 * out anew.
 */
export function clusters(places: Places, view: View, size: Size): Cluster[] {
  const cell = CELL_PX / view.scale;
  const left = view.x - size.width / 2 / view.scale;
  const top = view.y - size.height / 2 / view.scale;
  const firstColumn = Math.floor(left / cell);
  const firstRow = Math.floor(top / cell);
  const columns = Math.ceil(size.width / CELL_PX) + 1;
  const rows = Math.ceil(size.height / CELL_PX) + 1;
  const found = new Map<number, Cluster>();
  for (let i = 0; i < places.x.length; i += 1) {
    const x = places.x[i] ?? 0;
    const y = places.y[i] ?? 0;
    const column = Math.floor(x / cell) - firstColumn;
    const row = Math.floor(y / cell) - firstRow;
    if (column < 0 || row < 0 || column >= columns || row >= rows) continue;
    const key = row * columns + column;
    let cluster = found.get(key);
    if (!cluster) {
      cluster = {
        x: 0,
        y: 0,
        count: 0,
        states: new Array<number>(STATE_COUNT).fill(0),
        level: 0,
        grave: 0,
        members: [],
      };
      found.set(key, cluster);
    }
    cluster.x += (x - left) * view.scale;
    cluster.y += (y - top) * view.scale;
    cluster.count += 1;
    const state = places.state[i] ?? 0;
    cluster.states[state] = (cluster.states[state] ?? 0) + 1;
    const level = places.level[i] ?? 0;
    cluster.level = Math.max(cluster.level, level);
    if (level >= LEVEL_GRAVE) cluster.grave += 1;
    if (cluster.members.length <= SINGLE_MAX || view.scale >= SCALE_SINGLES) cluster.members.push(i);
  }
  for (const cluster of found.values()) {
    cluster.x /= cluster.count;
    cluster.y /= cluster.count;
  }
  return merged([...found.values()], view.scale);
}

/** How much of two marks may cover each other, as a share of their radii. */
const OVERLAP = 0.88;

/** Marks that would cover each other become one, the smaller going into the larger: squares know nothing of that. */
function merged(all: Cluster[], scale: number): Cluster[] {
  const kept: Cluster[] = [];
  for (const mark of all.sort((a, b) => b.count - a.count)) {
    const into = isSingles(mark, scale)
      ? undefined
      : kept.find((other) => {
          const near = (radius(other.count) + radius(mark.count)) * OVERLAP;
          return Math.hypot(other.x - mark.x, other.y - mark.y) < near;
        });
    if (!into) {
      kept.push(mark);
      continue;
    }
    const count = into.count + mark.count;
    into.x = (into.x * into.count + mark.x * mark.count) / count;
    into.y = (into.y * into.count + mark.y * mark.count) / count;
    into.count = count;
    into.states = into.states.map((sum, state) => sum + (mark.states[state] ?? 0));
    into.grave += mark.grave;
    into.level = Math.max(into.level, mark.level);
  }
  return kept;
}

/** Whether its vehicles are drawn one by one. */
export function isSingles({ count }: Cluster, scale: number): boolean {
  return count <= SINGLE_MAX || scale >= SCALE_SINGLES;
}

/** Twice the radius takes about thirty times as many vehicles: a mark never covers its neighbours for long. */
export function radius(count: number): number {
  return Math.min(CELL_PX / 2 - 1, 10 + 3.6 * Math.log10(count) + Math.max(0, Math.log10(count) - 3) * 2);
}

/** Few characters for many vehicles: `950`, `1.2k`, `13k`; in Chinese `1.2万`. */
export function shortCount(count: number, locale: 'en' | 'zh'): string {
  const step = locale === 'zh' ? 10_000 : 1_000;
  if (count < step) return String(count);
  const many = count / step;
  return `${many < 10 ? Math.round(many * 10) / 10 : Math.round(many)}${locale === 'zh' ? '万' : 'k'}`;
}
