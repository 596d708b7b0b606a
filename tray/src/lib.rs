//! The tray app: starts the server of this computer, keeps it running, and shows how a phone reaches it.
//!
//! Read in this order: [`model`] (what happens and what follows from it, without touching anything), [`menu`] (what is
//! shown of it), [`app`] (the loop), then the edges: [`server_process`] and [`control`] (the server),
//! [`client_process`] (this computer's own backup), [`network`], [`edges`] (everything else), [`native`] (the icon).

pub mod addresses;
pub mod app;
pub mod awake;
pub mod backup_menu;
pub mod budget;
pub mod client_process;
pub mod control;
pub mod edges;
pub mod folders;
pub mod instance;
pub mod kept;
pub mod launcher;
pub mod log;
pub mod login;
pub mod menu;
pub mod model;
pub mod moment;
pub mod native;
pub mod network;
pub mod old_data;
pub mod port_owner;
pub mod quiet;
#[cfg(windows)]
mod registry;
pub mod server_process;
pub mod task;
pub mod texts;
pub mod updater;
