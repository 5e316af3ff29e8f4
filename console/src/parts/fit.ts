// How large cards can be drawn so that all of them still fit on the screen: a wall is read from afar. Pure.

const CARD_WIDTH_PX_MIN = 288;
const CARD_HEIGHT_PX = 258;
const GAP_PX = 12;
const SCALE_MAX = 1.7;
const SCALE_STEP = 0.05;

export interface Fit {
  scale: number;
  /** So many that the rows are evenly filled; null where the page scrolls and as many as possible stand in a row. */
  columns: number | null;
}

/** The largest scale at which `count` cards fit without scrolling; the natural size where they do not fit anyway. */
export function fitCards(count: number, widthPx: number, heightPx: number): Fit {
  for (let scale = SCALE_MAX; count > 0 && scale > 1 - SCALE_STEP / 2; scale -= SCALE_STEP) {
    const columns = Math.floor((widthPx / scale + GAP_PX) / (CARD_WIDTH_PX_MIN + GAP_PX));
    if (columns < 1) continue;
    const rows = Math.ceil(count / columns);
    const fits = (rows * (CARD_HEIGHT_PX + GAP_PX) - GAP_PX) * scale <= heightPx;
    // A lone card across the whole wall would look odd: at least three columns where there is room for them.
    if (fits) return { scale, columns: Math.max(Math.ceil(count / rows), Math.min(columns, 3)) };
  }
  return { scale: 1, columns: null };
}
