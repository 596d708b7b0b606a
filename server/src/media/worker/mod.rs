//! The media worker: a process for one file, which it gets as its standard input and answers on its standard output.
//!
//! It shuts itself in before it reads a byte ([`jail`]), because whatever it reads may be made to break it. It knows no
//! database, no other file and no network; what it says is believed by nobody (`facts.rs`).

mod animated;
mod bmff;
mod ebml;
mod exif;
mod film;
mod items;
pub mod jail;
mod motion;
mod payload;
mod picture;
mod preview;
mod sniff;
mod video;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::facts::{ANIMATED, Answer, Class, Facts, Kind, Motion, Outcome, Tool};
pub use jail::Bounds;
use sniff::Format;

/// Longest picture that is read: 256 MiB would not fit beside its pixels.
const MAX_PICTURE_BYTES: u64 = 160 * 1024 * 1024;

/// What a worker is asked for.
#[derive(Debug, Clone)]
pub enum Task {
    /// Read facts, and draw what can be drawn.
    Look,
    /// Draw only: the file was written by a tool.
    Draw,
    /// Become another program, which gets the same standard input and output.
    Become {
        /// Which one.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
        /// The only folder it can write to.
        folder: Option<PathBuf>,
        /// How much of the machine it may take.
        bounds: Bounds,
    },
}

/// Does the task. False if there is no answer, because the jail could not be shut or the input not read.
pub fn run(task: &Task) -> bool {
    let done = match task {
        Task::Look => answer(look),
        Task::Draw => answer(draw),
        Task::Become { program, arguments, folder, bounds } => {
            jail::become_program(program, arguments, folder.as_deref(), *bounds)
        }
    };
    match done {
        Ok(()) => true,
        Err(error) => {
            // The server keeps the last of it for its log.
            let _ = writeln!(io::stderr(), "media worker: {error}");
            false
        }
    }
}

fn answer(read: fn(&mut File, u64) -> io::Result<Answer>) -> io::Result<()> {
    let mut out = io::stdout();
    let mut input = jail::standard_input()?;
    jail::shut()?;
    let length = input.seek(SeekFrom::End(0))?;
    input.seek(SeekFrom::Start(0))?;
    read(&mut input, length)?.write(&mut out)
}

fn read_whole(input: &mut File, length: u64) -> io::Result<Option<Vec<u8>>> {
    if length > MAX_PICTURE_BYTES {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    input.seek(SeekFrom::Start(0))?;
    input.take(MAX_PICTURE_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn failed(class: Class, facts: Facts) -> Answer {
    Answer::without_pictures(Outcome::Failed(class), facts)
}

/// Facts, and what can be drawn here.
fn look(input: &mut File, length: u64) -> io::Result<Answer> {
    let mut head = Vec::new();
    Read::by_ref(input).take(sniff::HEAD_BYTES).read_to_end(&mut head)?;
    let format = sniff::sniff(&head);
    let mut facts = Facts {
        kind: format.kind(),
        format: format.name().to_owned(),
        orientation: 1,
        ..Facts::default()
    };
    if facts.kind == Kind::File {
        return Ok(failed(Class::Unsupported, facts));
    }
    if let Format::Video { boxes } = format {
        match boxes {
            true => video::read(input, length, &mut facts),
            false if head.starts_with(b"\x1a\x45\xdf\xa3") => ebml::read(input, length, &mut facts),
            false => {}
        }
        return Ok(Answer::without_pictures(Outcome::Needs(Tool::Ffmpeg), facts));
    }
    let Some(bytes) = read_whole(input, length)? else {
        return Ok(failed(Class::TooLarge, facts));
    };
    exif::read(&bytes, format, &mut facts);
    facts.payload_hash = payload::hash(&bytes, format).map(hex::encode);
    read_motion(&bytes, format, &mut facts);
    if animated::is_animated(&bytes, format) {
        facts.shown.insert(ANIMATED.into(), "yes".into());
    }
    match format {
        Format::Heif => Ok(Answer::without_pictures(Outcome::Needs(Tool::Heif), facts)),
        Format::Raw => {
            let Some(preview) = preview::find(&bytes) else {
                return Ok(failed(Class::Unsupported, facts));
            };
            let own = exif::orientation(preview);
            facts.orientation = own.unwrap_or(facts.orientation);
            Ok(picture::draw(preview, Format::Jpeg, facts))
        }
        _ => Ok(picture::draw(&bytes, format, facts)),
    }
}

/// The film in a picture, and whether browsers play that.
fn read_motion(bytes: &[u8], format: Format, facts: &mut Facts) {
    let Some(range) = motion::find(bytes, format) else { return };
    let (at, length) = (range.start as u64, range.len() as u64);
    let mut of_film = Facts::default();
    video::read(&mut io::Cursor::new(&bytes[range]), length, &mut of_film);
    facts.film = of_film.film;
    facts.motion = Some(Motion { at, length });
}

/// Draws what a tool has written; its orientation is right already.
fn draw(input: &mut File, length: u64) -> io::Result<Answer> {
    let facts = Facts { orientation: 1, ..Facts::default() };
    let Some(bytes) = read_whole(input, length)? else {
        return Ok(failed(Class::TooLarge, facts));
    };
    let format = sniff::sniff(&bytes);
    match format {
        Format::Jpeg | Format::Image(_) => Ok(picture::draw(&bytes, format, facts)),
        _ => Ok(failed(Class::Corrupt, facts)),
    }
}
