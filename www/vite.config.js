import { defineConfig } from 'vite';

export default defineConfig({
  // Relative addresses: a static host may serve the page from any folder.
  base: './',
  build: {
    outDir: '../node-cli/page',
    emptyOutDir: true,
    target: 'es2022',
    // The policy of the page allows nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
});
