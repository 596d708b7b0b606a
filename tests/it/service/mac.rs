//! `install.sh` on a Mac, as far as a machine that only calls itself one can tell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::install::Place;
use super::{SIGNER, project, said};

#[test]
fn on_a_mac_the_server_becomes_a_launch_agent() {
    let place = Place::new();
    let tools = place.path("tools");
    fs::create_dir(&tools).expect("a folder");
    fs::write(
        tools.join("uname"),
        "#!/bin/sh\nif [ \"$1\" = -m ]; then echo arm64; else echo Darwin; fi\n",
    )
    .expect("uname");
    fs::set_permissions(tools.join("uname"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let outcome = Command::new(project().join("scripts/package"))
        .args(["--only", "tar", "--target", "aarch64-apple-darwin", "--key"])
        .arg(place.key().private())
        .arg("--bin")
        .arg(place.path("bin"))
        .arg("--out")
        .arg(place.path("mac"))
        .args(["--signer", SIGNER])
        .output()
        .expect("scripts/package");
    assert!(outcome.status.success(), "{}", said(&outcome));
    let outcome = Command::new("sh")
        .arg(place.path("mac/install.sh"))
        .args(["--server", "--from"])
        .arg(place.path("mac"))
        .arg("--root")
        .arg(place.path("root"))
        .env("HOME", "/Users/ann")
        .env("PATH", format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default()))
        .output()
        .expect("a shell");
    assert!(outcome.status.success(), "{}", said(&outcome));
    let files = place.files();
    let agent = String::from_utf8_lossy(&files["/Users/ann/Library/LaunchAgents/photosync.plist"])
        .into_owned();
    assert!(agent.contains("<string>/Users/ann/.local/bin/photosync-server</string>"), "{agent}");
    assert!(files.contains_key("/Users/ann/.local/bin/photosync"));
    assert!(!files.keys().any(|name| name.contains("systemd")), "{:?}", files.keys());
}
