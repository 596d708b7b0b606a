//! The index of a sealed backup: what the place lost of it is put back, and what it says is not believed blindly.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use photosync_client::relay::{Space, verify};
use photosync_client::report::Event;
use photosync_protocol::digest::Digest;
use photosync_protocol::format::segment::{Entry, Segment, Writer};

use crate::relay::{Computer, Failed, of_kind};
use crate::stand::Kept;

fn space_of(computer: &Computer) -> Space {
    Space::find(&computer.profile, &computer.store().name()).unwrap().unwrap()
}

/// A computer with a chain of three segments; its segments in the place, the newest last.
async fn chain(computer: &Computer) -> Vec<PathBuf> {
    computer.begin().await;
    for name in ["a.jpg", "b.jpg", "c.jpg"] {
        computer.write(name, name.as_bytes());
        computer.backup().await.unwrap();
    }
    let (mut segments, _) = space_of(computer).segments().unwrap();
    segments.sort_by_key(|one| one.segment.sequence);
    let path = |id: Digest| computer.place.join("segments").join(id.to_string());
    segments.into_iter().map(|one| path(one.id)).collect()
}

fn notes(kept: &Kept) -> Vec<String> {
    let events = kept.0.lock().unwrap();
    let note = |event: &Event| match event {
        Event::Note { text } => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(note).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_segment_is_put_back_at_the_next_backup_and_a_new_computer_reads_the_chain() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    let segments = chain(&mine).await;
    let before: Vec<_> = segments.iter().map(|path| fs::read(path).unwrap()).collect();
    fs::remove_file(&segments[0]).unwrap();
    fs::remove_file(&segments[1]).unwrap();
    let two = Computer::new(disk.path(), "b");
    two.unlock().await.unwrap();
    assert_eq!(two.backup().await.unwrap_err().code, "rolled_back");
    // Nothing has changed here, and still.
    assert_eq!(mine.backup().await.unwrap().sent_files, 0);
    let after: Vec<_> = segments.iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(after, before);
    assert!(two.backup().await.unwrap().complete);
    // The newest one is another matter: without it this may be an old state.
    fs::remove_file(&segments[2]).unwrap();
    assert_eq!(mine.backup().await.unwrap_err().code, "rolled_back");
    assert!(!segments[2].exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_found_by_reading_and_replaced_and_stays_beside() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    let segments = chain(&mine).await;
    for path in [&segments[0], &segments[2]] {
        let good = fs::read(path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        fs::write(path, &bad).unwrap();
        let mut relay = mine.open(Arc::new(Failed::default())).await;
        assert_eq!(verify(&mut relay, true).await.unwrap().lost_files, 0);
        assert_eq!(fs::read(path).unwrap(), good);
        let mut aside = path.clone().into_os_string();
        aside.push(".damaged");
        assert_eq!(fs::read(aside).unwrap(), bad);
    }
    let two = Computer::new(disk.path(), "b");
    two.unlock().await.unwrap();
    assert!(two.backup().await.unwrap().complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_told_without_opening_the_index_again() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    chain(&mine).await;
    let known = space_of(&mine).tally().unwrap();
    assert_eq!((known.files, known.segments, known.computers), (3, 3, 1));
    let folder = mine.home.join("profile/relay");
    let folder = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    for copy in fs::read_dir(folder.join("segments")).unwrap() {
        fs::write(copy.unwrap().path(), "unreadable").unwrap();
    }
    assert_eq!(space_of(&mine).tally().unwrap(), known);
    // Only what is new is opened; a note that is damaged is made again.
    mine.write("d.jpg", b"d");
    mine.backup().await.unwrap();
    assert_eq!(space_of(&mine).tally().unwrap().files, 4);
    fs::write(folder.join("tally.json"), "{").unwrap();
    assert_eq!(space_of(&mine).tally().unwrap().files, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_told_the_relay_to_keep_other_pieces_is_named_and_its_photos_count() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    chain(&mine).await;
    let space = space_of(&mine);
    let (segments, _) = space.segments().unwrap();
    let entries: Vec<Entry> = segments[0].segment.entries.clone();
    let planted = Segment {
        writer: Writer([7; 16]),
        sequence: 1,
        previous: None,
        written_at_ms: 1,
        seen: vec![],
        live: Digest([0; 32]),
        entries,
    };
    let (id, object) = planted.seal(&space.keys).unwrap();
    fs::write(mine.place.join("segments").join(id.to_string()), object).unwrap();
    let kept = Arc::new(Kept::default());
    let mut relay = mine.open(kept.clone()).await;
    let verified = verify(&mut relay, false).await.unwrap();
    assert_eq!((verified.files, verified.lost_files), (3, 0));
    let said = notes(&kept);
    assert!(said.len() == 1 && said[0].contains(&id.to_string()), "{said:?}");
    assert_eq!(of_kind(&mine.place, "segments").len(), 4);
}
