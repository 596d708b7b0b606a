//! Follows HTTP/1.1 requests as far as needed to know how long each body is. Called for every byte on the way to the
//! server when a plan caps bodies.

/// What a capped proxy says. Like the ones in the wild, it does not say how much it would take.
pub(super) const REFUSAL: &[u8] = b"HTTP/1.1 413 Payload Too Large\r\nServer: a-proxy\r\n\
Content-Type: text/html\r\nContent-Length: 43\r\nConnection: close\r\n\r\n\
<html><h1>413 Payload Too Large</h1></html>";

/// Longest head; more is no request.
const MAX_HEAD_BYTES: usize = 64 * 1024;

enum At {
    Head,
    Body { left: u64 },
    ChunkSize { total: u64, line: Vec<u8> },
    Chunk { total: u64, left: u64 },
    Trailers { line: Vec<u8> },
}

/// Says of every request whether its body may pass.
pub(super) struct BodyCap {
    limit_bytes: u64,
    head: Vec<u8>,
    at: At,
}

impl BodyCap {
    pub(super) fn new(limit_bytes: u64) -> BodyCap {
        BodyCap { limit_bytes, head: Vec::new(), at: At::Head }
    }

    /// Reads on. False when a body is, or will be, longer than the limit; nothing more may pass then.
    pub(super) fn inspect(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Body { left } => {
                    let count = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    bytes = &bytes[count..];
                    if *left == 0 {
                        self.at = At::Head;
                    }
                }
                At::Chunk { total, left } => {
                    let count = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    bytes = &bytes[count..];
                    if *left == 0 {
                        self.at = At::ChunkSize { total: *total, line: Vec::new() };
                    }
                }
                _ => {
                    let byte = bytes[0];
                    bytes = &bytes[1..];
                    if !self.inspect_byte(byte) {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn inspect_byte(&mut self, byte: u8) -> bool {
        match &mut self.at {
            At::Head => {
                self.head.push(byte);
                if self.head.ends_with(b"\r\n\r\n") {
                    self.at = after_head(&self.head);
                    self.head.clear();
                    return !matches!(self.at, At::Body { left } if left > self.limit_bytes);
                }
                self.head.len() <= MAX_HEAD_BYTES
            }
            At::ChunkSize { total, line } => {
                line.push(byte);
                // The end of the chunk before is an empty line.
                if byte != b'\n' || line == b"\r\n" {
                    if line == b"\r\n" {
                        line.clear();
                    }
                    return line.len() <= 1024;
                }
                let text = String::from_utf8_lossy(line);
                let digits = text.trim_end().split(';').next().unwrap_or_default().trim();
                let length = u64::from_str_radix(digits, 16).unwrap_or(u64::MAX);
                let total = total.saturating_add(length);
                self.at = match length {
                    0 => At::Trailers { line: Vec::new() },
                    // The line end after the chunk counts as its own bytes.
                    left => At::Chunk { total, left },
                };
                total <= self.limit_bytes
            }
            At::Trailers { line } => {
                line.push(byte);
                if byte == b'\n' {
                    let is_last = line == b"\r\n";
                    line.clear();
                    if is_last {
                        self.at = At::Head;
                    }
                }
                true
            }
            At::Body { .. } | At::Chunk { .. } => true,
        }
    }
}

fn after_head(head: &[u8]) -> At {
    let text = String::from_utf8_lossy(head);
    let value_of = |wanted: &str| {
        text.lines().skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_ascii_lowercase())
        })
    };
    if value_of("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        return At::ChunkSize { total: 0, line: Vec::new() };
    }
    match value_of("content-length").and_then(|value| value.parse().ok()) {
        None | Some(0) => At::Head,
        Some(left) => At::Body { left },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a stream passes, fed in pieces of any length.
    fn passes(limit_bytes: u64, stream: &[u8]) -> bool {
        let verdicts: Vec<bool> = [1, 2, 7, stream.len()]
            .iter()
            .map(|piece| {
                let mut cap = BodyCap::new(limit_bytes);
                stream.chunks(*piece).all(|bytes| cap.inspect(bytes))
            })
            .collect();
        assert!(verdicts.iter().all(|one| *one == verdicts[0]), "the same in pieces of any length");
        verdicts[0]
    }

    #[test]
    fn an_announced_body_passes_up_to_the_limit() {
        let request = |length: usize| {
            let head = format!("PUT / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
            [head.as_bytes(), &vec![b'\n'; length]].concat()
        };
        assert!(passes(100, &request(100)));
        assert!(!passes(100, &request(101)));
        assert!(passes(100, &[request(100), request(0), request(99)].concat()));
        assert!(!passes(100, &[request(100), request(0), request(101)].concat()));
    }

    #[test]
    fn chunks_are_added_up() {
        let request = |chunks: &[usize]| {
            let mut all = b"PATCH / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n".to_vec();
            for length in chunks {
                all.extend(format!("{length:x};x=y\r\n").bytes());
                all.extend(vec![b'0'; *length]);
                all.extend(b"\r\n");
            }
            all.extend(b"0\r\nA-Trailer: 1\r\n\r\n");
            all
        };
        assert!(passes(100, &[request(&[60, 40]), request(&[100])].concat()));
        assert!(!passes(100, &[request(&[60]), request(&[60, 41])].concat()));
    }
}
