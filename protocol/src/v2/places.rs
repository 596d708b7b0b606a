//! Places: where on a device the same bytes lie.
//!
//! A device may have one photo under several paths. What it says first is its claims; every other place it tells is
//! added to [`Claims::copies`], so that a restore brings each path back. Telling only ever adds: nothing that was said
//! is changed or taken away by it, whoever holds the token. A file that was moved is a request of its own ([`Move`]), which
//! an upload-only token does not open and which never takes the last place away.

use serde::{Deserialize, Serialize};

use super::claims::{BadClaim, Claims, MAX_CLAIM_BYTES};
use crate::digest::Digest;

/// Most other places of one photo that a device can tell.
pub const MAX_COPIES: usize = 1000;
/// Most bytes these places may take together, as [`Claims::copies_bytes`] counts them: 256 KiB.
pub const MAX_COPIES_BYTES: usize = 256 * 1024;
/// Most entries of one request of `claims`.
pub const MAX_TOLD: usize = 1000;
/// Longest body of such a request: 8 MiB. [`MAX_TOLD`] entries of one place each fit, however long their texts are.
pub const MAX_TOLD_BYTES: usize = 8 * 1024 * 1024;

/// What each place is taken to need beside its texts.
const PLACE_BYTES: usize = 64;

/// One place of a photo on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DevicePlace))]
#[serde(default)]
pub struct Place {
    /// As [`Claims::device_asset_id`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_asset_id: Option<String>,
    /// As [`Claims::folder`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// As [`Claims::modified_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_ms: Option<i64>,
}

/// `POST /api/v2/library/claims`: what a device says about files that the server holds already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TellRequest {
    /// At most [`MAX_TOLD`]. The same digest may be there for several places.
    pub claims: Vec<DigestClaims>,
}

/// What a device says about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DigestClaims {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// What it says.
    pub claims: Claims,
}

/// Answer of `POST /api/v2/library/claims`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TellAnswer {
    /// What became of each entry, in the same order.
    pub told: Vec<Told>,
}

/// `POST /api/v2/library/moves`: files that this device moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MovesRequest {
    /// At most [`MAX_TOLD`].
    pub moves: Vec<Move>,
}

/// A file that lies in another place by now. Both places were told as claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Move {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// `device_asset_id` of the place that it left.
    pub from: String,
    /// `device_asset_id` of the place where it is. If this was never told, nothing happens.
    pub to: String,
}

/// What became of something that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It is kept.
    Known,
    /// There is no such file in this library; nothing is kept.
    Unknown,
    /// This device told so many places of these bytes that no more are kept.
    Full,
}

impl Place {
    /// Whether both may be one place: the device's own name decides; where one does not say it, the folder does.
    fn is_as(&self, other: &Self) -> bool {
        let agree = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
        if self.device_asset_id.is_some() && other.device_asset_id.is_some() {
            return self.device_asset_id == other.device_asset_id;
        }
        agree(&self.folder, &other.folder)
    }

    fn add(&mut self, said: Self) {
        // A path that is told says its folder, too: none is the folder that was backed up.
        if self.device_asset_id.is_none() {
            self.device_asset_id = said.device_asset_id;
            self.folder = self.folder.take().or(said.folder);
        }
        self.modified_ms = self.modified_ms.or(said.modified_ms);
    }

    fn size_bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        PLACE_BYTES + length(&self.device_asset_id) + length(&self.folder)
    }

    fn checked(self) -> Result<Self, BadClaim> {
        let Self { device_asset_id, folder, modified_ms } = self;
        let alone = Claims { device_asset_id, folder, modified_ms, ..Claims::default() };
        Ok(alone.checked()?.place())
    }
}

impl Claims {
    /// The place that was said first.
    pub fn place(&self) -> Place {
        Place {
            device_asset_id: self.device_asset_id.clone(),
            folder: self.folder.clone(),
            modified_ms: self.modified_ms,
        }
    }

    /// Every place, the one that was said first first.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        std::iter::once(self.place()).chain(self.copies.iter().cloned())
    }

    /// What the copies take, nearly.
    pub fn copies_bytes(&self) -> usize {
        self.copies.iter().map(Place::size_bytes).sum()
    }

    /// Adds what the same device says later: what it left out, and other places. What it said before stays as it is.
    /// False if there are too many places and one is not kept.
    #[must_use]
    pub fn add(&mut self, said: Self) -> bool {
        let mut is_kept = true;
        for place in said.places() {
            is_kept &= self.add_place(place);
        }
        self.captured = self.captured.take().or(said.captured);
        self.favourite = self.favourite.or(said.favourite);
        if self.albums.is_empty() {
            self.albums = said.albums;
        }
        self.pair = self.pair.take().or(said.pair);
        is_kept
    }

    /// Takes away the place that a file left, if the one to which it went is known.
    pub fn leave(&mut self, from: &str, to: &str) {
        let is_at = |place: &Place, id: &str| place.device_asset_id.as_deref() == Some(id);
        if from == to || !self.places().any(|place| is_at(&place, to)) {
            return;
        }
        self.copies.retain(|copy| !is_at(copy, from));
        if is_at(&self.place(), from)
            && let Some(at) = self.copies.iter().position(|copy| is_at(copy, to))
        {
            let first = self.copies.remove(at);
            (self.device_asset_id, self.folder) = (first.device_asset_id, first.folder);
            self.modified_ms = first.modified_ms;
        }
    }

    fn add_place(&mut self, said: Place) -> bool {
        let mut first = self.place();
        if first.is_as(&said) {
            first.add(said);
            (self.device_asset_id, self.folder) = (first.device_asset_id, first.folder);
            self.modified_ms = first.modified_ms;
            return true;
        }
        if let Some(known) = self.copies.iter_mut().find(|known| known.is_as(&said)) {
            known.add(said);
            return true;
        }
        let has_room = self.copies.len() < MAX_COPIES
            && self.copies_bytes() + said.size_bytes() <= MAX_COPIES_BYTES;
        if has_room {
            self.copies.push(said);
        }
        has_room
    }

    /// The same, if it could have been sent as texts: for claims that come as JSON.
    pub fn checked(self) -> Result<Self, BadClaim> {
        let pairs = self.to_pairs();
        let find = |key: &str| pairs.iter().find(|(name, _)| *name == key).map(|(_, v)| v.clone());
        let read = Self::read(find)?;
        if self.copies.len() > MAX_COPIES {
            return Err(BadClaim { key: "copies", wanted: "at most 1,000 places" });
        }
        let copies: Result<Vec<Place>, BadClaim> =
            self.copies.into_iter().map(Place::checked).collect();
        Ok(Self { copies: copies?, ..read })
    }
}

/// Whether a text can be said as a claim.
pub fn can_be_said(text: &str) -> bool {
    text.len() <= MAX_CLAIM_BYTES && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::claims::{CaptureSource, Captured, PATH_PREFIX};
    use proptest::prelude::*;

    fn at(path: &str) -> Claims {
        Claims {
            device_asset_id: Some(format!("{PATH_PREFIX}{path}")),
            folder: path.rsplit_once('/').map(|(folder, _)| folder.to_owned()),
            modified_ms: Some(5),
            ..Claims::default()
        }
    }

    fn ids(claims: &Claims) -> Vec<String> {
        claims.places().filter_map(|place| place.device_asset_id).collect()
    }

    #[test]
    fn another_place_is_added_and_the_same_place_is_not() {
        let mut claims = at("a/x.jpg");
        for path in ["b/x.jpg", "a/x.jpg", "x.jpg", "b/x.jpg", "🏖/x.jpg"] {
            assert!(claims.add(at(path)), "{path}");
        }
        assert_eq!(ids(&claims), ["path:a/x.jpg", "path:b/x.jpg", "path:x.jpg", "path:🏖/x.jpg"]);
        assert_eq!(claims.folder.as_deref(), Some("a"));
        assert_eq!(claims.copies[1].folder, None, "the folder that was backed up");
    }

    #[test]
    fn what_was_said_is_never_changed_and_what_was_left_out_is_filled_in() {
        let mut claims = Claims { favourite: Some(true), ..at("a/x.jpg") };
        let captured = Captured::read("2024-07-01T18:03:05", CaptureSource::Sidecar).ok();
        let said = Claims {
            favourite: Some(false),
            albums: vec!["Summer".into()],
            captured: captured.clone(),
            modified_ms: Some(9),
            ..at("a/x.jpg")
        };
        assert!(claims.add(said));
        assert_eq!((claims.favourite, claims.modified_ms), (Some(true), Some(5)));
        assert_eq!((claims.albums.len(), &claims.captured), (1, &captured));
        assert!(claims.copies.is_empty());
        // A device that said no place yet says one.
        let mut silent = Claims { favourite: Some(true), ..Claims::default() };
        assert!(silent.add(at("a/x.jpg")));
        assert_eq!((ids(&silent).len(), silent.copies.len()), (1, 0));
        // Without a name of its own a folder is the place.
        let folder = |name: &str| Claims { folder: Some(name.into()), ..Claims::default() };
        let mut claims = folder("a");
        assert!(claims.add(folder("b")) && claims.add(folder("a")) && claims.add(at("a/x.jpg")));
        assert_eq!(ids(&claims), ["path:a/x.jpg"]);
        assert_eq!(claims.copies.len(), 1);
    }

    #[test]
    fn a_thousand_copies_are_kept_and_the_next_is_refused_by_name() {
        let mut claims = at("x.jpg");
        for number in 0..MAX_COPIES {
            assert!(claims.add(at(&format!("{number}/x.jpg"))));
        }
        let before = claims.clone();
        assert!(!claims.add(at("one too many/x.jpg")));
        assert!(claims.add(at("7/x.jpg")), "one that is known is kept");
        assert_eq!(claims, before);
        let long = "d".repeat(900);
        let mut claims = at("x.jpg");
        while claims.add(at(&format!("{}/{long}/x.jpg", claims.copies.len()))) {}
        assert!(claims.copies_bytes() <= MAX_COPIES_BYTES && claims.copies.len() > 100);
    }

    #[test]
    fn a_place_that_a_file_left_goes_only_if_the_one_it_went_to_is_known() {
        let all = |paths: &[&str]| {
            let mut claims = Claims::default();
            assert!(paths.iter().all(|path| claims.add(at(path))));
            claims
        };
        let left = |mut claims: Claims, from: &str, to: &str| {
            claims.leave(&format!("path:{from}"), &format!("path:{to}"));
            claims
        };
        let three = || all(&["a/x", "b/x", "x"]);
        assert_eq!(left(three(), "b/x", "x"), all(&["a/x", "x"]));
        assert_eq!(left(three(), "a/x", "x"), all(&["x", "b/x"]), "with its folder");
        assert_eq!(left(three(), "a/x", "a/x"), three());
        assert_eq!(left(three(), "a/x", "elsewhere"), three());
        assert_eq!(left(three(), "elsewhere", "x"), three());
        assert_eq!(left(all(&["x"]), "x", "elsewhere"), all(&["x"]));
        let favourite = Claims { favourite: Some(true), ..three() };
        assert_eq!(left(favourite, "a/x", "x").favourite, Some(true));
    }

    #[test]
    fn json_that_no_text_could_say_is_refused() {
        let copies = vec![Place { folder: Some("a\nb".into()), ..Place::default() }];
        assert_eq!(Claims { copies, ..at("x.jpg") }.checked().unwrap_err().key, "folder");
        assert!(at(&"x".repeat(2000)).checked().is_err());
        let copies = vec![Place::default(); MAX_COPIES + 1];
        assert_eq!(Claims { copies, ..at("x.jpg") }.checked().unwrap_err().key, "copies");
        let mut fine = at("a/x.jpg");
        assert!(fine.add(at("b/x.jpg")));
        assert_eq!(fine.clone().checked(), Ok(fine));
    }

    proptest! {
        #[test]
        fn telling_twice_or_in_another_order_tells_the_same_places(
            paths in proptest::collection::vec("[ab]/[xyz]", 1..12),
        ) {
            let told = |paths: &[String]| {
                let mut claims = Claims::default();
                for path in paths {
                    prop_assert!(claims.add(at(path)));
                }
                let mut ids = ids(&claims);
                ids.sort();
                Ok(ids)
            };
            let mut twice = paths.clone();
            twice.extend(paths.iter().rev().cloned());
            let once = told(&paths)?;
            prop_assert_eq!(&once, &told(&twice)?);
            let mut different = paths;
            different.sort();
            different.dedup();
            prop_assert_eq!(once.len(), different.len());
        }
    }
}
