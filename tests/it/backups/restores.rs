//! Restoring onto another machine, whose disks are divided in another way.

use std::fs;
use std::path::Path;

use photosync_tests::server::{CommandOutcome, ServerProcess, run_command};

use super::{back_up, hex_of, noise, require_well, tree};
use crate::stand::Stand;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[test]
fn a_restore_puts_everything_where_the_settings_of_the_new_machine_say_and_a_server_starts_there() {
    let old_disk = tempfile::tempdir().expect("a folder");
    let old_chunks = old_disk.path().join("chunks");
    let stand = Stand::new(&[("PHOTOSYNC_STORAGE_RELAY_CHUNKS", text(&old_chunks))]);
    let alice = stand.person();
    alice.keep("a.jpg", &noise(1, 20_000));
    let sealed = noise(9, 30_000);
    assert_eq!(alice.put_chunk(&hex_of(&sealed), &sealed).status(), 200);
    assert_eq!(alice.put_manifest("one", "sealed").status(), 200);
    let target = old_disk.path().join("backups");
    require_well(&back_up(&stand, &target, &[]));
    stand.stop();

    let machine = tempfile::tempdir().expect("a folder");
    let place = |name: &str| machine.path().join(name);
    let data = place("data");
    let (photos, relay, chunks) = (place("photos"), place("relay"), place("chunks"));
    let database = place("fast/index.db");
    let flags = [
        ["--storage-uploads", text(&photos)],
        ["--storage-relay", text(&relay)],
        ["--storage-relay-chunks", text(&chunks)],
        ["--storage-database", text(&database)],
    ];
    // A new disk has a folder of its file system, the data folder a file of settings.
    fs::create_dir_all(photos.join("lost+found")).expect("a folder");
    fs::create_dir(&data).expect("a folder");
    fs::write(data.join("photosync.toml"), "[server]\nname = \"new\"\n").expect("written");
    let restore = || -> CommandOutcome {
        let mut words = vec!["restore-backup", text(&target), "--data", text(&data)];
        words.extend(flags.as_flattened());
        run_command(&words, b"").expect("a subcommand that ends")
    };
    fs::create_dir(&chunks).expect("a folder");
    fs::write(chunks.join("mine"), b"mine").expect("written");
    let refused = restore();
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("is not empty"), "{}", refused.stderr);
    assert_eq!(tree(&data).len(), 1, "nothing was begun");
    fs::remove_file(chunks.join("mine")).expect("removed");
    require_well(&restore());

    assert!(tree(&photos).keys().any(|path| path.ends_with("a.jpg")));
    assert!(tree(&chunks).keys().any(|path| path.ends_with(hex_of(&sealed))));
    assert!(!tree(&relay).keys().any(|path| path.ends_with(hex_of(&sealed))));
    assert!(!data.join("uploads").exists() && !data.join("photosync.db").exists());
    let settings = [
        ("PHOTOSYNC_STORAGE_UPLOADS", text(&photos)),
        ("PHOTOSYNC_STORAGE_RELAY", text(&relay)),
        ("PHOTOSYNC_STORAGE_RELAY_CHUNKS", text(&chunks)),
        ("PHOTOSYNC_STORAGE_DATABASE", text(&database)),
    ];
    let server = ServerProcess::start(&data, &settings).expect("a ready server");
    let again = crate::stand::Person { address: server.address(), ..alice.clone() };
    assert_eq!(again.download("a.jpg").body, noise(1, 20_000), "with the token from before");
    assert_eq!(again.get(&format!("/api/cloud/chunks/{}", hex_of(&sealed))).body, sealed);
    assert_eq!(server.stop().expect("an end"), 0);
    assert_eq!(restore().code, 1, "never over what is there");
}
