//! The composition root: turns a [`Config`] into an [`App`], or says why it cannot.

mod error;
mod owner;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use photosync_protocol::process::Exit;
use tokio::sync::{Notify, RwLock, Semaphore, watch};

use crate::accounts::queries::{find_fact, set_fact};
use crate::accounts::web::Setup;
use crate::auth::aliases::Aliases;
use crate::auth::identity::Identity;
use crate::auth::passwords::{PasswordCost, Passwords};
use crate::auth::throttle::Window;
use crate::auth::tokens::Tokens;
use crate::auth::{random_bytes, random_id};
use crate::blobs::volume::{self, VolumeLock};
use crate::blobs::{LocalStore, create_private_dir};
use crate::bus::Changes;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{self, Db, DbError, DbSettings};
use crate::library::cursors::Cursors;
use crate::library::downloads::Downloads;
use crate::library::events::Listeners;
use crate::library::settled::Sets;
use crate::media::Media;
use crate::metrics::Metrics;
use crate::pairing::presence::Presence;
use crate::secrets::Secrets;
use crate::updates::trial;
use crate::upkeep::verify::Verifier;
use crate::uploads::reservations::{Names, Stripes};
use crate::uploads::tus::{self, Registry};

pub use error::BootError;

/// The fact under which this server remembers who it is.
const SERVER_ID_FACT: &str = "server_id";

/// Everything a service needs. One per process.
pub type App = Arc<AppState>;

/// See [`App`].
#[expect(missing_docs, reason = "each field is documented at its type")]
pub struct AppState {
    pub config: Config,
    pub clock: Clock,
    pub db: Db,
    pub originals: LocalStore,
    pub relay: LocalStore,
    pub relay_chunks: LocalStore,
    pub secrets: Secrets,
    pub passwords: Passwords,
    pub tokens: Tokens,
    pub aliases: Aliases,
    pub identity: Identity,
    pub presence: Presence,
    pub setup: Setup,
    pub sign_in_calls: Window<(IpAddr, &'static str)>,
    pub sign_in_failures: Window<String>,
    pub reset_failures: Window<String>,
    pub names: Names,
    pub stripes: Stripes,
    pub tus: Registry,
    pub pages: Cursors,
    pub changes: Changes,
    pub listeners: Listeners,
    pub downloads: Downloads,
    pub sets: Sets,
    pub verifier: Verifier,
    pub media: Media,
    pub metrics: Metrics,
    /// Manifests are the only large bodies held in memory: two at once.
    pub manifest_bodies: Semaphore,
    trial: Option<trial::Running>,
    is_on_trial: AtomicBool,
    newer_version: watch::Sender<Option<String>>,
    /// Held for reading by a backup, for writing by whatever removes files for good.
    pub lease: RwLock<()>,
    upkeep: Notify,
    stop: watch::Sender<bool>,
    _locks: Vec<VolumeLock>,
}

impl AppState {
    /// Something is waiting for upkeep: a trash to move, an account to erase.
    pub fn wake_upkeep(&self) {
        self.upkeep.notify_one();
    }

    /// An original arrived that the media worker has not looked at.
    pub fn wake_media(&self) {
        self.media.wake();
    }

    /// Ends [`serve`](crate::serve::serve) and everything that waits for [`Self::stop_wanted`].
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether [`Self::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits for [`Self::stop`].
    pub async fn stop_wanted(&self) {
        let mut wanted = self.stop.subscribe();
        // The sender lives as long as this.
        let _ = wanted.wait_for(|wanted| *wanted).await;
    }

    /// Whether this version has not proved itself yet, and so stores nothing.
    pub fn is_on_trial(&self) -> bool {
        self.is_on_trial.load(Ordering::SeqCst)
    }

    /// The trial that this start began.
    pub fn trial(&self) -> Option<&trial::Running> {
        self.trial.as_ref()
    }

    /// From now on everything is stored as usual; what the start had put off is done.
    pub async fn end_trial(&self) {
        self.db.release();
        if let Err(error) =
            tidy_uploads(&self.db, [&self.originals, &self.relay, &self.relay_chunks], false).await
        {
            tracing::error!(%error, "unfinished uploads were not looked after; the next start does it");
        }
        self.is_on_trial.store(false, Ordering::SeqCst);
    }

    /// The newer version that is known to be there.
    pub fn newer_version(&self) -> Option<String> {
        self.newer_version.borrow().clone()
    }

    /// Notes the newer version that is there, or that there is none.
    pub fn set_newer_version(&self, version: Option<String>) {
        self.newer_version.send_replace(version);
    }

    /// Waits for [`Self::wake_upkeep`].
    pub async fn upkeep_wanted(&self) {
        self.upkeep.notified().await;
    }
}

/// What a test or an operator may choose besides the configuration.
pub struct BootOptions {
    /// The clock.
    pub clock: Clock,
    /// Work factors of passwords; tests take cheap ones.
    pub password_cost: PasswordCost,
    /// Where the identity key comes from.
    pub identity: IdentityKey,
    /// Open data that belongs to another account although this is root: only for data that root has put there for itself, as
    /// a backup that is tried out.
    pub allow_foreign_owner: bool,
    /// The update that the program came by, if it has yet to prove itself.
    pub attempt: Option<trial::Attempt>,
    /// Leave what uploads of an earlier run left half-done.
    pub keeps_staged: bool,
    /// This program, to be started as a media worker; `None`: nothing is looked at.
    pub media_program: Option<PathBuf>,
    /// Start although `uploads/` holds folders and the database does not exist: only `rebuild` and an import do.
    pub allow_lost_database: bool,
}

impl Default for BootOptions {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            password_cost: PasswordCost::RECOMMENDED,
            identity: IdentityKey::Unneeded,
            allow_foreign_owner: false,
            attempt: None,
            keeps_staged: false,
            media_program: None,
            allow_lost_database: false,
        }
    }
}

/// Where the identity key comes from. Only who serves shows it to anybody: pairing and receipts need a server that runs.
#[derive(Clone, Copy)]
pub enum IdentityKey {
    /// The one in `<data>/secrets` if it is there, else one that is written nowhere: commands must not leave a key beside
    /// the one that a service manager hands to the server.
    Unneeded,
    /// The one in `<data>/secrets`, made if it is not there.
    Kept,
    /// This seed; the folder gets none.
    HandedOver([u8; 32]),
}

/// Opens the data of `config`, making what is not there yet.
pub async fn boot(config: Config, options: BootOptions) -> Result<App, BootError> {
    let storage = |what: &str, path: &Path| {
        let (what, path) = (what.to_owned(), path.to_owned());
        move |error: std::io::Error| {
            BootError::new(Exit::Storage, format!("could not {what} {}: {error}", path.display()))
        }
    };
    // First of all: what root makes, or only opens (SQLite makes files beside a database), their owner cannot open.
    if !options.allow_foreign_owner {
        owner::require_own_data(&config.data_dir)?;
    }
    let chunks_root = config.relay_chunks.clone().unwrap_or_else(|| config.relay.clone());
    let roots = roots(&config);
    create_private_dir(&config.data_dir).map_err(storage("create", &config.data_dir))?;
    require_no_reference_data(&config)?;

    let locks = roots.keys().map(|root| volume::lock(root)).collect::<Result<Vec<_>, _>>()?;

    if !options.allow_lost_database
        && std::fs::metadata(&config.database).map_or(0, |file| file.len()) == 0
        && has_account_folders(&config.uploads)
    {
        return Err(BootError::new(
            Exit::Storage,
            format!(
                "the database {} is missing, but {} holds photos. To make a new index from them, run:\n  \
                 photosync-server rebuild --data {}",
                config.database.display(),
                config.uploads.display(),
                config.data_dir.display()
            ),
        ));
    }
    if let Some(parent) = config.database.parent() {
        create_private_dir(parent).map_err(storage("create", parent))?;
        require_local_disk(parent)?;
    }
    let trial = trial::begin(&config.data_dir, &config.database, options.attempt.as_ref())?;
    db::migrate(&config.database, options.clock.now_ms(), |copy| {
        trial::note_copy(trial.as_ref(), copy)
    })?;
    if let Some(migrated) = options.attempt.and_then(|attempt| attempt.serving) {
        // Nobody waits any more: then nobody is in a hurry.
        let _ = migrated.send(());
    }
    crate::fault::point("update.boot").map_err(storage("open", &config.data_dir))?;
    let db = Db::start(&DbSettings {
        path: config.database.clone(),
        readers: 2,
        queue_wait: config.queue_wait,
    })?;
    require_volumes(&db, &roots).await?;

    let server_id = ensure_server_id(&db).await?;
    if trial.is_some() {
        db.hold();
    }
    let secrets = Secrets::open(&config.data_dir).map_err(storage("open", &config.data_dir))?;
    let jwt_secret = match &config.jwt_secret {
        Some(secret) => secret.clone().into_bytes(),
        None => secrets
            .get_or_make("jwt")
            .map_err(storage("make a key in", &config.data_dir))?
            .into_bytes(),
    };
    let key_of = |name: &str| -> Result<[u8; 32], BootError> {
        let made = secrets.get_or_make(name).map_err(storage("make a key in", &config.data_dir))?;
        let mut key = [0; 32];
        hex::decode_to_slice(&made, &mut key).map_err(|error| {
            BootError::new(Exit::Storage, format!("the key {name} is damaged: {error}"))
        })?;
        Ok(key)
    };
    let alias_key = key_of("aliases")?;
    let seed = match options.identity {
        IdentityKey::HandedOver(handed) => {
            if secrets.path("identity").exists() && key_of("identity")? != handed {
                tracing::warn!(
                    "the identity key that was handed over is not the one in {}: devices that pinned that one must \
                     be paired again",
                    secrets.path("identity").display()
                );
            }
            handed
        }
        IdentityKey::Unneeded if !secrets.path("identity").exists() => random_bytes(),
        IdentityKey::Unneeded | IdentityKey::Kept => key_of("identity")?,
    };
    let identity = Identity::from_seed(&seed)
        .ok_or_else(|| BootError::new(Exit::Storage, "the identity key cannot be used"))?;
    let start_store = |root: &Path| {
        LocalStore::start(root.to_owned(), config.disk_tasks, config.reserve_bytes)
            .map_err(storage("use", root))
    };
    let originals = start_store(&config.uploads)?;
    let relay = start_store(&config.relay)?;
    let relay_chunks =
        if chunks_root == config.relay { relay.clone() } else { start_store(&chunks_root)? };
    // A version on trial stores and removes nothing; it is done when that is over.
    if trial.is_none() {
        tidy_uploads(&db, [&originals, &relay, &relay_chunks], options.keeps_staged).await?;
    }
    Ok(Arc::new(AppState {
        passwords: Passwords::new(options.password_cost, config.queue_wait)?,
        tokens: Tokens::new(&jwt_secret),
        aliases: Aliases::new(&alias_key),
        presence: Presence::new(server_id, config.server_name.clone()),
        setup: Setup::default(),
        identity,
        sign_in_calls: Window::new(config.throttle_max, config.throttle_window_ms),
        sign_in_failures: Window::new(u32::MAX, config.throttle_window_ms),
        reset_failures: Window::new(u32::MAX, Duration::from_secs(3600).as_millis() as i64),
        clock: options.clock,
        db,
        originals,
        relay,
        relay_chunks,
        secrets,
        names: Names::default(),
        stripes: Stripes::default(),
        tus: Registry::default(),
        pages: Cursors::default(),
        changes: Changes::default(),
        listeners: Listeners::default(),
        downloads: Downloads::default(),
        sets: Sets::default(),
        verifier: Verifier::default(),
        media: Media::new(&config, options.media_program),
        metrics: Metrics::default(),
        manifest_bodies: Semaphore::new(2),
        is_on_trial: AtomicBool::new(trial.is_some()),
        trial,
        newer_version: watch::Sender::new(None),
        lease: RwLock::new(()),
        upkeep: Notify::new(),
        stop: watch::Sender::new(false),
        _locks: locks,
        config,
    }))
}

/// Goes on with uploads that an earlier run left unfinished, and removes what nobody can go on with.
async fn tidy_uploads(
    db: &Db,
    stores: [&LocalStore; 3],
    keeps_staged: bool,
) -> Result<(), BootError> {
    let resumable = tus::recover(db, stores[0]).await?;
    for store in stores.into_iter().filter(|_| !keeps_staged) {
        let swept = store.sweep_staging(&resumable).map_err(|error| {
            let text = format!("could not sweep {}: {error}", store.root().display());
            BootError::new(Exit::Storage, text)
        })?;
        if swept > 0 {
            tracing::info!(swept, "removed uploads that an earlier run left unfinished");
        }
    }
    Ok(())
}

/// Every storage root with what its id is called in the database.
pub(crate) fn roots(config: &Config) -> BTreeMap<PathBuf, &'static str> {
    let chunks_root = config.relay_chunks.as_ref().unwrap_or(&config.relay);
    [
        (config.data_dir.clone(), "data"),
        (config.uploads.clone(), "uploads"),
        (config.relay.clone(), "relay"),
        (chunks_root.clone(), "relay_chunks"),
    ]
    .into_iter()
    .rev()
    .collect()
}

/// Compares every root's marker with the database, and notes the ids of new ones.
async fn require_volumes(db: &Db, roots: &BTreeMap<PathBuf, &str>) -> Result<(), BootError> {
    for (root, role) in roots {
        let fact = format!("volume:{role}");
        let name = fact.clone();
        let known: Option<String> =
            db.read::<_, DbError, _>(move |tx| find_fact(tx, &name)).await?;
        let id = volume::require(root, known.as_deref())?;
        if known.is_none() {
            db.write::<_, DbError, _>(move |tx| set_fact(tx, &fact, &id)).await?;
        }
    }
    Ok(())
}

/// The server's id, made at the first start.
async fn ensure_server_id(db: &Db) -> Result<String, BootError> {
    if let Some(known) = db.read::<_, DbError, _>(|tx| find_fact(tx, SERVER_ID_FACT)).await? {
        return Ok(known);
    }
    let fresh = random_id();
    let server_id = fresh.clone();
    db.write::<_, DbError, _>(move |tx| set_fact(tx, SERVER_ID_FACT, &fresh)).await?;
    Ok(server_id)
}

/// Data of the reference server must be imported, not opened: its folders are named after password hashes.
fn require_no_reference_data(config: &Config) -> Result<(), BootError> {
    let import = |what: &Path| {
        BootError::new(
            Exit::Configuration,
            format!(
                "{} holds data of the old server. Import it (nothing there is changed) with:\n  \
                 photosync-server import-legacy --db {} --uploads {} --data NEW_FOLDER\n\
                 and start this server on the new folder",
                what.display(),
                config.database.display(),
                config.uploads.display()
            ),
        )
    };
    if config.database.exists() && !db::is_ours(&config.database)? {
        return Err(import(&config.database));
    }
    let Ok(entries) = std::fs::read_dir(&config.uploads) else { return Ok(()) };
    let marked = volume::find_id(&config.uploads)?.is_some();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_uuid = name.to_str().is_some_and(|name| uuid::Uuid::try_parse(name).is_ok());
        if is_uuid && !marked && !entry.path().join(crate::blobs::OWNER_FILE).exists() {
            return Err(import(&config.uploads));
        }
    }
    Ok(())
}

pub(crate) fn has_account_folders(uploads: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(uploads) else { return false };
    entries.flatten().any(|entry| {
        entry.file_name().to_str().is_some_and(|name| uuid::Uuid::try_parse(name).is_ok())
    })
}

/// SQLite's log needs locks and shared memory that network file systems only pretend to have.
#[cfg(target_os = "linux")]
pub(crate) fn require_local_disk(folder: &Path) -> Result<(), BootError> {
    const NFS: i64 = 0x6969;
    const SMB: i64 = 0x517B;
    const SMB2: i64 = 0xFE53_4D42;
    const CIFS: i64 = 0xFF53_4D42;
    const FUSE: i64 = 0x6573_5546;
    let Ok(stat) = rustix::fs::statfs(folder) else { return Ok(()) };
    #[expect(
        clippy::unnecessary_cast,
        reason = "f_type is i64 on some architectures and u32 on others"
    )]
    let kind = stat.f_type as i64;
    if [NFS, SMB, SMB2, CIFS, FUSE].contains(&kind) {
        return Err(BootError::new(
            Exit::Configuration,
            format!(
                "{} lies on a network or FUSE file system, where the database would be damaged sooner or later; \
                 set storage.database to a local disk (originals may stay where they are)",
                folder.display()
            ),
        ));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn require_local_disk(_folder: &Path) -> Result<(), BootError> {
    Ok(())
}
