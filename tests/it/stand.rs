//! Where the black-box tests stand: a server of the built binary in a temporary folder, signed-in people, and how
//! to wait for a state. Most tests share one server; what one person does never shows in another's library.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use photosync_tests::account::{ListedFile, phone_device_uuid};
use photosync_tests::http::{Answer, Body, Client, Request};
use photosync_tests::names::encode_uri_component;
use photosync_tests::server::{
    CommandOutcome, ServerError, ServerProcess, run_command, run_program,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// The password of every person who is given none.
pub(crate) const PASSWORD: &str = "correct horse 9";

/// Longest wait for a state that a correct server reaches within moments.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The namespace of account UUIDs, written down a second time.
const ACCOUNT_NAMESPACE: Uuid = Uuid::from_u128(0xbfc2_761d_bebc_5e99_9f75_dc21_aab0_f99a);

/// Name and value of each header to send.
pub(crate) type Headers = Vec<(String, String)>;

/// A running server and its data folder, which is removed with it.
pub(crate) struct Stand {
    server: Mutex<Option<ServerProcess>>,
    data: PathBuf,
    settings: Vec<(String, String)>,
    program: Option<PathBuf>,
    _folder: TempDir,
}

impl Stand {
    /// The server shared by all tests that run at this moment. It ends with the last of them.
    pub(crate) fn shared() -> Arc<Stand> {
        static SHARED: Mutex<Weak<Stand>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let stand = Arc::new(Stand::new(&[]));
        *shared = Arc::downgrade(&stand);
        stand
    }

    /// A server of one's own, without a limit on sign-ins unless `settings` sets one.
    pub(crate) fn new(settings: &[(&str, &str)]) -> Stand {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        Stand::start_in(folder, data, settings)
    }

    /// As [`Stand::new`], with `data` somewhere below `folder`.
    pub(crate) fn start_in(folder: TempDir, data: PathBuf, settings: &[(&str, &str)]) -> Stand {
        let stand = Stand::of(folder, data, None, settings);
        stand.start();
        stand
    }

    /// A server of `program` that is not started yet.
    pub(crate) fn of(
        folder: TempDir,
        data: PathBuf,
        program: Option<PathBuf>,
        settings: &[(&str, &str)],
    ) -> Stand {
        let unlimited = ("PHOTOSYNC_AUTH_THROTTLE_MAX", "100000");
        let mut all = vec![unlimited];
        all.extend_from_slice(settings);
        let settings = all.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Stand { server: Mutex::new(None), data, settings, program, _folder: folder }
    }

    /// Starts the server again after [`Stand::stop`] or [`Stand::kill`], on another port.
    pub(crate) fn start(&self) {
        *self.lock() = Some(self.try_start().expect("a ready server"));
    }

    /// Starts the server; an error says how it ended instead.
    pub(crate) fn try_start(&self) -> Result<ServerProcess, ServerError> {
        let settings: Vec<(&str, &str)> =
            self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        match &self.program {
            Some(program) => ServerProcess::start_program(program, &self.data, &settings, 3 * SOON),
            None => ServerProcess::start(&self.data, &settings),
        }
    }

    /// The server as a process, out of this stand's hands.
    pub(crate) fn take(&self) -> ServerProcess {
        self.lock().take().expect("a running server")
    }

    /// Asks the server to stop; it must do so with exit code 0.
    pub(crate) fn stop(&self) {
        let server = self.lock().take().expect("a running server");
        assert_eq!(server.stop().expect("an end"), 0, "exit code of a server asked to stop");
    }

    /// Ends the server without a chance to tidy up.
    pub(crate) fn kill(&self) {
        self.lock().take().expect("a running server").kill();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ServerProcess>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the process itself.
    pub(crate) fn with_server<T>(&self, look: impl FnOnce(&mut ServerProcess) -> T) -> T {
        look(self.lock().as_mut().expect("a running server"))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.with_server(|server| server.address())
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.data.join("uploads")
    }

    /// Everything the server has logged lately.
    pub(crate) fn log(&self) -> String {
        self.with_server(|server| server.log())
    }

    /// Runs a subcommand on the data, while the server runs or not.
    pub(crate) fn command(&self, words: &[&str], stdin: &str) -> CommandOutcome {
        let data = self.data.to_string_lossy().into_owned();
        let mut all = words.to_vec();
        all.extend(["--data", &data]);
        let outcome = match &self.program {
            Some(program) => run_program(program, &all, stdin.as_bytes(), &[]),
            None => run_command(&all, stdin.as_bytes()),
        };
        outcome.expect("a subcommand that ends")
    }

    /// Index and disk agree in every byte. Other tests may be storing something at this moment, so that it is
    /// the lasting state that counts.
    pub(crate) fn require_agreement(&self) {
        let end = Instant::now() + SOON;
        loop {
            let outcome = self.command(&["check", "--read"], "");
            if outcome.code == 0 {
                return;
            }
            assert!(Instant::now() < end, "check found: {}{}", outcome.stdout, outcome.stderr);
        }
    }

    /// The server still answers.
    pub(crate) fn require_health(&self) {
        let answer = self.send(Request::new("GET", "/health"));
        assert_eq!((answer.status(), answer.text()), (200, "{\"ok\":true}".to_owned()));
    }

    /// One request without any sign-in, on a connection of its own.
    pub(crate) fn send(&self, request: Request<'_>) -> Answer {
        Client::new(self.address()).send(request).expect("an answer")
    }

    /// Posts JSON without any sign-in.
    pub(crate) fn post_json(&self, path: &str, json: &Value) -> Answer {
        self.post_json_with(path, &[], json.to_string().as_bytes())
    }

    pub(crate) fn post_json_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = Request::new("POST", path).header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.send(request.body(Body::Bytes(body)))
    }

    /// Registers somebody new. The token of the answer serves as the sign-in.
    pub(crate) fn person(&self) -> Person {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        self.person_called(&format!("person-{number}@example.org"))
    }

    pub(crate) fn person_called(&self, email: &str) -> Person {
        let device_uuid = phone_device_uuid(email, PASSWORD);
        let body = json!({"email": email, "password": PASSWORD, "device_uuid": device_uuid});
        let answer = self.post_json("/api/register", &body);
        assert_eq!(answer.status(), 201, "{}", answer.text());
        self.person_of(email, device_uuid, &answer)
    }

    /// The phone of somebody who has an account already.
    pub(crate) fn phone_of(&self, email: &str) -> Person {
        let device_uuid = phone_device_uuid(email, PASSWORD);
        let answer = self.login(email, PASSWORD, &device_uuid);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        self.person_of(email, device_uuid, &answer)
    }

    fn person_of(&self, email: &str, device_uuid: String, answer: &Answer) -> Person {
        let token = text_of(answer, "token");
        let folder = self.uploads().join(account_uuid(email, 1));
        let address = self.address();
        Person { address, email: email.to_owned(), device_uuid, token, folder }
    }

    /// Signs in and returns the whole answer.
    pub(crate) fn login(&self, email: &str, password: &str, device_uuid: &str) -> Answer {
        let body = json!({"email": email, "password": password, "device_uuid": device_uuid});
        self.post_json("/api/login", &body)
    }
}

/// The folder of an account: ARCHITECTURE's rule, for e-mails that are normalised already.
pub(crate) fn account_uuid(email: &str, generation: u32) -> String {
    let name = match generation {
        1 => email.to_owned(),
        other => format!("{email}\0{other}"),
    };
    Uuid::new_v5(&ACCOUNT_NAMESPACE, name.as_bytes()).to_string()
}

/// Somebody who is signed in with one device.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) address: SocketAddr,
    pub(crate) email: String,
    pub(crate) device_uuid: String,
    pub(crate) token: String,
    /// Where the account's originals lie.
    pub(crate) folder: PathBuf,
}

impl Person {
    /// The two headers of every authenticated request.
    pub(crate) fn headers(&self) -> Headers {
        vec![
            ("Authorization".to_owned(), format!("Bearer {}", self.token)),
            ("X-Device-UUID".to_owned(), self.device_uuid.clone()),
        ]
    }

    /// The same person after the server was started again.
    pub(crate) fn at(&self, stand: &Stand) -> Person {
        Person { address: stand.address(), ..self.clone() }
    }

    /// The same person with the session of a login answer.
    pub(crate) fn with_login(&self, answer: &Answer, device_uuid: &str) -> Person {
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let (token, device_uuid) = (text_of(answer, "token"), device_uuid.to_owned());
        Person { token, device_uuid, ..self.clone() }
    }

    pub(crate) fn request<'a>(&self, method: &'a str, path: &str) -> Request<'a> {
        Request::new(method, path).headers(&self.headers())
    }

    /// Sends on a connection of its own.
    pub(crate) fn send(&self, request: Request<'_>) -> Answer {
        Client::new(self.address).send(request).expect("an answer")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path))
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.request("GET", path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.send(request)
    }

    pub(crate) fn post(&self, path: &str) -> Answer {
        self.send(self.request("POST", path).body(Body::Bytes(b"")))
    }

    pub(crate) fn json(&self, method: &str, path: &str, json: &Value) -> Answer {
        let body = json.to_string();
        let request = self.request(method, path).header("Content-Type", "application/json");
        self.send(request.body(Body::Bytes(body.as_bytes())))
    }

    /// The desktop's way.
    pub(crate) fn put_raw(&self, name: impl AsRef<[u8]>, bytes: &[u8]) -> Answer {
        let request = self
            .request("POST", "/api/upload/raw")
            .header("Content-Type", "application/octet-stream")
            .header("X-Filename", name);
        self.send(request.body(Body::Bytes(bytes)))
    }

    /// The phone's way, with the name as raw bytes of the part's header.
    pub(crate) fn put_form(&self, name: impl AsRef<[u8]>, bytes: &[u8]) -> Answer {
        let body = form("file", name.as_ref(), bytes);
        let request = self.request("POST", "/api/upload").header("Content-Type", FORM_TYPE);
        self.send(request.body(Body::Bytes(&body)))
    }

    /// Sends bytes that must become an original of this name.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) {
        let answer = self.put_raw(encode_uri_component(name), bytes);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(text_of(&answer, "filename"), name);
        assert!(!is_duplicate(&answer), "{}", answer.text());
    }

    pub(crate) fn put_chunk(&self, id: &str, bytes: &[u8]) -> Answer {
        let request = self
            .request("POST", "/api/cloud/chunks")
            .header("Content-Type", "application/octet-stream")
            .header("X-Chunk-Id", id);
        self.send(request.body(Body::Bytes(bytes)))
    }

    pub(crate) fn put_manifest(&self, id: &str, sealed: &str) -> Answer {
        let json = json!({"manifestId": id, "encryptedManifest": sealed, "chunkCount": 1});
        self.json("POST", "/api/cloud/manifests", &json)
    }

    pub(crate) fn listed(&self) -> Vec<ListedFile> {
        let answer = self.get("/api/files");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        listed_in(&answer)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.listed().into_iter().map(|file| file.filename).collect()
    }

    pub(crate) fn download(&self, name: &str) -> Answer {
        self.get(&format!("/api/files/{}", encode_uri_component(name)))
    }

    /// What a restore of everything brings: each listed file's bytes.
    pub(crate) fn library(&self) -> BTreeMap<String, Vec<u8>> {
        let mut library = BTreeMap::new();
        for file in self.listed() {
            let answer = self.download(&file.filename);
            assert_eq!(answer.status(), 200, "{}: {}", file.filename, answer.text());
            assert_eq!(answer.body.len() as u64, file.size_bytes, "size of {}", file.filename);
            let twice = library.insert(file.filename, answer.body);
            assert!(twice.is_none(), "no name is listed twice");
        }
        library
    }

    /// The visible files of the account's folder.
    pub(crate) fn on_disk(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.folder).expect("the account's folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            match fs::read(entry.path()) {
                // Moved to the trash since the folder was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                read => drop(files.insert(name, read.expect("a readable file"))),
            }
        }
        files
    }

    /// Files of uploads that are not complete.
    pub(crate) fn staged(&self) -> usize {
        fs::read_dir(self.folder.join(".staging")).map_or(0, Iterator::count)
    }

    /// The library is exactly this, for clients and on disk.
    pub(crate) fn require_library(&self, expected: &[(&str, &[u8])]) {
        let expected: BTreeMap<String, Vec<u8>> =
            expected.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        assert_eq!(shown(&self.library()), shown(&expected), "the listing with its downloads");
        assert_eq!(shown(&self.on_disk()), shown(&expected), "the folder");
    }

    /// An upload whose body stops after `sent`; it stays open until the stream is dropped.
    pub(crate) fn begin_raw(&self, name: &str, announced: usize, sent: &[u8]) -> TcpStream {
        let extra = format!("X-Filename: {name}\r\nContent-Type: application/octet-stream\r\n");
        self.begin("/api/upload/raw", &extra, announced, sent)
    }

    pub(crate) fn begin(
        &self,
        path: &str,
        extra: &str,
        announced: usize,
        sent: &[u8],
    ) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nX-Device-UUID: {}\r\n\
             {extra}Content-Length: {announced}\r\n\r\n",
            self.token, self.device_uuid
        );
        stream.write_all(head.as_bytes()).expect("a sent head");
        stream.write_all(sent).expect("a sent beginning");
        stream
    }
}

/// Names with lengths and digests: short enough to be read when a comparison fails.
fn shown(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<&str, (usize, String)> {
    use sha2::{Digest, Sha256};
    let digest = |bytes: &[u8]| hex::encode(&Sha256::digest(bytes)[..8]);
    files.iter().map(|(name, bytes)| (name.as_str(), (bytes.len(), digest(bytes)))).collect()
}

pub(crate) fn listed_in(answer: &Answer) -> Vec<ListedFile> {
    let json = answer.json().expect("JSON");
    let files = json["files"].as_array().expect("the array `files`");
    let read = |file: &Value| ListedFile {
        filename: file["filename"].as_str().expect("a name").to_owned(),
        size_bytes: file["size"].as_u64().expect("a size"),
    };
    files.iter().map(read).collect()
}

pub(crate) fn text_of(answer: &Answer, key: &str) -> String {
    let json = answer.json().expect("JSON");
    json[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {json}")).to_owned()
}

/// Old clients take the mere truth of this key as "skipped".
pub(crate) fn is_duplicate(answer: &Answer) -> bool {
    let json = answer.json().expect("JSON");
    let key = json.get("duplicate");
    assert!(key.is_none_or(|value| value == &Value::Bool(true)), "duplicate is true or absent");
    key.is_some()
}

pub(crate) const FORM_TYPE: &str = "multipart/form-data; boundary=----a-boundary";

/// A form with one file part.
pub(crate) fn form(field: &str, name: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "------a-boundary\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\""
    )
    .into_bytes();
    body.extend_from_slice(name);
    body.extend_from_slice(b"\"\r\ncontent-type: image/jpeg\r\n\r\n");
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n------a-boundary--\r\n");
    body
}

/// Waits for a state; the test fails when it does not come.
pub(crate) fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !reached() {
        assert!(Instant::now() < end, "waited {} s in vain until {what}", SOON.as_secs());
        thread::sleep(Duration::from_millis(5));
    }
}

/// What the server says on this connection until it closes it or falls silent for [`SOON`].
pub(crate) fn read_answer(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        received.extend_from_slice(&piece[..count]);
        if received.windows(4).any(|end| end == b"\r\n\r\n") && received.ends_with(b"}") {
            break;
        }
    }
    String::from_utf8_lossy(&received).into_owned()
}

/// Every file below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_below(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found.sort();
    found
}
