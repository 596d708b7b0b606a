//! What of this machine stands around the server: its service, the firewall, limits of the process. Only looked at.

use std::path::Path;
use std::process::{Command, Stdio};

use photosync_protocol::findings::Finding;

use super::Shown;
use crate::config::Config;

/// With fewer files open at once a household's phones may find no place: 256.
#[cfg(unix)]
const FEW_FILES: u64 = 256;

/// How many files and connections the server may have open.
#[cfg(unix)]
pub(super) fn limits(config: &Config) -> Option<Finding> {
    const CHECK: &str = "limits";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.current?;
    let connections = u64::try_from(config.max_connections).unwrap_or(u64::MAX);
    // Each connection may have a file open beside its socket.
    if most < FEW_FILES {
        let seen = format!("the server may have only {most} files and connections open at once");
        let fix = "LimitNOFILE=65536 in its unit (`systemctl edit photosync`), or `ulimit -n 65536` before it is started";
        return Some(Finding::warning(CHECK, seen, fix));
    }
    let seen =
        format!("the server may have {most} files open, for at most {connections} connections");
    Some(Finding::fine(CHECK, seen))
}

#[cfg(not(unix))]
pub(super) fn limits(_config: &Config) -> Option<Finding> {
    None
}

/// Whether the programs are there that draw what this one cannot.
pub(super) fn media(config: &Config) -> Finding {
    const CHECK: &str = "media";
    if config.media_workers == 0 {
        return Finding::skipped(CHECK, "no thumbnails are made: media.workers is 0");
    }
    let missing = crate::media::missing_tools(config);
    if missing.is_empty() {
        return Finding::fine(CHECK, "thumbnails are made of pictures, HEIC, AVIF and videos");
    }
    let kinds: Vec<&str> = missing.iter().map(|(kind, _)| *kind).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    let seen = format!("there are no thumbnails of {}: a program is missing", kinds.join(" and "));
    let fix = format!(
        "sudo apt install {}, and restart the server; or name the programs with media.ffmpeg and media.heif",
        packages.join(" ")
    );
    Finding::warning(CHECK, seen, fix)
}

/// What systemd says of the service; `None` on a machine without systemd.
pub fn service() -> Option<Finding> {
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let properties = "--property=LoadState,ActiveState,UnitFileState,Result,NRestarts";
    let output = Command::new("systemctl")
        .args(["show", "photosync.service", properties])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    read_service(&String::from_utf8_lossy(&output.stdout))
}

/// What `systemctl show` tells. `None` if it tells nothing.
fn read_service(text: &str) -> Option<Finding> {
    const CHECK: &str = "service";
    let property = |name: &str| -> &str {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default()
    };
    let (active, result) = (property("ActiveState"), property("Result"));
    Some(match (property("LoadState"), active) {
        ("", _) => return None,
        ("not-found", _) => {
            Finding::skipped(CHECK, "there is no service photosync on this machine")
        }
        ("masked", _) => {
            let fix = "sudo systemctl unmask photosync";
            Finding::warning(CHECK, "the service photosync is masked: it cannot be started", fix)
        }
        ("loaded", "active" | "reloading") => {
            let restarts = match property("NRestarts") {
                "" | "0" => String::new(),
                count => format!("; systemd restarted it {count} times"),
            };
            Finding::fine(CHECK, format!("the service photosync runs{restarts}"))
        }
        ("loaded", "failed") => {
            let seen = format!("the service photosync failed ({result})");
            let fix =
                "journalctl -u photosync -n 50 says why; then: sudo systemctl start photosync";
            Finding::broken(CHECK, seen, fix)
        }
        ("loaded", "activating") => {
            let seen = match result {
                "" | "success" => "the service photosync is starting".to_owned(),
                result => format!("the service photosync failed ({result}) and is tried again"),
            };
            Finding::warning(CHECK, seen, "journalctl -u photosync -n 50 says how far it is")
        }
        ("loaded", _) if property("UnitFileState") == "enabled" => Finding::warning(
            CHECK,
            "the service photosync is stopped until the machine is started again",
            "sudo systemctl start photosync",
        ),
        ("loaded", _) => Finding::warning(
            CHECK,
            "the service photosync is stopped, and does not start with the machine",
            "sudo systemctl enable --now photosync",
        ),
        (other, _) => {
            let seen = format!("systemd cannot read the unit of the service photosync ({other})");
            Finding::broken(CHECK, seen, "systemctl status photosync says where it is wrong")
        }
    })
}

/// What a firewall of this machine lets through to the server, as far as its files tell. `root` is the root of the file
/// system. `None` if the server listens for this machine only, or no known firewall is on.
pub fn firewall(root: &Path, shown: &Shown) -> Option<Finding> {
    const CHECK: &str = "firewall";
    let mut ports: Vec<u16> = shown
        .listening
        .iter()
        .filter(|address| !address.ip().to_canonical().is_loopback() && address.port() != 0)
        .map(std::net::SocketAddr::port)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    if ports.is_empty() {
        return None;
    }
    let listed: Vec<String> = ports.iter().map(u16::to_string).collect();
    let listed = listed.join(" and ");
    let (name, rules, open, look) = if is_ufw_on(root) {
        let rules = ["user.rules", "user6.rules"]
            .map(|file| std::fs::read_to_string(root.join("etc/ufw").join(file)));
        let open = |port: u16| format!("sudo ufw allow {port}/tcp");
        (
            "ufw",
            rules.into_iter().collect::<Result<Vec<_>, _>>().ok(),
            open as fn(u16) -> String,
            "sudo ufw status",
        )
    } else if is_firewalld_on(root) {
        let open = |port: u16| format!("sudo firewall-cmd --permanent --add-port={port}/tcp");
        let look = "sudo firewall-cmd --list-ports";
        (
            "firewalld",
            read_zones(&root.join("etc/firewalld/zones")),
            open as fn(u16) -> String,
            look,
        )
    } else {
        return None;
    };
    let Some(rules) = rules else {
        let seen = format!("{name} is on; what it lets through only root can see");
        let fix = format!("`{look}` must show the port {listed}");
        return Some(Finding::skipped(CHECK, seen).or_else(fix));
    };
    let shut: Vec<u16> = ports
        .into_iter()
        .filter(|port| !rules.iter().any(|text| names_port(text, *port)))
        .collect();
    if shut.is_empty() {
        return Some(Finding::fine(
            CHECK,
            format!("{name} is on, and has a rule for port {listed}"),
        ));
    }
    let mut commands: Vec<String> = shut.iter().map(|port| open(*port)).collect();
    if name == "firewalld" {
        commands.push("sudo firewall-cmd --reload".into());
    }
    let seen = format!("{name} is on, and none of its rules names port {listed}");
    Some(Finding::warning(
        CHECK,
        seen,
        format!("if phones cannot connect: {}", commands.join(" && ")),
    ))
}

fn is_ufw_on(root: &Path) -> bool {
    let text = std::fs::read_to_string(root.join("etc/ufw/ufw.conf")).unwrap_or_default();
    text.lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes"))
}

fn is_firewalld_on(root: &Path) -> bool {
    let running = ["run/firewalld.pid", "run/dbus/system_bus_socket"].map(|file| root.join(file));
    running[0].exists() || {
        // Newer versions keep no file; the links of the unit say that it starts with the machine.
        running[1].exists()
            && root.join("etc/systemd/system/multi-user.target.wants/firewalld.service").exists()
    }
}

/// Every zone that somebody changed; `None` if they cannot be read.
fn read_zones(folder: &Path) -> Option<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(Vec::new()),
        Err(_) => return None,
    };
    let files = entries.flatten().map(|entry| entry.path());
    files
        .filter(|file| file.extension().is_some_and(|ending| ending == "xml"))
        .map(|file| std::fs::read_to_string(file).ok())
        .collect()
}

/// Whether a rule names a port: the number as a word of its own, or inside a range `A-B` or `A:B`.
fn names_port(rules: &str, port: u16) -> bool {
    let is_number = |c: char| c.is_ascii_digit() || c == ':' || c == '-';
    let rules = rules.lines().filter(|line| {
        let line = line.trim_start();
        // Comments of ufw; its own `### tuple ###` lines are made of the same rules.
        !line.starts_with('#') && !line.starts_with("<!--")
    });
    rules.flat_map(|line| line.split(|c| !is_number(c))).any(|word| {
        match word.split_once([':', '-']) {
            None => word.parse() == Ok(port),
            Some((first, last)) => match (first.parse::<u16>(), last.parse::<u16>()) {
                (Ok(first), Ok(last)) => (first..=last).contains(&port),
                _ => false,
            },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use photosync_protocol::findings::Verdict;

    fn shown(addresses: &[&str]) -> Shown {
        Shown {
            listening: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            public_url: None,
            trusts_a_proxy: false,
            discovers: true,
            fingerprint: String::new(),
            version: String::new(),
            pid: 0,
        }
    }

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn ufw_is_said_to_shut_the_port_only_when_it_is_on_and_has_no_rule_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let look = |address: &str| firewall(dir.path(), &shown(&[address]));
        assert_eq!(look("0.0.0.0:3000"), None, "no firewall is no finding");
        write(dir.path(), "etc/ufw/ufw.conf", "# comment\nENABLED=no\n");
        assert_eq!(look("0.0.0.0:3000"), None);
        write(dir.path(), "etc/ufw/ufw.conf", "ENABLED=yes\nLOGLEVEL=low\n");
        assert_eq!(look("0.0.0.0:3000").unwrap().verdict, Verdict::Skipped, "rules cannot be read");
        write(dir.path(), "etc/ufw/user6.rules", "");
        write(
            dir.path(),
            "etc/ufw/user.rules",
            "-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n# 3000\n",
        );
        let shut = look("0.0.0.0:3000").unwrap();
        assert_eq!(shut.verdict, Verdict::Warning);
        assert!(shut.fix.contains("sudo ufw allow 3000/tcp"), "{}", shut.fix);
        assert_eq!(look("127.0.0.1:3000"), None, "nobody else is to reach it");
        let rules = "-A ufw-user-input -p tcp -m multiport --dports 2999:3001 -j ACCEPT\n";
        write(dir.path(), "etc/ufw/user.rules", rules);
        assert_eq!(look("0.0.0.0:3000").unwrap().verdict, Verdict::Fine);
    }

    #[test]
    fn firewalld_is_asked_by_its_zones() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "run/firewalld.pid", "1");
        let look = || firewall(dir.path(), &shown(&["[::]:3000"])).unwrap();
        assert_eq!(look().verdict, Verdict::Warning);
        let zone = "<zone>\n  <port port=\"3000\" protocol=\"tcp\"/>\n</zone>\n";
        write(dir.path(), "etc/firewalld/zones/public.xml", zone);
        assert_eq!(look().verdict, Verdict::Fine);
    }

    #[test]
    fn a_service_is_told_as_systemd_sees_it() {
        let verdict = |load: &str, active: &str| {
            let text = format!(
                "Result=exit-code\nNRestarts=0\nLoadState={load}\nActiveState={active}\nUnitFileState=enabled\n"
            );
            read_service(&text).unwrap().verdict
        };
        assert_eq!(verdict("not-found", "inactive"), Verdict::Skipped);
        assert_eq!(verdict("loaded", "active"), Verdict::Fine);
        assert_eq!(verdict("loaded", "failed"), Verdict::Broken);
        assert_eq!(verdict("loaded", "inactive"), Verdict::Warning);
        assert_eq!(verdict("bad-setting", "inactive"), Verdict::Broken);
        assert_eq!(read_service(""), None);
    }
}
