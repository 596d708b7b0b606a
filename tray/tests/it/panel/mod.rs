//! The same on a screen with Debian's own panel (Xfce 4.18): icon, menu, keyboard, clipboard, and the pictures that
//! people look at.

mod screen;

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::desk::{is_alive, signal, wait_for, write_program};
use screen::Screen;

#[test]
fn a_real_panel_shows_the_icon_and_every_click_does_what_it_says() {
    let Some(screen) = Screen::open() else { return };
    let desk = &screen.desk;
    let panel = screen.panel();
    let mut tray = desk.tray(None);
    panel.line("● Running");
    assert_eq!(panel.title(), "PhotoSync");
    let wanted = format!("org.kde.StatusNotifierItem-{}-1", tray.child.id());
    assert_eq!(panel.registered(), [wanted], "one icon, ours");
    assert!(panel.tooltip().contains("● Running"));
    // What a screen reader says of an entry is its text, without the sign in front.
    for entry in panel.entries() {
        let words = entry.label.chars().filter(|letter| letter.is_alphanumeric()).count();
        assert!(words >= 4, "nothing to say but a sign: {entry:?}");
    }
    wait_for("the icon on the screen", || screen.look().icon());
    let first = desk.server_pid(None);

    panel.click("Restart");
    let second = desk.server_pid(Some(first));
    panel.line("● Running");
    assert!(!is_alive(first));

    panel.click("Stop");
    panel.line("○ Stopped");
    assert!(!is_alive(second));
    wait_for("a grey icon", || screen.look().icon().is_none().then_some(()));

    panel.click("Start");
    let third = desk.server_pid(Some(second));
    panel.line("● Running");

    let autostart = desk.home().join(".config/autostart/photosync-tray.desktop");
    assert!(!autostart.exists() && !panel.entry("Launch at login", true).checked);
    panel.click("Launch at login");
    wait_for("the desktop entry", || autostart.exists().then_some(()));
    wait_for("the mark", || panel.entry("Launch at login", true).checked.then_some(()));
    // What the next session starts finds the same photos: now it opens their page.
    let (code, page) = desk.start_entry(&autostart);
    assert_eq!(code, Some(0));
    assert!(page.contains("/control/open/"), "the way in without a password: {page}");
    panel.click("Launch at login");
    wait_for("no desktop entry", || (!autostart.exists()).then_some(()));

    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
    assert!(!is_alive(third), "the server that the tray started ends with it");
    wait_for("a panel without the icon", || panel.registered().is_empty().then_some(()));
    wait_for("an empty panel", || screen.look().icon().is_none().then_some(()));
}

#[test]
fn an_address_is_copied_by_pointer_and_by_keyboard_alone() {
    let Some(screen) = Screen::open() else { return };
    let desk = &screen.desk;
    let panel = screen.panel();
    let mut tray = desk.tray(None);
    panel.line("● Running");
    let entries = panel.entries();
    let place = entries.iter().position(|entry| entry.label == "Local IP Addresses").unwrap();
    let first = &entries[place + 1];
    if !first.enabled {
        eprintln!("SKIPPED, this computer has no address to copy: {}", first.label);
        return;
    }
    let (address, _) = first.label.split_once("  (").unwrap();
    panel.click(&first.label);
    wait_for("the address on the clipboard", || screen.clipboard().filter(|text| text == address));
    assert_eq!(desk.bubble("Address copied"), format!("Address copied: {address}"));

    // Once more without a pointer in the menu, from something else on the clipboard.
    screen.copy("something else");
    assert_eq!(screen.clipboard().as_deref(), Some("something else"));
    screen.click_icon(3);
    wait_for("an open menu", || (screen.look().covered() > 20_000).then_some(()));
    screen.look().keep("menu.png");
    let menu_alone = screen.look().covered();
    // A menu that was drawn a moment ago may not hear the keys yet: a person presses them again.
    wait_for("the addresses", || {
        screen.press(&["Home", "Right"]);
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            if screen.look().covered() > menu_alone + 5_000 {
                return Some(());
            }
        }
        None
    });
    screen.look().keep("menu-addresses.png");
    screen.press(&["Return"]);
    wait_for("the address on the clipboard", || screen.clipboard().filter(|text| text == address));
    wait_for("a closed menu", || (screen.look().covered() == 0).then_some(()));

    screen.click_icon(1);
    let page = desk.opened("http://127.0.0.1:");
    assert!(page.contains("/control/open/"), "a left click opens the page, signed in: {page}");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn pair_a_phone_opens_a_page_that_a_browser_shows() {
    let Some(screen) = Screen::open() else { return };
    let desk = &screen.desk;
    let panel = screen.panel();
    let mut tray = desk.tray(None);
    panel.line("● Running");
    panel.click("Pair a phone");
    let page = desk.opened("http://127.0.0.1:");
    screen.keep_page(&page, "pairing-first.png");

    // With somebody to pair with, a code is there too.
    desk.add_account("anna@example.org");
    desk.forget_opened();
    panel.click("Pair a phone");
    let other = desk.opened("http://127.0.0.1:");
    assert_ne!(page, other, "each works once");
    screen.keep_page(&other, "pairing.png");
    panel.click("Open photo folder");
    desk.opened(desk.data().join("uploads").to_str().unwrap());
    panel.click("View log");
    desk.opened(desk.data().join("logs/server.log").to_str().unwrap());
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn a_killed_server_comes_back_and_one_that_always_dies_is_stopped_with_its_words() {
    let Some(screen) = Screen::open() else { return };
    let desk = &screen.desk;
    let panel = screen.panel();
    let mut tray = desk.tray(None);
    panel.line("● Running");
    let first = desk.server_pid(None);
    signal(first, Signal::KILL);
    let second = desk.server_pid(Some(first));
    panel.line("● Running");
    wait_for("the icon on the screen", || screen.look().icon());
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
    assert!(!is_alive(second));

    let crashing = desk.dir.path().join("crashing");
    write_program(&crashing, "#!/bin/sh\necho 'the disk is on fire' >&2\nexit 1\n");
    let mut tray = desk.tray(Some(&crashing));
    panel.line("⚠ It keeps ending: the disk is on fire");
    panel.entry("Start", true);
    screen.click_icon_wherever(3);
    wait_for("an open menu", || (screen.look().covered() > 20_000).then_some(()));
    screen.look().keep("menu-crashed.png");
    screen.press(&["Escape"]);
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn a_panel_that_starts_late_and_is_killed_20_times_has_the_icon_each_time() {
    let Some(screen) = Screen::open() else { return };
    let desk = &screen.desk;
    let mut tray = desk.tray(None);
    desk.server_pid(None);
    let wanted = format!("org.kde.StatusNotifierItem-{}-1", tray.child.id());
    for round in 0..=20 {
        let panel = screen.panel();
        wait_for(&format!("the icon in panel {round}"), || {
            (panel.registered() == [wanted.as_str()]).then_some(())
        });
        wait_for(&format!("the icon on the screen, panel {round}"), || screen.look().icon());
        panel.line("● Running");
    }
    signal(tray.child.id(), Signal::TERM);
    assert_eq!(tray.end(), Some(0));
}
