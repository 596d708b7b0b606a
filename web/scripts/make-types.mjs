/**
 * Types of what the server says and hears, from its own document (docs/openapi.json), into src/lib/api/wire.ts.
 *
 *   node scripts/make-types.mjs           writes them
 *   node scripts/make-types.mjs --check   fails if what is there is old (part of `npm run lint`)
 *
 * A key that may be absent is never `null`: the server leaves out what it does not know.
 */

import { readFileSync, writeFileSync } from 'node:fs';

const DOCUMENT = '../docs/openapi.json';
const OUT = 'src/lib/api/wire.ts';
/** What the app uses; what these name comes with them. */
const WANTED = [
  'AlbumEdit', 'Albums', 'Changed', 'Details', 'Device', 'Download', 'Duplicates', 'Edit', 'MapPoints', 'NewDownload',
  'PairingOffer', 'Playable', 'TilePage', 'Timeline'
];

const { schemas } = JSON.parse(readFileSync(DOCUMENT, 'utf8')).components;
const made = new Map();

const nameOf = ({ $ref }) => $ref.split('/').pop();

function typeOf(schema) {
  if (schema.$ref) {
    make(nameOf(schema));
    return nameOf(schema);
  }
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.filter(({ type }) => type !== 'null').map(typeOf).join(' | ');
  if (schema.enum) return schema.enum.map((word) => `'${word}'`).join(' | ');
  const type = Array.isArray(schema.type) ? schema.type.find((each) => each !== 'null') : schema.type;
  if (type === 'integer' || type === 'number') return 'number';
  if (type === 'string' || type === 'boolean') return type;
  if (type === 'array' && schema.prefixItems) return `[${schema.prefixItems.map(typeOf).join(', ')}]`;
  if (type === 'array') {
    const item = typeOf(schema.items);
    return item.includes(' ') && !item.startsWith('[') ? `(${item})[]` : `${item}[]`;
  }
  if (type === 'object' && schema.additionalProperties) return `Record<string, ${typeOf(schema.additionalProperties)}>`;
  throw new Error(`no type for ${JSON.stringify(schema)}`);
}

/** The first sentence of a description, as a comment. */
function comment(text, indent) {
  const line = text?.split('\n')[0]?.replaceAll('*/', '* /').trim();
  return line ? `${indent}/** ${line} */\n` : '';
}

function make(name) {
  if (made.has(name)) return;
  const schema = schemas[name];
  if (!schema) return;
  made.set(name, '');
  const head = comment(schema.description, '');
  if (schema.type !== 'object' || !schema.properties) {
    made.set(name, `${head}export type ${name} = ${typeOf(schema)};\n`);
    return;
  }
  const required = new Set(schema.required);
  const lines = Object.entries(schema.properties).map(([key, property]) => {
    const described = property.description ?? property.oneOf?.find((each) => each.description)?.description;
    return `${comment(described, '  ')}  ${key}${required.has(key) ? '' : '?'}: ${typeOf(property)};\n`;
  });
  made.set(name, `${head}export interface ${name} {\n${lines.join('')}}\n`);
}

WANTED.forEach(make);
const sorted = [...made].filter(([, text]) => text).sort(([a], [b]) => (a < b ? -1 : 1));
const text = `/** Made by scripts/make-types.mjs from docs/openapi.json: not to be changed by hand. */\n\n${sorted.map(([, each]) => each).join('\n')}`;
if (process.argv.includes('--check')) {
  let there = '';
  try {
    there = readFileSync(OUT, 'utf8');
  } catch {
    // Not there is old, too.
  }
  if (there !== text) {
    console.error(`${OUT} is not what docs/openapi.json says: run node scripts/make-types.mjs`);
    process.exit(1);
  }
  console.log(`${sorted.length} types, as the server has them`);
} else {
  writeFileSync(OUT, text);
  console.log(`${sorted.length} types`);
}
