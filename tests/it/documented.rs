//! Every command that README.md and docs/OPERATIONS.md show is run by a test, or OPERATIONS.md says that none does, and why.

use std::fs;
use std::path::{Path, PathBuf};

/// How a shown command begins · the file of the test that runs it · words of that file which do. The longest beginning
/// counts.
const TRIED: &[(&str, &str, &str)] = &[
    ("apt install ./photosync-desktop", "tests/service/packages.sh", "/photosync-desktop_*.deb"),
    ("apt install ./photosync-server", "tests/service/packages.sh", "apt-get install"),
    ("curl -fsSL RELEASE/install.sh | sh -s --", "tests/service/booted.sh", "| sh -s -- --server"),
    ("caddy validate", "tests/it/proxies.rs", "\"validate\""),
    ("curl https://photos.example.org", "tests/it/acme.rs", "https://{NAME}:{port}/health"),
    ("haproxy -c", "tests/it/proxies.rs", "\"haproxy\", vec![\"-c\""),
    (
        "install -D -m 644",
        "tests/service/booted.sh",
        "install -D -m 644 /usr/local/share/doc/photosync/low-ports.conf",
    ),
    ("install -d -o photosync", "tests/service/booted.sh", "install -d -o photosync"),
    ("journalctl -u photosync", "tests/service/booted.sh", "journalctl -u photosync"),
    ("nginx -t", "tests/it/proxies.rs", "\"nginx\", vec![\"-t\""),
    ("photosync backup", "client/tests/it/real.rs", "\"backup\""),
    ("photosync doctor", "client/tests/it/real.rs", "\"doctor\""),
    ("photosync pair", "tests/it/acme.rs", "&[\"pair\", &address, &code"),
    ("photosync relay backup", "client/tests/it/sealed/mod.rs", "\"backup\""),
    ("photosync relay init", "client/tests/it/sealed/mod.rs", "\"init\""),
    ("photosync restore", "client/tests/it/real.rs", "\"restore\""),
    ("photosync verify", "client/tests/it/real.rs", "\"verify\""),
    ("avahi-browse -r", "tests/discovery/run", "avahi-browse --resolve"),
    ("photosync duplicates", "client/tests/it/care.rs", "fn only_younger_copies"),
    (
        "photosync-server.previous update --rollback",
        "tests/it/updates/drill.rs",
        "\"photosync-server.previous\", &[\"update\", \"--rollback\"]",
    ),
    ("photosync-server check", "tests/it/stand.rs", "[\"check\", \"--read\"]"),
    ("photosync-server stop", "tests/it/wire/process.rs", "\"stop\""),
    (
        "sh install.sh --desktop --from RELEASE",
        "tests/it/service/install.rs",
        "\"--desktop\", \"--from\"",
    ),
    ("sh install.sh --server --dry-run", "tests/it/service/install.rs", "\"--dry-run\""),
    ("photosync-server backup", "tests/it/backups.rs", "\"backup\""),
    ("photosync-server health", "tests/it/service/packages.rs", "\"health\""),
    ("podman exec", "tests/service/packages.sh", "podman exec"),
    ("podman load", "tests/service/packages.sh", "podman load"),
    ("podman run", "tests/service/packages.sh", "podman run"),
    ("photosync-server check-update", "tests/it/updates/informed.rs", "\"check-update\""),
    ("photosync-server config example", "scripts/package", "config example"),
    ("photosync-server doctor", "tests/it/doctor.rs", "\"doctor\""),
    ("photosync-server import", "tests/it/import.rs", "\"import\""),
    ("photosync-server pair", "tests/it/sync/pairing.rs", "\"pair\""),
    ("photosync-server rebuild", "tests/it/wire/process.rs", "\"rebuild\""),
    ("photosync-server restore-backup", "tests/it/backups.rs", "\"restore-backup\""),
    ("photosync-server serve --data", "tests/src/server.rs", "arg(\"serve\").arg(\"--data\")"),
    ("photosync-server update", "tests/it/updates/mod.rs", "&[\"update\"]"),
    ("photosync-server user add", "tests/it/wire/accounts.rs", "\"user\", \"add\""),
    ("photosync-server user disable", "tests/it/upgrade.rs", "\"user\", \"disable\""),
    ("photosync-server user link", "tests/it/browsers.rs", "\"user\", \"link\""),
    ("photosync-server user invite", "tests/it/wire/accounts.rs", "\"user\", \"invite\""),
    ("photosync-server user list", "tests/it/service/owner.rs", "\"user\", \"list\""),
    ("photosync-server user remove", "tests/it/sync/pairing.rs", "\"user\", \"remove\""),
    ("photosync-server user role", "tests/it/admin.rs", "\"user\", \"role\""),
    ("photosync-server user restore", "tests/it/wire/accounts.rs", "\"user\", \"restore\""),
    ("photosync-server verify-backup", "tests/it/backups.rs", "\"verify-backup\""),
    ("scripts/package", "tests/it/service/install.rs", "scripts/package"),
    ("scripts/test", ".ci/run", "scripts/test"),
    ("sh install.sh --help", "tests/it/service/recipes.rs", "\"--help\""),
    (
        "sh install.sh --server --from RELEASE",
        "tests/service/booted.sh",
        "install.sh --server --from",
    ),
    ("sh install.sh --server --from-source", "tests/it/service/install.rs", "--from-source"),
    ("sh install.sh --uninstall", "tests/service/booted.sh", "install.sh --uninstall"),
    ("systemctl daemon-reload", "tests/service/booted.sh", "systemctl daemon-reload"),
    (
        "systemctl disable --now photosync",
        "tests/service/booted.sh",
        "systemctl disable --quiet --now photosync",
    ),
    (
        "systemctl enable --now photosync",
        "tests/service/booted.sh",
        "systemctl enable --quiet --now photosync",
    ),
    ("systemctl reload photosync", "tests/service/booted.sh", "systemctl reload photosync"),
    ("systemctl restart photosync", "tests/service/booted.sh", "systemctl restart photosync"),
    (
        "systemctl status photosync",
        "tests/service/booted.sh",
        "systemctl status --no-pager photosync",
    ),
    ("systemctl stop photosync", "tests/service/booted.sh", "systemctl stop photosync"),
    ("systemd-analyze security photosync", "tests/it/service/unit.rs", "\"security\""),
];
/// Heading of the table of what no test runs: `| command | why |`.
const UNTRIED: &str = "## Commands that no test runs";
/// How a command in the middle of a sentence begins; other words in that type are names.
const PROGRAMS: &[&str] = &[
    "apt",
    "avahi-browse",
    "curl",
    "docker",
    "dpkg",
    "install",
    "journalctl",
    "photosync",
    "photosync-server",
    "photosync-tray",
    "podman",
    "rpm",
    "scripts/",
    "sh",
    "sudo",
    "systemctl",
    "systemd-",
];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The commands of a page: lines of `sh` blocks, what follows a prompt, and words in between that are a command with
/// arguments. Without remarks and without what stands before the program.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<&str> = None;
    for line in page.lines() {
        if let Some(kind) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(kind) };
            continue;
        }
        match block {
            Some("sh") => found.push(line.to_owned()),
            Some(_) => found.extend(line.strip_prefix("$ ").map(str::to_owned)),
            None => found.extend(
                line.split('`')
                    .skip(1)
                    .step_by(2)
                    .filter(|words| is_command(words))
                    .map(str::to_owned),
            ),
        }
    }
    let bare = found.iter().flat_map(|line| line.split(" # ").next()).map(|line| {
        let line = line.trim();
        let line = line
            .strip_prefix("sudo -u photosync ")
            .or_else(|| line.strip_prefix("sudo "))
            .unwrap_or(line);
        match line.strip_prefix("printf ").and_then(|piped| piped.split_once(" | ")) {
            Some((_, program)) => program.to_owned(),
            None => line.to_owned(),
        }
    });
    bare.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

fn is_command(words: &str) -> bool {
    let Some((program, _)) = words.split_once(' ') else { return false };
    PROGRAMS.iter().any(|known| {
        program == *known || (!known.ends_with(char::is_alphanumeric) && program.starts_with(known))
    })
}

#[test]
fn every_command_of_the_pages_is_run_by_a_test_or_listed_as_not_run() {
    let pages = ["README.md", "docs/OPERATIONS.md"].map(|path| (path, read(path)));
    let (_, untried) = pages[1].1.split_once(UNTRIED).expect("the table of what no test runs");
    let untried: Vec<&str> = untried
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split_once("` |"))
        .map(|(command, _)| command)
        .collect();
    let mut open = Vec::new();
    let mut used = Vec::new();
    for (path, page) in &pages {
        let (shown, _) = page.split_once(UNTRIED).unwrap_or((page, ""));
        for command in commands(shown) {
            let run = TRIED.iter().map(|(start, ..)| *start);
            let longest = run
                .chain(untried.iter().copied())
                .filter(|start| command.starts_with(start))
                .max_by_key(|start| start.len());
            match longest {
                Some(start) => used.push(start),
                None => open.push(format!("{path}: {command}")),
            }
        }
    }
    assert!(open.is_empty(), "shown, but neither run nor listed as not run:\n{}", open.join("\n"));
    let idle: Vec<&str> = TRIED
        .iter()
        .map(|(start, ..)| *start)
        .chain(untried)
        .filter(|start| !used.contains(start))
        .collect();
    assert!(idle.is_empty(), "listed, but no page shows it any more: {idle:?}");
}

#[test]
fn the_tests_that_run_the_shown_commands_do() {
    for (command, file, words) in TRIED {
        assert!(read(file).contains(words), "{command}: {file} has no {words}");
    }
}
