//! A desk: a session bus of its own, a host that shows icons, and the tray on it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

/// Longest wait for a state: these tests share two processors with everything else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` finds something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let folder = exe.ancestors().find(|path| path.join(name).is_file());
    folder.unwrap_or_else(|| panic!("{name} is not built")).join(name)
}

/// Icons that registered, by the bus name they came from.
type Icons = Arc<Mutex<Vec<String>>>;

/// The part of a panel that icons register with.
struct Watcher(Icons);

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(
        &self,
        service: &str,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) {
        let sender = header.sender().map_or_else(|| service.to_owned(), ToString::to_string);
        self.0.lock().unwrap().push(sender);
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }
}

/// Notifications that were shown, by title.
type Bubbles = Arc<Mutex<Vec<String>>>;

struct Notifications(Bubbles);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Notifications {
    #[expect(clippy::too_many_arguments, reason = "the arguments of the specification")]
    fn notify(
        &self,
        _app: &str,
        _replaces: u32,
        _icon: &str,
        summary: &str,
        body: &str,
        _actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _expire: i32,
    ) -> u32 {
        self.0.lock().unwrap().push(format!("{summary}: {body}"));
        1
    }
}

/// See the module. Ends with everything on it.
pub struct Desk {
    bus: Child,
    address: String,
    pub dir: TempDir,
    bubbles: Bubbles,
    _notifications: Connection,
}

impl Desk {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address=1"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is not installed (Debian: dbus)");
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        let bubbles = Bubbles::default();
        let notifications = Builder::address(address.as_str())
            .unwrap()
            .name("org.freedesktop.Notifications")
            .unwrap()
            .serve_at("/org/freedesktop/Notifications", Notifications(bubbles.clone()))
            .unwrap()
            .build()
            .unwrap();
        Self { bus, address, dir, bubbles, _notifications: notifications }
    }

    /// A connection to be made to the bus, for other services of a desktop; it is the system's bus, too.
    pub fn on_the_bus(&self) -> Builder<'static> {
        Builder::address(self.address.as_str()).unwrap()
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A panel comes; it goes when the result is dropped.
    pub fn panel(&self) -> Panel {
        let icons = Icons::default();
        let connection = Builder::address(self.address.as_str())
            .unwrap()
            .serve_at("/StatusNotifierWatcher", Watcher(icons.clone()))
            .unwrap()
            .name("org.kde.StatusNotifierWatcher")
            .unwrap()
            .build()
            .unwrap();
        Panel { connection, icons }
    }

    /// Starts the tray on this desk, with the real server or another program in its place.
    pub fn tray(&self, server: Option<&Path>) -> Tray {
        self.tray_on(0, server)
    }

    /// The same with a server that is told this port; 0 is any free one.
    pub fn tray_on(&self, port: u16, server: Option<&Path>) -> Tray {
        let server = server.map_or_else(|| program("photosync-server"), Path::to_owned);
        let home = self.dir.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_photosync-tray"))
            .arg("--data")
            .arg(self.data())
            .arg("--server")
            .arg(server)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &home)
            .env("XDG_RUNTIME_DIR", self.dir.path())
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.address)
            .env("HOST", "127.0.0.1")
            .env("PORT", port.to_string())
            .env("PHOTOSYNC_METRICS_LISTEN", "127.0.0.1:0")
            .env("PHOTOSYNC_REGISTRATION_MODE", "open")
            // A bus starts the real key store of whoever runs the tests.
            .env("PHOTOSYNC_CLIENT_KEYSTORE", "off")
            .envs([("PHOTOSYNC_DISCOVERY", "off"), ("PHOTOSYNC_UPDATE_CHECK", "off")])
            .spawn()
            .unwrap();
        Tray { child }
    }

    /// Waits for a notification that begins with `title`, and returns all of it.
    pub fn bubble(&self, title: &str) -> String {
        wait_for(title, || {
            let bubbles = self.bubbles.lock().unwrap();
            bubbles.iter().find(|bubble| bubble.starts_with(title)).cloned()
        })
    }

    /// Process id of the server that holds the data, once there is one other than `not`.
    pub fn server_pid(&self, not: Option<u32>) -> u32 {
        wait_for("a server", || {
            let run = std::fs::read(self.data().join("run.json")).ok()?;
            let run: photosync_protocol::process::RunFile = serde_json::from_slice(&run).ok()?;
            Some(run.pid).filter(|pid| Some(*pid) != not && is_alive(*pid))
        })
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data().join("logs/server.log")).unwrap_or_default()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.bus.kill();
        let _ = self.bus.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

pub fn is_alive(pid: u32) -> bool {
    // A process that ended and was not waited for has a folder too.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim().starts_with('Z'))
}

pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// The tray program; killed when dropped, if it runs still.
pub struct Tray {
    pub child: Child,
}

impl Tray {
    /// Waits until the tray has ended, and returns its exit code.
    pub fn end(&mut self) -> Option<i32> {
        wait_for("the end of the tray", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Tray {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A panel with the icons that registered with it.
pub struct Panel {
    connection: Connection,
    icons: Icons,
}

type Node = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

/// One entry of a menu as a panel reads it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: i32,
    pub label: String,
    pub enabled: bool,
    pub checked: bool,
}

impl Panel {
    /// The icon that registered last.
    pub fn icon(&self) -> String {
        wait_for("an icon", || self.icons.lock().unwrap().last().cloned())
    }

    fn item(&self, icon: &str) -> Proxy<'static> {
        let (icon, path) = (icon.to_owned(), "/StatusNotifierItem");
        Proxy::new(&self.connection, icon, path, "org.kde.StatusNotifierItem").unwrap()
    }

    pub fn title(&self) -> String {
        self.item(&self.icon()).get_property("Title").unwrap()
    }

    /// The menu of the icon that registered last. An error is an icon that has gone.
    fn menu(&self) -> zbus::Result<Proxy<'static>> {
        let icon = self.icon();
        let path: OwnedObjectPath = self.item(&icon).get_property("Menu")?;
        Proxy::new(&self.connection, icon, path, "com.canonical.dbusmenu")
    }

    /// Every entry of the menu and its submenus, from the top.
    pub fn entries(&self) -> Vec<Entry> {
        let all = (0_i32, -1_i32, Vec::<String>::new());
        let layout: zbus::Result<(u32, Node)> =
            self.menu().and_then(|menu| menu.call("GetLayout", &all));
        let mut entries = Vec::new();
        if let Ok((_, root)) = layout {
            collect(&root, &mut entries);
        }
        entries
    }

    /// Waits for an entry whose text begins with `label` and that can be chosen, or not.
    pub fn entry(&self, label: &str, enabled: bool) -> Entry {
        wait_for(label, || {
            let found = self.entries().into_iter().find(|entry| entry.label.starts_with(label));
            found.filter(|entry| entry.enabled == enabled)
        })
    }

    /// Waits for a line of the menu.
    pub fn line(&self, text: &str) {
        self.entry(text, false);
    }

    pub fn click(&self, label: &str) {
        let entry = self.entry(label, true);
        let nothing = Value::from(0_i32);
        // A tray that quits may be gone before it answers; what follows from a click is what tests wait for.
        let menu = self.menu().unwrap();
        let _: zbus::Result<()> = menu.call("Event", &(entry.id, "clicked", nothing, 0_u32));
    }
}

fn collect((id, properties, children): &Node, entries: &mut Vec<Entry>) {
    let text =
        |name: &str| -> Option<String> { properties.get(name)?.try_clone().ok()?.try_into().ok() };
    if let Some(label) = text("label") {
        let enabled = properties.get("enabled").is_none_or(|v| bool::try_from(v).unwrap_or(true));
        let checked = properties.get("toggle-state").is_some_and(|v| i32::try_from(v) == Ok(1));
        entries.push(Entry { id: *id, label: label.replace("__", "_"), enabled, checked });
    }
    for child in children {
        let node: Node = child.try_clone().unwrap().try_into().unwrap();
        collect(&node, entries);
    }
}
