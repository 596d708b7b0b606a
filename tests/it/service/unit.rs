//! What can be said of the unit without starting it.

use std::fs;

use super::{project, run, said};

/// Highest exposure that may be, of 10.
const MOST_EXPOSURE: f64 = 1.5;

#[test]
fn the_units_pass_verification_without_a_word() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Verification asks for the program of the unit, which is nowhere yet.
    let server = photosync_tests::server::find_binary().expect("the server");
    let unit = fs::read_to_string(project().join("systemd/photosync.service")).expect("the unit");
    let unit = unit.replace("/usr/bin/photosync-server", &server.to_string_lossy());
    let socket = project().join("systemd/photosync.socket");
    fs::write(folder.path().join("photosync.service"), unit).expect("a copy");
    fs::copy(socket, folder.path().join("photosync.socket")).expect("a copy");
    for name in ["photosync.service", "photosync.socket"] {
        let path = folder.path().join(name);
        let outcome = run("systemd-analyze", &["verify", "--man=no", &path.to_string_lossy()]);
        // Units of the machine itself may be worth a warning; ours are not.
        let about_ours: Vec<String> =
            said(&outcome).lines().filter(|l| l.contains("photosync")).map(str::to_owned).collect();
        assert!(outcome.status.success(), "{name}: {}", said(&outcome));
        assert!(about_ours.is_empty(), "{about_ours:?}");
    }
}

/// The unit as it would be with a drop-in: later lines win, and these settings are lists that an empty line clears.
fn with_drop_in(name: &str) -> String {
    let read =
        |name: &str| fs::read_to_string(project().join("systemd").join(name)).expect("a file");
    let mut unit = read("photosync.service");
    for line in read(name).lines().filter(|line| !line.starts_with(['#', '['])) {
        let (key, _) = line.split_once('=').expect("a setting");
        let own =
            unit.lines().find(|own| own.starts_with(&format!("{key}="))).expect("the unit's own");
        unit = unit.replace(&format!("\n{own}\n"), &format!("\n{line}\n"));
    }
    unit
}

#[test]
fn the_exposure_of_the_unit_is_at_most_1_5() {
    require_exposure("systemd/photosync.service");
}

#[test]
fn the_exposure_with_low_ports_is_at_most_1_5() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let unit = folder.path().join("photosync.service");
    fs::write(&unit, with_drop_in("low-ports.conf")).expect("a copy");
    require_exposure(&unit.to_string_lossy());
}

fn require_exposure(unit: &str) {
    let outcome = run("systemd-analyze", &["security", "--offline=true", unit]);
    let text = said(&outcome);
    let last = text.lines().find(|line| line.contains("Overall exposure level")).unwrap_or(&text);
    println!("{last}");
    let figure = last.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    let figure = figure.unwrap_or_else(|| panic!("no figure in {text}"));
    assert!(figure <= MOST_EXPOSURE, "{last}");
}
