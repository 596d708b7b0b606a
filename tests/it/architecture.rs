//! Sentences of docs/ARCHITECTURE.md that no type can keep: who may name what. Each rule reads the source tree and
//! fails with the file and line that breaks it.
//!
//! These are guards against mistakes, not against intent: what is renamed or wrapped on purpose is not found.

mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

use tokens::{Placed, Token};

/// One sentence about the source.
struct Rule {
    /// Says where it holds, given a path from the root of the repository, with `/`.
    applies: fn(&str) -> bool,
    /// What may not be named there: Rust paths, fields, words.
    forbidden: &'static [&'static str],
    /// What no string there may hold.
    forbidden_text: fn(&str) -> bool,
    /// Files or folders (these end with `/`) that may, and why. One that breaks nothing is a mistake too.
    exceptions: &'static [(&'static str, &'static str)],
}

const NO_TEXT: fn(&str) -> bool = |_| false;

/// The server's program, without its tests.
fn in_server(path: &str) -> bool {
    path.starts_with("server/src/") && !path.ends_with("/tests.rs")
}

/// What answers requests: version-1 routes, the routes of a capability and the HTTP edge.
fn is_route(path: &str) -> bool {
    let legacy = path.strip_prefix("server/src/legacy/").is_some_and(|rest| !rest.contains('/'));
    in_server(path)
        && (legacy
            || path.ends_with("/routes.rs")
            || path.contains("/routes/")
            || path.starts_with("server/src/http/"))
}

/// The rooms of SQL: `queries.rs` of a capability, or its parts in a folder of that name.
fn is_queries(path: &str) -> bool {
    path.ends_with("/queries.rs") || path.contains("/queries/")
}

const SQL: Rule = Rule {
    applies: |path| in_server(path) && !is_queries(path),
    forbidden: &[],
    forbidden_text: looks_like_sql,
    exceptions: &[
        ("server/src/db/", "pragmas, savepoints and migrations"),
        ("server/src/legacy/import/source.rs", "reads the database of the reference server"),
    ],
};

const ENVIRONMENT: Rule = Rule {
    applies: in_server,
    forbidden: &["std::env", "env::var", "env::var_os", "env::vars", "env::vars_os", "env::args"],
    forbidden_text: NO_TEXT,
    exceptions: &[
        ("server/src/cli/", "flags and environment become a configuration here"),
        ("server/src/fault.rs", "armed by the environment; empty outside of test builds"),
    ],
};

const CLOCK: Rule = Rule {
    applies: in_server,
    forbidden: &["SystemTime::now", "Instant::now", "OffsetDateTime::now_utc", "Utc::now"],
    forbidden_text: NO_TEXT,
    exceptions: &[("server/src/clock.rs", "the one place")],
};

const PURE_RULES: Rule = Rule {
    applies: |path| path.starts_with("server/src/") && path.ends_with("/rules.rs"),
    forbidden: &[
        "std::fs",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
        "std::env",
        "std::process",
        "std::thread",
        "std::time",
        "tokio",
        "rusqlite",
        "async",
        "crate::boot",
        "crate::db",
        "crate::blobs",
        "Clock",
        "now_ms()",
    ],
    forbidden_text: NO_TEXT,
    exceptions: &[],
};

const ROUTES: Rule = Rule {
    applies: is_route,
    forbidden: &[
        "crate::db",
        "crate::blobs",
        "rusqlite",
        "queries::",
        ".db",
        ".originals",
        ".relay",
        ".relay_chunks",
    ],
    forbidden_text: NO_TEXT,
    exceptions: &[],
};

const ONE_ROAD: Rule = Rule {
    applies: in_server,
    forbidden: &[".commit_new"],
    forbidden_text: NO_TEXT,
    exceptions: &[
        ("server/src/uploads/ingest.rs", "the one road of originals"),
        ("server/src/relay/mod.rs", "the one road of sealed chunks and manifests"),
    ],
};

const SEALED: Rule = Rule {
    applies: in_server,
    forbidden: &[
        "photosync_protocol::format",
        "photosync_protocol::crypto",
        "sodiumoxide",
        "libsodium_sys",
        "dryoc",
        "open_in_place",
        "seal_in_place",
        "MasterKey",
        "RecoveryKey",
        "DeviceKeys",
    ],
    forbidden_text: NO_TEXT,
    exceptions: &[],
};

const PURE_PROTOCOL: Rule = Rule {
    applies: |path| path.starts_with("protocol/src/"),
    forbidden: &[
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "std::process",
        "SystemTime",
        "Instant",
        "tokio",
        "async",
        "getrandom",
    ],
    forbidden_text: NO_TEXT,
    exceptions: &[("protocol/src/crypto/mod.rs", "the one door to random bytes")],
};

/// Statements begin with these, whatever their case; inside a text, only in capitals, as the style asks of SQL.
fn looks_like_sql(text: &str) -> bool {
    const BEGINNINGS: [&str; 8] = [
        "select ",
        "insert into ",
        "delete from ",
        "create table ",
        "create index ",
        "pragma ",
        "begin immediate",
        "rollback to ",
    ];
    const ANYWHERE: [&str; 9] = [
        "SELECT ",
        "INSERT ",
        "UPDATE ",
        "DELETE FROM",
        "WHERE ",
        "PRAGMA ",
        "SAVEPOINT",
        "VACUUM",
        "ORDER BY",
    ];
    let lower = text.trim_start().to_lowercase();
    BEGINNINGS.iter().any(|word| lower.starts_with(word))
        || ANYWHERE.iter().any(|word| text.contains(word))
}

/// Lines of one file that break the rule, with what they name.
fn breaches(rule: &Rule, source: &str) -> Vec<(usize, String)> {
    let tokens: Vec<Placed> = tokens::read(source);
    let mut found: Vec<(usize, String)> = Vec::new();
    for pattern in rule.forbidden {
        found.extend(
            tokens::find(&tokens, pattern).into_iter().map(|line| (line, (*pattern).into())),
        );
    }
    for (line, token) in &tokens {
        if let Token::Text(text) = token
            && (rule.forbidden_text)(text)
        {
            found.push((*line, text.split_whitespace().take(6).collect::<Vec<_>>().join(" ")));
        }
    }
    found.sort();
    found
}

/// What is wrong with the tree by this rule, one line each, as `file:line: what`.
fn judge(rule: &Rule, files: &[(String, String)]) -> Vec<String> {
    let mut used = vec![false; rule.exceptions.len()];
    let mut looked_at = 0;
    let mut wrong = Vec::new();
    for (path, source) in files.iter().filter(|(path, _)| (rule.applies)(path)) {
        looked_at += 1;
        let covers = |(place, _): &(&str, &str)| {
            path == place || (place.ends_with('/') && path.starts_with(place))
        };
        let exception = rule.exceptions.iter().position(covers);
        for (line, what) in breaches(rule, source) {
            match exception {
                Some(index) => used[index] = true,
                None => wrong.push(format!("{path}:{line}: {what}")),
            }
        }
    }
    if looked_at == 0 {
        wrong.push("no file is looked at: was a folder renamed?".into());
    }
    let idle = rule.exceptions.iter().zip(used).filter(|(_, used)| !used);
    wrong.extend(idle.map(|((place, why), _)| format!("{place}: needs no exception ({why})")));
    wrong
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent").to_owned()
}

/// Every file below the folders of the workspace whose name ends with `ending`: path from the root, and text.
fn read_tree(ending: &str) -> Vec<(String, String)> {
    let root = root();
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.is_file() && name.ends_with(ending) {
                let shown = path.strip_prefix(&root).expect("below the root").to_string_lossy();
                let shown = shown.replace('\\', "/");
                files.push((shown, fs::read_to_string(&path).expect("a readable file")));
            }
        }
    }
    files.sort();
    files
}

fn require(rule: &Rule) {
    let wrong = judge(rule, &read_tree(".rs"));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn sql_stands_only_in_queries_migrations_and_the_engine() {
    require(&SQL);
}

#[test]
fn only_the_command_line_reads_the_environment() {
    require(&ENVIRONMENT);
}

#[test]
fn only_the_clock_asks_for_the_time() {
    require(&CLOCK);
}

#[test]
fn decisions_do_no_io() {
    require(&PURE_RULES);
}

#[test]
fn routes_reach_the_database_and_the_storage_only_through_a_capability() {
    require(&ROUTES);
}

#[test]
fn every_way_in_ends_in_the_same_ingest() {
    require(&ONE_ROAD);
}

#[test]
fn the_server_cannot_name_what_opens_a_sealed_object() {
    require(&SEALED);
    // Nor could it if it wanted to: these features are what brings the formats in.
    let manifest = fs::read_to_string(root().join("server/Cargo.toml")).expect("a manifest");
    let line = manifest.lines().find(|line| line.starts_with("photosync-protocol"));
    let line = line.expect("the dependency on the protocol");
    for feature in ["sodium", "pure-rust", "format"] {
        assert!(!line.contains(feature), "{line}");
    }
}

#[test]
fn the_protocol_does_no_io_has_no_clock_and_is_not_async() {
    require(&PURE_PROTOCOL);
}

/// Packages of ours that a manifest depends on, by line. Sections of any kind count: normal, dev, build, target.
fn own_dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_dependencies = false;
    for (index, line) in manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies") && !line.contains("workspace");
        }
        if !in_dependencies {
            continue;
        }
        let is_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        let words = line.split(|c| !is_name(c)).filter(|word| word.starts_with("photosync-"));
        found.extend(words.map(|word| (index + 1, word.to_owned())));
    }
    found
}

/// What our packages may import: the protocol nothing of ours, the server the protocol only, and nobody the server.
fn wrong_dependencies(path: &str, manifest: &str) -> Vec<String> {
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
    let name = name.unwrap_or_default().trim_matches('"');
    let may_import = |other: &str| match name {
        "photosync-protocol" => false,
        "photosync-server" => other == "photosync-protocol",
        _ => other != "photosync-server",
    };
    let dependencies = own_dependencies(manifest).into_iter();
    let wrong = dependencies.filter(|(_, other)| !may_import(other));
    wrong.map(|(line, other)| format!("{path}:{line}: {name} imports {other}")).collect()
}

#[test]
fn nothing_imports_the_server_and_the_protocol_imports_nothing_of_ours() {
    let manifests = read_tree("Cargo.toml");
    let has = |path: &str| manifests.iter().any(|(found, _)| found == path);
    assert!(has("protocol/Cargo.toml") && has("server/Cargo.toml"), "was a folder renamed?");
    let wrong: Vec<String> =
        manifests.iter().flat_map(|(path, text)| wrong_dependencies(path, text)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_rule_finds_what_it_forbids_and_nothing_else() {
    // The rule, a file, what must be found there (line 2), and what must not.
    let cases: &[(&Rule, &str, &str, &str)] = &[
        (&SQL, "library/mod.rs", "tx.query(\"SELECT name FROM assets\")", "\"please select one\""),
        (&SQL, "boot.rs", "f(r#\"pragma user_version\"#)", "f(\"UPDATED\")"),
        (&SQL, "upkeep/trash.rs", "concat!(\"a\", \" WHERE x = ?1\")", "// SELECT 1"),
        (&ENVIRONMENT, "config/mod.rs", "std::env::var(\"HOME\")", "env!(\"CARGO_PKG_VERSION\")"),
        (&ENVIRONMENT, "boot.rs", "use std::{env, fs};", "use std::{fs, io};"),
        (&ENVIRONMENT, "boot.rs", "env::vars_os()", "\"std::env\""),
        (&CLOCK, "library/mod.rs", "SystemTime::now()", "app.clock.now_ms()"),
        (&CLOCK, "http/mod.rs", "std::time::Instant::now()", "began.elapsed_ms()"),
        (&PURE_RULES, "accounts/rules.rs", "use std::fs;", "use std::collections::HashSet;"),
        (&PURE_RULES, "accounts/rules.rs", "use crate::{db, error};", "use crate::error::Error;"),
        (&PURE_RULES, "accounts/rules.rs", "tokio::spawn(f)", "fn f() {}"),
        (&PURE_RULES, "accounts/rules.rs", "async fn f() {}", "fn asynchronous() {}"),
        (&ROUTES, "legacy/files.rs", "use crate::blobs::Stage;", "use crate::uploads::Stage;"),
        (&ROUTES, "legacy/files.rs", "app\n.db\n.read(f)", "app.config"),
        (&ROUTES, "legacy/relay.rs", "app.originals.stage(a, 0)", "uploads::begin(&app, a, 0)"),
        (&ROUTES, "legacy/relay.rs", "app.relay.root()", "relay::purge(&app)"),
        (&ROUTES, "http/mod.rs", "accounts::queries::find_fact(tx)", "accounts::find(app)"),
        (&ONE_ROAD, "upkeep/adopt.rs", "app.originals.commit_new(s, &k)", "uploads::finish(a)"),
        (&PURE_PROTOCOL, "", "use std::{net::IpAddr, fs};", "use std::fmt;"),
        (&PURE_PROTOCOL, "", "SystemTime::now()", "let system_time = 1;"),
        (&PURE_PROTOCOL, "", "pub async fn f() {}", "pub fn f() {}"),
    ];
    for (rule, place, bad, good) in cases {
        let path = match *place {
            "" => "protocol/src/names.rs".to_owned(),
            place => format!("server/src/{place}"),
        };
        assert!((rule.applies)(&path), "{path} is not looked at");
        let judged = |line: &str| {
            let bare = Rule { exceptions: &[], ..**rule };
            judge(&bare, &[(path.clone(), format!("//! A file.\n{line}\n"))])
        };
        let wrong = judged(bad);
        assert!(!wrong.is_empty(), "{path}: {bad:?} was not found");
        let expected = [format!("{path}:2: "), format!("{path}:3: ")];
        let placed = |wrong: &String| expected.iter().any(|place| wrong.starts_with(place));
        assert!(wrong.iter().all(placed), "{bad:?}: {wrong:?}");
        assert_eq!(judged(good), Vec::<String>::new(), "{path}: {good:?}");
    }
}

#[test]
fn routes_are_the_files_of_version_1_of_capabilities_and_of_the_edge_but_not_the_import() {
    assert!(is_route("server/src/legacy/files.rs") && is_route("server/src/http/body.rs"));
    assert!(!is_route("server/src/legacy/import/mod.rs") && !is_route("server/src/uploads/mod.rs"));
    assert!(is_route("server/src/uploads/routes.rs"));
}

#[test]
fn an_exception_nobody_needs_and_a_rule_without_files_are_found() {
    let clean = [("server/src/clock.rs".to_owned(), "fn f() {}".to_owned())];
    assert_eq!(judge(&CLOCK, &clean), ["server/src/clock.rs: needs no exception (the one place)"]);
    let elsewhere = [("client/src/main.rs".to_owned(), "SystemTime::now()".to_owned())];
    assert!(judge(&PURE_RULES, &elsewhere)[0].starts_with("no file is looked at"));
}

#[test]
fn a_wrong_dependency_is_found_in_every_kind_of_section() {
    let manifest = |name: &str, section: &str, line: &str| {
        format!("[package]\nname = \"{name}\"\n\n[{section}]\n{line}\n")
    };
    let cases = [
        ("photosync-protocol", "dependencies", "photosync-server.workspace = true", true),
        (
            "photosync-protocol",
            "dev-dependencies",
            "photosync-powercut-replay = { path = \"x\" }",
            true,
        ),
        ("photosync-server", "dependencies", "photosync-client = { path = \"../client\" }", true),
        ("photosync-server", "target.'cfg(unix)'.dependencies", "photosync-tray = \"1\"", true),
        ("photosync-server", "dependencies", "photosync-protocol.workspace = true", false),
        ("photosync-server", "features", "photosync-client = []", false),
        ("photosync-client", "dependencies", "server = { package = \"photosync-server\" }", true),
        ("photosync-client", "dependencies.photosync-server", "path = \"../server\"", true),
        ("photosync-client", "dependencies", "photosync-protocol.workspace = true", false),
        ("photosync-tests", "dependencies", "# photosync-server is run, not imported", false),
    ];
    for (name, section, line, is_wrong) in cases {
        let wrong = wrong_dependencies("x/Cargo.toml", &manifest(name, section, line));
        assert_eq!(!wrong.is_empty(), is_wrong, "{name} [{section}] {line}: {wrong:?}");
    }
}
