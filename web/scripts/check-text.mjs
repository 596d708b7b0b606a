/**
 * Fails on text that stands in a component instead of the catalogue, on keys nobody uses, and on literal style attributes (which
 * the Content-Security-Policy would refuse). Run by `npm run lint`.
 */

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { parse } from 'svelte/compiler';

const SPOKEN = new Set(['aria-label', 'aria-description', 'aria-roledescription', 'title', 'placeholder', 'alt', 'label']);
const WORD = /\p{L}{2,}/u;
/** A key of the catalogue, handed on as a property. */
const KEY = /^[a-z]+\.[a-z_]+$/;

const files = readdirSync('src', { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name));

const problems = [];

for (const file of files.filter((name) => name.endsWith('.svelte'))) {
  const source = readFileSync(file, 'utf8');
  const line = (at) => source.slice(0, at).split('\n').length;
  const visit = (node, inside) => {
    if (!node || typeof node !== 'object') return;
    if (Array.isArray(node)) {
      node.forEach((each) => visit(each, inside));
      return;
    }
    if (['StyleSheet', 'Comment', 'StyleDirective'].includes(node.type)) return;
    if (node.type === 'Text' && !inside && WORD.test(node.data)) {
      problems.push(`${file}:${line(node.start)}: text outside the catalogue: ${node.data.trim()}`);
    }
    if (node.type === 'Attribute') {
      const parts = Array.isArray(node.value) ? node.value : [node.value];
      const literal = parts.some((part) => part?.type === 'Text' && WORD.test(part.data) && !KEY.test(part.data));
      if (SPOKEN.has(node.name) && literal) {
        problems.push(`${file}:${line(node.start)}: ${node.name} outside the catalogue`);
      }
      if (node.name === 'style') problems.push(`${file}:${line(node.start)}: a style attribute: use style: or a class`);
      parts.forEach((part) => visit(part?.type === 'Text' ? undefined : part, true));
      return;
    }
    for (const [key, child] of Object.entries(node)) if (key !== 'metadata') visit(child, inside);
  };
  visit(parse(source, { modern: true }).fragment, false);
}

const texts = join('src', 'lib', 'text');
const isCatalogue = (name) => [join(texts, 'en'), join(texts, 'de')].some((start) => name.startsWith(start));
const keys = [];
for (const part of readdirSync(join(texts, 'en')).sort()) {
  for (const [, key] of readFileSync(join(texts, 'en', part), 'utf8').matchAll(/^ {2}'([a-z_.]+)':/gm)) {
    // The parts are spread into one catalogue, where the last of two would win in silence.
    if (keys.includes(key)) problems.push(`${join(texts, 'en', part)}: ${key} stands in another part too`);
    keys.push(key);
  }
}
const everything = files
  .filter((name) => /\.(svelte|ts)$/.test(name) && !isCatalogue(name))
  .map((name) => readFileSync(name, 'utf8'))
  .join('\n');
// Families whose last part is made at run time, as in t(`safety.${…}`).
const made = [...everything.matchAll(/`([a-z]+[._](?:[a-z]+_)?)\$\{/g)].map((match) => match[1]);
for (const key of keys) {
  const used = everything.includes(`'${key}'`) || everything.includes(`"${key}"`) || made.some((start) => key.startsWith(start));
  if (!used) problems.push(`${join(texts, 'en')}: nobody uses ${key}`);
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`${keys.length} texts, none outside the catalogue`);
