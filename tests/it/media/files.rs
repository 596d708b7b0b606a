//! Pictures and videos for the tests: made of a seed, by the encoders of `image`, `ffmpeg` and `heif-enc`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a program that must succeed.
pub(super) fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A JPEG with shapes and colours that depend on the seed.
pub(super) fn jpeg(width: u32, height: u32, seed: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        let wave = ((x / 7) ^ (y / 5)).wrapping_mul(seed * 31 + 7);
        image::Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, (wave & 127) as u8])
    });
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 85)
        .encode_image(&picture)
        .expect("a JPEG in memory");
    bytes
}

/// What ffmpeg makes of a test picture or film; the extension decides the format.
pub(super) fn by_ffmpeg(folder: &Path, name: &str, source: &str, options: &[&str]) -> Vec<u8> {
    let path = folder.join(name);
    let shown = path.to_str().expect("a plain path");
    let mut arguments = vec!["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", source];
    arguments.extend_from_slice(options);
    arguments.push(shown);
    run("ffmpeg", &arguments);
    fs::read(path).expect("what ffmpeg wrote")
}

/// A HEIC or AVIF of a JPEG.
pub(super) fn by_heif_enc(folder: &Path, name: &str, jpeg: &[u8]) -> Vec<u8> {
    let from = folder.join("from.jpg");
    fs::write(&from, jpeg).expect("a scratch file");
    let to: PathBuf = folder.join(name);
    let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let (from, to_text) = (text(&from), text(&to));
    let mut arguments = vec!["-q", "60", "-o", &to_text];
    if name.ends_with(".avif") {
        arguments.push("-A");
    }
    arguments.push(&from);
    run("heif-enc", &arguments);
    fs::read(to).expect("what heif-enc wrote")
}

/// Width and height, by somebody else's decoder.
pub(super) fn size_of(bytes: &[u8]) -> (u64, u64) {
    let file = tempfile::NamedTempFile::new().expect("a scratch file");
    fs::write(file.path(), bytes).expect("a scratch file");
    let path = file.path().to_str().expect("a plain path");
    let wanted = "stream=width,height";
    let arguments = ["-v", "error", "-show_entries", wanted, "-of", "csv=p=0", path];
    let text = String::from_utf8(run("ffprobe", &arguments).stdout).expect("numbers");
    let mut sides = text.trim().split(',').map(|side| side.parse().expect("a number"));
    (sides.next().expect("a width"), sides.next().expect("a height"))
}

/// The mean colour of a rendition's quarter (0 to 3, from the upper left, row by row), by ffmpeg.
pub(super) fn colour_of(bytes: &[u8], quarter: u32) -> [u8; 3] {
    let file = tempfile::NamedTempFile::new().expect("a scratch file");
    fs::write(file.path(), bytes).expect("a scratch file");
    let path = file.path().to_str().expect("a plain path");
    let (column, row) = (quarter % 2, quarter / 2);
    let crop = format!("crop=iw/2:ih/2:{column}*iw/2:{row}*ih/2,scale=1:1:flags=area");
    let arguments =
        ["-v", "error", "-i", path, "-vf", &crop, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"];
    run("ffmpeg", &arguments).stdout[..3].try_into().expect("three bytes")
}

/// Pointers to the directory of the camera, and to that of the position.
const CAMERA: u16 = 0x8769;
const GPS: u16 = 0x8825;

/// EXIF with texts and an orientation, least byte first.
#[derive(Default)]
pub(super) struct Exif {
    main: Vec<(u16, u16, Vec<u8>)>,
    camera: Vec<(u16, u16, Vec<u8>)>,
    gps: Vec<(u16, u16, Vec<u8>)>,
}

impl Exif {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn orientation(mut self, orientation: u16) -> Self {
        self.main.push((0x0112, 3, orientation.to_le_bytes().to_vec()));
        self
    }

    pub(super) fn text(mut self, tag: u16, text: &str) -> Self {
        self.main.push((tag, 2, [text.as_bytes(), b"\0"].concat()));
        self
    }

    pub(super) fn original(mut self, text: &str, offset: Option<&str>) -> Self {
        self.camera.push((0x9003, 2, [text.as_bytes(), b"\0"].concat()));
        if let Some(offset) = offset {
            self.camera.push((0x9011, 2, [offset.as_bytes(), b"\0"].concat()));
        }
        self
    }

    /// Degrees, north and east positive.
    pub(super) fn position(mut self, latitude: f64, longitude: f64) -> Self {
        let sides = [(1, latitude, ["N", "S"]), (3, longitude, ["E", "W"])];
        for (tag, degrees, names) in sides {
            let name = names[usize::from(degrees < 0.0)];
            self.gps.push((tag, 2, [name.as_bytes(), b"\0"].concat()));
            let millionths = (degrees.abs() * 1e6).round() as u32;
            let parts = [millionths, 1_000_000, 0, 1, 0, 1];
            self.gps.push((tag + 1, 5, parts.iter().flat_map(|part| part.to_le_bytes()).collect()));
        }
        self
    }

    /// What an iPhone writes into both halves of a Live Photo.
    pub(super) fn apple_content_id(mut self, id: &str) -> Self {
        let mut note = b"Apple iOS\0\0\x01MM\0\x01\0\x11\0\x02".to_vec();
        let text = [id.as_bytes(), b"\0"].concat();
        note.extend((text.len() as u32).to_be_bytes());
        note.extend((note.len() as u32 + 8).to_be_bytes());
        note.extend([0; 4]);
        note.extend(text);
        self.camera.push((0x927c, 7, note));
        self
    }

    /// The TIFF in which it is written.
    pub(super) fn tiff(&self) -> Vec<u8> {
        let mut main = self.main.clone();
        let mut camera = self.camera.clone();
        camera.sort_by_key(|(tag, _, _)| *tag);
        // The pointers' places are known when the length of the first directory is.
        main.push((CAMERA, 4, vec![0; 4]));
        if !self.gps.is_empty() {
            main.push((GPS, 4, vec![0; 4]));
        }
        main.sort_by_key(|(tag, _, _)| *tag);
        let head = b"II*\0\x08\0\0\0".to_vec();
        let camera_at = 8 + directory(&main, 8).len();
        let gps_at = camera_at + directory(&camera, camera_at).len();
        for (tag, _, value) in &mut main {
            let at = match *tag {
                CAMERA => camera_at,
                GPS => gps_at,
                _ => continue,
            };
            *value = u32::try_from(at).expect("short").to_le_bytes().to_vec();
        }
        let gps = if self.gps.is_empty() { Vec::new() } else { directory(&self.gps, gps_at) };
        [head, directory(&main, 8), directory(&camera, camera_at), gps].concat()
    }
}

/// A directory that begins at `at`, and the values that are too long for it.
pub(super) fn directory(entries: &[(u16, u16, Vec<u8>)], at: usize) -> Vec<u8> {
    let mut bytes = u16::try_from(entries.len()).expect("few").to_le_bytes().to_vec();
    let mut values = Vec::new();
    let values_at = at + 2 + entries.len() * 12 + 4;
    for (tag, kind, value) in entries {
        let width = match kind {
            3 => 2,
            4 => 4,
            5 => 8,
            _ => 1,
        };
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(u32::try_from(value.len() / width).expect("short").to_le_bytes());
        if value.len() <= 4 {
            let mut inside = value.clone();
            inside.resize(4, 0);
            bytes.extend(inside);
        } else {
            let place = u32::try_from(values_at + values.len()).expect("short");
            bytes.extend(place.to_le_bytes());
            values.extend_from_slice(value);
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(values);
    bytes
}

/// The same JPEG with EXIF.
pub(super) fn with_exif(jpeg: &[u8], exif: &Exif) -> Vec<u8> {
    let content = [b"Exif\0\0", &exif.tiff()[..]].concat();
    let length = u16::try_from(content.len() + 2).expect("a short segment").to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &content, &jpeg[2..]].concat()
}
