//! R-A1: an upload that is cut at any byte goes on from the last byte that arrived.

use photosync_tests::cuts::{Cuts, Place, run};
use photosync_tests::seeded::SeededFile;
use sha2::{Digest, Sha256};

use crate::stand::Stand;

/// 200 cuts of a 300 MiB file take about 10 s on loopback.
const SIZE_BYTES: u64 = 300 << 20;
const CUTS: usize = 200;

#[test]
fn of_two_hundred_cuts_none_costs_more_than_a_mebibyte_and_half_cost_less_than_64_kib() {
    let stand = Stand::new(&[]);
    let person = stand.person();
    let place = Place {
        address: stand.address(),
        path: "/api/v2/tus".to_owned(),
        headers: person.headers(),
    };
    let cuts = Cuts { size_bytes: SIZE_BYTES, cuts: CUTS, seed: 20_240_701, piece_bytes: u64::MAX };
    let digest = SeededFile::new(cuts.seed, cuts.size_bytes).digest();
    let metadata: [(&str, &[u8]); 2] =
        [("filename", b"long.mp4"), ("digest", &hex::encode(digest).into_bytes())];
    let figures = run(&cuts, &place, &metadata).expect("a finished upload");
    println!("{figures}");
    assert!(figures.sent_twice.len() >= CUTS, "{figures}");
    assert!(figures.most_sent_twice() <= 1 << 20, "{figures}");
    assert!(figures.median_sent_twice() <= 64 << 10, "{figures}");
    assert!(
        figures.state.asset.is_some(),
        "a finished upload names its asset: {:?}",
        figures.state
    );
    let kept = person.on_disk();
    let bytes = kept.get("long.mp4").expect("the file in the library");
    assert_eq!(<[u8; 32]>::from(Sha256::digest(bytes)), digest, "the bytes on disk");
    assert_eq!(person.staged(), 0, "nothing is left of the upload");
    stand.require_agreement();
}
