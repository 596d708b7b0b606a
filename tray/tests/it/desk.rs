//! A desk: a session bus of its own, a host that shows icons, and the tray on it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use photosync_protocol::process::RunFile;
use tempfile::TempDir;
use zbus::blocking::connection::Builder;
use zbus::blocking::fdo::DBusProxy;
use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

/// Longest wait for a state: these tests share two processors with everything else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` finds something.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_since(Instant::now(), what, look)
}

/// The same, with a patience that began at that moment.
pub fn wait_since<T>(began: Instant, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A program that was built beside the tests.
pub fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let folder = exe.ancestors().find(|path| path.join(name).is_file());
    folder.unwrap_or_else(|| panic!("{name} is not built")).join(name)
}

/// Icons that registered, by the bus name they came from.
type Icons = Arc<Mutex<Vec<String>>>;

/// The part of a panel that icons register with.
struct Watcher {
    icons: Icons,
    /// How many icons it does not hear.
    missed: AtomicUsize,
}

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(
        &self,
        service: &str,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) {
        let sender = header.sender().map_or_else(|| service.to_owned(), ToString::to_string);
        let one_less = |left: usize| left.checked_sub(1);
        if self.missed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return;
        }
        // Who calls may register another's icon.
        let icon = if service.starts_with('/') { sender } else { service.to_owned() };
        self.icons.lock().unwrap().push(icon);
    }

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        self.icons.lock().unwrap().iter().map(|icon| format!("{icon}/StatusNotifierItem")).collect()
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
    environment: Vec<(&'static str, OsString)>,
    pub dir: TempDir,
    bubbles: Bubbles,
    notifications: Connection,
}

impl Desk {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// A desk whose programs have more in their environment.
    pub fn with(more: &[(&'static str, &OsStr)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        // What a desktop opens is written down instead.
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let opened = dir.path().join("opened");
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >>'{}'\n", opened.display());
        write_program(&bin.join("xdg-open"), &script);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path)));
        let mut environment: Vec<(&'static str, OsString)> = vec![
            ("PATH", path.unwrap()),
            ("HOME", dir.path().join("home").into()),
            ("XDG_RUNTIME_DIR", dir.path().into()),
            ("LANG", "C.UTF-8".into()),
        ];
        environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address=1"])
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is not installed (Debian: dbus)");
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        for bus in ["DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS"] {
            environment.push((bus, address.clone().into()));
        }
        let bubbles = Bubbles::default();
        let notifications = Builder::address(address.as_str())
            .unwrap()
            .name("org.freedesktop.Notifications")
            .unwrap()
            .serve_at("/org/freedesktop/Notifications", Notifications(bubbles.clone()))
            .unwrap()
            .build()
            .unwrap();
        Self { bus, address, environment, dir, bubbles, notifications }
    }

    /// A program with the environment of this desk and nothing else.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
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
        self.panel_that_misses(0)
    }

    /// A panel that does not hear the first icons.
    pub fn panel_that_misses(&self, missed: usize) -> Panel {
        let icons = Icons::default();
        let watcher = Watcher { icons: icons.clone(), missed: missed.into() };
        let connection = Builder::address(self.address.as_str())
            .unwrap()
            .serve_at("/StatusNotifierWatcher", watcher)
            .unwrap()
            .name("org.kde.StatusNotifierWatcher")
            .unwrap()
            .build()
            .unwrap();
        Panel { connection, icons: Source::Own(icons) }
    }

    /// Whatever panel is on this desk, through its own watcher.
    pub fn foreign_panel(&self) -> Panel {
        let connection = Builder::address(self.address.as_str()).unwrap().build().unwrap();
        Panel { connection, icons: Source::Watcher }
    }

    /// Whether somebody has this name on the bus.
    pub fn is_on_bus(&self, name: &str) -> bool {
        let bus = DBusProxy::new(&self.notifications).unwrap();
        bus.name_has_owner(name.try_into().unwrap()).unwrap()
    }

    /// Waits until something was opened whose name begins with `start`, and returns all of it.
    pub fn opened(&self, start: &str) -> String {
        wait_for(&format!("the opening of {start}"), || {
            let opened = std::fs::read_to_string(self.dir.path().join("opened")).ok()?;
            opened.lines().find(|line| line.starts_with(start)).map(str::to_owned)
        })
    }

    /// Starts the tray on this desk, with the real server or another program in its place.
    pub fn tray(&self, server: Option<&Path>) -> Tray {
        self.tray_on(0, server)
    }

    /// The same with a server that is told this port; 0 is any free one.
    pub fn tray_on(&self, port: u16, server: Option<&Path>) -> Tray {
        let server = server.map_or_else(|| program("photosync-server"), Path::to_owned);
        let mut command = self.command(env!("CARGO_BIN_EXE_photosync-tray"));
        command.arg("--data").arg(self.data()).arg("--server").arg(server);
        Tray { child: serving(&mut command, port).spawn().unwrap() }
    }

    /// Waits for a notification that begins with `title`, and returns all of it.
    pub fn bubble(&self, title: &str) -> String {
        wait_for(title, || {
            let bubbles = self.bubbles.lock().unwrap();
            bubbles.iter().find(|bubble| bubble.starts_with(title)).cloned()
        })
    }

    /// Starts what a desktop entry says; the exit code, and the page that it opened.
    pub fn start_entry(&self, entry: &Path) -> (Option<i32>, String) {
        let entry = std::fs::read_to_string(entry).unwrap();
        let exec = entry.lines().find_map(|line| line.strip_prefix("Exec=")).unwrap();
        let started = self.command("sh").arg("-c").arg(exec).status().unwrap();
        (started.code(), self.opened("http://127.0.0.1:"))
    }

    /// Port of the running server, from its own words.
    pub fn port(&self) -> u16 {
        const WORDS: &str = "type into the phone app: 127.0.0.1:";
        let log = self.log();
        let digits = log.rsplit(WORDS).next().unwrap().split('"').next().unwrap();
        digits.parse().unwrap()
    }

    /// Forgets what was opened until now.
    pub fn forget_opened(&self) {
        std::fs::remove_file(self.dir.path().join("opened")).unwrap();
    }

    /// Makes somebody an account with the running server.
    pub fn add_account(&self, email: &str) {
        let mut adding = self
            .command(program("photosync-server"))
            .args(["user", "add", email, "--data"])
            .arg(self.data())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        adding.stdin.take().unwrap().write_all(b"correct horse battery\n").unwrap();
        assert!(adding.wait().unwrap().success());
    }

    /// Process id of the server that holds the data, once there is one other than `not`.
    pub fn server_pid(&self, not: Option<u32>) -> u32 {
        wait_for("a server", || {
            let run = std::fs::read(self.data().join("run.json")).ok()?;
            let run: RunFile = serde_json::from_slice(&run).ok()?;
            Some(run.pid).filter(|pid| Some(*pid) != not && is_alive(*pid))
        })
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data().join("logs/server.log")).unwrap_or_default()
    }
}

/// Gives a tray the settings of a server that serves this computer alone.
pub fn serving(command: &mut Command, port: u16) -> &mut Command {
    command.env("HOST", "127.0.0.1").env("PORT", port.to_string()).envs([
        // A bus starts the real key store of whoever runs the tests.
        ("PHOTOSYNC_CLIENT_KEYSTORE", "off"),
        ("PHOTOSYNC_METRICS_LISTEN", "127.0.0.1:0"),
        ("PHOTOSYNC_REGISTRATION_MODE", "open"),
        ("PHOTOSYNC_DISCOVERY", "off"),
        ("PHOTOSYNC_UPDATE_CHECK", "off"),
    ])
}

/// Writes a script that can be run.
pub fn write_program(path: &Path, script: &str) {
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.bus.kill();
        let _ = self.bus.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        // A test that failed leaves a server behind that nobody ends: its tray was killed.
        let run = std::fs::read(self.data().join("run.json")).ok();
        let run = run.and_then(|run| serde_json::from_slice::<RunFile>(&run).ok());
        if let Some(pid) = run.map(|run| run.pid).filter(|pid| serves(*pid, &self.data())) {
            signal(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Whether that process is a server of this data: the number may be another program's by now.
fn serves(pid: u32, data: &Path) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    is_alive(pid) && String::from_utf8_lossy(&command).contains(&*data.to_string_lossy())
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
    icons: Source,
}

/// Who knows the icons.
enum Source {
    /// This process, which plays the panel.
    Own(Icons),
    /// The watcher of a panel.
    Watcher,
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
        wait_for("an icon", || match &self.icons {
            Source::Own(icons) => icons.lock().unwrap().last().cloned(),
            Source::Watcher => self.registered().last().cloned(),
        })
    }

    /// Bus names of the icons that a watcher knows; none where there is no watcher.
    pub fn registered(&self) -> Vec<String> {
        const WATCHER: &str = "org.kde.StatusNotifierWatcher";
        let watcher = Proxy::new(&self.connection, WATCHER, "/StatusNotifierWatcher", WATCHER);
        let icons = watcher.and_then(|watcher| {
            watcher.get_property::<Vec<String>>("RegisteredStatusNotifierItems")
        });
        let name_of = |icon: String| icon.split('/').next().unwrap_or_default().to_owned();
        icons.unwrap_or_default().into_iter().map(name_of).collect()
    }

    fn item(&self, icon: &str) -> Proxy<'static> {
        let (icon, path) = (icon.to_owned(), "/StatusNotifierItem");
        Proxy::new(&self.connection, icon, path, "org.kde.StatusNotifierItem").unwrap()
    }

    pub fn title(&self) -> String {
        self.item(&self.icon()).get_property("Title").unwrap()
    }

    /// What is said when the pointer rests on the icon.
    pub fn tooltip(&self) -> String {
        type Picture = (i32, i32, Vec<u8>);
        let tip: OwnedValue = self.item(&self.icon()).get_property("ToolTip").unwrap();
        let tip: (String, Vec<Picture>, String, String) = tip.try_into().unwrap();
        format!("{}\n{}", tip.2, tip.3)
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
