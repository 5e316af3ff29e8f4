import { expect, it } from 'vitest';
import { fitCards } from './fit';

it('few machines are drawn large and in even rows, many at their natural size', () => {
  const check = (count: number, widthPx: number, heightPx: number, scale: number, columns: number | null) => {
    const fit = fitCards(count, widthPx, heightPx);
    expect(fit.scale).toBeCloseTo(scale, 2);
    expect(fit.columns).toBe(columns);
  };
  check(1, 1880, 900, 1.7, 3);
  check(12, 1880, 900, 1.1, 4);
  check(18, 1880, 820, 1, 6);
  check(500, 1880, 900, 1, null);
  check(12, 984, 600, 1, null);
  check(1, 200, 200, 1, null);
  check(0, 1880, 900, 1, null);
});
