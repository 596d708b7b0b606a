//! What the recorded process said on its sockets, and when.
//!
//! Only plain HTTP/1.1 can be read here: TLS and HTTP/2 are recorded too, but as bytes that name no
//! request. The rule: an answer counts from the moment *before* it was handed to the kernel.

/// The beginning of what one call sent on a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The answer is given at this position and every later one.
    pub position: usize,
    /// The first bytes sent: at most 2048.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The status of the HTTP/1 answer that begins here; `None` when no answer begins here.
    pub fn status(&self) -> Option<u16> {
        let line = self.lines().next()?;
        let (version, rest) = line.split_once(' ')?;
        if !version.starts_with("HTTP/1.") {
            return None;
        }
        rest.get(..3)?.parse().ok()
    }

    /// The value of a header (name in any case), if it lies within the recorded bytes.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.status()?;
        let headers = self.lines().skip(1).take_while(|line| !line.is_empty());
        headers
            .filter_map(|line| line.split_once(':'))
            .find(|(found, _)| found.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// Lines as text, up to the first one that is none.
    fn lines(&self) -> impl Iterator<Item = &str> {
        let lines = self.bytes.split(|byte| *byte == b'\n');
        lines.map_while(|line| std::str::from_utf8(line).ok()).map(|line| line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        Answer { position: 1, bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn status_and_headers_are_read_whatever_their_case() {
        let answer = answer("HTTP/1.1 201 Created\r\nx-request-ID: a-1\r\n\r\nX-Other: body");
        assert_eq!(answer.status(), Some(201));
        assert_eq!(answer.header("X-Request-Id"), Some("a-1"));
        assert_eq!(answer.header("X-Other"), None, "a line of the body is no header");
    }

    #[test]
    fn bytes_that_begin_no_answer_have_no_status() {
        assert_eq!(answer("X-Request-Id: a\r\n\r\n").status(), None);
        assert_eq!(answer("X-Request-Id: a\r\n\r\n").header("x-request-id"), None);
        assert_eq!(Answer { position: 1, bytes: vec![0xff, 0xfe] }.status(), None);
    }
}
