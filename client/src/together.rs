//! One backup to two destinations, a server and a relay, that reads each file once.
//!
//! Folders are looked through once. What both need is read once and given to both (see `delivery`); what only
//! one needs, it does by itself as always. Neither knows of the other: each keeps its own cache, its own counts, and its
//! own errors, and when one cannot go on the other is completed.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::backup::{self, Options, blocking, newest_first};
use crate::cache::Pending;
use crate::connection::Connection;
use crate::delivery::Reader;
use crate::error::{Error, Kind, Result};
use crate::meter::Meter;
use crate::profile::Profile;
use crate::relay::{self, Relay};
use crate::report::{BackupSummary, Destination, Event, Report};
use crate::scan::{self, Found};

/// How each destination ended.
pub struct Ended {
    /// The server.
    pub server: Result<BackupSummary>,
    /// The relay.
    pub relay: Result<BackupSummary>,
}

/// Backs up to both. `connection` and `relay` report each under its own [`Destination`]; what belongs to both and how
/// each ended is told to `report`. A limit of speed counts for each. An error here means that nothing was begun.
pub async fn run(
    connection: Result<Arc<Connection>>,
    relay: Result<&mut Relay>,
    profile: &Profile,
    options: &Options,
    report: &Arc<dyn Report>,
    stop: &tokio_util::sync::CancellationToken,
) -> Result<Ended> {
    let [server_meter, relay_meter] = [(); 2].map(|()| Meter::new(options.limit));
    let (looking, stopping) = (report.clone(), stop.clone());
    let (paths, rules) = (options.paths.clone(), options.rules.clone());
    let looked = blocking(move || scan::look(&paths, &rules, looking.as_ref(), &stopping)).await?;
    let parallel = options.parallel;
    let of_relay = looked.clone();
    let beginning_relay = async {
        let relay = relay?;
        let held = relay::backup::greet(relay).await?;
        relay::backup::begin(relay, held, parallel, relay_meter, of_relay).await
    };
    let beginning_server =
        async { backup::begin(connection?, profile, parallel, server_meter, looked).await };
    let (mut server, mut relay) = tokio::join!(beginning_server, beginning_relay);
    let shared = match (&mut server, &mut relay) {
        (Ok(server), Ok(relay)) => take_shared(&mut server.pending, &mut relay.pending),
        _ => Vec::new(),
    };
    let (reader, mut deliveries) = Reader::new(if shared.is_empty() { 0 } else { 2 }, stop.clone());
    let (for_relay, for_server) = (deliveries.pop(), deliveries.pop());
    let reading = async {
        match shared.is_empty() {
            true => Ok(()),
            false => blocking(move || reader.read_all(shared)).await,
        }
    };
    let to_server = async {
        match server {
            Ok(begun) => begun.finish(for_server).await,
            Err(error) => (BackupSummary::default(), Err(error)),
        }
    };
    let to_relay = async {
        match relay {
            Ok(begun) => begun.finish(for_relay).await,
            Err(error) => (BackupSummary { sealed: true, ..BackupSummary::default() }, Err(error)),
        }
    };
    let (read, server, relay) = tokio::join!(reading, to_server, to_relay);
    let ended = [(Destination::Server, server), (Destination::Relay, relay)]
        .map(|(destination, ended)| (destination, conclude(report, destination, ended, &read)));
    // Last comes what a person has to look after.
    for (destination, ended) in &ended {
        if let Err(Error { kind, code, message, hint }) = ended
            && *kind != Kind::Interrupted
        {
            let (reason, hint) = (message.clone(), hint.clone());
            report.event_of(*destination, &Event::Failed { code, reason, hint });
        }
    }
    let [(_, server), (_, relay)] = ended;
    if stop.is_cancelled() { Err(Error::interrupted()) } else { Ok(Ended { server, relay }) }
}

/// Takes out of both lists the files that stand in both, newest first.
fn take_shared(server: &mut Vec<Pending>, relay: &mut Vec<Pending>) -> Vec<Found> {
    let wanted: HashSet<&Path> = relay.iter().map(|pending| pending.file.path.as_path()).collect();
    // A large file with a known digest goes on with the upload that was begun before.
    let is_shared = |pending: &Pending| {
        wanted.contains(pending.file.path.as_path())
            && (pending.digest.is_none()
                || pending.file.size_bytes < crate::sending::RESUMABLE_BYTES)
    };
    let (shared, own): (Vec<_>, Vec<_>) = std::mem::take(server).into_iter().partition(is_shared);
    drop(wanted);
    *server = own;
    let mut shared: Vec<Found> = shared.into_iter().map(|pending| pending.file).collect();
    let taken: HashSet<&Path> = shared.iter().map(|file| file.path.as_path()).collect();
    relay.retain(|pending| !taken.contains(pending.file.path.as_path()));
    drop(taken);
    shared.sort_unstable_by(newest_first);
    shared
}

/// How one destination ended; its summary is reported if it ever looked at anything.
fn conclude(
    report: &Arc<dyn Report>,
    destination: Destination,
    ended: (BackupSummary, Result<()>),
    read: &Result<()>,
) -> Result<BackupSummary> {
    let (mut summary, ended) = ended;
    // Files that were never read are in nobody's summary.
    let ended = ended.and(read.clone());
    summary.complete &= ended.is_ok();
    if ended.is_ok() || summary.files > 0 {
        report.event_of(destination, &Event::BackupDone(summary.clone()));
    }
    ended.map(|()| summary)
}
