/** Every request of the app by its name. Pages and stores call these; nothing else knows a path of the server. */

import { call, send } from './client';
import type {
  Album,
  AlbumEdit,
  Details,
  Device,
  Download,
  Duplicates,
  Edit,
  MapPoints,
  Me,
  NewDownload,
  PairingOffer,
  Search,
  TilePage,
  Timeline,
  View,
  WebSession,
  WebState,
  Playable,
  SameKind
} from './types';

export { ApiError, onSignedOut, setCsrf } from './client';
export { admin, own, LEAST_PASSWORD, ROLES } from './admin';
export type * from './admin';
export type * from './types';

/** Most ids in one request that changes, adds or removes (`MAX_CHOSEN` of the protocol). */
export const MAX_CHOSEN = 10_000;
/** Most tiles in one page (`MAX_TILES`). */
export const MAX_TILES = 500;

const at = encodeURIComponent;

export const web = {
  state: () => call<WebState>('GET', '/api/v2/web'),
  setup: (code: string, email: string, password: string) =>
    call<WebSession>('POST', '/api/v2/web/setup', { json: { code, email, password } }),
  signIn: (email: string, password: string) =>
    call<WebSession>('POST', '/api/v2/web/session', { json: { email, password } }),
  signOut: () => call<undefined>('DELETE', '/api/v2/web/session'),
  link: (token: string) => call<WebSession>('POST', '/api/v2/web/link', { json: { token } }),
  me: () => call<Me>('GET', '/api/v2/me')
};

export const library = {
  timeline: (since?: number) => call<Timeline>('GET', '/api/v2/library/timeline', { query: { since } }),
  timelineTiles: (from: string, limit: number) =>
    call<TilePage>('GET', '/api/v2/library/timeline/tiles', { query: { from, limit } }),
  view: (view: View, after: string | undefined, limit: number) =>
    call<TilePage>('GET', '/api/v2/library/tiles', { query: { view, after, limit } }),
  search: (search: Search, after: string | undefined, limit: number) =>
    call<TilePage>('GET', '/api/v2/library/search', { query: { ...search, after, limit } }),
  tilesOf: (ids: readonly string[]) => call<TilePage>('POST', '/api/v2/library/tiles', { json: { ids } }),
  map: (after?: string) => call<MapPoints>('GET', '/api/v2/library/map', { query: { after } }),
  duplicates: (kind: SameKind, after?: string) =>
    call<Duplicates>('GET', '/api/v2/library/duplicates', { query: { kind, after } }),
  /** No two of these are suggested together again; or they are, after all. */
  differ: (ids: readonly string[], different: boolean) =>
    call<undefined>('POST', '/api/v2/library/duplicates/different', { json: { ids, different } }),
  /** A version of a film that every browser plays: how far it is; `wanted` has it made. */
  playable: (id: string, wanted: boolean, signal?: AbortSignal) =>
    call<Playable>(wanted ? 'POST' : 'GET', `/api/v2/library/assets/${at(id)}/playable`, { signal }),
  details: (id: string, signal?: AbortSignal) =>
    call<Details>('GET', `/api/v2/library/assets/${at(id)}/details`, { signal }),
  edit: (edit: Edit) => call<{ changed: number }>('PATCH', '/api/v2/library/assets', { json: edit }),
  trash: (ids: string[]) => call<{ changed: number }>('POST', '/api/v2/library/trash', { json: { ids } }),
  restore: (ids: string[]) => call<{ changed: number }>('POST', '/api/v2/library/restore', { json: { ids } }),
  emptyTrash: () => call<{ changed: number }>('POST', '/api/v2/library/trash/empty', { json: {} }),
  download: (what: NewDownload) => call<Download>('POST', '/api/v2/library/downloads', { json: what }),
  /** One byte per 32-byte digest: 0 held, 1 missing, 2 deleted by a person, 3 wanted, 4 a part is here. */
  missing: async (digests: Uint8Array<ArrayBuffer>) =>
    new Uint8Array(await (await send('POST', '/api/v2/library/missing', { bytes: digests })).arrayBuffer())
};

export const albums = {
  list: async () => (await call<{ albums: Album[] }>('GET', '/api/v2/albums')).albums,
  create: (name: string, ids: string[] = []) => call<Album>('POST', '/api/v2/albums', { json: { name, ids } }),
  get: (id: string) => call<Album>('GET', `/api/v2/albums/${at(id)}`),
  edit: (id: string, edit: AlbumEdit) => call<Album>('PATCH', `/api/v2/albums/${at(id)}`, { json: edit }),
  remove: (id: string) => call<undefined>('DELETE', `/api/v2/albums/${at(id)}`),
  tiles: (id: string, after: string | undefined, limit: number) =>
    call<TilePage>('GET', `/api/v2/albums/${at(id)}/tiles`, { query: { after, limit } }),
  add: (id: string, ids: string[]) =>
    call<{ changed: number }>('POST', `/api/v2/albums/${at(id)}/assets`, { json: { ids } }),
  takeOut: (id: string, ids: string[]) =>
    call<{ changed: number }>('POST', `/api/v2/albums/${at(id)}/remove`, { json: { ids } }),
  order: (id: string, ids: string[], before?: string) =>
    call<undefined>('POST', `/api/v2/albums/${at(id)}/order`, { json: { ids, before } })
};

export const devices = {
  list: async () => (await call<{ devices: Device[] }>('GET', '/api/v2/devices')).devices,
  revoke: (id: string) => call<undefined>('DELETE', `/api/v2/devices/${at(id)}`),
  pair: () => call<PairingOffer>('POST', '/api/v2/pairing', { json: {} })
};

/** Where pictures lie, for `src` and `href`. */
export const address = {
  /** The recipe's number is part of the address: it may be cached for ever, and changes when renditions are made differently. */
  rendition: (id: string, recipe: 'thumb' | 'screen') => `/api/v2/library/assets/${at(id)}/renditions/${recipe}?v=1`,
  /** H.264 and AAC, once {@link library.playable} says that it is ready. */
  playable: (id: string) => `/api/v2/library/assets/${at(id)}/renditions/playable`,
  original: (id: string) => `/api/v2/library/assets/${at(id)}/original`,
  events: '/api/v2/library/events',
  uploads: '/api/v2/tus'
};
