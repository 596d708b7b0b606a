//! Looks for what could be wrong with a server. Each finding that is not fine names a way out.
//!
//! Two parts. [`examine`] looks at the data and at what the process that holds it can do, and is carried out by that
//! process: the running server (`control::Command::Doctor`), which may see, write and open other things than a command
//! beside it, or the command itself when no server runs. [`reach`], [`host`] and [`public`] look from outside and are the
//! command's. Nothing is changed, and what is tried on a disk is removed again. Everything here blocks.

mod certificate;
mod data;
pub mod host;
mod index;
mod judge;
pub mod port_owner;
pub mod public;
mod queries;
pub mod reach;
mod storage;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use photosync_protocol::findings::Finding;
use serde::{Deserialize, Serialize};

use crate::boot::App;
use crate::clock::Clock;
use crate::config::Config;

/// What a server shows to others, as a command needs it to look from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Sockets it listens on or would listen on, HTTPS ones included.
    pub listening: Vec<SocketAddr>,
    /// `server.public_url`.
    pub public_url: Option<String>,
    /// Whether `auth.trusted_proxies` names a proxy.
    pub trusts_a_proxy: bool,
    /// `discovery.enabled`.
    pub discovers: bool,
    /// Fingerprint of its key; empty if no server runs.
    pub fingerprint: String,
    /// Version of its program.
    pub version: String,
    /// Its process.
    pub pid: u32,
}

/// What the process that holds the data found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    /// In the order in which they are told.
    pub findings: Vec<Finding>,
    /// For those who look from outside.
    pub shown: Shown,
}

/// Whether a server that runs or one that does not is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// This process is the server.
    Runs,
    /// Nobody holds the data.
    Stopped,
}

impl Shown {
    /// What a server with this configuration would show.
    pub fn planned(config: &Config) -> Self {
        let has_https = config.https_listener || config.force_redirect;
        let https = config.hosts.iter().filter(|_| has_https);
        let https = https.map(|host| SocketAddr::new(*host, config.https_port));
        let plain = config.hosts.iter().map(|host| SocketAddr::new(*host, config.port));
        Self {
            listening: plain.chain(https).collect(),
            public_url: config.public_url.clone(),
            trusts_a_proxy: !config.trusted_proxies.is_empty(),
            discovers: config.discovery,
            fingerprint: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: 0,
        }
    }

    /// What this server shows.
    pub fn of(app: &App) -> Self {
        Self {
            listening: app.presence.listening().to_vec(),
            fingerprint: app.identity.fingerprint().to_owned(),
            pid: std::process::id(),
            ..Self::planned(&app.config)
        }
    }
}

/// Looks at the data of `config` and at what this process can do with it.
pub fn examine(config: &Config, clock: &Clock, server: Server) -> Vec<Finding> {
    let mut findings = match data::folder(config, server) {
        data::Folder::Usable(finding) => vec![finding],
        data::Folder::Closed(finding) => return vec![finding],
    };
    findings.extend(data::secrets(config));
    let (index, database) = index::look(config, server);
    findings.extend(storage::look(config, index.as_ref()));
    findings.push(database);
    findings.push(index::clock(clock, index.as_ref()));
    findings.push(certificate::look(config, clock));
    findings.push(index::accounts(config, index.as_ref()));
    if let Some(index) = &index {
        findings.push(index::backup(clock, index));
        findings.push(index::scrub(config, clock, index));
    }
    findings.push(host::media(config));
    if server == Server::Runs {
        findings.extend(host::limits(config));
    }
    findings
}
