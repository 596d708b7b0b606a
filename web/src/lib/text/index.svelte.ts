/**
 * Every text of the app. English is the catalogue that the others are checked against: a key that German lacks does not compile.
 * `npm run lint` fails on text that stands in a component.
 */

import { en } from './en';
import type { Entry } from './entry';

export type Key = keyof typeof en;
export type Catalogue = Record<Key, Entry>;
export type Language = 'en' | 'de';

export const LANGUAGES: readonly { code: Language; name: string }[] = [
  { code: 'en', name: 'English' },
  { code: 'de', name: 'Deutsch' }
];

const MANIFESTS: Record<Language, string> = { en: '/manifest.webmanifest', de: '/manifest.de.webmanifest' };
const STORED = 'photosync-language';

let catalogue = $state.raw<Catalogue>(en);
let language = $state<Language>('en');
let plurals = new Intl.PluralRules('en');

/** Language of the texts, for formats and the document. */
export function currentLanguage(): Language {
  return language;
}

/** The language a person chose here, else the first of the browser's that there is. */
export function wishedLanguage(): Language {
  const codes: readonly string[] = LANGUAGES.map(({ code }) => code);
  const stored = read();
  if (stored && codes.includes(stored)) return stored as Language;
  const found = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((code) => codes.includes(code));
  return (found ?? 'en') as Language;
}

/** Shows everything in another language, and keeps that. */
export async function setLanguage(wished: Language, keep = true): Promise<void> {
  catalogue = wished === 'de' ? (await import('./de')).de : en;
  language = wished;
  plurals = new Intl.PluralRules(wished);
  document.documentElement.lang = wished;
  document.documentElement.dir = 'ltr';
  // What systems show of the installed app is one file for each language.
  document.querySelector('link[rel=manifest]')?.setAttribute('href', MANIFESTS[wished]);
  if (keep) {
    try {
      localStorage.setItem(STORED, wished);
    } catch {
      // Storage is refused: it lasts until the page is closed.
    }
  }
}

function read(): string | null {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null;
  }
}

/** The text of a key. `{name}` is filled in; `n` also chooses singular or plural. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const entry = catalogue[key];
  let text: string;
  if (typeof entry === 'string') text = entry;
  else text = plurals.select(Number(values['n'] ?? 0)) === 'one' ? entry.one : entry.other;
  return text.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    return typeof value === 'number' ? value.toLocaleString(language) : (value ?? '');
  });
}
