//! Kills a server over and over while clients upload, restarts it on the same folder, and holds it to every answer
//! it gave. Used by the tests of this folder and, for 10,000 kills, by `scripts/torture`.
//!
//! Every second kill comes at a random moment, the others at a named point of the way from bytes to answer.

pub mod account;
pub mod binaries;
pub mod process;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use account::{Account, Upload};
use photosync_tests::http::Client;
use process::{Running, Started};

/// The fault points of the server on an upload's way, in order.
const POINTS: &[&str] = &["write", "sync", "publish", "published", "sync_dir", "commit"];
/// Uploads at a time.
const CLIENTS: u64 = 6;
/// Few enough that names and bytes meet again.
const ACCOUNTS: u64 = 3;
/// A named point that is not passed often enough by then is left for the next kill.
const POINT_WITHIN: Duration = Duration::from_secs(2);
/// Longest random wait before a kill.
const KILL_WITHIN_US: u64 = 120_000;
/// Adoption reads every file without a row once.
const ADOPTED_WITHIN: Duration = Duration::from_secs(60);

/// How much torture.
pub struct Plan {
    /// Kills altogether.
    pub kills: u64,
    /// Kills on one data folder; then a fresh one begins, so that the disk holds it.
    pub kills_per_library: u64,
    /// Every choice but the timing follows from it.
    pub seed: u64,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Kills so far.
    pub kills: u64,
    /// Of these, at a named point.
    pub kills_at_points: u64,
    /// Of these, before the server was ready.
    pub kills_before_ready: u64,
    /// Names promised to clients; each was found again, whole.
    pub acknowledged: u64,
    /// Files downloaded and compared.
    pub files_read: u64,
    /// Since the beginning.
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} kills ({} at named points, {} before ready), {} promised files kept, {} downloads compared, {:.1} s",
            self.kills,
            self.kills_at_points,
            self.kills_before_ready,
            self.acknowledged,
            self.files_read,
            self.took.as_secs_f64()
        )
    }
}

/// A seed from the clock.
pub fn random_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| since.as_nanos() as u64)
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Dice(pub u64);

impl Dice {
    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}

/// A folder in memory where there is one: the kernel survives a kill, so the disk behind it proves nothing more
/// and only makes the same torture slower.
pub fn scratch_folder() -> Result<tempfile::TempDir, String> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("photosync-crash-");
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
    made.or_else(|_| builder.tempdir()).map_err(|error| format!("make a scratch folder: {error}"))
}

/// Carries the plan out; `progress` hears of every kill. A failure names the seed and keeps the data folder.
pub fn run(plan: &Plan, progress: &mut dyn FnMut(&Summary)) -> Result<Summary, String> {
    let binary = binaries::fault_server()?;
    let begun = Instant::now();
    let mut dice = Dice(plan.seed);
    let mut summary = Summary::default();
    while summary.kills < plan.kills {
        let mut scratch = scratch_folder()?;
        let library = Library { binary: &binary, folder: scratch.path().to_owned() };
        let wanted = plan.kills_per_library.min(plan.kills - summary.kills);
        let outcome = library.torture(wanted, &mut dice, &mut summary, &mut |summary| {
            summary.took = begun.elapsed();
            progress(summary);
        });
        if let Err(what) = outcome {
            scratch.disable_cleanup(true);
            let (kill, seed, kept) = (summary.kills, plan.seed, scratch.path().display());
            return Err(format!("after kill {kill} with seed {seed}: {what}\nkept: {kept}"));
        }
    }
    summary.took = begun.elapsed();
    Ok(summary)
}

/// One data folder from its first start to its last check.
struct Library<'a> {
    binary: &'a Path,
    folder: PathBuf,
}

impl Library<'_> {
    fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn start(&self, fault: Option<&str>) -> Result<Started, String> {
        let mut command = process::serve_command(self.binary, &self.data_dir());
        command.envs(fault.map(|fault| ("PHOTOSYNC_FAULT", fault)));
        process::start(command, &self.folder.join("log"))
    }

    fn torture(
        &self,
        kills: u64,
        dice: &mut Dice,
        summary: &mut Summary,
        progress: &mut dyn FnMut(&mut Summary),
    ) -> Result<(), String> {
        let server = self.start(None)?.ready()?;
        let accounts = (0..ACCOUNTS)
            .map(|number| Account::create(server.address, &format!("user{number}@example.org")))
            .collect::<Result<Vec<Account>, String>>()?;
        server.kill();
        for kill in 0..kills {
            if kill % 2 == 0 {
                self.kill_at_random(&accounts, dice, summary)?;
            } else {
                let point = POINTS[(kill / 2) as usize % POINTS.len()];
                self.kill_at_point(point, &accounts, dice, summary)?;
            }
            summary.kills += 1;
            progress(summary);
        }
        self.settle(&accounts, summary)
    }

    /// Starts, holds the server to its promises so far, lets clients upload and kills it at a random moment.
    fn kill_at_random(
        &self,
        accounts: &[Account],
        dice: &mut Dice,
        summary: &mut Summary,
    ) -> Result<(), String> {
        let server = self.start(None)?.ready()?;
        self.require_empty_staging()?;
        for account in accounts {
            summary.files_read += account.verify(server.address, false)?;
        }
        let delay = Duration::from_micros(dice.below(KILL_WITHIN_US));
        upload_until_killed(server, accounts, dice, |server| {
            // Not a wait for anything: the moment is what is random.
            std::thread::sleep(delay);
            server.kill();
        });
        Ok(())
    }

    /// Starts and lets clients upload until the server kills itself at the point.
    fn kill_at_point(
        &self,
        point: &str,
        accounts: &[Account],
        dice: &mut Dice,
        summary: &mut Summary,
    ) -> Result<(), String> {
        let pass = 1 + dice.below(12);
        let server = match self.start(Some(&format!("{point}:{pass}:kill")))? {
            Started::Ready(server) => server,
            // Adoption commits as soon as the database is open.
            Started::Ended { status, .. } if process::was_killed(status) => {
                summary.kills_at_points += 1;
                summary.kills_before_ready += 1;
                return Ok(());
            }
            Started::Ended { status, log } => {
                return Err(format!("the server could not start again ({status}):\n{log}"));
            }
        };
        self.require_empty_staging()?;
        let mut killed_itself = false;
        upload_until_killed(server, accounts, dice, |mut server| {
            killed_itself = server.wait_for_end(POINT_WITHIN).is_some();
        });
        summary.kills_at_points += u64::from(killed_itself);
        Ok(())
    }

    fn require_empty_staging(&self) -> Result<(), String> {
        match list_below(&self.data_dir().join("uploads"), ".staging")?.first() {
            None => Ok(()),
            Some(left) => Err(format!("{} is left after a restart", left.display())),
        }
    }

    /// A last start: everything is adopted, everything promised downloads whole, and index and disk agree.
    fn settle(&self, accounts: &[Account], summary: &mut Summary) -> Result<(), String> {
        let server = self.start(None)?.ready()?;
        self.require_empty_staging()?;
        let mut found = Ok(());
        // Asked of the running server: what has not been adopted yet is a disagreement.
        let agreed = process::wait_until(ADOPTED_WITHIN, || {
            found = process::check(self.binary, &self.data_dir());
            found.is_ok()
        });
        if !agreed {
            let log = server.log();
            return Err(format!("{}\n{log}", found.err().unwrap_or_default()));
        }
        for account in accounts {
            summary.files_read += account.verify(server.address, true)?;
            summary.acknowledged += account.acknowledged_count() as u64;
        }
        server.stop()?;
        process::check(self.binary, &self.data_dir())
    }
}

/// Runs the clients until the server is gone, which `end` sees to.
fn upload_until_killed(
    server: Running,
    accounts: &[Account],
    dice: &mut Dice,
    end: impl FnOnce(Running),
) {
    let address = server.address;
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let account = &accounts[(number % ACCOUNTS) as usize];
            let mut dice = Dice(dice.below(u64::MAX));
            scope.spawn(move || {
                let mut client = Client::new(address);
                loop {
                    let upload = choose_upload(&mut dice);
                    let answered = account.upload(&mut client, &upload);
                    // A body that was cut off gets no answer, and says nothing about the server.
                    if answered.is_err() && !upload.is_cut_off {
                        return;
                    }
                }
            });
        }
        end(server);
    });
}

fn choose_upload(dice: &mut Dice) -> Upload {
    // The last two are one name on disk, and neither is listed as it is stored.
    const NAMES: &[&str] =
        &["IMG_0001.jpg", "IMG_0002.jpg", "img_0001.JPG", "clip.mov", "a:b.heic", "a|b.heic"];
    // Half of all uploads are one of 40 bodies that come again and again.
    let is_known = dice.below(2) == 0;
    let seed = if is_known { dice.below(40) } else { 1000 + dice.below(u64::MAX - 1000) };
    let mut size = Dice(seed);
    // Every order of magnitude from 1 KiB to 2 MiB is as likely as the others.
    let size_bytes = (1024 << size.below(11)) + size.below(1024);
    Upload {
        name: NAMES[dice.below(NAMES.len() as u64) as usize].to_owned(),
        seed,
        size_bytes: size_bytes as usize,
        as_form: dice.below(2) == 0,
        is_cut_off: dice.below(12) == 0,
    }
}

/// Entries of `<uploads>/<account>/<inner>` for every account.
pub fn list_below(uploads: &Path, inner: &str) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("look through {}: {error}", uploads.display());
    let mut found = Vec::new();
    for account in std::fs::read_dir(uploads).map_err(failed)? {
        let folder = account.map_err(failed)?.path();
        if !folder.is_dir() {
            continue;
        }
        let Ok(entries) = std::fs::read_dir(folder.join(inner)) else { continue };
        for entry in entries {
            found.push(entry.map_err(failed)?.path());
        }
    }
    Ok(found)
}
