//! Updates that take place: one that is good, and the many ways in which a new version can turn out not to be.

use std::fs;

use super::{Drill, release_signer, stand_in};
use crate::stand::Person;

const PHOTO: &[u8] = b"\xff\xd8 the only copy of a photo";

/// An installation with a photo, version 0.2.0 installed and not started, and the person whose photo it is.
fn updated(words: &str, settings: &[(&str, &str)]) -> (Drill, Person) {
    let drill = Drill::new(settings);
    drill.stand.start();
    let anna = drill.stand.person();
    anna.keep("IMG_0001.jpg", PHOTO);
    drill.offer(words);
    drill.update();
    assert_eq!(drill.running(), "0.1.0", "nothing is restarted");
    anna.keep("IMG_0002.jpg", b"while the new version waits");
    drill.stand.stop();
    (drill, anna)
}

/// The version before is back with everything that was ever acknowledged, and goes on.
fn require_way_back(drill: &Drill, anna: &Person) {
    drill.stand.start();
    assert_eq!(drill.running(), "0.1.0");
    let anna = anna.at(&drill.stand);
    anna.require_library(&[
        ("IMG_0001.jpg", PHOTO),
        ("IMG_0002.jpg", b"while the new version waits"),
    ]);
    anna.keep("IMG_0003.jpg", b"after the way back");
    drill.stand.require_agreement();
    assert!(!drill.stand.data().join("update-trial.json").exists());
    assert_eq!(drill.ledger()["update"]["stage"], "gone_back");
    assert_eq!(drill.programs().len(), 2, "nothing is left of the update");

    let again = drill.run(&["update"]);
    assert_eq!(again.code, 1, "{}", again.stdout);
    assert!(again.stderr.contains("did not become healthy"), "{}", again.stderr);
    drill.stand.stop();
    drill.stand.start();
    assert_eq!(drill.running(), "0.1.0", "and it stays");
}

#[test]
fn a_good_update_migrates_takes_no_upload_before_it_has_proved_itself_and_loses_nothing() {
    let (drill, anna) = updated("0.2.0 migrates", &[]);
    let old = drill.programs()["photosync-server.previous"].clone();
    let refused = drill.stand.command(&["user", "list"], "");
    assert_eq!(refused.code, 74, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains("has not served these data yet"), "{}", refused.stderr);

    drill.stand.start();
    assert_eq!(drill.running(), "0.2.0");
    let anna = anna.at(&drill.stand);
    let early = anna.put_raw("IMG_0003.jpg", b"too early");
    assert_eq!((early.status(), early.header("Retry-After")), (503, Some("3")), "{}", early.text());
    assert_eq!(anna.names().len(), 2, "what is there can be read");
    assert_eq!(anna.staged(), 0);
    drill.wait_for_proof();
    anna.keep("IMG_0003.jpg", b"after the proof");
    anna.require_library(&[
        ("IMG_0001.jpg", PHOTO),
        ("IMG_0002.jpg", b"while the new version waits"),
        ("IMG_0003.jpg", b"after the proof"),
    ]);
    drill.stand.require_agreement();
    assert!(drill.programs()["photosync-server.previous"] != old || drill.programs().len() == 4);

    // It has proved itself once and for all.
    drill.stand.kill();
    drill.stand.start();
    assert_eq!(drill.running(), "0.2.0");
    anna.at(&drill.stand).keep("IMG_0004.jpg", b"at once");
    assert_eq!(drill.run(&["update"]).stdout, "this is 0.2.0; there is no newer version\n");
}

#[test]
fn a_new_version_that_dies_after_it_has_migrated_goes_with_its_second_start() {
    let (drill, anna) = updated("0.2.0 migrates update.boot:1:kill", &[]);
    drill.start_that_ends(137);
    let log = drill.start_that_ends(75);
    assert!(log.contains("0.1.0 is back"), "{log}");
    require_way_back(&drill, &anna);
}

#[test]
fn a_new_version_that_answers_but_never_becomes_healthy_goes_by_itself_and_has_stored_nothing() {
    let short = [("PHOTOSYNC_FAULT_TRIAL_MS", "4000")];
    let (drill, anna) = updated("0.2.0 migrates update.healthy:1+:eio", &short);
    drill.stand.start();
    let late = anna.at(&drill.stand);
    for _ in 0..3 {
        assert_eq!(late.put_raw("IMG_0009.jpg", b"never").status(), 503);
    }
    let code = drill.stand.take().wait_for_end(crate::stand::SOON).expect("an end");
    assert_eq!(code, 75);
    require_way_back(&drill, &anna);
}

#[test]
fn a_new_version_that_hangs_or_fails_before_it_answers_goes_by_itself() {
    for (words, because) in [
        ("0.2.0 migrates update.boot:1:stall", "did not become healthy within"),
        ("0.2.0 update.boot:1:eio", "could not open"),
    ] {
        let (drill, anna) = updated(words, &[("PHOTOSYNC_FAULT_TRIAL_MS", "1500")]);
        let log = drill.start_that_ends(75);
        assert!(log.contains("0.1.0 is back") && log.contains(because), "{words}: {log}");
        require_way_back(&drill, &anna);
    }
}

#[test]
fn a_new_version_that_cannot_say_anything_goes_when_who_starts_it_asks_the_one_before() {
    let drill = Drill::new(&[]);
    drill.stand.start();
    let anna = drill.stand.person();
    anna.keep("IMG_0001.jpg", PHOTO);
    anna.keep("IMG_0002.jpg", b"while the new version waits");
    drill.release("0.2.0", &stand_in("0.2.0", "kill -SEGV $$"), &release_signer());
    drill.publish(2);
    drill.update();
    let data = drill.stand.data().to_string_lossy().into_owned();
    let settle = || {
        let words = ["update", "--settle", "--data", &data];
        let outcome = drill.run_with("photosync-server.previous", &words, &[]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        outcome.stderr
    };
    assert_eq!(settle(), "", "a server that runs is left alone");
    assert_eq!(drill.ledger()["update"]["seen"], serde_json::json!({}));
    drill.stand.stop();
    assert_eq!(settle(), "", "it gets its try");
    drill.start_that_ends(139);
    assert!(settle().contains("0.1.0 is back"));
    require_way_back(&drill, &anna);
}

#[test]
fn a_stop_during_the_trial_is_not_held_against_a_version_and_it_is_tried_again() {
    let (drill, anna) = updated("0.2.0 migrates", &[]);
    drill.stand.start();
    drill.stand.stop();
    let trial = fs::read_to_string(drill.stand.data().join("update-trial.json")).expect("a note");
    assert!(trial.contains("\"stopped\"") && trial.contains("before-"), "{trial}");
    drill.stand.start();
    assert_eq!(drill.running(), "0.2.0");
    let waits = drill.run(&["update"]);
    assert!(waits.code == 0 || waits.stderr.contains("has not proved itself"), "{}", waits.stderr);
    drill.wait_for_proof();
    anna.at(&drill.stand).keep("IMG_0003.jpg", b"after the proof");
}

#[test]
fn a_version_that_is_put_back_by_hand_while_it_is_tried_leaves_the_database_of_the_one_before() {
    let (drill, anna) = updated("0.2.0 migrates", &[]);
    drill.stand.start();
    drill.stand.kill();
    let back = drill.run_with("photosync-server.previous", &["update", "--rollback"], &[]);
    assert_eq!(back.code, 0, "{}{}", back.stdout, back.stderr);
    // An original that was stored and has no row: as a crash leaves it.
    fs::write(anna.folder.join("IMG_0007.jpg"), b"bytes without a row").expect("a file");
    drill.stand.start();
    assert_eq!(drill.running(), "0.1.0");
    let anna = anna.at(&drill.stand);
    let end = std::time::Instant::now() + crate::stand::SOON;
    while anna.names().len() < 3 {
        assert!(std::time::Instant::now() < end, "{:?}", anna.names());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(anna.download("IMG_0007.jpg").body, b"bytes without a row");
    drill.stand.require_agreement();
}

#[test]
fn of_two_updates_without_a_restart_the_way_back_leads_to_the_version_that_had_run() {
    let (drill, anna) = updated("0.2.0 migrates", &[("PHOTOSYNC_FAULT_TRIAL_MS", "1500")]);
    let old = drill.programs()["photosync-server.previous"].clone();
    drill.offer("0.3.0 migrates update.boot:1:stall");
    drill.update();
    assert!(drill.programs()["photosync-server.previous"] == old, "0.2.0 has never run");
    let log = drill.start_that_ends(75);
    assert!(log.contains("0.1.0 is back"), "{log}");
    require_way_back(&drill, &anna);
}
