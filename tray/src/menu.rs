//! The menu as a function of the state. Native edges only draw it.

use crate::backup_menu;
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

/// Overdue devices with a line of their own; a menu must stay short.
const MOST_OVERDUE: usize = 5;

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
    let overdue = state.status.iter().flat_map(|status| &status.overdue);
    menu.extend(overdue.take(MOST_OVERDUE).map(|device| Item::Line(texts::overdue(device))));
    menu.push(Item::Separator);
    menu.push(Item::Sub { text: entry::ADDRESSES.to_owned(), items: addresses(state) });
    let runs = matches!(state.server, Server::Running { .. });
    menu.push(choice(Action::Pair, entry::PAIR, runs));
    menu.push(choice(Action::OpenPage, entry::OPEN_PAGE, runs));
    menu.push(choice(Action::OpenPhotos, entry::OPEN_PHOTOS, true));
    menu.extend(backup_menu::of(state));
    if state.old_data.is_some() {
        let can_import = runs || matches!(state.server, Server::Stopped(_));
        menu.push(choice(Action::Import, entry::IMPORT, can_import));
    }
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
    menu.push(updates(state));
    menu.push(choice(Action::OpenLog, entry::LOG, true));
    menu.push(Item::Separator);
    menu.push(choice(Action::Quit, entry::QUIT, true));
    Face { menu, tooltip: format!("{PRODUCT} {version}\n{state_line}"), mood }
}

/// One line: what can be done about updates, or what is under way.
fn updates(state: &State) -> Item {
    let updates = &state.updates;
    match (texts::updates(&updates.work), &updates.newer) {
        (Some(line), _) => Item::Line(line),
        (None, Some(version)) => {
            let text = texts::update_to(version);
            Item::Entry { action: Action::Update(version.clone()), text, enabled: true }
        }
        (None, None) => choice(Action::CheckUpdate, entry::CHECK_UPDATE, true),
    }
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

pub(crate) fn choice(action: Action, text: &str, enabled: bool) -> Item {
    Item::Entry { action, text: text.to_owned(), enabled }
}

fn state_line(state: &State) -> (Mood, String) {
    let (mood, text) = match &state.server {
        Server::Looking => (Mood::Resting, line::LOOKING),
        Server::Starting { is_slow: false } => (Mood::Resting, line::STARTING),
        Server::Starting { is_slow: true } => (Mood::Attention, line::SLOW),
        Server::Running { answers: false, .. } => (Mood::Attention, line::SILENT),
        Server::Running { is_ours, .. } => {
            let all_is_well = state.status.as_ref().is_none_or(|status| status.overdue.is_empty());
            let mood = if all_is_well { Mood::Well } else { Mood::Attention };
            (mood, if *is_ours { line::RUNNING } else { line::RUNNING_OTHER })
        }
        Server::Stopping { .. } => (Mood::Resting, line::STOPPING),
        Server::Importing { done_files, total_files } => {
            return (Mood::Resting, texts::importing(*done_files, *total_files));
        }
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
             ☑ Launch at login\nCheck for updates\nView log\n──\nQuit PhotoSync\n"
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
    fn overdue_devices_have_lines_and_ask_for_attention() {
        let mut state = state(Server::Running { port: 3000, is_ours: true, answers: true });
        let device = |name: &str, days, is_first| photosync_protocol::control::OverdueDevice {
            id: name.into(),
            name: name.into(),
            email: "anna@example.org".into(),
            days,
            is_first,
        };
        let line = r#"{"version":"1","pid":1,"port":3000,"accounts":1,"stored":0,"received_bytes":0,
                       "was_reached":true,"free_bytes":null}"#;
        let mut status: photosync_protocol::control::Status = serde_json::from_str(line).unwrap();
        status.overdue = vec![device("Anna's phone", 9, false), device("", 1, true)];
        state.status = Some(status);
        let face = face(&state);
        let text = drawn(&face.menu, 0);
        let wanted = "[● Running]\n[⚠ Anna's phone: no complete backup for 9 days]\n\
                      [⚠ anna@example.org: no complete backup yet, after 1 day]\n──\n";
        assert!(text.contains(wanted), "{text}");
        assert_eq!(face.mood, Mood::Attention);
    }

    #[test]
    fn the_backup_of_this_computer_shows_its_folders_and_when_all_of_it_was_safe_last() {
        use crate::model::{Account, Complete, Progress, Who, Work};
        use crate::moment::Moment;
        let mut state = state(Server::Running { port: 3000, is_ours: true, answers: true });
        state.backup.has_client = true;
        state.backup.usual = vec!["/home/ada/Pictures".into(), "/home/ada/Videos".into()];
        let sub = |state: &State| {
            let text = drawn(&face(state).menu, 0);
            let from = text.find("Back up this computer ▸\n").expect("a submenu");
            let rest = &text[from..];
            rest[rest.find('\n').unwrap() + 1..rest.find("\n──").unwrap()].to_owned()
        };
        assert_eq!(
            sub(&state),
            "  [No folder is backed up]\n  ──\n  [Back up now]\n  Add Pictures\n  Add Videos\n  Add a folder …"
        );
        state.backup.folders = vec!["/home/ada/Pictures".into()];
        let url = "https://127.0.0.1:3000".to_owned();
        let email = "ada@example.org".to_owned();
        let fingerprint = String::new();
        let account = Account { email, url, fingerprint, is_here: true, is_sealed: true };
        state.backup.who = Who::As(account);
        state.now = Moment { day: 20_778, minute: 900 };
        state.backup.last =
            Some(Complete { at: Moment { day: 20_778, minute: 843 }, files: 1_204 });
        assert_eq!(
            sub(&state),
            "  [Last backup: today 14:03, 1,204 files]\n  [To this computer's server, as ada@example.org, and sealed]\n  \
             ──\n  Back up now\n  Add Videos\n  Add a folder …\n  ──\n  /home/ada/Pictures ▸\n    Remove from the backup \
             (nothing is deleted)"
        );
        state.backup.work = Work::Running(Progress { done_files: 3, total_files: 9 });
        assert!(sub(&state).starts_with("  [Backing up: 3 of 9 files …]\n"), "{}", sub(&state));
        state.backup.trouble = "x".repeat(100);
        assert!(sub(&state).contains(&format!("[⚠ {} …]\n", "x".repeat(80))));
    }

    #[test]
    fn another_port_is_part_of_what_is_typed() {
        let face = face(&state(Server::Running { port: 4000, is_ours: true, answers: true }));
        let text = drawn(&face.menu, 0);
        assert!(text.contains("192.168.1.5:4000  (wlan0)\n  [fd00::5]:4000  (wlan0)"), "{text}");
    }
}
