import { expect, it } from 'vitest';
import { PAGE_ROWS, PAGES_MAX, pagesOf, pagesToForget, ROW_PX, ROWS_BEYOND, rowsInSight, scrollFor } from './rows';

it('only the rows in sight exist, wherever one is', () => {
  expect(rowsInSight(0, 360, 100_000)).toEqual({ first: 0, end: 10 + ROWS_BEYOND });
  const middle = rowsInSight(50_000 * ROW_PX, 360, 100_000);
  expect(middle).toEqual({ first: 50_000 - ROWS_BEYOND, end: 50_010 + ROWS_BEYOND });
  expect(rowsInSight(99_990 * ROW_PX, 360, 100_000).end).toBe(100_000);
  expect(rowsInSight(0, 360, 3)).toEqual({ first: 0, end: 3 });
  // The filter left fewer rows than one had scrolled past.
  expect(rowsInSight(50_000 * ROW_PX, 360, 3)).toEqual({ first: 3, end: 3 });
});

it('a window needs the pages that hold its rows', () => {
  expect(pagesOf({ first: 0, end: 16 })).toEqual([0]);
  expect(pagesOf({ first: PAGE_ROWS - 1, end: PAGE_ROWS + 1 })).toEqual([0, 1]);
  expect(pagesOf({ first: 0, end: 0 })).toEqual([0]);
});

it('pages far away are forgotten first, and never those in sight', () => {
  const kept = Array.from({ length: PAGES_MAX + 2 }, (_, i) => i);
  expect(pagesToForget(kept, [PAGES_MAX + 1])).toEqual([0, 1]);
  expect(pagesToForget(kept, [0])).toEqual([PAGES_MAX + 1, PAGES_MAX]);
  expect(pagesToForget(kept.slice(2), [0])).toEqual([]);
});

it('the keyboard brings a row into sight and no further', () => {
  expect(scrollFor(0, 500, 360)).toBe(0);
  expect(scrollFor(5, 0, 360)).toBe(0);
  expect(scrollFor(10, 0, 360)).toBe(ROW_PX);
});
