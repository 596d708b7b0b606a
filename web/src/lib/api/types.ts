/**
 * What the app says and hears beside `wire.ts`, which is made of the server's document: roles as the words they are, and queries.
 * Times ending in `_ms` are Unix milliseconds; other times are wall clocks without a zone (`2024-05-12T18:30:05`).
 */

import type { Kind } from './wire';

export type {
  Album,
  AlbumEdit,
  AlbumName,
  AlbumSort,
  Albums,
  Changed,
  Claims,
  Day,
  Details,
  Device,
  Download,
  DuplicateGroup,
  DuplicateKind as SameKind,
  Duplicates,
  Edit,
  Kind,
  MapPoints,
  MediaState,
  Moving,
  NewDownload,
  PairingOffer,
  Playable,
  Place,
  PlaceName,
  Plays,
  Tile,
  TilePage,
  Timeline
} from './wire';

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
  name: string;
  role: WebSession['role'];
  has_password: boolean;
  quota_bytes?: number;
  held_count: number;
  held_bytes: number;
  free_bytes?: number;
  media_waiting: number;
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
