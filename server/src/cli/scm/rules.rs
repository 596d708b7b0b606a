//! What the service of Windows is called, may do, and is told: decisions without Windows, so that they are tested
//! everywhere.

use std::path::{Path, PathBuf};

use photosync_protocol::process::Exit;

/// Name of the service, of its firewall rule, and below `NT SERVICE\` of its account.
pub const NAME: &str = "PhotoSync";
/// The account it runs as: the service's own, which Windows makes with it. It has no password, and may do nothing but
/// what it is given.
pub const ACCOUNT: &str = r"NT SERVICE\PhotoSync";
/// The hidden subcommand that the service manager runs.
pub const RUN: &str = "run-service";

/// How a service that has ended leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// Says that it has stopped, as it was asked to.
    InOrder,
    /// Says that it has stopped, and why; starting it again would change nothing.
    ForGood(u32),
    /// Just ends: that is what the service manager calls a failure, and starts it again.
    ToBeStartedAgain,
}

/// The same codes as `RestartPreventExitStatus=` of the unit for systemd.
pub fn leaving(exit: Exit) -> Leaving {
    match exit {
        Exit::Success => Leaving::InOrder,
        Exit::Usage | Exit::DataHeld | Exit::Configuration => {
            Leaving::ForGood(u32::from(exit.code()))
        }
        _ => Leaving::ToBeStartedAgain,
    }
}

/// Where the photos of the service go if nobody says: not into a person's own folders.
pub fn usual_data(program_data: Option<PathBuf>) -> Option<PathBuf> {
    program_data.filter(|path| path.is_absolute()).map(|path| path.join("PhotoSync"))
}

/// The runs of `icacls` after which a folder is its service's and the administrators' alone. The owner comes first: a
/// folder that somebody else made beforehand would stay theirs to open again.
pub fn privacy(data: &Path) -> Vec<Vec<String>> {
    let folder = data.display().to_string();
    // By number, because these groups have other names in other languages: administrators, the system.
    let of = |who: &str, right: &str| format!("{who}:(OI)(CI){right}");
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    vec![
        words(&[&folder, "/setowner", "*S-1-5-32-544", "/Q"]),
        words(&[
            &folder,
            "/inheritance:r",
            "/grant:r",
            &of("*S-1-5-18", "F"),
            &of("*S-1-5-32-544", "F"),
            &of(ACCOUNT, "M"),
            "/Q",
        ]),
    ]
}

/// The run of `netsh` that takes the firewall rule of a program away.
pub fn close_firewall() -> Vec<String> {
    let words = ["advfirewall", "firewall", "delete", "rule"];
    words.iter().map(|&word| word.to_owned()).chain([format!("name={NAME}")]).collect()
}

/// The run of `netsh` that lets others reach the program: any port, because it may be given another; not in networks
/// that Windows calls public.
pub fn open_firewall(program: &Path) -> Vec<String> {
    let words = ["advfirewall", "firewall", "add", "rule"];
    let own = [
        format!("name={NAME}"),
        "dir=in".into(),
        "action=allow".into(),
        format!("program={}", program.display()),
        "enable=yes".into(),
        "profile=private,domain".into(),
    ];
    words.iter().map(|&word| word.to_owned()).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_start_would_not_settle_is_not_started_again() {
        let for_good: Vec<u8> = Exit::ALL
            .iter()
            .filter(|(exit, _)| matches!(leaving(*exit), Leaving::ForGood(_)))
            .map(|(exit, _)| exit.code())
            .collect();
        let unit = include_str!("../../../../systemd/photosync.service");
        let said = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus="));
        let said: Vec<u8> = said.unwrap().split(' ').map(|code| code.parse().unwrap()).collect();
        assert_eq!(for_good, said);
        assert_eq!(leaving(Exit::Success), Leaving::InOrder);
        assert_eq!(leaving(Exit::Restart), Leaving::ToBeStartedAgain);
        assert_eq!(leaving(Exit::Unexpected), Leaving::ToBeStartedAgain);
    }

    #[test]
    fn a_folder_is_taken_over_before_it_is_closed() {
        let runs = privacy(Path::new("D:/photos of all"));
        assert_eq!(runs[0][..2], ["D:/photos of all", "/setowner"]);
        assert!(runs[1].contains(&"/inheritance:r".to_owned()));
        assert!(runs[1].contains(&r"NT SERVICE\PhotoSync:(OI)(CI)M".to_owned()));
        let everybody = |word: &String| word.contains("S-1-1-0") || word.contains("S-1-5-11");
        assert!(!runs.iter().flatten().any(everybody));
    }

    #[test]
    fn the_firewall_lets_this_program_in_and_no_other() {
        let opened = open_firewall(Path::new("C:/Program Files/PhotoSync/photosync-server.exe"));
        assert!(
            opened.contains(&"program=C:/Program Files/PhotoSync/photosync-server.exe".to_owned())
        );
        assert!(opened.contains(&"profile=private,domain".to_owned()));
        assert_eq!(close_firewall().last().unwrap(), "name=PhotoSync");
    }

    #[test]
    fn photos_go_to_no_folder_that_the_system_does_not_name() {
        assert_eq!(usual_data(None), None);
        assert_eq!(usual_data(Some("".into())), None);
        assert_eq!(usual_data(Some("relative".into())), None);
        let program_data = if cfg!(windows) { r"C:\ProgramData" } else { "/ProgramData" };
        let usual = usual_data(Some(program_data.into()));
        assert_eq!(usual, Some(Path::new(program_data).join("PhotoSync")));
    }
}
