//! The update drill: a release server that is a static folder, and everything that can go wrong between it and a library of
//! photos. New versions are the server with fault points under another version number (`fault.rs`), or stand-ins.

mod drill;
mod informed;
mod refused;
mod service;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use photosync_tests::release::Signer;
use photosync_tests::server::{CommandOutcome, ServerProcess, run_program};
use tempfile::TempDir;

use crate::crash::torture::binaries::fault_server;
use crate::stand::Stand;

/// What every build for this machine is called.
fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The key of the project, for these tests.
fn release_signer() -> Signer {
    Signer::from_seed([7; 32])
}

/// The server with fault points, without what only debuggers need.
fn bare_server() -> &'static [u8] {
    static BARE: OnceLock<Vec<u8>> = OnceLock::new();
    BARE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bare = folder.path().join("bare");
        let built = fault_server().expect("the server with fault points");
        let outcome =
            Command::new("strip").arg("-o").arg(&bare).arg(built).output().expect("strip");
        assert!(outcome.status.success(), "{outcome:?}");
        fs::read(bare).expect("the program")
    })
}

/// A server that says it is `words`: a version, `migrates`, and a point that acts.
fn version(words: &str) -> Vec<u8> {
    let mut program = bare_server().to_vec();
    program.extend_from_slice(format!("\nPHOTOSYNC-TEST-VERSION={words}\n").as_bytes());
    program
}

/// A script that says it is that version, and otherwise does `does`.
fn stand_in(version: &str, does: &str) -> Vec<u8> {
    let says = format!("echo photosync-server {version}");
    format!("#!/bin/sh\nif [ \"$1\" = --version ]; then {says}; exit; fi\n{does}\n").into_bytes()
}

fn write_program(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// How the release server answers, besides as it should.
#[derive(Clone, Default)]
struct Mischief {
    /// Archives end after so many bytes, although more were promised.
    cut_at: Option<usize>,
}

/// Serves a folder over loopback until the test ends.
struct ReleaseServer {
    url: String,
    mischief: Arc<Mutex<Mischief>>,
}

impl ReleaseServer {
    fn start(folder: &Path) -> ReleaseServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mischief = Arc::new(Mutex::new(Mischief::default()));
        let (folder, wanted) = (folder.to_owned(), mischief.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, wanted) = (folder.clone(), wanted.clone());
                // A client that goes away is its own business.
                thread::spawn(move || drop(answer(&stream, &folder, &wanted)));
            }
        });
        ReleaseServer { url, mischief }
    }
}

fn answer(stream: &TcpStream, folder: &Path, mischief: &Mutex<Mischief>) -> std::io::Result<()> {
    let mut head = BufReader::new(stream);
    let mut first = String::new();
    head.read_line(&mut first)?;
    let mut line = String::new();
    while head.read_line(&mut line)? > 2 {
        line.clear();
    }
    let name = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let mut stream = stream;
    let Ok(body) = fs::read(folder.join(&name)) else {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    let cut = mischief.lock().expect("a lock").cut_at.filter(|_| name.ends_with(".gz"));
    stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])
}

/// An installation of version 0.1.0 with a library, and a release server.
struct Drill {
    stand: Stand,
    folder: PathBuf,
    releases: ReleaseServer,
}

impl Drill {
    /// With the real server as version 0.1.0; `settings` are for the server.
    fn new(settings: &[(&str, &str)]) -> Drill {
        Drill::of(&version("0.1.0"), settings)
    }

    fn of(program: &[u8], settings: &[(&str, &str)]) -> Drill {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().to_owned();
        for name in ["bin", "releases"] {
            fs::create_dir(path.join(name)).expect("a folder");
        }
        write_program(&path.join("bin/photosync-server"), program);
        write_program(&path.join("bin/photosync"), b"#!/bin/sh\necho the client of 0.1.0\n");
        let releases = ReleaseServer::start(&path.join("releases"));
        let stand = Drill::stand(folder, &path, settings);
        Drill { stand, folder: path, releases }
    }

    fn stand(folder: TempDir, path: &Path, settings: &[(&str, &str)]) -> Stand {
        Stand::of(folder, path.join("data"), Some(path.join("bin/photosync-server")), settings)
    }

    fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    fn releases(&self) -> PathBuf {
        self.folder.join("releases")
    }

    /// Puts a version among the releases, signed by `signer`; the manifest comes with [`Drill::publish`].
    fn release(&self, version: &str, server: &[u8], signer: &Signer) -> PathBuf {
        Drill::release_into(&self.releases(), version, server, signer)
    }

    fn release_into(releases: &Path, version: &str, server: &[u8], signer: &Signer) -> PathBuf {
        let name = format!("photosync-{version}-{}", target());
        let work = tempfile::tempdir().expect("a temporary folder");
        let bin = work.path().join(&name).join("bin");
        fs::create_dir_all(&bin).expect("a folder");
        write_program(&bin.join("photosync-server"), server);
        let client = format!("#!/bin/sh\necho the client of {version}\n");
        write_program(&bin.join("photosync"), client.as_bytes());
        write_program(&bin.join("photosync-tray"), b"not installed here");
        let archive = releases.join(format!("{name}.tar.gz"));
        let tar = format!("tar -cf - {name} | gzip -1 >'{}'", archive.display());
        let outcome = Command::new("sh").args(["-c", &tar]).current_dir(work.path()).output();
        assert!(outcome.is_ok_and(|outcome| outcome.status.success()));
        signer.sign_archive(&archive).expect("a signature");
        archive
    }

    fn publish(&self, sequence: u64) {
        release_signer().write_manifest(&self.releases(), sequence, "0.1.0").expect("a manifest");
    }

    /// Releases a version whose server is the real one.
    fn offer(&self, words: &str) {
        let number = words.split(' ').next().expect("a version");
        self.release(number, &version(words), &release_signer());
        self.publish(2);
    }

    fn settings(&self) -> Vec<(String, String)> {
        let key = release_signer().public_text().expect("a key");
        vec![
            ("PHOTOSYNC_UPDATE_URL".into(), self.releases.url.clone()),
            ("PHOTOSYNC_FAULT_RELEASE_KEY".into(), key),
            // No list of install.sh of this machine.
            ("HOME".into(), self.folder.display().to_string()),
        ]
    }

    /// Runs the installed server with `words`, with more variables.
    fn run_with(&self, program: &str, words: &[&str], more: &[(&str, &str)]) -> CommandOutcome {
        let settings = self.settings();
        let mut all: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        all.extend_from_slice(more);
        let program = self.bin().join(program);
        run_program(&program, words, b"", &all).expect("a command that ends")
    }

    fn run(&self, words: &[&str]) -> CommandOutcome {
        self.run_with("photosync-server", words, &[])
    }

    /// `update`, which must work.
    fn update(&self) {
        let outcome = self.run(&["update"]);
        assert_eq!(outcome.code, 0, "{}{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stdout.contains("Restart the server when you like"), "{}", outcome.stdout);
    }

    /// Names and bytes of the programs, without what an update notes.
    fn programs(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(self.bin()).expect("a folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".update.json") && !name.ends_with(".update.lock") {
                found.insert(name, fs::read(entry.path()).unwrap_or_default());
            }
        }
        found
    }

    /// Starts the installed server, which must end with this code before it has proved itself. Returns its log.
    fn start_that_ends(&self, code: i32) -> String {
        match self.stand.try_start() {
            Ok(mut server) => {
                let ended = server.wait_for_end(Duration::from_secs(40)).expect("an end");
                assert_eq!(ended, code, "{}", server.log());
                server.log()
            }
            Err(error) => {
                let text = error.to_string();
                let wanted = if code > 128 {
                    format!("signal: {}", code - 128)
                } else {
                    format!("exit status: {code}")
                };
                assert!(text.contains(&wanted), "{wanted}: {text}");
                text
            }
        }
    }

    /// The version that runs.
    fn running(&self) -> String {
        self.stand.with_server(|server| server.ready().version.clone())
    }

    /// Waits until the server has stopped to be tried.
    fn wait_for_proof(&self) {
        let proved = self.stand.with_server(|server: &mut ServerProcess| {
            server.wait_for_log("has proved itself", Duration::from_secs(30))
        });
        assert!(proved, "{}", self.stand.log());
    }

    fn ledger(&self) -> serde_json::Value {
        let text = fs::read(self.bin().join("photosync-server.update.json")).expect("a ledger");
        serde_json::from_slice(&text).expect("JSON")
    }
}

/// Standard output and standard error.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
