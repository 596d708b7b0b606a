//! The power fails. One run is recorded with every write, flush and answer; then the server starts on what a disk
//! may hold at hundreds of moments of it, and is held to what it had answered by then.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use photosync_powercut_replay::{Cut, Recording, launch};
use photosync_tests::account::Session;
use photosync_tests::http::{Client, Request};
use photosync_tests::names::encode_uri_component;
use photosync_tests::relay::chunk_id;
use photosync_tests::server::find_binary;
use sha2::{Digest, Sha256};

use super::pieces::Left;
use super::send::{Operation, WAYS, WAYS_IN_PIECES, Way, get, sign_up};
use super::torture::process::{Running, Started, check, serve_command, start, wait_until};
use super::torture::{Dice, binaries, list_below, random_seed, scratch_folder};

/// Uploads of the recorded run. After each cut all that were answered are asked for, so time grows with the square of this.
const OPERATIONS: u64 = 160;
/// Connections at a time.
const CONNECTIONS: usize = 5;
/// Cuts looked at at a time: one for each core of a small machine.
const WORKERS: usize = 2;
/// Cuts of the run besides those at every answer.
const RANDOM_CUTS: u64 = 140;
/// Cuts between the pieces of each upload that comes in pieces.
const CUTS_IN_PIECES: usize = 2;
/// Uploads that must have gone on from the middle, of all cuts: with fewer the durable prefix was not tried.
const FROM_MIDDLE: usize = 50;
/// Cuts of the first start.
const FIRST_START_CUTS: u64 = 120;

/// Adoption runs in the background after a start.
const ADOPTED_WITHIN: Duration = Duration::from_secs(20);

/// A cut: how many records happened, and what survives of them.
pub(super) type Moment = (usize, Cut);

pub(super) fn start_recorded(data: &Path, log: &Path) -> Running {
    // Nobody links the recorder, so nothing else keeps it current.
    binaries::build(&["-p", "photosync-powercut", "--lib"]).expect("the recorder");
    let binary = find_binary().expect("the server");
    let mut command = serve_command(&binary, data);
    launch::record(&mut command, data, log).expect("the recorder");
    start(command, &log.with_extension("stderr")).and_then(Started::ready).expect("a start")
}

#[test]
fn what_was_answered_survives_a_power_cut_at_any_moment() {
    let began = Instant::now();
    let seed = random_seed();
    let scratch = scratch_folder().expect("a folder");
    let (data, log) = (scratch.path().join("data"), scratch.path().join("run.log"));
    let binary = find_binary().expect("the server");
    let server =
        start(serve_command(&binary, &data), &log.with_extension("first")).and_then(Started::ready);
    let server = server.expect("a first start");
    let session = sign_up(server.address);
    server.stop().expect("a clean stop");

    let server = start_recorded(&data, &log);
    let run = upload_everything(&server, session, seed);
    server.stop().expect("a clean stop");
    let mut recording = Recording::open(&log).expect("the recording");
    let whole = scratch.path().join("whole");
    recording.materialise(recording.len(), &Cut::KeepEverything, &whole).expect("the folder");
    assert_eq!(read_tree(&whole), read_tree(&data), "the recorder must have seen everything");

    let acknowledged = run.acknowledgements(&recording);
    assert_eq!(acknowledged.len(), run.operations.len(), "every upload was answered with success");
    let begun = run.beginnings(&recording);
    let moments = choose_moments(&recording, (&acknowledged, &begun), seed);
    let failures = look_at(&moments, &recording, scratch.path(), |left, position, number| {
        run.hold_to_promises(left, (&acknowledged, &begun), position, number)
    });
    let from_middle = run.from_middle.into_inner();
    println!(
        "crash: {} power cuts of {} records and {} uploads, {from_middle} went on from the middle, {:.1} s",
        moments.len(),
        recording.len(),
        run.operations.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(moments.len() >= 500, "{} cuts are too few", moments.len());
    assert!(from_middle >= FROM_MIDDLE, "only {from_middle} went on from the middle");
    assert!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n"));
}

#[test]
fn a_power_cut_during_the_first_start_leaves_something_that_starts_again() {
    let began = Instant::now();
    let seed = random_seed();
    let scratch = scratch_folder().expect("a folder");
    let (data, log) = (scratch.path().join("data"), scratch.path().join("run.log"));
    let server = start_recorded(&data, &log);
    sign_up(server.address);
    server.stop().expect("a clean stop");
    let recording = Recording::open(&log).expect("the recording");
    let mut dice = Dice(seed);
    let mut moments: Vec<Moment> = Vec::new();
    for number in 0..FIRST_START_CUTS {
        let position = number as usize * recording.len() / FIRST_START_CUTS as usize;
        moments.push((position, Cut::Strict));
        moments.push((position, Cut::Random(dice.below(u64::MAX))));
    }
    let failures = look_at(&moments, &recording, scratch.path(), |left, _, _| {
        let binary = find_binary().map_err(|error| error.to_string())?;
        let command = serve_command(&binary, left);
        let server = start(command, &left.with_extension("stderr"))?.ready()?;
        agree(&binary, left)?;
        server.stop()?;
        check(&binary, left)
    });
    println!(
        "crash: {} power cuts of a first start and a registration ({} records), {:.1} s",
        moments.len(),
        recording.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n"));
}

/// Gives every moment's folder to `judge`; returns what it found, in order.
pub(super) fn look_at(
    moments: &[Moment],
    recording: &Recording,
    scratch: &Path,
    judge: impl Fn(&Path, usize, usize) -> Result<(), String> + Sync,
) -> Vec<String> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let failures_here = &failures;
    let work = |mut recording: Recording| {
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            let Some((position, cut)) = moments.get(number) else { return };
            let left = scratch.join(format!("cut-{number}"));
            let judged = recording
                .materialise(*position, cut, &left)
                .map_err(|error| error.to_string())
                .and_then(|()| judge(&left, *position, number));
            if let Err(what) = judged {
                let place = recording.describe(*position);
                let mut found = failures_here.lock().expect("no panic");
                found.push(format!("{cut:?} after {place}: {what}"));
            }
            let _ = std::fs::remove_dir_all(&left);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            let recording = recording.clone();
            scope.spawn(|| work(recording));
        }
    });
    failures.into_inner().expect("no panic")
}

/// A recorded run: who uploaded what, and under which name it is listed.
struct Run {
    session: Session,
    operations: Vec<Operation>,
    /// By request id, for originals.
    listed_names: HashMap<String, String>,
    offered: HashSet<String>,
    /// Uploads that went on from the middle after a cut.
    from_middle: AtomicUsize,
}

fn upload_everything(server: &Running, session: Session, seed: u64) -> Run {
    let mut dice = Dice(seed);
    let mut operations = Vec::new();
    let ways = [&WAYS[..], &WAYS_IN_PIECES].concat();
    for number in 0..OPERATIONS {
        let way = ways[(number % ways.len() as u64) as usize];
        let size_bytes = match dice.below(20) {
            0 => 600_000 + dice.below(600_000),
            _ => 1000 + dice.below(20_000),
        };
        // Few names, so that numbers are needed; a colon cannot be kept on disk.
        let round = number / ways.len() as u64;
        let name = match (way, (number + round) % 3) {
            (Way::Manifest, _) => format!("manifest-{number}"),
            (_, 0) => "IMG_0001.jpg".to_owned(),
            (_, 1) => format!("IMG_{number}.jpg"),
            _ => "a:b.jpg".to_owned(),
        };
        let seed = dice.below(u64::MAX);
        let id = format!("op-{number}");
        operations.push(Operation::new(id, way, name, seed, size_bytes as usize));
    }
    let listed_names = Mutex::new(HashMap::new());
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (operations, session, listed) = (&operations, &session, &listed_names);
            scope.spawn(move || {
                let mut client = Client::new(server.address);
                // Not in step with the ways, so that every connection uses all of them.
                for operation in operations.chunks(CONNECTIONS).enumerate() {
                    let (turn, group) = operation;
                    let operation = &group[(connection + turn) % group.len()];
                    let answer = operation.send(&mut client, session).expect("an answer");
                    let stored = operation.way.stored_status();
                    // Bytes that were sent before are answered with 200 by every way.
                    assert!(
                        [200, stored].contains(&answer.status()),
                        "{}: {}",
                        operation.id,
                        answer.text()
                    );
                    let json = answer.json().unwrap_or_default();
                    let name = if operation.way == Way::Asset { "name" } else { "filename" };
                    if let Some(name) = json[name].as_str() {
                        let mut listed = listed.lock().expect("no panic");
                        listed.insert(operation.id.clone(), name.to_owned());
                    }
                }
            });
        }
    });
    let offered = operations.iter().map(|operation| chunk_id(&operation.body)).collect();
    let listed_names = listed_names.into_inner().expect("no panic");
    Run { session, operations, listed_names, offered, from_middle: AtomicUsize::new(0) }
}

/// Strict cuts around and at each answer, random ones there and elsewhere.
fn choose_moments(
    recording: &Recording,
    (acknowledged, begun): (&HashMap<String, usize>, &HashMap<String, usize>),
    seed: u64,
) -> Vec<Moment> {
    let mut dice = Dice(!seed);
    let mut moments = Vec::new();
    for position in acknowledged.values().copied() {
        moments.push((position, Cut::Strict));
        let beside = (position + dice.below(7) as usize).saturating_sub(3).min(recording.len());
        let cut = if dice.below(2) == 0 { Cut::Strict } else { Cut::Random(dice.below(u64::MAX)) };
        moments.push((beside, cut));
    }
    // Between the pieces of a file, where only offsets were answered.
    for (id, begun) in begun {
        let length = acknowledged[id].saturating_sub(*begun) as u64;
        for _ in 0..CUTS_IN_PIECES {
            let position = begun + dice.below(length + 1) as usize;
            let random = Cut::Random(dice.below(u64::MAX));
            moments.push((position, if dice.below(2) == 0 { Cut::Strict } else { random }));
        }
    }
    for _ in 0..RANDOM_CUTS {
        let position = dice.below(recording.len() as u64 + 1) as usize;
        moments.push((position, Cut::Random(dice.below(u64::MAX))));
    }
    // Going forward through the positions costs nothing.
    moments.sort_by_key(|(position, _)| *position);
    moments
}

impl Run {
    /// Where each upload was answered with success, by request id.
    fn acknowledgements(&self, recording: &Recording) -> HashMap<String, usize> {
        let position = |operation: &Operation| {
            let answers = recording.find_answers_with_status_2xx(&operation.id);
            Some((operation.id.clone(), answers.first()?.position))
        };
        self.operations.iter().filter_map(position).collect()
    }

    /// Where each upload in pieces was begun: all its creations were answered with success. By request id.
    fn beginnings(&self, recording: &Recording) -> HashMap<String, usize> {
        let position = |operation: &Operation| {
            let parts = operation.places.lock().expect("no panic").len();
            let answered = |part| {
                let id = operation.creation_id(part);
                Some(recording.find_answers_with_status_2xx(&id).first()?.position)
            };
            let last = (0..parts).map(answered).collect::<Option<Vec<_>>>()?.into_iter().max()?;
            Some((operation.id.clone(), last))
        };
        self.operations.iter().filter_map(position).collect()
    }

    /// Starts the server on what a cut left and compares everything that was promised by then.
    fn hold_to_promises(
        &self,
        left: &Path,
        (acknowledged, begun): (&HashMap<String, usize>, &HashMap<String, usize>),
        position: usize,
        number: usize,
    ) -> Result<(), String> {
        let binary = find_binary().map_err(|error| error.to_string())?;
        let mut command = serve_command(&binaries::fault_server()?, left);
        // This machine did not boot anew, and the server would take unsynced bytes for those of a killed process.
        command.env("PHOTOSYNC_FAULT", "boot_id:1+:eio");
        let server = start(command, &left.with_extension("stderr"))?.ready()?;
        let mut client = Client::new(server.address);
        for staged in list_below(&left.join("uploads"), ".staging")? {
            self.require_resumable(&staged, &mut client)?;
        }
        let listed = self.read_listed(&mut client)?;
        let promised = |operation: &&Operation| acknowledged[&operation.id] <= position;
        for operation in self.operations.iter().filter(promised) {
            self.require_whole(operation, &listed, &mut client)?;
        }
        for operation in self.operations.iter().filter(|operation| !promised(operation)) {
            if begun.get(&operation.id).is_some_and(|begun| *begun <= position) {
                match operation.go_on(&mut client, &self.session)? {
                    Left::Published => self.require_adopted(operation, &mut client)?,
                    Left::Finished { from_middle } => {
                        self.from_middle.fetch_add(usize::from(from_middle), Ordering::Relaxed);
                    }
                }
            }
        }
        // Every tenth is looked at as an operator would.
        if number.is_multiple_of(10) {
            agree(&binary, left)?;
            drop(client);
            server.stop()?;
            return check(&binary, left);
        }
        server.kill();
        Ok(())
    }

    /// All bytes of an upload that the server does not know any more are in the library, or come into it by adoption.
    fn require_adopted(&self, operation: &Operation, client: &mut Client) -> Result<(), String> {
        let digest = chunk_id(&operation.body);
        let mut seen = Ok(false);
        wait_until(ADOPTED_WITHIN, || {
            let listed = self.read_listed(client);
            seen = listed.map(|listed| listed.values().any(|found| *found == digest));
            !matches!(seen, Ok(false))
        });
        match seen? {
            true => Ok(()),
            false => Err(format!("{}: its creation was answered, and it is lost", operation.id)),
        }
    }

    /// Only what a client that comes back can go on with may be left after a restart.
    fn require_resumable(&self, staged: &Path, client: &mut Client) -> Result<(), String> {
        let name = staged.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let left = || format!("{} is left after a restart", staged.display());
        let upload = name.strip_prefix("tus-").ok_or_else(left)?;
        let request = Request::new("HEAD", format!("/api/v2/tus/{upload}"))
            .headers(&self.session.headers())
            .header("Tus-Resumable", "1.0.0");
        let answer = client.send(request).map_err(|error| format!("HEAD {name}: {error}"))?;
        // Asking completes an upload whose bytes are all there.
        let is_completed = answer.header("photosync-asset").is_some() && !staged.exists();
        let goes_on = answer.header("upload-offset").is_some() && staged.exists();
        let known = answer.status() == 200 && (is_completed || goes_on);
        known.then_some(()).ok_or_else(left)
    }

    /// Digests of everything that is listed; a listed file that is none of the bodies is torn.
    fn read_listed(&self, client: &mut Client) -> Result<BTreeMap<String, String>, String> {
        let answer = get(client, &self.session, "/api/files")?;
        let json = answer.json().map_err(|error| error.to_string())?;
        let files = json["files"].as_array().ok_or("no list")?;
        let mut listed = BTreeMap::new();
        for name in files.iter().filter_map(|file| file["filename"].as_str()) {
            let path = format!("/api/files/{}", encode_uri_component(name));
            let answer = get(client, &self.session, &path)?;
            let digest = chunk_id(&answer.body);
            if answer.status() != 200 || !self.offered.contains(&digest) {
                return Err(format!("{name} is listed and not whole ({})", answer.status()));
            }
            listed.insert(name.to_owned(), digest);
        }
        Ok(listed)
    }

    fn require_whole(
        &self,
        operation: &Operation,
        listed: &BTreeMap<String, String>,
        client: &mut Client,
    ) -> Result<(), String> {
        let digest = chunk_id(&operation.body);
        let found = match operation.way {
            Way::Raw | Way::Form | Way::Asset => {
                let name = self.listed_names.get(&operation.id).ok_or("no name was answered")?;
                listed.get(name).is_some_and(|found| *found == digest)
            }
            // The answer names no file: the bytes are what counts.
            Way::Tus | Way::TusPieces | Way::TusConcat => {
                listed.values().any(|found| *found == digest)
            }
            Way::Chunk | Way::ChunkForm => {
                let answer = get(client, &self.session, &format!("/api/cloud/chunks/{digest}"))?;
                answer.status() == 200 && answer.body == operation.body
            }
            Way::Manifest => {
                let path = format!("/api/cloud/manifests/{}", operation.name);
                let json = get(client, &self.session, &path)?.json().unwrap_or_default();
                json["encryptedManifest"].as_str().map(str::as_bytes) == Some(&operation.body)
            }
        };
        match found {
            true => Ok(()),
            false => {
                Err(format!("{} ({:?}) was answered and is lost", operation.id, operation.way))
            }
        }
    }
}

/// Waits until the running server has adopted what the cut left: index and disk agree.
pub(super) fn agree(binary: &Path, left: &Path) -> Result<(), String> {
    let mut found = Ok(());
    let agreed = wait_until(ADOPTED_WITHIN, || {
        found = check(binary, left);
        found.is_ok()
    });
    if agreed { Ok(()) } else { found }
}

/// Every file below a folder with its digest, and every folder, without SQLite's shared memory.
pub(super) fn read_tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut tree = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let inner = path.strip_prefix(root).expect("below the root").to_owned();
            if path.is_dir() {
                tree.insert(inner, "a folder".to_owned());
                waiting.push(path);
            } else if !path.to_string_lossy().ends_with("-shm") {
                let bytes = std::fs::read(&path).expect("a file");
                tree.insert(inner, hex::encode(Sha256::digest(&bytes)));
            }
        }
    }
    tree
}
