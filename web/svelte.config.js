import adapter from '@sveltejs/adapter-static';
import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

/**
 * A single page app: one index.html for every address, which the server program carries and serves.
 * The Content-Security-Policy is the server's: it hashes the inline script that kit writes into index.html.
 */
export default {
  preprocess: vitePreprocess(),
  kit: {
    adapter: adapter({ pages: 'build/app', assets: 'build/app', fallback: 'index.html', precompress: true }),
    paths: { relative: false },
    version: { pollInterval: 0 },
    // Registered by hand, and only where the browser allows it (not over plain HTTP in a LAN).
    serviceWorker: { register: false }
  }
};
