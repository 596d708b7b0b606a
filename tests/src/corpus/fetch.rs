//! Fetches real media through the package tools of the system, and lets ffmpeg make the videos. Everything ends
//! in the cache under a name that changes when its recipe does; a folder appears there whole or not at all.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{CorpusError, local};

/// A Debian package with photographs below `folder`.
pub(super) struct Package {
    name: &'static str,
    folder: &'static str,
}

/// Small downloads (16, 11 and 47 MB) with photographs under free licences. The first is enough for a small corpus.
pub(super) const WALLPAPERS: &[Package] = &[
    Package { name: "lomiri-wallpapers-16.04", folder: "usr/share/backgrounds" },
    Package { name: "lomiri-wallpapers-20.04", folder: "usr/share/backgrounds" },
    Package { name: "mate-backgrounds", folder: "usr/share/backgrounds/mate" },
];

/// The Python package whose source archive carries HEIC files of many origins.
const HEIC_SOURCE: &str = "pillow_heif";

/// Fixed, so that every corpus has the same files.
const HEIC_VERSION: &str = "1.8.1";

/// The one HEIC file that is large for a small corpus (a 200-megapixel image, 2.4 MB).
pub(super) const HEIC_SPECIAL: &str = "200MP.heic";

/// The JPEG photographs of a package, sorted by path.
pub(super) fn wallpapers(package: &Package, cache: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let folder = in_cache(cache, package.name, |folder| {
        let what = format!("download the package {} (apt-get update first?)", package.name);
        let mut download = Command::new("apt-get");
        run(download.args(["download", "-qq", package.name]).current_dir(folder), "apt", &what)?;
        let archive = only_file(folder, "deb")?;
        let mut extract = Command::new("dpkg-deb");
        let what = format!("unpack the package {}", package.name);
        run(extract.arg("-x").arg(&archive).arg(folder), "dpkg", &what)?;
        fs::remove_file(&archive).map_err(local("remove", &archive))
    })?;
    files_below(&folder.join(package.folder), "jpg")
}

/// The HEIC files, sorted by path; empty ones are left out later.
pub(super) fn heic_files(cache: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let name = format!("{HEIC_SOURCE}-{HEIC_VERSION}");
    let folder = in_cache(cache, &name, |folder| {
        let requirement = format!("{HEIC_SOURCE}=={HEIC_VERSION}");
        let mut download = Command::new("python3");
        download.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
        download.args(["--no-deps", "--no-binary", HEIC_SOURCE, "--dest"]).arg(folder);
        download.arg(requirement);
        run(&mut download, "python3-pip", &format!("download the source archive of {name}"))?;
        let archive = only_file(folder, "gz")?;
        let mut extract = Command::new("tar");
        extract.arg("-xzf").arg(&archive).arg("-C").arg(folder);
        extract.args(["--wildcards", "*/tests/images/*.heic"]);
        run(&mut extract, "tar", &format!("unpack the source archive of {name}"))?;
        fs::remove_file(&archive).map_err(local("remove", &archive))
    })?;
    files_below(&folder, "heic")
}

/// A video with moving content and sound, H.264 in the given container; 16 Mbit/s at 1080p when longer than 5 s.
pub(super) fn video(container: &str, seconds: u32, cache: &Path) -> Result<PathBuf, CorpusError> {
    let file_name = format!("clip.{container}");
    let is_short = seconds <= 5;
    let (size, bitrate) = if is_short { ("1280x720", "3M") } else { ("1920x1080", "16M") };
    let folder = in_cache(cache, &format!("video-{container}-{seconds}s-1"), |folder| {
        let mut encode = Command::new("ffmpeg");
        encode.args(["-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i"]);
        encode.arg(format!("testsrc2=size={size}:rate=30:duration={seconds},noise=alls=12:allf=t"));
        encode.args(["-f", "lavfi", "-i"]).arg(format!("sine=frequency=440:duration={seconds}"));
        // One thread and no encoder time-stamps: the same bytes every time.
        encode.args(["-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact"]);
        encode.args(["-flags:a", "+bitexact", "-c:v", "libx264", "-preset", "ultrafast"]);
        encode.args(["-pix_fmt", "yuv420p", "-b:v", bitrate, "-maxrate", bitrate]);
        encode.args(["-bufsize", bitrate, "-c:a", "aac", "-b:a", "128k"]);
        encode.args(["-metadata", "creation_time=2024-05-01T10:15:00Z"]);
        encode.arg(folder.join(&file_name));
        run(&mut encode, "ffmpeg", &format!("make a {container} video"))
    })?;
    Ok(folder.join(&file_name))
}

/// The folder `name` of the cache, filled by `fill` when it is not there yet.
pub(super) fn in_cache(
    cache: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<(), CorpusError>,
) -> Result<PathBuf, CorpusError> {
    let folder = cache.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = cache.join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(local("remove", &partial))?;
    }
    fs::create_dir_all(&partial).map_err(local("create", &partial))?;
    fill(&partial)?;
    fs::rename(&partial, &folder).map_err(local("rename", &partial))?;
    Ok(folder)
}

/// Runs a program to its end; says which Debian package has it when it is not installed.
fn run(command: &mut Command, package: &'static str, what: &str) -> Result<(), CorpusError> {
    command.stdin(Stdio::null());
    let output = command.output().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CorpusError::MissingTool {
            tool: command.get_program().to_string_lossy().into_owned(),
            package,
        },
        _ => CorpusError::Local(what.to_owned(), source),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    if printed.contains("No module named pip") {
        return Err(CorpusError::MissingTool { tool: "pip".to_owned(), package });
    }
    let lines: Vec<&str> = printed.lines().collect();
    let output = lines[lines.len().saturating_sub(6)..].join("\n");
    Err(CorpusError::Tool { what: what.to_owned(), output })
}

fn only_file(folder: &Path, extension: &str) -> Result<PathBuf, CorpusError> {
    let mut found = files_below(folder, extension)?;
    match (found.pop(), found.is_empty()) {
        (Some(file), true) => Ok(file),
        _ => Err(CorpusError::Unexpected(format!(
            "{} should hold one .{extension} file",
            folder.display()
        ))),
    }
}

/// Regular files with this extension, sorted; none at all is an error.
fn files_below(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, CorpusError> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(local("list", &folder))? {
            let entry = entry.map_err(local("list", &folder))?;
            let kind = entry.file_type().map_err(local("look at", &entry.path()))?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() && entry.path().extension() == Some(OsStr::new(extension)) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    match found.is_empty() {
        true => {
            Err(CorpusError::Unexpected(format!("no .{extension} file below {}", folder.display())))
        }
        false => Ok(found),
    }
}
