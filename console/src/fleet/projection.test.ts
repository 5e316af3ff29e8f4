import { expect, it } from 'vitest';
import { fitted, graticuleStep, moved, project, scaleBar, toScreen, toSquare, unproject, zoomed } from './projection';

const SIZE = { width: 800, height: 600 };

it('every place finds its way back', () => {
  for (const [longitude, latitude] of [
    [116.4, 39.9],
    [-74.01, 40.71],
    [151.21, -33.87],
    [0, 0],
  ] as const) {
    const [backLongitude, backLatitude] = unproject(project(longitude, latitude));
    expect(backLongitude).toBeCloseTo(longitude, 9);
    expect(backLatitude).toBeCloseTo(latitude, 9);
  }
  expect(project(0, 0)).toEqual({ x: 0.5, y: 0.5 });
  expect(project(0, 90).y).toBeCloseTo(0, 3);
});

it('zooming keeps what is under the pointer where it is', () => {
  const view = { ...project(116.4, 39.9), scale: 50_000 };
  const anchor = { x: 100, y: 500 };
  const before = toSquare(anchor, view, SIZE);
  const after = toSquare(anchor, zoomed(view, 3, anchor, SIZE), SIZE);
  expect(after.x).toBeCloseTo(before.x, 9);
  expect(after.y).toBeCloseTo(before.y, 9);
  expect(zoomed(view, 1e9, anchor, SIZE).scale).toBeLessThanOrEqual(2 ** 25);
  const dragged = moved(view, 10, -20);
  const corner = toScreen(toSquare({ x: 0, y: 0 }, view, SIZE), dragged, SIZE);
  expect(corner.x).toBeCloseTo(10, 6);
  expect(corner.y).toBeCloseTo(-20, 6);
});

it('a fitted view shows all but the outermost', () => {
  const places = Array.from({ length: 1000 }, (_, i) => project(113 + (i % 10) / 10, 22 + Math.floor(i / 10) / 100));
  places.push(project(0, 0));
  const xs = places.map(({ x }) => x);
  const ys = places.map(({ y }) => y);
  const view = fitted(xs, ys, SIZE, 20);
  if (!view) throw new Error('there are places');
  const shown = places.map((place) => toScreen(place, view, SIZE));
  const inside = shown.filter(({ x, y }) => x >= 0 && x <= SIZE.width && y >= 0 && y <= SIZE.height);
  expect(inside.length).toBe(1000);
  expect(fitted([], [], SIZE, 20)).toBeNull();
});

it('the scale bar is a round distance that fits, and lines of the graticule do not crowd', () => {
  const view = { ...project(116.4, 40), scale: 2 ** 20 };
  const { metres, px } = scaleBar(view, 40, 120);
  expect([1, 2, 5]).toContain(metres / 10 ** Math.floor(Math.log10(metres)));
  expect(px).toBeLessThanOrEqual(120);
  expect(px).toBeGreaterThan(40);
  for (const scale of [400, 5_000, 1e5, 2 ** 25]) {
    expect((graticuleStep({ ...view, scale }, 90) * scale) / 360).toBeGreaterThanOrEqual(scale === 400 ? 30 : 90);
  }
});
