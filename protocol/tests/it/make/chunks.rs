//! Chunks: lengths at every edge, and what may be wrong with one.

use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use serde_json::Value;

use super::{alice, bad_padding, case, damage, id_of, open, too_long, with_nonce};
use crate::cases::{Bytes, Case, File, Input, contents, refused};
use crate::third::{plain, seal, sha256, stream};

const CHUNK_BYTES: usize = 4 << 20;

pub(super) fn file() -> File {
    let mut cases = good();
    cases.extend(damage("chunk", b'C', 12));
    cases.extend(bad_padding("chunk", b'C'));
    cases.extend(too_long("chunk", b'C', CHUNK_BYTES + 56));
    cases.extend(bad());
    let about = "Chunks of version 2. `chunk_of` is the sealed chunk of `bytes` bytes of the stream of a seed: \
                 SHA-256(seed, counter) for counters from 0, eight bytes little-endian, one after the other.";
    File { about: about.into(), cases }
}

fn of_stream(
    bytes: usize,
    epoch: u32,
    flip_bit: Option<usize>,
    cut_to: Option<usize>,
) -> (Input, Vec<u8>) {
    let seed = format!("a chunk of {bytes} bytes");
    let data = stream(&seed, bytes);
    let mut object = alice().chunk(epoch, &data);
    if let Some(bit) = flip_bit {
        object[bit / 8] ^= 1 << (bit % 8);
    }
    object.truncate(cut_to.unwrap_or(usize::MAX));
    let rule = Bytes::ChunkOf { seed, bytes, epoch, flip_bit, cut_to };
    let master = hex::encode(alice().master);
    let (kind, id) = ("chunk".into(), Digest(sha256(&object)));
    (Input::Open { kind, object: rule, id, master, epochs: 2 }, data)
}

fn good() -> Vec<Case> {
    let lengths = [
        2,
        1023,
        1024,
        1025,
        1088,
        1089,
        65_535,
        65_536,
        65_537,
        1_000_000,
        CHUNK_BYTES - 131_072,
        CHUNK_BYTES - 131_071,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
    ];
    let mut cases: Vec<Case> = lengths
        .into_iter()
        .map(|bytes| {
            let (input, data) = of_stream(bytes, 1, None, None);
            case(&format!("{bytes} bytes"), input, contents(&data))
        })
        .collect();
    let mut whole = |name: &str, epoch: u32, data: &[u8]| {
        cases.push(case(name, open("chunk", &alice().chunk(epoch, data)), contents(data)));
    };
    whole("one byte", 1, b"x");
    whole("a zero, as the padding is", 1, &[0]);
    whole("a kilobyte of zeros", 1, &[0; 1024]);
    whole("in the current epoch", 2, b"hello photosync");
    whole("in an epoch that has ended", 1, b"hello photosync");
    let other = with_nonce(b'C', [7; 24]);
    let name = "a nonce that is not the hash of the contents";
    cases.push(case(name, open("chunk", &other), contents(b"hello photosync")));
    cases
}

fn bad() -> Vec<Case> {
    let of = |name: &str, bytes, bit, to, why: Bad| {
        case(name, of_stream(bytes, 1, bit, to).0, refused(why))
    };
    let sealed = |name: &str, plain: Vec<u8>, why: Bad| -> Case {
        let object = seal(&alice().clear(b'C', 1), &plain, alice().pair(b'C', 1));
        let expect: Value = refused(why);
        case(name, open("chunk", &object), expect)
    };
    let swapped = {
        let (one, other) = (alice().chunk(1, b"one piece"), alice().chunk(1, b"another"));
        super::open_as("chunk", &other, id_of(&one))
    };
    vec![
        of(
            "bit flipped in the middle of the largest",
            CHUNK_BYTES,
            Some(CHUNK_BYTES * 4),
            None,
            Bad::Forged,
        ),
        of("largest, truncated by a byte", CHUNK_BYTES, None, Some(CHUNK_BYTES + 55), Bad::Forged),
        of("largest, truncated by a half", CHUNK_BYTES, None, Some(CHUNK_BYTES / 2), Bad::Forged),
        case("swapped with another chunk", swapped, refused(Bad::WrongId)),
        sealed("a chunk of nothing", plain(b"", 1024), Bad::BadContents),
    ]
}
