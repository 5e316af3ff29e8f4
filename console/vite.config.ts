// How the console is built: everything into dist/, nothing fetched from elsewhere at run time.
import { paraglideVitePlugin } from '@inlang/paraglide-js';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

/** Where `npm run dev` finds the API: the mock, or a running `tongmai serve`. */
const server = process.env['TONGMAI_URL'] ?? 'http://127.0.0.1:7878';

export default defineConfig({
  // The unit tests are of pure modules: without plugins they start at once and leave no watcher behind.
  plugins: process.env['VITEST']
    ? []
    : [
        paraglideVitePlugin({
          project: './project.inlang',
          outdir: './src/paraglide',
          strategy: ['localStorage', 'preferredLanguage', 'baseLocale'],
        }),
        svelte(),
      ],
  build: { target: 'es2022', modulePreload: { polyfill: false } },
  server: { proxy: { '/api': server, '/health': server } },
  test: { include: ['src/**/*.test.ts'] },
});
