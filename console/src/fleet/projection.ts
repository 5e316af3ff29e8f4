// Web Mercator: degrees to a square of 0..1 and back, and what part of it a screen shows. Pure.

/** How far a map can be zoomed in: a screen pixel is then about a metre. */
export const SCALE_MAX = 2 ** 25;
export const SCALE_MIN = 400;
/** Beyond this latitude the projection goes to infinity. */
const LATITUDE_MAX = 85.05;
const EARTH_M = 40_075_017;

export interface Point {
  x: number;
  y: number;
}

/** What a screen shows: the middle of it in the square, and how many pixels the square's side is long. */
export interface View extends Point {
  scale: number;
}

export interface Size {
  width: number;
  height: number;
}

export function project(longitude: number, latitude: number): Point {
  const bounded = Math.max(-LATITUDE_MAX, Math.min(LATITUDE_MAX, latitude));
  const sine = Math.sin((bounded * Math.PI) / 180);
  return { x: longitude / 360 + 0.5, y: 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI) };
}

export function unproject({ x, y }: Point): [longitude: number, latitude: number] {
  const latitude = 90 - (360 * Math.atan(Math.exp((y - 0.5) * 2 * Math.PI))) / Math.PI;
  return [(x - 0.5) * 360, latitude];
}

export function toScreen({ x, y }: Point, view: View, size: Size): Point {
  return { x: (x - view.x) * view.scale + size.width / 2, y: (y - view.y) * view.scale + size.height / 2 };
}

export function toSquare({ x, y }: Point, view: View, size: Size): Point {
  return { x: (x - size.width / 2) / view.scale + view.x, y: (y - size.height / 2) / view.scale + view.y };
}

/** The view `factor` times as large, with what is at `anchor` on the screen staying there. */
export function zoomed(view: View, factor: number, anchor: Point, size: Size): View {
  const scale = Math.max(SCALE_MIN, Math.min(SCALE_MAX, view.scale * factor));
  const fixed = toSquare(anchor, view, size);
  return bounded({
    scale,
    x: fixed.x - (anchor.x - size.width / 2) / scale,
    y: fixed.y - (anchor.y - size.height / 2) / scale,
  });
}

export function moved(view: View, dx: number, dy: number): View {
  return bounded({ ...view, x: view.x - dx / view.scale, y: view.y - dy / view.scale });
}

function bounded(view: View): View {
  return { ...view, x: Math.max(0, Math.min(1, view.x)), y: Math.max(0, Math.min(1, view.y)) };
}

/**
 * The view that shows nearly all points: the outermost hundredth on each side may stay outside, since one vehicle with
 * a wrong position must not make a map of the world of a city's fleet.
 */
export function fitted(xs: ArrayLike<number>, ys: ArrayLike<number>, size: Size, marginPx: number): View | null {
  if (xs.length === 0 || size.width === 0) return null;
  const [west, east] = spread(xs);
  const [north, south] = spread(ys);
  const room = (px: number) => Math.max(40, px - 2 * marginPx);
  const scale = Math.min(room(size.width) / (east - west || 1e-9), room(size.height) / (south - north || 1e-9));
  const sane = Math.max(SCALE_MIN, Math.min(SCALE_MAX / 64, scale));
  return { x: (west + east) / 2, y: (north + south) / 2, scale: sane };
}

function spread(values: ArrayLike<number>): [number, number] {
  const sorted = Float64Array.from(values).sort();
  const cut = Math.floor(sorted.length / 100);
  return [sorted[cut] ?? 0, sorted[sorted.length - 1 - cut] ?? 0];
}

/** The length of the longest round distance that fits into `pxMax`, at a latitude. */
export function scaleBar(view: View, latitude: number, pxMax: number): { metres: number; px: number } {
  const metresPerPx = (EARTH_M * Math.cos((latitude * Math.PI) / 180)) / view.scale;
  const wanted = metresPerPx * pxMax;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const metres = ([5, 2, 1].find((step) => step * power <= wanted) ?? 1) * power;
  return { metres, px: metres / metresPerPx };
}

const GRATICULE_STEPS = [30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

/** Degrees between two lines of the graticule, so that they stand about `pxMin` apart or more. */
export function graticuleStep(view: View, pxMin: number): number {
  const pxPerDegree = view.scale / 360;
  return GRATICULE_STEPS.findLast((step) => step * pxPerDegree >= pxMin) ?? 30;
}
