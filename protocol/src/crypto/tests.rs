//! Both libraries against each other and against published vectors.

use super::*;

fn key(first: u8) -> Key {
    Key(std::array::from_fn(|i| first.wrapping_add(i as u8)))
}

#[test]
fn a_box_opens_with_its_key_and_nonce_and_with_no_other() {
    let nonce = [7; NONCE_BYTES];
    for length in [0, 1, 15, 16, 17, 63, 64, 65, 4096, 70_000] {
        let plain: Vec<u8> = (0..length).map(|i| (i * 31) as u8).collect();
        let boxed = seal(&plain, &nonce, &key(1));
        assert_eq!(boxed.len(), plain.len() + TAG_BYTES);
        assert_eq!(open(&boxed, &nonce, &key(1)), Ok(plain));
        assert_eq!(open(&boxed, &nonce, &key(2)), Err(Forged));
        assert_eq!(open(&boxed, &[8; NONCE_BYTES], &key(1)), Err(Forged));
        assert_eq!(open(&boxed[..boxed.len() - 1], &nonce, &key(1)), Err(Forged));
        let mut changed = boxed;
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert_eq!(open(&changed, &nonce, &key(1)), Err(Forged));
    }
    assert_eq!(open(&[0; TAG_BYTES - 1], &nonce, &key(1)), Err(Forged));
}

#[test]
fn a_key_shows_nothing_of_itself() {
    assert_eq!(format!("{:?}", key(0x41)), "Key(…)");
    assert!(key(3) == key(3) && key(3) != key(4));
}

// The vector of crypto_secretbox in the NaCl distribution (tests/secretbox.c) begins with this tag.
#[test]
fn the_box_is_that_of_nacl() {
    let key = Key::new([
        0x1b, 0x27, 0x55, 0x64, 0x73, 0xe9, 0x85, 0xd4, 0x62, 0xcd, 0x51, 0x19, 0x7a, 0x9a, 0x46,
        0xc7, 0x60, 0x09, 0x54, 0x9e, 0xac, 0x64, 0x74, 0xf2, 0x06, 0xc4, 0xee, 0x08, 0x44, 0xf6,
        0x83, 0x89,
    ]);
    let nonce = [
        0x69, 0x69, 0x6e, 0xe9, 0x55, 0xb6, 0x2b, 0x73, 0xcd, 0x62, 0xbd, 0xa8, 0x75, 0xfc, 0x73,
        0xd6, 0x82, 0x19, 0xe0, 0x03, 0x6b, 0x7a, 0x0b, 0x37,
    ];
    let plain = hex::decode(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e\
         6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a\
         838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705",
    )
    .unwrap();
    let boxed = seal(&plain, &nonce, &key);
    assert_eq!(hex::encode(&boxed[..16]), "f3ffc7703f9400e52a7dfb4b3d3305d9");
    assert_eq!(hex::encode(&boxed[16..32]), "8e993b9f48681273c29650ba32fc76ce");
}

#[cfg(all(feature = "sodium", feature = "pure-rust"))]
#[test]
fn both_libraries_compute_the_same_bytes() {
    let (key, nonce) = ([9; KEY_BYTES], [5; NONCE_BYTES]);
    for length in [0usize, 1, 64, 1000, 65_537, 4 << 20] {
        let plain: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let buffer = |at: usize| {
            let mut buffer = vec![0; length + TAG_BYTES];
            buffer[at..at + length].copy_from_slice(&plain);
            buffer
        };
        let (mut one, mut other) = (buffer(sodium::PLAIN_AT), buffer(pure::PLAIN_AT));
        sodium::seal_in_place(&mut one, &nonce, &key);
        pure::seal_in_place(&mut other, &nonce, &key);
        assert_eq!(one, other);
        sodium::open_in_place(&mut one, &nonce, &key).unwrap();
        pure::open_in_place(&mut other, &nonce, &key).unwrap();
        assert_eq!(one[sodium::PLAIN_AT..][..length], other[pure::PLAIN_AT..][..length]);
        let parts: [&[u8]; 2] = [b"head", &plain];
        assert_eq!(sodium::keyed_hash(&key, &parts), pure::keyed_hash(&key, &parts));
    }
    let (mut one, mut other) = ([0; KEY_BYTES], [0; KEY_BYTES]);
    sodium::derive(&mut one, &key, b"context8", 1 << 40);
    pure::derive(&mut other, &key, b"context8", 1 << 40);
    assert_eq!(one, other);
    let cost = Cost { passes: 2, memory_kib: 1024 };
    sodium::stretch(&mut one, "pässword".as_bytes(), &[3; SALT_BYTES], cost).unwrap();
    pure::stretch(&mut other, "pässword".as_bytes(), &[3; SALT_BYTES], cost).unwrap();
    assert_eq!(one, other);
}
