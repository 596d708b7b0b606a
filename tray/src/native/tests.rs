//! Of menus, pictures and the icons of the programs.

use super::*;

#[test]
fn every_mood_has_a_picture_and_a_shape() {
    for mood in [Mood::Well, Mood::Resting, Mood::Attention] {
        assert!(picture(mood).is_some(), "{mood:?}");
        assert!(shape(mood).is_some(), "{mood:?}");
    }
}

#[test]
fn a_choice_is_found_in_submenus_and_nothing_is_done_for_what_is_grey_or_gone() {
    let address = Action::CopyAddress("192.168.1.5".into());
    let entry = |action: &Action, enabled| Item::Entry {
        action: action.clone(),
        text: String::new(),
        enabled,
    };
    let items = [
        Item::Line("● Running".into()),
        Item::Sub { text: String::new(), items: vec![entry(&address, true)] },
        entry(&Action::Stop, true),
        entry(&Action::Start, false),
        Item::Check { action: Action::ToggleLogin, text: String::new(), on: true },
    ];
    for action in [&address, &Action::Stop, &Action::ToggleLogin] {
        assert_eq!(action_of(&items, &id_of(action)).as_ref(), Some(action));
    }
    for gone in [Action::Start, Action::Quit, Action::CopyAddress("192.168.1.6".into())] {
        assert_eq!(action_of(&items, &id_of(&gone)), None);
    }
}

#[test]
fn a_menu_that_changes_in_place_shows_what_a_new_one_would() {
    let menu = |state: &str, can_stop, on, address: &str| {
        let address = Item::Entry { action: Action::Pair, text: address.into(), enabled: true };
        vec![
            Item::Line(state.into()),
            Item::Separator,
            Item::Sub { text: format!("of {state}"), items: vec![address] },
            Item::Entry { action: Action::Stop, text: "Stop".into(), enabled: can_stop },
            Item::Check { action: Action::ToggleLogin, text: "Login".into(), on },
        ]
    };
    let (before, now) = (menu("○ a&b", false, false, "1"), menu("● c&d", true, true, "2"));
    assert!(crate::menu::has_same_shape(&before, &now));
    let (changed, new) = (build_menu(&before).unwrap(), build_menu(&now).unwrap());
    assert_ne!(read(&changed.items()), read(&new.items()));
    change_in_place(&changed.items(), &before, &now);
    assert_eq!(read(&changed.items()), read(&new.items()));
}

/// A native menu as text.
fn read(items: &[MenuItemKind]) -> String {
    items.iter().fold(String::new(), |text, item| {
        text + &match item {
            MenuItemKind::MenuItem(entry) => format!("{} {}\n", entry.text(), entry.is_enabled()),
            MenuItemKind::Check(entry) => format!("{} {}\n", entry.text(), entry.is_checked()),
            MenuItemKind::Submenu(sub) => format!("{} {{{}}}\n", sub.text(), read(&sub.items())),
            _ => "--\n".to_owned(),
        }
    })
}

/// Widths in an ICO file: a header of 6 bytes, then entries of 16 whose first byte is the width, 0 for 256.
#[test]
fn the_icon_of_the_windows_program_has_every_size_that_explorer_shows() {
    let ico = include_bytes!("../../assets/photosync.ico");
    assert_eq!(ico[..4], [0, 0, 1, 0]);
    let count = usize::from(u16::from_le_bytes([ico[4], ico[5]]));
    let entries = ico[6..].chunks(16).take(count);
    let mut widths: Vec<u16> =
        entries.map(|entry| if entry[0] == 0 { 256 } else { u16::from(entry[0]) }).collect();
    widths.sort_unstable();
    assert_eq!(widths, [16, 24, 32, 48, 64, 256]);
}

/// An ICNS file: `icns`, its length, then parts with a type and a length of their own. The large ones have 128, 256 and
/// 512 pixels.
#[test]
fn the_icon_of_the_macos_program_is_whole_and_has_large_sizes() {
    let icns = include_bytes!("../../assets/photosync.icns");
    let length = |at: usize| {
        u32::from_be_bytes([icns[at], icns[at + 1], icns[at + 2], icns[at + 3]]) as usize
    };
    assert_eq!((&icns[..4], length(4)), (&b"icns"[..], icns.len()));
    let (mut at, mut kinds) = (8, Vec::new());
    while at < icns.len() {
        kinds.push(String::from_utf8_lossy(&icns[at..at + 4]).into_owned());
        at += length(at + 4);
    }
    assert_eq!(at, icns.len(), "its parts fill it");
    for large in ["it32", "ic08", "ic09"] {
        assert!(kinds.iter().any(|kind| kind == large), "{large} is not among {kinds:?}");
    }
}
