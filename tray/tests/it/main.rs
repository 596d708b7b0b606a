//! The tray program itself on a private session bus: its icon is found, read and clicked as a desktop does it, and the
//! server behind it is the real one. Linux only, as the icon is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(target_os = "linux")]
mod backup;
#[cfg(target_os = "linux")]
mod desk;
#[cfg(target_os = "linux")]
mod import;
#[cfg(target_os = "linux")]
mod life;
#[cfg(target_os = "linux")]
mod panel;
