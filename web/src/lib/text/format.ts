/** Dates, sizes and durations as people of a language write them. Wall clocks stay what they are: no zone is applied. */

import { currentLanguage, t } from './index.svelte';

/** The browser's own way of writing the language (British dates, Swiss numbers), if it is the one that is shown. */
function locale(): string {
  const language = currentLanguage();
  return navigator.languages.find((tag) => tag.toLowerCase().startsWith(language)) ?? language;
}

/** Makes a format once for each language: that takes the browser as long as a hundred uses of it. */
function once<Options, Format>(make: (tag: string, options: Options) => Format): (options: Options) => Format {
  const formats = new Map<string, Format>();
  return (options) => {
    const tag = locale();
    const key = tag + JSON.stringify(options);
    let found = formats.get(key);
    if (!found) formats.set(key, (found = make(tag, options)));
    return found;
  };
}

const format = once((tag, options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(tag, options));
const number = once((tag, options: Intl.NumberFormatOptions) => new Intl.NumberFormat(tag, options));
const lists = once((tag, options: Intl.ListFormatOptions) => new Intl.ListFormat(tag, options));
const names = once((tag, options: Intl.DisplayNamesOptions) => new Intl.DisplayNames([tag], options));

/** A wall clock as if it were UTC, so that formats in UTC show it unchanged. */
function wall(text: string): Date {
  return new Date(text.length === 10 ? `${text}T00:00:00Z` : `${text.slice(0, 19)}Z`);
}

function today(): string {
  const now = new Date();
  const two = (value: number) => String(value).padStart(2, '0');
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

/** `2024-05-12` → “Sunday, 12 May”, with the year unless it is this one; “Today”, “Yesterday”. Narrow: “Sun, 12 May”. */
export function dayHeading(day: string, narrow = false): string {
  const now = today();
  if (day === now) return t('date.today');
  const days = Math.round((wall(now).getTime() - wall(day).getTime()) / 86_400_000);
  if (days === 1) return t('date.yesterday');
  const sameYear = day.slice(0, 4) === now.slice(0, 4);
  return format({
    weekday: sameYear && !narrow ? 'long' : 'short',
    day: 'numeric',
    month: sameYear && !narrow ? 'long' : 'short',
    ...(sameYear ? {} : { year: 'numeric' }),
    timeZone: 'UTC'
  }).format(wall(day));
}

/** “May 2024”. */
export function monthName(day: string): string {
  return format({ month: 'short', year: 'numeric', timeZone: 'UTC' }).format(wall(day));
}

/** “12 May 2024”. */
export function dayName(day: string): string {
  return format({ day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' }).format(wall(day.slice(0, 10)));
}

/** “Sunday, 12 May 2024, 18:30”. */
export function takenText(taken: string): string {
  return format({
    weekday: 'long',
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    timeZone: 'UTC'
  }).format(wall(taken));
}

/** A moment in the zone of this browser. */
export function momentText(ms: number): string {
  return format({ dateStyle: 'medium', timeStyle: 'short' }).format(new Date(ms));
}

/** “3 hours ago”. */
export function agoText(ms: number): string {
  const relative = new Intl.RelativeTimeFormat(currentLanguage(), { numeric: 'auto' });
  const seconds = (ms - Date.now()) / 1000;
  const steps: [Intl.RelativeTimeFormatUnit, number][] = [
    ['year', 31_557_600],
    ['month', 2_629_800],
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60]
  ];
  for (const [unit, length] of steps) {
    if (Math.abs(seconds) >= length) return relative.format(Math.round(seconds / length), unit);
  }
  return relative.format(0, 'minute');
}

/** “4.2 MB”: decimal units, as cameras and shops count. */
export function sizeText(bytes: number): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return number({
    style: 'unit',
    unit: units[unit] ?? 'byte',
    unitDisplay: 'short',
    maximumFractionDigits: value < 10 && unit > 0 ? 1 : 0
  }).format(value);
}

/** `83000` → “1:23”. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** Minutes east of UTC → “+02:00”. */
export function offsetText(minutes: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '−' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** “38.72° N, 9.14° W”. */
export function coordinatesText(latitude: number, longitude: number): string {
  const degrees = (value: number) =>
    number({ maximumFractionDigits: 2 }).format(Math.abs(value));
  return [
    t(latitude < 0 ? 'map.south' : 'map.north', { degrees: degrees(latitude) }),
    t(longitude < 0 ? 'map.west' : 'map.east', { degrees: degrees(longitude) })
  ].join(', ');
}

/** `PT` → “Portugal”; empty if the browser does not know it, or there is none. */
export function regionName(code: string): string {
  if (!code) return '';
  const name = names({ type: 'region', fallback: 'none' }).of(code);
  return name ?? '';
}

/** “France, Portugal and Spain”. */
export function listText(parts: readonly string[]): string {
  return lists({ type: 'conjunction' }).format(parts);
}

/** “Lisbon, Portugal”. */
export function townText(town: { name: string; country: string }): string {
  const country = regionName(town.country);
  return country && country !== town.name ? `${town.name}, ${country}` : town.name;
}

/** “1,234”. */
export function countText(value: number): string {
  return number({}).format(value);
}

/** “200 m”, “50 km”. */
export function lengthText(metres: number): string {
  const [value, unit] = metres >= 1000 ? [metres / 1000, 'kilometer'] : [metres, 'meter'];
  return number({ style: 'unit', unit, unitDisplay: 'short' }).format(value);
}
