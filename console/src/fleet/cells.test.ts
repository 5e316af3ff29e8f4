import { expect, it } from 'vitest';
import { balanced, batteryOf, cellGrid, colourOf, LIGHT, listsOf, scaleEnd, WORST } from './cells';

it('cells are dealt out to their packs, and what is missing stays missing', () => {
  const battery = batteryOf({ values: [3.3, 3.31, null, 3.29, 3.5], counts: [3, 2], packs: [1, 7], firsts: [1, 201] });
  expect(battery.packs.map(({ number, cells }) => [number, cells.map((cell) => cell.number)])).toEqual([
    [1, [1, 2, 3]],
    [7, [201, 202]],
  ]);
  expect(battery.mean).toBeCloseTo(3.35, 9);
  expect(battery.packs[0]?.cells[2]).toEqual({ pack: 1, number: 3, value: null, deviation: null });
  expect(battery.worst[0]).toMatchObject({ pack: 7, number: 202 });
  expect(battery.highest?.value).toBe(3.5);
  expect(battery.lowest?.value).toBe(3.29);
});

it('cells that several reports told are put together', () => {
  const lists = listsOf([
    [1, 1, 3.3],
    [1, 2, 3.31],
    [1, 5, 3.29],
    [2, 201, 3.2],
    [2, 202, null],
  ]);
  expect(lists).toEqual({
    values: [3.3, 3.31, null, null, 3.29, 3.2, null],
    counts: [5, 2],
    packs: [1, 2],
    firsts: [1, 201],
  });
  expect(batteryOf(lists).worst[0]).toMatchObject({ pack: 2, number: 201 });
  expect(listsOf([])).toEqual({ values: [], counts: [], packs: [], firsts: [] });
});

it('without counts all are of one pack, and counts that lie lose no cell', () => {
  expect(batteryOf({ values: [1, 2, 3] }).packs.map(({ cells }) => cells.length)).toEqual([3]);
  expect(batteryOf({ values: [1, 2, 3], counts: [1, 1] }).packs.map(({ cells }) => cells.length)).toEqual([1, 2]);
  expect(batteryOf({ values: [1, 2], counts: [5, 5] }).packs.map(({ cells }) => cells.length)).toEqual([2]);
  expect(batteryOf({ values: [] })).toMatchObject({ packs: [], mean: null, worst: [] });
});

it('ten are listed, the worst first', () => {
  const values = Array.from({ length: 96 }, (_, i) => 3.3 + (i === 37 ? -0.08 : (i % 5) / 1000));
  const { worst } = batteryOf({ values });
  expect(worst.length).toBe(WORST);
  expect(worst[0]?.number).toBe(38);
  const sizes = worst.map(({ deviation }) => Math.abs(deviation ?? 0));
  expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
});

it('the scale ends at a round number, and noise does not glow', () => {
  expect(scaleEnd([0.001, -0.002, null], 0.01)).toBe(0.01);
  expect(scaleEnd([0.011], 0.01)).toBeCloseTo(0.02, 12);
  expect(scaleEnd([-0.08, 0.02], 0.01)).toBeCloseTo(0.1, 12);
  expect(scaleEnd([0.05], 0.01)).toBeCloseTo(0.05, 12);
  expect(colourOf(0, 1, LIGHT)).toBe('rgb(226 233 232)');
  expect(colourOf(-5, 1, LIGHT)).toBe('rgb(22 92 190)');
  expect(colourOf(1, 1, LIGHT)).toBe('rgb(205 38 28)');
});

it('a pack fills its width, with cells that can be pointed at', () => {
  for (const cells of [1, 96, 400, 5000]) {
    const { columns, px } = cellGrid(cells, 600);
    expect(columns * px).toBeLessThanOrEqual(600);
    expect(px).toBeGreaterThanOrEqual(9);
  }
});

it('the lines of a pack are equally long', () => {
  expect(balanced(48, 30)).toBe(24);
  expect(balanced(8, 30)).toBe(8);
  expect(balanced(97, 40)).toBe(33);
  expect(balanced(0, 30)).toBe(1);
});
