/**
 * What the server says and hears, by hand after `protocol/src/v2/{library,web,session}.rs`, where every field is explained.
 * Times ending in `_ms` are Unix milliseconds; other times are wall clocks without a zone (`2024-05-12T18:30:05`).
 */

export interface WebSession {
  csrf: string;
  account_uuid: string;
  email: string;
  role: 'admin' | 'creator' | 'member' | 'viewer';
  device_id: string;
}

export interface WebState {
  name: string;
  version: string;
  needs_setup: boolean;
  needs_setup_code: boolean;
  session?: WebSession;
}

export interface Me {
  account_uuid: string;
  email: string;
  role: WebSession['role'];
  held_count: number;
  held_bytes: number;
  free_bytes?: number;
  media_waiting: number;
}

export interface Day {
  day: string;
  count: number;
  shape: string;
  starts?: string[];
}

export interface Timeline {
  version: number;
  total: number;
  days: Day[];
}

export type Kind = 'photo' | 'video' | 'file';
export type MediaState = 'waiting' | 'done' | 'failed';

export interface Tile {
  id: string;
  kind: Kind;
  taken: string;
  width: number;
  height: number;
  placeholder?: string;
  duration_ms?: number;
  favourite: boolean;
  live: boolean;
  media: MediaState;
  caption?: string;
  trashed_at_ms?: number;
}

export interface TilePage {
  tiles: Tile[];
  next?: string;
}

export interface Place {
  latitude: number;
  longitude: number;
}

export interface AlbumName {
  id: string;
  name: string;
}

export interface Claims {
  folder?: string;
  albums?: string[];
  device_asset_id?: string;
}

export interface Details {
  tile: Tile;
  name: string;
  digest: string;
  size_bytes: number;
  media_type: string;
  arrived_at_ms: number;
  offset_minutes?: number;
  taken_source: string;
  safety: 'known' | 'received' | 'verified' | 'second_copy';
  verified_at_ms?: number;
  archived: boolean;
  rating: number;
  camera?: string;
  lens?: string;
  place?: Place;
  facts: Record<string, string>;
  media_error?: string;
  moving?: Moving;
  albums: AlbumName[];
  claims: Claims;
}

export interface Edit {
  ids: string[];
  favourite?: boolean;
  archived?: boolean;
  rating?: number;
  caption?: string;
  taken?: string;
}

export type AlbumSort = 'position' | 'oldest' | 'newest';

export interface Album {
  id: string;
  name: string;
  description: string;
  count: number;
  cover?: Tile;
  sort: AlbumSort;
  created_at_ms: number;
  updated_at_ms: number;
}

export interface AlbumEdit {
  name?: string;
  description?: string;
  cover?: string;
  sort?: AlbumSort;
}

export interface Download {
  path: string;
  size_bytes: number;
  files: number;
}

export interface NewDownload {
  ids?: string[];
  album?: string;
  everything?: boolean;
}

export interface Device {
  id: string;
  name: string;
  this: boolean;
  created_at_ms: number;
  last_seen_at_ms: number;
  inventory_at_ms?: number;
  overdue: boolean;
  has_upload_token: boolean;
}

export interface PairingOffer {
  code: string;
  qr: string;
  expires_in_s: number;
}

export type View = 'favourites' | 'videos' | 'archive' | 'trash' | 'recent' | 'missing_media';

export interface Search {
  q?: string;
  after_day?: string;
  before_day?: string;
  kind?: Kind;
  favourite?: boolean;
  located?: boolean;
  camera?: string;
}

export interface MapPoints {
  /** Id, latitude and longitude in degrees times 10^7, day since 1970. */
  points: [string, number, number, number][];
  next?: string;
}

export interface Moving {
  id: string;
  name: string;
  media_type: string;
}

export interface DuplicateGroup {
  /** At least two, the one that arrived first first. */
  tiles: Tile[];
}

export interface Duplicates {
  groups: DuplicateGroup[];
  next?: string;
}
