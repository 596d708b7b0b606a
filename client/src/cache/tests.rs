//! What the cache believes, and when it stops.

use super::*;

fn found(path: &str, mtime_ns: i64) -> Found {
    Found { path: path.into(), size_bytes: 3, mtime_ns, inode: 1 }
}

fn root(path: &str) -> Root {
    Root { start: path.into(), base: path.into() }
}

fn paths(pending: &[Pending]) -> Vec<(&str, bool)> {
    pending.iter().map(|p| (p.file.path.to_str().unwrap(), p.digest.is_some())).collect()
}

#[test]
fn only_new_changed_and_unsettled_files_are_pending_and_vanished_ones_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache.db")).unwrap();
    let all = || vec![found("/p/a", 1), found("/p/b", 1), found("/p/c", 1)];
    let (pending, settled) = cache.merge(&root("/p"), all(), &[]).unwrap();
    assert_eq!((pending.len(), settled), (3, 0));
    for (file, digest) in all().iter().zip([[1; 32], [2; 32], [3; 32]]) {
        cache.record(file, Digest(digest), i64::MAX).unwrap();
    }
    cache.settle(&[Digest([1; 32]), Digest([3; 32])]).unwrap();
    let now = vec![found("/p/a", 1), found("/p/b", 1), found("/p/bb", 1), found("/p/c", 2)];
    let (pending, settled) = cache.merge(&root("/p"), now, &[]).unwrap();
    assert_eq!(paths(&pending), [("/p/b", true), ("/p/bb", false), ("/p/c", false)]);
    assert_eq!(settled, 1);
    let (pending, _) = cache.merge(&root("/p"), vec![found("/p/b", 1)], &[]).unwrap();
    assert_eq!(paths(&pending), [("/p/b", true)]);
    assert_eq!(cache.digests().unwrap(), [Digest([2; 32])]);
}

#[test]
fn a_folder_that_could_not_be_read_keeps_its_files_and_a_neighbour_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache.db")).unwrap();
    cache.merge(&root("/p"), vec![found("/p/x/a", 1), found("/p/y", 1)], &[]).unwrap();
    cache.merge(&root("/p2"), vec![found("/p2/z", 1)], &[]).unwrap();
    cache.merge(&root("/p"), vec![], &["/p/x".into()]).unwrap();
    assert_eq!(cache.counts().unwrap().files, 2);
}

#[test]
fn a_file_hashed_in_the_instant_of_its_change_is_read_again_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache.db")).unwrap();
    let (old, young) = (found("/p/a", 5_000_000_001), found("/p/b", 5_000_000_001));
    cache.merge(&root("/p"), vec![old.clone(), young.clone()], &[]).unwrap();
    cache.record(&old, Digest([1; 32]), 6_000_000_000).unwrap();
    cache.record(&young, Digest([2; 32]), 5_001_000_000).unwrap();
    let (pending, _) = cache.merge(&root("/p"), vec![old, young], &[]).unwrap();
    assert_eq!(paths(&pending), [("/p/a", true), ("/p/b", false)]);
}

#[test]
fn a_damaged_cache_is_set_aside_and_another_device_starts_with_nothing_settled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.db");
    std::fs::write(&path, vec![b'x'; 9000]).unwrap();
    let cache = Cache::open(&path).unwrap();
    assert!(folder.path().join("cache.db.old").exists());
    cache.merge(&root("/p"), vec![found("/p/a", 1)], &[]).unwrap();
    cache.record(&found("/p/a", 1), Digest([1; 32]), i64::MAX).unwrap();
    cache.belong_to("one").unwrap();
    cache.settle(&[Digest([1; 32])]).unwrap();
    cache.belong_to("one").unwrap();
    assert_eq!(cache.counts().unwrap().settled, 1);
    cache.belong_to("two").unwrap();
    assert_eq!(cache.counts().unwrap().settled, 0);
}

#[test]
fn a_place_is_untold_until_it_was_told_and_again_when_its_bytes_change_or_get_lost() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache.db")).unwrap();
    let all = || vec![found("/p/a", 1), found("/p/b", 1), found("/p/c", 1)];
    cache.merge(&root("/p"), all(), &[]).unwrap();
    for file in all() {
        cache.record(&file, Digest([1; 32]), i64::MAX).unwrap();
    }
    let untold =
        || -> Vec<PathBuf> { cache.list_untold(b"", 9).unwrap().iter().map(Known::path).collect() };
    assert!(untold().is_empty(), "the server does not hold it yet");
    cache.settle(&[Digest([1; 32])]).unwrap();
    assert_eq!(untold().len(), 3);
    assert_eq!(cache.list_untold(b"/p/a", 1).unwrap()[0].path, b"/p/b");
    cache.set_told(&[("/p/a".into(), Digest([1; 32])), ("/p/b".into(), Digest([2; 32]))]).unwrap();
    assert_eq!(untold(), [PathBuf::from("/p/b"), "/p/c".into()], "other bytes lie there by now");
    cache.set_told(&[("/p/b".into(), Digest([1; 32])), ("/p/c".into(), Digest([1; 32]))]).unwrap();
    cache.merge(&root("/p"), all(), &[]).unwrap();
    assert!(untold().is_empty());
    // Changed: told when it has a digest again that the server holds.
    cache
        .merge(&root("/p"), vec![found("/p/a", 2), found("/p/b", 1), found("/p/c", 1)], &[])
        .unwrap();
    assert!(untold().is_empty());
    cache.record(&found("/p/a", 2), Digest([1; 32]), i64::MAX).unwrap();
    assert_eq!(untold(), [PathBuf::from("/p/a")]);
    cache.unsettle(&[Digest([1; 32])]).unwrap();
    cache.settle(&[Digest([1; 32])]).unwrap();
    assert_eq!(untold().len(), 3, "what the server lost it must be told again");
    cache.set_told(&[("/p/a".into(), Digest([1; 32]))]).unwrap();
    cache.belong_to("another").unwrap();
    cache.settle(&[Digest([1; 32])]).unwrap();
    assert_eq!(untold().len(), 3);
}

#[test]
fn a_cache_of_the_layout_before_is_kept_and_its_places_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.db");
    {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch(
            "CREATE TABLE files (path BLOB NOT NULL PRIMARY KEY, size_bytes INTEGER NOT NULL,
                 mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, digest BLOB) STRICT, WITHOUT ROWID;
             CREATE INDEX files_by_digest ON files (digest) WHERE digest IS NOT NULL;
             CREATE TABLE settled (digest BLOB NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
             CREATE TABLE receipts (account_uuid TEXT NOT NULL, digest BLOB NOT NULL,
                 verified_at_ms INTEGER NOT NULL, receipt TEXT NOT NULL,
                 PRIMARY KEY (account_uuid, digest)) STRICT, WITHOUT ROWID;
             CREATE TABLE facts (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
             INSERT INTO files VALUES (CAST('/p/a' AS BLOB), 3, 1, 1, zeroblob(32));
             INSERT INTO settled VALUES (zeroblob(32));
             PRAGMA user_version = 1;",
        )
        .unwrap();
    }
    let cache = Cache::open(&path).unwrap();
    assert!(!folder.path().join("cache.db.old").exists());
    let (pending, settled) = cache.merge(&root("/p"), vec![found("/p/a", 1)], &[]).unwrap();
    assert_eq!((pending.len(), settled), (0, 1), "nothing is read again");
    assert_eq!(cache.list_untold(b"", 9).unwrap().len(), 1);
}

#[test]
fn only_one_and_the_same_file_in_another_place_was_moved() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache.db")).unwrap();
    let file = |path: &str, inode| Found { inode, ..found(path, 1) };
    let moves = || -> Vec<(PathBuf, PathBuf)> {
        let moves = cache.list_moves(9).unwrap();
        moves.iter().map(|moved| (moved.from_path(), moved.to_path())).collect()
    };
    let see = |files: &[(&str, u64)], unread: &[PathBuf]| {
        let files: Vec<Found> = files.iter().map(|(path, inode)| file(path, *inode)).collect();
        let (pending, _) = cache.merge(&root("/p"), files, unread).unwrap();
        for pending in pending {
            let digest = Digest([u8::try_from(pending.file.inode).unwrap(); 32]);
            cache.record(&pending.file, digest, i64::MAX).unwrap();
        }
    };
    let tell = |path: &str, inode| cache.set_told(&[(path.into(), Digest([inode; 32]))]).unwrap();
    see(&[("/p/a", 1), ("/p/b", 2), ("/p/c", 3), ("/p/d/e", 4), ("/p/f", 0)], &[]);
    // a moved twice before the server heard of it; b was copied and removed; c only copied; d cannot be read;
    // f has no number.
    see(
        &[("/p/a2", 1), ("/p/b2", 5), ("/p/c", 3), ("/p/c2", 6), ("/p/e", 4), ("/p/f2", 0)],
        &["/p/d".into()],
    );
    assert_eq!(moves(), [], "the new places were not told yet");
    see(
        &[("/p/a3", 1), ("/p/b2", 5), ("/p/c", 3), ("/p/c2", 6), ("/p/e", 4), ("/p/f2", 0)],
        &["/p/d".into()],
    );
    for (path, inode) in [("/p/a3", 1), ("/p/b2", 5), ("/p/c2", 6), ("/p/e", 4), ("/p/f2", 0)] {
        tell(path, inode);
    }
    assert_eq!(moves(), [("/p/a".into(), "/p/a3".into())]);
    // It came back: then it lies in both places.
    see(&[("/p/a", 9), ("/p/a3", 1)], &[]);
    tell("/p/a", 9);
    assert_eq!(moves(), []);
    see(&[("/p/a", 9), ("/p/a4", 1)], &[]);
    tell("/p/a4", 1);
    let all = cache.list_moves(9).unwrap();
    assert_eq!(moves(), [("/p/a3".into(), "/p/a4".into())]);
    cache.forget_moves(&all).unwrap();
    assert_eq!(moves(), []);
    // Other bytes are another file, whatever the file system says.
    cache.merge(&root("/p"), vec![file("/p/a", 9), file("/p/a5", 1)], &[]).unwrap();
    cache.record(&file("/p/a5", 1), Digest([77; 32]), i64::MAX).unwrap();
    tell("/p/a5", 77);
    assert_eq!(moves(), []);
}
