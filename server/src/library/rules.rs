//! Pure decisions of the library: whose claim counts, and where a feed of changes goes on.

use photosync_protocol::calendar::read_wall;
use photosync_protocol::v2::claims::{Captured, Claims, PATH_PREFIX, Pair, PairSource};

use crate::clock::DAY_MS;

/// When a picture was taken, as a device says; the media worker looks for better.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The clock on the wall in milliseconds, as if it had been UTC.
    pub wall_ms: i64,
    /// Minutes east of UTC; `None`: nobody knows.
    pub offset_minutes: Option<i64>,
    /// Column `taken_source`.
    pub source: &'static str,
}

/// A place in a listing that is ordered by a number and then by ids: where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The number.
    pub key: i64,
    /// The asset; empty: before all of this number.
    pub asset_id: String,
}

impl Place {
    /// Before the first of a listing whose numbers fall.
    pub fn newest() -> Self {
        Self { key: i64::MAX, asset_id: String::new() }
    }

    /// Before the first of a listing whose numbers rise.
    pub fn first() -> Self {
        Self { key: i64::MIN, asset_id: String::new() }
    }

    /// Before the newest picture of a day.
    pub fn end_of_day(day: i64) -> Self {
        Self { key: (day + 1) * DAY_MS, asset_id: String::new() }
    }

    /// As a client sends it back.
    pub fn to_text(&self) -> String {
        format!("{}-{}", self.key, self.asset_id)
    }

    /// Reads what [`Place::to_text`] wrote; `None` for anything else.
    pub fn from_text(text: &str) -> Option<Self> {
        let (key, asset_id) = text.rsplit_once('-')?;
        let fits = asset_id.len() <= 64 && asset_id.bytes().all(|b| b.is_ascii_alphanumeric());
        Some(Self { key: key.parse().ok().filter(|_| fits)?, asset_id: asset_id.to_owned() })
    }
}

/// What people look at it as: column `kind` of a media type.
pub fn kind_of(media_type: &str) -> &'static str {
    match media_type.split('/').next() {
        Some("image") => "photo",
        Some("video") => "video",
        _ => "file",
    }
}

/// The capture time that a device tells; `None` if it is none that a calendar has.
pub fn taken_of(captured: &Captured) -> Option<Taken> {
    Some(Taken {
        wall_ms: read_wall(&captured.local)?,
        offset_minutes: captured.offset_minutes.map(i64::from),
        source: captured.source.as_str(),
    })
}

/// What one device says about a photo.
#[derive(Debug, Clone)]
pub struct Said {
    /// Who says so.
    pub device_id: String,
    /// What.
    pub claims: Claims,
}

/// What devices say about one photo, put together for one of them. The first device to say a thing wins, and nothing is
/// invented. A pair that a photo library knows goes before one that was guessed.
///
/// Where it lies is told by one device alone, with all its copies: by `viewer`, if that one said a place, so that a
/// computer gets its own folders back; otherwise by the first that told a path, because a person arranged those folders
/// and a phone's are the camera's. Places of other devices are not copies: they would double the library of everybody
/// who backs up a phone and a computer.
pub fn merge_claims(said: &[Said], viewer: &str) -> Claims {
    let mut merged = Claims::default();
    for Said { claims, .. } in said {
        merged.captured = merged.captured.or_else(|| claims.captured.clone());
        merged.favourite = merged.favourite.or(claims.favourite);
        if merged.albums.is_empty() {
            merged.albums.clone_from(&claims.albums);
        }
        merged.pair = better_pair(merged.pair, claims.pair.as_ref());
    }
    let own = said
        .iter()
        .find(|said| said.device_id == viewer && says_place(&said.claims))
        .or_else(|| said.iter().find(|said| is_path(&said.claims)));
    if let Some(Said { claims, .. }) = own {
        merged.device_asset_id.clone_from(&claims.device_asset_id);
        merged.folder.clone_from(&claims.folder);
        merged.copies.clone_from(&claims.copies);
        merged.modified_ms = claims.modified_ms;
    }
    for Said { claims, .. } in said {
        if own.is_none() {
            if merged.device_asset_id.is_none() && claims.device_asset_id.is_some() {
                merged.device_asset_id.clone_from(&claims.device_asset_id);
                merged.copies.clone_from(&claims.copies);
            }
            merged.folder = merged.folder.or_else(|| claims.folder.clone());
        }
        merged.modified_ms = merged.modified_ms.or(claims.modified_ms);
    }
    merged
}

fn says_place(claims: &Claims) -> bool {
    claims.device_asset_id.is_some() || claims.folder.is_some()
}

fn is_path(claims: &Claims) -> bool {
    claims.device_asset_id.as_deref().is_some_and(|id| id.starts_with(PATH_PREFIX))
}

fn better_pair(known: Option<Pair>, said: Option<&Pair>) -> Option<Pair> {
    let is_known = |pair: &Pair| pair.source == PairSource::Library;
    match (known, said) {
        (Some(known), Some(said)) if !is_known(&known) && is_known(said) => Some(said.clone()),
        (known, said) => known.or_else(|| said.cloned()),
    }
}

/// Where a feed of changes goes on: after the asset `asset_id` that changed in `version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Version of the last change that was told.
    pub version: i64,
    /// Its asset.
    pub asset_id: String,
    /// The version at which the client began with nothing. Up to there only held assets are told: it need not learn
    /// that something is gone which it never had. What changes while it pages has a higher version.
    pub began_at: i64,
}

impl Cursor {
    /// For a client that has nothing, at this version of the library.
    pub fn fresh(version: i64) -> Self {
        Self { version: 0, asset_id: String::new(), began_at: version }
    }

    /// As a client keeps it.
    pub fn to_text(&self) -> String {
        format!("{}.{}.{}", self.version, self.began_at, self.asset_id)
    }

    /// Reads what [`Cursor::to_text`] wrote; `None` for anything else.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let version = parts.next()?.parse().ok()?;
        let began_at = parts.next()?.parse().ok()?;
        let asset_id = parts.next()?.to_owned();
        let fits = asset_id.len() <= 64 && asset_id.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then_some(Self { version, asset_id, began_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use photosync_protocol::v2::claims::PairRole;
    use photosync_protocol::v2::places::Place;

    fn said(device_id: &str, claims: Claims) -> Said {
        Said { device_id: device_id.to_owned(), claims }
    }

    fn at(path: &str, copies: &[&str]) -> Claims {
        let place = |path: &&str| Place {
            device_asset_id: Some((*path).to_owned()),
            folder: path.rsplit_once('/').map(|(folder, _)| folder.to_owned()),
            modified_ms: Some(3),
        };
        let Place { device_asset_id, folder, modified_ms } = place(&path);
        let copies = copies.iter().map(place).collect();
        Claims { device_asset_id, folder, modified_ms, copies, ..Claims::default() }
    }

    fn id_of(claims: &Claims) -> &str {
        claims.device_asset_id.as_deref().unwrap_or_default()
    }

    #[test]
    fn the_first_device_to_say_a_thing_wins_and_others_add_what_it_left_out() {
        let phone = said(
            "phone",
            Claims { favourite: Some(false), folder: Some("DCIM".into()), ..Claims::default() },
        );
        let laptop = said(
            "laptop",
            Claims {
                favourite: Some(true),
                albums: vec!["Summer".into()],
                modified_ms: Some(5),
                ..Claims::default()
            },
        );
        let merged = merge_claims(&[phone.clone(), laptop.clone()], "");
        assert_eq!(merged.favourite, Some(false));
        assert_eq!(merged.folder.as_deref(), Some("DCIM"));
        assert_eq!(merged.albums, ["Summer"]);
        assert_eq!(merged.modified_ms, Some(5));
        assert_eq!(merge_claims(&[laptop, phone], "laptop").favourite, Some(true));
        assert_eq!(merge_claims(&[], "phone"), Claims::default());
    }

    #[test]
    fn a_device_gets_its_own_places_back_and_another_gets_those_of_the_first_that_told_paths() {
        let phone = said("phone", at("A1/L0/001", &[]));
        let attic = said("attic", at("path:old/a.jpg", &["path:old/copy.jpg"]));
        let laptop = said("laptop", at("path:new/a.jpg", &["path:new/b.jpg", "path:new/c.jpg"]));
        let all = [phone.clone(), attic, laptop];
        let seen_by = |viewer| merge_claims(&all, viewer);
        assert_eq!(id_of(&seen_by("laptop")), "path:new/a.jpg");
        assert_eq!(seen_by("laptop").copies.len(), 2);
        assert_eq!(seen_by("laptop").folder.as_deref(), Some("path:new"));
        assert_eq!(id_of(&seen_by("phone")), "A1/L0/001");
        for newcomer in ["", "tablet"] {
            assert_eq!(id_of(&seen_by(newcomer)), "path:old/a.jpg");
            assert_eq!(seen_by(newcomer).copies.len(), 1, "only those of the same device");
        }
        assert_eq!(id_of(&merge_claims(&[phone], "laptop")), "A1/L0/001");
        // A path in the folder that was backed up has no folder, and gets none of another device.
        let root = said("desk", at("path:a.jpg", &[]));
        let camera = said("phone", Claims { folder: Some("DCIM".into()), ..at("A1/L0/001", &[]) });
        let merged = merge_claims(&[camera, root], "");
        assert_eq!((id_of(&merged), merged.folder.as_deref()), ("path:a.jpg", None));
    }

    #[test]
    fn a_pair_that_a_photo_library_knows_goes_before_a_guess() {
        let pair = |id: &str, source| {
            let pair = Pair { id: id.into(), role: PairRole::Still, source };
            Claims { pair: Some(pair), ..Claims::default() }
        };
        let guess = said("desk", pair("guess", PairSource::Name));
        let known = said("phone", pair("known", PairSource::Library));
        let other = said("tablet", pair("other", PairSource::Library));
        let id = |said: &[Said]| merge_claims(said, "").pair.unwrap().id;
        assert_eq!(id(&[guess.clone(), known.clone(), other.clone()]), "known");
        assert_eq!(id(&[other, known, guess.clone()]), "other");
        assert_eq!(id(&[guess]), "guess");
    }

    #[test]
    fn a_cursor_reads_back_and_nonsense_is_none() {
        let cursor = Cursor { version: 7, asset_id: "ab12".into(), began_at: 3 };
        assert_eq!(Cursor::from_text(&cursor.to_text()), Some(cursor));
        let fresh = Cursor::fresh(9);
        assert_eq!(Cursor::from_text(&fresh.to_text()), Some(fresh));
        for text in ["", "1", "1.2", "a.b.c", "1.2.'", "1.2.x.y"] {
            assert_eq!(Cursor::from_text(text), None, "{text}");
        }
    }
    #[test]
    fn a_place_reads_back_also_before_1970_and_nonsense_is_none() {
        for place in [
            super::Place { key: -5, asset_id: "ab12".into() },
            super::Place::newest(),
            super::Place::first(),
        ] {
            assert_eq!(super::Place::from_text(&place.to_text()), Some(place));
        }
        for text in ["", "7", "x-ab", "7-a'b", "2024-05-12T"] {
            assert_eq!(super::Place::from_text(text), None, "{text}");
        }
        assert_eq!(super::Place::end_of_day(0).key, 86_400_000);
    }
}
