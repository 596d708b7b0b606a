//! Chains: what a client that has seen something takes next.

use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use photosync_protocol::format::segment::{Head, Writer};
use serde_json::{Value, json};

use super::{case, digest};
use crate::cases::{Case, File, Input, refused};

/// Numbers are below 2^53; a reader has to survive others too.
const MOST: u64 = (1 << 53) - 1;
const PHONE: Writer = Writer([1; 16]);
const LAPTOP: Writer = Writer([2; 16]);

fn head(writer: Writer, sequence: u64) -> Head {
    Head { writer, sequence, id: digest(&format!("segment {sequence} of {writer}")) }
}

pub(super) fn file() -> File {
    let mut cases = extensions();
    cases.extend(shown());
    let about = "Chains of version 2: `known` are the newest segments a client has seen. `extend` offers it another \
                 one; `show` are the heads a relay shows, which may be ahead but not behind.";
    File { about: about.into(), cases }
}

fn extend(known: &[Head], next: Head, previous: Option<Digest>) -> Input {
    let (writer, sequence, id) = (next.writer, next.sequence, next.id);
    Input::Extend { known: json!(known), writer, sequence, previous, id }
}

fn extensions() -> Vec<Case> {
    let (first, second, third) = (head(PHONE, 1), head(PHONE, 2), head(PHONE, 3));
    let other = head(LAPTOP, 7);
    let taken = |name: &str, known: &[Head], next: Head, previous, heads: &[Head]| {
        case(name, extend(known, next, previous), json!({ "heads": heads }))
    };
    let bad = |name: &str, known: &[Head], next: Head, previous: Option<Digest>| {
        case(name, extend(known, next, previous), refused(Bad::RolledBack))
    };
    let last = head(PHONE, MOST);
    let overflowing = head(PHONE, u64::MAX);
    vec![
        taken("the first of all", &[], first, None, &[first]),
        taken("the next", &[first], second, Some(first.id), &[second]),
        taken(
            "the next, beside another chain",
            &[other, first],
            second,
            Some(first.id),
            &[other, second],
        ),
        taken(
            "the first of a second chain",
            &[second],
            head(LAPTOP, 1),
            None,
            &[second, head(LAPTOP, 1)],
        ),
        taken(
            "the largest number of all: 2^53 - 1",
            &[head(PHONE, MOST - 1)],
            last,
            Some(head(PHONE, MOST - 1).id),
            &[last],
        ),
        bad("beginning dropped", &[], second, Some(first.id)),
        bad("beginning dropped beside another chain", &[other], second, Some(first.id)),
        bad("middle dropped", &[first], third, Some(second.id)),
        bad("middle dropped, the rest linked again", &[first], third, Some(first.id)),
        bad("shown twice", &[second], second, Some(first.id)),
        bad("rolled back by one", &[third], second, Some(first.id)),
        bad("rolled back to the beginning", &[third], first, None),
        bad(
            "begun again after its end",
            &[third],
            Head { id: digest("another beginning"), ..first },
            None,
        ),
        bad("forked: of another history", &[second], third, Some(digest("another second"))),
        bad("forked: of no history", &[second], third, None),
        bad("swapped: linked to another chain", &[second, other], third, Some(other.id)),
        bad(
            "swapped: of another writer",
            &[second],
            Head { writer: LAPTOP, ..third },
            Some(second.id),
        ),
        bad("reordered: a predecessor of itself", &[second], third, Some(third.id)),
        bad("number 0", &[], head(PHONE, 0), None),
        bad(
            "number overflow: after the largest comes 0",
            &[overflowing],
            head(PHONE, 0),
            Some(overflowing.id),
        ),
        bad(
            "number overflow: after the largest comes the largest",
            &[overflowing],
            overflowing,
            Some(overflowing.id),
        ),
    ]
}

fn shown() -> Vec<Case> {
    let (phone, laptop) = (head(PHONE, 3), head(LAPTOP, 7));
    let show = |name: &str, known: &[Head], shown: &[Head], expect: Value| {
        case(name, Input::Show { known: json!(known), shown: shown.to_vec() }, expect)
    };
    let taken = |name: &str, known: &[Head], shown: &[Head]| {
        show(name, known, shown, json!({ "taken": true }))
    };
    let bad = |name: &str, known: &[Head], shown: &[Head]| {
        show(name, known, shown, refused(Bad::RolledBack))
    };
    let other = |head: Head| Head { id: digest("another"), ..head };
    vec![
        taken("shown: nothing to one that knows nothing", &[], &[]),
        taken("shown: something to one that knows nothing", &[], &[phone]),
        taken("shown: the same", &[phone, laptop], &[phone, laptop]),
        taken("shown: the same, reordered", &[phone, laptop], &[laptop, phone]),
        taken("shown: one ahead", &[phone, laptop], &[head(PHONE, 4), laptop]),
        taken("shown: one more chain", &[phone], &[phone, laptop]),
        bad("shown: nothing, all dropped", &[phone], &[]),
        bad("shown: one chain dropped", &[phone, laptop], &[phone]),
        bad("shown: rolled back by one", &[phone, laptop], &[head(PHONE, 2), laptop]),
        bad("shown: rolled back to the beginning", &[phone], &[head(PHONE, 1)]),
        bad(
            "shown: one ahead, the other rolled back",
            &[phone, laptop],
            &[head(PHONE, 9), head(LAPTOP, 6)],
        ),
        bad("shown: rewritten at the same number", &[phone], &[other(phone)]),
        bad(
            "shown: writers swapped",
            &[phone, laptop],
            &[Head { writer: LAPTOP, ..phone }, Head { writer: PHONE, sequence: 2, ..laptop }],
        ),
        bad("shown: number 0", &[phone], &[head(PHONE, 0)]),
        bad("shown: another chain in its place", &[phone], &[laptop]),
    ]
}
