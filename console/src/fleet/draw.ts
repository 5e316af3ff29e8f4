// Draws the map of the fleet on a canvas: ground, graticule, cities, scale, and the marks of the vehicles. Fetches nothing.
import type { Locale } from '../format/format';
import { CITIES } from './cities';
import { isSingles, radius, shortCount, type Cluster, type Places } from './clusters';
import { graticuleStep, project, scaleBar, toScreen, unproject, type Point, type Size, type View } from './projection';

export interface MapColours {
  surface: string;
  ground: string;
  line: string;
  ink: string;
  quiet: string;
  /** By the place of the state. */
  states: string[];
  /** By the level of the alarm. */
  levels: string[];
  font: string;
}

export interface Picture {
  view: View;
  size: Size;
  places: Places | null;
  marks: Cluster[];
  locale: Locale;
  colours: MapColours;
  hovered: Cluster | null;
}

/** From this level on a mark has a ring that says so. */
const LEVEL_SHOWN = 1;
const GRATICULE_PX = 110;
const SCALE_PX = 130;
/** From how large a map on cities of each rank are named. */
const RANK_SCALES = [0, 0, 9_000, 26_000];
const DOT_PX = 4.2;

type Context = CanvasRenderingContext2D;

export function drawMap(context: Context, picture: Picture): void {
  const { size, colours, marks, view } = picture;
  context.fillStyle = colours.ground;
  context.fillRect(0, 0, size.width, size.height);
  graticule(context, picture);
  const taken = marks.filter((mark) => !isSingles(mark, view.scale));
  cities(context, picture, taken);
  for (const mark of marks) {
    if (isSingles(mark, view.scale)) singles(context, picture, mark);
  }
  // The worst on top.
  for (const mark of taken.sort((a, b) => a.grave - b.grave || a.count - b.count)) bubble(context, picture, mark);
  scale(context, picture);
}

function graticule(context: Context, { view, size, colours }: Picture): void {
  const step = graticuleStep(view, GRATICULE_PX);
  const [west, north] = unproject(corner(view, size, -1));
  const [east, south] = unproject(corner(view, size, 1));
  const digits = step < 1 ? String(step).split('.')[1]?.length : 0;
  context.strokeStyle = colours.line;
  context.fillStyle = colours.quiet;
  context.font = `11px ${colours.font}`;
  context.lineWidth = 1;
  context.beginPath();
  const name = (degrees: number, [plus, minus]: [string, string]) =>
    `${Math.abs(degrees).toFixed(digits)}°${degrees === 0 ? '' : degrees > 0 ? plus : minus}`;
  const names: [text: string, x: number, y: number, align: CanvasTextAlign][] = [];
  for (let degrees = Math.ceil(Math.max(-180, west) / step) * step; degrees <= Math.min(180, east); degrees += step) {
    const { x } = toScreen(project(degrees, 0), view, size);
    context.moveTo(Math.round(x) + 0.5, 0);
    context.lineTo(Math.round(x) + 0.5, size.height);
    if (x > 60 && x < size.width - 60) names.push([name(degrees, ['E', 'W']), x, size.height - 34, 'center']);
  }
  for (let degrees = Math.ceil(Math.max(-80, south) / step) * step; degrees <= Math.min(80, north); degrees += step) {
    const { y } = toScreen(project(0, degrees), view, size);
    context.moveTo(0, Math.round(y) + 0.5);
    context.lineTo(size.width, Math.round(y) + 0.5);
    if (y > 50 && y < size.height - 50) names.push([name(degrees, ['N', 'S']), 8, y - 4, 'left']);
  }
  context.stroke();
  context.strokeStyle = colours.ground;
  context.lineWidth = 3;
  for (const [text, x, y, align] of names) {
    context.textAlign = align;
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }
}

const corner = (view: View, size: Size, side: 1 | -1): Point => ({
  x: view.x + (side * size.width) / 2 / view.scale,
  y: view.y + (side * size.height) / 2 / view.scale,
});

/** Names never stand on each other, and a name gives way to a mark. */
function cities(context: Context, { view, size, colours, locale }: Picture, taken: Cluster[]): void {
  const boxes: [x: number, y: number, width: number][] = [];
  context.font = `12px ${colours.font}`;
  context.textAlign = 'left';
  for (const [zh, en, longitude, latitude, rank] of CITIES) {
    if (view.scale < (RANK_SCALES[rank] ?? 0)) continue;
    const { x, y } = toScreen(project(longitude, latitude), view, size);
    if (x < 0 || y < 0 || x > size.width || y > size.height) continue;
    const name = locale === 'zh' ? zh : en;
    const width = context.measureText(name).width + 12;
    const covered = taken.find((mark) => Math.hypot(mark.x - x, mark.y - y) < radius(mark.count) + 4);
    // A city under a mark is named beside the mark.
    const [left, base] = covered ? [covered.x + radius(covered.count) - 2, covered.y] : [x, y];
    const crossed = taken.some(
      (mark) =>
        mark !== covered &&
        Math.abs(mark.y - base) < radius(mark.count) + 6 &&
        mark.x + radius(mark.count) > left &&
        mark.x - radius(mark.count) < left + width,
    );
    if (crossed || boxes.some(([bx, by, bw]) => Math.abs(by - base) < 15 && bx < left + width && left < bx + bw))
      continue;
    boxes.push([left, base, width]);
    if (!covered) {
      context.fillStyle = colours.quiet;
      context.beginPath();
      context.arc(x, y, 1.8, 0, 2 * Math.PI);
      context.fill();
    }
    context.lineWidth = 3;
    context.strokeStyle = colours.ground;
    context.strokeText(name, left + 6, base + 4);
    context.fillStyle = colours.quiet;
    context.fillText(name, left + 6, base + 4);
  }
}

function singles(context: Context, { view, size, colours, places }: Picture, mark: Cluster): void {
  if (!places) return;
  for (const member of mark.members) {
    const point = { x: places.x[member] ?? 0, y: places.y[member] ?? 0 };
    const { x, y } = toScreen(point, view, size);
    const level = places.level[member] ?? 0;
    if (level >= LEVEL_SHOWN) {
      context.fillStyle = colours.levels[level] ?? colours.ink;
      disc(context, x, y, DOT_PX + 3);
    }
    context.fillStyle = colours.surface;
    disc(context, x, y, DOT_PX + 1.2);
    context.fillStyle = colours.states[places.state[member] ?? 0] ?? colours.quiet;
    disc(context, x, y, DOT_PX);
  }
}

function disc(context: Context, x: number, y: number, size: number): void {
  context.beginPath();
  context.arc(x, y, size, 0, 2 * Math.PI);
  context.fill();
}

/** A ring of what the vehicles do around how many they are. */
function bubble(context: Context, { colours, locale, hovered }: Picture, mark: Cluster): void {
  const size = radius(mark.count);
  const [width, { x, y }] = [Math.max(3, size / 5), mark];
  context.fillStyle = colours.surface;
  disc(context, x, y, size + 1);
  let from = -Math.PI / 2;
  context.lineWidth = width;
  mark.states.forEach((count, state) => {
    if (count === 0) return;
    const to = from + (count / mark.count) * 2 * Math.PI;
    context.strokeStyle = colours.states[state] ?? colours.quiet;
    context.beginPath();
    context.arc(x, y, size - width / 2, from, to);
    context.stroke();
    from = to;
  });
  context.fillStyle = colours.ink;
  context.font = `${hovered === mark ? 700 : 600} ${size > 19 ? 12 : 10.5}px ${colours.font}`;
  context.textAlign = 'center';
  context.fillText(shortCount(mark.count, locale), x, y + 4);
  if (mark.grave > 0) badge(context, { colours, locale }, mark, size);
}

/** How many have a grave alarm, in the colour of the worst, where a mark's ring is to the upper right. */
function badge(
  context: Context,
  { colours, locale }: Pick<Picture, 'colours' | 'locale'>,
  mark: Cluster,
  size: number,
): void {
  const text = shortCount(mark.grave, locale);
  context.font = `700 9.5px ${colours.font}`;
  const half = Math.max(7, context.measureText(text).width / 2 + 4.5);
  const [x, y] = [mark.x + size * 0.72, mark.y - size * 0.72];
  for (const [grow, colour] of [
    [1.5, colours.surface],
    [0, colours.levels[mark.level] ?? colours.ink],
  ] as const) {
    context.fillStyle = colour;
    context.beginPath();
    context.roundRect(x - half - grow, y - 7 - grow, 2 * (half + grow), 2 * (7 + grow), 7 + grow);
    context.fill();
  }
  context.fillStyle = '#fff';
  context.fillText(text, x, y + 3.5);
}

function scale(context: Context, { view, size, colours, locale }: Picture): void {
  const [, latitude] = unproject(view);
  const { metres, px } = scaleBar(view, latitude, SCALE_PX);
  const [left, base] = [14.5, size.height - 12.5];
  context.strokeStyle = colours.ink;
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(left, base - 5);
  context.lineTo(left, base);
  context.lineTo(left + px, base);
  context.lineTo(left + px, base - 5);
  context.stroke();
  context.fillStyle = colours.ink;
  context.font = `11px ${colours.font}`;
  context.textAlign = 'left';
  const unit =
    metres >= 1000
      ? `${metres / 1000} ${locale === 'zh' ? '公里' : 'km'}`
      : `${metres} ${locale === 'zh' ? '米' : 'm'}`;
  context.fillText(unit, left + 5, base - 5);
}
