/** What a system is told of the app that it installs. One file for each language: a manifest has one. */

import type { Catalogue, Language } from '$lib/text/index.svelte';

import { SHARE_FIELD, SHARE_PATH } from './caches';

/** Endings of raw formats, which some systems know no type for. */
const RAW = ['.heic', '.heif', '.dng', '.arw', '.cr2', '.cr3', '.nef', '.raf', '.orf', '.rw2'];

export function manifestOf(texts: Catalogue, language: Language): object {
  const text = (key: keyof Catalogue) => texts[key] as string;
  const icon = (name: string, side: number, purpose: string) => ({
    src: `/icons/${name}-${side}.png`,
    sizes: `${side}x${side}`,
    type: 'image/png',
    purpose
  });
  return {
    id: '/',
    name: text('app.name'),
    short_name: text('app.name'),
    description: text('app.description'),
    lang: language,
    dir: 'ltr',
    start_url: '/',
    scope: '/',
    display: 'standalone',
    // A manifest has one colour; the pages themselves name one for light and one for dark.
    background_color: '#fcfcfa',
    theme_color: '#fcfcfa',
    categories: ['photo'],
    icons: [
      { src: '/icon.svg', sizes: 'any', type: 'image/svg+xml', purpose: 'any' },
      ...[192, 512].flatMap((side) => [icon('icon', side, 'any'), icon('maskable', side, 'maskable')])
    ],
    shortcuts: [
      { name: text('search.label'), url: '/search' },
      { name: text('nav.albums'), url: '/albums' },
      { name: text('nav.favourites'), url: '/favourites' }
    ],
    share_target: {
      action: SHARE_PATH,
      method: 'POST',
      enctype: 'multipart/form-data',
      params: { files: [{ name: SHARE_FIELD, accept: ['image/*', 'video/*', ...RAW] }] }
    }
  };
}

/** The manifest as a file of the build. */
export function manifestAnswer(texts: Catalogue, language: Language): Response {
  const headers = { 'content-type': 'application/manifest+json' };
  return new Response(JSON.stringify(manifestOf(texts, language)), { headers });
}
