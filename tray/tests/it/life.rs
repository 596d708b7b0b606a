//! What a person sees and clicks.

use rustix::process::Signal;

use crate::desk::{Desk, is_alive, signal, wait_for, write_program};

#[test]
fn the_icon_comes_the_server_runs_and_every_click_does_what_it_says() {
    let desk = Desk::new();
    let panel = desk.panel();
    let mut tray = desk.tray(None);
    panel.line("● Running");
    assert_eq!(panel.title(), "PhotoSync");
    let first = desk.server_pid(None);

    panel.click("Restart");
    let second = desk.server_pid(Some(first));
    panel.line("● Running");
    assert!(!is_alive(first));

    panel.click("Stop");
    panel.line("○ Stopped");
    assert!(!is_alive(second));
    panel.entry("Restart", false);

    panel.click("Start");
    let third = desk.server_pid(Some(second));
    panel.line("● Running");

    assert!(!panel.entry("Launch at login", true).checked);
    panel.click("Launch at login");
    wait_for("the mark", || panel.entry("Launch at login", true).checked.then_some(()));
    let autostart = desk.dir.path().join("home/.config/autostart/photosync-tray.desktop");
    assert!(autostart.exists());
    panel.click("Launch at login");
    wait_for("no mark", || (!panel.entry("Launch at login", true).checked).then_some(()));
    assert!(!autostart.exists());

    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
    assert!(!is_alive(third), "the server that the tray started ends with it");
    assert!(!desk.data().join("run.json").exists(), "it stopped in order");
}

#[test]
fn a_killed_server_comes_back_and_a_killed_tray_leaves_it_running() {
    let desk = Desk::new();
    let panel = desk.panel();
    let tray = desk.tray(None);
    panel.line("● Running");
    let first = desk.server_pid(None);
    signal(first, Signal::KILL);
    let second = desk.server_pid(Some(first));
    panel.line("● Running");

    drop(tray);
    assert!(is_alive(second), "the server survives the tray");
    let mut tray = desk.tray(None);
    panel.line("● Running (started elsewhere)");
    assert_eq!(desk.server_pid(None), second, "the next tray finds it instead of starting another");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
    assert!(is_alive(second), "a tray ends no server that it did not start");

    let mut tray = desk.tray(None);
    panel.click("Stop");
    panel.line("○ Stopped");
    wait_for("its end: its menu can", || (!is_alive(second)).then_some(()));
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn a_server_that_cannot_run_is_stopped_with_its_own_words() {
    let desk = Desk::new();
    let panel = desk.panel();
    let crashing = desk.dir.path().join("crashing");
    write_program(&crashing, "#!/bin/sh\necho 'the disk is on fire' >&2\nexit 1\n");
    let mut tray = desk.tray(Some(&crashing));
    panel.line("⚠ It keeps ending: the disk is on fire");
    let said = desk.bubble("PhotoSync is not running");
    assert!(said.contains("the disk is on fire"), "{said}");
    assert_eq!(desk.log().matches("the disk is on fire\n").count(), 4, "four starts, no more");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));

    let missing = desk.dir.path().join("nothing");
    let mut tray = desk.tray(Some(&missing));
    panel.line("⚠ It could not be started");
    signal(tray.child.id(), Signal::TERM);
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn a_port_that_somebody_else_has_is_named_with_who_has_it_and_nobody_is_ended() {
    let desk = Desk::new();
    let panel = desk.panel();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let mut tray = desk.tray_on(port, None);
    let who = format!("(process {})", std::process::id());
    wait_for("who has the port", || {
        let line = panel.entry(&format!("⚠ Port {port} is taken by"), false).label;
        line.ends_with(&who).then_some(())
    });
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn a_panel_that_comes_late_goes_and_comes_again_has_the_icon_each_time() {
    let desk = Desk::new();
    let mut tray = desk.tray(None);
    desk.server_pid(None);
    for _ in 0..20 {
        let panel = desk.panel();
        panel.line("● Running");
    }
    let panel = desk.panel();
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn a_panel_that_starts_in_the_same_moment_and_missed_the_icon_is_told_once_more() {
    let desk = Desk::new();
    let panel = desk.panel_that_misses(1);
    let mut tray = desk.tray(None);
    panel.line("● Running");
    assert_eq!(panel.registered().len(), 1);
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn without_a_panel_the_server_runs_and_a_notification_says_where_its_page_is() {
    let desk = Desk::new();
    let mut tray = desk.tray(None);
    let server = desk.server_pid(None);
    let said = desk.bubble("PhotoSync runs without an icon");
    assert!(said.contains(&format!("http://127.0.0.1:{}/", desk.port())), "{said}");

    // It is among the programs now, and a start from there opens the page.
    let launcher = desk.home().join(".local/share/applications/photosync.desktop");
    let (code, page) = desk.start_entry(&launcher);
    assert_eq!(code, Some(0));
    assert!(page.contains("/control/open/"), "the way in without a password: {page}");
    signal(tray.child.id(), Signal::TERM);
    assert_eq!(tray.end(), Some(0));
    assert!(!is_alive(server));
}

#[test]
fn there_is_one_tray_and_the_first_start_says_what_to_type() {
    let desk = Desk::new();
    let panel = desk.panel();
    let mut tray = desk.tray(None);
    panel.line("● Running");
    desk.bubble("PhotoSync is ready");
    let mut second = desk.tray(None);
    assert_eq!(second.end(), Some(0));
    desk.opened("http://127.0.0.1:");
    panel.line("● Running");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}
