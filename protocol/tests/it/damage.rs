//! Everything that can be done to a repository without its keys: each flipped bit, each swap, truncations, dropped
//! objects and rolled-back chains are refused, and exactly the originals that use what was touched are named.

use std::collections::BTreeSet;
use std::rc::Rc;

use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use photosync_protocol::format::chunk;
use photosync_protocol::format::keyring::Keyring;
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::{Kind, id_of, peek};
use photosync_protocol::format::segment::Segment;
use proptest::prelude::*;

use crate::repository::{Memory, Outcome, Relay, Repository, Why, recovery};
use crate::third::fixed;

/// Opens an object as what it was before somebody touched it.
fn open(repository: &Repository, kind: Kind, object: &[u8], id: &Digest) -> Result<(), Bad> {
    let keys = &repository.keys;
    match kind {
        Kind::Chunk => chunk::open(&mut object.to_vec(), id, keys).map(|_| ()),
        Kind::Manifest => Manifest::open(object, id, keys).map(|_| ()),
        Kind::Segment => Segment::open(object, id, keys).map(|_| ()),
        Kind::Keyring => Keyring::recover(object, id, &recovery()).map(|_| ()),
    }
}

fn without(relay: &Relay, id: &Digest) -> Relay {
    let mut relay = relay.clone();
    relay.objects.remove(id);
    relay
}

fn with(relay: &Relay, id: &Digest, object: Vec<u8>) -> Relay {
    let mut relay = relay.clone();
    relay.objects.insert(*id, Rc::new(object));
    relay
}

/// The manifests that a reader did not restore.
fn lost(repository: &Repository, outcome: &Outcome) -> BTreeSet<Digest> {
    let restored = |id: &&Digest| matches!(outcome.assets.get(*id), Some(Ok(_)));
    repository.names.keys().filter(|id| !restored(id)).copied().collect()
}

/// Everything that the loss of these objects costs is lost and nothing else is, and every object that is to blame is
/// named. What is restored is what was backed up.
fn require_exactly(repository: &Repository, relay: &Relay, touched: &[Digest], why: Why) {
    let outcome = repository.read(relay, &Memory::default());
    let expected: BTreeSet<Digest> =
        touched.iter().flat_map(|id| repository.lost_with(id)).collect();
    let names = |ids: &BTreeSet<Digest>| -> Vec<String> {
        ids.iter().map(|id| repository.names[id].clone()).collect()
    };
    let found = lost(repository, &outcome);
    assert_eq!(names(&found), names(&expected), "{touched:?} {why:?}");
    let whole = repository.read(&repository.relay, &Memory::default());
    for (id, read) in &outcome.assets {
        match read {
            Ok(_) => assert_eq!(Some(read), whole.assets.get(id)),
            Err((object, found)) => {
                assert!(touched.contains(object), "{object} was not touched");
                assert_eq!(*found, why);
            }
        }
    }
    for (object, found) in &outcome.refused {
        // A segment behind a touched one is the successor of nothing.
        let follows = *found == Why::Refused(Bad::RolledBack);
        assert!(touched.contains(object) && *found == why || follows, "{object}: {found:?}");
    }
    let is_structural =
        |id: &&Digest| repository.relay.segments.contains(id) || **id == repository.relay.keyring;
    let structural = touched.iter().filter(is_structural).count();
    assert_eq!(structural == 0, outcome.refused.is_empty(), "{touched:?}");
}

#[test]
fn an_untouched_repository_is_read_whole() {
    let repository = Repository::new("untouched", true);
    assert!((38..=48).contains(&repository.relay.objects.len()));
    let outcome = repository.read(&repository.relay, &repository.memory);
    assert_eq!(lost(&repository, &outcome), BTreeSet::new());
    assert_eq!((outcome.refused, outcome.rolled_back), (vec![], false));
    assert_eq!(outcome.assets.len(), 18);
}

/// Bits to try: of chunks those of the clear fields, the tag and the length, and a sample of the rest; of all else
/// every one.
fn bits(kind: Kind, object: &[u8]) -> Vec<usize> {
    let all = object.len() * 8;
    if kind != Kind::Chunk {
        return (0..all).collect();
    }
    let sampled = if object.len() > 1 << 20 { 16 } else { 300 };
    let random = (0..sampled).map(|n| {
        let number: [u8; 8] = fixed(&format!("bit {n} of {}", id_of(object)));
        usize::try_from(u64::from_le_bytes(number) % all as u64).expect("a place")
    });
    // A chunk of 4 MiB takes a thousand times as long as one of 4 KiB, and its head is no other.
    let head = if object.len() > 1 << 20 { 12 * 8 } else { 56 * 8 };
    (0..head).chain(random).chain([all - 1]).collect()
}

#[test]
fn no_flipped_bit_of_any_object_is_taken_under_any_id() {
    let repository = Repository::new("flips", true);
    for (id, object) in &repository.relay.objects {
        let kind = peek(object).unwrap();
        assert_eq!(open(&repository, kind, object, id), Ok(()));
        let mut changed = object.to_vec();
        for bit in bits(kind, object) {
            changed[bit / 8] ^= 1 << (bit % 8);
            let renamed = id_of(&changed);
            assert_eq!(open(&repository, kind, &changed, id), Err(Bad::WrongId), "{id} bit {bit}");
            assert!(open(&repository, kind, &changed, &renamed).is_err(), "{id} bit {bit}");
            changed[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_flipped_bit_costs_exactly_the_originals_that_use_the_object() {
    let repository = Repository::new("a flip", true);
    for (id, object) in &repository.relay.objects {
        let mut changed = object.to_vec();
        let at = usize::from(id.0[0]) * 31 % changed.len();
        changed[at] ^= 0x10;
        let relay = with(&repository.relay, id, changed);
        require_exactly(&repository, &relay, &[*id], Why::Refused(Bad::WrongId));
    }
}

#[test]
fn a_changed_segment_or_keyring_that_is_listed_under_its_new_id_is_refused_too() {
    let repository = Repository::new("new ids", false);
    let listed = repository.relay.segments.iter().chain([&repository.relay.keyring]);
    for id in listed {
        let mut changed = repository.relay.objects[id].to_vec();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        let renamed = id_of(&changed);
        let mut relay = with(&without(&repository.relay, id), &renamed, changed);
        relay.segments.iter_mut().filter(|listed| *listed == id).for_each(|one| *one = renamed);
        if relay.keyring == *id {
            relay.keyring = renamed;
        }
        let outcome = repository.read(&relay, &Memory::default());
        assert_eq!(outcome.refused.first(), Some(&(renamed, Why::Refused(Bad::Forged))));
        assert_eq!(lost(&repository, &outcome), repository.lost_with(id));
    }
}

#[test]
fn any_two_objects_under_each_others_names_are_both_refused() {
    let repository = Repository::new("swaps", true);
    let ids: Vec<Digest> = repository.relay.objects.keys().copied().collect();
    let mut swaps = 0;
    for (at, one) in ids.iter().enumerate() {
        for other in &ids[at + 1..] {
            let mut relay = repository.relay.clone();
            let (first, second) = (relay.objects[one].clone(), relay.objects[other].clone());
            relay.objects.insert(*one, second);
            relay.objects.insert(*other, first);
            require_exactly(&repository, &relay, &[*one, *other], Why::Refused(Bad::WrongId));
            swaps += 1;
        }
    }
    assert!(swaps >= 700, "{swaps}");
}

#[test]
fn any_truncation_is_refused_and_costs_exactly_the_originals_that_use_the_object() {
    let repository = Repository::new("truncations", true);
    for (id, object) in &repository.relay.objects {
        let kind = peek(object).unwrap();
        let edges = [0, 1, 7, 8, 11, 12, 36, 52, 56, 84, 108, 128, 188, 212, 232];
        let sampled = (1..16).map(|part| object.len() * part / 16);
        let lengths = edges.into_iter().chain(sampled).chain([object.len() - 1]);
        for length in lengths {
            let cut = &object[..length];
            assert_eq!(open(&repository, kind, cut, id), Err(Bad::WrongId));
            assert!(open(&repository, kind, cut, &id_of(cut)).is_err(), "{id} cut to {length}");
        }
        let relay = with(&repository.relay, id, object[..object.len() / 2].to_vec());
        require_exactly(&repository, &relay, &[*id], Why::Refused(Bad::WrongId));
    }
}

#[test]
fn a_dropped_object_costs_exactly_the_originals_that_use_it() {
    let repository = Repository::new("drops", true);
    for id in repository.relay.objects.keys() {
        require_exactly(&repository, &without(&repository.relay, id), &[*id], Why::Missing);
    }
}

#[test]
fn a_chain_without_its_end_is_found_out_by_who_remembers_it_and_by_who_reads_the_other() {
    let repository = Repository::new("rollbacks", false);
    let count = repository.relay.segments.len();
    // Every set of ends: so many of the newest segments are not listed any more.
    for dropped in 1..=count {
        let mut relay = repository.relay.clone();
        relay.segments.truncate(count - dropped);
        let outcome = repository.read(&relay, &repository.memory);
        assert!(outcome.rolled_back, "{dropped} dropped");
        assert_eq!(outcome.refused, vec![]);
    }
    for hidden in 0..count {
        let mut relay = repository.relay.clone();
        let id = relay.segments.remove(hidden);
        assert!(repository.read(&relay, &repository.memory).rolled_back, "{hidden} hidden");
        let fresh = repository.read(&relay, &Memory::default());
        // Nobody has seen the newest of all; who comes for the first time cannot miss it.
        let is_noticed = fresh.rolled_back || !fresh.refused.is_empty();
        assert_eq!(is_noticed, hidden != count - 1, "{hidden} hidden from a newcomer");
        assert_eq!(lost(&repository, &fresh), repository.listed_from(&id));
    }
    // In another order, or twice, a chain is no chain.
    let mut relay = repository.relay.clone();
    relay.segments.swap(0, 2);
    assert!(!repository.read(&relay, &Memory::default()).refused.is_empty());
    let mut relay = repository.relay.clone();
    relay.segments.push(relay.segments[0]);
    let outcome = repository.read(&relay, &repository.memory);
    let twice = (relay.segments[0], Why::Refused(Bad::RolledBack));
    assert_eq!((outcome.refused, outcome.rolled_back), (vec![twice], false));
    assert_eq!(outcome.assets.len(), repository.names.len());
}

#[test]
fn an_older_keyring_is_refused_by_who_remembers_a_newer_one() {
    let repository = Repository::new("keyrings", false);
    let relay = Relay { keyring: repository.old_keyring, ..repository.relay.clone() };
    let outcome = repository.read(&relay, &repository.memory);
    let refused = (repository.old_keyring, Why::Refused(Bad::RolledBack));
    assert_eq!(outcome.refused, [refused]);
    // A newcomer reads what was sealed before the second epoch, and is told that there is more.
    let fresh = repository.read(&relay, &Memory::default());
    assert_eq!(fresh.assets.len(), 9);
    assert!(fresh.assets.values().all(Result::is_ok));
    let unknown = Why::Refused(Bad::UnknownEpoch);
    assert_eq!(fresh.refused.iter().filter(|(_, why)| *why == unknown).count(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_several_objects_suffer_exactly_their_originals_are_named(
        seed in "[a-z]{6}",
        touched in proptest::collection::btree_set(0_usize..38, 1..6),
        bit in any::<prop::sample::Index>(),
    ) {
        let repository = Repository::new(&seed, false);
        let ids: Vec<Digest> = repository.relay.objects.keys().copied().collect();
        let touched: Vec<Digest> = touched.into_iter().map(|at| ids[at]).collect();
        let mut relay = repository.relay.clone();
        for id in &touched {
            let mut object = relay.objects[id].to_vec();
            let bit = bit.index(object.len() * 8);
            object[bit / 8] ^= 1 << (bit % 8);
            relay = with(&relay, id, object);
        }
        require_exactly(&repository, &relay, &touched, Why::Refused(Bad::WrongId));
    }

    #[test]
    fn no_two_objects_of_a_repository_share_a_nonce_under_one_key(seed in "[a-z]{6}") {
        let repository = Repository::new(&seed, false);
        let mut nonces = BTreeSet::new();
        for object in repository.relay.objects.values() {
            let at = match peek(object).unwrap() {
                Kind::Chunk => 12,
                Kind::Manifest | Kind::Segment => 84,
                Kind::Keyring => 188,
            };
            prop_assert!(nonces.insert(object[at..at + 24].to_vec()));
        }
    }
}
