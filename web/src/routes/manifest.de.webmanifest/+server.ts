import { manifestAnswer } from '$lib/pwa/manifest';
import { de } from '$lib/text/de';

export const prerender = true;

export const GET = () => manifestAnswer(de, 'de');
