//! A look-alike of the old phone app in Local and Remote mode: what it sends, in which order, and what it takes
//! for success. It does nothing better than the original, because that is what it is for.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::account::{
    ClientError, ListedFile, Session, listing_of, phone_device_uuid, post_json, require_success,
    session_of, success_json,
};
use crate::http::{Body, Client, HttpError, Request, Timeouts};
use crate::names::{phone_part_filename, phone_url_segment};
use crate::report::{Accepted, TransferReport};

/// The phone gives each upload this long.
const UPLOAD_WITHIN: Duration = Duration::from_secs(30);

/// What the phone says about itself in every authenticated request.
const CLIENT_BUILD: &str = "mobile-v2-lookalike";

/// Extensions that make a video of an asset; everything else is a photo.
const VIDEO_EXTENSIONS: &[&str] = &["mp4", "mov", "avi", "mkv", "m4v", "3gp", "webm"];

/// Which of the two phone systems: they frame parts a little differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Adds `Content-Length` to every part.
    Android,
    /// Sends the two part headers only.
    Ios,
}

/// An old phone with one account.
#[derive(Clone, Debug)]
pub struct Phone {
    address: SocketAddr,
    email: String,
    password: String,
    device_name: String,
    platform: Platform,
    session: Option<Session>,
}

impl Phone {
    /// An iPhone that knows the server's address and the typed credentials, and has not spoken to it yet.
    pub fn new(address: SocketAddr, email: &str, password: &str) -> Self {
        Phone {
            address,
            email: email.to_owned(),
            password: password.to_owned(),
            device_name: "iPhone".to_owned(),
            platform: Platform::Ios,
            session: None,
        }
    }

    /// Makes an Android phone of it.
    pub fn on_android(mut self) -> Self {
        self.platform = Platform::Android;
        self.device_name = "Android phone".to_owned();
        self
    }

    /// The UUID it derives from its credentials.
    pub fn device_uuid(&self) -> String {
        phone_device_uuid(&self.email, &self.password)
    }

    /// The session of the last [`Phone::login`].
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Creates the account. The phone ignores the token of the answer: it shows the login form next.
    pub fn register(&self, plan_gb: Option<u32>) -> Result<(), ClientError> {
        let uuid = self.device_uuid();
        let body = json!({
            "email": self.email,
            "password": self.password,
            "device_uuid": uuid,
            "deviceUuid": uuid,
            "device_name": self.device_name,
            "plan_gb": plan_gb,
        });
        let answer = post_json(self.address, Timeouts::default(), "/api/register", &[], &body)
            .map_err(|source| ClientError::Http("register", source))?;
        require_success("register", &answer)
    }

    /// Signs in and keeps the token.
    pub fn login(&mut self) -> Result<(), ClientError> {
        let uuid = self.device_uuid();
        let body = json!({
            "email": self.email,
            "password": self.password,
            "device_uuid": uuid,
            "device_name": self.device_name,
        });
        let answer = post_json(self.address, Timeouts::default(), "/api/login", &[], &body)
            .map_err(|source| ClientError::Http("sign in", source))?;
        self.session = Some(session_of(&answer, &uuid)?);
        Ok(())
    }

    /// The headers of every authenticated request.
    pub fn headers(&self) -> Result<Vec<(String, String)>, ClientError> {
        let mut headers = self.session.as_ref().ok_or(ClientError::NotSignedIn)?.headers();
        headers.push(("X-Client-Build".to_owned(), CLIENT_BUILD.to_owned()));
        Ok(headers)
    }

    /// Every file of the account in one answer. The phone sets no time-out here.
    pub fn list(&self) -> Result<Vec<ListedFile>, ClientError> {
        let timeouts = Timeouts { idle: Duration::from_secs(120), ..Timeouts::default() };
        let request = Request::new("GET", "/api/files")
            .headers(&self.headers()?)
            .header("Accept", "application/json");
        let answer = Client::with_timeouts(self.address, timeouts)
            .send(request)
            .map_err(|source| ClientError::Http("list the files", source))?;
        Ok(listing_of(&answer)?.0)
    }

    /// Backs up these files one after the other, skipping those whose name the server lists already.
    /// A file that fails is in the report; the phone does not try it again.
    pub fn back_up(&self, files: &[PathBuf]) -> Result<TransferReport, ClientError> {
        let headers = self.headers()?;
        let started = Instant::now();
        let known: HashSet<String> =
            self.list()?.iter().map(|file| comparable(&file.filename)).collect();
        let timeouts = Timeouts { whole: Some(UPLOAD_WITHIN), ..Timeouts::default() };
        let mut client = Client::with_timeouts(self.address, timeouts);
        let mut report = TransferReport::default();
        for path in files {
            let name = asset_name(path);
            if known.contains(&comparable(&name)) {
                report.skipped += 1;
                continue;
            }
            match self.upload(&mut client, &headers, path, &name) {
                Ok((accepted, bytes)) => report.accept(accepted, bytes),
                Err(error) => report.fail(path.display().to_string(), error),
            }
        }
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    fn upload(
        &self,
        client: &mut Client,
        headers: &[(String, String)],
        path: &Path,
        name: &str,
    ) -> Result<(Accepted, u64), ClientError> {
        let unreadable = |source| ClientError::Local(format!("read {}", path.display()), source);
        let file = File::open(path).map_err(unreadable)?;
        let size_bytes = file.metadata().map_err(unreadable)?.len();
        let part = Part {
            field: "file",
            filename: phone_part_filename(name),
            content_type: claimed_type(name),
            size_bytes,
        };
        let answer = send_part(client, self.platform, "/api/upload", headers, &part, file)
            .map_err(|source| ClientError::Http("upload", source))?;
        let json = success_json("upload", &answer)?;
        let accepted = Accepted {
            path: path.to_owned(),
            listed_name: json["filename"].as_str().unwrap_or_default().to_owned(),
            duplicate: json["duplicate"].as_bool().unwrap_or(false),
        };
        Ok((accepted, size_bytes))
    }

    /// Fetches every listed file whose name is not in `folder` yet. Only the status 200 with a body that is not
    /// empty counts; anything else leaves no file.
    pub fn restore(&self, folder: &Path) -> Result<TransferReport, ClientError> {
        let headers = self.headers()?;
        let started = Instant::now();
        let listed = self.list()?;
        let mut client = Client::new(self.address);
        let mut report = TransferReport::default();
        for file in &listed {
            let target = folder.join(file.filename.replace('/', "_"));
            if target.exists() {
                report.skipped += 1;
                continue;
            }
            match download(&mut client, &headers, &file.filename, &target) {
                Ok(bytes) => {
                    report.stored += 1;
                    report.bytes += bytes;
                }
                Err(error) => {
                    // A half-written file would count as present the next time.
                    let _ = fs::remove_file(&target);
                    report.fail(&file.filename, error);
                }
            }
        }
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }
}

/// Downloads one listed file; returns its size in bytes.
fn download(
    client: &mut Client,
    headers: &[(String, String)],
    listed_name: &str,
    target: &Path,
) -> Result<u64, ClientError> {
    const WHAT: &str = "download";
    let local = |source| ClientError::Local(format!("write {}", target.display()), source);
    let url = format!("/api/files/{}", phone_url_segment(listed_name));
    let mut file = File::create(target).map_err(local)?;
    let head = client
        .send_into(Request::new("GET", url).headers(headers), &mut file)
        .map_err(|source| ClientError::Http(WHAT, source))?;
    file.flush().map_err(local)?;
    let size_bytes = file.metadata().map_err(local)?.len();
    if head.status != 200 {
        let answer = fs::read(target).unwrap_or_default();
        let body = String::from_utf8_lossy(&answer).chars().take(200).collect();
        return Err(ClientError::Refused { what: WHAT, status: head.status, body });
    }
    if head.header("content-encoding").is_some() {
        let what = "a Content-Encoding that was not asked for".to_owned();
        return Err(ClientError::Unusable(WHAT, what));
    }
    match size_bytes {
        0 => Err(ClientError::Unusable(WHAT, "an empty body".to_owned())),
        size_bytes => Ok(size_bytes),
    }
}

/// The name an asset has in the phone's library.
fn asset_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// How the phone compares names: cut at `?`, last part of a path, trimmed, lower case.
fn comparable(name: &str) -> String {
    let before_query = name.split('?').next().unwrap_or_default();
    let last_part = before_query.rsplit('/').next().unwrap_or_default();
    last_part.trim().to_lowercase()
}

/// The phone says one of two types, whatever the file is.
fn claimed_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension {
        Some(extension) if VIDEO_EXTENSIONS.contains(&extension.as_str()) => "video/mp4",
        _ => "image/jpeg",
    }
}

/// The only part of a multipart body.
pub(crate) struct Part {
    pub(crate) field: &'static str,
    pub(crate) filename: String,
    pub(crate) content_type: &'static str,
    pub(crate) size_bytes: u64,
}

/// Posts one part the way React Native frames it: lower-case part headers, the disposition first.
pub(crate) fn send_part(
    client: &mut Client,
    platform: Platform,
    path: &str,
    headers: &[(String, String)],
    part: &Part,
    content: impl Read,
) -> Result<crate::http::Answer, HttpError> {
    // Media files hold every byte string sooner or later, but not this one followed by CR LF CR LF.
    let boundary =
        format!("----photosync-boundary-{:016x}", part.size_bytes ^ 0x9e37_79b9_7f4a_7c15);
    let Part { field, filename, content_type, size_bytes } = part;
    let mut opening = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"{field}\"; \
         filename=\"{filename}\"\r\ncontent-type: {content_type}\r\n"
    );
    if platform == Platform::Android {
        opening.push_str(&format!("Content-Length: {size_bytes}\r\n"));
    }
    opening.push_str("\r\n");
    let closing = format!("\r\n--{boundary}--\r\n");
    let length_bytes = opening.len() as u64 + size_bytes + closing.len() as u64;
    let mut body =
        opening.as_bytes().chain(content.take(*size_bytes)).chain(io::Cursor::new(closing));
    let request = Request::new("POST", path)
        .headers(headers)
        .header("Accept", "application/json")
        .header("Content-Type", format!("multipart/form-data; boundary={boundary}"))
        .body(Body::Sized { length_bytes, reader: &mut body });
    client.send(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_phone_does() {
        assert_eq!(comparable(" DCIM/IMG_0001.JPG?x=1"), "img_0001.jpg");
        assert_eq!(comparable(" a b.jpg "), "a b.jpg");
    }

    #[test]
    fn a_heic_is_called_a_jpeg() {
        assert_eq!(claimed_type("IMG_1.HEIC"), "image/jpeg");
        assert_eq!(claimed_type("IMG_1.MOV"), "video/mp4");
        assert_eq!(claimed_type("no extension"), "image/jpeg");
    }
}
