//! The packages that `scripts/package` makes, built of the programs under test: twice the same bytes, nothing for the
//! checkers to find, and under a real systemd installed, used, upgraded, removed and purged (`tests/service/packages.sh`).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::booted::{boot_and_run, strip_programs};
use super::install::{Key, files_below};
use super::{SIGNER, project, run, said};
use crate::stand::Stand;

/// `scripts/package` with these options, quick; the names of the files it made.
fn package(options: &[&str], variables: &[(&str, &str)]) -> Vec<PathBuf> {
    let outcome = Command::new(project().join("scripts/package"))
        .args(["--quick", "--signer", SIGNER])
        .args(options)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .envs(variables.iter().copied())
        .output()
        .expect("scripts/package");
    assert!(outcome.status.success(), "{}", said(&outcome));
    String::from_utf8_lossy(&outcome.stdout).lines().map(PathBuf::from).collect()
}

/// Small programs that take `--help`, in place of ours: what counts is what is made of them.
fn stand_ins(folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    fs::create_dir(&bin).expect("a folder");
    for (program, stand_in) in
        [("photosync-server", "true"), ("photosync", "cat"), ("photosync-tray", "echo")]
    {
        fs::copy(Path::new("/bin").join(stand_in), bin.join(program)).expect("a program");
    }
    bin
}

/// A file that begins like the runtime of an AppImage.
fn runtime(folder: &Path) -> PathBuf {
    let path = folder.join("runtime");
    fs::write(&path, b"\x7fELF\x02\x01\x01\0AI\x02 and so on").expect("a file");
    path
}

#[test]
fn the_same_programs_give_the_same_bytes_in_every_kind_of_package_and_one_list_covers_all() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (bin, runtime) = (stand_ins(folder.path()), runtime(folder.path()));
    let key = Key::make(folder.path());
    let make = |name: &str| {
        let out = folder.path().join(name);
        let (key, bin, out) =
            (key.private().to_string_lossy(), bin.to_string_lossy(), out.to_string_lossy());
        let options = ["--key", &key, "--bin", &bin, "--out", &out];
        let only = ["--only", "tar,deb,rpm,appimage,container"];
        let runtime = runtime.to_string_lossy();
        let variables = [("PACKAGE_APPIMAGE_RUNTIME", &*runtime)];
        (package(&[&options[..], &only[..]].concat(), &variables), files_below(Path::new(&*out)))
    };
    let (made, first) = make("first");
    let (_, second) = make("second");
    assert_eq!(made.len(), 9, "{made:?}");
    for (name, bytes) in &first {
        assert!(second[name] == *bytes, "{name} differs");
    }
    assert_eq!(first.len(), second.len());

    let list = String::from_utf8_lossy(&first["/SHA256SUMS"]).into_owned();
    let listed: Vec<&str> = list.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    let mut wanted: Vec<&str> = first.keys().map(|name| name.trim_start_matches('/')).collect();
    wanted.retain(|name| !name.starts_with("SHA256SUMS"));
    assert_eq!(listed, wanted, "the signed list names every file");

    // The places that desktops and the program itself look at.
    for (package, by) in [("deb", "apt\n"), ("rpm", "rpm\n"), ("AppImage", "appimage\n")] {
        let desktop = made.iter().find(|file| {
            let name = file.to_string_lossy();
            name.ends_with(package) && (name.contains("desktop") || package == "AppImage")
        });
        let tree = unpacked(desktop.expect("a package"), runtime.as_path());
        let text = |path: &str| fs::read_to_string(tree.path().join(path)).expect(path);
        assert_eq!(text("usr/lib/photosync/installed-by"), by);
        let entry = text("usr/share/applications/photosync.desktop");
        assert_eq!(
            entry,
            fs::read_to_string(project().join("tray/assets/photosync.desktop")).expect("ours")
        );
        assert!(text("usr/share/icons/hicolor/scalable/apps/photosync.svg").contains("<svg"));
        assert!(
            !tree.path().join("usr/lib/systemd").exists(),
            "{package}: a desktop has no service"
        );
        let entry = tree.path().join("usr/share/applications/photosync.desktop");
        let checked = run("desktop-file-validate", &[&entry.to_string_lossy()]);
        assert!(checked.status.success(), "{}", said(&checked));
        if package == "AppImage" {
            // The stand-in for the icon echoes: links choose the program by their name.
            let start = |name: &str| {
                let outcome = Command::new(tree.path().join("AppRun"))
                    .arg("hello")
                    .env("ARGV0", name)
                    .output()
                    .expect("AppRun");
                (outcome.status.code(), String::from_utf8_lossy(&outcome.stdout).into_owned())
            };
            assert_eq!(start("./PhotoSync.AppImage"), (Some(0), "hello\n".to_owned()));
            assert_eq!(start("/usr/local/bin/photosync"), (Some(1), String::new()));
            assert_eq!(start("photosync-server"), (Some(0), String::new()));
        }
    }
}

/// What is in a package.
fn unpacked(package: &Path, runtime: &Path) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, to) = (package.to_string_lossy(), folder.path().to_string_lossy());
    let outcome = match package.extension().and_then(|extension| extension.to_str()) {
        Some("deb") => run("dpkg-deb", &["-x", &file, &to]),
        Some("rpm") => {
            run("sh", &["-c", "rpm2cpio \"$0\" | (cd \"$1\" && cpio -id --quiet)", &file, &to])
        }
        _ => {
            let behind = fs::metadata(runtime).expect("the runtime").len().to_string();
            run("unsquashfs", &["-q", "-f", "-o", &behind, "-d", &to, &file])
        }
    };
    assert!(outcome.status.success(), "{}", said(&outcome));
    folder
}

#[test]
fn a_kind_that_cannot_be_made_is_an_error_if_it_was_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bin = stand_ins(folder.path());
    let (bin, out) = (bin.to_string_lossy(), folder.path().join("out"));
    let out = out.to_string_lossy();
    let refuse = |more: &[&str]| {
        let all = [&["--bin", &bin, "--out", &out], more].concat();
        let outcome = run(project().join("scripts/package"), &all);
        (outcome.status.code(), said(&outcome))
    };
    let (code, text) = refuse(&["--unsigned", "--only", "appimage"]);
    assert_eq!(code, Some(69), "{text}");
    assert!(text.contains("PACKAGE_APPIMAGE_RUNTIME"), "{text}");
    let (code, text) = refuse(&["--unsigned", "--only", "floppy"]);
    assert_eq!(code, Some(64), "{text}");
    let (code, text) = refuse(&["--only", "tar"]);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("must be signed"), "{text}");
    assert_eq!(files_below(Path::new(&*out)), BTreeMap::new());
}

/// Versions of the packages of `bin`: this one in `first`, and one with other programs and a higher number in `next`.
fn versions(bin: &Path, folder: &Path) {
    let name = |path: &Path| path.to_string_lossy().into_owned();
    let first = name(&folder.join("first"));
    let options = ["--unsigned", "--bin", &name(bin), "--out", &first];
    package(&[&options[..], &["--only", "deb,rpm,container"]].concat(), &[]);
    // The desktop has been packed; its next version would show nothing more.
    fs::remove_file(bin.join("photosync-tray")).expect("the stand-in");
    for program in ["photosync-server", "photosync"] {
        let outcome =
            run("objcopy", &["--add-section", ".version=/etc/hostname", &name(&bin.join(program))]);
        assert!(outcome.status.success(), "{}", said(&outcome));
    }
    fs::create_dir(folder.join("next")).expect("a folder");
    for kind in ["deb", "rpm"] {
        let outcome = Command::new(project().join(format!("installers/{kind}/build")))
            .env("PACKAGE_VERSION", "99.0.0")
            .env("PACKAGE_TARGET", format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
            .env("PACKAGE_BIN", bin)
            .env("PACKAGE_OUT", folder.join("next"))
            .env("PACKAGE_TIME", "1700000001")
            .env("PACKAGE_QUICK", "yes")
            .output()
            .expect("a build");
        assert!(outcome.status.success(), "{}", said(&outcome));
    }
}

#[test]
fn under_systemd_packages_are_installed_used_upgraded_and_purged_and_every_photo_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let programs = tempfile::tempdir().expect("a temporary folder");
    strip_programs(programs.path());
    // The icon is large, and nothing of it is tried here but that it starts.
    let tray = programs.path().join("photosync-tray");
    fs::copy("/bin/true", &tray).expect("a stand-in");
    fs::set_permissions(&tray, fs::Permissions::from_mode(0o755)).expect("a mode");
    versions(programs.path(), folder.path());
    let packages: Vec<String> = files_below(&folder.path().join("first")).into_keys().collect();
    assert!(
        packages.iter().any(|name| name.ends_with("container-0.1.0-x86_64.tar"))
            || cfg!(not(target_arch = "x86_64")),
        "{packages:?}"
    );

    let lintian = Command::new("lintian")
        // Mistakes of spelling in what a compiler wrote; it takes most of the time.
        .args(["--no-cfg", "--allow-root", "--dont-check-part", "binaries/spelling"])
        .args(["--fail-on", "error,warning", "--tag-display-limit", "0"])
        .args(
            packages
                .iter()
                .filter(|name| name.ends_with(".deb"))
                .map(|name| format!("{}{name}", folder.path().join("first").display())),
        )
        .output()
        .expect("lintian");
    assert!(lintian.status.success(), "{}", said(&lintian));
    println!("lintian: {}", said(&lintian));
    let rpmlint = Command::new("rpmlint")
        .arg("--config")
        .arg(project().join("installers/rpm/rpmlint.toml"))
        .args(
            packages
                .iter()
                .filter(|name| name.ends_with(".rpm"))
                .map(|name| format!("{}{name}", folder.path().join("first").display())),
        )
        .output()
        .expect("rpmlint");
    assert!(
        rpmlint.status.success() && said(&rpmlint).contains("0 errors, 0 warnings"),
        "{}",
        said(&rpmlint)
    );

    for (from, name) in
        [("install.sh", "install.sh"), ("installers/container/compose.yaml", "compose.yaml")]
    {
        fs::copy(project().join(from), folder.path().join(name)).expect("a copy");
    }
    boot_and_run(folder.path(), "packages.sh");
}

#[test]
fn health_says_whether_a_server_runs_and_makes_nothing_where_none_does() {
    let empty = tempfile::tempdir().expect("a temporary folder");
    let data = empty.path().to_string_lossy().into_owned();
    let none =
        photosync_tests::server::run_command(&["health", "--data", &data], b"").expect("an end");
    assert_eq!(none.code, 1, "{}{}", none.stdout, none.stderr);
    assert!(none.stderr.contains("no server runs"), "{}", none.stderr);
    assert_eq!(files_below(empty.path()), BTreeMap::new());

    let stand = Stand::new(&[]);
    let well = stand.command(&["health"], "");
    assert_eq!((well.code, well.stdout.trim()), (0, "ready"), "{}", well.stderr);
    stand.stop();
    let stopped = stand.command(&["health"], "");
    assert_eq!(stopped.code, 1, "{}{}", stopped.stdout, stopped.stderr);
}
