//! Resumable uploads in several requests: one file in pieces, and one of two parts that are put together. Each request
//! has an id that begins with the operation's; the last one has the operation's own.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photosync_tests::account::Session;
use photosync_tests::http::{Answer, Body, Client, HttpError, Request};
use photosync_tests::tus_client::path_of;

use super::send::{Operation, Way};
use super::torture::process::wait_until;

/// What became of an upload that went on after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It was brought to its end.
    Finished {
        /// Whether a part of it went on from the middle: what had become durable was not sent again.
        from_middle: bool,
    },
    /// The server knows nothing of it: its bytes must be a file of the library, or become one soon.
    Published,
}

const BASE: &str = "/api/v2/tus";

/// Pieces of a file, or of each part, but for the last one.
const PIECES: usize = 2;
/// The server makes few bytes durable a second after they came.
const DURABLE_WITHIN: Duration = Duration::from_secs(20);

impl Operation {
    /// The parts of the body: one upload each.
    fn parts(&self) -> Vec<&[u8]> {
        match self.way {
            Way::TusConcat => {
                let (first, second) = self.body.split_at(self.body.len() / 3);
                vec![first, second]
            }
            _ => vec![&self.body],
        }
    }

    /// The id of the request that creates an upload.
    pub fn creation_id(&self, part: usize) -> String {
        format!("{}-create-{part}", self.id)
    }

    /// Whether every upload it needs was created, as far as the client heard.
    pub fn is_begun(&self) -> bool {
        self.places.lock().expect("no panic").len() == self.parts().len()
    }

    /// Sends everything and returns the last answer, or the first that is not one of success.
    pub fn send_in_pieces(
        &self,
        client: &mut Client,
        session: &Session,
    ) -> Result<Answer, HttpError> {
        let parts = self.parts();
        let mut last = None;
        for (number, part) in parts.iter().enumerate() {
            let begun = self.create(client, session, number, part.len())?;
            let Some(place) = place_of(&begun) else { return Ok(begun) };
            self.places.lock().expect("no panic").push(place.clone());
            let step = part.len().div_ceil(PIECES + 1);
            for (piece, bytes) in part.chunks(step).enumerate() {
                let ends = (piece + 1) * step >= part.len() && self.way == Way::TusPieces;
                let id = match ends {
                    true => self.id.clone(),
                    false => format!("{}-piece-{number}-{piece}", self.id),
                };
                let answer = append(client, session, &id, &place, piece * step, bytes)?;
                if answer.status() != 204 {
                    return Ok(answer);
                }
                last = Some(answer);
                // Of some, so that a cut finds both.
                if piece == 0 && part[0].is_multiple_of(4) {
                    let expiry = expiry_of(&begun).expect("when it expires");
                    self.wait_until_durable(client, session, &place, expiry)?;
                }
            }
        }
        match (self.way, last) {
            (Way::TusPieces, Some(answer)) => Ok(answer),
            _ => self.join(client, session, &self.id),
        }
    }

    /// Waits until bytes of an upload became durable: only then does it get more time.
    fn wait_until_durable(
        &self,
        client: &mut Client,
        session: &Session,
        place: &str,
        first_expiry: &str,
    ) -> Result<(), HttpError> {
        let id = format!("{}-look", self.id);
        let mut looked = Ok(());
        let is_over = wait_until(DURABLE_WITHIN, || {
            match client.send(request("HEAD", place, &id, session)) {
                Ok(answer) => {
                    assert_eq!(answer.status(), 200, "{}: {}", self.id, answer.text());
                    expiry_of(&answer).expect("when it expires") != first_expiry
                }
                Err(error) => {
                    looked = Err(error);
                    true
                }
            }
        });
        assert!(is_over, "{}: its first piece did not become durable", self.id);
        looked
    }

    fn create(
        &self,
        client: &mut Client,
        session: &Session,
        part: usize,
        size_bytes: usize,
    ) -> Result<Answer, HttpError> {
        let mut request = request("POST", BASE, &self.creation_id(part), session)
            .header("Upload-Length", size_bytes.to_string());
        request = match self.way {
            Way::TusConcat => request.header("Upload-Concat", "partial"),
            _ => request.header("Upload-Metadata", self.metadata()),
        };
        client.send(request.body(Body::Bytes(b"")))
    }

    fn join(&self, client: &mut Client, session: &Session, id: &str) -> Result<Answer, HttpError> {
        let places = self.places.lock().expect("no panic").join(" ");
        let request = request("POST", BASE, id, session)
            .header("Upload-Concat", format!("final;{places}"))
            .header("Upload-Metadata", self.metadata());
        client.send(request.body(Body::Bytes(b"")))
    }

    fn metadata(&self) -> String {
        format!("filename {}", STANDARD.encode(&self.name))
    }

    /// After a power cut that came before the last answer, but not before the creations were answered: the client asks
    /// how far each upload is and sends the rest. What was kept must be the beginning of what was sent.
    pub fn go_on(&self, client: &mut Client, session: &Session) -> Result<Left, String> {
        let failed = |what: &str| format!("{} ({:?}): {what}", self.id, self.way);
        let places = self.places.lock().expect("no panic").clone();
        let (mut asset, mut from_middle) = (None, false);
        for (place, part) in places.iter().zip(self.parts()) {
            let asked = request("HEAD", place, "again", session);
            let answer = client.send(asked).map_err(|error| failed(&error.to_string()))?;
            if answer.status() == 404 {
                // Without a digest only the bytes themselves tell what became of an upload whose file has its name and
                // whose row was not finished. Parts end in the commit that makes the whole. Nothing is lost either way.
                match self.way {
                    Way::TusConcat => continue,
                    _ => return Ok(Left::Published),
                }
            }
            if answer.status() != 200 {
                return Err(failed(&format!(
                    "its creation was answered, and now {}",
                    answer.status()
                )));
            }
            asset = answer.header("photosync-asset").map(str::to_owned);
            let offset = answer.header("upload-offset").and_then(|text| text.parse().ok());
            let offset: usize = offset.ok_or_else(|| failed("no offset"))?;
            if offset > part.len() || (asset.is_some() && offset < part.len()) {
                return Err(failed(&format!("offset {offset} of {}", part.len())));
            }
            from_middle |= (1..part.len()).contains(&offset);
            if offset < part.len() {
                let answer = append(client, session, "again", place, offset, &part[offset..]);
                let answer = answer.map_err(|error| failed(&error.to_string()))?;
                if answer.status() != 204 {
                    return Err(failed(&format!("going on at {offset}: {}", answer.text())));
                }
                asset = answer.header("photosync-asset").map(str::to_owned);
            }
        }
        if self.way == Way::TusConcat {
            let answer = self.join(client, session, "again");
            let answer = answer.map_err(|error| failed(&error.to_string()))?;
            if answer.status() != 201 {
                return Err(failed(&format!(
                    "joining again: {} {}",
                    answer.status(),
                    answer.text()
                )));
            }
            asset = answer.header("photosync-asset").map(str::to_owned);
        }
        let asset = asset.ok_or_else(|| failed("it ended and names no asset"))?;
        let path = format!("/api/v2/library/assets/{asset}/original");
        let answer = super::send::get(client, session, &path)?;
        match answer.status() == 200 && answer.body == self.body {
            true => Ok(Left::Finished { from_middle }),
            false => Err(failed("it came to its end with other bytes")),
        }
    }
}

fn append(
    client: &mut Client,
    session: &Session,
    id: &str,
    place: &str,
    offset: usize,
    bytes: &[u8],
) -> Result<Answer, HttpError> {
    let request = request("PATCH", place, id, session)
        .header("Content-Type", "application/offset+octet-stream")
        .header("Upload-Offset", offset.to_string());
    client.send(request.body(Body::Bytes(bytes)))
}

fn request<'a>(method: &'a str, path: &str, id: &str, session: &Session) -> Request<'a> {
    Request::new(method, path)
        .headers(&session.headers())
        .header("X-Request-Id", id)
        .header("Tus-Resumable", "1.0.0")
}

fn expiry_of(answer: &Answer) -> Option<&str> {
    answer.header("upload-expires")
}

fn place_of(answer: &Answer) -> Option<String> {
    let place = answer.header("location").filter(|_| answer.status() == 201)?;
    Some(path_of(place).to_owned())
}
