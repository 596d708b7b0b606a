//! Which program listens on a port, where the system tells without asking for rights.

/// Its name and process id, or nothing. Those of other accounts are told to root alone.
#[cfg(target_os = "linux")]
pub fn find(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: String =
        tables.iter().filter_map(|table| std::fs::read_to_string(table).ok()).collect();
    let sockets: Vec<String> =
        text.lines().filter_map(|line| listening_socket(line, port)).collect();
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        let Ok(open) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let mut targets = open.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        if targets.any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
        {
            let command = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", command.trim()));
        }
    }
    None
}

/// The link of a socket that listens on a port, as `/proc/PID/fd` shows it, from a line of `/proc/net/tcp`: local address,
/// remote address, state (0A is LISTEN), …, inode as tenth column.
#[cfg(target_os = "linux")]
fn listening_socket(line: &str, port: u16) -> Option<String> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
    let its_port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    (its_port == port && *state == "0A").then(|| format!("socket:[{inode}]"))
}

/// Nothing is told without another program there.
#[cfg(not(target_os = "linux"))]
pub fn find(_port: u16) -> Option<String> {
    None
}
