//! The power-cut recorder: a shared library that is loaded into a process by `LD_PRELOAD` and logs
//! every change the process makes below one folder, every flush, and every answer it sends, in the
//! one order in which they happened. `photosync-powercut-replay` rebuilds from that log what a disk
//! may hold after the power fails; its first page tells how a test uses both.
//!
//! ```text
//! cargo build -p photosync-powercut
//! LD_PRELOAD=target/debug/libphotosync_powercut.so POWERCUT_ROOT=DIR POWERCUT_LOG=FILE PROGRAM …
//! ```
//!
//! * `POWERCUT_ROOT`: the folder; made if missing. What it holds at the start counts as durable.
//! * `POWERCUT_LOG`: the log; must not exist and must lie outside the folder.
//! * Without both variables nothing is recorded. Children of the process are not recorded.
//!
//! The order: a change and its record are made under one lock, so the log shows changes as they
//! took effect. A flush is logged when it begins and when it ended well, without the lock, so
//! that other threads go on; only what was logged before its beginning may count as durable. An
//! answer is logged *before* it is handed to the kernel: whatever it promises must be durable then.
//!
//! What cannot be seen: raw system calls written in assembly (rustix without `use-libc`), writes
//! through `mmap`, files made by `fopen` or `mkstemp`, reflinks by `ioctl`. A file that was *made*
//! unseen is noticed at its next use: the process ends with a message rather than with a log that
//! lies. `io_uring` and `openat2` are refused as unknown, so that programs fall back.
//!
//! Nobody links this crate: its symbols would stand in front of the C library's.
#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "standing in front of the C library is all this crate does")
)]

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod real;
#[cfg(target_os = "linux")]
mod recorder;
#[cfg(target_os = "linux")]
mod snapshot;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod system;
