//! One account under torture: what was sent, what was answered, and whether the server keeps to it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use photosync_tests::account::{ListedFile, Session};
use photosync_tests::http::{Answer, Body, Client, HttpError, Request};
use photosync_tests::names::encode_uri_component;
use photosync_tests::phone::Phone;
use photosync_tests::relay::opaque_bytes;
use sha2::{Digest, Sha256};

/// SHA-256 of a whole body.
pub type Sha = [u8; 32];

/// One upload a client makes.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The name it asks for.
    pub name: String,
    /// The bytes follow from it.
    pub seed: u64,
    /// How many.
    pub size_bytes: usize,
    /// As a form instead of a raw body.
    pub as_form: bool,
    /// Closes the connection half-way: nothing of it may ever be listed.
    pub is_cut_off: bool,
}

#[derive(Default)]
struct Ledger {
    /// Bodies that went out whole, or may have.
    offered: HashSet<Sha>,
    /// What the server said it holds, by listed name.
    acknowledged: BTreeMap<String, (Sha, u64)>,
    /// Listed files whose bytes were compared.
    verified: HashMap<String, Sha>,
    /// The first broken promise.
    broken: Option<String>,
}

/// An account with its session and its ledger.
pub struct Account {
    session: Session,
    ledger: Mutex<Ledger>,
}

impl Account {
    /// Registers and signs in.
    pub fn create(address: SocketAddr, email: &str) -> Result<Self, String> {
        let mut phone = Phone::new(address, email, "correct horse, battery");
        phone.register(None).map_err(|error| error.to_string())?;
        phone.login().map_err(|error| error.to_string())?;
        let session = phone.session().cloned().ok_or("no session after signing in")?;
        Ok(Self { session, ledger: Mutex::default() })
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of listed names that were promised.
    pub fn acknowledged_count(&self) -> usize {
        self.ledger().acknowledged.len()
    }

    /// Sends one upload and notes the answer. `Err`: no answer came.
    pub fn upload(&self, client: &mut Client, upload: &Upload) -> Result<(), HttpError> {
        let body = opaque_bytes(upload.seed, upload.size_bytes);
        let digest: Sha = Sha256::digest(&body).into();
        if !upload.is_cut_off {
            self.ledger().offered.insert(digest);
        }
        let answer = self.send(client, upload, &body)?;
        if upload.is_cut_off {
            self.break_promise(format!("half a body was answered: {}", answer.text()));
            return Ok(());
        }
        let json = answer.json().unwrap_or_default();
        match (answer.status(), json["filename"].as_str()) {
            (200..=299, Some(name)) => self.note(name, digest, body.len() as u64),
            (status, _) => self.break_promise(format!(
                "upload of {} was answered {status}: {}",
                upload.name,
                answer.text()
            )),
        }
        Ok(())
    }

    fn send(&self, client: &mut Client, upload: &Upload, body: &[u8]) -> Result<Answer, HttpError> {
        const BOUNDARY: &str = "----photosync-torture-boundary";
        let (path, kind, opening, closing) = match upload.as_form {
            false => (
                "/api/upload/raw",
                "application/octet-stream".to_owned(),
                String::new(),
                String::new(),
            ),
            true => (
                "/api/upload",
                format!("multipart/form-data; boundary={BOUNDARY}"),
                format!(
                    "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; \
                     filename=\"{}\"\r\ncontent-type: image/jpeg\r\n\r\n",
                    upload.name
                ),
                format!("\r\n--{BOUNDARY}--\r\n"),
            ),
        };
        let length_bytes = (opening.len() + body.len() + closing.len()) as u64;
        let whole = opening.as_bytes().chain(body).chain(closing.as_bytes());
        let sent_bytes = if upload.is_cut_off { length_bytes / 2 } else { length_bytes };
        let mut reader = whole.take(sent_bytes);
        let request = Request::new("POST", path)
            .headers(&self.session.headers())
            .header("X-Filename", &upload.name)
            .header("Content-Type", kind)
            .body(Body::Sized { length_bytes, reader: &mut reader });
        client.send(request)
    }

    fn note(&self, name: &str, digest: Sha, size_bytes: u64) {
        let earlier = self.ledger().acknowledged.insert(name.to_owned(), (digest, size_bytes));
        if earlier.is_some_and(|earlier| earlier != (digest, size_bytes)) {
            self.break_promise(format!("{name} was promised to two different bodies"));
        }
    }

    fn break_promise(&self, what: String) {
        self.ledger().broken.get_or_insert(what);
    }

    /// Everything the server lists.
    pub fn list(&self, client: &mut Client) -> Result<Vec<ListedFile>, String> {
        let request = Request::new("GET", "/api/files").headers(&self.session.headers());
        let answer = client.send(request).map_err(|error| format!("list: {error}"))?;
        let json = answer.json().map_err(|error| format!("list: {error}"))?;
        let files = json["files"].as_array().ok_or_else(|| format!("list: {}", answer.text()))?;
        let entry = |file: &serde_json::Value| {
            let filename = file["filename"].as_str()?.to_owned();
            Some(ListedFile { filename, size_bytes: file["size"].as_u64()? })
        };
        files.iter().map(entry).collect::<Option<_>>().ok_or_else(|| "a list without names".into())
    }

    /// Every promise is listed, and every listed file that was not looked at before (all of them when
    /// `reads_everything`) is a whole body. Returns the number of files read.
    pub fn verify(&self, address: SocketAddr, reads_everything: bool) -> Result<u64, String> {
        let mut client = Client::new(address);
        let listed = self.list(&mut client)?;
        let mut ledger = self.ledger();
        if let Some(broken) = &ledger.broken {
            return Err(broken.clone());
        }
        let sizes: BTreeMap<&str, u64> =
            listed.iter().map(|file| (file.filename.as_str(), file.size_bytes)).collect();
        if sizes.len() != listed.len() {
            return Err("a name is listed twice".into());
        }
        for (name, (_, size_bytes)) in &ledger.acknowledged {
            match sizes.get(name.as_str()) {
                Some(size) if size == size_bytes => {}
                Some(size) => {
                    return Err(format!("{name} has {size} bytes instead of {size_bytes}"));
                }
                None => return Err(format!("{name} was answered with success and is not listed")),
            }
        }
        let mut read_count = 0;
        for file in &listed {
            let name = &file.filename;
            let digest = match ledger.verified.get(name) {
                Some(digest) if !reads_everything => *digest,
                _ => {
                    read_count += 1;
                    self.download(&mut client, name)?
                }
            };
            if !ledger.offered.contains(&digest) {
                return Err(format!("{name} is listed, but is no body that was sent whole"));
            }
            if ledger.acknowledged.get(name).is_some_and(|(promised, _)| *promised != digest) {
                return Err(format!("{name} was promised with other bytes"));
            }
            ledger.verified.insert(name.clone(), digest);
        }
        Ok(read_count)
    }

    fn download(&self, client: &mut Client, name: &str) -> Result<Sha, String> {
        let path = format!("/api/files/{}", encode_uri_component(name));
        let request = Request::new("GET", path).headers(&self.session.headers());
        let answer = client.send(request).map_err(|error| format!("download {name}: {error}"))?;
        match answer.status() {
            200 => Ok(Sha256::digest(&answer.body).into()),
            status => Err(format!("download {name}: {status} {}", answer.text())),
        }
    }
}
