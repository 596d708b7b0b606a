//! Live Photos by their names: which still and which film of a folder are one picture.
//!
//! Names in, pairs out; who reads folders is the client (`backup`) and the server (`import`). A computer knows only
//! names, so what comes out of here is a guess and is claimed as one ([`PairSource::Name`]). The rule is narrow, because
//! a wrong guess would hide a film behind a photo: HEIC and MOV are what an iPhone and its exports write for a Live
//! Photo, and nearly nothing else does. JPEG beside MOV or MP4 is no pair: many cameras write both. A Motion Photo of
//! Android is one file and needs no pair.

use std::collections::HashMap;

use crate::v2::claims::PairRole;
#[cfg(doc)]
use crate::v2::claims::PairSource;

/// Whether a name could be half of a pair: saves looking at others.
pub fn role_of(name: &str) -> Option<PairRole> {
    let (stem, extension) = name.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        _ if stem.is_empty() => None,
        "heic" | "heif" => Some(PairRole::Still),
        "mov" => Some(PairRole::Motion),
        _ => None,
    }
}

/// The pairs among the files of one folder: name → (stem, role). Exactly one still and one film have a stem, equal to
/// the letter; with a second of either nobody knows which belong together, and none is a pair.
pub fn live_pairs<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> HashMap<&'a str, (&'a str, PairRole)> {
    let mut by_stem: HashMap<&str, Vec<(&str, PairRole)>> = HashMap::new();
    for name in names {
        if let (Some(role), Some((stem, _))) = (role_of(name), name.rsplit_once('.')) {
            by_stem.entry(stem).or_default().push((name, role));
        }
    }
    by_stem.retain(|_, halves| matches!(**halves, [(_, one), (_, other)] if one != other));
    let named = |(stem, halves): (&'a str, Vec<(&'a str, PairRole)>)| {
        halves.into_iter().map(move |(name, role)| (name, (stem, role)))
    };
    by_stem.into_iter().flat_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(names: &[&str]) -> Vec<String> {
        let mut found: Vec<String> = live_pairs(names.iter().copied())
            .into_iter()
            .map(|(name, (stem, role))| format!("{name}={stem}/{role:?}"))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_still_and_a_film_of_one_stem_are_a_pair() {
        assert_eq!(
            pairs(&["IMG_1.HEIC", "IMG_1.MOV", "IMG_2.heic", "IMG_3.MOV", "x.jpg"]),
            ["IMG_1.HEIC=IMG_1/Still", "IMG_1.MOV=IMG_1/Motion"]
        );
        assert_eq!(pairs(&["a.b.HeIf", "a.b.mov"]).len(), 2);
    }

    #[test]
    fn what_could_be_something_else_is_no_pair() {
        for names in [
            &["IMG_1.JPG", "IMG_1.MOV"][..],
            &["PXL_1.MP.jpg", "PXL_1.MP"],
            &["IMG_1.HEIC", "IMG_1.MP4"],
            // Cameras count in upper case; another case is another name.
            &["img_1.heic", "IMG_1.MOV"],
            // Which still belongs to the film?
            &["IMG_1.HEIC", "IMG_1.heif", "IMG_1.MOV"],
            &["IMG_1.HEIC", "IMG_1.MOV", "IMG_1.mov"],
            &["IMG_1.HEIC", "IMG_1(1).MOV"],
            &[".HEIC", ".MOV"],
            &["HEIC", "MOV"],
            &["IMG_1.MOV", "IMG_1.mov"],
        ] {
            assert!(pairs(names).is_empty(), "{names:?}");
        }
    }

    proptest! {
        #[test]
        fn every_half_has_exactly_one_other(names in proptest::collection::hash_set(
            "[ab]{1,2}\\.(heic|HEIC|heif|mov|MOV|jpg)", 0..20,
        )) {
            let found = live_pairs(names.iter().map(String::as_str));
            for (name, (stem, role)) in &found {
                prop_assert!(name.starts_with(stem));
                let others = found.iter().filter(|(_, (of, is))| of == stem && is != role);
                prop_assert_eq!(others.count(), 1);
            }
        }
    }
}
