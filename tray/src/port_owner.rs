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

/// Not told here.
#[cfg(not(target_os = "linux"))]
pub fn find(_port: u16) -> Option<String> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_program_that_listens_is_named_and_nobody_where_nobody_does() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = super::find(port).unwrap();
        assert!(found.contains(&format!("(process {})", std::process::id())), "{found}");
        drop(listener);
        assert_eq!(super::find(port), None);
    }
}
