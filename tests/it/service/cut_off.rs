//! An installation that is cut off between two bytes: whatever was written is known to be the installer's.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use super::install::{LIST, Place, SETTINGS, is_root, names};
use super::said;

/// How writing a file ends before its end.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Killed,
    DiskFull,
}

/// Runs the installer of `release`; the writing of file number `at`, from 1, ends half-way.
fn install_until(place: &Place, release: &str, at: usize, end: End) -> Output {
    let tools = place.path("tools");
    fs::create_dir_all(&tools).expect("a folder");
    let last = match end {
        End::Killed => "kill -KILL \"$PPID\"",
        End::DiskFull => "exit 1",
    };
    let script = format!(
        "#!/bin/sh\ncase $2 in\n*.photosync-new)\n  echo x >>\"$COUNT\"\n  if [ \"$(wc -l <\"$COUNT\")\" -eq {at} ]; then \
         head -c 10 \"$1\" >\"$2\"; {last}; fi ;;\nesac\nexec /bin/cp \"$@\"\n"
    );
    fs::write(tools.join("cp"), script).expect("cp");
    fs::set_permissions(tools.join("cp"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let count = place.path("count");
    fs::write(&count, "").expect("a count");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    Command::new("sh")
        .arg(place.path(release).join("install.sh"))
        .args(["--server".as_ref(), "--from".as_ref(), place.path(release).as_os_str()])
        .args(["--root".as_ref(), place.path("root").as_os_str()])
        .env("PATH", path)
        .env("COUNT", count)
        // A killed script leaves its working folder: in a place that nobody looks at.
        .env("TMPDIR", place.path(""))
        .output()
        .expect("a shell")
}

#[test]
fn an_installation_that_was_cut_off_can_be_upgraded_and_uninstalled() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    place.release("second");
    let fresh = || {
        fs::remove_dir_all(place.path("root")).expect("the root");
        fs::create_dir(place.path("root")).expect("a root");
    };
    assert!(place.install_server("second", &[]).status.success());
    // The settings are the owner's from the first run on.
    let ours = |mut files: BTreeMap<String, Vec<u8>>| {
        let kept: Vec<String> = names(&files).into_iter().map(str::to_owned).collect();
        files.retain(|name, _| kept.contains(name) && name != SETTINGS);
        files
    };
    let wanted = ours(place.files());
    for (end, cases) in
        [(End::Killed, [(false, 1), (true, 2)].as_slice()), (End::DiskFull, &[(true, 2)])]
    {
        for &(is_upgrade, at) in cases {
            let case = format!("upgrade {is_upgrade}, file {at}, killed {}", end == End::Killed);
            let cut_off = || {
                fresh();
                if is_upgrade {
                    let done = place.install_server("first", &[]);
                    assert!(done.status.success(), "{case}: {}", said(&done));
                }
                let (release, other) = match is_upgrade {
                    true => ("second", "first"),
                    false => ("first", "second"),
                };
                let cut = install_until(&place, release, at, end);
                assert!(!cut.status.success(), "{case}: {}", said(&cut));
                let left = place.files();
                let has_half = left.keys().any(|name| name.ends_with(".photosync-new"));
                assert_eq!(has_half, end == End::Killed, "{case}: {:?}", left.keys());
                assert!(left.contains_key(LIST), "{case}");
                other
            };
            // By the same release, by another one, and away.
            for release in ["second", "first"] {
                cut_off();
                let done = place.install_server(release, &[]);
                assert!(done.status.success(), "{case}: {}", said(&done));
                let done = place.install_server("second", &[]);
                assert!(done.status.success(), "{case}: {}", said(&done));
                assert!(ours(place.files()) == wanted, "{case}: {:?}", place.files().keys());
            }
            let other = cut_off();
            let done = place.install(other, &["--uninstall"]);
            assert!(done.status.success(), "{case}: {}", said(&done));
            assert!(!said(&done).contains("left alone"), "{case}: {}", said(&done));
            let mut left = place.files();
            left.remove(SETTINGS);
            assert_eq!(names(&left), Vec::<&str>::new(), "{case}");
        }
    }
}
