//! The order of sealed objects, written beside them: what a server that lost its database cannot know otherwise,
//! because it stands in the sealed part. Only `rebuild` reads it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::queries::chains::Link;
use crate::blobs::{BlobError, CHAINS_FILE, append_durably};
use crate::boot::App;
use crate::error::{Error, Result};

/// One line. Readers skip lines they do not know.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Segment {
        writer: String,
        sequence: i64,
        id: String,
    },
    Keyring {
        keyring: i64,
        id: String,
    },
    /// Everything before went to the trash.
    Emptied {
        emptied: bool,
    },
}

fn path_of(app: &App, account: Uuid) -> PathBuf {
    app.relay_chunks.account_folder(account).join(CHAINS_FILE)
}

/// Notes the place of a segment, before its row.
pub async fn note_segment(app: &App, account: Uuid, link: &Link) -> Result<()> {
    let Link { writer, sequence, chunk_id } = link.clone();
    append(app, account, Line::Segment { writer, sequence, id: chunk_id }).await
}

/// Notes the number of a keyring, before its row.
pub async fn note_keyring(app: &App, account: Uuid, link: &Link) -> Result<()> {
    append(app, account, Line::Keyring { keyring: link.sequence, id: link.chunk_id.clone() }).await
}

/// Notes that what was noted so far is in the trash. Nothing to do where nothing was noted.
pub async fn note_emptied(app: &App, account: Uuid) -> Result<()> {
    let path = path_of(app, account);
    let noted = tokio::task::spawn_blocking(move || path.exists()).await;
    match noted {
        Ok(true) => append(app, account, Line::Emptied { emptied: true }).await,
        _ => Ok(()),
    }
}

async fn append(app: &App, account: Uuid, line: Line) -> Result<()> {
    let line = serde_json::to_string(&line)
        .map_err(|source| Error::internal("note a place in a chain").caused_by(source))?;
    let path = path_of(app, account);
    let failed = |source| BlobError::new("note", "a place in a chain", source);
    tokio::task::spawn_blocking(move || append_durably(&path, &line))
        .await
        .map_err(|source| failed(std::io::Error::other(source)))?
        .map_err(failed)?;
    Ok(())
}

/// All places that count, in order: the segments of every chain, and the keyrings.
pub async fn read(app: &App, account: Uuid) -> Result<(Vec<Link>, Vec<Link>)> {
    let path = path_of(app, account);
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
    let text = match read.map_err(std::io::Error::other).and_then(|text| text) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Default::default()),
        Err(source) => return Err(BlobError::new("read", "the order of chains", source).into()),
    };
    Ok(places(&text))
}

/// The last line about a place counts: a crash may have left one whose row never came.
fn places(text: &str) -> (Vec<Link>, Vec<Link>) {
    let mut segments = BTreeMap::new();
    let mut keyrings = BTreeMap::new();
    for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
        match line {
            Line::Segment { writer, sequence, id } => {
                segments.insert((writer, sequence), id);
            }
            Line::Keyring { keyring, id } => {
                keyrings.insert(keyring, id);
            }
            Line::Emptied { .. } => {
                segments.clear();
                keyrings.clear();
            }
        }
    }
    let segments = segments.into_iter().map(|((writer, sequence), chunk_id)| Link {
        writer,
        sequence,
        chunk_id,
    });
    let keyrings = keyrings.into_iter().map(|(sequence, chunk_id)| Link {
        writer: String::new(),
        sequence,
        chunk_id,
    });
    (segments.collect(), keyrings.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_about_a_place_counts_and_torn_ones_do_not() {
        let text = "\n{\"writer\":\"a\",\"sequence\":1,\"id\":\"x\"}\n\n{\"keyring\":1,\"id\":\"k\"}\n\n{\"emptied\":true}\n\
                    \n{\"writer\":\"a\",\"sequence\":2,\"id\":\"torn\n\n{\"writer\":\"a\",\"sequence\":1,\"id\":\"lost\"}\n\
                    \n{\"writer\":\"a\",\"sequence\":1,\"id\":\"y\"}\n\n{\"keyring\":2,\"id\":\"l\"}\n";
        let (segments, keyrings) = places(text);
        let shown: Vec<_> =
            segments.iter().map(|link| (link.sequence, link.chunk_id.as_str())).collect();
        assert_eq!(shown, [(1, "y")]);
        assert_eq!((keyrings.len(), keyrings[0].chunk_id.as_str()), (1, "l"));
    }
}
