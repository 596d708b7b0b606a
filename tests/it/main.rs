//! Black-box tests of the built binaries, and the guards of the source: one program.

#[cfg(target_os = "linux")]
mod acme;
mod admin;
mod architecture;
mod backups;
mod browsers;
mod crash;
#[cfg(unix)]
mod doctor;
mod documented;
mod faults;
mod foreign;
#[cfg(unix)]
mod import;
mod library;
#[cfg(target_os = "linux")]
mod media;
mod model;
#[cfg(target_os = "linux")]
mod outside;
#[cfg(target_os = "linux")]
mod proxies;
#[cfg(target_os = "linux")]
mod service;
mod shared;
mod stand;
mod sync;
mod tokens;
#[cfg(target_os = "linux")]
mod updates;
mod upgrade;
mod weaknesses;
mod web;
mod wire;
