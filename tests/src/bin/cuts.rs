//! `photosync-cuts [MEBIBYTES] [CUTS] [SEED]`: sends one file by tus while its connection is cut at random bytes, and
//! says how much had to be sent twice. Exit code 1 if the file differs in the end or a limit is passed.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use photosync_tests::account::phone_device_uuid;
use photosync_tests::cuts::{Cuts, Figures, Place, run};
use photosync_tests::http::{Body, Client, Request};
use photosync_tests::seeded::SeededFile;
use photosync_tests::server::ServerProcess;
use serde_json::json;

const EMAIL: &str = "cuts@example.org";
const PASSWORD: &str = "correct horse 9";

/// What one cut may cost, and what half of them may cost at most.
const MOST_TWICE_BYTES: u64 = 1024 * 1024;
const MEDIAN_TWICE_BYTES: u64 = 64 * 1024;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Option<Vec<u64>> = words.iter().map(|word| word.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() <= 3) else {
        eprintln!(
            "photosync-cuts: three numbers at most: MEBIBYTES (300), CUTS (200), SEED (random)"
        );
        return ExitCode::from(64);
    };
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let cuts = Cuts {
        size_bytes: numbers.first().copied().unwrap_or(300) * 1024 * 1024,
        cuts: numbers.get(1).map_or(200, |count| usize::try_from(*count).unwrap_or(200)),
        seed: numbers.get(2).copied().unwrap_or(clock),
        piece_bytes: u64::MAX,
    };
    println!("{} MiB, {} cuts, seed {}", cuts.size_bytes >> 20, cuts.cuts, cuts.seed);
    match attempt(&cuts) {
        Ok(figures) => {
            println!("{figures}");
            let cheap = figures.most_sent_twice() <= MOST_TWICE_BYTES
                && figures.median_sent_twice() <= MEDIAN_TWICE_BYTES;
            if !cheap {
                eprintln!(
                    "photosync-cuts: more was sent twice than 1 MiB per cut, 64 KiB in the middle"
                );
            }
            ExitCode::from(u8::from(!cheap))
        }
        Err(failure) => {
            eprintln!("photosync-cuts: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn attempt(cuts: &Cuts) -> Result<Figures, Box<dyn std::error::Error>> {
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
    let wanted = hex::encode(SeededFile::new(cuts.seed, cuts.size_bytes).digest());
    let metadata: [(&str, &[u8]); 2] = [("filename", b"cut.mp4"), ("digest", wanted.as_bytes())];
    let figures = run(cuts, &place, &metadata)?;
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
