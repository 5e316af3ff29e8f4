// A table of any length of which only the rows in sight exist: which these are, and which pages they need. Pure.

export const ROW_PX = 36;
/** Rows beyond both ends of what is in sight, so that scrolling a little shows nothing empty. */
export const ROWS_BEYOND = 6;
export const PAGE_ROWS = 100;
/** Pages that are kept; beyond it those farthest from the sight are forgotten. */
export const PAGES_MAX = 30;

export interface Window {
  first: number;
  /** The row behind the last one. */
  end: number;
}

export function rowsInSight(scrollPx: number, heightPx: number, total: number): Window {
  const first = Math.max(0, Math.floor(scrollPx / ROW_PX) - ROWS_BEYOND);
  const end = Math.min(total, Math.ceil((scrollPx + heightPx) / ROW_PX) + ROWS_BEYOND);
  return { first: Math.min(first, Math.max(0, end)), end };
}

/** The pages that hold the rows of a window. */
export function pagesOf({ first, end }: Window): number[] {
  if (end <= first) return [0];
  const [from, to] = [Math.floor(first / PAGE_ROWS), Math.floor((end - 1) / PAGE_ROWS)];
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** Which pages to forget when there are more than may be kept. */
export function pagesToForget(kept: number[], needed: number[]): number[] {
  const excess = kept.length - PAGES_MAX;
  if (excess <= 0) return [];
  const middle = ((needed[0] ?? 0) + (needed.at(-1) ?? 0)) / 2;
  const far = kept.filter((page) => !needed.includes(page));
  return far.sort((a, b) => Math.abs(b - middle) - Math.abs(a - middle)).slice(0, excess);
}

/** How far to scroll so that a row is in sight, where it is not already. */
export function scrollFor(row: number, scrollPx: number, heightPx: number): number {
  const top = row * ROW_PX;
  if (top < scrollPx) return top;
  if (top + ROW_PX > scrollPx + heightPx) return top + ROW_PX - heightPx;
  return scrollPx;
}
