//! The TypeScript reader of `tests/reader`, which shares no line with this project: it answers every vector, and
//! restores what was sealed here from the objects and the 24 words alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use photosync_protocol::crypto::{Key, NONCE_BYTES, SALT_BYTES};
use photosync_protocol::digest::Digest;
use photosync_protocol::format::chunk::{CHUNK_BYTES, Sealer};
use photosync_protocol::format::keyring::{Contents, Epoch, Keyring, PasswordLock, recovery_lock};
use photosync_protocol::format::keys::{DeviceKeys, LEAST_COST, MasterKey, RecoveryKey};
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::id_of;
use photosync_protocol::format::segment::{Entry, Head, Segment, Writer};
use photosync_protocol::v2::claims::Claims;
use serde_json::Value;
use tempfile::TempDir;

use super::Program;
use super::program::node;

/// Longest time the reader may take for everything, on a busy machine too.
const DONE_WITHIN: Duration = Duration::from_secs(240);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reader")
}

/// The reader, checked and compiled from its source; it goes with the value.
struct Reader {
    built: TempDir,
}

impl Reader {
    fn build() -> Reader {
        let compiler = folder().join("node_modules/typescript/bin/tsc");
        assert!(
            compiler.is_file(),
            "tests/reader is not installed; run this: scripts/need-foreign"
        );
        // Beside its packages, where Node looks for them; a folder of its own, because tests run side by side.
        fs::create_dir_all(folder().join("built")).expect("a folder for what is built");
        let built = TempDir::new_in(folder().join("built")).expect("a folder of its own");
        let mut command = Command::new(node());
        command.arg(compiler).arg("--project").arg(folder()).arg("--outDir").arg(built.path());
        let output = command.output().expect("Node");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Reader { built }
    }

    fn run(&self, script: &str, words: &[&Path]) -> Program {
        let mut command = Command::new(node());
        command.arg(self.built.path().join(script)).args(words);
        Program::spawn(command, "node")
    }
}

#[test]
fn the_reader_answers_every_vector_as_it_is_expected() {
    let reader = Reader::build();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/vectors");
    let mut program = reader.run("vectors.js", &[&vectors]);
    let files = fs::read_dir(&vectors).expect("the vectors").count();
    let mut cases = 0;
    for _ in 0..files {
        let line = program.next(DONE_WITHIN);
        assert_eq!(line["wrong"], Value::Array(vec![]), "{}", line["file"]);
        assert!(line["refused"].as_u64() > Some(20), "{line}");
        cases += line["cases"].as_u64().unwrap_or_default();
    }
    assert!(cases > 300, "{cases}");
}

/// A repository in a folder, as a person's computer writes it.
struct Repository {
    objects: TempDir,
    keys: DeviceKeys,
    /// What was backed up: name, SHA-256, chunks.
    files: BTreeMap<String, (String, Vec<Digest>)>,
    keyring: Digest,
    segments: Vec<Digest>,
}

fn master() -> MasterKey {
    MasterKey(Key::new([0x11; 32]))
}

fn recovery() -> RecoveryKey {
    RecoveryKey(Key::new([0x22; 32]))
}

/// Bytes that do not repeat.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(length)
    .collect()
}

impl Repository {
    fn new() -> Repository {
        let wrap = recovery_lock(&master(), &recovery(), &[1; NONCE_BYTES]);
        Repository {
            objects: tempfile::tempdir().expect("a temporary folder"),
            keys: DeviceKeys::unlock(&master(), 1, wrap),
            files: BTreeMap::new(),
            keyring: Digest([0; 32]),
            segments: Vec::new(),
        }
    }

    fn path(&self, id: Digest) -> PathBuf {
        self.objects.path().join(id.to_string())
    }

    fn store(&self, id: Digest, object: &[u8]) {
        fs::write(self.path(id), object).expect("an object on disk");
    }

    fn back_up(&mut self, name: &str, data: &[u8]) -> Entry {
        let (mut sealer, mut chunks) = (Sealer::default(), Vec::new());
        let (epoch, epoch_keys) = self.keys.current();
        for piece in data.chunks(CHUNK_BYTES) {
            sealer.data_mut()[..piece.len()].copy_from_slice(piece);
            let sealed = sealer.seal(piece.len(), epoch, epoch_keys);
            self.store(sealed.id, sealed.bytes);
            chunks.push(sealed.id);
        }
        let (digest, size_bytes) = (id_of(data), data.len() as u64);
        self.files.insert(name.into(), (digest.to_string(), chunks.clone()));
        let claims = Claims { folder: Some("2024/Été".into()), ..Claims::default() };
        let manifest = Manifest { digest, size_bytes, name: name.into(), claims, chunks };
        let (id, object) = manifest.seal(&self.keys).expect("a right manifest");
        self.store(id, &object);
        Entry { id, manifest: Some(manifest) }
    }

    fn write_segment(
        &mut self,
        writer: Writer,
        previous: Option<Head>,
        entries: Vec<Entry>,
        seen: Vec<Head>,
    ) -> Head {
        let named: Vec<Digest> = entries
            .iter()
            .filter(|entry| entry.manifest.is_none())
            .flat_map(|_| self.files["long.bin"].1.clone())
            .collect();
        let segment = Segment {
            writer,
            sequence: previous.map_or(1, |head| head.sequence + 1),
            previous: previous.map(|head| head.id),
            written_at_ms: 1_700_000_000_000,
            seen,
            live: Segment::live_digest(&Segment::live_ids(&entries, &named)),
            entries,
        };
        let (id, object) = segment.seal(&self.keys).expect("a right segment");
        self.store(id, &object);
        self.segments.push(id);
        segment.head(id)
    }

    fn write_keyring(&mut self, epochs: u32, closed: Vec<Head>) {
        let epoch = |epoch: u32| Epoch {
            epoch,
            began_at_ms: i64::from(epoch),
            closed: if epoch == 1 { vec![] } else { closed.clone() },
        };
        let recovery_wrap = self.keys.recovery_wrap;
        let contents = Contents { epochs: (1..=epochs).map(epoch).collect() };
        let keyring =
            Keyring { sequence: epochs.into(), master: master(), recovery_wrap, contents };
        let lock = PasswordLock::new(
            &master(),
            "a password",
            LEAST_COST,
            [5; SALT_BYTES],
            &[6; NONCE_BYTES],
        );
        let (id, object) = keyring.seal(&lock.expect("enough memory")).expect("a right keyring");
        self.store(id, &object);
        self.keyring = id;
    }

    /// Two devices, two epochs, files at the edges of a chunk.
    fn filled() -> Repository {
        let mut repository = Repository::new();
        let (phone, laptop) = (Writer([1; 16]), Writer([2; 16]));
        repository.write_keyring(1, vec![]);
        let entries = vec![
            repository.back_up("📷 Zoë 👨‍👩‍👧.jpg", &bytes(1, 70_000)),
            repository.back_up("empty.txt", b""),
            repository.back_up("../../etc/passwd", b"not a path"),
        ];
        let first = repository.write_segment(phone, None, entries, vec![]);
        let mut long = repository.back_up("long.bin", &bytes(2, 2 * CHUNK_BYTES + 12_345));
        // As a manifest with more than 512 chunks is: named, not repeated.
        long.manifest = None;
        let exact = repository.back_up("exact.bin", &bytes(3, CHUNK_BYTES));
        let other = repository.write_segment(laptop, None, vec![long, exact], vec![first]);
        repository.keys = DeviceKeys::unlock(&master(), 2, repository.keys.recovery_wrap);
        repository.write_keyring(2, vec![first, other]);
        let later = vec![repository.back_up("later epoch.heic", &bytes(4, 4_097))];
        repository.write_segment(phone, Some(first), later, vec![other]);
        repository
    }

    fn restore(&self) -> Outcome {
        restore(self.objects.path(), &recovery().words())
    }

    fn digests(&self) -> BTreeMap<String, String> {
        self.files.iter().map(|(name, (digest, _))| (name.clone(), digest.clone())).collect()
    }
}

/// What the reader makes of a folder of objects and the words.
fn restore(objects: &Path, words_on_paper: &str) -> Outcome {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let words = scratch.path().join("words");
    fs::write(&words, words_on_paper).expect("words on paper");
    let target = scratch.path().join("restored");
    let reader = Reader::build();
    let mut program = reader.run("restore.js", &[objects, &words, &target]);
    let mut outcome = Outcome::default();
    loop {
        let line = program.next(DONE_WITHIN);
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        if line.get("done").is_some() {
            break;
        } else if let (Some(name), Some(file)) = (text("restored"), text("file")) {
            let written = fs::read(target.join(file)).expect("a restored file");
            outcome.restored.insert(name, id_of(&written).to_string());
        } else if let Some(name) = text("damaged") {
            outcome.damaged.push((name, text("why").unwrap_or_default()));
        } else {
            outcome.complaints.push(line.to_string());
        }
    }
    let files = fs::read_dir(&target).expect("the target").count();
    assert_eq!(files, outcome.restored.len(), "nothing half written is left");
    outcome
}

#[derive(Default)]
struct Outcome {
    restored: BTreeMap<String, String>,
    damaged: Vec<(String, String)>,
    complaints: Vec<String>,
}

#[test]
fn the_reader_restores_every_file_from_the_objects_and_the_words() {
    let repository = Repository::filled();
    let outcome = repository.restore();
    assert_eq!(outcome.restored, repository.digests());
    assert_eq!(outcome.damaged, []);
    assert_eq!(outcome.complaints, Vec::<String>::new());

    // Without any keyring the words still open what the manifests and segments carry.
    for id in fs::read_dir(repository.objects.path()).expect("objects").flatten() {
        let object = fs::read(id.path()).expect("an object");
        if object[6] == b'K' {
            fs::remove_file(id.path()).expect("removed");
        }
    }
    let outcome = repository.restore();
    assert_eq!(outcome.restored, repository.digests());
    assert_eq!(outcome.complaints, Vec::<String>::new());
}

#[test]
fn the_reader_names_the_one_file_whose_chunk_was_touched_and_the_chain_that_lost_its_end() {
    let repository = Repository::filled();
    let chunk = repository.files["long.bin"].1[1];
    let mut object = fs::read(repository.path(chunk)).expect("a chunk");
    object[100] ^= 1;
    repository.store(chunk, &object);
    // The laptop's only segment, which the phone's second one has seen.
    fs::remove_file(repository.path(repository.segments[1])).expect("removed");

    let outcome = repository.restore();
    assert_eq!(outcome.damaged, [("long.bin".to_owned(), format!("chunk {chunk}: WrongId"))]);
    let mut expected = repository.digests();
    expected.remove("long.bin");
    assert_eq!(outcome.restored, expected);
    let laptop = "02".repeat(16);
    assert!(!outcome.complaints.is_empty());
    assert!(
        outcome.complaints.iter().all(|line| line.contains(&laptop)),
        "{:?}",
        outcome.complaints
    );
}

#[test]
fn what_a_stolen_device_writes_after_its_epoch_ended_is_not_restored() {
    let mut repository = Repository::filled();
    let expected = repository.digests();
    repository.keys = DeviceKeys::unlock(&master(), 1, repository.keys.recovery_wrap);
    let planted = repository.back_up("planted.jpg", b"never photographed");
    let thief = Writer([9; 16]);
    let head = repository.write_segment(thief, None, vec![planted], vec![]);

    let outcome = repository.restore();
    assert_eq!(outcome.restored, expected);
    assert_eq!(outcome.damaged, []);
    assert_eq!(outcome.complaints.len(), 1);
    assert!(outcome.complaints[0].contains(&head.id.to_string()), "{:?}", outcome.complaints);
}

/// The built client with a profile of its own; `said` is one line on its standard input.
fn photosync(profile: &Path, words: &[&str], said: &str) -> Value {
    let here = std::env::current_exe().expect("this program");
    let name = format!("photosync{}", std::env::consts::EXE_SUFFIX);
    let mut folders = here.ancestors().skip(1).take(2);
    let client = folders.find_map(|folder| Some(folder.join(&name)).filter(|path| path.is_file()));
    let client =
        client.expect("the client is not built; run this: cargo build -p photosync-client");
    let mut child = Command::new(client)
        .arg("--json")
        .arg("--profile")
        .arg(profile)
        .args(words)
        .env("PHOTOSYNC_UPDATE_CHECK", "off")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(said.as_bytes()).expect("a line for the client");
    drop(stdin);
    let output = child.wait_with_output().expect("the client");
    assert!(output.status.success(), "{words:?}: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or("null");
    serde_json::from_str(last).unwrap_or_else(|_| panic!("{words:?} said {text:?}"))
}

#[test]
fn what_the_client_sealed_is_restored_by_the_reader_from_the_words_it_printed() {
    let disk = tempfile::tempdir().expect("a temporary folder");
    let (profile, place) = (disk.path().join("profile"), disk.path().join("sealed"));
    let photos = disk.path().join("photos");
    fs::create_dir_all(photos.join("2024")).expect("a folder of photos");
    let mut expected = BTreeMap::new();
    // An empty file is no photo: the client passes it over.
    for (name, length) in [("2024/📷 Zoë.jpg", 50_000), ("film.mp4", 2 * CHUNK_BYTES + 1)] {
        let data = bytes(length as u64 + 7, length);
        fs::write(photos.join(name), &data).expect("a photo");
        let name = name.rsplit('/').next().expect("a name");
        expected.insert(name.to_owned(), id_of(&data).to_string());
    }
    let place_text = place.to_str().expect("a plain path");
    let relay = |words: &[&str], said: &str| {
        photosync(&profile, &[&["relay", "--dir", place_text], words].concat(), said)
    };
    let begun = relay(&["init", "--password-memory", "64"], "four random words\n");
    let words = begun["words"].as_str().expect("24 words").to_owned();
    relay(&["backup", photos.to_str().expect("a plain path")], "");
    relay(&["rotate"], "four random words\n");
    let later = bytes(99, 1234);
    fs::write(photos.join("later.heic"), &later).expect("a photo");
    expected.insert("later.heic".into(), id_of(&later).to_string());
    relay(&["backup", photos.to_str().expect("a plain path")], "");

    let outcome = restore(&place, &words);
    assert_eq!(outcome.restored, expected);
    assert_eq!(outcome.damaged, []);
    assert_eq!(outcome.complaints, Vec::<String>::new());
}
