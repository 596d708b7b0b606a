//! From a file to sealed chunks and a manifest: one pass over its bytes.

use photosync_protocol::digest::Digest;
use photosync_protocol::format::chunk::{CHUNK_BYTES, Sealer};
use photosync_protocol::format::keys::DeviceKeys;
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::Kind;
use photosync_protocol::v2::claims::Claims;
use tokio_util::sync::CancellationToken;

use super::refused;
use super::store::Object;
use crate::backup::{Hashed, Opened, changing};
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

/// Bytes of one file in their order, wherever they come from. Blocks.
pub trait Source {
    /// The file as it was when reading began.
    fn file(&self) -> &Found;
    /// Takes bytes until the buffer is full or the file ends; answers how many.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize>;
    /// Digest of all of them, and when reading began; the error `changing` if the file changed meanwhile.
    fn finish(self) -> Result<Hashed>;
}

impl Source for Opened {
    fn file(&self) -> &Found {
        self.file()
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.fill(buffer)
    }

    fn finish(self) -> Result<Hashed> {
        let path = self.file().path.clone();
        self.finish()?.ok_or_else(|| changing(&path))
    }
}

/// Seals a file; `give` gets every object, the manifest last. `claims` says what there is to say of it. Blocks.
pub fn seal_file(
    sealer: &mut Sealer,
    keys: &DeviceKeys,
    mut source: impl Source,
    claims: Claims,
    stop: &CancellationToken,
    give: &mut dyn FnMut(Object) -> Result<()>,
) -> Result<Sealed> {
    let (epoch, epoch_keys) = keys.current();
    let mut chunks = Vec::new();
    loop {
        if stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        let count = source.fill(sealer.data_mut())?;
        if count == 0 {
            break;
        }
        let sealed = sealer.seal(count, epoch, epoch_keys);
        chunks.push(sealed.id);
        give((Kind::Chunk, sealed.id, sealed.bytes.to_vec()))?;
        if count < CHUNK_BYTES {
            break;
        }
    }
    let Hashed { file, digest, read_at_ns } = source.finish()?;
    let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let manifest = Manifest { digest, size_bytes: file.size_bytes, name, claims, chunks };
    let sealed = manifest.seal(keys).map_err(|bad| refused(file.path.display(), bad));
    let (id, object) = sealed?;
    give((Kind::Manifest, id, object))?;
    Ok(Sealed { file, read_at_ns, id, manifest })
}
