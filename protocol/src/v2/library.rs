//! The library as people look at it: the timeline, pages of tiles, details, searches, edits, the trash, albums, downloads.
//!
//! Wall-clock times are text without a zone (`2024-05-12T18:30:05`), because that is all a camera knows; a day is
//! `2024-05-12`. Cursors are opaque.

use serde::{Deserialize, Serialize};

use super::Safety;
use super::claims::Claims;
use super::films::{Moving, Plays};
use crate::digest::Digest;

/// Most tiles in one page.
pub const MAX_TILES: i64 = 500;
/// Most assets that one request changes, adds or removes; also the most that a download names.
pub const MAX_CHOSEN: usize = 10_000;
/// Pictures of one day between two cursors of [`Day::starts`].
pub const SECTION_TILES: usize = 500;
/// Longest caption in characters.
pub const MAX_CAPTION_CHARS: usize = 500;
/// Longest name of an album in characters.
pub const MAX_ALBUM_NAME_CHARS: usize = 256;
/// Longest search text in bytes.
pub const MAX_QUERY_BYTES: usize = 256;

/// Aspect ratio of a byte of [`Day::shape`]: width over height = 2^((byte − 128) / 32), from 1/16 to 15.7 in steps of 2.2 %.
/// Layouts use this value and no other, so that nothing moves when a picture comes.
pub fn ratio_of(byte: u8) -> f64 {
    2f64.powf((f64::from(byte) - 128.0) / 32.0)
}

/// The byte of an aspect ratio; 128, a square, for sizes that nobody knows.
pub fn byte_of(width: u32, height: u32) -> u8 {
    if width == 0 || height == 0 {
        return 128;
    }
    let steps = (f64::from(width) / f64::from(height)).log2() * 32.0 + 128.0;
    steps.round().clamp(0.0, 255.0) as u8
}

/// `GET /api/v2/library/timeline`: every day that has pictures, newest first; with `since`, the days that changed after that
/// version, also those that have none any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Timeline {
    /// Version of the library that this tells; what to send as `since`.
    pub version: i64,
    /// Pictures in all days.
    pub total: i64,
    /// The days.
    pub days: Vec<Day>,
}

/// One day of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Day {
    /// `2024-05-12`.
    pub day: String,
    /// How many pictures.
    pub count: i64,
    /// Base64 of a byte for each picture, newest first: see [`ratio_of`].
    pub shape: String,
    /// Where the 500th, 1,000th … picture begins, for `from` of the tiles: present for days of more than 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<String>,
}

/// What a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A picture that stands still, or moves without sound.
    Photo,
    /// A video.
    Video,
    /// Anything else that a device backed up.
    File,
}

/// How far the media worker got with an original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MediaState {
    /// It has not looked at it yet.
    Waiting,
    /// Renditions and facts are there.
    Done,
    /// It cannot be shown; the original is untouched.
    Failed,
}

/// One picture in a grid: what is needed to draw it before its thumbnail comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tile {
    /// Id of the asset.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// Wall clock when it was taken, `2024-05-12T18:30:05`.
    pub taken: String,
    /// Pixels as shown, upright; 0: unknown.
    pub width: u32,
    /// As `width`.
    pub height: u32,
    /// ThumbHash, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// Length of a video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// Whether a person marked it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub favourite: bool,
    /// It is the still of a Live or Motion Photo.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub live: bool,
    /// Renditions are there, are being made, or cannot be made.
    pub media: MediaState,
    /// What a person wrote below it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub caption: String,
    /// In listings of the trash: when it came there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trashed_at_ms: Option<i64>,
}

/// A page of tiles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TilePage {
    /// The tiles.
    pub tiles: Vec<Tile>,
    /// Where the next page begins; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A place on the earth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Place {
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
}

/// What people call a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlaceName {
    /// Town or village.
    pub name: String,
    /// Its country, by ISO 3166-1: two letters.
    pub country: String,
}

/// An album, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlbumName {
    /// Id of the album.
    pub id: String,
    /// What it is called.
    pub name: String,
}

/// `GET /api/v2/library/assets/{id}/details`: everything the library tells of one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Details {
    /// As in the grid.
    pub tile: Tile,
    /// Listed name.
    pub name: String,
    /// SHA-256 of the original.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: i64,
    /// Its type, from its bytes.
    pub media_type: String,
    /// When the server got it.
    pub arrived_at_ms: i64,
    /// Minutes east of UTC at the place where it was taken; absent: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_minutes: Option<i64>,
    /// Where the time comes from: `exif`, `gps`, `library`, `sidecar`, `container`, `name`, `file_time`,
    /// `unknown` (a device said it, and not how it knows), `arrival`, `person`.
    pub taken_source: String,
    /// How sure the server is of its bytes.
    pub safety: Safety,
    /// When the original was last read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at_ms: Option<i64>,
    /// Whether it is in the archive, out of the timeline.
    pub archived: bool,
    /// 0 to 5 stars.
    pub rating: i64,
    /// Camera, as people say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// Lens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lens: Option<String>,
    /// Where it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What people call that place; absent: it is far from every town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place_name: Option<PlaceName>,
    /// Other facts by name, as text for people: `aperture`, `exposure`, `iso`, `focal_length`, `codec` …
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub facts: std::collections::BTreeMap<String, String>,
    /// Why it cannot be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_error: Option<String>,
    /// The moving half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Moving>,
    /// Which browsers play a video as it is; absent: it is none, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plays: Option<Plays>,
    /// Its codecs as RFC 6381 writes them, to ask a browser by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codecs: Option<String>,
    /// A picture that moves: the original shows how.
    #[serde(default)]
    pub animated: bool,
    /// Albums it is in.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub albums: Vec<AlbumName>,
    /// What devices said of it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub claims: Claims,
}

/// Assets that a person chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Chosen {
    /// Their ids.
    pub ids: Vec<String>,
}

/// How many of the chosen ones changed. Those that are not there (any more) are not counted, and are no error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Changed {
    /// How many.
    pub changed: usize,
}

/// `PATCH /api/v2/library/assets`: what a person says of pictures. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Edit {
    /// Which ones.
    pub ids: Vec<String>,
    /// Marks them, or takes the mark away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub favourite: Option<bool>,
    /// Takes them out of the timeline, or back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// 0 to 5 stars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<i64>,
    /// At most 500 characters; empty takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Wall clock, `2024-05-12T18:30:05`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<String>,
}

/// What order an album has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlbumSort {
    /// As a person put it.
    Position,
    /// Oldest picture first.
    Oldest,
    /// Newest picture first.
    Newest,
}

/// An album.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Album {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What it is about.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub description: String,
    /// Pictures that are held.
    pub count: i64,
    /// The one that stands for it; absent for an empty album.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cover: Option<Tile>,
    /// Its order.
    pub sort: AlbumSort,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it was last changed.
    pub updated_at_ms: i64,
}

/// `GET /api/v2/albums`: last changed first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Albums {
    /// The albums.
    pub albums: Vec<Album>,
}

/// `POST /api/v2/albums`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewAlbum {
    /// 1 to 256 characters.
    pub name: String,
    /// Pictures that are in it from the start, in this order.
    #[serde(default)]
    pub ids: Vec<String>,
}

/// `PATCH /api/v2/albums/{id}`. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct AlbumEdit {
    /// 1 to 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A picture of the album.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cover: Option<String>,
    /// Its order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<AlbumSort>,
}

/// `POST /api/v2/albums/{id}/order`: pictures of the album that are put before another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reorder {
    /// Which ones, in this order.
    pub ids: Vec<String>,
    /// Before which one; absent: at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// `POST /api/v2/library/downloads`: an archive that is made while it is sent. One of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct NewDownload {
    /// These originals, with the moving halves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// All of this album.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub album: Option<String>,
    /// Everything that is held.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
}

/// Where to get it, with `GET`, for an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Download {
    /// Path on this server.
    pub path: String,
    /// Exact length of the archive.
    pub size_bytes: u64,
    /// Originals in it.
    pub files: u64,
}

/// `GET /api/v2/library/map`: where pictures were taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MapPoints {
    /// For each picture: id, latitude and longitude in degrees times 10^7, and the day it was taken, counted from 1970-01-01.
    pub points: Vec<(String, i64, i64, i64)>,
    /// What to send as `after` for the next page; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why pictures stand in one group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DuplicateKind {
    /// The same picture, other metadata.
    #[default]
    Same,
    /// They look alike.
    Similar,
}

/// `GET /api/v2/library/duplicates`: held pictures that are the same but for their metadata, or that look alike. Suggestions:
/// nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Duplicates {
    /// The groups.
    pub groups: Vec<DuplicateGroup>,
    /// What to send as `after` for the next page; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Originals of one picture, or of pictures that look alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DuplicateGroup {
    /// What they have in common.
    #[serde(default)]
    pub kind: DuplicateKind,
    /// At least two, at most 50; of the same picture the one that arrived first first.
    pub tiles: Vec<Tile>,
}

/// `POST /api/v2/library/duplicates/different`: a person says that no two of these are to be suggested together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Different {
    /// 2 to 50 pictures.
    pub ids: Vec<String>,
    /// False takes it back.
    #[serde(default = "yes")]
    pub different: bool,
}

/// Most pictures of a group of duplicates.
pub const MAX_GROUP_TILES: usize = 50;

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_says_the_ratio_to_little_more_than_a_hundredth() {
        for (width, height) in
            [(4000, 3000), (3000, 4000), (1, 1), (16, 9), (9, 21), (12_000, 1000)]
        {
            let (said, true_ratio) =
                (ratio_of(byte_of(width, height)), f64::from(width) / f64::from(height));
            assert!((said / true_ratio - 1.0).abs() < 0.0111, "{width} x {height}: {said}");
        }
    }

    #[test]
    fn sizes_that_nobody_knows_are_square_and_extreme_ones_stay_in_range() {
        assert!((ratio_of(byte_of(0, 10)) - 1.0).abs() < f64::EPSILON);
        assert_eq!((byte_of(1, 100_000), byte_of(u32::MAX, 1)), (0, 255));
    }
}
