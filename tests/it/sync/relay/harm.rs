//! What the disk, the plan and other people do to sealed objects.

use std::fs;

use photosync_tests::relay::chunk_id;
use serde_json::json;

use super::{Owner, object, raw_id, unframed};
use crate::stand::Stand;
use crate::sync::{code_of, json_of};

/// Something that happens to a file.
type Harm = fn(&std::path::Path);

#[test]
fn an_object_damaged_on_disk_is_never_served_and_heals_when_it_is_sent_again() {
    let stand = Stand::new(&[]);
    let owner = Owner::of(&stand);
    let harms: [(&str, Harm); 3] = [
        ("other bytes", |path| {
            let mut bytes = fs::read(path).expect("a file");
            bytes[50] ^= 1;
            fs::write(path, bytes).expect("a changed file");
        }),
        ("cut", |path| fs::write(path, b"PSYNC2C\n").expect("a cut file")),
        ("gone", |path| fs::remove_file(path).expect("a removed file")),
    ];
    for (seed, (name, harm)) in harms.into_iter().enumerate() {
        let object = object('C', 40 + seed as u64, 1000);
        let id = chunk_id(&object);
        assert_eq!(owner.phone.put_object(&object).status(), 201);
        let used_bytes = owner.used_bytes();
        harm(&owner.path_of(&id));
        if seed % 2 == 0 {
            let answer = owner.phone.get_object(&id);
            assert_eq!((answer.status(), code_of(&answer).as_str()), (404, "damaged"), "{name}");
        } else {
            let answer = owner.phone.send_bytes("POST", "/relay/fetch", &raw_id(&object));
            assert_eq!(unframed(&answer.body), [None], "{name}");
        }
        assert_eq!(owner.phone.have([&object]), [1], "{name}: it is asked for again");
        let listed = owner.phone.send(owner.phone.request("GET", "/relay/objects")).text();
        assert!(!listed.contains(&id), "{name}: {listed}");
        let healed = owner.phone.put_object(&object);
        assert_eq!(json_of(&healed), json!({"ids": [id], "known": 0}), "{name}");
        assert_eq!(owner.phone.have([&object]), [0], "{name}");
        assert_eq!(owner.phone.get_object(&id).body, object, "{name}");
        assert_eq!(owner.used_bytes(), used_bytes, "{name}: counted once");
    }
}

#[test]
fn damage_that_nobody_noticed_is_replaced_by_the_same_bytes_sent_again() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let object = object('C', 77, 1000);
    let id = chunk_id(&object);
    assert_eq!(owner.phone.put_object(&object).status(), 201);
    fs::write(owner.path_of(&id), b"something else").expect("a changed file");
    assert_eq!(owner.phone.have([&object]), [0], "nobody looked");
    let healed = owner.phone.put_batch([&object]);
    assert_eq!(json_of(&healed), json!({"ids": [id], "known": 0}));
    assert_eq!(owner.phone.get_object(&id).body, object);
}

#[test]
fn the_same_object_from_everywhere_at_once_is_one_object() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let objects: Vec<Vec<u8>> = (0..20).map(|seed| object('C', 6000 + seed, 3000)).collect();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let batches = (0..4).map(|_| scope.spawn(|| owner.phone.put_batch(&objects)));
        let single = (0..4).map(|_| scope.spawn(|| owner.phone.put_object(&objects[3])));
        let running: Vec<_> = batches.chain(single).collect();
        running.into_iter().map(|sent| sent.join().expect("an answer")).collect()
    });
    assert!(answers.iter().all(|answer| matches!(answer.status(), 200 | 201)));
    let known: u64 =
        answers.iter().map(|answer| json_of(answer)["known"].as_u64().expect("a number")).sum();
    assert_eq!(known, 64, "each of the 20 is new exactly once");
    let sum: usize = objects.iter().map(Vec::len).sum();
    assert_eq!((owner.files(), owner.used_bytes()), (20, sum as u64));
    stand.require_agreement();
}
