//! Named points where a test kills, stalls or fails the server. Compiled to nothing without the feature
//! `fault-points`, which no released binary has.
//!
//! `PHOTOSYNC_FAULT="name:nth:action"` with action `kill`, `eio`, `enospc` or `stall`; `nth` counts from 1, and
//! every later pass acts too when it is written `nth+`.

/// Passes the point `name`; an error is what the operating system would have said there.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn point(_name: &'static str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(feature = "fault-points")]
pub use armed::point;

#[cfg(feature = "fault-points")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Armed {
        name: String,
        nth: u64,
        and_later: bool,
        action: String,
        passed: AtomicU64,
    }

    /// The one place besides `boot` that reads the environment: it exists only in test builds.
    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        ARMED
            .get_or_init(|| {
                let text = std::env::var("PHOTOSYNC_FAULT").ok()?;
                let mut parts = text.splitn(3, ':');
                let name = parts.next()?.to_owned();
                let nth = parts.next()?;
                let action = parts.next()?.to_owned();
                Some(Armed {
                    name,
                    nth: nth.trim_end_matches('+').parse().ok()?,
                    and_later: nth.ends_with('+'),
                    action,
                    passed: AtomicU64::new(0),
                })
            })
            .as_ref()
    }

    /// Passes the point `name`, doing there what the environment asks for.
    pub fn point(name: &'static str) -> std::io::Result<()> {
        let Some(armed) = armed() else { return Ok(()) };
        if armed.name != name {
            return Ok(());
        }
        let pass = armed.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if pass != armed.nth && !(armed.and_later && pass > armed.nth) {
            return Ok(());
        }
        match armed.action.as_str() {
            "eio" => Err(std::io::Error::from_raw_os_error(5)),
            "enospc" => Err(std::io::Error::from_raw_os_error(28)),
            "stall" => {
                std::thread::sleep(std::time::Duration::from_secs(3600));
                Ok(())
            }
            _ => {
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                );
                // The signal is delivered before any further answer could be written.
                loop {
                    std::thread::park();
                }
            }
        }
    }
}
