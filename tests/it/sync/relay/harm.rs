//! What the disk, the plan and other people do to sealed objects.

use std::fs;

use photosync_tests::relay::chunk_id;
use serde_json::json;

use super::{Owner, keyring, object, raw_id, unframed};
use crate::stand::{PASSWORD, Stand, files_below};
use crate::sync::{Native, code_of, json_of, sign_in};

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

#[test]
fn check_names_sealed_objects_that_are_missing_or_changed() {
    let stand = Stand::new(&[]);
    let owner = Owner::of(&stand);
    let objects: Vec<Vec<u8>> = (0..3).map(|seed| object('C', seed, 500)).collect();
    assert_eq!(owner.phone.put_batch(&objects).status(), 200);
    stand.require_agreement();
    let [gone, changed] = [&objects[0], &objects[1]].map(|object| chunk_id(object));
    fs::remove_file(owner.path_of(&gone)).expect("a removed file");
    fs::write(owner.path_of(&changed), &objects[2]).expect("a changed file");
    fs::write(owner.path_of(&changed).with_file_name("stray"), b"x").expect("a stray file");
    let found = stand.command(&["check", "--read"], "");
    assert_eq!(found.code, 3, "{}", found.stdout);
    assert!(
        found.stdout.contains(&format!("missing: the sealed object {gone}")),
        "{}",
        found.stdout
    );
    let damaged = format!("damaged (the bytes have changed): the sealed object {changed}");
    assert!(found.stdout.contains(&damaged), "{}", found.stdout);
    assert!(found.stdout.contains("spare: the relay file stray"), "{}", found.stdout);
}

#[test]
fn a_lost_database_costs_sealed_objects_neither_their_bytes_nor_their_order() {
    let stand = Stand::new(&[]);
    let owner = Owner::of(&stand);
    let phone = &owner.phone;
    let writer = "0123456789abcdef0123456789abcdef";
    let objects: Vec<Vec<u8>> =
        (0..9).map(|seed| object(['C', 'M'][seed % 2], seed as u64, 90)).collect();
    assert_eq!(phone.put_batch(&objects).status(), 200);
    for sequence in 1..4 {
        assert_eq!(phone.put_keyring(sequence, &keyring(sequence, sequence)).status(), 201);
        let segment = object('S', 50 + sequence, 100);
        let posted =
            phone.post_segment(writer, &sequence.to_string(), &[raw_id(&objects[0])], &segment);
        assert_eq!(posted.status(), 201, "{}", posted.text());
    }
    // A segment at a place that another one has already leaves no trace in the order.
    assert_eq!(phone.post_segment(writer, "3", &[], &object('S', 99, 100)).status(), 409);
    let look = |phone: &Native| {
        let list = phone.send(phone.request("GET", "/relay/objects"));
        (phone.heads(), phone.segments(&format!("writer={writer}")), json_of(&list))
    };
    let before = look(phone);
    stand.stop();
    for file in files_below(stand.data()) {
        if file.to_string_lossy().contains("photosync.db") {
            fs::remove_file(file).expect("a lost database");
        }
    }
    let rebuilt = stand.command(&["rebuild"], "");
    assert_eq!(rebuilt.code, 0, "{}{}", rebuilt.stdout, rebuilt.stderr);
    assert_eq!(
        stand.command(&["user", "passwd", &owner.person.email], &format!("{PASSWORD}\n")).code,
        0
    );
    stand.start();
    let phone = Native::of(&stand, &sign_in(&stand, &owner.person.email, PASSWORD, "Test phone"));
    assert_eq!(look(&phone), before);
    assert_eq!(phone.have(&objects), [0; 9]);
    let next = phone.post_segment(writer, "4", &[raw_id(&objects[1])], &object('S', 60, 100));
    assert_eq!(next.status(), 201, "{}", next.text());
    assert_eq!(phone.put_keyring(4, &keyring(4, 4)).status(), 201);
    stand.require_agreement();
}

#[test]
fn ten_thousand_objects_take_no_more_memory_than_a_few() {
    let stand = Stand::new(&[]);
    let owner = Owner::of(&stand);
    let batch = |number: u64| -> Vec<Vec<u8>> {
        (0..1000).map(|seed| object('C', number * 1000 + seed, 20_000)).collect()
    };
    assert_eq!(owner.phone.put_batch(&batch(0)).status(), 200);
    let pid = stand.with_server(|server| server.pid());
    let before = crate::weaknesses::robustness::memory_bytes(pid, "VmHWM");
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (owner, batch) = (&owner, &batch);
            scope.spawn(move || {
                for number in 0..5 {
                    let stored = owner.phone.put_batch(&batch(10 + thread * 5 + number));
                    assert_eq!(stored.status(), 200, "{}", stored.text());
                }
            });
        }
    });
    println!("relay: 10,000 objects of 20 KB in {:.1} s", began.elapsed().as_secs_f64());
    let grown = crate::weaknesses::robustness::memory_bytes(pid, "VmHWM").saturating_sub(before);
    assert!(grown < 64 << 20, "10 batches of 20 MB took {} MiB of memory", grown >> 20);
    assert_eq!(owner.files(), 11_000);
    let fetched = owner.phone.send_bytes(
        "POST",
        "/relay/fetch",
        &batch(12).iter().flat_map(|object| raw_id(object)).collect::<Vec<u8>>(),
    );
    let expected: Vec<_> = batch(12).into_iter().map(Some).collect();
    assert!(unframed(&fetched.body) == expected);
}
