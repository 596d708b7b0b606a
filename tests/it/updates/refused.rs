//! What is not to be trusted, not for this machine, or does not fit on it, changes nothing.

use std::fs;
use std::process::Command;

use photosync_tests::release::Signer;
use photosync_tests::server::{find_binary, run_program};
use serde_json::json;

use super::{Drill, release_signer, said, stand_in, target};

/// An installation whose programs are never served, with a small release that is good in itself.
fn small() -> Drill {
    let drill = Drill::new(&[]);
    drill.release("0.2.0", &stand_in("0.2.0", "exit 1"), &release_signer());
    drill.publish(2);
    drill
}

/// Updating fails, says so, and leaves every program as it is.
fn require_refusal(drill: &Drill, what: &str, because: &str) {
    require_refusal_with(drill, what, because, &["update"], &[]);
}

fn require_refusal_with(
    drill: &Drill,
    what: &str,
    because: &str,
    words: &[&str],
    more: &[(&str, &str)],
) {
    let before = drill.programs();
    let outcome = drill.run_with("photosync-server", words, more);
    assert_eq!(outcome.code, 1, "{what}: {}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stderr.contains(because), "{what}: {}", outcome.stderr);
    assert!(drill.programs() == before, "{what}: a program was changed, or something was left");
}

#[test]
fn a_release_with_a_byte_of_any_kind_changed_is_refused_and_the_untouched_one_is_not() {
    let drill = small();
    let archive = format!("photosync-0.2.0-{}.tar.gz", target());
    let length = fs::metadata(drill.releases().join(&archive)).expect("an archive").len();
    let length = usize::try_from(length).expect("a length");
    let manifest = fs::metadata(drill.releases().join("manifest.json")).expect("a manifest").len();
    let middle = usize::try_from(manifest / 2).expect("a length");
    // Of the archive: its magic number, flags and time, the packed programs, their checksum and length, the block with the
    // signature (its head, the signature itself, where it begins), the last byte.
    let signature = length - 14 - 16 - 108;
    let of_archive = [
        0,
        3,
        5,
        40,
        length / 3,
        signature - 11,
        signature - 5,
        signature,
        signature + 60,
        length - 20,
        length - 1,
    ];
    let mut places: Vec<(&str, usize)> = of_archive.map(|at| (archive.as_str(), at)).to_vec();
    places.extend([("manifest.json", 0), ("manifest.json", middle)]);
    places.extend([("manifest.json.sig", 0), ("manifest.json.sig", 40), ("manifest.json.sig", 63)]);
    for (name, at) in places {
        let path = drill.releases().join(name);
        let good = fs::read(&path).expect("a file");
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, bad).expect("a file");
        let because = if name == archive {
            "its checksum is not the signed one"
        } else {
            "is not signed by the release key"
        };
        require_refusal(&drill, &format!("{name} at {at}"), because);
        fs::write(&path, good).expect("a file");
    }
    drill.update();
}

#[test]
fn another_key_another_name_and_no_signature_are_refused_even_if_the_checksum_is_right() {
    let drill = small();
    let name = format!("photosync-0.2.0-{}.tar.gz", target());
    let stranger = Signer::from_seed([8; 32]);
    stranger.write_manifest(&drill.releases(), 2, "0.1.0").expect("a manifest");
    require_refusal(&drill, "a manifest of another key", "is not signed by the release key");

    let server = stand_in("0.2.0", "exit 1");
    drill.release("0.2.0", &server, &stranger);
    drill.publish(2);
    require_refusal(&drill, "an archive of another key", "is not signed by the release key");

    // Signed by the right key, as another version.
    let other = drill.release("0.3.0", &server, &release_signer());
    fs::rename(other, drill.releases().join(&name)).expect("a file");
    drill.publish(2);
    require_refusal(&drill, "an archive under another name", "is not signed by the release key");

    fs::remove_file(drill.releases().join("manifest.json.sig")).expect("a signature");
    require_refusal(&drill, "no signature", "could not get");
}

#[test]
fn an_older_version_an_older_list_and_a_version_with_a_known_hole_are_refused() {
    let drill = Drill::new(&[]);
    drill.release("0.0.9", &stand_in("0.0.9", "exit 1"), &release_signer());
    drill.publish(5);
    let nothing = drill.run(&["update"]);
    assert_eq!(nothing.code, 0, "{}", nothing.stderr);
    assert!(nothing.stdout.contains("there is no newer version"), "{}", nothing.stdout);
    require_refusal_with(&drill, "older", "is older than 0.1.0", &["update", "--to", "0.0.9"], &[]);

    // A list from before that one, with a version that was withdrawn since.
    drill.release("0.2.0", &stand_in("0.2.0", "exit 1"), &release_signer());
    drill.publish(4);
    require_refusal(&drill, "an older list", "an older list of releases");
    let looked = drill.run(&["check-update"]);
    assert_eq!(looked.code, 1, "{}", looked.stdout);

    release_signer().write_manifest(&drill.releases(), 6, "0.3.0").expect("a manifest");
    require_refusal(&drill, "a hole", "must not be used any more");
    let other = json!({"schema": 1, "product": "another", "sequence": 7, "minimum_version": "0.1.0", "releases": []});
    release_signer().write_manifest_of(&drill.releases(), &other).expect("a manifest");
    require_refusal(&drill, "another product of the same key", "not of photosync");
}

#[test]
fn a_download_that_is_cut_off_a_program_that_does_not_run_and_a_full_disk_change_nothing() {
    let drill = small();
    let archive = drill.releases().join(format!("photosync-0.2.0-{}.tar.gz", target()));
    let length =
        usize::try_from(fs::metadata(archive).expect("an archive").len()).expect("a length");
    for bytes in [0, 1, length / 2, length - 1] {
        drill.releases.mischief.lock().expect("a lock").cut_at = Some(bytes);
        require_refusal(&drill, &format!("cut after {bytes}"), "could not get");
    }
    drill.releases.mischief.lock().expect("a lock").cut_at = None;
    for (what, server) in [
        ("not a program", b"\x7fELF but not really".to_vec()),
        ("another version", stand_in("0.9.0", "exit 1")),
        ("a crash", b"#!/bin/sh\nkill -SEGV $$\n".to_vec()),
    ] {
        drill.release("0.2.0", &server, &release_signer());
        drill.publish(2);
        let before = drill.programs();
        let outcome = drill.run(&["update"]);
        assert_eq!(outcome.code, 1, "{what}: {}{}", outcome.stdout, outcome.stderr);
        assert!(drill.programs() == before, "{what}");
    }
    drill.release("0.2.0", &stand_in("0.2.0", "exit 1"), &release_signer());
    drill.publish(2);
    let full = [("PHOTOSYNC_FAULT", "update.unpack:1:enospc")];
    require_refusal_with(&drill, "no room to unpack", "No space left", &["update"], &full);
    // As a disk that fills up in the middle of the download: a write ends short, and the next one fails.
    let server = [stand_in("0.2.0", "exit 1"), random_bytes()].concat();
    let large = drill.release("0.2.0", &server, &release_signer());
    assert!(fs::metadata(large).expect("an archive").len() > 8192);
    drill.publish(3);
    let before = drill.programs();
    let limited = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" update"])
        .arg(drill.bin().join("photosync-server"))
        .envs(drill.settings())
        .output()
        .expect("bash");
    assert_eq!(limited.status.code(), Some(1), "{}", said(&limited));
    assert!(said(&limited).contains("could not get"), "{}", said(&limited));
    assert!(drill.programs() == before, "{}", said(&limited));
    drill.update();
}

/// Bytes that no packer makes smaller.
fn random_bytes() -> Vec<u8> {
    use sha2::{Digest, Sha256};
    (0..1000u32).flat_map(|number| Sha256::digest(number.to_be_bytes()).to_vec()).collect()
}

#[test]
fn a_disk_that_fails_between_two_programs_leaves_the_old_server_and_the_next_update_is_whole() {
    let drill = small();
    let before = drill.programs();
    let full = [("PHOTOSYNC_FAULT", "update.replace:2:enospc")];
    let outcome = drill.run_with("photosync-server", &["update"], &full);
    assert_eq!(outcome.code, 1, "{}{}", outcome.stdout, outcome.stderr);
    let between = drill.programs();
    assert!(
        between["photosync-server"] == before["photosync-server"],
        "the server is replaced last"
    );
    // A kill at the same place.
    let killed = [("PHOTOSYNC_FAULT", "update.replace:2:kill")];
    assert_eq!(drill.run_with("photosync-server", &["update"], &killed).code, 137);

    drill.update();
    let after = drill.programs();
    assert!(
        after["photosync-server.previous"] == before["photosync-server"],
        "the old server is kept"
    );
    assert!(after["photosync.previous"] == before["photosync"], "the old client is kept");
    assert_eq!(after["photosync"], b"#!/bin/sh\necho the client of 0.2.0\n");
    assert!(!after.contains_key("photosync-tray"), "what was not installed is not installed now");
    assert_eq!(after.len(), 4, "{:?}", after.keys());

    let back = drill.run_with("photosync-server.previous", &["update", "--rollback"], &[]);
    assert_eq!(back.code, 0, "{}{}", back.stdout, back.stderr);
    assert!(drill.programs() == before, "all programs are back");
}

#[test]
fn a_build_without_a_key_and_an_installation_without_a_source_say_so() {
    let drill = small();
    let plain = find_binary().expect("the server");
    let url = [("PHOTOSYNC_UPDATE_URL", drill.releases.url.as_str())];
    for words in [["check-update"], ["update"]] {
        let outcome = run_program(&plain, &words, b"", &url).expect("an end");
        assert_eq!(outcome.code, 78, "{}{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stderr.contains("no release key"), "{}", outcome.stderr);
        let outcome = drill.run_with("photosync-server", &words, &[("PHOTOSYNC_UPDATE_URL", "")]);
        assert_eq!(outcome.code, 78, "{}{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stderr.contains("no release source"), "{}", outcome.stderr);
    }
}
