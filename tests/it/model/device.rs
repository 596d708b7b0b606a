//! A device that knows nothing but its photos and how to sign in: a second implementation of the native wire, so that
//! a mistake in the product's client cannot hide one in the server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use photosync_tests::account::ListedFile;
use photosync_tests::http::{Answer, Body, Client, HttpError, Request, Timeouts};
use photosync_tests::seeded::SeededFile;
use serde_json::json;

use crate::stand::{Person, Stand};
use crate::sync::Native;

/// Number of a photo: its bytes follow from it.
pub(super) type Photo = u64;

type Raw = [u8; 32];

/// Some hundred to some thousand bytes.
fn file_of(photo: Photo) -> SeededFile {
    SeededFile::new(photo, 300 + photo * 97 % 4001)
}

pub(super) fn bytes_of(photo: Photo) -> Vec<u8> {
    file_of(photo).to_vec()
}

/// Why a backup came to no end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The network failed.
    Network(HttpError),
    /// An answer that must not be.
    Wrong(String),
}

impl fmt::Display for Stopped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Network(source) => write!(out, "{source}"),
            Stopped::Wrong(what) => write!(out, "{what}"),
        }
    }
}

/// An installed app that is signed in.
pub(super) struct Device {
    authorization: String,
}

impl Device {
    pub(super) fn sign_in(stand: &Stand, person: &Person) -> Device {
        let native = Native::sign_in(stand, &person.at(stand));
        Device { authorization: format!("Bearer {}", native.access) }
    }

    fn send(
        &self,
        client: &mut Client,
        (method, path): (&'static str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Stopped> {
        let mut request = Request::new(method, format!("/api/v2/library{path}"))
            .header("Authorization", &self.authorization);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        client.send(request.body(Body::Bytes(body))).map_err(Stopped::Network)
    }

    /// Backs up and returns what was sent. On success the server has said that nothing is left to do.
    pub(super) fn back_up(
        &self,
        address: SocketAddr,
        photos: &BTreeSet<Photo>,
    ) -> Result<BTreeSet<Photo>, Stopped> {
        let timeouts = Timeouts { idle: Duration::from_secs(20), ..Timeouts::default() };
        let mut client = Client::with_timeouts(address, timeouts);
        let digests: BTreeMap<Raw, Photo> =
            photos.iter().map(|photo| (file_of(*photo).digest(), *photo)).collect();
        let mut sent = BTreeSet::new();
        // One round finds and sends everything; the second question must be answered with "nothing changed".
        for _ in 0..2 {
            if self.is_settled(&mut client, &digests)? {
                return Ok(sent);
            }
            let (mine, theirs) = self.reconcile(&mut client, &digests)?;
            if !theirs.is_empty() {
                let answer = self.send(&mut client, ("POST", "/forget"), &[], &theirs.concat())?;
                expect(&answer, 204, "forget")?;
            }
            sent.extend(self.send_missing(&mut client, &digests, &mine)?);
        }
        match self.is_settled(&mut client, &digests)? {
            true => Ok(sent),
            false => Err(Stopped::Wrong("after a backup the sets still differ".to_owned())),
        }
    }

    fn is_settled(
        &self,
        client: &mut Client,
        digests: &BTreeMap<Raw, Photo>,
    ) -> Result<bool, Stopped> {
        let tally = json!({"count": digests.len(), "sum": hex::encode(sum_of(digests.keys()))});
        let headers = [("Content-Type", "application/json")];
        let tally = tally.to_string();
        let answer = self.send(client, ("POST", "/sync"), &headers, tally.as_bytes())?;
        match answer.status() {
            204 => Ok(true),
            200 => Ok(false),
            other => Err(Stopped::Wrong(format!("sync: {other} {}", answer.text()))),
        }
    }

    /// Digests only this device has, and those only the server has settled for it.
    fn reconcile(
        &self,
        client: &mut Client,
        digests: &BTreeMap<Raw, Photo>,
    ) -> Result<(Vec<Raw>, Vec<Raw>), Stopped> {
        let wrong = |error: negentropy::Error| Stopped::Wrong(format!("reconcile: {error}"));
        let mut storage = NegentropyStorageVector::new();
        for digest in digests.keys() {
            storage.insert(0, Id::from_byte_array(*digest)).map_err(wrong)?;
        }
        storage.seal().map_err(wrong)?;
        let mut set = Negentropy::owned(storage, 0).map_err(wrong)?;
        let mut message = set.initiate().map_err(wrong)?;
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        let headers = [("Content-Type", "application/vnd.photosync.negentropy")];
        loop {
            let answer = self.send(client, ("POST", "/sync"), &headers, &message)?;
            expect(&answer, 200, "a message of the reconciliation")?;
            let next = set.reconcile_with_ids(&answer.body, &mut mine, &mut theirs);
            let Some(next) = next.map_err(wrong)? else { break };
            message = next;
        }
        let raw = |ids: Vec<Id>| ids.into_iter().map(|id| *id).collect();
        Ok((raw(mine), raw(theirs)))
    }

    fn send_missing(
        &self,
        client: &mut Client,
        digests: &BTreeMap<Raw, Photo>,
        mine: &[Raw],
    ) -> Result<BTreeSet<Photo>, Stopped> {
        if mine.is_empty() {
            return Ok(BTreeSet::new());
        }
        let answer = self.send(client, ("POST", "/missing"), &[], &mine.concat())?;
        expect(&answer, 200, "missing")?;
        if answer.body.len() != mine.len() {
            return Err(Stopped::Wrong(format!(
                "{} answers for {}",
                answer.body.len(),
                mine.len()
            )));
        }
        let mut sent = BTreeSet::new();
        for (digest, presence) in mine.iter().zip(&answer.body) {
            match presence {
                0 => {}
                1 => {
                    let photo = digests[digest];
                    let name = format!("IMG_{photo:04}.jpg");
                    let headers = [("PhotoSync-Name", name.as_str())];
                    let answer =
                        self.send(client, ("PUT", "/assets"), &headers, &bytes_of(photo))?;
                    // 200 if an earlier request, whose answer was lost, has arrived since the question.
                    if answer.status() != 200 {
                        expect(&answer, 201, "a photo that was missing")?;
                    }
                    sent.insert(photo);
                }
                other => return Err(Stopped::Wrong(format!("presence {other} of {digest:02x?}"))),
            }
        }
        Ok(sent)
    }
}

/// What the library lists, as old clients see it: the name says which photo it is, the length must agree.
pub(super) fn held_by(person: &Person) -> Result<BTreeSet<Photo>, String> {
    let photo_of = |file: &ListedFile| -> Option<Photo> {
        let photo = file.filename.strip_prefix("IMG_")?.strip_suffix(".jpg")?.parse().ok()?;
        (file_of(photo).length_bytes() == file.size_bytes).then_some(photo)
    };
    let listed = person.listed();
    let held: BTreeSet<Photo> = listed.iter().filter_map(photo_of).collect();
    match held.len() == listed.len() {
        true => Ok(held),
        false => Err(format!("strange or doubled files: {:?}", person.names())),
    }
}

fn expect(answer: &Answer, status: u16, what: &str) -> Result<(), Stopped> {
    match answer.status() == status {
        true => Ok(()),
        false => {
            let (got, text) = (answer.status(), answer.text());
            Err(Stopped::Wrong(format!("{what}: {got} instead of {status}: {text}")))
        }
    }
}

/// Sum of digests as big-endian numbers modulo 2²⁵⁶.
fn sum_of<'a>(digests: impl Iterator<Item = &'a Raw>) -> Raw {
    let mut sum = [0u8; 32];
    for digest in digests {
        let mut carry = 0u16;
        for at in (0..32).rev() {
            let total = u16::from(sum[at]) + u16::from(digest[at]) + carry;
            sum[at] = total.to_be_bytes()[1];
            carry = total >> 8;
        }
    }
    sum
}
