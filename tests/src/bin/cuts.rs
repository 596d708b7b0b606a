//! `photosync-cuts [MEBIBYTES] [CUTS] [SEED]`: sends one file by tus while its connection is cut at random bytes, and
//! says how much had to be sent twice. `photosync-cuts slow [KIBIBYTES] [STALLS] [SEED]` sends one over a connection of
//! 50 KB/s that stalls for 30 s again and again: about four minutes, if nothing is said.
//! Exit code 1 if the file differs in the end or a limit is passed.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use photosync_tests::account::phone_device_uuid;
use photosync_tests::cuts::{Cuts, CutsError, Figures, Place, Slow, run, run_slow};
use photosync_tests::http::{Body, Client, Request};
use photosync_tests::seeded::SeededFile;
use photosync_tests::server::ServerProcess;
use serde_json::json;

const EMAIL: &str = "cuts@example.org";
const PASSWORD: &str = "correct horse 9";

/// What one cut may cost, and what half of them may cost at most.
const MOST_TWICE_BYTES: u64 = 1024 * 1024;
const MEDIAN_TWICE_BYTES: u64 = 64 * 1024;

/// A weak mobile connection, in bytes per second, and its stalls.
const SLOW_BYTES_PER_S: u64 = 50_000;
const STALL: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let is_slow = words.first().is_some_and(|word| word == "slow");
    if is_slow {
        words.remove(0);
    }
    let numbers: Option<Vec<u64>> = words.iter().map(|word| word.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() <= 3) else {
        eprintln!(
            "photosync-cuts: three numbers at most: MEBIBYTES (300), CUTS (200), SEED (random); or the word slow and: \
             KIBIBYTES (6000), STALLS (4), SEED (random)"
        );
        return ExitCode::from(64);
    };
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let number = |at: usize, usual: u64| numbers.get(at).copied().unwrap_or(usual);
    let seed = number(2, clock);
    let attempted = match is_slow {
        true => try_slow(number(0, 6000) * 1024, number(1, 4), seed),
        false => try_cuts(number(0, 300) * 1024 * 1024, number(1, 200), seed),
    };
    attempted.unwrap_or_else(|failure| {
        eprintln!("photosync-cuts: {failure}");
        ExitCode::FAILURE
    })
}

type Failure = Box<dyn std::error::Error>;

fn try_cuts(size_bytes: u64, cuts: u64, seed: u64) -> Result<ExitCode, Failure> {
    println!("{} MiB, {cuts} cuts, seed {seed}", size_bytes >> 20);
    let cuts = Cuts { size_bytes, cuts: usize::try_from(cuts)?, seed, piece_bytes: u64::MAX };
    let figures = attempt((seed, size_bytes), |place, metadata| run(&cuts, place, metadata))?;
    println!("{figures}");
    let cheap = figures.most_sent_twice() <= MOST_TWICE_BYTES
        && figures.median_sent_twice() <= MEDIAN_TWICE_BYTES;
    if !cheap {
        eprintln!("photosync-cuts: more was sent twice than 1 MiB per cut, 64 KiB in the middle");
    }
    Ok(ExitCode::from(u8::from(!cheap)))
}

fn try_slow(size_bytes: u64, stalls: u64, seed: u64) -> Result<ExitCode, Failure> {
    println!(
        "{} KiB at {SLOW_BYTES_PER_S} bytes/s with {stalls} stalls of {} s, seed {seed}",
        size_bytes >> 10,
        STALL.as_secs()
    );
    let slow = Slow {
        size_bytes,
        seed,
        bytes_per_s: SLOW_BYTES_PER_S,
        stall_every_bytes: size_bytes / (stalls + 1) + 1,
        stall: STALL,
    };
    let figures = attempt((seed, size_bytes), |place, metadata| run_slow(&slow, place, metadata))?;
    println!("{figures}");
    let least = STALL * u32::try_from(stalls)?;
    if figures.took < least {
        return Err(format!("{:?} is less than all stalls together", figures.took).into());
    }
    Ok(ExitCode::SUCCESS)
}

/// Has the file of this seed and length sent to a new server, and compares what comes back.
fn attempt(
    (seed, size_bytes): (u64, u64),
    send: impl FnOnce(&Place, &[(&str, &[u8])]) -> Result<Figures, CutsError>,
) -> Result<Figures, Failure> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(&folder.path().join("data"), &[])?;
    let device_uuid = phone_device_uuid(EMAIL, PASSWORD);
    let body =
        json!({"email": EMAIL, "password": PASSWORD, "device_uuid": device_uuid}).to_string();
    let request = Request::new("POST", "/api/register")
        .header("Content-Type", "application/json")
        .body(Body::Bytes(body.as_bytes()));
    let answer = Client::new(server.address()).send(request)?.json()?;
    let token = answer["token"].as_str().unwrap_or_default();
    let headers = vec![
        ("Authorization".to_owned(), format!("Bearer {token}")),
        ("X-Device-UUID".to_owned(), device_uuid),
    ];
    let place = Place { address: server.address(), path: "/api/v2/tus".into(), headers };
    let wanted = hex::encode(SeededFile::new(seed, size_bytes).digest());
    let metadata: [(&str, &[u8]); 2] = [("filename", b"cut.mp4"), ("digest", wanted.as_bytes())];
    let figures = send(&place, &metadata)?;
    let asset = figures.state.asset.clone().ok_or("the finished upload names no asset")?;
    let request = Request::new("GET", format!("/api/v2/library/assets/{asset}/original"))
        .headers(&place.headers);
    let mut hasher = Hashing::default();
    let head = Client::new(server.address()).send_into(request, &mut hasher)?;
    if head.status != 200 || hasher.digest() != wanted {
        return Err("the file that came back differs".into());
    }
    Ok(figures)
}

/// A sink that keeps only the digest.
#[derive(Default)]
struct Hashing(sha2::Sha256);

impl Hashing {
    fn digest(self) -> String {
        use sha2::Digest;
        hex::encode(self.0.finalize())
    }
}

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        use sha2::Digest;
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
