import { sveltekit } from '@sveltejs/kit/vite';
import { loadEnv } from 'vite';
import { defineConfig } from 'vitest/config';

// `PHOTOSYNC_URL=http://127.0.0.1:3000 npm run dev` develops against a running server.
const server = loadEnv('', '.', 'PHOTOSYNC_')['PHOTOSYNC_URL'] ?? 'http://127.0.0.1:3000';

/**
 * Kit's announcer of page changes is hidden by a style attribute, which the policy of the server refuses; app.css hides it instead.
 * Goes when kit no longer needs it: https://github.com/sveltejs/kit/issues/11993.
 */
const announcerWithoutStyle = {
  name: 'announcer-without-style',
  enforce: 'pre' as const,
  transform(code: string, id: string) {
    if (!id.endsWith('/generated/root.svelte')) return;
    const without = code.replace(/(id="svelte-announcer"[^>]*?)\sstyle="[^"]*"/, '$1');
    if (without === code) throw new Error('the announcer of kit has changed: look whether it still has a style attribute');
    return without;
  }
};

/**
 * The library's first page and all that it stands on, in one file: its thirty pieces, asked for one by one, kept the first picture
 * waiting. Other pages come when they are opened. `scripts/check-build.mjs` fails if this no longer finds them.
 */
const firstPage = {
  name: 'first',
  test: /client\/entry\.js$|client-optimized\/app\.js$|src\/routes\/(\(app\)\/)?\+(layout|page)\.(svelte|ts)$/
};

export default defineConfig({
  plugins: [announcerWithoutStyle, sveltekit()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    rolldownOptions: { output: { codeSplitting: { groups: [firstPage] } } }
  },
  worker: { format: 'es' },
  server: { proxy: { '/api': { target: server, changeOrigin: false } } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' }
});
