//! The blind relay on the native wire, `/api/v2/relay`. The server keeps sealed objects by the SHA-256 of their bytes
//! and the order of each writer's segments; it can open none of them.
//!
//! Binary bodies: ids are raw 32 bytes one after the other; objects in a batch are each preceded by their length as
//! unsigned 32-bit little-endian.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Whose chain a segment belongs to (`POST /relay/segments`): 32 hexadecimal digits.
pub const WRITER_HEADER: &str = "photosync-writer";
/// Number of a segment in its chain, or of a keyring (`POST /relay/segments`, `PUT` and `GET /relay/keyring`).
pub const SEQUENCE_HEADER: &str = "photosync-sequence";

/// Bytes of the largest object.
pub const MAX_OBJECT_BYTES: u64 = 24 << 20;
/// Bytes of the largest batch of objects.
pub const MAX_BATCH_BYTES: u64 = 64 << 20;
/// Most objects of one batch.
pub const MAX_BATCH_OBJECTS: usize = 1000;
/// Most ids that one segment makes live: those of 10,000 originals, and of a few videos of a terabyte.
pub const MAX_LIVE_IDS: usize = 1_000_000;
/// Most rows of one page of a listing.
pub const MAX_PAGE_ROWS: i64 = 10_000;

/// What `POST /relay/have` answers for an id that is held whole.
pub const HELD: u8 = 0;
/// … for one that is not: send it.
pub const MISSING: u8 = 1;

/// The newest segment of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RelayHead {
    /// Whose chain, 32 hexadecimal digits.
    pub writer: String,
    /// Number of the segment, from 1.
    pub sequence: u64,
    /// Its id.
    pub id: Digest,
}

/// `GET /relay/heads`: everything a client needs to know that nothing changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RelayHeads {
    /// One for each chain.
    pub heads: Vec<RelayHead>,
    /// The newest keyring; absent before `relay init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyring: Option<RelayKeyring>,
}

/// Which keyring is the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RelayKeyring {
    /// Its number, from 1.
    pub sequence: u64,
    /// Its id.
    pub id: Digest,
}

/// `GET /relay/segments?writer=…&after=…`: a chain from a number on, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RelaySegments {
    /// At most [`MAX_PAGE_ROWS`]; ask again from the last one on until there are none.
    pub segments: Vec<RelayHead>,
}

/// `GET /relay/objects?after=…`: every object that is held, in order of id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RelayObjects {
    /// At most [`MAX_PAGE_ROWS`]; ask again after the last one until there are none.
    pub objects: Vec<RelayObject>,
}

/// One object in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RelayObject {
    /// SHA-256 of its bytes.
    pub id: Digest,
    /// Its length.
    pub size_bytes: u64,
    /// `C` chunk, `M` manifest, `S` segment, `K` keyring, as its clear head says; absent for an object of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<char>,
}

/// What a batch of objects became.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RelayStored {
    /// Ids of all objects of the batch, in its order. All are durable.
    pub ids: Vec<Digest>,
    /// How many of them were there already.
    pub known: usize,
}
