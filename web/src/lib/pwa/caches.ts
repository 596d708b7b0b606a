/** What pages and the service worker agree on: names, bounds, words. The one fills what the others empty. */

/** Files of the app, one cache for each version. */
export const SHELL = 'photosync-shell-';
/** Thumbnails seen lately by whoever is signed in. */
export const SEEN = 'photosync-seen';
/** Thumbnails that are kept: some 30 MB. */
export const SEEN_COUNT = 2000;

/** Where photos are sent that another app shares. The server takes them there if no service worker does. */
export const SHARE_PATH = '/share-target';
/** Name of the form's part that holds them. */
export const SHARE_FIELD = 'files';

/** Words that pages say to the service worker. */
export type Word =
  /** A newer version that waits: go ahead. */
  | 'take-over'
  /** Which version are you? Answered by the port that comes with it. */
  | 'version'
  /** Somebody signed out: nothing of theirs stays. */
  | 'forget';

const THUMBNAIL = /^\/api\/v2\/library\/assets\/[^/]+\/renditions\/thumb$/;

/** Whether it is a thumbnail: never changes under its address, and is small. Originals are never kept. */
export function isThumbnail(url: URL): boolean {
  return THUMBNAIL.test(url.pathname);
}

const NO_PAGE = ['/api/', '/health', '/.well-known/', '/control/', SHARE_PATH];

/** Whether an address is one of the app's pages: no route of the server's own, and no file. */
export function isPage(url: URL): boolean {
  const last = url.pathname.split('/').at(-1) ?? '';
  return !last.includes('.') && !NO_PAGE.some((start) => url.pathname.startsWith(start));
}
