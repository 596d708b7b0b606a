//! Every way in, and the one road they share.
//!
//! A way in (multipart, raw, later tus) turns a request into a [`Stage`](crate::blobs::Stage) and a name;
//! [`ingest::finish`] turns those into a held asset, or into nothing at all.

pub mod ingest;
pub mod reservations;

pub use ingest::{Arrived, Finished, finish};
