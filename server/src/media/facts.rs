//! What the media worker says of an original: one bounded JSON head, and the bytes of renditions after it.
//!
//! The worker reads hostile files, so the server believes nothing of this: [`Head::read`] refuses what is too long, and
//! [`Facts::tidied`] cuts texts and drops numbers that no picture has.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

pub use photosync_protocol::v2::films::Plays;
use serde::{Deserialize, Serialize};

/// Longest JSON head in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Longest rendition in bytes: a screen-sized picture of noise takes about 3 MiB.
const MAX_RENDITION_BYTES: usize = 16 * 1024 * 1024;
/// Most renditions in one answer.
const MAX_RENDITIONS: usize = 4;
/// Longest text of a fact, in characters.
const MAX_TEXT_CHARS: usize = 200;
/// Most facts that are shown as text.
const MAX_SHOWN: usize = 40;
/// A ThumbHash has at most 25 bytes.
const MAX_PLACEHOLDER_BYTES: usize = 32;

/// What an original is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A picture that stands still, or moves without sound.
    Photo,
    /// A video.
    Video,
    /// Anything else.
    #[default]
    File,
}

impl Kind {
    /// As in column `assets.kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Video => "video",
            Self::File => "file",
        }
    }
}

/// Why there is no rendition; the words are stored and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// No format that can be shown.
    Unsupported,
    /// The format is known, the file is damaged.
    Corrupt,
    /// More pixels or bytes than are taken on.
    TooLarge,
    /// It took too long.
    Timeout,
    /// It wanted more memory than it gets.
    OutOfMemory,
    /// The worker died.
    Crashed,
    /// A program that could show it is not installed.
    MissingTool,
}

impl Class {
    /// As in column `assets.media_error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::Crashed => "crashed",
            Self::MissingTool => "missing_tool",
        }
    }

    /// Whether another try could end otherwise, on a machine that is less busy.
    pub fn is_worth_a_retry(self) -> bool {
        matches!(self, Self::Timeout | Self::OutOfMemory | Self::Crashed)
    }
}

/// A program outside of this one that decodes what the worker does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// `heif-dec` or `heif-convert` of libheif: HEIC, HEIF and AVIF.
    Heif,
    /// `ffmpeg`: videos.
    Ffmpeg,
}

/// How far the worker got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Renditions follow.
    Done,
    /// Facts only: pixels need another program.
    Needs(Tool),
    /// There will be no rendition.
    Failed(Class),
}

/// The shown fact of a picture that moves.
pub const ANIMATED: &str = "animated";

/// The times in EXIF, as they are written there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the EXIF tag of that name")]
pub struct ExifTimes {
    pub original: Option<String>,
    pub original_offset: Option<String>,
    pub original_subsec: Option<String>,
    pub digitized: Option<String>,
    pub digitized_offset: Option<String>,
    pub digitized_subsec: Option<String>,
    /// `DateTime`: when the file was last changed by a program, in cameras of old the only one.
    pub changed: Option<String>,
    /// `OffsetTime`, which is about `DateTime` only.
    pub changed_offset: Option<String>,
    pub gps_date: Option<String>,
    /// `HH:MM:SS` in UTC.
    pub gps_time: Option<String>,
}

/// How the light of a film is meant, where screens do not show it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// SMPTE ST 2084.
    Pq,
    /// Hybrid log-gamma.
    Hlg,
}

impl Transfer {
    /// As in column `asset_facts.transfer`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pq => "pq",
            Self::Hlg => "hlg",
        }
    }

    /// Reads the column.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pq, Self::Hlg].into_iter().find(|transfer| transfer.as_str() == name)
    }
}

/// What an original says of its time: kept, so that whoever says something later is weighed against it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// In EXIF.
    #[serde(skip_serializing_if = "is_default")]
    pub exif: ExifTimes,
    /// Time of a video that says its offset: ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_local: Option<String>,
    /// Time of a video in UTC, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_utc_ms: Option<i64>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a browser needs to know of a film.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Film {
    /// Which browsers play it.
    pub plays: Plays,
    /// Its codecs as RFC 6381 writes them.
    pub codecs: Option<String>,
    /// How its light is meant; `None`: as screens have always had it.
    pub transfer: Option<Transfer>,
    /// Its pictures would play everywhere in another container, or with another sound.
    pub copies: bool,
}

/// Where in a picture its film is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Motion {
    /// First byte.
    pub at: u64,
    /// How many.
    pub length: u64,
}

/// Everything read in one original.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// Short name of its format, as `jpeg`.
    pub format: String,
    /// Pixels as shown, upright; 0: unknown.
    pub width: u32,
    /// As `width`.
    pub height: u32,
    /// EXIF orientation that is applied to pixels which are not upright by themselves, 1 to 8.
    pub orientation: u8,
    /// Length of a video.
    pub duration_ms: Option<i64>,
    /// Of a video, or of the film in a picture.
    pub film: Option<Film>,
    /// The film in a picture.
    pub motion: Option<Motion>,
    /// Times in EXIF.
    pub exif: ExifTimes,
    /// Time of a video that says its offset: ISO 8601.
    pub container_local: Option<String>,
    /// Time of a video in UTC, Unix milliseconds.
    pub container_utc_ms: Option<i64>,
    /// Who made the camera.
    pub make: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// The lens.
    pub lens: Option<String>,
    /// Degrees times 10^7, north positive.
    pub latitude_e7: Option<i64>,
    /// East positive.
    pub longitude_e7: Option<i64>,
    /// What both halves of a Live Photo carry.
    pub content_id: Option<String>,
    /// SHA-256 of the picture without metadata, hex.
    pub payload_hash: Option<String>,
    /// What it looks like, 16 hex digits.
    pub dhash: Option<String>,
    /// ThumbHash, hex.
    pub placeholder: Option<String>,
    /// Other facts by name, as text for people.
    pub shown: BTreeMap<String, String>,
}

/// One rendition of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenditionHead {
    /// `thumb` or `screen`.
    pub recipe: String,
    /// `webp` or `jpg`.
    pub extension: String,
    /// Length in bytes.
    pub length: usize,
}

/// What precedes the bytes of the renditions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// How far it got.
    pub outcome: Outcome,
    /// What it read.
    pub facts: Facts,
    /// What follows.
    pub renditions: Vec<RenditionHead>,
}

/// A rendition with its bytes.
#[derive(Debug, Clone)]
pub struct Rendition {
    /// `thumb` or `screen`.
    pub recipe: &'static str,
    /// `webp` or `jpg`.
    pub extension: &'static str,
    /// The encoded picture.
    pub bytes: Vec<u8>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How far it got.
    pub outcome: Outcome,
    /// What it read.
    pub facts: Facts,
    /// Small pictures.
    pub renditions: Vec<Rendition>,
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the media worker answered with something else")
}

impl Answer {
    /// An answer without pictures.
    pub fn without_pictures(outcome: Outcome, facts: Facts) -> Self {
        Self { outcome, facts, renditions: Vec::new() }
    }

    /// Writes length, head and renditions.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let renditions = self.renditions.iter().map(|rendition| RenditionHead {
            recipe: rendition.recipe.to_owned(),
            extension: rendition.extension.to_owned(),
            length: rendition.bytes.len(),
        });
        let head = Head {
            outcome: self.outcome,
            facts: self.facts.clone().tidied(),
            renditions: renditions.collect(),
        };
        let json = serde_json::to_vec(&head)?;
        let length = u32::try_from(json.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_be_bytes())?;
        out.write_all(&json)?;
        for rendition in &self.renditions {
            out.write_all(&rendition.bytes)?;
        }
        out.flush()
    }

    /// Reads what [`Answer::write`] wrote; anything else is an error.
    pub fn read(input: &mut dyn Read) -> io::Result<Self> {
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
        if length > MAX_HEAD_BYTES {
            return Err(too_long());
        }
        let mut json = vec![0; length];
        input.read_exact(&mut json)?;
        let head: Head = serde_json::from_slice(&json)?;
        if head.renditions.len() > MAX_RENDITIONS {
            return Err(too_long());
        }
        let mut renditions = Vec::new();
        for rendition in head.renditions {
            let recipe = ["thumb", "screen"].into_iter().find(|known| *known == rendition.recipe);
            let extension = ["webp", "jpg"].into_iter().find(|known| *known == rendition.extension);
            let (Some(recipe), Some(extension)) = (recipe, extension) else {
                return Err(too_long());
            };
            if rendition.length > MAX_RENDITION_BYTES {
                return Err(too_long());
            }
            let mut bytes = vec![0; rendition.length];
            input.read_exact(&mut bytes)?;
            renditions.push(Rendition { recipe, extension, bytes });
        }
        Ok(Self { outcome: head.outcome, facts: head.facts.tidied(), renditions })
    }
}

/// At most [`MAX_TEXT_CHARS`] characters without control characters and outer blanks; `None` if nothing is left.
pub fn tidy_text(text: &str) -> Option<String> {
    let plain: String =
        text.chars().filter(|c| !c.is_control()).take(MAX_TEXT_CHARS).collect::<String>();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.to_owned())
}

fn tidy(text: &mut Option<String>) {
    *text = text.as_deref().and_then(tidy_text);
}

/// Hex of at most so many bytes.
fn tidy_hex(text: &mut Option<String>, most_bytes: usize) {
    let fits = |hex: &String| hex.len() <= most_bytes * 2 && hex::decode(hex).is_ok();
    *text = text.take().filter(fits);
}

impl Facts {
    /// The same with texts cut and impossible numbers dropped.
    pub fn tidied(mut self) -> Self {
        for text in [
            &mut self.exif.original,
            &mut self.exif.original_offset,
            &mut self.exif.original_subsec,
            &mut self.exif.digitized,
            &mut self.exif.digitized_offset,
            &mut self.exif.digitized_subsec,
            &mut self.exif.changed,
            &mut self.exif.changed_offset,
            &mut self.exif.gps_date,
            &mut self.exif.gps_time,
            &mut self.container_local,
            &mut self.make,
            &mut self.model,
            &mut self.lens,
            &mut self.content_id,
        ] {
            tidy(text);
        }
        tidy_hex(&mut self.payload_hash, 32);
        tidy_hex(&mut self.dhash, 8);
        tidy_hex(&mut self.placeholder, MAX_PLACEHOLDER_BYTES);
        self.format = tidy_text(&self.format).unwrap_or_default();
        let largest = 1 << 20;
        if self.width > largest || self.height > largest || self.width == 0 || self.height == 0 {
            (self.width, self.height) = (0, 0);
        }
        if !(1..=8).contains(&self.orientation) {
            self.orientation = 1;
        }
        if let Some(film) = &mut self.film {
            tidy(&mut film.codecs);
        }
        // Columns of the database are 63 bits wide.
        self.motion = self.motion.filter(|motion| {
            motion.at.checked_add(motion.length).is_some_and(|end| end >> 63 == 0)
        });
        let year_ms = 366 * 24 * 60 * 60 * 1000;
        self.duration_ms = self.duration_ms.filter(|length| (0..year_ms).contains(length));
        let is_place = |latitude: i64, longitude: i64| {
            latitude.abs() <= 900_000_000
                && longitude.abs() <= 1_800_000_000
                && (latitude, longitude) != (0, 0)
        };
        match (self.latitude_e7, self.longitude_e7) {
            (Some(latitude), Some(longitude)) if is_place(latitude, longitude) => {}
            _ => (self.latitude_e7, self.longitude_e7) = (None, None),
        }
        let shown = std::mem::take(&mut self.shown).into_iter().take(MAX_SHOWN);
        self.shown = shown
            .filter_map(|(name, value)| Some((tidy_text(&name)?, tidy_text(&value)?)))
            .collect();
        self
    }

    /// What it says of its time.
    pub fn times(&self) -> Times {
        Times {
            exif: self.exif.clone(),
            container_local: self.container_local.clone(),
            container_utc_ms: self.container_utc_ms,
        }
    }

    /// Make and model as people say it: `Apple iPhone 12`, but not `Canon Canon EOS R5`.
    pub fn camera(&self) -> Option<String> {
        match (&self.make, &self.model) {
            (Some(make), Some(model)) => {
                let first = |text: &str| text.split(' ').next().unwrap_or("").to_lowercase();
                if first(make) == first(model) {
                    return Some(model.clone());
                }
                Some(format!("{make} {model}"))
            }
            (one, other) => one.clone().or_else(|| other.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_back_and_what_is_cut_off_or_too_long_does_not() {
        let facts = Facts {
            make: Some(" A\u{7}cme ".into()),
            width: 10,
            height: 20,
            orientation: 77,
            latitude_e7: Some(0),
            longitude_e7: Some(0),
            ..Facts::default()
        };
        let rendition = Rendition { recipe: "thumb", extension: "webp", bytes: vec![7; 100] };
        let answer = Answer { outcome: Outcome::Done, facts, renditions: vec![rendition] };
        let mut bytes = Vec::new();
        answer.write(&mut bytes).unwrap();
        let back = Answer::read(&mut &bytes[..]).unwrap();
        assert_eq!(back.facts.make.as_deref(), Some("Acme"));
        assert_eq!((back.facts.width, back.facts.orientation), (10, 1));
        assert_eq!(back.facts.latitude_e7, None);
        assert_eq!(back.renditions[0].bytes, [7; 100]);
        for length in 0..bytes.len() {
            assert!(Answer::read(&mut &bytes[..length]).is_err(), "{length}");
        }
        bytes[0] = 0xff;
        assert!(Answer::read(&mut &bytes[..]).is_err());
    }

    #[test]
    fn a_camera_is_said_as_people_say_it() {
        let of = |make: &str, model: &str| {
            let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            Facts { make: text(make), model: text(model), ..Facts::default() }.camera()
        };
        assert_eq!(of("Apple", "iPhone 12").as_deref(), Some("Apple iPhone 12"));
        assert_eq!(of("Canon", "Canon EOS R5").as_deref(), Some("Canon EOS R5"));
        assert_eq!(of("NIKON CORPORATION", "NIKON D90").as_deref(), Some("NIKON D90"));
        assert_eq!(of("", "X").as_deref(), Some("X"));
        assert_eq!(of("", ""), None);
    }
}
