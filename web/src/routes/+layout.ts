import { setLanguage, wishedLanguage } from '$lib/text/index.svelte';

import type { LayoutLoad } from './$types';

// Everything happens in the browser: the server gives files and answers requests.
export const ssr = false;
export const prerender = false;

export const load: LayoutLoad = async () => {
  await setLanguage(wishedLanguage(), false);
};
