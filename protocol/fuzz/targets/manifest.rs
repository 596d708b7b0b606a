//! Manifests: anything may arrive, sealed with the right keys or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::{self, id_of};
use photosync_protocol_fuzz::{EPOCH, head, keys, padded, sealed};

fuzz_target!(|input: &[u8]| {
    let Some((way, rest)) = input.split_first() else { return };
    let plain = match way {
        b'o' => {
            let _ = (object::peek(rest), object::recovery_wrap(rest), object::claimed_epoch(rest));
            let _ = Manifest::open(rest, &id_of(rest), keys());
            return;
        }
        b'p' => rest.to_vec(),
        _ => padded(rest),
    };
    let clear = [&head(b'M', EPOCH)[..], &keys().recovery_wrap].concat();
    let object = sealed(&clear, &plain, &keys().of(EPOCH).expect("an open epoch").manifest);
    let Ok(manifest) = Manifest::open(&object, &id_of(&object), keys()) else { return };
    // What one device reads it can write, and every other reads the same.
    let (id, again) = manifest.seal(keys()).expect("a manifest that was read");
    assert_eq!(Manifest::open(&again, &id, keys()).as_ref(), Ok(&manifest));
    let bytes: u64 = (0..manifest.chunks.len()).map(|at| manifest.chunk_bytes(at)).sum();
    assert_eq!(bytes, manifest.size_bytes);
});
