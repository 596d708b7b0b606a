import { manifestAnswer } from '$lib/pwa/manifest';
import { en } from '$lib/text/en';

export const prerender = true;

export const GET = () => manifestAnswer(en, 'en');
