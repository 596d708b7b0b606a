//! Every setting of the server: one table from which flags, variables, file keys, `config example` and the
//! generated CONFIG page all come.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Section of the configuration file.
    pub section: &'static str,
    /// Key in that section.
    pub key: &'static str,
    /// Default, as text; empty means *not set*.
    pub default: &'static str,
    /// Names of the reference server that mean the same. The `PHOTOSYNC_` name wins.
    pub aliases: &'static [&'static str],
    /// Whether the value must never be shown.
    pub secret: bool,
    /// One sentence for the example file and the CONFIG page: meaning, unit, source of the default.
    pub help: &'static str,
}

impl Setting {
    /// `section.key`, the name used inside the program.
    pub fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// `PHOTOSYNC_SECTION_KEY`, with the fixed exceptions.
    pub fn variable(&self) -> String {
        match (self.section, self.key) {
            ("discovery", "enabled") => "PHOTOSYNC_DISCOVERY".into(),
            ("update", "check") => "PHOTOSYNC_UPDATE_CHECK".into(),
            ("update", "url") => "PHOTOSYNC_UPDATE_URL".into(),
            (section, key) => format!("PHOTOSYNC_{section}_{key}").to_uppercase(),
        }
    }

    /// `section-key`, the long flag without its dashes.
    pub fn flag(&self) -> String {
        format!("{}-{}", self.section, self.key).replace('_', "-")
    }
}

const fn setting(
    section: &'static str,
    key: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { section, key, default, aliases: &[], secret: false, help }
}

const fn known_as(aliases: &'static [&'static str], setting: Setting) -> Setting {
    Setting { aliases, ..setting }
}

const fn secret(setting: Setting) -> Setting {
    Setting { secret: true, ..setting }
}

/// Variables and flags that place the data and the file itself; they are not keys of the file.
pub const DATA_DIR_VARIABLE: &str = "PHOTOSYNC_DATA_DIR";
/// See [`DATA_DIR_VARIABLE`].
pub const CONFIG_VARIABLE: &str = "PHOTOSYNC_CONFIG";

/// `JWT_SECRET` of every reference server that was never given another one. It is refused by value.
pub const REFERENCE_JWT_SECRET: &str = "super-secure-secret-key-change-this";

/// Shortest signing secret that may be configured, in bytes (256 bits, as RFC 7518 §3.2 asks for HS256).
pub const MIN_SECRET_BYTES: usize = 32;

/// Every setting, in the order of the documentation.
pub const SETTINGS: &[Setting] = &[
    setting(
        "server",
        "name",
        "",
        "What this server is called in pairing codes and on the local network; the host name if not set.",
    ),
    setting(
        "server",
        "public_url",
        "",
        "Where it can be reached from anywhere, as https://photos.example.org; devices learn it when they pair.",
    ),
    known_as(
        &["HOST"],
        setting(
            "listen",
            "host",
            "0.0.0.0,::",
            "Addresses to listen on, separated by commas. The variable HOST counts only if it is an IP address.",
        ),
    ),
    known_as(
        &["PORT"],
        setting(
            "listen",
            "port",
            "3000",
            "Port; 0 takes any free one. Old phone apps always use 3000.",
        ),
    ),
    setting(
        "listen",
        "max_connections",
        "1024",
        "Connections served at once; further ones wait before they are accepted.",
    ),
    known_as(
        &["TLS_CERT_PATH"],
        setting(
            "tls",
            "cert",
            "",
            "Certificate chain, PEM. With it and tls.key the port answers TLS; plain HTTP stays open to private addresses only.",
        ),
    ),
    known_as(&["TLS_KEY_PATH"], setting("tls", "key", "", "Private key of tls.cert, PEM.")),
    known_as(
        &["ENABLE_HTTPS"],
        setting("tls", "https_listener", "false", "Also listen on tls.https_port, with TLS only."),
    ),
    known_as(
        &["HTTPS_PORT"],
        setting("tls", "https_port", "3443", "Port of the TLS-only listener."),
    ),
    known_as(
        &["FORCE_HTTPS_REDIRECT"],
        setting(
            "tls",
            "force_redirect",
            "false",
            "Answer every plain HTTP request with a redirect to tls.https_port.",
        ),
    ),
    setting(
        "tls",
        "redirect_port",
        "",
        "Also listen there (80) with plain HTTP that only leads to HTTPS and answers HTTP-01 of ACME. Not set: not at all.",
    ),
    setting(
        "tls",
        "acme_domains",
        "",
        "Names, separated by commas, for which a certificate is fetched and renewed by ACME (RFC 8555); needs tls.acme_accept_terms.",
    ),
    setting(
        "tls",
        "acme_accept_terms",
        "false",
        "You have read and accept the terms of the certificate authority; without it nothing is asked of it.",
    ),
    setting(
        "tls",
        "acme_contact",
        "",
        "E-mail addresses, separated by commas, that the certificate authority may write to.",
    ),
    setting(
        "tls",
        "acme_directory",
        "https://acme-v02.api.letsencrypt.org/directory",
        "Directory of the certificate authority (Let's Encrypt).",
    ),
    setting(
        "tls",
        "acme_staging",
        "false",
        "Take the staging directory of Let's Encrypt, for trying: no limits worth speaking of, and certificates that no browser trusts.",
    ),
    setting(
        "tls",
        "acme_ca",
        "",
        "PEM file with the root that the directory's own certificate leads to, instead of those of the system; for private authorities.",
    ),
    setting(
        "tls",
        "acme_challenge",
        "auto",
        "tls-alpn-01 (the authority connects to port 443), http-01 (to port 80), or auto: what this server listens on, and if both, in turn.",
    ),
    known_as(
        &["DB_PATH"],
        setting("storage", "database", "", "Database file; <data>/photosync.db if not set."),
    ),
    known_as(
        &["UPLOAD_DIR"],
        setting("storage", "uploads", "", "Root of the originals; <data>/uploads if not set."),
    ),
    known_as(
        &["CLOUD_DIR"],
        setting("storage", "relay", "", "Root of the relay; <data>/relay if not set."),
    ),
    known_as(
        &["CHUNKS_DIR"],
        setting(
            "storage",
            "relay_chunks",
            "",
            "Root of the relay's chunks, if they lie on another disk than its manifests.",
        ),
    ),
    known_as(
        &["CAPACITY_JSON_PATH"],
        setting(
            "storage",
            "capacity_file",
            "",
            "JSON file served as /api/capacity; <data>/capacity/photosync-capacity.json if not set.",
        ),
    ),
    setting(
        "storage",
        "reserve_bytes",
        "268435456",
        "Bytes of the disk that uploads leave free (256 MiB), so that the database can still write when the disk is full.",
    ),
    setting("storage", "trash_days", "30", "Days that deleted files can be brought back."),
    setting(
        "storage",
        "relay_grace_days",
        "30",
        "Days after which sealed objects of version 2 that no finished backup names go to the trash.",
    ),
    setting(
        "storage",
        "scrub_days",
        "30",
        "Days in which every original and every sealed object is read back once and compared with its hash; 0: never.",
    ),
    setting(
        "backup",
        "target",
        "",
        "Folder on another disk into which the server backs itself up. The first backup there is made by hand (`photosync-server backup DIR`), so that a disk that is not mounted is noticed. Not set: no backups but those made by hand.",
    ),
    setting("backup", "every_hours", "24", "Hours between two backups into backup.target."),
    setting(
        "backup",
        "keep",
        "30",
        "Backups that are kept in backup.target; older ones are removed, unless something is missing on the server. 0: all.",
    ),
    setting(
        "backup",
        "drill_days",
        "30",
        "Days after which the newest backup in backup.target is restored on trial and every hash in it compared; 0: never.",
    ),
    secret(known_as(
        &["JWT_SECRET"],
        setting(
            "auth",
            "jwt_secret",
            "",
            "Signing secret of sign-in tokens, at least 32 bytes. Not set: a 256-bit key is made at first start.",
        ),
    )),
    known_as(
        &["AUTH_RATE_LIMIT_WINDOW_MS"],
        setting(
            "auth",
            "throttle_window_ms",
            "900000",
            "Window of the sign-in limit (15 minutes, as old clients expect).",
        ),
    ),
    known_as(
        &["AUTH_RATE_LIMIT_MAX"],
        setting(
            "auth",
            "throttle_max",
            "25",
            "Sign-in calls per client address, route and window, as the old servers' headers promise.",
        ),
    ),
    setting(
        "auth",
        "trusted_proxies",
        "",
        "Addresses or networks (CIDR), separated by commas, whose X-Forwarded-For is believed.",
    ),
    setting("auth", "device_reset", "true", "Keep the device-bound password reset of old clients."),
    setting(
        "registration",
        "mode",
        "auto",
        "open, invite, closed, or auto: open for private addresses that came without forwarding headers, invite for everybody else.",
    ),
    setting(
        "sync",
        "overdue_days",
        "7",
        "Days after its last complete inventory until a device is shown as overdue; 0 never.",
    ),
    setting(
        "limits",
        "body_idle_ms",
        "120000",
        "A request whose body brings no byte for this long is answered 408 (a phone's 30 s stall survives).",
    ),
    setting(
        "limits",
        "body_bytes",
        "",
        "Largest body of one request of a resumable upload, in bytes; larger ones are told to come in smaller pieces. Set it when a proxy before the server caps bodies. Not set: no limit.",
    ),
    setting(
        "limits",
        "header_ms",
        "30000",
        "Time to send the first request head of a connection; a kept connection may rest 75 s.",
    ),
    setting(
        "limits",
        "manifest_bytes",
        "16777216",
        "Largest relay manifest (16 MiB; the old servers cut at 100 KB and lost every file above 2 GiB).",
    ),
    setting(
        "limits",
        "chunk_bytes",
        "262144000",
        "Largest relay chunk (250 MB, as the old servers).",
    ),
    setting(
        "limits",
        "disk_tasks",
        "16",
        "Uploads written to disk at once; waiting for bodies does not count.",
    ),
    setting(
        "limits",
        "queue_ms",
        "10000",
        "Longest wait for the database or a password check before the answer is 503 with Retry-After.",
    ),
    setting(
        "uploads",
        "expires_days",
        "7",
        "Days without a byte after which a half upload is removed.",
    ),
    setting(
        "media",
        "workers",
        "",
        "Processes that make thumbnails at the same time; 0: none are made. Not set: one less than there are processors.",
    ),
    setting(
        "media",
        "ffmpeg",
        "",
        "The program ffmpeg, for pictures of videos, or off. Not set: it is looked for where programs lie.",
    ),
    setting(
        "media",
        "heif",
        "",
        "The program heif-dec or heif-convert of libheif, for HEIC and AVIF, or off. Not set: it is looked for where programs lie.",
    ),
    setting(
        "media",
        "playable_bytes",
        "21474836480",
        "Room for versions of films that every browser plays, of films that not every browser does: the one nobody looked at for longest makes room. 0: none are made.",
    ),
    setting(
        "subscriptions",
        "enabled",
        "",
        "Enforce plans. Not set: only if a webhook secret or trial days are configured.",
    ),
    secret(known_as(
        &["REVENUECAT_WEBHOOK_SECRET"],
        setting(
            "subscriptions",
            "webhook_secret",
            "",
            "Bearer secret of the subscription webhook; without it the webhook does not exist.",
        ),
    )),
    known_as(
        &["TRIAL_DAYS"],
        setting(
            "subscriptions",
            "trial_days",
            "",
            "Days of trial for a new account that names a plan (7 if plans are enforced).",
        ),
    ),
    known_as(
        &["SUBSCRIPTION_GRACE_DAYS"],
        setting(
            "subscriptions",
            "grace_days",
            "3",
            "Days after expiry before uploads stop being accepted.",
        ),
    ),
    known_as(
        &["USER_QUOTA_MARGIN_BYTES"],
        setting(
            "subscriptions",
            "margin_bytes",
            "52428800",
            "Tolerance over a plan (50 MiB, as the old servers).",
        ),
    ),
    setting(
        "metrics",
        "listen",
        "127.0.0.1:9464",
        "Address of the Prometheus /metrics listener, or off. Loopback only.",
    ),
    setting(
        "log",
        "level",
        "info",
        "error, warn, info, debug or trace; or a filter such as photosync_server=debug.",
    ),
    setting("log", "format", "auto", "human, json, or auto: human on a terminal."),
    setting("discovery", "enabled", "on", "Announce the server on the local network: on or off."),
    setting("update", "check", "on", "Look for a newer version now and then: on or off."),
    setting(
        "update",
        "url",
        "",
        "Where to look for newer versions, if not at the project's releases.",
    ),
];

/// Variables of the reference that mean nothing here; each with the reason, for one log line.
pub const RETIRED_VARIABLES: &[(&str, &str)] = &[
    ("BCRYPT_ROUNDS", "passwords are hashed with Argon2id"),
    ("ENABLE_CLOUD_UPLOAD_LOCK", "it had no effect in the old server either"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_setting_has_one_name_everywhere() {
        let mut seen = HashSet::new();
        for setting in SETTINGS {
            assert!(seen.insert(setting.name()), "{} twice", setting.name());
            assert!(seen.insert(setting.variable()), "{} twice", setting.variable());
            assert!(seen.insert(setting.flag()), "{} twice", setting.flag());
            for alias in setting.aliases {
                assert!(seen.insert((*alias).to_owned()), "{alias} twice");
            }
            assert!(!setting.help.is_empty());
        }
    }
}
