//! A message bus, and this process as the panel on it: icons register here, and their menus are read from here.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

use super::{LIMIT, LOOK_PAUSE, bus_command};
use crate::Failure;
use crate::process::Running;

/// A session bus of its own; ends when dropped.
#[derive(Debug)]
pub struct Bus {
    _process: Running,
    address: String,
}

impl Bus {
    /// Starts `dbus-daemon`.
    pub fn start(home: &Path) -> Result<Self, Failure> {
        let mut process = Running::start("dbus-daemon", bus_command(home), home)?;
        let output = process.take_output().ok_or("the output of dbus-daemon is not piped")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        if address.is_empty() {
            return Err(process.complaint("said no address"));
        }
        Ok(Self { _process: process, address: address.trim().to_owned() })
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A panel on it.
    pub fn panel(&self) -> Result<Panel, Failure> {
        let icons = Arc::new(Icons::default());
        let connection = Builder::address(self.address.as_str())?
            .serve_at("/StatusNotifierWatcher", Watcher(icons.clone()))?
            .serve_at("/org/freedesktop/Notifications", Notifications)?
            .name("org.kde.StatusNotifierWatcher")?
            .name("org.freedesktop.Notifications")?
            .build()?;
        Ok(Panel { connection, icons })
    }
}

/// The icon that registered last, by its bus name, and when.
#[derive(Default)]
struct Icons {
    last: Mutex<Option<(String, Instant)>>,
    news: Condvar,
}

impl Icons {
    fn lock(&self) -> MutexGuard<'_, Option<(String, Instant)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watcher(Arc<Icons>);

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(
        &self,
        service: &str,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) {
        let sender = header.sender().map_or_else(|| service.to_owned(), ToString::to_string);
        *self.0.lock() = Some((sender, Instant::now()));
        self.0.news.notify_all();
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }
}

/// Takes notifications and shows none.
struct Notifications;

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Notifications {
    #[expect(clippy::too_many_arguments, reason = "the arguments of the specification")]
    fn notify(
        &self,
        _app: &str,
        _replaces: u32,
        _icon: &str,
        _summary: &str,
        _body: &str,
        _actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _expire: i32,
    ) -> u32 {
        1
    }
}

/// See the module.
pub struct Panel {
    connection: Connection,
    icons: Arc<Icons>,
}

type Node = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

impl Panel {
    /// Forgets the icons that came until now.
    pub fn forget(&self) {
        *self.icons.lock() = None;
    }

    /// When the next icon came; `None` when none came in time.
    pub fn wait_for_icon(&self, limit: Duration) -> Option<Instant> {
        let wait =
            self.icons.news.wait_timeout_while(self.icons.lock(), limit, |icon| icon.is_none());
        let (icon, _) = wait.unwrap_or_else(PoisonError::into_inner);
        icon.as_ref().map(|(_, at)| *at)
    }

    fn menu(&self) -> Result<Proxy<'_>, Failure> {
        let icon = self.icons.lock().as_ref().map(|(name, _)| name.clone());
        let icon = icon.ok_or("no icon registered")?;
        let (path, interface) = ("/StatusNotifierItem", "org.kde.StatusNotifierItem");
        let item = Proxy::new(&self.connection, icon.clone(), path, interface)?;
        let menu: OwnedObjectPath = item.get_property("Menu")?;
        Ok(Proxy::new(&self.connection, icon, menu, "com.canonical.dbusmenu")?)
    }

    /// Ids and texts of the menu's own entries.
    fn entries(&self) -> Result<Vec<(i32, String)>, Failure> {
        let (_, (_, _, children)): (u32, Node) =
            self.menu()?.call("GetLayout", &(0_i32, 1_i32, Vec::<String>::new()))?;
        let mut entries = Vec::new();
        for child in children {
            let (id, properties, _): Node = child.try_into()?;
            if let Some(label) = properties.get("label") {
                entries.push((id, String::try_from(label.try_clone()?)?));
            }
        }
        Ok(entries)
    }

    /// Texts of the menu, from its top.
    pub fn lines(&self) -> Result<Vec<String>, Failure> {
        Ok(self.entries()?.into_iter().map(|(_, text)| text).collect())
    }

    /// Waits until the menu has a line that begins so.
    pub fn wait_for_line(&self, start: &str, process: &mut Running) -> Result<(), Failure> {
        let begun = Instant::now();
        self.wait_for_icon(LIMIT).ok_or_else(|| process.complaint("showed no icon"))?;
        while !self.lines()?.iter().any(|line| line.starts_with(start)) {
            if begun.elapsed() > LIMIT {
                return Err(process.complaint(&format!("did not show \"{start}\"")));
            }
            thread::sleep(LOOK_PAUSE);
        }
        Ok(())
    }

    /// Chooses an entry.
    pub fn click(&self, label: &str) -> Result<(), Failure> {
        let entries = self.entries()?;
        let entry = entries.iter().find(|(_, text)| text == label);
        let (id, _) = entry.ok_or_else(|| format!("the menu has no entry {label}"))?;
        let nothing = Value::from(0_i32);
        self.menu()?.call::<_, _, ()>("Event", &(*id, "clicked", nothing, 0_u32))?;
        Ok(())
    }
}
