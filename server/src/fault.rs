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

/// What a test gives in place of something that a release has built in.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn value(_name: &str) -> Option<String> {
    None
}

/// The version that a test has written at the end of this program, and whether it has a migration more.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn version() -> Option<&'static str> {
    None
}

/// Whether a test wants a migration that no released program has.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn has_later_migration() -> bool {
    false
}

#[cfg(feature = "fault-points")]
pub use armed::{has_later_migration, point, value, version};

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

    /// What begins the last line of a program that a test has given another version: `<this>0.2.0` or
    /// `<this>0.2.0 migrates`, then the name of a point that acts always, if any.
    const TRAILER: &str = "\nPHOTOSYNC-TEST-VERSION=";

    /// The words after [`TRAILER`].
    fn trailer() -> &'static [String] {
        static WORDS: OnceLock<Vec<String>> = OnceLock::new();
        WORDS.get_or_init(|| {
            let read = || -> std::io::Result<String> {
                use std::io::{Read, Seek, SeekFrom};
                let mut file = std::fs::File::open(std::env::current_exe()?)?;
                file.seek(SeekFrom::End(-256))?;
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            };
            let text = read().unwrap_or_default();
            let words = text.rsplit_once(TRAILER).map_or("", |(_, words)| words);
            words.split_whitespace().map(str::to_owned).collect()
        })
    }

    /// The version in the trailer.
    pub fn version() -> Option<&'static str> {
        trailer().first().map(String::as_str)
    }

    /// Whether the trailer asks for a migration that no released program has.
    pub fn has_later_migration() -> bool {
        trailer().iter().any(|word| word == "migrates")
    }

    /// The variable `PHOTOSYNC_FAULT_<name>`.
    pub fn value(name: &str) -> Option<String> {
        std::env::var(format!("PHOTOSYNC_FAULT_{name}")).ok()
    }

    /// The one place besides `boot` that reads the environment: it exists only in test builds.
    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        ARMED
            .get_or_init(|| {
                let of_this = trailer().iter().find(|word| word.contains(':')).cloned();
                let text = of_this.or_else(|| std::env::var("PHOTOSYNC_FAULT").ok())?;
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
