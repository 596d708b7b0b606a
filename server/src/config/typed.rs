//! Settings as types: parsed once, with an error that names the setting.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use photosync_protocol::config_names::{MIN_SECRET_BYTES, REFERENCE_JWT_SECRET};
use photosync_protocol::v2::admin::SettingShown;

use super::acme::{AcmeConfig, acme};
use super::resolve::{ConfigError, Resolved};

/// Who may register an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationMode {
    /// Private addresses without forwarding headers freely, everybody else by invitation.
    Auto,
    /// Everybody.
    Open,
    /// Only invited e-mails.
    Invite,
    /// Nobody.
    Closed,
}

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
    /// People on a terminal, JSON otherwise.
    Auto,
}

/// Certificate files.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// PEM chain.
    pub cert: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

/// Backups that the server makes by itself.
#[derive(Debug, Clone)]
pub struct Backups {
    /// Folder on another disk.
    pub target: PathBuf,
    /// Hours between two.
    pub every_hours: i64,
    /// How many are kept; `None`: all.
    pub keep: Option<usize>,
    /// Days between two restores on trial; 0: none.
    pub drill_days: i64,
}

/// Plans that old clients pay for.
#[derive(Debug, Clone)]
pub struct Plans {
    /// Whether they are enforced.
    pub enabled: bool,
    /// Bearer secret of the webhook.
    pub webhook_secret: Option<String>,
    /// Days of trial.
    pub trial_days: i64,
    /// Days of grace.
    pub grace_days: i64,
    /// Tolerance over a plan, bytes.
    pub margin_bytes: i64,
}

/// Everything `boot` and `serve` need to know.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each field is the setting of that name; protocol::config_names documents it"
)]
pub struct Config {
    /// Every setting as people may see it.
    pub shown: Vec<SettingShown>,
    pub data_dir: PathBuf,
    pub server_name: Option<String>,
    pub public_url: Option<String>,
    pub overdue_days: i64,
    pub discovery: bool,
    pub hosts: Vec<IpAddr>,
    pub hosts_are_explicit: bool,
    pub port: u16,
    pub max_connections: usize,
    pub tls: Option<TlsConfig>,
    pub https_listener: bool,
    pub https_port: u16,
    pub force_redirect: bool,
    pub redirect_port: Option<u16>,
    pub acme: Option<AcmeConfig>,
    pub database: PathBuf,
    pub uploads: PathBuf,
    pub relay: PathBuf,
    pub relay_chunks: Option<PathBuf>,
    pub capacity_file: PathBuf,
    pub reserve_bytes: u64,
    pub trash_days: i64,
    pub relay_grace_days: i64,
    pub scrub_days: i64,
    pub media_workers: usize,
    pub media_ffmpeg: String,
    pub media_heif: String,
    pub media_playable_bytes: u64,
    pub backups: Option<Backups>,
    pub jwt_secret: Option<String>,
    pub throttle_window_ms: i64,
    pub throttle_max: u32,
    pub trusted_proxies: Vec<(IpAddr, u8)>,
    pub device_reset: bool,
    pub registration: RegistrationMode,
    pub body_idle: Duration,
    pub body_bytes: Option<u64>,
    pub upload_expires_days: i64,
    pub header_wait: Duration,
    pub manifest_bytes: usize,
    pub chunk_bytes: u64,
    pub disk_tasks: usize,
    pub queue_wait: Duration,
    pub plans: Plans,
    pub metrics: Option<SocketAddr>,
    pub metrics_is_explicit: bool,
    pub update_check: bool,
    pub update_url: Option<String>,
    pub log_level: String,
    pub log_format: LogFormat,
}

impl Config {
    /// Parses resolved settings for the data folder `data_dir`.
    pub fn parse(resolved: &Resolved, data_dir: &Path) -> Result<Self, ConfigError> {
        let r = Reader(resolved);
        let place = |name: &str, default: &str| match resolved.value(name) {
            "" => data_dir.join(default),
            path => PathBuf::from(path),
        };
        let tls = match (resolved.value("tls.cert"), resolved.value("tls.key")) {
            ("", "") => None,
            (cert, key) if !cert.is_empty() && !key.is_empty() => {
                Some(TlsConfig { cert: cert.into(), key: key.into() })
            }
            _ => return Err(ConfigError("tls.cert and tls.key are only useful together".into())),
        };
        let https_listener = r.switch("tls.https_listener")?;
        let force_redirect = r.switch("tls.force_redirect")?;
        let redirect_port = match r.find("tls.redirect_port") {
            Some(_) => Some(r.parse("tls.redirect_port", "a port")?),
            None => None,
        };
        let acme = acme(&r)?;
        let wants_https = https_listener || force_redirect || redirect_port.is_some();
        if tls.is_none() && acme.is_none() && wants_https {
            return Err(ConfigError(
                "HTTPS was asked for without a certificate: set tls.cert and tls.key, or tls.acme_domains (a server that quietly \
                 answered plain HTTP instead would not be what you asked for)"
                    .into(),
            ));
        }
        let webhook_secret = r.find("subscriptions.webhook_secret").map(str::to_owned);
        let trial_days = r.find("subscriptions.trial_days");
        let enabled = match r.find("subscriptions.enabled") {
            Some(_) => r.switch("subscriptions.enabled")?,
            None => webhook_secret.is_some() || trial_days.is_some(),
        };
        let metrics = match resolved.value("metrics.listen") {
            "off" | "" => None,
            _ => Some(r.parse::<SocketAddr>(
                "metrics.listen",
                "an address such as 127.0.0.1:9464, or off",
            )?),
        };
        if metrics.is_some_and(|address| !address.ip().is_loopback()) {
            return Err(ConfigError("metrics.listen must be a loopback address".into()));
        }
        Ok(Self {
            shown: resolved.shown(),
            data_dir: data_dir.to_owned(),
            server_name: r.find("server.name").map(|name| name.trim().to_owned()),
            public_url: r.find("server.public_url").map(public_url).transpose()?,
            overdue_days: r.parse("sync.overdue_days", "a number of days")?,
            discovery: r.switch("discovery.enabled")?,
            hosts: r.list("listen.host", |text| text.parse().ok(), "addresses")?,
            hosts_are_explicit: resolved.is_set("listen.host"),
            port: r.parse("listen.port", "a port")?,
            max_connections: r.parse("listen.max_connections", "a number")?,
            tls,
            https_listener,
            https_port: r.parse("tls.https_port", "a port")?,
            force_redirect,
            redirect_port,
            acme,
            database: place("storage.database", "photosync.db"),
            uploads: place("storage.uploads", "uploads"),
            relay: place("storage.relay", "relay"),
            relay_chunks: r.find("storage.relay_chunks").map(PathBuf::from),
            capacity_file: place("storage.capacity_file", "capacity/photosync-capacity.json"),
            reserve_bytes: r.parse("storage.reserve_bytes", "a number of bytes")?,
            trash_days: r.parse("storage.trash_days", "a number of days")?,
            relay_grace_days: r.parse("storage.relay_grace_days", "a number of days")?,
            scrub_days: r.parse("storage.scrub_days", "a number of days")?,
            media_workers: match r.find("media.workers") {
                Some(_) => r.parse("media.workers", "a number of processes")?,
                None => spare_processors(),
            },
            media_ffmpeg: resolved.value("media.ffmpeg").to_owned(),
            media_heif: resolved.value("media.heif").to_owned(),
            media_playable_bytes: r.parse("media.playable_bytes", "a number of bytes")?,
            backups: r.backups()?,
            jwt_secret: jwt_secret(resolved)?,
            throttle_window_ms: r.parse("auth.throttle_window_ms", "milliseconds")?,
            throttle_max: r.parse("auth.throttle_max", "a number")?,
            trusted_proxies: r.list(
                "auth.trusted_proxies",
                parse_network,
                "addresses or networks",
            )?,
            device_reset: r.switch("auth.device_reset")?,
            registration: match resolved.value("registration.mode") {
                "auto" => RegistrationMode::Auto,
                "open" => RegistrationMode::Open,
                "invite" => RegistrationMode::Invite,
                "closed" => RegistrationMode::Closed,
                other => {
                    return Err(wrong("registration.mode", other, "open, invite, closed or auto"));
                }
            },
            body_idle: r.duration("limits.body_idle_ms")?,
            body_bytes: match r.find("limits.body_bytes") {
                Some(_) => Some(r.parse("limits.body_bytes", "a number of bytes")?),
                None => None,
            },
            upload_expires_days: r.parse("uploads.expires_days", "a number of days")?,
            header_wait: r.duration("limits.header_ms")?,
            manifest_bytes: r.parse("limits.manifest_bytes", "a number of bytes")?,
            chunk_bytes: r.parse("limits.chunk_bytes", "a number of bytes")?,
            disk_tasks: r.parse("limits.disk_tasks", "a number")?,
            queue_wait: r.duration("limits.queue_ms")?,
            plans: Plans {
                enabled,
                webhook_secret,
                trial_days: match trial_days {
                    Some(_) => r.parse("subscriptions.trial_days", "a number of days")?,
                    None => 7,
                },
                grace_days: r.parse("subscriptions.grace_days", "a number of days")?,
                margin_bytes: r.parse("subscriptions.margin_bytes", "a number of bytes")?,
            },
            metrics,
            metrics_is_explicit: resolved.is_set("metrics.listen"),
            update_check: r.switch("update.check")?,
            update_url: r.find("update.url").map(str::to_owned),
            log_level: resolved.value("log.level").to_owned(),
            log_format: match resolved.value("log.format") {
                "human" => LogFormat::Human,
                "json" => LogFormat::Json,
                "auto" => LogFormat::Auto,
                other => return Err(wrong("log.format", other, "human, json or auto")),
            },
        })
    }
}

/// All processors but one, which is for requests.
fn spare_processors() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().saturating_sub(1).max(1))
}

/// `https://photos.example.org` from whatever spelling of it; a path would never reach us.
fn public_url(typed: &str) -> Result<String, ConfigError> {
    let refuse =
        || wrong("server.public_url", typed, "an address such as https://photos.example.org");
    let uri: axum::http::Uri = typed.trim().parse().map_err(|_| refuse())?;
    match (uri.scheme_str(), uri.authority(), uri.path(), uri.query()) {
        (Some(scheme @ ("http" | "https")), Some(authority), "/", None)
            if !authority.as_str().contains('@') =>
        {
            Ok(format!("{scheme}://{authority}"))
        }
        _ => Err(refuse()),
    }
}

fn jwt_secret(resolved: &Resolved) -> Result<Option<String>, ConfigError> {
    let secret = resolved.value("auth.jwt_secret");
    if secret.is_empty() && !resolved.is_set("auth.jwt_secret") {
        return Ok(None);
    }
    let refuse = |why: &str| {
        Err(ConfigError(format!(
            "auth.jwt_secret (JWT_SECRET) {why}; leave it out, and the server makes a key of its own"
        )))
    };
    if secret == REFERENCE_JWT_SECRET {
        return refuse(
            "is the public default of the old server, with which anybody can sign in as anybody",
        );
    }
    if secret.len() < MIN_SECRET_BYTES {
        return refuse("is shorter than 32 bytes");
    }
    Ok(Some(secret.to_owned()))
}

pub(super) fn wrong(name: &str, value: &str, wanted: &str) -> ConfigError {
    ConfigError(format!("{name} is `{value}`, but must be {wanted}"))
}

/// `10.0.0.0/8`, or an address alone.
fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse::<u8>().ok()?)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((address, bits))
}

pub(super) struct Reader<'a>(pub(super) &'a Resolved);

impl<'a> Reader<'a> {
    pub(super) fn find(&self, name: &str) -> Option<&'a str> {
        Some(self.0.value(name)).filter(|value| !value.is_empty())
    }

    fn parse<T: std::str::FromStr>(&self, name: &str, wanted: &str) -> Result<T, ConfigError> {
        let value = self.0.value(name);
        value.trim().parse().map_err(|_| wrong(name, value, wanted))
    }

    fn backups(&self) -> Result<Option<Backups>, ConfigError> {
        let every_hours = self.parse("backup.every_hours", "a number of hours, at least 1")?;
        if every_hours < 1 {
            let value = self.0.value("backup.every_hours");
            return Err(wrong("backup.every_hours", value, "a number of hours, at least 1"));
        }
        let keep: usize = self.parse("backup.keep", "a number of backups, or 0 for all")?;
        let drill_days = self.parse("backup.drill_days", "a number of days")?;
        let Some(target) = self.find("backup.target").map(PathBuf::from) else { return Ok(None) };
        if !target.is_absolute() {
            let wanted = "the whole path of a folder, as /mnt/backups";
            return Err(wrong("backup.target", self.0.value("backup.target"), wanted));
        }
        Ok(Some(Backups {
            target,
            every_hours,
            keep: Some(keep).filter(|keep| *keep > 0),
            drill_days,
        }))
    }

    pub(super) fn switch(&self, name: &str) -> Result<bool, ConfigError> {
        match self.0.value(name).to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" | "" => Ok(false),
            other => Err(wrong(name, other, "true or false")),
        }
    }

    fn duration(&self, name: &str) -> Result<Duration, ConfigError> {
        self.parse(name, "milliseconds").map(Duration::from_millis)
    }

    pub(super) fn list<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
        wanted: &str,
    ) -> Result<Vec<T>, ConfigError> {
        let value = self.0.value(name);
        let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| {
                let bare = part.trim_start_matches('[').trim_end_matches(']');
                parse(bare).ok_or_else(|| wrong(name, part, wanted))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, resolve};
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let flags = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Config::parse(&resolve(&Sources { flags, ..Sources::default() })?, Path::new("/data"))
    }

    #[test]
    fn the_defaults_are_a_working_configuration() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.port, 3000);
        assert_eq!(config.hosts.len(), 2);
        assert!(!config.plans.enabled);
        assert_eq!(config.jwt_secret, None);
    }

    #[test]
    fn the_public_and_short_secrets_are_refused() {
        for secret in [REFERENCE_JWT_SECRET, "short", ""] {
            let error = parse(&[("auth.jwt_secret", secret)]).unwrap_err();
            assert!(error.0.contains("JWT_SECRET"), "{error}");
            assert!(secret.len() < 32 || !error.0.contains(secret));
        }
        assert!(parse(&[("auth.jwt_secret", &"k".repeat(32))]).unwrap().jwt_secret.is_some());
    }

    #[test]
    fn asking_for_https_without_a_certificate_is_an_error_not_plain_http() {
        assert!(parse(&[("tls.https_listener", "true")]).is_err());
        assert!(parse(&[("tls.cert", "/c.pem")]).is_err());
    }

    #[test]
    fn plans_are_enforced_only_when_somebody_asks() {
        assert!(parse(&[("subscriptions.trial_days", "14")]).unwrap().plans.enabled);
        assert!(parse(&[("subscriptions.webhook_secret", "s")]).unwrap().plans.enabled);
        assert!(
            !parse(&[("subscriptions.webhook_secret", "s"), ("subscriptions.enabled", "false")])
                .unwrap()
                .plans
                .enabled
        );
    }

    #[test]
    fn a_public_address_is_a_scheme_and_a_host_and_nothing_else() {
        let of = |text| parse(&[("server.public_url", text)]).map(|config| config.public_url);
        assert_eq!(
            of("https://a.example:8443/").unwrap().as_deref(),
            Some("https://a.example:8443")
        );
        assert_eq!(of("").unwrap(), None);
        for wrong in [
            "a.example",
            "ftp://a.example",
            "https://a.example/photos",
            "https://u:p@a",
            "https://",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn backups_go_to_a_whole_path_and_not_every_moment() {
        let of = |pairs: &[(&str, &str)]| parse(pairs).map(|config| config.backups);
        assert!(of(&[]).unwrap().is_none());
        let backups = of(&[("backup.target", "/mnt/backups"), ("backup.keep", "0")]);
        let backups = backups.unwrap().unwrap();
        assert_eq!((backups.every_hours, backups.keep, backups.drill_days), (24, None, 30));
        for wrong in
            [("backup.target", "backups"), ("backup.every_hours", "0"), ("backup.keep", "-1")]
        {
            assert!(of(&[wrong]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn metrics_never_leave_the_machine() {
        assert!(parse(&[("metrics.listen", "0.0.0.0:9464")]).is_err());
        assert!(parse(&[("metrics.listen", "off")]).unwrap().metrics.is_none());
    }
}
