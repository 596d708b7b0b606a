import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import adapter from '@sveltejs/adapter-static';
import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

/** Changes with what is built, and with nothing else: building again is no new version to browsers that keep the app. */
function versionOfSources() {
  const hash = createHash('sha256').update(readFileSync('package-lock.json'));
  const files = ['src', 'static'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
  );
  for (const file of files.sort()) hash.update(`\0${file}\0`).update(readFileSync(file));
  return hash.digest('hex').slice(0, 16);
}

/**
 * A single page app: one index.html for every address, which the server program carries and serves.
 * The Content-Security-Policy is the server's: it hashes the inline script that kit writes into index.html.
 */
export default {
  preprocess: vitePreprocess(),
  kit: {
    adapter: adapter({ pages: 'build/app', assets: 'build/app', fallback: 'index.html', precompress: true }),
    paths: { relative: false },
    version: { name: versionOfSources(), pollInterval: 0 },
    // Registered by hand, and only where the browser allows it (not over plain HTTP in a LAN).
    serviceWorker: { register: false }
  }
};
