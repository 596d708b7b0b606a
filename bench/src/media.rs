//! The bench `media`: small pictures of 12-megapixel JPEG and HEIC, beside `vipsthumbnail` and `sharp`. Everybody makes the same
//! two of each: at most 2,048 pixels as JPEG, and of that one 320 pixels high as WebP; and everybody works on one processor.
//!
//! Our worker is run as the server runs it, one process for each file, jailed; it also reads facts and hashes the picture.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::goals::{Direction, Goals};
use crate::machine;
use crate::options::MediaOptions;
use crate::process::{clean_command, ended_children_cpu_seconds, find_program, run_to_end};
use crate::spread::Spread;
use crate::table::{Table, mib};
use crate::uploads::Folder;

/// What `sharp` runs.
const SCRIPT: &str = include_str!("media_sharp.cjs");
/// Bytes in one MiB, for goals in MiB.
const MIB_F64: f64 = 1024.0 * 1024.0;

/// Who makes pictures of files.
enum Contestant {
    PhotoSync { server: PathBuf, heif: Option<PathBuf> },
    Vips(PathBuf),
    Sharp { node: PathBuf, package: PathBuf },
}

/// What one round took.
struct Round {
    cpu_seconds: f64,
    peak_bytes: u64,
}

/// Measures everything and prints it.
pub fn run(options: &MediaOptions) -> Result<(), Failure> {
    let home = options.dir.canonicalize().map_err(|error| {
        format!("could not find the folder to write in, {}: {error}", options.dir.display())
    })?;
    machine::print(&home, false)?;
    let folder = Folder::make(&home, "media")?;
    let contestants = find_contestants(options)?;
    let mut goals = Goals::default();
    let jpegs = make_jpegs(&folder.path, options.pictures)?;
    compare("JPEG", &contestants, &jpegs, options.rounds, &folder.path, &mut goals)?;
    match make_heics(&folder.path, &jpegs)? {
        Some(heics) => {
            compare("HEIC", &contestants, &heics, options.rounds, &folder.path, &mut goals)?;
        }
        None => println!(
            "\nheif-enc is not installed, and HEIC is left out (scripts/bench media --install)"
        ),
    }
    goals.print();
    folder.remove()
}

fn find_contestants(options: &MediaOptions) -> Result<Vec<Contestant>, Failure> {
    let server = options.server.clone().ok_or("name the server with --server")?;
    let server = server
        .canonicalize()
        .map_err(|error| format!("could not find the server, {}: {error}", server.display()))?;
    let heif = ["heif-dec", "heif-convert"].into_iter().find_map(find_program);
    let mut all = vec![Contestant::PhotoSync { server, heif }];
    match find_program("vipsthumbnail") {
        Some(program) => all.push(Contestant::Vips(program)),
        None => {
            println!("vipsthumbnail is not installed and left out (scripts/bench media --install)")
        }
    }
    let package = options.rivals.as_ref().map(|rivals| rivals.join("sharp/node_modules/sharp"));
    let package = package.and_then(|package| package.canonicalize().ok());
    match package.zip(find_program("node")) {
        Some((package, node)) => all.push(Contestant::Sharp { node, package }),
        None => println!("sharp is not installed and left out (scripts/bench media --install)"),
    }
    Ok(all)
}

/// In turns, so that a machine that gets slower does so for all of them.
fn compare(
    kind: &str,
    contestants: &[Contestant],
    files: &[PathBuf],
    rounds: usize,
    home: &Path,
    goals: &mut Goals,
) -> Result<(), Failure> {
    eprintln!("bench: pictures of {kind}");
    let mut seconds: Vec<Vec<f64>> = contestants.iter().map(|_| Vec::new()).collect();
    let mut peaks = vec![0; contestants.len()];
    for _ in 0..rounds {
        for (index, contestant) in contestants.iter().enumerate() {
            // Who cannot read them says so, once.
            match contestant.round(files, home) {
                Ok(round) => {
                    seconds[index].push(round.cpu_seconds / files.len() as f64);
                    peaks[index] = round.peak_bytes.max(peaks[index]);
                }
                Err(failure) if matches!(contestant, Contestant::PhotoSync { .. }) => {
                    return Err(failure);
                }
                Err(_) => {}
            }
        }
    }
    let title = format!(
        "Two pictures of each of {} files of 12 megapixels, {kind}, {rounds} rounds in turn",
        files.len()
    );
    let mut table = Table::new(
        title,
        &[
            "contestant",
            "files per second of processor",
            "ms each: min",
            "median",
            "max",
            "most memory",
        ],
    );
    let mut fastest: Option<f64> = None;
    let mut ours = None;
    for (index, contestant) in contestants.iter().enumerate() {
        let Some(spread) = Spread::of(seconds[index].iter().copied()) else {
            let mut cells = vec![contestant.name().to_owned(), "does not read it".to_owned()];
            cells.resize(6, "-".to_owned());
            table.row(cells);
            continue;
        };
        let rate = 1.0 / spread.median();
        match contestant {
            Contestant::PhotoSync { .. } => ours = Some((rate, peaks[index])),
            _ => fastest = Some(fastest.map_or(rate, |most| most.max(rate))),
        }
        let ms = [spread.min(), spread.median(), spread.max()].map(|s| format!("{:.1}", s * 1e3));
        let cells = [
            vec![contestant.name().to_owned(), format!("{rate:.1}")],
            ms.to_vec(),
            vec![mib(peaks[index])],
        ];
        table.row(cells.concat());
    }
    table.print();
    let ratio = ours.zip(fastest).map(|((rate, _), fastest)| rate / fastest);
    goals.judge(format!("{kind} beside the fastest"), Direction::AtLeast, 1.0, " x", ratio);
    let peak = ours.map(|(_, peak)| peak as f64 / MIB_F64);
    goals.judge(format!("memory of a worker, {kind}"), Direction::AtMost, 512.0, " MiB", peak);
    Ok(())
}

impl Contestant {
    fn name(&self) -> &'static str {
        match self {
            Self::PhotoSync { .. } => "photosync",
            Self::Vips(_) => "vipsthumbnail",
            Self::Sharp { .. } => "sharp",
        }
    }

    fn round(&self, files: &[PathBuf], home: &Path) -> Result<Round, Failure> {
        let before = ended_children_cpu_seconds();
        let mut peak_bytes = 0;
        match self {
            Self::Sharp { node, package } => {
                let script = home.join("sharp.cjs");
                std::fs::write(&script, SCRIPT)
                    .map_err(|error| format!("could not write {}: {error}", script.display()))?;
                let mut command = clean_command(node, home);
                command.arg(&script).arg(package).arg(home).args(files);
                peak_bytes = run_to_end("sharp", command, "", home)?.peak_bytes;
            }
            _ => {
                for file in files {
                    for command in self.commands(file, home) {
                        let finished = run_to_end(self.name(), command, "", home)?;
                        peak_bytes = finished.peak_bytes.max(peak_bytes);
                    }
                }
            }
        }
        Ok(Round { cpu_seconds: ended_children_cpu_seconds() - before, peak_bytes })
    }

    /// The processes for one file, one after the other.
    fn commands(&self, file: &Path, home: &Path) -> Vec<Command> {
        let shell = |words: &str, own: &[&Path]| {
            // It becomes the program: memory is told of one process.
            let mut command = clean_command(Path::new("/bin/sh"), home);
            command.arg("-c").arg(words).arg("sh").args(own);
            command
        };
        let picture = home.join("picture.jpg");
        match self {
            Self::PhotoSync { server, heif } => {
                let is_heic = file.extension().is_some_and(|extension| extension == "heic");
                // It may not write files: where its answer goes must be none.
                let look = "exec \"$1\" media-worker look <\"$2\" >/dev/null";
                let mut all = vec![shell(look, &[server, file])];
                if let (true, Some(heif)) = (is_heic, heif) {
                    let convert = "exec \"$1\" media-worker become --program \"$2\" --folder \"$3\" -- -q 92 \
                                   /proc/self/fd/0 \"$4\" <\"$5\" >/dev/null";
                    all.push(shell(convert, &[server, heif, home, &picture, file]));
                    let draw = "exec \"$1\" media-worker draw <\"$2\" >/dev/null";
                    all.push(shell(draw, &[server, &picture]));
                }
                all
            }
            Self::Vips(program) => {
                let thumb = |from: &Path, size: &str, to: &str| {
                    let mut command = clean_command(program, home);
                    command.env("VIPS_CONCURRENCY", "1").arg(from).args(["-s", size, "-o"]);
                    command.arg(home.join(to));
                    command
                };
                let screen = home.join("screen.jpg");
                vec![
                    thumb(file, "2048x2048", "screen.jpg[Q=82]"),
                    thumb(&screen, "640x320", "thumb.webp[Q=74,effort=2]"),
                ]
            }
            Self::Sharp { .. } => Vec::new(),
        }
    }
}

/// Pictures as cameras have them: structure and noise, so that they are some megabytes.
fn make_jpegs(home: &Path, count: u64) -> Result<Vec<PathBuf>, Failure> {
    let ffmpeg = find_program("ffmpeg").ok_or("ffmpeg makes the pictures, and is not installed")?;
    let mut files = Vec::new();
    for index in 0..count {
        let path = home.join(format!("{index}.jpg"));
        let mut command = clean_command(&ffmpeg, home);
        let source = format!("testsrc2=size=4000x3000:rate=1,noise=alls=14:all_seed={index}");
        command.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &source, "-frames:v", "1"]);
        command.args(["-pix_fmt", "yuvj420p", "-q:v", "3"]).arg(&path);
        run_to_end("ffmpeg", command, "", home)?;
        files.push(path);
    }
    Ok(files)
}

fn make_heics(home: &Path, jpegs: &[PathBuf]) -> Result<Option<Vec<PathBuf>>, Failure> {
    let Some(program) = find_program("heif-enc") else { return Ok(None) };
    let mut files = Vec::new();
    // One takes a second and more to make, and to read.
    for jpeg in jpegs.iter().take(jpegs.len().div_ceil(3)) {
        let path = jpeg.with_extension("heic");
        let mut command = clean_command(&program, home);
        command.args(["-q", "60", "-o"]).arg(&path).arg(jpeg);
        run_to_end("heif-enc", command, "", home)?;
        files.push(path);
    }
    Ok(Some(files))
}
