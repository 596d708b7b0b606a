//! Keeps the computer awake while photos are on their way, and lets go of it afterwards.
//!
//! What holds it is given up with the process: a tray that crashes keeps no computer awake.

use crate::log::Log;

/// Who asks and why, as desktops show it to people.
const WHY: &str = "Photos are being backed up";

/// Held while the computer must not sleep.
#[derive(Default)]
pub struct Awake(Option<system::Hold>);

impl Awake {
    /// Takes or gives up the hold; doing either twice changes nothing. May wait for the system: call it beside the loop.
    /// A system that has nothing of the kind sleeps when it wants to; the log says so.
    pub fn set(&mut self, wanted: bool, log: &Log) {
        if wanted == self.0.is_some() {
            return;
        }
        self.0 = None;
        if !wanted {
            log.note("the computer may sleep again");
            return;
        }
        match system::hold(crate::texts::PRODUCT, WHY) {
            Ok(hold) => {
                log.note(&format!("the computer is kept awake by {}", hold.by));
                self.0 = Some(hold);
            }
            Err(why) => log.note(&format!("the computer cannot be kept awake: {why}")),
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use zbus::blocking::{Connection, Proxy};
    use zbus::zvariant::OwnedFd;

    /// Given up when dropped.
    pub struct Hold {
        /// What holds it.
        pub by: &'static str,
        _keeps: Keeps,
    }

    #[expect(dead_code, reason = "held, not read: closing it is what ends the hold")]
    enum Keeps {
        /// logind lets go when the descriptor is closed.
        Descriptor(OwnedFd),
        /// The desktop lets go when its caller leaves the bus.
        Caller(Connection),
    }

    /// Asks logind first, which knows of lids and idle desktops alike, then the desktop itself.
    pub fn hold(who: &str, why: &str) -> Result<Hold, String> {
        let logind = by_logind(who, why);
        let Err(first) = logind else { return logind.map_err(|error| error.to_string()) };
        let desktops = [
            (
                "org.freedesktop.PowerManagement",
                "/org/freedesktop/PowerManagement/Inhibit",
                "org.freedesktop.PowerManagement.Inhibit",
            ),
            (
                "org.freedesktop.ScreenSaver",
                "/org/freedesktop/ScreenSaver",
                "org.freedesktop.ScreenSaver",
            ),
        ];
        desktops
            .into_iter()
            .find_map(|desktop| by_desktop(desktop, who, why).ok())
            .ok_or_else(|| first.to_string())
    }

    fn by_logind(who: &str, why: &str) -> zbus::Result<Hold> {
        let (service, place) = ("org.freedesktop.login1", "/org/freedesktop/login1");
        let manager =
            Proxy::new(&Connection::system()?, service, place, "org.freedesktop.login1.Manager")?;
        let descriptor: OwnedFd = manager.call("Inhibit", &("sleep:idle", who, why, "block"))?;
        Ok(Hold { by: "logind", _keeps: Keeps::Descriptor(descriptor) })
    }

    fn by_desktop(
        (service, place, interface): (&'static str, &str, &str),
        who: &str,
        why: &str,
    ) -> zbus::Result<Hold> {
        let connection = Connection::session()?;
        let _: u32 =
            Proxy::new(&connection, service, place, interface)?.call("Inhibit", &(who, why))?;
        Ok(Hold { by: service, _keeps: Keeps::Caller(connection) })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    /// Given up when dropped.
    pub struct Hold {
        /// What holds it.
        pub by: &'static str,
    }

    /// Not built for this system yet.
    pub fn hold(_who: &str, _why: &str) -> Result<Hold, String> {
        Err("this system is not asked yet".to_owned())
    }
}
