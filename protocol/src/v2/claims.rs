//! What a device says about a photo. Stored as claimed, with who claimed it; never invented, never parsed from the
//! bytes here.
//!
//! One list of names serves every way in: a raw request sends `PhotoSync-Device-Asset-Id: …`, tus the metadata key
//! `device_asset_id`. Values are text; in headers they are percent-encoded UTF-8.

use serde::{Deserialize, Serialize};

use super::places::Place;

/// Before the path in the `device_asset_id` of a computer, whose own name of a file is its path below the folder that
/// was backed up, with `/` between parts. Other devices' names are not paths and begin otherwise.
pub const PATH_PREFIX: &str = "path:";

/// Longest value of a claim in bytes: enough for a path, too little to store a file in.
pub const MAX_CLAIM_BYTES: usize = 1024;
/// Most albums a photo can claim to have been in.
pub const MAX_ALBUMS: usize = 64;

/// Everything a device may say about one file. Absent means "not said".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Claims {
    /// When it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured: Option<Captured>,
    /// The device's own name of the photo, as the phone's photo library gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_asset_id: Option<String>,
    /// Folder it lay in, relative to what was backed up, with `/` between parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Whether it was a favourite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub favourite: Option<bool>,
    /// Albums it was in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub albums: Vec<String>,
    /// The other half of a Live or Motion Photo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<Pair>,
    /// Last change of the file on the device, Unix milliseconds: what a restore sets again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_ms: Option<i64>,
    /// Other places of the same bytes on the same device. Not sent with the bytes; see [`super::places`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Place>,
}

/// A capture time as a camera knows it: the wall clock, and the offset only if something said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Captured {
    /// `YYYY-MM-DDTHH:MM:SS`, with up to nine digits of a second, of the clock on the wall.
    pub local: String,
    /// Minutes east of UTC; absent if nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_minutes: Option<i16>,
    /// Who says so.
    pub source: CaptureSource,
}

/// Where a capture time comes from, most trustworthy first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CaptureSource {
    /// The device's photo library.
    Library,
    /// A sidecar beside the file (Takeout, XMP).
    Sidecar,
    /// The client did not say.
    Unknown,
    /// The file's time of change.
    FileTime,
}

impl CaptureSource {
    /// As it is written in a claim.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Library => "library",
            Self::Sidecar => "sidecar",
            Self::Unknown => "unknown",
            Self::FileTime => "file_time",
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        [Self::Library, Self::Sidecar, Self::Unknown, Self::FileTime]
            .into_iter()
            .find(|source| source.as_str() == text)
    }
}

/// Says that two files are one picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pair {
    /// The same for both halves, unique on the device.
    pub id: String,
    /// Which half this is.
    pub role: PairRole,
    /// How the device knows; absent: its photo library says so.
    #[serde(default, skip_serializing_if = "PairSource::is_library")]
    pub source: PairSource,
}

/// Half of a Live or Motion Photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PairRole {
    /// The still picture.
    Still,
    /// The moving one.
    Motion,
}

/// How a device knows that two files are one picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PairSource {
    /// Its photo library keeps them as one.
    #[default]
    Library,
    /// It guesses so by their names; see [`crate::pairs`].
    Name,
}

impl PairSource {
    fn is_library(&self) -> bool {
        *self == Self::Library
    }
}

/// A claim that cannot be read. Nothing of the upload is stored then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadClaim {
    /// Key of the claim, as in tus metadata.
    pub key: &'static str,
    /// What it should be.
    pub wanted: &'static str,
}

impl std::fmt::Display for BadClaim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} must be {}", self.key, self.wanted)
    }
}

impl std::error::Error for BadClaim {}

/// Every key of a claim, as in tus metadata. The header is [`header_of`] the key.
pub const KEYS: &[&str] = &[
    "captured",
    "captured_source",
    "device_asset_id",
    "folder",
    "favourite",
    "albums",
    "pair",
    "pair_role",
    "pair_source",
    "modified_ms",
];

/// `device_asset_id` → `photosync-device-asset-id` (header names know no case).
pub fn header_of(key: &str) -> String {
    format!("photosync-{}", key.replace('_', "-"))
}

impl Claims {
    /// Reads claims out of named texts; `find` answers a key of [`KEYS`] with its decoded text, if it was sent.
    pub fn read(mut find: impl FnMut(&str) -> Option<String>) -> Result<Self, BadClaim> {
        let mut text = |key: &'static str| -> Result<Option<String>, BadClaim> {
            match find(key).filter(|value| !value.is_empty()) {
                Some(value) if value.len() > MAX_CLAIM_BYTES => {
                    Err(BadClaim { key, wanted: "at most 1,024 bytes long" })
                }
                Some(value) if key != "albums" && value.chars().any(char::is_control) => {
                    Err(BadClaim { key, wanted: "free of control characters" })
                }
                value => Ok(value),
            }
        };
        let source = match text("captured_source")? {
            None => CaptureSource::Unknown,
            Some(value) => CaptureSource::from_text(&value).ok_or(BadClaim {
                key: "captured_source",
                wanted: "library, sidecar, file_time or unknown",
            })?,
        };
        let captured = text("captured")?.map(|value| Captured::read(&value, source)).transpose()?;
        let favourite = text("favourite")?
            .map(|value| match value.as_str() {
                "1" | "?1" | "true" => Ok(true),
                "0" | "?0" | "false" => Ok(false),
                _ => Err(BadClaim { key: "favourite", wanted: "true or false" }),
            })
            .transpose()?;
        let albums: Vec<String> = text("albums")?
            .map(|value| {
                value.split('\n').filter(|name| !name.is_empty()).map(str::to_owned).collect()
            })
            .unwrap_or_default();
        if albums.len() > MAX_ALBUMS || albums.iter().any(|name| name.chars().any(char::is_control))
        {
            return Err(BadClaim { key: "albums", wanted: "at most 64 names, one a line" });
        }
        let source = match text("pair_source")?.as_deref() {
            None | Some("library") => PairSource::Library,
            Some("name") => PairSource::Name,
            Some(_) => return Err(BadClaim { key: "pair_source", wanted: "library or name" }),
        };
        let pair = match (text("pair")?, text("pair_role")?.as_deref()) {
            (None, None) => None,
            (Some(id), Some("still")) => Some(Pair { id, role: PairRole::Still, source }),
            (Some(id), Some("motion")) => Some(Pair { id, role: PairRole::Motion, source }),
            _ => return Err(BadClaim { key: "pair_role", wanted: "still or motion, beside pair" }),
        };
        let modified_ms = text("modified_ms")?
            .map(|value| {
                value.parse().map_err(|_| BadClaim { key: "modified_ms", wanted: "a number" })
            })
            .transpose()?;
        Ok(Self {
            captured,
            device_asset_id: text("device_asset_id")?,
            folder: text("folder")?,
            favourite,
            albums,
            pair,
            modified_ms,
            copies: Vec::new(),
        })
    }

    /// The named texts that [`Claims::read`] reads back: everything but the copies.
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        let mut push = |key, value: Option<String>| pairs.extend(value.map(|value| (key, value)));
        push("captured", self.captured.as_ref().map(Captured::to_text));
        push("captured_source", self.captured.as_ref().map(|c| c.source.as_str().to_owned()));
        push("device_asset_id", self.device_asset_id.clone());
        push("folder", self.folder.clone());
        push("favourite", self.favourite.map(|value| value.to_string()));
        push("albums", (!self.albums.is_empty()).then(|| self.albums.join("\n")));
        push("pair", self.pair.as_ref().map(|pair| pair.id.clone()));
        let role = |pair: &Pair| if pair.role == PairRole::Still { "still" } else { "motion" };
        push("pair_role", self.pair.as_ref().map(|pair| role(pair).to_owned()));
        let guessed = self.pair.as_ref().filter(|pair| !pair.source.is_library());
        push("pair_source", guessed.map(|_| "name".to_owned()));
        push("modified_ms", self.modified_ms.map(|value| value.to_string()));
        pairs
    }
}

impl Captured {
    /// Reads RFC 3339 with an optional offset: `2024-07-01T18:03:05`, `…05.250+02:00`, `…05Z`.
    pub fn read(text: &str, source: CaptureSource) -> Result<Self, BadClaim> {
        let bad = BadClaim {
            key: "captured",
            wanted: "a time as 2024-07-01T18:03:05, with or without +02:00",
        };
        let (local, offset) =
            match text.char_indices().skip(19).find(|(_, c)| matches!(c, 'Z' | 'z' | '+' | '-')) {
                Some((at, _)) => text.split_at(at),
                None => (text, ""),
            };
        let offset_minutes = match offset {
            "" => None,
            "Z" | "z" => Some(0),
            numeric => Some(read_offset(numeric).ok_or(bad.clone())?),
        };
        if !is_wall_clock(local) {
            return Err(bad);
        }
        Ok(Self { local: local.replace(['t', ' '], "T"), offset_minutes, source })
    }

    /// RFC 3339, with the offset if there is one.
    pub fn to_text(&self) -> String {
        match self.offset_minutes {
            None => self.local.clone(),
            Some(0) => format!("{}Z", self.local),
            Some(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                let minutes = minutes.unsigned_abs();
                format!("{}{sign}{:02}:{:02}", self.local, minutes / 60, minutes % 60)
            }
        }
    }
}

fn read_offset(text: &str) -> Option<i16> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let number = |part: &str, below: i16| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<i16>().ok().filter(|value| digits && *value < below)
    };
    Some(sign * (number(hours, 24)? * 60 + number(minutes, 60)?))
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction]`, each part in its range.
fn is_wall_clock(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let shape = whole.len() == 19
        && whole.bytes().zip(b"0000-00-00T00:00:00").all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b't' | b' '),
            other => byte == *other,
        });
    let fraction_fits =
        (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    if !shape || !fraction_fits {
        return false;
    }
    let part = |range: std::ops::Range<usize>| whole[range].parse::<u32>().unwrap_or(u32::MAX);
    let (year, month, day) = (part(0..4), part(5..7), part(8..10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    // A leap second is a real capture time.
    (1..=days).contains(&day) && part(11..13) < 24 && part(14..16) < 60 && part(17..19) <= 60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_time_keeps_its_wall_clock_and_never_gets_an_offset() {
        let read = |text| Captured::read(text, CaptureSource::Library).unwrap();
        assert_eq!(read("2024-07-01T18:03:05").offset_minutes, None);
        assert_eq!(read("2024-07-01T18:03:05.250-09:30").offset_minutes, Some(-570));
        for text in
            ["2024-02-29T23:59:60Z", "2024-07-01T18:03:05.123456789+14:00", "1969-01-01T00:00:00"]
        {
            assert_eq!(read(text).to_text(), text);
        }
    }

    #[test]
    fn times_that_no_clock_shows_are_refused() {
        for text in [
            "",
            "2023-02-29T00:00:00",
            "2024-13-01T00:00:00",
            "2024-01-01T24:00:00",
            "2024-01-01",
            "2024-01-01T00:00:00+2:00",
            "2024-01-01T00:00:00.",
            "2024-01-01T00:00:00+99:00",
            "２024-01-01T00:00:00",
        ] {
            assert!(Captured::read(text, CaptureSource::Library).is_err(), "{text}");
        }
    }

    #[test]
    fn claims_read_back_from_the_texts_they_are_sent_as() {
        let claims = Claims {
            captured: Some(
                Captured::read("2024-07-01T18:03:05+02:00", CaptureSource::Sidecar).unwrap(),
            ),
            device_asset_id: Some("A1/L0/001".into()),
            folder: Some("Sommer/Über uns 🏖".into()),
            favourite: Some(true),
            albums: vec!["Holiday".into(), "Mum, Dad".into()],
            pair: Some(Pair { id: "x".into(), role: PairRole::Motion, source: PairSource::Name }),
            modified_ms: Some(-5),
            copies: Vec::new(),
        };
        let pairs = claims.to_pairs();
        let find =
            |key: &str| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone());
        assert_eq!(Claims::read(find), Ok(claims));
        assert!(pairs.iter().all(|(key, _)| KEYS.contains(key)));
        assert_eq!(Claims::read(|_| None), Ok(Claims::default()));
    }

    #[test]
    fn a_half_pair_and_an_endless_text_are_refused() {
        assert!(Claims::read(|key| (key == "pair").then(|| "x".into())).is_err());
        assert!(Claims::read(|key| (key == "folder").then(|| "x".repeat(1025))).is_err());
        assert!(Claims::read(|key| (key == "folder").then(|| "a\nb".into())).is_err());
    }
}
