//! The icon as a StatusNotifierItem over D-Bus: no GTK, no X11. It needs a bus and, to be seen, a host; neither may be
//! there, and both may come and go.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tray_icon::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};

use super::{Shown, build_menu, hear_menu, note, picture};
use crate::log::Log;
use crate::menu::Face;
use crate::model::{Action, Event};

/// Who shows icons, on every desktop that does.
const HOST: &str = "org.kde.StatusNotifierWatcher";
/// A panel that starts with the session needs a moment.
const HOST_WAIT: Duration = Duration::from_secs(10);
/// A bus that accepts and never answers would hold the icon's thread for ever.
const ICON_WAIT: Duration = Duration::from_secs(15);

/// Runs `work` here, with a function that shows a face, and the icon beside it. Returns when `work` does.
pub fn run(events: Sender<Event>, log: Log, work: impl FnOnce(Box<dyn FnMut(Face)>)) {
    let (faces, to_show) = channel();
    let icon_log = log.clone();
    let icon_events = events.clone();
    let (ready, is_ready) = channel();
    let icon = std::thread::Builder::new()
        .name("icon".into())
        .spawn(move || hold_icon(&to_show, icon_events, &icon_log, &ready));
    if let Err(error) = icon {
        log.note(&format!("the icon has no thread: {error}"));
    }
    let waiting = std::thread::Builder::new().name("host".into()).stack_size(256 * 1024).spawn({
        let log = log.clone();
        move || {
            let built: Result<(), String> = is_ready
                .recv_timeout(ICON_WAIT)
                .unwrap_or_else(|_| Err("the session bus does not answer".to_owned()));
            match built {
                Ok(()) => watch_host(&events, &log),
                Err(why) => {
                    log.note(&format!("there is no icon: {why}"));
                    let _ = events.send(Event::NoIcon);
                }
            }
        }
    });
    if let Err(error) = waiting {
        log.note(&format!("nobody looks whether the icon is seen: {error}"));
    }
    work(Box::new(move |face| {
        // Without an icon nobody receives it.
        let _ = faces.send(face);
    }));
}

/// Builds the icon with the first face, and changes it with each that follows. All of it on one thread, as the
/// library wants it.
fn hold_icon(
    faces: &Receiver<Face>,
    events: Sender<Event>,
    log: &Log,
    ready: &Sender<Result<(), String>>,
) {
    let Ok(first) = faces.recv() else { return };
    let shown = Shown::default();
    listen(events, shown.clone());
    let icon = match build(&first, &shown) {
        Ok(icon) => icon,
        Err(why) => {
            let _ = ready.send(Err(why));
            return;
        }
    };
    let _ = ready.send(Ok(()));
    let mut mood = first.mood;
    for face in faces {
        if let Err(why) = change(&icon, &face, mood, &shown) {
            log.note(&format!("the icon could not be changed: {why}"));
        }
        mood = face.mood;
    }
}

/// Sends what a person chooses.
fn listen(events: Sender<Event>, shown: Shown) {
    hear_menu(events.clone(), shown);
    TrayIconEvent::set_event_handler(Some(move |event| {
        // A left click opens no menu here: it does what one most likely wants.
        if let TrayIconEvent::Click {
            button: MouseButton::Left,
            button_state: MouseButtonState::Up,
            ..
        } = event
        {
            let _ = events.send(Event::Chosen(Action::OpenPage));
        }
    }));
}

fn build(face: &Face, shown: &Shown) -> Result<TrayIcon, String> {
    let menu = build_menu(&face.menu).map_err(|error| error.to_string())?;
    note(shown, &face.menu);
    let mut builder = TrayIconBuilder::new()
        .with_id("photosync")
        .with_title(crate::texts::PRODUCT)
        .with_tooltip(&face.tooltip)
        .with_menu(Box::new(menu));
    if let Some(picture) = picture(face.mood) {
        builder = builder.with_icon(picture);
    }
    builder.build().map_err(|error| error.to_string())
}

fn change(
    icon: &TrayIcon,
    face: &Face,
    mood: crate::menu::Mood,
    shown: &Shown,
) -> Result<(), String> {
    let menu = build_menu(&face.menu).map_err(|error| error.to_string())?;
    note(shown, &face.menu);
    icon.set_menu(Some(Box::new(menu)));
    icon.set_tooltip(Some(&face.tooltip)).map_err(|error| error.to_string())?;
    if mood != face.mood {
        icon.set_icon(picture(face.mood)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Notes whether a host is there, says once if none came, and ends the tray when the bus, and so the session, ends.
fn watch_host(events: &Sender<Event>, log: &Log) {
    if let Err(error) = follow_host(events, log) {
        log.note(&format!("the session bus is gone: {error}"));
        let _ = events.send(Event::SessionEnds);
    }
}

/// The library registers the icon, and then begins to listen for hosts: one that comes between the two, as both start
/// with the session, never hears of the icon. Whoever calls this listens already.
fn register_if_missed(connection: &zbus::blocking::Connection, log: &Log) {
    // The library's name for the first icon of a process, and so the only one here.
    let icon = format!("org.kde.StatusNotifierItem-{}-1", std::process::id());
    let ask = || -> zbus::Result<()> {
        let host = zbus::blocking::Proxy::new(connection, HOST, "/StatusNotifierWatcher", HOST)?;
        let known: Vec<String> = host.get_property("RegisteredStatusNotifierItems")?;
        if known.iter().any(|name| name.starts_with(&icon)) {
            return Ok(());
        }
        log.note("the desktop came while the icon did; registering it once more");
        host.call("RegisterStatusNotifierItem", &(&icon,))
    };
    if let Err(error) = ask() {
        log.note(&format!("the desktop could not be asked for its icons: {error}"));
    }
}

fn follow_host(events: &Sender<Event>, log: &Log) -> zbus::Result<()> {
    let connection = zbus::blocking::Connection::session()?;
    let bus = zbus::blocking::fdo::DBusProxy::new(&connection)?;
    // Changes first, then the state: nothing between the two is missed.
    let changes = bus.receive_name_owner_changed_with_args(&[(0, HOST)])?;
    let is_there = bus.name_has_owner(HOST.try_into()?)?;
    let (told, came) = channel();
    if !is_there {
        log.note("no desktop shows icons yet; waiting for one");
        let events = events.clone();
        std::thread::Builder::new().name("no-host".into()).stack_size(128 * 1024).spawn(
            move || {
                if came.recv_timeout(HOST_WAIT).is_err() {
                    let _ = events.send(Event::NoIcon);
                }
            },
        )?;
    }
    if is_there {
        register_if_missed(&connection, log);
    }
    for change in changes {
        let is_there = change.args()?.new_owner().is_some();
        log.note(if is_there {
            "a desktop shows the icon"
        } else {
            "no desktop shows the icon now"
        });
        if is_there {
            let _ = told.send(());
        }
    }
    Err(zbus::Error::Failure("the stream of its messages ended".to_owned()))
}
