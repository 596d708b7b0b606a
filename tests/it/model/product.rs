//! The same world through the product's own client: its scan, its cache, its pauses and its resumable uploads take part.
//!
//! The rules of the model are stricter here, for the client says what it did. What it reports as safe is held at once,
//! whatever cut the run off; beside that only files that were on their way at the cut may have arrived, as many as
//! are sent side by side. A finished run has everything of the device held, and sends nothing that was held before.
//! What a person deleted is neither held nor sent again. Nothing else is ever on the server.
//!
//! `PHOTOSYNC_MODEL_SEQUENCES=N` plays N sequences instead of those of the suite.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use photosync_client::error::Kind;
use photosync_tests::proxy::{Cut, FaultProxy, Plan};
use photosync_tests::seeded::Dice;
use sha2::{Digest, Sha256};

use super::app::{App, PARALLEL, Patience, Ran, file_of};
use super::device::Photo;
use super::shrink::shrunk;
use crate::stand::{Person, Stand};
use crate::sync::{Native, json_of};

/// Sequences and their length: 10,000 steps together.
const SEQUENCES: u64 = 20;
const STEPS: usize = 500;

/// Servers that are played on side by side: a run that was cut mostly waits.
const WORKERS: u64 = 6;

const SLOTS: u64 = 10;
const PHOTOS: u64 = 50;

/// On every third server a body of an upload may have so many bytes, and the proxy lets no more pass than what a client
/// tells of all its files at once: most photos then come in pieces. A proxy that reads along cannot be had with TLS; the other servers are spoken to with it.
const PIECE_BYTES: u64 = 700;
const CAP_BYTES: u64 = 16 << 10;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A photo comes to a place of a device, or replaces the one there.
    Put { device: usize, slot: u64, photo: Photo, in_place: bool },
    /// A photo gets another place.
    Rename { device: usize, from: u64, to: u64 },
    /// The photo of a place is deleted on the device.
    Delete { device: usize, slot: u64 },
    /// The device backs up over a network of this kind.
    BackUp { device: usize, network: Network },
    /// The app is installed anew, photos are where they were.
    Reinstall { device: usize },
    /// A person deletes a photo in the library.
    Trash { photo: Photo },
    /// The device asks for receipts.
    Verify { device: usize },
    /// The server stops and starts; or is killed and starts.
    Restart { killed: bool },
}

/// What happens to the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Good,
    /// The first connections are cut, and the run goes on until it is done.
    Flaky {
        at: At,
        times: usize,
    },
    /// Every connection is cut; at the first cut the run is ended.
    Lost {
        at: At,
        killed: bool,
    },
    /// The server is restarted once so many bytes have gone up, and the run goes on until it is done.
    Restarted {
        up: u64,
        killed: bool,
    },
}

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Up(u64),
    Down(u64),
    /// From here on requests arrive, and their answers do not.
    Answers(u64),
}

impl At {
    fn random(dice: &mut Dice) -> At {
        match dice.below(3) {
            0 => At::Up(dice.below(9000)),
            1 => At::Down(dice.below(4000)),
            _ => At::Answers(dice.below(9000)),
        }
    }

    fn plan(self) -> Plan {
        match self {
            At::Up(at) => Plan::cut_up(at, Cut::Reset),
            At::Down(at) => Plan::cut_down(at, Cut::Reset),
            At::Answers(at) => Plan::lose_answers(at, Some(Cut::Reset)),
        }
    }
}

fn random_steps(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    (0..STEPS)
        .map(|_| {
            let device = usize::try_from(dice.below(2)).unwrap_or(0);
            let slot = dice.below(SLOTS);
            match dice.below(1000) {
                0..490 => {
                    let (photo, in_place) = (dice.below(PHOTOS), dice.below(2) == 0);
                    Step::Put { device, slot, photo, in_place }
                }
                490..540 => Step::Rename { device, from: slot, to: dice.below(SLOTS) },
                540..730 => Step::Delete { device, slot },
                730..755 => Step::Trash { photo: dice.below(PHOTOS) },
                755..767 => Step::Verify { device },
                767..773 => Step::Reinstall { device },
                773..777 => Step::Restart { killed: dice.below(2) == 0 },
                _ => {
                    let network = match dice.below(100) {
                        0..45 => Network::Good,
                        45..55 => {
                            let times = 1 + usize::from(dice.below(2) == 0);
                            Network::Flaky { at: At::random(&mut dice), times }
                        }
                        55..57 => {
                            Network::Restarted { up: dice.below(9000), killed: dice.below(2) == 0 }
                        }
                        _ => {
                            Network::Lost { at: At::random(&mut dice), killed: dice.below(2) == 0 }
                        }
                    };
                    Step::BackUp { device, network }
                }
            }
        })
        .collect()
}

/// What the library lists: photos and their names.
type Listed = BTreeMap<Photo, String>;

/// The server, somebody new, her two devices, and what the model says of them.
struct World<'a> {
    stand: &'a Stand,
    person: Person,
    looker: Native,
    proxy: FaultProxy,
    cap: Option<u64>,
    apps: Vec<App>,
    held: BTreeSet<Photo>,
    /// Deleted by a person, and not sent by hand since.
    deleted: BTreeSet<Photo>,
    /// Of runs that were cut off: what may still have been on its way, and how many of it at most.
    perhaps: BTreeSet<Photo>,
    perhaps_at_most: usize,
}

impl World<'_> {
    fn new(stand: &Stand, cap: Option<u64>) -> World<'_> {
        let person = stand.person();
        let looker = Native::sign_in(stand, &person);
        let proxy = FaultProxy::start(stand.address(), |_| Plan::pass()).expect("a proxy");
        let scheme = if cap.is_some() { "http" } else { "https" };
        let url = format!("{scheme}://{}", proxy.address());
        let install = |_| App::install(&url, &looker.fingerprint, &person.email);
        let apps = (0..2).map(install).collect();
        World {
            stand,
            person,
            looker,
            proxy,
            cap,
            apps,
            held: BTreeSet::new(),
            deleted: BTreeSet::new(),
            perhaps: BTreeSet::new(),
            perhaps_at_most: 0,
        }
    }

    fn apply(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Put { device, slot, photo, in_place } => {
                self.apps[device].put(slot, photo, in_place);
                Ok(())
            }
            Step::Rename { device, from, to } => {
                self.apps[device].rename(from, to);
                Ok(())
            }
            Step::Delete { device, slot } => {
                self.apps[device].delete(slot);
                Ok(())
            }
            Step::BackUp { device, network } => self.back_up(device, network),
            Step::Reinstall { device } => {
                self.plan(|_| Plan::pass());
                self.apps[device].reinstall().map_err(|error| error.to_string())
            }
            Step::Trash { photo } => self.trash(photo),
            Step::Verify { device } => {
                self.plan(|_| Plan::pass());
                let summary = self.apps[device].verify().map_err(|error| error.to_string())?;
                match summary.bad_receipts {
                    0 => Ok(()),
                    _ => Err(format!("receipts that prove nothing: {summary:?}")),
                }
            }
            Step::Restart { killed } => {
                restart(self.stand, &self.proxy, killed);
                self.look("after a restart").map(|_| ())
            }
        }
    }

    /// Every connection from now on is treated so; those of before are over.
    fn plan(&self, mut plan: impl FnMut(usize) -> Plan + Send + 'static) {
        self.proxy.cut_all(Cut::Reset);
        let (cap, mut count) = (self.cap, 0);
        self.proxy.set_planner(move |_| {
            count += 1;
            Plan { cap_body_bytes: cap, ..plan(count) }
        });
    }

    fn trash(&mut self, photo: Photo) -> Result<(), String> {
        let listed = self.look("before a person deletes")?;
        let Some(name) = listed.get(&photo) else { return Ok(()) };
        let outcome = self.stand.command(&["trash", &self.person.email, name], "");
        if outcome.code != 0 {
            return Err(format!("trash {name}: {}{}", outcome.stdout, outcome.stderr));
        }
        self.held.remove(&photo);
        self.deleted.insert(photo);
        self.look("after a person deleted").map(|_| ())
    }

    fn back_up(&mut self, device: usize, network: Network) -> Result<(), String> {
        let (app, stand, proxy) = (&self.apps[device], self.stand, &self.proxy);
        let ran = match network {
            Network::Good => {
                self.plan(|_| Plan::pass());
                app.back_up(proxy, Patience::Waits)
            }
            Network::Flaky { at, times } => {
                self.plan(move |count| if count <= times { at.plan() } else { Plan::pass() });
                app.back_up(proxy, Patience::Waits)
            }
            Network::Lost { at, killed } => {
                self.plan(move |_| at.plan());
                app.back_up(proxy, if killed { Patience::Killed } else { Patience::Stopped })
            }
            Network::Restarted { up, killed } => {
                self.plan(|_| Plan::pass());
                let (before, over) = (proxy.total().up_bytes, AtomicBool::new(false));
                thread::scope(|scope| {
                    scope.spawn(|| {
                        while proxy.total().up_bytes < before + up && !over.load(Ordering::Relaxed)
                        {
                            thread::sleep(Duration::from_millis(1));
                        }
                        restart(stand, proxy, killed);
                    });
                    let ran = app.back_up(proxy, Patience::Waits);
                    over.store(true, Ordering::Relaxed);
                    ran
                })
            }
        };
        self.judge(device, network, &ran)
    }

    /// What the client says it did, against what is there.
    fn judge(&mut self, device: usize, network: Network, ran: &Ran) -> Result<(), String> {
        if !ran.failed.is_empty() {
            return Err(format!("files failed: {:?}", ran.failed));
        }
        let mine = self.apps[device].photos();
        let (sent, held, deleted) = (ran.said("sent"), ran.said("held"), ran.said("deleted"));
        let again: Vec<&Photo> = sent.intersection(&self.held).collect();
        let unwanted: Vec<&Photo> = sent.intersection(&self.deleted).collect();
        if !again.is_empty() || !unwanted.is_empty() {
            return Err(format!("sent although held: {again:?}, although deleted: {unwanted:?}"));
        }
        let there = [&self.held, &self.perhaps, &sent].into_iter().flatten().copied().collect();
        if !held.is_subset(&there) || !deleted.is_subset(&self.deleted) {
            return Err(format!("{held:?} are said to be held, {deleted:?} to be deleted"));
        }
        let safe: BTreeSet<Photo> = sent.union(&held).copied().collect();
        match &ran.ended {
            Some(Ok(summary)) => {
                let unsaid = !summary.complete || summary.failed_files > 0;
                if unsaid {
                    return Err(format!("a run ended without everything being safe: {summary:?}"));
                }
                self.held.extend(mine.difference(&self.deleted));
                // Settled now, whatever was on its way before.
                self.perhaps.retain(|photo| !mine.contains(photo));
                self.perhaps_at_most = self.perhaps_at_most.min(self.perhaps.len());
                self.look("after a backup").map(|_| ())
            }
            Some(Err(error)) => match (network, error.kind) {
                (Network::Lost { .. }, Kind::Interrupted | Kind::Unreachable) => {
                    self.note_cut(mine, safe)
                }
                _ => Err(format!("the run failed: {error}")),
            },
            None => self.note_cut(mine, safe),
        }
    }

    fn note_cut(&mut self, mine: BTreeSet<Photo>, safe: BTreeSet<Photo>) -> Result<(), String> {
        self.held.extend(safe);
        let possible = mine
            .into_iter()
            .filter(|photo| !self.held.contains(photo) && !self.deleted.contains(photo));
        self.perhaps.extend(possible.collect::<Vec<_>>());
        self.perhaps_at_most = self.perhaps.len().min(self.perhaps_at_most + PARALLEL);
        self.look("after a cut").map(|_| ())
    }

    /// Compares what is listed with the model, by digest.
    fn look(&mut self, when: &str) -> Result<Listed, String> {
        let listed = self.listed()?;
        let now: BTreeSet<Photo> = listed.keys().copied().collect();
        let lost: Vec<&Photo> = self.held.difference(&now).collect();
        let new: BTreeSet<Photo> = now.difference(&self.held).copied().collect();
        let strange: Vec<&Photo> = new.difference(&self.perhaps).collect();
        if !lost.is_empty() || !strange.is_empty() {
            return Err(format!("{when}: photos {lost:?} are lost, and nobody sent {strange:?}"));
        }
        if new.len() > self.perhaps_at_most {
            let most = self.perhaps_at_most;
            return Err(format!(
                "{when}: {new:?} are held unsaid, {most} were on their way at most"
            ));
        }
        self.perhaps_at_most -= new.len();
        self.perhaps.retain(|photo| !new.contains(photo));
        self.perhaps_at_most = self.perhaps_at_most.min(self.perhaps.len());
        self.held = now;
        Ok(listed)
    }

    fn listed(&self) -> Result<Listed, String> {
        let looker = self.looker.at(self.stand.address());
        let answer = looker.send(looker.request("GET", "/library/assets?limit=1000"));
        if answer.status() != 200 {
            return Err(format!("the listing: {} {}", answer.status(), answer.text()));
        }
        let photos: BTreeMap<String, Photo> =
            (0..PHOTOS).map(|photo| (hex::encode(file_of(photo).digest()), photo)).collect();
        let json = json_of(&answer);
        let rows = json["assets"].as_array().ok_or("no list of assets")?;
        let mut listed = Listed::new();
        for row in rows {
            let (digest, name) = (row["digest"].as_str(), row["name"].as_str());
            let photo = digest.and_then(|digest| photos.get(digest));
            let (Some(photo), Some(name)) = (photo, name) else {
                return Err(format!("a strange file is listed: {row}"));
            };
            if listed.insert(*photo, name.to_owned()).is_some() {
                return Err(format!("listed twice: {row}"));
            }
        }
        Ok(listed)
    }

    /// Both devices back up once more; then everything has a receipt and comes back, byte for byte.
    fn end(&mut self) -> Result<(), String> {
        for device in 0..self.apps.len() {
            self.back_up(device, Network::Good)?;
            let mine = self.apps[device].photos();
            let deleted = mine.intersection(&self.deleted).count() as u64;
            let wanted = (mine.len() as u64 - deleted, deleted);
            let end = Instant::now() + Duration::from_secs(20);
            loop {
                let seen = self.apps[device].verify().map_err(|error| error.to_string())?;
                if (seen.verified, seen.not_held, seen.bad_receipts) == (wanted.0, wanted.1, 0) {
                    break;
                }
                if Instant::now() > end {
                    return Err(format!("receipts: {seen:?}; verified, not held: {wanted:?}"));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        let (summary, files) = self.apps[0].restore().map_err(|error| error.to_string())?;
        let came: BTreeSet<[u8; 32]> =
            files.iter().map(|file| Sha256::digest(file).into()).collect();
        let wanted: BTreeSet<[u8; 32]> =
            self.held.iter().map(|photo| file_of(*photo).digest()).collect();
        // A photo that lay in several places comes back in each of them.
        match came == wanted && files.len() as u64 == summary.restored_files {
            true => Ok(()),
            false => Err(format!("{} are held; a restore says {summary:?}", wanted.len())),
        }
    }
}

fn restart(stand: &Stand, proxy: &FaultProxy, killed: bool) {
    match killed {
        true => stand.kill(),
        false => stand.stop(),
    }
    stand.start();
    proxy.set_target(stand.address());
}

/// Plays the steps with somebody new; returns how many photos are held in the end. The error names the step and what
/// is wrong.
fn play(stand: &Stand, cap: Option<u64>, steps: &[Step]) -> Result<usize, String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(stand, cap);
        for (number, step) in steps.iter().enumerate() {
            world.apply(*step).map_err(|wrong| format!("step {number} ({step:?}): {wrong}"))?;
        }
        world.end().map_err(|wrong| format!("in the end: {wrong}"))?;
        Ok(world.held.len())
    }));
    played.unwrap_or_else(|_| Err("something has panicked (see above)".to_owned()))
}

/// Plays sequences until there are no more; the error is the shortest sequence that still fails.
fn work(worker: u64, sequences: u64, next: &AtomicU64) -> Result<(), String> {
    let cap = (worker % 3 == 1).then_some(CAP_BYTES);
    let piece = PIECE_BYTES.to_string();
    let capped = [("PHOTOSYNC_LIMITS_BODY_BYTES", piece.as_str())];
    let stand = Stand::new(if cap.is_some() { &capped } else { &[] });
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= sequences {
            break;
        }
        let steps = random_steps(seed);
        let Err(wrong) = play(&stand, cap, &steps) else { continue };
        // The others stop soon: this one's figures are wanted.
        next.store(sequences, Ordering::Relaxed);
        let shortest = shrunk(&steps, |fewer| play(&stand, cap, fewer).is_err());
        let still = play(&stand, cap, &shortest);
        return Err(format!(
            "seed {seed}: {wrong}\nThe shortest sequence that fails ({still:?}):\n{shortest:#?}"
        ));
    }
    stand.require_agreement();
    Ok(())
}

#[test]
fn ten_thousand_random_steps_of_two_installed_clients_end_as_the_model_says() {
    let sequences = std::env::var("PHOTOSYNC_MODEL_SEQUENCES").ok();
    let sequences =
        sequences.map_or(SEQUENCES, |text| text.parse().expect("a number of sequences"));
    let next = AtomicU64::new(0);
    let wrong: Vec<String> = thread::scope(|scope| {
        let spawn = |worker| {
            let next = &next;
            scope.spawn(move || work(worker, sequences, next))
        };
        let workers: Vec<_> = (0..WORKERS).map(spawn).collect();
        let ended = workers.into_iter().map(|worker| worker.join().expect("a worker's end"));
        ended.filter_map(Result::err).collect()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}
