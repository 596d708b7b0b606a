//! `install.sh` and `scripts/package`, file by file, in scratch roots. Programs are stand-ins: what runs is tried in
//! [`super::booted`].

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::{SIGNER, project, run, said};

/// An Ed25519 key pair for releases.
pub(super) struct Key {
    private: PathBuf,
}

impl Key {
    pub(super) fn make(folder: &Path) -> Key {
        let private = folder.join("release.pem");
        let made = run(
            "openssl",
            &["genpkey", "-algorithm", "ed25519", "-out", &private.to_string_lossy()],
        );
        assert!(made.status.success(), "{}", said(&made));
        Key { private }
    }

    /// Its file.
    pub(super) fn private(&self) -> &Path {
        &self.private
    }
}

/// Makes a release of the programs in `bin`.
pub(super) fn package(key: &Key, bin: &Path, out: &Path) {
    let outcome = Command::new(project().join("scripts/package"))
        .args(["--key".as_ref(), key.private.as_os_str(), "--bin".as_ref(), bin.as_os_str()])
        .args(["--out".as_ref(), out.as_os_str()])
        .args(["--only", "tar"])
        .args(["--signer", SIGNER])
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .expect("scripts/package");
    assert!(outcome.status.success(), "{}", said(&outcome));
}

/// Makes a release with a key of its own, and returns the public one.
pub(crate) fn package_of(folder: &Path, bin: &Path, out: &Path) -> String {
    let key = Key::make(folder);
    package(&key, bin, out);
    let signer = photosync_tests::release::Signer::read(&key.private).expect("a key");
    signer.public_text().expect("its public half")
}

/// A release of stand-ins, and a root to install it into.
pub(super) struct Place {
    folder: TempDir,
    key: Key,
}

impl Place {
    pub(super) fn new() -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = Key::make(folder.path());
        fs::create_dir(folder.path().join("root")).expect("a root");
        let place = Place { folder, key };
        place.release("first");
        place
    }

    /// What its releases are signed with.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes `<folder>/<name>`, a release whose programs say that name.
    pub(super) fn release(&self, name: &str) {
        self.release_of(name, &["photosync-server", "photosync"]);
    }

    fn release_of(&self, name: &str, programs: &[&str]) {
        let bin = self.path("bin");
        fs::create_dir_all(&bin).expect("a folder");
        for program in programs {
            let path = bin.join(program);
            fs::write(&path, format!("#!/bin/sh\necho '# {name} {program}'\n")).expect("a program");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        package(&self.key, &bin, &self.path(name));
    }

    /// Runs the release's own install.sh with the strictest shell there is, into the root, as a person whose files are
    /// nobody else's unless they say so.
    pub(super) fn install(&self, release: &str, more: &[&str]) -> Output {
        let shell = if Path::new("/bin/dash").exists() { "dash" } else { "sh" };
        let (script, root) = (self.path(release).join("install.sh"), self.path("root"));
        let temporary = self.path("tmp");
        fs::create_dir_all(&temporary).expect("a folder");
        let outcome = Command::new(shell)
            .args(["-c", "umask 077; exec \"$@\"", "strict", shell])
            .arg(script)
            .args(["--root".as_ref(), root.as_os_str()])
            .args(more)
            .env("TMPDIR", &temporary)
            .env_remove("PHOTOSYNC_UPDATE_URL")
            .output()
            .expect("a shell");
        let left = files_below(&temporary);
        assert!(left.is_empty(), "left in the temporary folder: {left:?}");
        outcome
    }

    pub(super) fn install_server(&self, release: &str, more: &[&str]) -> Output {
        let from = self.path(release).to_string_lossy().into_owned();
        let mut all = vec!["--server", "--from", &from];
        all.extend_from_slice(more);
        self.install(release, &all)
    }

    fn install_desktop(&self, release: &str) -> Output {
        let from = self.path(release).to_string_lossy().into_owned();
        self.install(release, &["--desktop", "--from", &from])
    }

    /// Everything below the root with its bytes.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files_below(&self.path("root"))
    }
}

pub(super) fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below it").to_string_lossy();
                found.insert(format!("/{name}"), fs::read(&path).unwrap_or_default());
            }
        }
    }
    found
}

/// Every file that `--server` writes as root, accounts aside.
const WRITTEN: &[&str] = &[
    "/usr/local/bin/photosync",
    "/usr/local/bin/photosync-server",
    "/usr/local/lib/systemd/system/photosync.service",
    "/usr/local/lib/systemd/system/photosync.socket",
    "/usr/local/lib/sysusers.d/photosync.conf",
    "/usr/local/lib/tmpfiles.d/photosync.conf",
    "/usr/local/share/doc/photosync/Caddyfile",
    "/usr/local/share/doc/photosync/LICENSE",
    "/usr/local/share/doc/photosync/OPERATIONS.md",
    "/usr/local/share/doc/photosync/README.md",
    "/usr/local/share/doc/photosync/cloudflared.yml",
    "/usr/local/share/doc/photosync/haproxy.cfg",
    "/usr/local/share/doc/photosync/low-ports.conf",
    "/usr/local/share/doc/photosync/nginx.conf",
    "/usr/local/share/doc/photosync/photosync.toml",
];
pub(super) const SETTINGS: &str = "/etc/photosync/photosync.toml";
pub(super) const LIST: &str = "/var/lib/photosync-installer/installed";

/// Names below the root that are neither of the account nor made by us.
pub(super) fn names(files: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
    let of_account = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/.pwd.lock"];
    let backups = |name: &str| of_account.iter().any(|file| name.starts_with(file));
    files.keys().map(String::as_str).filter(|name| !backups(name)).collect()
}

/// Installing as somebody else goes to a home instead; these tests are about the system's places.
pub(super) fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("SKIPPED: this needs root");
    }
    is_root
}

#[test]
fn install_upgrade_and_uninstall_touch_exactly_their_own_files() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let dry = place.install_server("first", &["--dry-run"]);
    assert!(dry.status.success(), "{}", said(&dry));
    assert!(said(&dry).contains("would write"), "{}", said(&dry));
    assert_eq!(place.files(), BTreeMap::new(), "a dry run writes nothing");

    let done = place.install_server("first", &[]);
    assert!(done.status.success(), "{}", said(&done));
    let first = place.files();
    let mut wanted: Vec<&str> = WRITTEN.to_vec();
    wanted.extend([SETTINGS, LIST]);
    wanted.sort_unstable();
    assert_eq!(names(&first), wanted);
    let unit = String::from_utf8_lossy(&first["/usr/local/lib/systemd/system/photosync.service"])
        .into_owned();
    assert!(unit.contains("ExecStart=/usr/local/bin/photosync-server serve"), "{unit}");
    assert!(!unit.contains("/usr/bin/photosync"), "{unit}");
    for name in WRITTEN.iter().chain([&SETTINGS]) {
        let path = place.path("root").join(name.trim_start_matches('/'));
        for path in path.ancestors().take_while(|above| *above != place.path("root")) {
            let mode = fs::metadata(path).expect("there").permissions().mode();
            assert_eq!(mode & 0o044, 0o044, "{} is not for everybody: {mode:o}", path.display());
        }
    }

    let again = place.install_server("first", &[]);
    assert!(said(&again).contains("nothing was changed"), "{}", said(&again));
    assert_eq!(place.files(), first);

    // What the owner adds and changes stays, whatever happens to the programs.
    let root = place.path("root");
    fs::create_dir_all(root.join("var/lib/photosync/uploads")).expect("a folder");
    for (name, text) in [
        ("var/lib/photosync/uploads/IMG_1.jpg", "photo"),
        (SETTINGS.trim_start_matches('/'), "# mine"),
    ] {
        fs::write(root.join(name), text).expect("a file");
    }
    fs::write(root.join("usr/local/bin/other"), "other").expect("a file");
    place.release("second");
    let upgraded = place.install_server("second", &[]);
    assert!(upgraded.status.success(), "{}", said(&upgraded));
    let second = place.files();
    let program = String::from_utf8_lossy(&second["/usr/local/bin/photosync-server"]).into_owned();
    assert!(program.contains("second"), "{program}");
    assert_eq!(second[SETTINGS], b"# mine");

    let removed = place.install("second", &["--uninstall"]);
    assert!(removed.status.success(), "{}", said(&removed));
    let left = place.files();
    assert_eq!(
        names(&left),
        [SETTINGS, "/usr/local/bin/other", "/var/lib/photosync/uploads/IMG_1.jpg"]
    );
    for name in names(&left) {
        assert_eq!(left[name], second[name], "{name}");
    }
    let twice = place.install("second", &["--uninstall"]);
    assert_eq!(twice.status.code(), Some(66), "{}", said(&twice));
    assert_eq!(place.files(), left);
}

#[test]
fn a_release_that_is_not_the_signed_one_is_refused_before_anything_is_unpacked() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let release = place.path("first");
    let archive = fs::read_dir(&release)
        .expect("a release")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|name| name.ends_with(".tar.gz"))
        .expect("an archive");
    // An archive that leaves a trace if it is ever given to tar.
    let trap = place.path("trap");
    fs::create_dir(&trap).expect("a folder");
    fs::write(
        trap.join("tar"),
        format!("#!/bin/sh\n: >'{}'\nexit 1\n", place.path("unpacked").display()),
    )
    .expect("tar");
    fs::set_permissions(trap.join("tar"), fs::Permissions::from_mode(0o755)).expect("a mode");

    let refuse = |what: &str, file: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = release.join(file);
        let good = fs::read(&path).expect("a file of the release");
        let mut bad = good.clone();
        change(&mut bad);
        fs::write(&path, &bad).expect("a changed file");
        let from = release.to_string_lossy().into_owned();
        let outcome = Command::new("sh")
            .arg(release.join("install.sh"))
            .args(["--server", "--from", &from, "--root"])
            .arg(place.path("root"))
            .env(
                "PATH",
                format!("{}:{}", trap.display(), std::env::var("PATH").unwrap_or_default()),
            )
            .output()
            .expect("a shell");
        assert_eq!(outcome.status.code(), Some(65), "{what}: {}", said(&outcome));
        assert!(said(&outcome).contains("nothing was installed"), "{what}: {}", said(&outcome));
        assert!(!place.path("unpacked").exists(), "{what}: was unpacked");
        assert_eq!(place.files(), BTreeMap::new(), "{what}");
        fs::write(&path, good).expect("the good file");
    };
    refuse("a changed archive", &archive, &|bytes| bytes[100] ^= 1);
    refuse("a longer archive", &archive, &|bytes| bytes.push(0));
    refuse("a cut archive", &archive, &|bytes| bytes.truncate(bytes.len() / 2));
    refuse("another checksum", "SHA256SUMS", &|bytes| {
        bytes[0] = if bytes[0] == b'0' { b'1' } else { b'0' }
    });
    refuse("another signature", "SHA256SUMS.sig", &|bytes| bytes[10] ^= 1);
    refuse("no signature", "SHA256SUMS.sig", &Vec::clear);

    // Everything fits together, but somebody else signed it.
    let other = Key::make(&trap);
    package(&other, &place.path("bin"), &place.path("others"));
    for file in [archive.as_str(), "SHA256SUMS", "SHA256SUMS.sig"] {
        fs::copy(place.path("others").join(file), release.join(file)).expect("a copy");
    }
    let outcome = place.install_server("first", &[]);
    assert_eq!(outcome.status.code(), Some(65), "{}", said(&outcome));
    assert_eq!(place.files(), BTreeMap::new());
}

#[test]
fn a_file_that_somebody_else_wrote_stops_the_installation_before_its_first_write() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let theirs = place.path("root/usr/local/lib/systemd/system");
    fs::create_dir_all(&theirs).expect("a folder");
    fs::write(theirs.join("photosync.service"), "theirs").expect("a file");
    let before = place.files();
    let outcome = place.install_server("first", &[]);
    assert_eq!(outcome.status.code(), Some(73), "{}", said(&outcome));
    assert!(
        said(&outcome).contains("photosync.service was not written by this script"),
        "{}",
        said(&outcome)
    );
    assert_eq!(place.files(), before);

    fs::remove_file(theirs.join("photosync.service")).expect("moved away");
    assert!(place.install_server("first", &[]).status.success());
    // Changed by its owner: neither overwritten by an upgrade nor removed.
    fs::write(theirs.join("photosync.service"), "changed").expect("a file");
    place.release("second");
    let outcome = place.install_server("second", &[]);
    assert_eq!(outcome.status.code(), Some(73), "{}", said(&outcome));
    let outcome = place.install("first", &["--uninstall"]);
    assert!(said(&outcome).contains("left alone"), "{}", said(&outcome));
    assert_eq!(place.files()["/usr/local/lib/systemd/system/photosync.service"], b"changed");
}

#[test]
fn without_a_release_source_or_a_key_nothing_is_asked_of_anybody() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let outcome = place.install("first", &["--server"]);
    assert_eq!(outcome.status.code(), Some(78), "{}", said(&outcome));
    assert!(said(&outcome).contains("no release source"), "{}", said(&outcome));
    // The variable is a source.
    let outcome = Command::new("sh")
        .arg(place.path("first/install.sh"))
        .args(["--server", "--dry-run", "--root"])
        .arg(place.path("root"))
        .env("PHOTOSYNC_UPDATE_URL", place.path("first"))
        .output()
        .expect("a shell");
    assert!(outcome.status.success(), "{}", said(&outcome));
    // The script of the checkout knows no key.
    let from = place.path("first").to_string_lossy().into_owned();
    let root = place.path("root").to_string_lossy().into_owned();
    let outcome = run("sh", &["install.sh", "--server", "--from", &from, "--root", &root]);
    assert_eq!(outcome.status.code(), Some(78), "{}", said(&outcome));
    assert!(said(&outcome).contains("no release key"), "{}", said(&outcome));
    // Neither --server nor --desktop, and nobody to ask.
    let outcome = place.install("first", &[]);
    assert_eq!(outcome.status.code(), Some(64), "{}", said(&outcome));
    assert_eq!(place.files(), BTreeMap::new());
}

#[test]
fn a_desktop_gets_the_tray_and_no_service_and_does_not_turn_into_a_server_by_itself() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let without_tray = place.install_desktop("first");
    assert_eq!(without_tray.status.code(), Some(1), "{}", said(&without_tray));
    assert_eq!(place.files(), BTreeMap::new());
    place.release_of("desktop", &["photosync-server", "photosync", "photosync-tray"]);
    let done = place.install_desktop("desktop");
    assert!(done.status.success(), "{}", said(&done));
    let files = place.files();
    assert!(files.contains_key("/usr/local/bin/photosync-tray"));
    assert!(!files.keys().any(|name| name.contains("systemd")), "{:?}", files.keys());
    let other = place.install_server("desktop", &[]);
    assert_eq!(other.status.code(), Some(78), "{}", said(&other));
    assert_eq!(place.files(), files);
    assert!(place.install("desktop", &["--uninstall"]).status.success());
    assert_eq!(place.files(), BTreeMap::new());
}

#[test]
fn a_checkout_is_built_and_installed_without_a_release() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let (tools, target) = (place.path("tools"), place.path("target"));
    fs::create_dir(&tools).expect("a folder");
    // Stands in for a build of minutes: notes what it was asked, and leaves the stand-ins where a build would.
    let script = format!(
        "#!/bin/sh\nset -e\necho \"$@\" >'{}'\nmkdir -p \"$CARGO_TARGET_DIR/release\"\ncp '{}'/* \"$CARGO_TARGET_DIR/release/\"\n",
        place.path("asked").display(),
        place.path("bin").display(),
    );
    fs::write(tools.join("cargo"), script).expect("cargo");
    fs::set_permissions(tools.join("cargo"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let install = |more: &[&str]| {
        Command::new("sh")
            .arg(project().join("installers/install-server.sh"))
            .args(["--from-source", "--root"])
            .arg(place.path("root"))
            .args(more)
            .env("CARGO_TARGET_DIR", &target)
            .env(
                "PATH",
                format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default()),
            )
            .output()
            .expect("a shell")
    };
    let dry = install(&["--dry-run"]);
    assert!(dry.status.success() && said(&dry).contains("would build"), "{}", said(&dry));
    assert!(!target.exists() && place.files().is_empty(), "a dry run builds nothing");
    let done = install(&[]);
    assert!(done.status.success(), "{}", said(&done));
    let asked = fs::read_to_string(place.path("asked")).expect("what cargo was asked");
    assert_eq!(
        asked.trim(),
        "build --quiet --release --locked -p photosync-server -p photosync-client"
    );
    let files = place.files();
    assert!(WRITTEN.iter().all(|name| files.contains_key(*name)), "{:?}", files.keys());
}

#[test]
fn a_download_of_the_script_that_was_cut_off_does_nothing() {
    let text = fs::read_to_string(project().join("install.sh")).expect("the script");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines: Vec<&str> = text.lines().collect();
    let root = folder.path().join("root");
    for kept in (0..lines.len()).step_by(7).chain([lines.len() - 1]) {
        let cut = folder.path().join("cut.sh");
        fs::write(&cut, lines[..kept].join("\n")).expect("a script");
        let cut = cut.to_string_lossy();
        let outcome = run("sh", &[&cut, "--server", "--root", &root.to_string_lossy()]);
        assert!(outcome.stdout.is_empty(), "{kept} lines: {}", said(&outcome));
        assert!(!root.exists(), "{kept} lines");
    }
}

#[test]
fn the_same_programs_make_the_same_release() {
    let place = Place::new();
    package(&place.key, &place.path("bin"), &place.path("again"));
    assert_eq!(files_below(&place.path("first")), files_below(&place.path("again")));
}
