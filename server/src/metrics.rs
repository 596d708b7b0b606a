//! What Prometheus sees. Names are part of OPERATIONS.md.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::boot::App;
use crate::upkeep::backup;
use crate::upkeep::scrub::{self, STORES};

/// Labels of a request: its route (never a path with names in it) and its status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Route pattern.
    pub route: String,
    /// Method.
    pub method: String,
    /// Status.
    pub status: u16,
}

/// Labels of what is known of one store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    /// `originals` or `sealed`.
    store: &'static str,
}

/// Labels of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    /// `files` or `acme`.
    source: &'static str,
}

/// Labels of originals that cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    /// Class of the failure, as `corrupt`.
    class: String,
}

/// Counters and gauges of one server.
pub struct Metrics {
    registry: Registry,
    /// Requests answered.
    pub requests: Family<RequestLabels, Counter>,
    /// Originals stored.
    pub stored: Counter,
    /// Uploads whose bytes were held already.
    pub duplicates: Counter,
    /// Bytes received in uploads.
    pub received_bytes: Counter,
    /// Connections open.
    pub connections: Gauge,
    log_pages: Gauge,
    queued: Gauge,
    free_bytes: Gauge,
    unverified: Family<StoreLabels, Gauge>,
    proved: Gauge,
    /// 1 while a newer version is known.
    pub update_available: Gauge,
    drilled: Gauge,
    made: Gauge,
    failing: Gauge,
    media_waiting: Gauge,
    media_failed: Family<FailureLabels, Gauge>,
    certificate_ends_at_ms: Mutex<BTreeMap<&'static str, i64>>,
    certificates: Family<CertificateLabels, Gauge>,
}

impl Metrics {
    /// Notes when the certificate from `source` (`files` or `acme`) ends.
    pub fn note_certificate(&self, source: &'static str, ends_at_ms: i64) {
        let mut known = self.certificate_ends_at_ms.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(source, ends_at_ms);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("photosync");
        let metrics = Self {
            requests: Family::default(),
            stored: Counter::default(),
            duplicates: Counter::default(),
            received_bytes: Counter::default(),
            connections: Gauge::default(),
            log_pages: Gauge::default(),
            queued: Gauge::default(),
            free_bytes: Gauge::default(),
            unverified: Family::default(),
            proved: Gauge::default(),
            update_available: Gauge::default(),
            drilled: Gauge::default(),
            made: Gauge::default(),
            failing: Gauge::default(),
            media_waiting: Gauge::default(),
            media_failed: Family::default(),
            certificate_ends_at_ms: Mutex::default(),
            certificates: Family::default(),
            registry: Registry::default(),
        };
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        registry.register("originals_stored", "Originals stored", metrics.stored.clone());
        registry.register(
            "originals_duplicate",
            "Uploads that were held already",
            metrics.duplicates.clone(),
        );
        registry.register(
            "upload_received_bytes",
            "Bytes received in uploads",
            metrics.received_bytes.clone(),
        );
        registry.register("connections_open", "Connections open", metrics.connections.clone());
        registry.register("db_log_pages", "Pages in the database log", metrics.log_pages.clone());
        registry.register(
            "db_jobs_waiting",
            "Database jobs waiting or running",
            metrics.queued.clone(),
        );
        registry.register(
            "storage_free_bytes",
            "Free bytes of the disk of the originals",
            metrics.free_bytes.clone(),
        );
        registry.register(
            "oldest_unverified_seconds",
            "Time since when every stored byte was read back or came; 0 while nothing is stored",
            metrics.unverified.clone(),
        );
        registry.register(
            "backup_proved_seconds",
            "Age of the newest backup that was restored on trial and found whole; -1 if there is none",
            metrics.proved.clone(),
        );
        registry.register(
            "update_available",
            "1 while a newer version is known to be there",
            metrics.update_available.clone(),
        );
        registry.register(
            "backup_drill_seconds",
            "Time since a backup was last restored on trial and found whole; -1 if there is none",
            metrics.drilled.clone(),
        );
        registry.register(
            "backup_made_seconds",
            "Age of the newest backup; -1 if there is none",
            metrics.made.clone(),
        );
        registry.register(
            "backup_failing",
            "1 while the last backup by the server itself failed or lacked something, or the last trial found something wrong",
            metrics.failing.clone(),
        );
        registry.register(
            "certificate_expires_seconds",
            "Time until a certificate for the names of this server ends; negative: it has; absent: there is none",
            metrics.certificates.clone(),
        );
        registry.register(
            "media_waiting",
            "Originals that wait for the media worker",
            metrics.media_waiting.clone(),
        );
        registry.register(
            "media_failed",
            "Pictures and videos that cannot be shown, by the class of the failure",
            metrics.media_failed.clone(),
        );
        Self { registry, ..metrics }
    }
}

/// The text a Prometheus server reads.
pub async fn text(app: &App) -> String {
    let metrics = &app.metrics;
    metrics.log_pages.set(app.db.log_pages());
    metrics.queued.set(i64::try_from(app.db.queued()).unwrap_or(i64::MAX));
    if let Ok(free) = app.originals.free_bytes().await {
        metrics.free_bytes.set(i64::try_from(free).unwrap_or(i64::MAX));
    }
    if let Ok(status) = backup::status(app).await {
        let now_ms = app.clock.now_ms();
        let age_s = |at_ms: Option<i64>| at_ms.map_or(-1, |at_ms| (now_ms - at_ms).max(0) / 1000);
        metrics.proved.set(age_s(status.proved_made_at_ms));
        metrics.drilled.set(age_s(status.proved_at_ms));
        metrics.made.set(age_s(status.made_at_ms));
        let is_failing = status.failure.is_some() || status.drill_failure.is_some();
        metrics.failing.set(i64::from(is_failing));
    }
    if let Ok(counts) = crate::media::count(app).await {
        metrics.media_waiting.set(counts.waiting);
        metrics.media_failed.clear();
        for (class, count) in counts.failed {
            metrics.media_failed.get_or_create(&FailureLabels { class }).set(count);
        }
    }
    for store in STORES {
        if let Ok(oldest_ms) = scrub::oldest_ms(app, store).await {
            let age_ms = oldest_ms.map_or(0, |oldest_ms| app.clock.now_ms() - oldest_ms);
            let labels = StoreLabels { store: store.name() };
            metrics.unverified.get_or_create(&labels).set(age_ms.max(0) / 1000);
        }
    }
    let ends =
        metrics.certificate_ends_at_ms.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (source, ends_at_ms) in ends {
        let left_s = (ends_at_ms - app.clock.now_ms()).div_euclid(1000);
        metrics.certificates.get_or_create(&CertificateLabels { source }).set(left_s);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = encode(&mut text, &metrics.registry);
    text
}
