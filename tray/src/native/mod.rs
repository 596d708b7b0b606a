//! The icon in the panel. Everything that differs between systems is in here: Linux has an icon over D-Bus, Windows and
//! macOS share an event loop.

#[cfg(any(windows, target_os = "macos"))]
mod desktop;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(windows)]
mod windows;

#[cfg(any(windows, target_os = "macos"))]
pub use desktop::run;
#[cfg(target_os = "linux")]
pub use linux::run;
#[cfg(target_os = "macos")]
use macos as system;
#[cfg(windows)]
use windows as system;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
compile_error!("this system has no icon here: only Linux, macOS and Windows have");

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(any(windows, target_os = "macos", test))]
use tray_icon::menu::MenuItemKind;
use tray_icon::menu::{
    CheckMenuItem, IsMenuItem, Menu, MenuEvent, MenuItem, PredefinedMenuItem, Submenu,
};

use crate::menu::{Item, Mood};
use crate::model::{Action, Event};

/// What the native menu shows now.
type Shown = Arc<Mutex<Vec<Item>>>;

/// Notes what the native menu shows from now on.
fn note(shown: &Shown, items: &[Item]) {
    *shown.lock().unwrap_or_else(PoisonError::into_inner) = items.to_vec();
}

/// Sends what a person chooses in the menu.
fn hear_menu(events: Sender<Event>, shown: Shown) {
    MenuEvent::set_event_handler(Some(move |event: MenuEvent| {
        let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(action) = action_of(&shown, event.id().as_ref()) {
            let _ = events.send(Event::Chosen(action));
        }
    }));
}

/// The id of an entry says what the entry does, not where it stands: a menu that changes while it is open may miss a
/// click, but never does something else.
fn id_of(action: &Action) -> String {
    format!("{action:?}")
}

/// What an id stands for, unless its entry has gone or is grey: some desktops let people choose those too.
fn action_of(items: &[Item], id: &str) -> Option<Action> {
    items.iter().find_map(|item| match item {
        Item::Entry { action, enabled: true, .. } | Item::Check { action, .. } => {
            (id_of(action) == id).then(|| action.clone())
        }
        Item::Sub { items, .. } => action_of(items, id),
        Item::Entry { .. } | Item::Line(_) | Item::Separator => None,
    })
}

/// Builds the native menu.
fn build_menu(items: &[Item]) -> Result<Menu, tray_icon::menu::Error> {
    let menu = Menu::new();
    for item in items {
        menu.append(build_item(item)?.as_ref())?;
    }
    Ok(menu)
}

fn build_item(item: &Item) -> Result<Box<dyn IsMenuItem>, tray_icon::menu::Error> {
    Ok(match item {
        Item::Line(text) => Box::new(MenuItem::new(literal(text), false, None)),
        Item::Entry { action, text, enabled } => {
            Box::new(MenuItem::with_id(id_of(action), literal(text), *enabled, None))
        }
        Item::Check { action, text, on } => {
            Box::new(CheckMenuItem::with_id(id_of(action), literal(text), true, *on, None))
        }
        Item::Sub { text, items } => {
            let sub = Submenu::new(literal(text), true);
            for item in items {
                sub.append(build_item(item)?.as_ref())?;
            }
            Box::new(sub)
        }
        Item::Separator => Box::new(PredefinedMenuItem::separator()),
    })
}

/// Changes what differs between two lists of one shape ([`crate::menu::has_same_shape`]).
#[cfg(any(windows, target_os = "macos", test))]
fn change_in_place(native: &[MenuItemKind], before: &[Item], now: &[Item]) {
    for (native, (before, now)) in native.iter().zip(before.iter().zip(now)) {
        match (native, now) {
            // A choice toggles itself when it is clicked, and not always to what came of it: set whatever it was.
            (MenuItemKind::Check(entry), Item::Check { text, on, .. }) => {
                entry.set_text(literal(text));
                entry.set_checked(*on);
            }
            _ if before == now => {}
            (MenuItemKind::MenuItem(line), Item::Line(text)) => line.set_text(literal(text)),
            (MenuItemKind::MenuItem(entry), Item::Entry { text, enabled, .. }) => {
                entry.set_text(literal(text));
                entry.set_enabled(*enabled);
            }
            (MenuItemKind::Submenu(sub), Item::Sub { text, items }) => {
                sub.set_text(literal(text));
                if let Item::Sub { items: before, .. } = before {
                    change_in_place(&sub.items(), before, items);
                }
            }
            _ => {}
        }
    }
}

/// A text in which `&` marks no shortcut.
fn literal(text: &str) -> String {
    text.replace('&', "&&")
}

/// The picture of a mood, as it was drawn (`assets/*.svg`).
#[cfg(not(target_os = "macos"))]
fn picture(mood: Mood) -> Option<tray_icon::Icon> {
    decode(match mood {
        Mood::Well => include_bytes!("../../assets/icon-well.png"),
        Mood::Resting => include_bytes!("../../assets/icon-resting.png"),
        Mood::Attention => include_bytes!("../../assets/icon-attention.png"),
    })
}

/// The same as a shape alone, which the menu bar of macOS colours itself.
#[cfg(any(target_os = "macos", test))]
fn shape(mood: Mood) -> Option<tray_icon::Icon> {
    decode(match mood {
        Mood::Well => include_bytes!("../../assets/icon-well-template.png"),
        Mood::Resting => include_bytes!("../../assets/icon-resting-template.png"),
        Mood::Attention => include_bytes!("../../assets/icon-attention-template.png"),
    })
}

fn decode(bytes: &[u8]) -> Option<tray_icon::Icon> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().ok()?;
    let mut pixels = vec![0; reader.output_buffer_size()?];
    let frame = reader.next_frame(&mut pixels).ok()?;
    tray_icon::Icon::from_rgba(pixels, frame.width, frame.height).ok()
}

#[cfg(test)]
mod tests;
