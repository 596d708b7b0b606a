//! Backs photos up to a PhotoSync server, brings them back, and proves that they are safe.
//!
//! Read in this order: [`profile`] and [`credentials`] (who this device is), [`trust`] and [`connection`] (talking to
//! the right server; [`elsewhere`] if it moved), [`scan`] and [`cache`] (what is here), [`settling`] and [`sending`]
//! (what the server needs), [`backup`], [`together`] (a backup to a server and one into
//! a relay that read every file once). Everything that happens is told to a [`report::Report`].

pub mod address;
pub mod backup;
pub mod cache;
pub mod connection;
pub mod credentials;
mod delivery;
pub mod discovery;
pub mod doctor;
pub mod duplicates;
mod durable;
pub mod elsewhere;
pub mod endpoints;
pub mod error;
pub mod keystore;
pub mod listing;
pub mod meter;
pub mod pause;
pub mod profile;
pub mod relay;
pub mod report;
pub mod restore;
pub mod scan;
pub mod sending;
pub mod settling;
pub mod signing_in;
pub mod together;
pub mod trust;
pub mod verify;
pub mod watch;
