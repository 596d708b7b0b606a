//! A look-alike of the old desktop client's backup to a remote server. It has no restore, so [`crate::phone`]
//! fetches what it stored.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::account::{
    ClientError, ListedFile, Session, desktop_device_uuid, listing_of, post_json, session_of,
    success_json,
};
use crate::http::{Body, Client, Request, Timeouts};
use crate::names::desktop_header_filename;
use crate::report::{Accepted, TransferReport};

/// Names per page of the listing.
const PAGE_FILES: u64 = 500;

/// Uploads at a time.
const PARALLEL_UPLOADS: usize = 6;

/// The desktop descends this many folders below the chosen one.
const MAX_DEPTH: u32 = 5;

/// What the HTTP library of the original calls itself.
const USER_AGENT: &str = "axios/1.13.2";

/// Extensions the desktop picks up.
const MEDIA_EXTENSIONS: &[&str] = &[
    "jpg", "jpeg", "png", "gif", "bmp", "webp", "tiff", "tif", "heic", "heif", "avif", "dng",
    "cr2", "cr3", "nef", "arw", "raf", "rw2", "orf", "mp4", "mov", "avi", "mkv", "m4v", "3gp",
    "webm",
];

/// An old desktop client with one account, which must exist already.
#[derive(Clone, Debug)]
pub struct Desktop {
    address: SocketAddr,
    email: String,
    password: String,
    session: Option<Session>,
    retry_pauses: [Duration; 2],
}

impl Desktop {
    /// A client that knows the server's address and the typed credentials.
    pub fn new(address: SocketAddr, email: &str, password: &str) -> Self {
        Desktop {
            address,
            email: email.to_owned(),
            password: password.to_owned(),
            session: None,
            retry_pauses: [Duration::from_secs(2), Duration::from_secs(4)],
        }
    }

    /// Tries again at once instead of after 2 s and 4 s.
    pub fn without_retry_pauses(mut self) -> Self {
        self.retry_pauses = [Duration::ZERO; 2];
        self
    }

    /// The UUID it derives from its credentials.
    pub fn device_uuid(&self) -> String {
        desktop_device_uuid(&self.email, &self.password)
    }

    /// The session of the last [`Desktop::login`].
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Signs in, with the e-mail exactly as typed, and keeps the token.
    pub fn login(&mut self) -> Result<(), ClientError> {
        let uuid = self.device_uuid();
        let body = json!({
            "email": self.email,
            "password": self.password,
            "device_uuid": uuid,
            "device_name": "workstation (Linux Desktop)",
        });
        let timeouts = Timeouts { whole: Some(Duration::from_secs(45)), ..Timeouts::default() };
        let headers = [("User-Agent".to_owned(), USER_AGENT.to_owned())];
        let answer = post_json(self.address, timeouts, "/api/login", &headers, &body)
            .map_err(|source| ClientError::Http("sign in", source))?;
        self.session = Some(session_of(&answer, &uuid)?);
        Ok(())
    }

    /// The headers of every authenticated request.
    pub fn headers(&self) -> Result<Vec<(String, String)>, ClientError> {
        let mut headers = self.session.as_ref().ok_or(ClientError::NotSignedIn)?.headers();
        headers.push(("Accept".to_owned(), "application/json, text/plain, */*".to_owned()));
        headers.push(("User-Agent".to_owned(), USER_AGENT.to_owned()));
        Ok(headers)
    }

    /// Every file of the account, in pages of 500: it stops at a short page, or when `total` is reached.
    pub fn list(&self) -> Result<Vec<ListedFile>, ClientError> {
        let timeouts = Timeouts { whole: Some(Duration::from_secs(30)), ..Timeouts::default() };
        let headers = self.headers()?;
        let mut client = Client::with_timeouts(self.address, timeouts);
        let mut files = Vec::new();
        loop {
            let offset = files.len() as u64;
            let path = format!("/api/files?offset={offset}&limit={PAGE_FILES}");
            let answer = client
                .send(Request::new("GET", path).headers(&headers))
                .map_err(|source| ClientError::Http("list the files", source))?;
            let (page, total) = listing_of(&answer)?;
            let page_is_short = (page.len() as u64) < PAGE_FILES;
            files.extend(page);
            let total =
                total.ok_or_else(|| ClientError::Unusable("list the files", answer.text()))?;
            if page_is_short || files.len() as u64 >= total {
                return Ok(files);
            }
        }
    }

    /// The media files the desktop would find below `folder`: five levels deep, without hidden names, by extension.
    pub fn scan(folder: &Path) -> Result<Vec<PathBuf>, ClientError> {
        let mut found = Vec::new();
        scan_into(folder, 0, &mut found)?;
        found.sort();
        Ok(found)
    }

    /// Backs up these files, six at a time, skipping those whose name the server lists already.
    pub fn back_up(&self, files: &[PathBuf]) -> Result<TransferReport, ClientError> {
        let headers = self.headers()?;
        let started = Instant::now();
        let known: HashSet<String> =
            self.list()?.iter().map(|file| file.filename.to_lowercase()).collect();
        let wanted: Vec<&PathBuf> =
            files.iter().filter(|path| !known.contains(&base_name(path).to_lowercase())).collect();
        let report = TransferReport {
            skipped: (files.len() - wanted.len()) as u64,
            ..TransferReport::default()
        };
        let report = Mutex::new(report);
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..PARALLEL_UPLOADS {
                scope.spawn(|| self.upload_all(&wanted, &next, &headers, &report));
            }
        });
        let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Takes files from the shared list until it is empty.
    fn upload_all(
        &self,
        wanted: &[&PathBuf],
        next: &AtomicUsize,
        headers: &[(String, String)],
        report: &Mutex<TransferReport>,
    ) {
        let mut client = Client::new(self.address);
        while let Some(path) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = self.upload_with_tries(&mut client, headers, path);
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok((accepted, bytes)) => report.accept(accepted, bytes),
                Err(error) => report.fail(path.display().to_string(), error),
            }
        }
    }

    /// Three tries; a refusal below 500 is final.
    fn upload_with_tries(
        &self,
        client: &mut Client,
        headers: &[(String, String)],
        path: &Path,
    ) -> Result<(Accepted, u64), ClientError> {
        for pause in self.retry_pauses {
            match upload(client, headers, path) {
                Err(error) if may_be_tried_again(&error) => thread::sleep(pause),
                outcome => return outcome,
            }
        }
        upload(client, headers, path)
    }
}

fn may_be_tried_again(error: &ClientError) -> bool {
    match error {
        ClientError::Http(..) => true,
        ClientError::Refused { status, .. } => *status >= 500,
        _ => false,
    }
}

/// One raw upload: chunked, its length unknown to the server; an empty file says `Content-Length: 0`.
fn upload(
    client: &mut Client,
    headers: &[(String, String)],
    path: &Path,
) -> Result<(Accepted, u64), ClientError> {
    let unreadable = |source| ClientError::Local(format!("read {}", path.display()), source);
    let mut file = File::open(path).map_err(unreadable)?;
    let size_bytes = file.metadata().map_err(unreadable)?.len();
    let body = match size_bytes {
        0 => Body::Bytes(&[]),
        _ => Body::Chunked { reader: &mut file },
    };
    let request = Request::new("POST", "/api/upload/raw")
        .headers(headers)
        .header("Content-Type", "application/octet-stream")
        .header("X-Filename", desktop_header_filename(&base_name(path)))
        .body(body);
    let answer = client.send(request).map_err(|source| ClientError::Http("upload", source))?;
    let json = success_json("upload", &answer)?;
    let accepted = Accepted {
        path: path.to_owned(),
        listed_name: json["filename"].as_str().unwrap_or_default().to_owned(),
        duplicate: json["duplicate"].as_bool().unwrap_or(false),
    };
    Ok((accepted, size_bytes))
}

fn base_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn scan_into(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) -> Result<(), ClientError> {
    let unreadable = |source| ClientError::Local(format!("list {}", folder.display()), source);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let name = base_name(&path);
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() && depth < MAX_DEPTH {
            scan_into(&path, depth + 1, found)?;
        } else if kind.is_file() && has_media_extension(&name) {
            found.push(path);
        }
    }
    Ok(())
}

fn has_media_extension(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| MEDIA_EXTENSIONS.contains(&extension.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scan_takes_media_and_leaves_hidden_and_deep_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("1/2/3/4/5/6");
        fs::create_dir_all(&deep).expect("folders");
        let wanted = [folder.path().join("a.JPG"), folder.path().join("1/2/3/4/5/b.mov")];
        let unwanted =
            [deep.join("c.jpg"), folder.path().join(".d.jpg"), folder.path().join("notes.txt")];
        for path in wanted.iter().chain(&unwanted) {
            fs::write(path, b"x").expect("a file");
        }
        let mut expected = wanted.to_vec();
        expected.sort();
        assert_eq!(Desktop::scan(folder.path()).expect("a scan"), expected);
    }
}
