import { expect, it } from 'vitest';
import { CELL_PX, clusters, isSingles, radius, shortCount, SINGLE_MAX, type Places } from './clusters';

const SIZE = { width: 560, height: 560 };
const VIEW = { x: 0.5, y: 0.5, scale: 5_600 };

function places(all: [x: number, y: number, state: number, level: number][]): Places {
  return {
    x: Float64Array.from(all.map(([x]) => x)),
    y: Float64Array.from(all.map(([, y]) => y)),
    state: Uint8Array.from(all.map(([, , state]) => state)),
    level: Uint8Array.from(all.map(([, , , level]) => level)),
    place: Uint32Array.from(all.map((_, i) => i + 100)),
  };
}

it('vehicles of a square are one mark, that knows their states and the highest alarm', () => {
  const near: [number, number, number, number][] = Array.from({ length: 20 }, (_, i) => [
    0.5001,
    0.5001,
    i % 2,
    i === 7 ? 3 : 0,
  ]);
  const marks = clusters(places([...near, [0.53, 0.46, 4, 1], [0.9, 0.9, 0, 0]]), VIEW, SIZE);
  expect(marks.length).toBe(2);
  const [large, single] = marks.sort((a, b) => b.count - a.count);
  expect(large).toMatchObject({ count: 20, level: 3, grave: 1, states: [10, 10, 0, 0, 0, 0] });
  expect(isSingles(large!, VIEW.scale)).toBe(false);
  expect(large?.members.length).toBe(SINGLE_MAX + 1);
  expect(large?.x).toBeCloseTo(280.56, 5);
  expect(single).toMatchObject({ count: 1, level: 1, members: [20] });
  expect(isSingles(single!, VIEW.scale)).toBe(true);
});

it('no vehicle in sight is lost, and moving the map does not deal them out anew', () => {
  const all: [number, number, number, number][] = Array.from({ length: 5000 }, (_, i) => [
    0.46 + ((i * 7919) % 1000) / 12_500,
    0.46 + ((i * 104_729) % 1000) / 12_500,
    i % 6,
    0,
  ]);
  const marks = clusters(places(all), VIEW, SIZE);
  expect(marks.reduce((sum, { count }) => sum + count, 0)).toBe(5000);
  const near = (one: (typeof marks)[number], other: (typeof marks)[number]) =>
    Math.hypot(one.x - other.x, one.y - other.y);
  marks.forEach((mark, i) => {
    for (const other of marks.slice(i + 1)) expect(near(mark, other)).toBeGreaterThan(radius(mark.count));
  });
  // Three pixels to the side: the marks move by that much, and stay the same otherwise.
  const moved = clusters(places(all), { ...VIEW, x: 0.5 + 3 / 5_600 }, SIZE);
  const shown = (list: typeof marks, by: number) => list.map(({ x, count }) => `${Math.round(x + by)} ${count}`).sort();
  expect(shown(moved, 3)).toEqual(shown(marks, 0));
});

it('marks grow slowly, and count in the words of the language', () => {
  expect(radius(100_000)).toBeLessThanOrEqual(CELL_PX / 2 - 1);
  expect(radius(10)).toBeLessThan(radius(1000));
  expect([999, 1234, 56_789].map((count) => shortCount(count, 'en'))).toEqual(['999', '1.2k', '57k']);
  expect([9999, 12_345, 100_000].map((count) => shortCount(count, 'zh'))).toEqual(['9999', '1.2万', '10万']);
});
