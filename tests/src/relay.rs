//! A look-alike of how the old clients use the encrypted relay. What they seal is opaque to the server, so
//! random bytes stand in for sealed chunks and manifests: a chunk's id is the SHA-256 of its bytes either way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::account::{ClientError, post_json, require_success, success_json};
use crate::http::{Answer, Body, Client, Request, Timeouts};
use crate::phone::{Part, Phone, Platform, send_part};

/// Sealed size of a full chunk of the desktop client: 2 MiB and the 16 bytes of the seal.
pub const DESKTOP_CHUNK_BYTES: usize = 2 * 1024 * 1024 + 16;

/// Sealed size of a full chunk of the Android client: 4 MiB and the 16 bytes of the seal.
pub const ANDROID_CHUNK_BYTES: usize = 4 * 1024 * 1024 + 16;

/// Manifests per page, as the desktop asks for them.
const PAGE_MANIFESTS: usize = 500;

/// What a chunk is called: lower-case hex SHA-256 of its bytes.
pub fn chunk_id(sealed: &[u8]) -> String {
    hex::encode(Sha256::digest(sealed))
}

/// What the phone calls a manifest.
pub fn phone_manifest_id(asset_id: &str) -> String {
    hex::encode(Sha256::digest(format!("asset:{asset_id}")))
}

/// What the desktop calls a manifest.
pub fn desktop_manifest_id(filename: &str, size_bytes: u64) -> String {
    let name = format!("file:{}:{size_bytes}", filename.trim().to_lowercase());
    hex::encode(Sha256::digest(name))
}

/// Bytes that look sealed: the same for the same seed, different for every other one.
pub fn opaque_bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&next_random(&mut state).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014): short, well spread, and the same on every machine.
pub(crate) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The relay as one signed-in client sees it.
pub struct Relay {
    address: SocketAddr,
    headers: Vec<(String, String)>,
    client: Client,
    // In a real client only the opened manifest knows its chunks.
    chunks_of: BTreeMap<String, Vec<String>>,
}

impl Relay {
    /// The relay of a phone that has signed in.
    pub fn of_phone(address: SocketAddr, phone: &Phone) -> Result<Self, ClientError> {
        Ok(Self::with_headers(address, phone.headers()?))
    }

    /// The relay behind these authenticated headers.
    pub fn with_headers(address: SocketAddr, headers: Vec<(String, String)>) -> Self {
        let timeouts = Timeouts { whole: Some(Duration::from_secs(120)), ..Timeouts::default() };
        let client = Client::with_timeouts(address, timeouts);
        Relay { address, headers, client, chunks_of: BTreeMap::new() }
    }

    /// `GET /api/cloud/usage`.
    pub fn usage(&mut self) -> Result<Value, ClientError> {
        let answer = self.get("read the usage", "/api/cloud/usage")?;
        success_json("read the usage", &answer)
    }

    /// Whether the desktop client would begin: an active plan or trial, and room for 1.1 times the selection.
    /// Fields that are missing count as no room.
    pub fn desktop_would_begin(usage: &Value, selection_bytes: u64) -> bool {
        let status = usage["subscription"]["status"].as_str().unwrap_or_default();
        let remaining_bytes = usage["remainingBytes"].as_f64().unwrap_or(0.0);
        let has_plan = matches!(status, "active" | "trial") && usage["planGb"].as_f64().is_some();
        has_plan && remaining_bytes > 0.0 && selection_bytes as f64 * 1.1 <= remaining_bytes
    }

    /// Sends a sealed chunk as a raw body.
    pub fn put_chunk(&mut self, sealed: &[u8]) -> Result<String, ClientError> {
        let id = chunk_id(sealed);
        let answer = self.put_chunk_as(&id, sealed)?;
        stored_chunk(&answer)
    }

    /// Sends these bytes under this id, true or not, and returns whatever the server says.
    pub fn put_chunk_as(&mut self, id: &str, sealed: &[u8]) -> Result<Answer, ClientError> {
        let request = Request::new("POST", "/api/cloud/chunks")
            .headers(&self.headers)
            .header("X-Chunk-Id", id)
            .header("Content-Type", "application/octet-stream")
            .body(Body::Bytes(sealed));
        self.client.send(request).map_err(|source| ClientError::Http("send a chunk", source))
    }

    /// Sends a sealed chunk the way Android falls back to: the part `chunk` of a multipart body.
    pub fn put_chunk_multipart(&mut self, sealed: &[u8]) -> Result<String, ClientError> {
        let id = chunk_id(sealed);
        let mut headers = self.headers.clone();
        headers.push(("X-Chunk-Id".to_owned(), id.clone()));
        let part = Part {
            field: "chunk",
            filename: format!("{id}.bin"),
            content_type: "application/octet-stream",
            size_bytes: sealed.len() as u64,
        };
        let path = "/api/cloud/chunks";
        let answer = send_part(&mut self.client, Platform::Android, path, &headers, &part, sealed)
            .map_err(|source| ClientError::Http("send a chunk", source))?;
        stored_chunk(&answer)
    }

    /// Sends a chunk as Android does: raw, then multipart when that fails for any reason.
    pub fn put_chunk_on_android(&mut self, sealed: &[u8]) -> Result<String, ClientError> {
        self.put_chunk(sealed).or_else(|_| self.put_chunk_multipart(sealed))
    }

    /// Fetches a chunk; bytes that do not hash to the id are an error.
    pub fn get_chunk(&mut self, id: &str) -> Result<Vec<u8>, ClientError> {
        const WHAT: &str = "fetch a chunk";
        let answer = self.get(WHAT, &format!("/api/cloud/chunks/{id}"))?;
        if answer.status() != 200 {
            let (status, body) = (answer.status(), answer.text());
            return Err(ClientError::Refused { what: WHAT, status, body });
        }
        match chunk_id(&answer.body) == id {
            true => Ok(answer.body),
            false => Err(ClientError::Unusable(WHAT, format!("bytes that are not chunk {id}"))),
        }
    }

    /// Posts a manifest; true when the server kept an earlier one of this id.
    pub fn put_manifest(
        &mut self,
        id: &str,
        encrypted_manifest: &str,
        chunk_count: usize,
    ) -> Result<bool, ClientError> {
        const WHAT: &str = "post a manifest";
        let body = json!({
            "manifestId": id,
            "encryptedManifest": encrypted_manifest,
            "chunkCount": chunk_count,
        });
        let timeouts = Timeouts { whole: Some(Duration::from_secs(30)), ..Timeouts::default() };
        let path = "/api/cloud/manifests";
        let answer = post_json(self.address, timeouts, path, &self.headers, &body)
            .map_err(|source| ClientError::Http(WHAT, source))?;
        let json = success_json(WHAT, &answer)?;
        Ok(json["skipped"].as_bool().unwrap_or(false))
    }

    /// Every manifest id in one answer, as the phone asks.
    pub fn list_manifests(&mut self) -> Result<Vec<String>, ClientError> {
        let answer = self.get("list the manifests", "/api/cloud/manifests")?;
        Ok(manifest_ids(&answer)?.0)
    }

    /// Every manifest id in pages of 500, as the desktop asks.
    pub fn list_manifests_paged(&mut self) -> Result<Vec<String>, ClientError> {
        let mut ids = Vec::new();
        loop {
            let offset = ids.len();
            let path = format!("/api/cloud/manifests?offset={offset}&limit={PAGE_MANIFESTS}");
            let answer = self.get("list the manifests", &path)?;
            let (page, total) = manifest_ids(&answer)?;
            let page_is_short = page.len() < PAGE_MANIFESTS;
            ids.extend(page);
            if page_is_short || ids.len() as u64 >= total {
                return Ok(ids);
            }
        }
    }

    /// The sealed manifest: a string, as it was posted.
    pub fn get_manifest(&mut self, id: &str) -> Result<String, ClientError> {
        const WHAT: &str = "fetch a manifest";
        let answer = self.get(WHAT, &format!("/api/cloud/manifests/{id}"))?;
        let json = success_json(WHAT, &answer)?;
        let sealed = json["encryptedManifest"].as_str();
        sealed.map(str::to_owned).ok_or_else(|| ClientError::Unusable(WHAT, answer.text()))
    }

    /// Backs up one asset of `sealed_sizes` (one entry per chunk, in bytes): chunks in order, then the manifest.
    /// Returns the manifest's id. The bytes follow from `asset_id`, so that a second call sends the same.
    pub fn back_up(
        &mut self,
        asset_id: &str,
        sealed_sizes: &[usize],
    ) -> Result<String, ClientError> {
        let manifest_id = phone_manifest_id(asset_id);
        let seed = Sha256::digest(asset_id);
        let seed = seed.iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte));
        let mut chunk_ids = Vec::new();
        for (index, &size) in sealed_sizes.iter().enumerate() {
            let sealed = opaque_bytes(seed.wrapping_add(index as u64), size);
            chunk_ids.push(self.put_chunk(&sealed)?);
        }
        // Nonce, tag, and about as many bytes as the list of chunks would take when sealed.
        let manifest_box = opaque_bytes(!seed, 600 + 100 * chunk_ids.len());
        let envelope = json!({
            "manifestNonce": base64(&opaque_bytes(seed ^ 1, 24)),
            "manifestBox": base64(&manifest_box),
        });
        self.put_manifest(&manifest_id, &envelope.to_string(), chunk_ids.len())?;
        self.chunks_of.insert(manifest_id.clone(), chunk_ids);
        Ok(manifest_id)
    }

    /// Fetches everything that [`Relay::back_up`] of this client stored, in listed order, and returns the number
    /// of chunk bytes. Like the phone, it stops at the first chunk that is missing or wrong.
    pub fn restore(&mut self) -> Result<u64, ClientError> {
        let mut received_bytes = 0;
        for manifest_id in self.list_manifests()? {
            self.get_manifest(&manifest_id)?;
            let Some(chunk_ids) = self.chunks_of.get(&manifest_id).cloned() else { continue };
            for id in chunk_ids {
                received_bytes += self.get_chunk(&id)?.len() as u64;
            }
        }
        Ok(received_bytes)
    }

    fn get(&mut self, what: &'static str, path: &str) -> Result<Answer, ClientError> {
        let request = Request::new("GET", path).headers(&self.headers);
        self.client.send(request).map_err(|source| ClientError::Http(what, source))
    }
}

fn stored_chunk(answer: &Answer) -> Result<String, ClientError> {
    const WHAT: &str = "send a chunk";
    require_success(WHAT, answer)?;
    let json = success_json(WHAT, answer)?;
    match (json["stored"].as_bool(), json["chunkId"].as_str()) {
        (Some(true), Some(id)) => Ok(id.to_owned()),
        _ => Err(ClientError::Unusable(WHAT, answer.text())),
    }
}

fn manifest_ids(answer: &Answer) -> Result<(Vec<String>, u64), ClientError> {
    const WHAT: &str = "list the manifests";
    let json = success_json(WHAT, answer)?;
    let unusable = || ClientError::Unusable(WHAT, answer.text());
    let entries = json["manifests"].as_array().ok_or_else(unusable)?;
    let ids: Option<Vec<String>> =
        entries.iter().map(|entry| entry["manifestId"].as_str().map(str::to_owned)).collect();
    Ok((ids.ok_or_else(unusable)?, json["total"].as_u64().ok_or_else(unusable)?))
}

/// Standard alphabet, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 3];
        padded[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= group.len() { ALPHABET[index] as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_ids_are_those_of_the_old_clients() {
        assert_eq!(
            desktop_manifest_id("IMG_0001.jpg", 12345),
            "1b615cbbe1d894af50b124f6565c7a6914905f22b87ecbb80b6671693dfb4941"
        );
        assert_eq!(
            phone_manifest_id("ABC"),
            "a20839526dbb9bf5adc414b588ba689883ee6dfa5bd099d946b95ab87f842ef6"
        );
    }

    #[test]
    fn base64_is_padded() {
        let known =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, encoded) in known {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn no_room_is_what_the_desktop_reads_from_missing_numbers() {
        let active =
            json!({"subscription": {"status": "active"}, "planGb": 1000, "remainingBytes": 111});
        assert!(Relay::desktop_would_begin(&active, 100));
        assert!(!Relay::desktop_would_begin(&active, 101));
        let unknown =
            json!({"subscription": {"status": "active"}, "planGb": 1000, "remainingBytes": null});
        assert!(!Relay::desktop_would_begin(&unknown, 0));
    }
}
