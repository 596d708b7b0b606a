/** Fails if the first page loads more script than it may, or if the built page holds what its policy would refuse. */

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** Compressed script of the first page, in bytes. */
const MOST_BYTES = 150_000;
/** Files of it: kit's two entries, the stubs of its pages, and the one in which everything is (`firstPage` in vite.config.ts). */
const MOST_FILES = 8;

/** What browsers get besides Svelte and what is written here; CONTRIBUTING.md says how it is watched. */
const SHIPPED = ['@noble/hashes', 'thumbhash', 'uqr'];

const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const named = Object.keys(dependencies).sort().join();
if (named !== SHIPPED.join()) throw new Error(`package.json ships ${named}, known are ${SHIPPED.join()}`);
for (const [name, version] of Object.entries(dependencies)) {
  if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`${name} has no exact version`);
  const own = JSON.parse(readFileSync(join('node_modules', name, 'package.json'), 'utf8'));
  if (Object.keys(own.dependencies ?? {}).length > 0) throw new Error(`${name} brings others with it`);
}

const html = readFileSync('build/app/index.html', 'utf8');
if (/\sstyle="/.test(html)) throw new Error('index.html holds a style attribute');
if (/(?:src|href)="(?:https?:)?\/\//.test(html)) throw new Error('index.html asks another server');

const seen = new Set();
let bytes = 0;
/** A file and everything it imports statically. */
function count(path) {
  if (seen.has(path)) return;
  seen.add(path);
  const source = readFileSync(path);
  bytes += gzipSync(source, { level: 9 }).length;
  const folder = path.slice(0, path.lastIndexOf('/'));
  for (const match of source.toString().matchAll(/(?:from|import)\s*"(\.[^"]+\.js)"/g)) count(join(folder, match[1]));
}
for (const match of html.matchAll(/"\/(_app\/immutable\/[^"]+\.js)"/g)) count(join('build/app', match[1]));

// The page of the timeline comes by the router: its node and the layouts above it.
const nodes = join('build/app', '_app', 'immutable', 'nodes');
const timeline = readdirSync(nodes)
  .map((name) => join(nodes, name))
  .filter((path) => /nodes\/[0234]\.[^/]*\.js$/.test(path));
timeline.forEach(count);
console.log(`first page: ${(bytes / 1000).toFixed(1)} kB of script, compressed, in ${seen.size} files`);
if (seen.size > MOST_FILES) throw new Error(`more than ${MOST_FILES} files`);
if (bytes > MOST_BYTES) throw new Error(`more than ${MOST_BYTES / 1000} kB`);
