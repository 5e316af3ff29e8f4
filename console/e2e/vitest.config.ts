// The end-to-end test: a real browser against TONGMAI_URL, or against the mock where that is not set.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: import.meta.dirname ?? '.',
  test: {
    include: ['*.e2e.ts'],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // One browser, one story: the tests follow each other.
    fileParallelism: false,
    sequence: { concurrent: false },
  },
});
