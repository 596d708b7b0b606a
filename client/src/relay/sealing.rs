//! From a file to sealed chunks and a manifest: one pass over its bytes.

use std::fs::File;
use std::io::Read;

use photosync_protocol::digest::Digest;
use photosync_protocol::format::chunk::{CHUNK_BYTES, Sealer};
use photosync_protocol::format::keys::DeviceKeys;
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::Kind;
use photosync_protocol::v2::claims::Claims;
use sha2::Digest as _;
use tokio_util::sync::CancellationToken;

use super::refused;
use super::store::Object;
use crate::backup::{changing, now_ns};
use crate::error::{Error, Result};
use crate::scan::Found;

/// A file that was sealed while it did not change.
pub struct Sealed {
    /// The file as it is.
    pub file: Found,
    /// When reading began, nanoseconds since 1970.
    pub read_at_ns: i64,
    /// Id of its manifest.
    pub id: Digest,
    /// What the manifest says.
    pub manifest: Manifest,
}

/// Seals a file; `give` gets every object, the manifest last. `claims` says what there is to say of it. Blocks.
pub fn seal_file(
    sealer: &mut Sealer,
    keys: &DeviceKeys,
    file: &Found,
    claims: Claims,
    stop: &CancellationToken,
    give: &mut dyn FnMut(Object) -> Result<()>,
) -> Result<Sealed> {
    let failed = |cause: std::io::Error| Error::file("read", &file.path, &cause);
    let mut source = File::open(&file.path).map_err(failed)?;
    let before = source.metadata().map_err(failed)?;
    if !before.is_file() {
        return Err(Error::file("read", &file.path, &"it is no file any more"));
    }
    let (file, read_at_ns) = (Found::of(file.path.clone(), &before), now_ns());
    let (epoch, epoch_keys) = keys.current();
    let mut hasher = sha2::Sha256::new();
    let (mut chunks, mut length) = (Vec::new(), 0);
    loop {
        if stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        let count = fill(&mut source, sealer.data_mut()).map_err(failed)?;
        if count == 0 {
            break;
        }
        hasher.update(&sealer.data_mut()[..count]);
        length += count as u64;
        let sealed = sealer.seal(count, epoch, epoch_keys);
        chunks.push(sealed.id);
        give((Kind::Chunk, sealed.id, sealed.bytes.to_vec()))?;
        if count < CHUNK_BYTES {
            break;
        }
    }
    let after = std::fs::metadata(&file.path).map_err(failed)?;
    if length != file.size_bytes || !file.is_unchanged(&after) {
        return Err(changing(&file.path));
    }
    let digest = Digest(hasher.finalize().into());
    let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let manifest = Manifest { digest, size_bytes: length, name, claims, chunks };
    let sealed = manifest.seal(keys).map_err(|bad| refused(file.path.display(), bad));
    let (id, object) = sealed?;
    give((Kind::Manifest, id, object))?;
    Ok(Sealed { file, read_at_ns, id, manifest })
}

/// Reads until the buffer is full or the file ends.
fn fill(source: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match source.read(&mut buffer[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}
