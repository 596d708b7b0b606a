//! Verify: asks the server for a signed receipt of every file of this device, checks and keeps them.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use photosync_protocol::digest::Digest;
use photosync_protocol::v2::Safety;
use photosync_protocol::v2::session::fingerprint;
use photosync_protocol::v2::settled::{FileSafety, Receipt, Receipts, ReceiptsRequest};
use reqwest::Method;

use crate::backup::{blocking, open_cache};
use crate::cache::Cache;
use crate::connection::{Connection, read_json};
use crate::error::Result;
use crate::profile::Profile;
use crate::report::{Event, VerifySummary};

/// The fact that says how many files had a second copy at the last run, and since when (Unix milliseconds, or nothing).
const SECOND_COPIES: &str = "second_copies";
/// Receipts asked for at once: the answer is about 600 bytes each.
const BATCH: usize = 5000;

/// Whether a receipt is a true statement of that server about that file in that library.
pub fn is_genuine(receipt: &Receipt, pinned: &str, account_uuid: &str, digest: &Digest) -> bool {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let key = bytes(&receipt.public_key).and_then(|key| <[u8; 32]>::try_from(key).ok());
    let (Some(key), Some(signature)) = (key, bytes(&receipt.signature)) else { return false };
    receipt.digest == *digest
        && receipt.account_uuid == account_uuid
        && receipt.fingerprint == pinned
        && fingerprint(&key) == pinned
        && UnparsedPublicKey::new(&ED25519, key).verify(&receipt.signed_bytes(), &signature).is_ok()
}

/// What the server says of some files, each with a genuine receipt or without one.
pub async fn ask(connection: &Connection, digests: &[Digest]) -> Result<(Vec<FileSafety>, u64)> {
    let body = ReceiptsRequest { digests: digests.to_vec() };
    let build =
        |connection: &Connection| connection.request(Method::POST, "/library/receipts").json(&body);
    let answer: Receipts = read_json(connection.call(build).await?).await?;
    Ok((answer.receipts, answer.queued))
}

/// Asks about everything this device backed up.
pub async fn run(connection: Arc<Connection>, profile: &Profile) -> Result<VerifySummary> {
    let cache = open_cache(profile).await?;
    let reading = cache.clone();
    let digests = blocking(move || reading.digests()).await?;
    let mut summary = VerifySummary { files: digests.len() as u64, ..VerifySummary::default() };
    for part in digests.chunks(BATCH) {
        verify_part(&connection, &cache, part, &mut summary).await?;
    }
    let since = summary.second_copy_since_ms.map(|at_ms| at_ms.to_string()).unwrap_or_default();
    cache.put_fact(SECOND_COPIES, &format!("{} {since}", summary.second_copy))?;
    connection.report().event(&Event::VerifyDone(summary.clone()));
    Ok(summary)
}

/// How many files had a second copy when this was last asked, and when every one of them was last found there, Unix
/// milliseconds; `None` if it was never asked.
pub fn second_copies(cache: &Cache) -> Result<Option<(u64, Option<i64>)>> {
    let text = cache.find_fact(SECOND_COPIES)?;
    let parsed = text.as_deref().and_then(|text| text.split_once(' '));
    Ok(parsed.and_then(|(count, since)| Some((count.parse().ok()?, since.parse().ok()))))
}

async fn verify_part(
    connection: &Connection,
    cache: &Cache,
    part: &[Digest],
    summary: &mut VerifySummary,
) -> Result<()> {
    let credentials = connection.credentials().await?;
    let (answers, queued) = ask(connection, part).await?;
    summary.queued += queued;
    let mut kept = Vec::new();
    let mut answers = answers.into_iter();
    for digest in part {
        // An answer about another file is no answer about this one.
        let answer = answers.next().filter(|answer| answer.digest == *digest);
        let Some(answer) = answer else {
            fail(connection, cache, digest, "not_held", "the server says nothing of it")?;
            summary.not_held += 1;
            continue;
        };
        match (answer.state, &answer.receipt) {
            (Safety::Known, _) => {
                let why = "the server does not have it (any more): missing, damaged, or deleted";
                fail(connection, cache, digest, "not_held", why)?;
                summary.not_held += 1;
            }
            (Safety::Received, _) => summary.received += 1,
            (Safety::Verified | Safety::SecondCopy, Some(receipt))
                if is_genuine(
                    receipt,
                    &credentials.fingerprint,
                    &credentials.account_uuid,
                    digest,
                ) =>
            {
                summary.verified += 1;
                if answer.state == Safety::SecondCopy {
                    summary.second_copy += 1;
                    let oldest = [summary.second_copy_since_ms, answer.second_copy_at_ms];
                    summary.second_copy_since_ms = oldest.into_iter().flatten().min();
                }
                if let Ok(text) = serde_json::to_string(receipt) {
                    kept.push((*digest, receipt.verified_at_ms, text));
                }
            }
            (Safety::Verified | Safety::SecondCopy, _) => {
                let why = "its receipt is not signed by the server this device trusts";
                fail(connection, cache, digest, "bad_receipt", why)?;
                summary.bad_receipts += 1;
            }
        }
    }
    cache.keep_receipts(&credentials.account_uuid, &kept)
}

fn fail(
    connection: &Connection,
    cache: &Cache,
    digest: &Digest,
    code: &'static str,
    reason: &str,
) -> Result<()> {
    let file = cache.find_file(digest)?;
    let path = file.as_ref().map_or(Path::new(""), |file| &file.path);
    let path = path.to_string_lossy().into_owned();
    connection.report().event(&Event::FileFailed { path, code, reason: reason.to_owned() });
    Ok(())
}
