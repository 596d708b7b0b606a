//! Segments and chains: anything may arrive, sealed with the right keys or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use photosync_protocol::format::object::id_of;
use photosync_protocol::format::segment::{Chains, Segment};
use photosync_protocol_fuzz::{EPOCH, head, keys, padded, sealed};

fuzz_target!(|input: &[u8]| {
    let Some((way, rest)) = input.split_first() else { return };
    let plain = match way {
        b'o' => {
            let _ = Segment::open(rest, &id_of(rest), keys());
            return;
        }
        b'p' => rest.to_vec(),
        _ => padded(rest),
    };
    let clear = [&head(b'S', EPOCH)[..], &keys().recovery_wrap].concat();
    let object = sealed(&clear, &plain, &keys().of(EPOCH).expect("an open epoch").segment);
    let id = id_of(&object);
    let Ok(segment) = Segment::open(&object, &id, keys()) else { return };
    let (again_id, again) = segment.seal(keys()).expect("a segment that was read");
    assert_eq!(Segment::open(&again, &again_id, keys()).as_ref(), Ok(&segment));
    let ids = Segment::live_ids(&segment.entries, &[]);
    assert!(ids.is_sorted());
    // A new client knows no chain; one that was told of heads knows them.
    let mut fresh = Chains::default();
    assert_eq!(fresh.extend(&segment, id).is_ok(), segment.sequence == 1);
    let told = serde_json::to_value(&segment.seen).expect("heads");
    let mut told: Chains = serde_json::from_value(told).expect("heads that were read");
    if told.extend(&segment, id).is_ok() {
        assert_eq!(told.head(segment.writer), Some(&segment.head(id)));
    }
    let _ = told.require_not_behind(&segment.seen);
});
