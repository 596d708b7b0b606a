//! This computer's own backup, from the menu to the photos on the server's disk.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use zbus::blocking::Connection;
use zbus::zvariant::{OwnedFd, OwnedObjectPath, OwnedValue, Value};

use crate::desk::{Desk, Panel, Tray, program, wait_for, wait_since};

/// Adds an account to the server that runs on this desk.
fn add_account(desk: &Desk, email: &str) {
    desk.server_pid(None);
    let mut adding = Command::new(program("photosync-server"))
        .args(["user", "add", email, "--data"])
        .arg(desk.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(adding.stdin.take().unwrap(), "a long enough password").unwrap();
    assert!(adding.wait().unwrap().success(), "{email}");
}

/// A folder of this desk's person with so many photos.
fn photos(desk: &Desk, name: &str, count: usize) -> PathBuf {
    let folder = desk.dir.path().join("home").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for number in 0..count {
        std::fs::write(folder.join(format!("{number}.jpg")), format!("{name} {number}")).unwrap();
    }
    folder
}

/// A tray whose server runs and has one account, and so many photos that nobody has chosen yet.
fn with_account_and_photos(desk: &Desk, count: usize) -> (Panel, Tray) {
    photos(desk, "Pictures", count);
    let panel = desk.panel();
    let tray = desk.tray(None);
    panel.line("● Running");
    add_account(desk, "ada@example.org");
    (panel, tray)
}

/// What the originals on the server's disk say, in order.
fn originals(desk: &Desk) -> Vec<String> {
    let mut texts = Vec::new();
    for account in std::fs::read_dir(desk.data().join("uploads")).unwrap().flatten() {
        let Ok(files) = std::fs::read_dir(account.path()) else { continue };
        let files = files.flatten().filter(|file| file.path().extension() == Some("jpg".as_ref()));
        texts.extend(files.map(|file| std::fs::read_to_string(file.path()).unwrap()));
    }
    texts.sort();
    texts
}

/// The dialog of a desktop: answers each question with what the test says.
struct Chooser(Mutex<Receiver<Vec<String>>>);

#[zbus::interface(name = "org.freedesktop.portal.FileChooser")]
impl Chooser {
    #[zbus(property, name = "version")]
    fn version(&self) -> u32 {
        4
    }

    async fn open_file(
        &self,
        #[zbus(header)] header: zbus::message::Header<'_>,
        #[zbus(connection)] connection: &zbus::Connection,
        _parent: &str,
        _title: &str,
        options: HashMap<String, OwnedValue>,
    ) -> OwnedObjectPath {
        assert!(bool::try_from(&options["directory"]).unwrap(), "files are not asked for");
        let sender = header.sender().unwrap().trim_start_matches(':').replace('.', "_");
        let token: String = options["handle_token"].try_clone().unwrap().try_into().unwrap();
        let path = format!("/org/freedesktop/portal/desktop/request/{sender}/{token}");
        let uris = self.0.lock().unwrap().recv().unwrap();
        let results = HashMap::from([("uris", Value::from(uris.clone()))]);
        let answer = (u32::from(uris.is_empty()), results);
        let interface = "org.freedesktop.portal.Request";
        connection
            .emit_signal(header.sender().cloned(), path.as_str(), interface, "Response", &answer)
            .await
            .unwrap();
        path.try_into().unwrap()
    }
}

fn portal(desk: &Desk) -> (Connection, Sender<Vec<String>>) {
    let (answers, asked) = channel();
    let connection = desk
        .on_the_bus()
        .name("org.freedesktop.portal.Desktop")
        .unwrap()
        .serve_at("/org/freedesktop/portal/desktop", Chooser(Mutex::new(asked)))
        .unwrap()
        .build()
        .unwrap();
    (connection, answers)
}

fn uri(folder: &Path) -> String {
    format!("file://{}", folder.display()).replace(' ', "%20")
}

#[test]
fn a_folder_is_chosen_by_name_and_all_of_it_is_on_the_server_without_a_password() {
    let desk = Desk::new();
    let pictures = photos(&desk, "Pictures", 3);
    let panel = desk.panel();
    let mut tray = desk.tray(None);
    panel.line("● Running");
    panel.line("No folder is backed up");
    add_account(&desk, "ada@example.org");

    panel.click("Add Pictures");
    let line = panel.entry("Last backup: today", false).label;
    assert!(line.ends_with(", 3 files"), "{line}");
    panel.line("To this computer's server, as ada@example.org");
    assert_eq!(originals(&desk), ["Pictures 0", "Pictures 1", "Pictures 2"]);

    std::fs::write(pictures.join("new.jpg"), "new").unwrap();
    panel.click("Back up now");
    wait_for("the new photo", || {
        panel.entry("Last backup: today", false).label.ends_with(", 4 files").then_some(())
    });
    assert!(originals(&desk).contains(&"new".to_owned()));

    panel.click("Remove from the backup");
    panel.line("Last backup: today");
    panel.entry("Back up now", false);
    panel.entry("Add Pictures", true);
    assert!(pictures.join("0.jpg").exists(), "nothing is deleted here");
    assert_eq!(originals(&desk).len(), 4, "or there");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn folders_chosen_in_the_dialog_are_backed_up_as_whom_the_person_says_also_by_the_next_tray() {
    let desk = Desk::new();
    let (_portal, answers) = portal(&desk);
    let folder = photos(&desk, "my photos", 2);
    let panel = desk.panel();
    let mut tray = desk.tray(None);
    panel.line("● Running");
    for email in ["ada@example.org", "ben@example.org"] {
        add_account(&desk, email);
    }
    // The tray hears the same lines: after three of these it has heard one with both.
    let mut lines = 0;
    photosync_tray::control::follow(&desk.data(), |status| {
        lines += usize::from(status.people.len() == 2);
        lines < 3
    })
    .unwrap();
    panel.click("Add a folder");
    answers.send(Vec::new()).unwrap();
    panel.click("Add a folder");
    answers.send(vec![uri(&folder)]).unwrap();
    panel.entry(&folder.display().to_string(), true);
    panel.entry("Back up as ada@example.org", true);
    assert_eq!(originals(&desk), [""; 0], "nobody was chosen yet");
    panel.click("Back up as ben@example.org");
    panel.line("To this computer's server, as ben@example.org");
    panel.line("Last backup: today");
    assert_eq!(originals(&desk), ["my photos 0", "my photos 1"]);
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));

    std::fs::write(folder.join("later.jpg"), "later").unwrap();
    let mut tray = desk.tray(None);
    wait_for("the later photo", || originals(&desk).contains(&"later".to_owned()).then_some(()));
    panel.line("To this computer's server, as ben@example.org");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn a_computer_with_the_keys_of_a_sealed_backup_is_sealed_too() {
    let desk = Desk::new();
    let (panel, mut tray) = with_account_and_photos(&desk, 2);
    panel.click("Add Pictures");
    panel.line("Last backup: today");
    let mut beginning = Command::new(program("photosync"))
        .args(["relay", "init", "--password-memory", "64"])
        .env("HOME", desk.dir.path().join("home"))
        .env("PHOTOSYNC_CLIENT_KEYSTORE", "off")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    write!(beginning.stdin.take().unwrap(), "a password for seals\na password for seals\n")
        .unwrap();
    assert!(beginning.wait().unwrap().success());
    panel.click("Back up now");
    panel.line("To this computer's server, as ada@example.org, and sealed");
    let is_sealed = || -> Option<()> {
        let accounts = std::fs::read_dir(desk.data().join("relay")).ok()?.flatten();
        accounts
            .into_iter()
            .any(|account| account.path().join(".chains.jsonl").exists())
            .then_some(())
    };
    wait_for("a sealed chain", is_sealed);
    panel.line("Last backup: today");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn without_a_dialog_a_notification_says_what_can_be_done() {
    let desk = Desk::new();
    let panel = desk.panel();
    let mut tray = desk.tray(None);
    panel.line("● Running");
    panel.click("Add a folder");
    desk.bubble("No folders can be chosen here");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn a_device_without_a_backup_for_too_long_has_a_line_and_one_notification() {
    let desk = Desk::new();
    let (panel, mut tray) = with_account_and_photos(&desk, 1);
    panel.click("Add Pictures");
    panel.line("Last backup: today");
    panel.click("Remove from the backup");
    panel.entry("Add Pictures", true);
    panel.click("Stop");
    panel.line("○ Stopped");
    // Nine days later.
    let database = rusqlite::Connection::open(desk.data().join("photosync.db")).unwrap();
    let nine_days_ms = 9 * 86_400_000_i64;
    let older =
        "UPDATE devices SET label = 'Anna''s phone', inventory_at_ms = inventory_at_ms - ?1";
    assert_eq!(database.execute(older, [nine_days_ms]).unwrap(), 1);
    drop(database);
    panel.click("Start");
    panel.line("⚠ Anna's phone: no complete backup for 9 days");
    let told = desk.bubble("A device has not been backed up");
    assert!(told.contains("ada@example.org"), "{told}");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));

    let mut tray = desk.tray(None);
    panel.line("⚠ Anna's phone: no complete backup for 9 days");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
    assert_eq!(desk.log().matches("A device has not been backed up").count(), 1);
}

/// The other ends of what keeps the computer awake, with what was asked for.
type Holds = Arc<Mutex<Vec<(String, std::os::unix::net::UnixStream)>>>;

struct Logind(Holds);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Logind {
    fn inhibit(&self, what: &str, who: &str, _why: &str, mode: &str) -> OwnedFd {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        self.0.lock().unwrap().push((format!("{what} {who} {mode}"), ours));
        OwnedFd::from(std::os::fd::OwnedFd::from(theirs))
    }
}

/// Waits until the server has received something, and returns when that was known: the tray hears the same lines.
fn wait_for_growth(desk: &Desk) -> Instant {
    wait_for("bytes that arrive", || {
        let mut has_grown = false;
        // A stream that ends too early is followed again.
        let _ = photosync_tray::control::follow(&desk.data(), |status| {
            has_grown = status.received_bytes > 0;
            !has_grown
        });
        has_grown.then(Instant::now)
    })
}

/// Whether somebody still holds the other end.
fn is_held(mut end: &std::os::unix::net::UnixStream) -> bool {
    std::io::Read::read(&mut end, &mut [0]).is_err()
}

#[test]
fn the_computer_stays_awake_while_photos_arrive_and_may_sleep_afterwards() {
    let desk = Desk::new();
    let holds = Holds::default();
    let _logind = desk
        .on_the_bus()
        .name("org.freedesktop.login1")
        .unwrap()
        .serve_at("/org/freedesktop/login1", Logind(holds.clone()))
        .unwrap()
        .build()
        .unwrap();
    let (panel, mut tray) = with_account_and_photos(&desk, 3);
    assert!(holds.lock().unwrap().is_empty(), "nothing arrives yet");
    panel.click("Add Pictures");
    let grown = wait_for_growth(&desk);
    wait_for("a hold", || (!holds.lock().unwrap().is_empty()).then_some(()));
    // The rule is 30 s, and stories of the model keep to it; here is a machine with other work.
    wait_since(grown, "the end of the hold", || {
        holds.lock().unwrap().iter().all(|(_, end)| !is_held(end)).then_some(())
    });
    panel.line("Last backup: today");
    for (what, _) in holds.lock().unwrap().iter() {
        assert_eq!(what, "sleep:idle PhotoSync block");
    }
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

/// Who asked the desktop for it, by name on the bus.
struct ScreenSaver(Arc<Mutex<Vec<String>>>);

#[zbus::interface(name = "org.freedesktop.ScreenSaver")]
impl ScreenSaver {
    fn inhibit(
        &self,
        #[zbus(header)] header: zbus::message::Header<'_>,
        who: &str,
        _why: &str,
    ) -> u32 {
        assert_eq!(who, "PhotoSync");
        self.0.lock().unwrap().push(header.sender().unwrap().to_string());
        1
    }
}

#[test]
fn without_logind_the_desktop_is_asked_to_stay_awake_and_the_asking_ends_too() {
    let desk = Desk::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let saver = desk
        .on_the_bus()
        .name("org.freedesktop.ScreenSaver")
        .unwrap()
        .serve_at("/org/freedesktop/ScreenSaver", ScreenSaver(asked.clone()))
        .unwrap()
        .build()
        .unwrap();
    let (panel, mut tray) = with_account_and_photos(&desk, 2);
    panel.click("Add Pictures");
    let grown = wait_for_growth(&desk);
    wait_for("somebody who asks", || (!asked.lock().unwrap().is_empty()).then_some(()));
    let bus = zbus::blocking::fdo::DBusProxy::new(&saver).unwrap();
    // Desktops take the end of the asking connection for the end of the wish.
    wait_since(grown, "the end of those who asked", || {
        let asked = asked.lock().unwrap();
        let is_there =
            |name: &String| bus.name_has_owner(name.as_str().try_into().unwrap()).unwrap();
        (!asked.iter().any(is_there)).then_some(())
    });
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}
