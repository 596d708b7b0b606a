//! What may be installed, as decisions without input or output: is a manifest signed, is an offer newer than what was seen,
//! and does a version that was installed stay. Called by the other files of this folder.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use self_update::backends::manifest::parse_manifest;
use self_update::version::cmp_versions;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

use super::UpdateError;

/// Raw Ed25519 public key.
pub type ReleaseKey = [u8; 32];

/// What the DER form of every Ed25519 public key begins with (RFC 8410 §10.1).
pub const KEY_PREFIX: &[u8] =
    &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What a manifest says besides its releases, whose form is that of `self_update` (schema 1).
#[derive(Deserialize)]
struct Preface {
    product: String,
    sequence: u64,
    minimum_version: String,
}

/// A manifest whose signature was found right.
pub struct Manifest {
    /// Rises with every manifest that is signed.
    pub sequence: u64,
    /// The oldest version without a known hole.
    pub minimum_version: String,
    releases: Vec<self_update::update::Release>,
}

/// A release for this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its version.
    pub version: String,
    /// Name of its archive.
    pub archive: String,
    /// Where that is.
    pub url: String,
    /// SHA-256 of the archive, lower hex.
    pub sha256: String,
}

/// Reads a manifest that came from `url`, if `key` has signed these very bytes.
pub fn read_manifest(
    bytes: &[u8],
    signature: &[u8],
    key: &ReleaseKey,
    url: &str,
) -> Result<Manifest, UpdateError> {
    let refused = |why: String| UpdateError::Refused(format!("the manifest {url} {why}"));
    UnparsedPublicKey::new(&ED25519, key)
        .verify(bytes, signature)
        .map_err(|_| refused("is not signed by the release key".into()))?;
    let preface: Preface = serde_json::from_slice(bytes)
        .map_err(|error| refused(format!("cannot be understood: {error}")))?;
    if preface.product != "photosync" {
        return Err(refused(format!("is of {}, not of photosync", preface.product)));
    }
    let text = String::from_utf8_lossy(bytes);
    let releases = parse_manifest(&text, url)
        .map_err(|error| refused(format!("cannot be understood: {error}")))?;
    Ok(Manifest { sequence: preface.sequence, minimum_version: preface.minimum_version, releases })
}

/// `Greater` if `a` is the newer version; an unreadable one is older than all.
pub fn compare(a: &str, b: &str) -> Ordering {
    cmp_versions(a, b).unwrap_or_else(|_| {
        let readable = |version: &str| cmp_versions(version, version).is_ok();
        readable(a).cmp(&readable(b))
    })
}

/// A manifest older than one that was seen is a replay, whoever signed it.
pub fn require_sequence(manifest: &Manifest, highest_seen: u64) -> Result<(), UpdateError> {
    if manifest.sequence >= highest_seen {
        return Ok(());
    }
    Err(UpdateError::Refused(format!(
        "the source offers an older list of releases (number {}) than the one seen before ({highest_seen}); nothing was \
         changed",
        manifest.sequence
    )))
}

/// The release to install on `target` by somebody who runs `running`: `to`, or the newest. `None` if there is no newer one.
pub fn choose(
    manifest: &Manifest,
    running: &str,
    target: &str,
    to: Option<&str>,
) -> Result<Option<Offer>, UpdateError> {
    let offers = manifest.releases.iter().filter_map(|release| offer(release, target));
    let chosen = match to {
        Some(version) => {
            let found = offers.into_iter().find(|offer| offer.version == version);
            let missing = || format!("the source has no version {version} for {target}");
            Some(found.ok_or_else(|| UpdateError::Refused(missing()))?)
        }
        None => offers.max_by(|a, b| compare(&a.version, &b.version)),
    };
    let Some(offer) = chosen else { return Ok(None) };
    match (compare(&offer.version, running), to) {
        (Ordering::Greater, _) => {}
        (_, None) => return Ok(None),
        (Ordering::Equal, Some(_)) => {
            return Err(UpdateError::Refused(format!("version {running} is running already")));
        }
        (Ordering::Less, Some(_)) => {
            return Err(UpdateError::Refused(format!(
                "{} is older than {running}, which is running: a newer database cannot be read by an older program. \
                 `update --rollback` goes back to the version before",
                offer.version
            )));
        }
    }
    if compare(&offer.version, &manifest.minimum_version) == Ordering::Less {
        return Err(UpdateError::Refused(format!(
            "{} must not be used any more: the oldest version without a known hole is {}",
            offer.version, manifest.minimum_version
        )));
    }
    Ok(Some(offer))
}

/// The archive of `release` for `target`, if it has one with a digest.
fn offer(release: &self_update::update::Release, target: &str) -> Option<Offer> {
    let archive = format!("photosync-{}-{target}.tar.gz", release.version());
    let asset = release.assets().iter().find(|asset| asset.name() == archive)?;
    let sha256 = asset.digest()?.strip_prefix("sha256:")?.to_ascii_lowercase();
    Some(Offer {
        version: release.version().to_owned(),
        url: asset.download_url().to_owned(),
        archive,
        sha256,
    })
}

/// How far a version got on one data folder; written there, by the version itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It was started, and has not proved itself.
    Trying,
    /// It was asked to stop before it could: that says nothing against it.
    Stopped,
    /// It did not become healthy.
    Failed,
    /// It stays.
    Proven,
}

/// What was seen of a version by whoever may replace programs, for one data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// It was about to be started.
    Started,
    /// It stays.
    Proven,
}

/// What to do before the server is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start what is there.
    Start,
    /// Start it, and remember that it was started.
    NoteStart,
    /// Start it, and remember that it stays, whatever the data folder says later.
    NoteProof,
    /// It had its try: the version before comes back.
    GoBack,
}

/// Judges a version by what was seen of it and by what it said itself. A version that did not even get as far as to say
/// anything is one that failed.
pub fn judge(seen: Option<Seen>, said: Option<Progress>) -> Verdict {
    match (seen, said) {
        (Some(Seen::Proven), _) => Verdict::Start,
        (_, Some(Progress::Proven)) => Verdict::NoteProof,
        (_, Some(Progress::Trying | Progress::Failed)) => Verdict::GoBack,
        (_, Some(Progress::Stopped)) => Verdict::Start,
        (None, None) => Verdict::NoteStart,
        (Some(Seen::Started), None) => Verdict::GoBack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    const URL: &str = "http://127.0.0.1/manifest.json";

    fn signed(text: &str) -> (Vec<u8>, Vec<u8>, ReleaseKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key = pair.public_key().as_ref().try_into().unwrap();
        (text.as_bytes().to_vec(), pair.sign(text.as_bytes()).as_ref().to_vec(), key)
    }

    fn manifest(sequence: u64, minimum: &str, versions: &[&str]) -> String {
        let releases: Vec<String> = versions
            .iter()
            .map(|version| {
                format!(
                    r#"{{"version":"{version}","assets":[{{"name":"photosync-{version}-t.tar.gz",
                     "url":"photosync-{version}-t.tar.gz","digest":"sha256:00"}}]}}"#
                )
            })
            .collect();
        format!(
            r#"{{"schema":1,"product":"photosync","sequence":{sequence},"minimum_version":"{minimum}","releases":[{}]}}"#,
            releases.join(",")
        )
    }

    fn read(text: &str) -> Manifest {
        let (bytes, signature, key) = signed(text);
        read_manifest(&bytes, &signature, &key, URL).unwrap()
    }

    #[test]
    fn a_manifest_with_any_bit_changed_is_refused() {
        let (bytes, signature, key) = signed(&manifest(1, "0.1.0", &["0.2.0"]));
        for at in 0..bytes.len() + signature.len() {
            for bit in 0..8 {
                let (mut bytes, mut signature) = (bytes.clone(), signature.clone());
                match at.checked_sub(bytes.len()) {
                    None => bytes[at] ^= 1 << bit,
                    Some(at) => signature[at] ^= 1 << bit,
                }
                assert!(read_manifest(&bytes, &signature, &key, URL).is_err(), "{at} {bit}");
            }
        }
        assert!(read_manifest(&bytes, &signature, &[9; 32], URL).is_err(), "another key");
        assert!(read_manifest(&bytes, &[], &key, URL).is_err(), "no signature");
    }

    #[test]
    fn the_newest_version_for_this_machine_is_chosen_and_never_an_older_one() {
        let manifest = read(&manifest(5, "0.1.0", &["0.9.0", "0.10.0", "0.2.0"]));
        let of = |running, to| choose(&manifest, running, "t", to);
        let newest = of("0.1.0", None).unwrap().unwrap();
        assert_eq!(
            (newest.version.as_str(), newest.archive.as_str()),
            ("0.10.0", "photosync-0.10.0-t.tar.gz")
        );
        assert_eq!(newest.url, "http://127.0.0.1/photosync-0.10.0-t.tar.gz");
        assert_eq!(of("0.1.0", Some("0.2.0")).unwrap().unwrap().version, "0.2.0");
        assert_eq!(of("0.10.0", None).unwrap(), None);
        assert_eq!(of("1.0.0", None).unwrap(), None);
        assert!(of("0.9.0", Some("0.2.0")).is_err(), "older");
        assert!(of("0.9.0", Some("0.9.0")).is_err(), "the same");
        assert!(of("0.9.0", Some("3.0.0")).is_err(), "not offered");
        assert_eq!(choose(&manifest, "0.1.0", "elsewhere", None).unwrap(), None);
    }

    #[test]
    fn a_list_older_than_one_that_was_seen_and_a_version_with_a_known_hole_are_refused() {
        let manifest = read(&manifest(5, "0.3.0", &["0.2.0"]));
        assert!(require_sequence(&manifest, 5).is_ok());
        assert!(require_sequence(&manifest, 6).is_err());
        assert!(choose(&manifest, "0.1.0", "t", None).is_err());
    }

    #[test]
    fn a_version_gets_one_try_and_a_stop_is_not_held_against_it() {
        use Verdict::{GoBack, NoteProof, NoteStart, Start};
        let all = [
            (None, None, NoteStart),
            (Some(Seen::Started), None, GoBack),
            (Some(Seen::Started), Some(Progress::Trying), GoBack),
            (None, Some(Progress::Trying), GoBack),
            (Some(Seen::Started), Some(Progress::Failed), GoBack),
            (Some(Seen::Started), Some(Progress::Stopped), Start),
            (Some(Seen::Started), Some(Progress::Proven), NoteProof),
            (None, Some(Progress::Proven), NoteProof),
            (Some(Seen::Proven), Some(Progress::Failed), Start),
            (Some(Seen::Proven), None, Start),
        ];
        for (seen, said, wanted) in all {
            assert_eq!(judge(seen, said), wanted, "{seen:?} {said:?}");
        }
    }
}
