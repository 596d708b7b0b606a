//! The box and the whole sealing of a piece, in memory, on one thread.
//!
//! What is compared is called in turn on the same buffer of 4 MiB. What counts is the processor time of the fastest call
//! of each: whatever else the machine does only makes a call slower, and a longer call is disturbed more often.

use dryoc::classic::crypto_secretbox as dryoc_box;
use photosync_protocol::crypto::{self, KEY_BYTES, Key, NONCE_BYTES, TAG_BYTES, pure, sodium};
use photosync_protocol::format::chunk::{CHUNK_BYTES, Sealer};
use photosync_protocol::format::keys::EpochKeys;
use photosync_protocol::format::object::{HEAD_BYTES, LENGTH_BYTES, id_of};
use sodiumoxide::crypto::secretbox::xsalsa20poly1305 as sodium_box;

use crate::goals::{Direction, Goals};
use crate::options::RelayOptions;
use crate::payload::split_mix;
use crate::spread::Spread;
use crate::table::Table;

/// Bytes of every buffer that is sealed.
pub const PIECE_BYTES: usize = CHUNK_BYTES;

const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];
const NONCE: [u8; NONCE_BYTES] = [9; NONCE_BYTES];

/// Processor time of this thread so far, in seconds.
fn thread_seconds() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// How much processor time each call took, in seconds.
pub type Times = Spread;

/// Bytes that nothing compresses.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 3;
    let words = std::iter::repeat_with(|| split_mix(&mut state).to_le_bytes());
    words.flatten().take(bytes).collect()
}

/// Calls each once as a warm-up, then all in turn; answers the times of each.
fn in_turn<const N: usize>(calls: usize, mut each: [&mut dyn FnMut(); N]) -> [Times; N] {
    each.iter_mut().for_each(|call| call());
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for round in 0..calls.max(1) {
        for step in 0..N {
            // Who comes first changes, so that nobody always finds the cache as another left it.
            let index = (round + step) % N;
            let begun = thread_seconds();
            each[index]();
            // Never nothing, whatever the clock's grain.
            times[index].push((thread_seconds() - begun).max(1e-9));
        }
    }
    times.map(|times| Spread::of(times).expect("every call was made at least once"))
}

/// MB a second of the fastest and of the middle call.
pub fn rates(times: &Times) -> [String; 2] {
    [times.min(), times.median()].map(|seconds| format!("{:.0}", rate(seconds)))
}

fn rate(seconds: f64) -> f64 {
    PIECE_BYTES as f64 / 1e6 / seconds
}

/// The box through our seam beside the raw call of the library behind it, both libraries.
pub fn compare_boxes(options: &RelayOptions, goals: &mut Goals) {
    let mut boxed = noise(PIECE_BYTES + TAG_BYTES);
    let (key, nonce) = (sodium_box::Key(KEY), sodium_box::Nonce(NONCE));
    let boxed = std::cell::RefCell::new(&mut boxed);
    let [ours_sodium, raw_sodium, ours_dryoc, raw_dryoc] = in_turn(
        options.calls,
        [
            &mut || sodium::seal_in_place(&mut boxed.borrow_mut(), &NONCE, &KEY),
            &mut || {
                let mut boxed = boxed.borrow_mut();
                let (tag, text) = boxed.split_at_mut(TAG_BYTES);
                tag.copy_from_slice(&sodium_box::seal_detached(text, &nonce, &key).0);
            },
            &mut || pure::seal_in_place(&mut boxed.borrow_mut(), &NONCE, &KEY),
            &mut || {
                let sealed =
                    dryoc_box::crypto_secretbox_easy_inplace(&mut boxed.borrow_mut(), &NONCE, &KEY);
                sealed.expect("it has room for a tag");
            },
        ],
    );
    let title = format!("The box in place, 4 MiB, one thread, {} calls in turn", options.calls);
    let mut table = Table::new(title, &["what", "MB/s, fastest", "MB/s, median", "of raw"]);
    let libraries = [
        ("sodiumoxide (libsodium of the system)", ours_sodium, raw_sodium),
        ("dryoc", ours_dryoc, raw_dryoc),
    ];
    let mut found = Vec::new();
    for (library, ours, raw) in &libraries {
        let share = raw.min() / ours.min();
        let [fastest, median] = rates(raw);
        table.row([format!("{library}: its own call"), fastest, median, String::new()]);
        let [fastest, median] = rates(ours);
        let share_text = format!("{:.1} %", share * 100.0);
        table.row([format!("{library}: through the seam"), fastest, median, share_text]);
        found.push((*library, share));
    }
    table.print();
    for (library, share) in found {
        let what = format!("the box over the raw call of {library}");
        goals.judge(what, Direction::AtLeast, 95.0, " %", Some(share * 100.0));
    }
}

/// Sealing a whole piece beside the sum of its three parts.
pub fn compare_pipeline(options: &RelayOptions, goals: &mut Goals) {
    let keys = EpochKeys::new(Key::new(KEY));
    let mut sealer = Sealer::default();
    sealer.data_mut().copy_from_slice(&noise(CHUNK_BYTES));
    let plain = noise(LENGTH_BYTES + CHUNK_BYTES);
    let mut boxed = noise(TAG_BYTES + LENGTH_BYTES + CHUNK_BYTES);
    let object = noise(HEAD_BYTES + NONCE_BYTES + TAG_BYTES + LENGTH_BYTES + CHUNK_BYTES);
    let head = [0; HEAD_BYTES];
    let [whole, hash, sealing, id, hash_dryoc] = in_turn(
        options.calls,
        [
            &mut || {
                std::hint::black_box(sealer.seal(CHUNK_BYTES, 1, &keys).id);
            },
            &mut || {
                let parts: [&[u8]; 2] = [&head, &plain];
                std::hint::black_box(crypto::keyed_hash(&keys.chunk.nonce_key, &parts));
            },
            &mut || crypto::seal_in_place(&mut boxed, &NONCE, &keys.chunk.box_key),
            &mut || {
                std::hint::black_box(id_of(&object));
            },
            &mut || {
                let parts: [&[u8]; 2] = [&head, &plain];
                std::hint::black_box(pure::keyed_hash(&KEY, &parts));
            },
        ],
    );
    let sum = hash.min() + sealing.min() + id.min();
    let share = sum / whole.min();
    let title = format!("Sealing a piece of 4 MiB, one thread, {} calls in turn", options.calls);
    let mut table = Table::new(title, &["what", "MB/s, fastest", "MB/s, median"]);
    let parts = [
        ("h: keyed hash, BLAKE2b", &hash),
        ("b: box, XSalsa20-Poly1305", &sealing),
        ("s: id, SHA-256", &id),
    ];
    for (what, times) in parts.into_iter().chain([("the whole", &whole)]) {
        let [fastest, median] = rates(times);
        table.row([what.to_owned(), fastest, median]);
    }
    table.row(["1/(1/h+1/b+1/s)".to_owned(), format!("{:.0}", rate(sum))]);
    let [fastest, median] = rates(&hash_dryoc);
    table.row(["for comparison, h by dryoc".to_owned(), fastest, median]);
    table.print();
    let what = "sealing over 1/(1/h+1/b+1/s)";
    goals.judge(what, Direction::AtLeast, 90.0, " %", Some(share * 100.0));
}

/// Times of a box that is made from bytes somewhere else, as `tweetnacl` makes it.
pub fn time_copied_boxes(calls: usize) -> Times {
    let plain = noise(PIECE_BYTES);
    let key = Key::new(KEY);
    let mut seal = || {
        std::hint::black_box(crypto::seal(&plain, &NONCE, &key));
    };
    let [times] = in_turn(calls, [&mut seal]);
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_measured_in_turn_is_called_once_more_than_it_is_timed() {
        let (mut first, mut second) = (0, 0);
        let [one, two] = in_turn(5, [&mut || first += 1, &mut || second += 1]);
        assert!(one.min() > 0.0 && two.max() >= two.min());
        assert_eq!((first, second), (6, 6));
    }

    #[test]
    fn noise_has_its_length_and_no_two_words_are_alike() {
        let bytes = noise(1001);
        assert_eq!(bytes.len(), 1001);
        let words: std::collections::HashSet<&[u8]> = bytes.chunks_exact(8).collect();
        assert_eq!(words.len(), 125);
    }
}
