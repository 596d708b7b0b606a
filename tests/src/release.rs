//! Signs releases: inside an archive, as the updater checks it, and the manifest of a folder. Used by `scripts/package`
//! and by the update drill; no product can sign.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zipsign_api::SigningKey;
use zipsign_api::sign::copy_and_sign_tar;

/// What the PKCS#8 form of an Ed25519 private key begins with (RFC 8410 §7); the seed follows.
const PRIVATE_PREFIX: &[u8] = &[
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// What the DER form of an Ed25519 public key begins with (RFC 8410 §10.1).
const PUBLIC_PREFIX: &[u8] =
    &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The private key of releases.
pub struct Signer {
    seed: [u8; 32],
}

impl Signer {
    /// The key that is made of `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Signer {
        Signer { seed }
    }

    /// Reads a private key as `openssl genpkey -algorithm ed25519` writes it.
    pub fn read(path: &Path) -> io::Result<Signer> {
        let text = fs::read_to_string(path)?;
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let wrong =
            || io::Error::other(format!("{} is no Ed25519 private key in PEM", path.display()));
        let der = STANDARD.decode(body.trim()).map_err(|_| wrong())?;
        let seed = der.strip_prefix(PRIVATE_PREFIX).and_then(|seed| seed.try_into().ok());
        Ok(Signer { seed: seed.ok_or_else(wrong)? })
    }

    fn pair(&self) -> io::Result<Ed25519KeyPair> {
        Ed25519KeyPair::from_seed_unchecked(&self.seed).map_err(io::Error::other)
    }

    /// The public key as install.sh and `PHOTOSYNC_RELEASE_KEY` have it.
    pub fn public_text(&self) -> io::Result<String> {
        let mut der = PUBLIC_PREFIX.to_vec();
        der.extend_from_slice(self.pair()?.public_key().as_ref());
        Ok(STANDARD.encode(der))
    }

    /// Appends a signature to a `.tar.gz` that counts under this file name only.
    pub fn sign_archive(&self, archive: &Path) -> io::Result<()> {
        let name = archive.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| io::Error::other("an archive needs a name"))?;
        let signed = archive.with_extension("signed");
        let mut input = BufReader::new(File::open(archive)?);
        let mut output = BufWriter::new(File::create(&signed)?);
        let key = SigningKey::from_bytes(&self.seed);
        copy_and_sign_tar(&mut input, &mut output, &[key], Some(name.as_bytes()))
            .map_err(|error| io::Error::other(format!("could not sign {name}: {error}")))?;
        output.flush()?;
        drop(output);
        fs::rename(signed, archive)
    }

    /// Writes `manifest.json` and `manifest.json.sig` of every archive in `folder`.
    pub fn write_manifest(&self, folder: &Path, sequence: u64, minimum: &str) -> io::Result<()> {
        let mut releases: Vec<Value> = Vec::new();
        for archive in archives(folder)? {
            let (name, version) = archive;
            let digest = hex::encode(Sha256::digest(fs::read(folder.join(&name))?));
            let asset = json!({"name": name, "url": name, "digest": format!("sha256:{digest}")});
            let known = releases.iter_mut().find(|release| release["version"] == *version);
            match known.and_then(|release| release["assets"].as_array_mut()) {
                Some(assets) => assets.push(asset),
                None => releases.push(json!({"version": version, "assets": [asset]})),
            }
        }
        self.write_manifest_of(
            folder,
            &json!({
                "schema": 1,
                "product": "photosync",
                "sequence": sequence,
                "minimum_version": minimum,
                "releases": releases,
            }),
        )
    }

    /// Writes and signs a manifest that says just this.
    pub fn write_manifest_of(&self, folder: &Path, manifest: &Value) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(manifest)?;
        fs::write(folder.join("manifest.json"), &text)?;
        fs::write(folder.join("manifest.json.sig"), self.pair()?.sign(&text))
    }
}

/// Name and version of every archive in `folder`, sorted.
fn archives(folder: &Path) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = PathBuf::from(entry?.file_name()).to_string_lossy().into_owned();
        let inner = name.strip_prefix("photosync-").and_then(|name| name.strip_suffix(".tar.gz"));
        // A version may hold a minus; what follows it begins with the name of a processor.
        let version = inner.and_then(|inner| {
            let at = ["-x86_64-", "-aarch64-", "-armv7-", "-riscv64gc-"]
                .iter()
                .find_map(|cpu| inner.find(cpu));
            inner.get(..at?)
        });
        if let Some(version) = version.map(str::to_owned) {
            found.push((name, version));
        }
    }
    found.sort();
    Ok(found)
}
