//! The server as a library. Read in this order: [`boot`] (what a server is made of), [`serve`] (how it runs),
//! [`http`] (every route on one page), then the capabilities.

pub mod boot;
pub mod serve;

pub mod http;

pub mod accounts;
pub mod albums;
pub mod library;
pub mod media;
pub mod overview;
pub mod pairing;
pub mod relay;
pub mod uploads;

pub mod control;
pub mod doctor;
pub mod legacy;
pub mod updates;
pub mod upkeep;

pub mod auth;
pub mod blobs;
pub mod bus;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod fault;
pub mod metrics;
pub mod secrets;
