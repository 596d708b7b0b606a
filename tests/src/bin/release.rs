//! `photosync-release`: what `scripts/package` signs with. `archive --key KEY.pem FILE` puts a signature into an archive,
//! `manifest --key KEY.pem --sequence N --minimum VERSION FOLDER` writes and signs the manifest of a folder, and
//! `public --key KEY.pem` prints the public key as builds want it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use photosync_tests::release::Signer;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("photosync-release: {message}");
            ExitCode::from(64)
        }
    }
}

fn run() -> Result<(), String> {
    let mut words = std::env::args().skip(1);
    let what = words.next().ok_or("say archive, manifest or public")?;
    let (mut options, mut places) = (BTreeMap::new(), Vec::new());
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some(name) => {
                let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
                options.insert(name.to_owned(), value);
            }
            None => places.push(word),
        }
    }
    let option = |name: &str| options.get(name).ok_or_else(|| format!("--{name} is missing"));
    let place = || places.first().map(Path::new).ok_or("a file or a folder is missing");
    let key = option("key")?;
    let signer = Signer::read(Path::new(key)).map_err(|error| format!("{key}: {error}"))?;
    let done = match what.as_str() {
        "archive" => signer.sign_archive(place()?),
        "manifest" => {
            let sequence = option("sequence")?;
            let number =
                sequence.parse().map_err(|_| format!("--sequence {sequence} is no number"))?;
            signer.write_manifest(place()?, number, option("minimum")?)
        }
        "public" => signer.public_text().map(|text| println!("{text}")),
        other => return Err(format!("{other} is neither archive, manifest nor public")),
    };
    done.map_err(|error| error.to_string())
}
