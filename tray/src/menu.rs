//! The menu as a function of the state. Native edges only draw it.

use crate::model::{Action, LOW_SPACE_BYTES, Server, State};
use crate::texts::{self, PRODUCT, entry, state as line};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A line that only says something.
    Line(String),
    /// Something to choose.
    Entry {
        /// What it does.
        action: Action,
        /// Its text.
        text: String,
        /// Whether it can be chosen now.
        enabled: bool,
    },
    /// Something that is on or off.
    Check {
        /// What choosing it does.
        action: Action,
        /// Its text.
        text: String,
        /// Whether it is on.
        on: bool,
    },
    /// A menu of its own.
    Sub {
        /// Its text.
        text: String,
        /// Its entries.
        items: Vec<Item>,
    },
    /// A line between groups.
    Separator,
}

/// Everything the icon shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// The menu, from its top.
    pub menu: Vec<Item>,
    /// What is said when the pointer rests on the icon.
    pub tooltip: String,
    /// Whether the icon asks for attention.
    pub mood: Mood,
}

/// How the icon looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// The server runs.
    Well,
    /// It does not, because nobody wants it to, or not yet.
    Resting,
    /// Somebody should look.
    Attention,
}

/// What the icon shows in this state.
pub fn face(state: &State) -> Face {
    let version = env!("CARGO_PKG_VERSION");
    let (mood, state_line) = state_line(state);
    let mut menu = vec![Item::Line(format!("{PRODUCT} {version}")), Item::Line(state_line.clone())];
    if let Some(free) = state.status.as_ref().and_then(|status| status.free_bytes)
        && free < LOW_SPACE_BYTES
    {
        menu.push(Item::Line(texts::low_space(free)));
    }
    menu.push(Item::Separator);
    menu.push(Item::Sub { text: entry::ADDRESSES.to_owned(), items: addresses(state) });
    let runs = matches!(state.server, Server::Running { .. });
    menu.push(choice(Action::Pair, entry::PAIR, runs));
    menu.push(choice(Action::OpenPage, entry::OPEN_PAGE, runs));
    menu.push(choice(Action::OpenPhotos, entry::OPEN_PHOTOS, true));
    menu.push(Item::Separator);
    let can_start = matches!(state.server, Server::Stopped(_) | Server::Pausing);
    let can_stop = runs || matches!(state.server, Server::Starting { .. } | Server::Pausing);
    menu.push(choice(Action::Start, entry::START, can_start));
    menu.push(choice(Action::Stop, entry::STOP, can_stop));
    menu.push(choice(Action::Restart, entry::RESTART, runs));
    menu.push(Item::Separator);
    if let Some(on) = state.starts_at_login {
        let text = entry::LOGIN.to_owned();
        menu.push(Item::Check { action: Action::ToggleLogin, text, on });
    }
    menu.push(choice(Action::OpenLog, entry::LOG, true));
    menu.push(Item::Separator);
    menu.push(choice(Action::Quit, entry::QUIT, true));
    Face { menu, tooltip: format!("{PRODUCT} {version}\n{state_line}"), mood }
}

/// Whether two menus have the same entries in the same order, whatever their texts are and whether they can be chosen.
pub fn has_same_shape(one: &[Item], other: &[Item]) -> bool {
    let is_alike = |pair: (&Item, &Item)| match pair {
        (Item::Line(_), Item::Line(_)) | (Item::Separator, Item::Separator) => true,
        (Item::Entry { action: one, .. }, Item::Entry { action: other, .. })
        | (Item::Check { action: one, .. }, Item::Check { action: other, .. }) => one == other,
        (Item::Sub { items: one, .. }, Item::Sub { items: other, .. }) => {
            has_same_shape(one, other)
        }
        _ => false,
    };
    one.len() == other.len() && one.iter().zip(other).all(is_alike)
}

fn choice(action: Action, text: &str, enabled: bool) -> Item {
    Item::Entry { action, text: text.to_owned(), enabled }
}

fn state_line(state: &State) -> (Mood, String) {
    let (mood, text) = match &state.server {
        Server::Looking => (Mood::Resting, line::LOOKING),
        Server::Starting { is_slow: false } => (Mood::Resting, line::STARTING),
        Server::Starting { is_slow: true } => (Mood::Attention, line::SLOW),
        Server::Running { answers: false, .. } => (Mood::Attention, line::SILENT),
        Server::Running { is_ours: true, .. } => (Mood::Well, line::RUNNING),
        Server::Running { is_ours: false, .. } => (Mood::Well, line::RUNNING_OTHER),
        Server::Stopping { .. } => (Mood::Resting, line::STOPPING),
        Server::Pausing => (Mood::Attention, line::PAUSING),
        Server::Stopped(None) => (Mood::Resting, line::STOPPED),
        Server::Stopped(Some(trouble)) => {
            return (Mood::Attention, format!("⚠ {}", texts::trouble(trouble)));
        }
    };
    (mood, text.to_owned())
}

fn addresses(state: &State) -> Vec<Item> {
    let port = state.port();
    let mut items: Vec<Item> = Vec::new();
    for address in &state.addresses {
        let typed = address.typed(port);
        let text = texts::address(&typed, &address.interface);
        items.push(Item::Entry { action: Action::CopyAddress(typed), text, enabled: true });
    }
    if items.is_empty() {
        items.push(Item::Line(entry::NO_ADDRESS.to_owned()));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::Address;
    use crate::model::{Then, Trouble};

    /// A menu as text: grey entries in brackets, check marks, submenus indented.
    fn drawn(items: &[Item], depth: usize) -> String {
        let mut text = String::new();
        for item in items {
            let line = match item {
                Item::Line(text) => format!("[{text}]"),
                Item::Entry { text, enabled: true, .. } => text.clone(),
                Item::Entry { text, .. } => format!("[{text}]"),
                Item::Check { text, on, .. } => format!("{} {text}", if *on { "☑" } else { "☐" }),
                Item::Sub { text, .. } => format!("{text} ▸"),
                Item::Separator => "──".to_owned(),
            };
            text += &format!("{}{line}\n", "  ".repeat(depth));
            if let Item::Sub { items, .. } = item {
                text += &drawn(items, depth + 1);
            }
        }
        text
    }

    fn state(server: Server) -> State {
        let mut state = State::new(false, Some(true));
        let address =
            |ip: &str, name: &str| Address { ip: ip.parse().unwrap(), interface: name.into() };
        state.addresses = vec![address("192.168.1.5", "wlan0"), address("fd00::5", "wlan0")];
        state.server = server;
        state
    }

    #[test]
    fn a_running_server_shows_its_addresses_and_can_be_stopped() {
        let face = face(&state(Server::Running { port: 3000, is_ours: true, answers: true }));
        let version = env!("CARGO_PKG_VERSION");
        let wanted = format!(
            "[PhotoSync {version}]\n[● Running]\n──\nLocal IP Addresses ▸\n  192.168.1.5  (wlan0)\n  \
             fd00::5  (wlan0)\nPair a phone …\nOpen PhotoSync\nOpen photo folder\n──\n[Start]\nStop\nRestart\n──\n\
             ☑ Launch at login\nView log\n──\nQuit PhotoSync\n"
        );
        assert_eq!(drawn(&face.menu, 0), wanted);
        assert_eq!(face.mood, Mood::Well);
    }

    #[test]
    fn every_state_says_what_it_is_and_offers_what_can_be_done() {
        let cases = [
            (Server::Looking, "○ Looking for a server …", "", Mood::Resting),
            (Server::Starting { is_slow: false }, "○ Starting …", "Stop", Mood::Resting),
            (
                Server::Starting { is_slow: true },
                "⚠ Still starting; the log says what it does",
                "Stop",
                Mood::Attention,
            ),
            (
                Server::Running { port: 1, is_ours: false, answers: true },
                "● Running (started elsewhere)",
                "Open PhotoSync Stop Restart",
                Mood::Well,
            ),
            (
                Server::Running { port: 1, is_ours: true, answers: false },
                "⚠ Running, but it does not answer",
                "Open PhotoSync Stop Restart",
                Mood::Attention,
            ),
            (
                Server::Stopping { then: Then::Rest, is_ours: true },
                "○ Stopping …",
                "",
                Mood::Resting,
            ),
            (
                Server::Pausing,
                "⚠ It ended unexpectedly; starting again …",
                "Start Stop",
                Mood::Attention,
            ),
            (Server::Stopped(None), "○ Stopped", "Start", Mood::Resting),
            (
                Server::Stopped(Some(Trouble::PortTaken {
                    port: 3000,
                    owner: Some("nginx (process 9)".into()),
                })),
                "⚠ Port 3000 is taken by nginx (process 9)",
                "Start",
                Mood::Attention,
            ),
            (
                Server::Stopped(Some(Trouble::KeepsFailing("x".repeat(200)))),
                &format!("⚠ It keeps ending: {} …", "x".repeat(80)),
                "Start",
                Mood::Attention,
            ),
        ];
        for (server, line, can, mood) in cases {
            let face = face(&state(server.clone()));
            let of_server = [Action::OpenPage, Action::Start, Action::Stop, Action::Restart];
            let offered: Vec<&str> = face
                .menu
                .iter()
                .filter_map(|item| match item {
                    Item::Entry { action, text, enabled: true } => {
                        of_server.contains(action).then_some(text.as_str())
                    }
                    _ => None,
                })
                .collect();
            assert_eq!(face.menu[1], Item::Line(line.to_owned()));
            assert_eq!((offered.join(" ").as_str(), face.mood), (can, mood), "{server:?}");
            assert!(face.tooltip.ends_with(line));
        }
    }

    #[test]
    fn without_a_network_or_a_session_the_menu_says_so_or_leaves_it_out() {
        let mut state = state(Server::Stopped(None));
        state.addresses.clear();
        state.starts_at_login = None;
        let text = drawn(&face(&state).menu, 0);
        assert!(text.contains("Local IP Addresses ▸\n  [No network]\n"), "{text}");
        assert!(!text.contains("Launch at login"), "{text}");
    }

    #[test]
    fn menus_have_one_shape_as_long_as_their_entries_are_the_same() {
        let running = Server::Running { port: 3000, is_ours: true, answers: true };
        let (runs, rests) = (state(running.clone()), state(Server::Stopped(None)));
        assert!(has_same_shape(&face(&runs).menu, &face(&rests).menu));
        let mut moved = runs.clone();
        moved.addresses.remove(0);
        assert!(!has_same_shape(&face(&runs).menu, &face(&moved).menu));
        moved.addresses.push(Address { ip: [10, 0, 0, 1].into(), interface: "eth0".into() });
        assert!(!has_same_shape(&face(&runs).menu, &face(&moved).menu), "another address");
    }

    #[test]
    fn another_port_is_part_of_what_is_typed() {
        let face = face(&state(Server::Running { port: 4000, is_ours: true, answers: true }));
        let text = drawn(&face.menu, 0);
        assert!(text.contains("192.168.1.5:4000  (wlan0)\n  [fd00::5]:4000  (wlan0)"), "{text}");
    }
}
