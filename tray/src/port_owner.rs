//! Which program listens on a port, where the system tells without asking for rights.

/// Its name and process id, or nothing.
#[cfg(target_os = "linux")]
pub fn find(port: u16) -> Option<String> {
    let sockets = listening_sockets(port);
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        // Those of other users cannot be read: then nothing is said of them.
        let Ok(open) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let has_it = open
            .flatten()
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()));
        if has_it {
            let command = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", command.trim()));
        }
    }
    None
}

/// Links of the sockets that listen on a port, as `/proc/PID/fd` shows them.
#[cfg(target_os = "linux")]
fn listening_sockets(port: u16) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: String =
        tables.iter().filter_map(|table| std::fs::read_to_string(table).ok()).collect();
    text.lines().filter_map(|line| socket_of(line, port)).collect()
}

/// One line of `/proc/net/tcp`: local address, remote address, state (0A is LISTEN), …, inode as tenth column.
#[cfg(target_os = "linux")]
fn socket_of(line: &str, port: u16) -> Option<String> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
    let its_port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    (its_port == port && *state == "0A").then(|| format!("socket:[{inode}]"))
}

/// Its name and process id, or nothing.
#[cfg(windows)]
pub fn find(port: u16) -> Option<String> {
    let pid = said::netstat(&answer("netstat", &["-a", "-n", "-o"])?, port)?;
    let tasks = answer("tasklist", &["/FO", "CSV", "/NH", "/FI", &format!("PID eq {pid}")]);
    let name = tasks.and_then(|text| said::tasklist(&text)).unwrap_or_default();
    Some(format!("{name} (process {pid})").trim_start().to_owned())
}

/// Its name and process id, or nothing. Those of other users are not told.
#[cfg(target_os = "macos")]
pub fn find(port: u16) -> Option<String> {
    let listening = format!("-iTCP:{port}");
    let (pid, name) =
        said::lsof(&answer("/usr/sbin/lsof", &["-nP", &listening, "-sTCP:LISTEN", "-Fpc"])?)?;
    Some(format!("{name} (process {pid})"))
}

/// What a program of the system writes.
#[cfg(any(windows, target_os = "macos"))]
fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let output = crate::quiet::command(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads what programs of the systems write.
#[cfg(any(windows, target_os = "macos", test))]
mod said {
    /// Process id of the socket that listens on a port: protocol, local address, remote address, state, process id.
    /// The state is a word of the system's language; a socket that listens has a remote address that is none.
    #[cfg(any(windows, test))]
    pub fn netstat(text: &str, port: u16) -> Option<u32> {
        let its_port = format!(":{port}");
        text.lines().find_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let (local, remote) = (columns.get(1)?, columns.get(2)?);
            let listens = columns[0] == "TCP" && ["0.0.0.0:0", "[::]:0"].contains(remote);
            let pid = columns.last()?.parse().ok()?;
            (listens && local.ends_with(&its_port)).then_some(pid)
        })
    }

    /// Name of the program: the first of the comma-separated values in quotes. What is not there is told in a sentence.
    #[cfg(any(windows, test))]
    pub fn tasklist(text: &str) -> Option<String> {
        let line = text.lines().find_map(|line| line.trim().strip_prefix('"'))?;
        line.split_once('"').map(|(name, _)| name.to_owned())
    }

    /// Process id and name of the first program: lines that begin with `p` and `c`.
    #[cfg(any(target_os = "macos", all(test, target_os = "linux")))]
    pub fn lsof(text: &str) -> Option<(u32, String)> {
        let field = |letter| text.lines().find_map(|line| line.strip_prefix(letter));
        Some((field('p')?.parse().ok()?, field('c')?.to_owned()))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_program_that_listens_is_named_and_no_longer_when_it_does_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = super::find(port).unwrap();
        let own = format!("(process {})", std::process::id());
        assert!(found.contains(&own), "{found}");
        drop(listener);
        // Somebody else may have taken it by now.
        assert!(!super::find(port).is_some_and(|found| found.contains(&own)));
    }

    #[test]
    fn what_windows_writes_is_read_in_every_language_and_only_listeners_count() {
        let text = "\r\nAktive Verbindungen\r\n\r\n  Proto  Lokale Adresse  Remoteadresse  Status  PID\r\n  \
             TCP    192.168.1.5:3000   192.168.1.9:51234  HERGESTELLT     77\r\n  \
             TCP    0.0.0.0:30001      0.0.0.0:0          ABHÖREN         78\r\n  \
             TCP    [::]:3000          [::]:0             ABHÖREN         4711\r\n  \
             UDP    0.0.0.0:3001       *:*                                79\r\n";
        assert_eq!(super::said::netstat(text, 3000), Some(4711));
        assert_eq!(super::said::netstat(text, 3001), None);
        let task = "\"My, Server.exe\",\"4711\",\"Console\",\"1\",\"9.844 K\"\r\n";
        assert_eq!(super::said::tasklist(task).as_deref(), Some("My, Server.exe"));
        assert_eq!(super::said::tasklist("INFO: No tasks are running.\r\n"), None);
    }

    #[test]
    fn what_macos_writes_is_read() {
        let found = super::said::lsof("p812\ncControlCenter\nf10\n");
        assert_eq!(found, Some((812, "ControlCenter".to_owned())));
        assert_eq!(super::said::lsof(""), None);
    }
}
