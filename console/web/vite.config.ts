// Build of the console: one entry, pages split lazily, stable file names, nothing inline, nothing from another host.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const names = {
  entryFileNames: 'assets/[name].js',
  chunkFileNames: 'assets/[name].js',
  assetFileNames: 'assets/[name][extname]',
};

export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  base: '/',
  resolve: mode === 'test' ? { conditions: ['browser'] } : {},
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { output: names },
  },
  worker: { format: 'es' as const, rolldownOptions: { output: names } },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
}));
