//! The native ways in of sealed bytes (batches, single objects, segments, keyrings) through everything that takes a
//! server down: what was answered with success is there afterwards, whole and in its place.

mod cuts;
mod disk;
mod killed;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use photosync_tests::http::{Answer, Body, Client, HttpError, Request};
use photosync_tests::relay::{chunk_id, opaque_bytes};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::send::sign_up;
use super::torture::Dice;

/// What one request brings in.
#[derive(Clone, Debug)]
pub enum Load {
    /// `POST /relay/objects`
    Batch(Vec<Vec<u8>>),
    /// `PUT /relay/objects/{id}`
    Single(Vec<u8>),
    /// `POST /relay/segments`: what it makes live, and itself.
    Segment { writer: u64, sequence: u64, live: BTreeSet<[u8; 32]>, object: Vec<u8> },
    /// `PUT /relay/keyring`
    Keyring { sequence: u64, object: Vec<u8> },
}

/// One request under an id of its own.
#[derive(Clone, Debug)]
pub struct Step {
    /// `X-Request-Id`
    pub id: String,
    /// What it brings.
    pub load: Load,
}

/// An object as it looks from outside; a keyring says its number.
pub fn object(kind: char, number: u64, seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = format!("PSYNC2{kind}\n").into_bytes();
    bytes.extend(1_u32.to_le_bytes());
    if kind == 'K' {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(opaque_bytes(seed, length));
    bytes
}

pub fn raw_id(object: &[u8]) -> [u8; 32] {
    Sha256::digest(object).into()
}

fn writer_text(writer: u64) -> String {
    format!("{writer:032x}")
}

impl Step {
    /// Everything of it that has to be there once it was answered.
    pub fn objects(&self) -> Vec<&Vec<u8>> {
        match &self.load {
            Load::Batch(objects) => objects.iter().collect(),
            Load::Single(object) | Load::Segment { object, .. } | Load::Keyring { object, .. } => {
                vec![object]
            }
        }
    }

    fn body(&self) -> Vec<u8> {
        match &self.load {
            Load::Batch(objects) => {
                let length = |object: &Vec<u8>| u32::try_from(object.len()).expect("short");
                let framed = |object| [&length(object).to_le_bytes()[..], object].concat();
                objects.iter().flat_map(framed).collect()
            }
            Load::Segment { live, object, .. } => {
                let count = u32::try_from(live.len()).expect("few");
                let ids: Vec<u8> = live.iter().flatten().copied().collect();
                [&count.to_le_bytes()[..], &ids, object].concat()
            }
            Load::Single(object) | Load::Keyring { object, .. } => object.clone(),
        }
    }
}

/// One round of a backup: a batch, sometimes an object of its own, and the segment that lists them.
pub fn round(dice: &mut Dice, writer: u64, sequence: u64) -> Vec<Step> {
    let mut seed = || dice.below(u64::MAX);
    let count = 3 + seed() % 12;
    let mut objects: Vec<Vec<u8>> = (0..count)
        .map(|number| {
            object(['C', 'M'][number as usize % 2], 0, seed(), 50 + seed() as usize % 3000)
        })
        .collect();
    if sequence == 2 {
        // More than one write.
        objects.push(object('C', 0, seed(), 700_000));
    }
    let alone = object('C', 0, seed(), 9000);
    let live = objects.iter().chain([&alone]).map(|object| raw_id(object)).collect();
    let segment = object('S', 0, seed(), 3000);
    let id = |what: &str| format!("{what}-{writer}-{sequence}");
    vec![
        Step { id: id("batch"), load: Load::Batch(objects) },
        Step { id: id("single"), load: Load::Single(alone) },
        Step { id: id("segment"), load: Load::Segment { writer, sequence, live, object: segment } },
    ]
}

/// A new password: the keyring with this number.
pub fn keyring(dice: &mut Dice, sequence: u64) -> Step {
    let object = object('K', sequence, dice.below(u64::MAX), 400);
    Step { id: format!("keyring-{sequence}"), load: Load::Keyring { sequence, object } }
}

/// Whose relay it is.
#[derive(Clone)]
pub struct Owner {
    access: String,
}

impl Owner {
    /// Registers, and signs in on the native wire.
    pub fn sign_up(address: SocketAddr) -> Self {
        sign_up(address);
        let body = json!({"email": "user@example.org", "password": "correct horse, battery", "device_name": "Desk"});
        let body = body.to_string();
        let request = Request::new("POST", "/api/v2/session")
            .header("Content-Type", "application/json")
            .body(Body::Bytes(body.as_bytes()));
        let answer = Client::new(address).send(request).expect("an answer");
        let json = answer.json().expect("JSON");
        Self { access: json["access_token"].as_str().expect("a token").to_owned() }
    }

    fn request<'a>(&self, method: &'a str, path: &str) -> Request<'a> {
        Request::new(method, format!("/api/v2/relay{path}"))
            .header("Authorization", format!("Bearer {}", self.access))
    }

    /// Sends a step and returns whatever is answered.
    pub fn send(&self, client: &mut Client, step: &Step) -> Result<Answer, HttpError> {
        let request = match &step.load {
            Load::Batch(_) => self.request("POST", "/objects"),
            Load::Single(object) => self.request("PUT", &format!("/objects/{}", chunk_id(object))),
            Load::Segment { writer, sequence, .. } => self
                .request("POST", "/segments")
                .header("PhotoSync-Writer", writer_text(*writer))
                .header("PhotoSync-Sequence", sequence.to_string()),
            Load::Keyring { sequence, .. } => {
                self.request("PUT", "/keyring").header("PhotoSync-Sequence", sequence.to_string())
            }
        };
        let body = step.body();
        client.send(request.header("X-Request-Id", &step.id).body(Body::Bytes(&body)))
    }

    /// Sends a step that must be taken.
    pub fn require_sent(&self, client: &mut Client, step: &Step) -> Result<(), String> {
        let answer = self.send(client, step).map_err(|error| format!("{}: {error}", step.id))?;
        match answer.status() {
            200 | 201 => Ok(()),
            status => Err(format!("{} was answered {status}: {}", step.id, answer.text())),
        }
    }

    fn get(&self, client: &mut Client, path: &str) -> Result<Answer, String> {
        client.send(self.request("GET", path)).map_err(|error| format!("GET {path}: {error}"))
    }

    fn get_json(&self, client: &mut Client, path: &str) -> Result<Value, String> {
        let answer = self.get(client, path)?;
        answer.json().map_err(|error| format!("GET {path}: {error}"))
    }

    /// All bytes of these objects, in order; `None` for one that is not there whole.
    fn fetch(&self, client: &mut Client, ids: &[[u8; 32]]) -> Result<Vec<Option<Vec<u8>>>, String> {
        let mut found = Vec::new();
        for some in ids.chunks(500) {
            let asked = some.concat();
            let request = self.request("POST", "/fetch").body(Body::Bytes(&asked));
            let answer = client.send(request).map_err(|error| format!("fetch: {error}"))?;
            let mut body = answer.body.as_slice();
            while let Some((length, rest)) = body.split_first_chunk::<4>() {
                let length = u32::from_le_bytes(*length);
                let (object, rest) = match length {
                    u32::MAX => (None, rest),
                    _ => rest
                        .split_at_checked(length as usize)
                        .map(|(object, rest)| (Some(object.to_vec()), rest))
                        .ok_or("a fetch broke off")?,
                };
                found.push(object);
                body = rest;
            }
        }
        match found.len() == ids.len() {
            true => Ok(found),
            false => Err(format!("{} of {} objects were answered", found.len(), ids.len())),
        }
    }

    /// Holds the server to everything of `kept`, and to what it lists of all that was `offered`.
    pub fn require_kept<'a>(
        &self,
        client: &mut Client,
        kept: impl IntoIterator<Item = &'a Step> + Clone,
        offered: impl IntoIterator<Item = &'a Step> + Clone,
    ) -> Result<(), String> {
        let promised: BTreeMap<[u8; 32], &Step> = kept
            .clone()
            .into_iter()
            .flat_map(|step| step.objects().into_iter().map(move |object| (raw_id(object), step)))
            .collect();
        // What is listed has to be whole, too: a backup relies on it, and sends nothing of it again.
        let listed = self.get_json(client, "/objects")?;
        let listed = listed["objects"].as_array().ok_or("no list")?;
        let id_of = |row: &Value| row["id"].as_str().map(decode).ok_or("a row without id");
        let mut ids = listed.iter().map(id_of).collect::<Result<BTreeSet<[u8; 32]>, _>>()?;
        ids.extend(promised.keys());
        let ids: Vec<[u8; 32]> = ids.into_iter().collect();
        for (id, found) in ids.iter().zip(self.fetch(client, &ids)?) {
            if found.is_some_and(|object| raw_id(&object) == *id) {
                continue;
            }
            return Err(match promised.get(id) {
                Some(step) => format!("{} was answered and {} is lost", step.id, hex::encode(id)),
                None => format!("{} is listed and not whole", hex::encode(id)),
            });
        }
        let heads = self.get_json(client, "/heads")?;
        self.require_chains(client, &heads, kept.clone(), offered.clone(), &ids)?;
        self.require_keyring(client, kept, offered)
    }

    /// Every chain is a beginning of what was offered, as long as was promised, and names only what is there.
    fn require_chains<'a>(
        &self,
        client: &mut Client,
        heads: &Value,
        kept: impl IntoIterator<Item = &'a Step>,
        offered: impl IntoIterator<Item = &'a Step>,
        there: &[[u8; 32]],
    ) -> Result<(), String> {
        let mut promised: BTreeMap<u64, u64> = BTreeMap::new();
        for step in kept {
            if let Load::Segment { writer, sequence, .. } = step.load {
                let longest = promised.entry(writer).or_default();
                *longest = sequence.max(*longest);
            }
        }
        let mut known = BTreeMap::new();
        for step in offered {
            if let Load::Segment { writer, sequence, live, object } = &step.load {
                known.insert((writer_text(*writer), *sequence), (chunk_id(object), live));
            }
        }
        let heads = heads["heads"].as_array().ok_or("no heads")?;
        let mut lengths: BTreeMap<String, u64> = BTreeMap::new();
        for head in heads {
            let writer = head["writer"].as_str().unwrap_or_default().to_owned();
            let answer = self.get_json(client, &format!("/segments?writer={writer}"))?;
            let segments = answer["segments"].as_array().ok_or("no segments")?;
            for (number, segment) in segments.iter().enumerate() {
                let sequence = number as u64 + 1;
                let Some((id, live)) = known.get(&(writer.clone(), sequence)) else {
                    return Err(format!("{writer} has a segment {sequence} that nobody sent"));
                };
                if segment["sequence"] != sequence || segment["id"] != *id {
                    return Err(format!("{writer} has {segment} in place {sequence}"));
                }
                let own = decode(id);
                let is_lost = |id: &&[u8; 32]| there.binary_search(id).is_err();
                let lost = live.iter().chain([&own]).find(is_lost);
                if let Some(lost) = lost {
                    return Err(format!(
                        "segment {sequence} of {writer} names {}, which is not there",
                        hex::encode(lost)
                    ));
                }
            }
            if head["sequence"] != segments.len() as u64 {
                return Err(format!("{head} is no head of {} segments", segments.len()));
            }
            lengths.insert(writer, segments.len() as u64);
        }
        for (writer, sequence) in promised {
            let length = lengths.get(&writer_text(writer)).copied().unwrap_or_default();
            if length < sequence {
                return Err(format!(
                    "segment {sequence} of writer {writer} was answered: {length}"
                ));
            }
        }
        Ok(())
    }

    fn require_keyring<'a>(
        &self,
        client: &mut Client,
        kept: impl IntoIterator<Item = &'a Step>,
        offered: impl IntoIterator<Item = &'a Step>,
    ) -> Result<(), String> {
        let number = |step: &'a Step| match &step.load {
            Load::Keyring { sequence, object } => Some((*sequence, object)),
            _ => None,
        };
        let promised = kept.into_iter().filter_map(number).map(|(sequence, _)| sequence).max();
        let answer = self.get(client, "/keyring")?;
        if answer.status() == 404 && promised.is_none() {
            return Ok(());
        }
        let mut offered = offered.into_iter().filter_map(number);
        let found = offered.find(|(_, object)| **object == answer.body).map(|(number, _)| number);
        match found >= promised && found.is_some() {
            true => Ok(()),
            false => Err(format!("keyring {promised:?} was answered, and there is {found:?}")),
        }
    }
}

fn decode(id: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    hex::decode_to_slice(id, &mut bytes).expect("a SHA-256 in hex");
    bytes
}
