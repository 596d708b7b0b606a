//! Chunks: anything may arrive, and what was sealed comes back.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use photosync_protocol::format::chunk::{self, CHUNK_BYTES, Sealer};
use photosync_protocol::format::object::id_of;
use photosync_protocol::format::{Bad, object};
use photosync_protocol_fuzz::{EPOCH, head, keys, sealed};

thread_local! {
    static SEALER: RefCell<Sealer> = RefCell::default();
}

fn reseal(data: &[u8]) -> Vec<u8> {
    SEALER.with_borrow_mut(|sealer| {
        sealer.data_mut()[..data.len()].copy_from_slice(data);
        let epoch_keys = keys().of(EPOCH).expect("an open epoch");
        sealer.seal(data.len(), EPOCH, epoch_keys).bytes.to_vec()
    })
}

fn require_open(mut bytes: Vec<u8>) -> Result<Vec<u8>, Bad> {
    let id = id_of(&bytes);
    chunk::open(&mut bytes, &id, keys()).map(<[u8]>::to_vec)
}

fuzz_target!(|input: &[u8]| {
    let Some((way, rest)) = input.split_first() else { return };
    match way {
        b'o' => {
            let _ = object::peek(rest);
            let _ = require_open(rest.to_vec());
        }
        b'p' => {
            let epoch_keys = keys().of(EPOCH).expect("an open epoch");
            let object = sealed(&head(b'C', EPOCH), rest, &epoch_keys.chunk);
            // One padding is right: what opens is what a writer would have written.
            if let Ok(data) = require_open(object.clone()) {
                assert_eq!(reseal(&data), object);
            }
        }
        _ if (1..=CHUNK_BYTES).contains(&rest.len()) => {
            let mut object = reseal(rest);
            assert_eq!(require_open(object.clone()).as_deref(), Ok(rest));
            let at = usize::from(*way) * 7919 % object.len();
            object[at] ^= 1;
            assert!(require_open(object).is_err());
        }
        _ => {}
    }
});
