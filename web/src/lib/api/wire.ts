/** Made by scripts/make-types.mjs from docs/openapi.json: not to be changed by hand. */

/** An album. */
export interface Album {
  /** Pictures that are held. */
  count: number;
  /** The one that stands for it; absent for an empty album. */
  cover?: Tile;
  /** When it was made. */
  created_at_ms: number;
  /** What it is about. */
  description: string;
  /** Its id. */
  id: string;
  /** What it is called. */
  name: string;
  /** Its order. */
  sort: AlbumSort;
  /** When it was last changed. */
  updated_at_ms: number;
}

/** `PATCH /api/v2/albums/{id}`. What is absent stays. */
export interface AlbumEdit {
  /** A picture of the album. */
  cover?: string;
  /** What it is about. */
  description?: string;
  /** 1 to 256 characters. */
  name?: string;
  /** Its order. */
  sort?: AlbumSort;
}

/** An album, by name. */
export interface AlbumName {
  /** Id of the album. */
  id: string;
  /** What it is called. */
  name: string;
}

/** What order an album has. */
export type AlbumSort = 'position' | 'oldest' | 'newest';

/** `GET /api/v2/albums`: last changed first. */
export interface Albums {
  /** The albums. */
  albums: Album[];
}

/** Where a capture time comes from, most trustworthy first. */
export type CaptureSource = 'library' | 'sidecar' | 'unknown' | 'file_time';

/** A capture time as a camera knows it: the wall clock, and the offset only if something said so. */
export interface Captured {
  /** `YYYY-MM-DDTHH:MM:SS`, with up to nine digits of a second, of the clock on the wall. */
  local: string;
  /** Minutes east of UTC; absent if nobody knows. */
  offset_minutes?: number;
  /** Who says so. */
  source: CaptureSource;
}

/** How many of the chosen ones changed. Those that are not there (any more) are not counted, and are no error. */
export interface Changed {
  /** How many. */
  changed: number;
}

/** Everything a device may say about one file. Absent means "not said". */
export interface Claims {
  /** Albums it was in. */
  albums?: string[];
  /** When it was taken. */
  captured?: Captured;
  /** Other places of the same bytes on the same device. Not sent with the bytes; see [`super::places`]. */
  copies?: DevicePlace[];
  /** The device's own name of the photo, as the phone's photo library gives it. */
  device_asset_id?: string;
  /** Whether it was a favourite. */
  favourite?: boolean;
  /** Folder it lay in, relative to what was backed up, with `/` between parts. */
  folder?: string;
  /** Last change of the file on the device, Unix milliseconds: what a restore sets again. */
  modified_ms?: number;
  /** The other half of a Live or Motion Photo. */
  pair?: Pair;
}

/** One day of the timeline. */
export interface Day {
  /** How many pictures. */
  count: number;
  /** `2024-05-12`. */
  day: string;
  /** Base64 of a byte for each picture, newest first: see [`ratio_of`]. */
  shape: string;
  /** Where the 500th, 1,000th … picture begins, for `from` of the tiles: present for days of more than 500. */
  starts?: string[];
}

/** `GET /api/v2/library/assets/{id}/details`: everything the library tells of one picture. */
export interface Details {
  /** Albums it is in. */
  albums: AlbumName[];
  /** A picture that moves: the original shows how. */
  animated?: boolean;
  /** Whether it is in the archive, out of the timeline. */
  archived: boolean;
  /** When the server got it. */
  arrived_at_ms: number;
  /** Camera, as people say it. */
  camera?: string;
  /** What devices said of it. */
  claims: Claims;
  /** Its codecs as RFC 6381 writes them, to ask a browser by. */
  codecs?: string;
  /** SHA-256 of the original. */
  digest: Digest;
  /** Other facts by name, as text for people: `aperture`, `exposure`, `iso`, `focal_length`, `codec` … */
  facts: Record<string, string>;
  /** Lens. */
  lens?: string;
  /** Why it cannot be shown. */
  media_error?: string;
  /** Its type, from its bytes. */
  media_type: string;
  /** The moving half. */
  moving?: Moving;
  /** Listed name. */
  name: string;
  /** Minutes east of UTC at the place where it was taken; absent: nobody knows. */
  offset_minutes?: number;
  /** Where it was taken. */
  place?: Place;
  /** What people call that place; absent: it is far from every town. */
  place_name?: PlaceName;
  /** Which browsers play a video as it is; absent: it is none, or nobody knows. */
  plays?: Plays;
  /** 0 to 5 stars. */
  rating: number;
  /** How sure the server is of its bytes. */
  safety: Safety;
  /** Its length. */
  size_bytes: number;
  /** Where the time comes from: `exif`, `gps`, `library`, `sidecar`, `container`, `name`, `file_time`, */
  taken_source: string;
  /** As in the grid. */
  tile: Tile;
  /** When the original was last read back. */
  verified_at_ms?: number;
}

/** A device of the account. */
export interface Device {
  /** When it first signed in. */
  created_at_ms: number;
  /** Whether it has a live upload-only token. */
  has_upload_token: boolean;
  /** Its id. */
  id: string;
  /** When it last found that everything it has is settled here; absent if never. */
  inventory_at_ms?: number;
  /** Whether it is a browser: those back nothing up by themselves. */
  is_browser?: boolean;
  /** When it last asked for anything (exact to 15 minutes). */
  last_seen_at_ms: number;
  /** What a person calls it. */
  name: string;
  /** Whether that is too long ago (setting `sync.overdue_days`): shown in red. */
  overdue: boolean;
  /** Whether it is the one that asks. */
  this: boolean;
}

/** One place of a photo on a device. */
export interface DevicePlace {
  /** As [`Claims::device_asset_id`]. */
  device_asset_id?: string;
  /** As [`Claims::folder`]. */
  folder?: string;
  /** As [`Claims::modified_ms`]. */
  modified_ms?: number;
}

/** SHA-256 of whole bytes. */
export type Digest = string;

/** Where to get it, with `GET`, for an hour. */
export interface Download {
  /** Originals in it. */
  files: number;
  /** Path on this server. */
  path: string;
  /** Exact length of the archive. */
  size_bytes: number;
}

/** Originals of one picture, or of pictures that look alike. */
export interface DuplicateGroup {
  /** What they have in common. */
  kind?: DuplicateKind;
  /** At least two, at most 50; of the same picture the one that arrived first first. */
  tiles: Tile[];
}

/** Why pictures stand in one group. */
export type DuplicateKind = 'same' | 'similar';

/** `GET /api/v2/library/duplicates`: held pictures that are the same but for their metadata, or that look alike. Suggestions: */
export interface Duplicates {
  /** The groups. */
  groups: DuplicateGroup[];
  /** What to send as `after` for the next page; absent after the last. */
  next?: string;
}

/** `PATCH /api/v2/library/assets`: what a person says of pictures. What is absent stays. */
export interface Edit {
  /** Takes them out of the timeline, or back. */
  archived?: boolean;
  /** At most 500 characters; empty takes it away. */
  caption?: string;
  /** Marks them, or takes the mark away. */
  favourite?: boolean;
  /** Which ones. */
  ids?: string[];
  /** 0 to 5 stars. */
  rating?: number;
  /** Wall clock, `2024-05-12T18:30:05`. */
  taken?: string;
}

/** What a picture is. */
export type Kind = 'photo' | 'video' | 'file';

/** `GET /api/v2/library/map`: where pictures were taken. */
export interface MapPoints {
  /** What to send as `after` for the next page; absent after the last. */
  next?: string;
  /** For each picture: id, latitude and longitude in degrees times 10^7, and the day it was taken, counted from 1970-01-01. */
  points: [string, number, number, number][];
}

/** How far the media worker got with an original. */
export type MediaState = 'waiting' | 'done' | 'failed';

/** The moving half of a Live or Motion Photo. */
export interface Moving {
  /** Id of its asset. */
  id: string;
  /** Media type of its bytes. */
  media_type: string;
  /** Listed name. */
  name: string;
  /** Path of its bytes on this server: an original of its own, or a part of the still's. */
  path?: string;
  /** Which browsers play it; absent: nobody knows. */
  plays?: Plays;
}

/** `POST /api/v2/library/downloads`: an archive that is made while it is sent. One of the three. */
export interface NewDownload {
  /** All of this album. */
  album?: string;
  /** Everything that is held. */
  everything?: boolean;
  /** These originals, with the moving halves. */
  ids?: string[];
}

/** Says that two files are one picture. */
export interface Pair {
  /** The same for both halves, unique on the device. */
  id: string;
  /** Which half this is. */
  role: PairRole;
  /** How the device knows; absent: its photo library says so. */
  source?: PairSource;
}

/** Half of a Live or Motion Photo. */
export type PairRole = 'still' | 'motion';

/** How a device knows that two files are one picture. */
export type PairSource = 'library' | 'name';

/** `POST /api/v2/pairing` (a signed-in device) or `photosync-server pair EMAIL`. */
export interface PairingOffer {
  /** 8 characters of [`PAIRING_ALPHABET`], for typing. */
  code: string;
  /** Seconds until both end. */
  expires_in_s: number;
  /** For a QR code: the JSON text of a [`QrPayload`]. */
  qr: string;
}

/** A place on the earth. */
export interface Place {
  /** Degrees, north positive. */
  latitude: number;
  /** Degrees, east positive. */
  longitude: number;
}

/** What people call a place. */
export interface PlaceName {
  /** Its country, by ISO 3166-1: two letters. */
  country: string;
  /** Town or village. */
  name: string;
}

/** `GET` and `POST /api/v2/library/assets/{id}/playable`. */
export interface Playable {
  /** Class of the failure. */
  error?: string;
  /** While it is made: how much of the film, 0 to 1; absent: nobody knows. */
  progress?: number;
  /** How far it is. */
  state: PlayableState;
}

/** What there is of a film in a version that every browser plays. */
export type PlayableState = 'none' | 'waiting' | 'making' | 'ready' | 'failed' | 'off';

/** Which browsers play a film as it is. */
export type Plays = 'everywhere' | 'some' | 'nowhere';

/** How sure a server is of a file. The one vocabulary of the API, the tray and the web. */
export type Safety = 'known' | 'received' | 'verified' | 'second_copy';

/** One picture in a grid: what is needed to draw it before its thumbnail comes. */
export interface Tile {
  /** What a person wrote below it. */
  caption?: string;
  /** Length of a video. */
  duration_ms?: number;
  /** Whether a person marked it. */
  favourite: boolean;
  /** As `width`. */
  height: number;
  /** Id of the asset. */
  id: string;
  /** What it is. */
  kind: Kind;
  /** It is the still of a Live or Motion Photo. */
  live: boolean;
  /** Renditions are there, are being made, or cannot be made. */
  media: MediaState;
  /** ThumbHash, base64. */
  placeholder?: string;
  /** Wall clock when it was taken, `2024-05-12T18:30:05`. */
  taken: string;
  /** In listings of the trash: when it came there. */
  trashed_at_ms?: number;
  /** Pixels as shown, upright; 0: unknown. */
  width: number;
}

/** A page of tiles. */
export interface TilePage {
  /** Where the next page begins; absent after the last. */
  next?: string;
  /** The tiles. */
  tiles: Tile[];
}

/** `GET /api/v2/library/timeline`: every day that has pictures, newest first; with `since`, the days that changed after that */
export interface Timeline {
  /** The days. */
  days: Day[];
  /** Pictures in all days. */
  total: number;
  /** Version of the library that this tells; what to send as `since`. */
  version: number;
}
