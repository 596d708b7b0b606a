//! Keyrings: anything may arrive, sealed with the right keys or not. Opened by the words; stretching a password would
//! leave one input a second.
#![no_main]

use libfuzzer_sys::fuzz_target;
use photosync_protocol::format::keyring::{self, Keyring};
use photosync_protocol::format::object::id_of;
use photosync_protocol_fuzz::{head, keys, master, padded, recovery, sealed};

/// Sequence, cost, salt and the password's wrap: clear bytes that an input chooses.
const CLEAR_BYTES: usize = 8 + 8 + 16 + 72;

fuzz_target!(|input: &[u8]| {
    let Some((way, rest)) = input.split_first() else { return };
    if *way == b'o' {
        let id = id_of(rest);
        let _ = (keyring::sequence_of(rest), keyring::password_lock(rest, &id));
        let _ = Keyring::recover(rest, &id, &recovery());
        return;
    }
    // One byte of epoch, then one that fills the clear fields: most of an input should be the document.
    let Some(([epoch, fill], rest)) = rest.split_first_chunk() else { return };
    let plain = if *way == b'p' { rest.to_vec() } else { padded(rest) };
    let clear =
        [&head(b'K', u32::from(*epoch % 8))[..], &[*fill; CLEAR_BYTES], &keys().recovery_wrap]
            .concat();
    let object = sealed(&clear, &plain, &master().keyring_keys());
    let id = id_of(&object);
    let Ok(opened) = Keyring::recover(&object, &id, &recovery()) else { return };
    assert_eq!(opened.master, master());
    assert_eq!(opened.current_epoch(), Ok(u32::from(*epoch % 8)));
    let lock = keyring::password_lock(&object, &id).expect("a lock");
    let (again_id, again) = opened.seal(&lock).expect("a keyring that was read");
    assert_eq!(Keyring::recover(&again, &again_id, &recovery()).as_ref(), Ok(&opened));
    let device = opened.device_keys().expect("keys of a keyring that was read");
    assert_eq!(device.epochs().count(), usize::from(*epoch % 8));
});
