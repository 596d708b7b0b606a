//! What the doctors say: `photosync doctor` of a device and `photosync-server doctor` of a server, in the same words and
//! the same shape. What they look at is theirs; nothing is looked at here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Columns before the text of a finding: its mark and what was looked at.
const INDENT: usize = 19;

/// How a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// Works, and could be better.
    Warning,
    /// Does not work.
    Broken,
    /// Was not looked at.
    Skipped,
}

impl Verdict {
    /// The word people see.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Broken => "BROKEN",
            Self::Skipped => "-",
        }
    }

    /// What turns a terminal to the colour of this verdict (ECMA-48 SGR): green, yellow, bold red, dim.
    fn colour(self) -> &'static str {
        match self {
            Self::Fine => "\u{1b}[32m",
            Self::Warning => "\u{1b}[33m",
            Self::Broken => "\u{1b}[1;31m",
            Self::Skipped => "\u{1b}[2m",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// What, in one word; docs/CLIENT.md and docs/OPERATIONS.md list them.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub check: Cow<'static, str>,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do; empty if it is fine.
    pub fix: String,
}

impl Finding {
    /// As it should be.
    pub fn fine(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check: check.into(), verdict: Verdict::Fine, seen: seen.into(), fix: String::new() }
    }

    /// Works, and could be better.
    pub fn warning(check: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        let verdict = Verdict::Warning;
        Self { check: check.into(), verdict, seen: seen.into(), fix: fix.into() }
    }

    /// Does not work.
    pub fn broken(check: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        let verdict = Verdict::Broken;
        Self { check: check.into(), verdict, seen: seen.into(), fix: fix.into() }
    }

    /// Was not looked at, and why.
    pub fn skipped(check: &'static str, seen: impl Into<String>) -> Self {
        let verdict = Verdict::Skipped;
        Self { check: check.into(), verdict, seen: seen.into(), fix: String::new() }
    }

    /// The same, with a way to have it looked at.
    pub fn or_else(self, fix: impl Into<String>) -> Self {
        Self { fix: fix.into(), ..self }
    }

    /// Its lines for people, without the last line break: no wider than `width` columns if that is known.
    pub fn lines(&self, width: Option<usize>, is_coloured: bool) -> String {
        let mark = self.verdict.mark();
        let wrapped = |begin: &str, text: &str| match width {
            Some(width) => wrap(begin, text, width),
            None => format!("{begin}{text}"),
        };
        let mut lines = wrapped(&format!("{mark:<8} {:<9} ", self.check), &self.seen);
        if is_coloured && let Some(rest) = lines.strip_prefix(mark) {
            lines = format!("{}{mark}\u{1b}[0m{rest}", self.verdict.colour());
        }
        if !self.fix.is_empty() {
            let begin = format!("{}→ ", " ".repeat(INDENT));
            lines = format!("{lines}\n{}", wrapped(&begin, &self.fix));
        }
        lines
    }
}

/// What all findings come to, in one sentence.
pub fn conclusion(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let broken = match count(Verdict::Broken) {
        0 => "Nothing is broken".to_owned(),
        1 => "1 thing is broken".to_owned(),
        many => format!("{many} things are broken"),
    };
    match count(Verdict::Warning) {
        0 => format!("{broken}."),
        1 => format!("{broken}; 1 could be better."),
        many => format!("{broken}; {many} could be better."),
    }
}

/// `text` after `begin`, broken between words to `width` columns, each further line below the first word. A word that
/// is wider stays whole.
pub fn wrap(begin: &str, text: &str, width: usize) -> String {
    let indent = begin.chars().count();
    let room = width.saturating_sub(indent).max(20);
    let (mut lines, mut used) = (begin.to_owned(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
    }
    lines
}

/// `1.5 MiB`, `900 KiB`: one decimal at most, in units of 1,024.
pub fn size_for_people(bytes: u64) -> String {
    let (mut shown, mut unit) = (bytes.saturating_mul(10), 0);
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    while shown >= 10_240 && unit + 1 < units.len() {
        shown /= 1024;
        unit += 1;
    }
    let unit = units.get(unit).copied().unwrap_or_default();
    match shown % 10 {
        0 => format!("{} {unit}", shown / 10),
        tenths => format!("{}.{tenths} {unit}", shown / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_as_people_say_them() {
        let cases =
            [(0, "0 B"), (900 << 10, "900 KiB"), (3 << 19, "1.5 MiB"), (101 << 20, "101 MiB")];
        for (bytes, text) in cases {
            assert_eq!(size_for_people(bytes), text);
        }
        assert_eq!(size_for_people(u64::MAX), size_for_people(u64::MAX / 10 * 10));
    }

    #[test]
    fn a_long_text_is_broken_between_words_and_a_long_word_stays_whole() {
        let text = "is the server running? https://a.very.long.name.example.org:3000";
        let lines =
            "ok  is the server\n    running?\n    https://a.very.long.name.example.org:3000";
        assert_eq!(wrap("ok  ", text, 24), lines);
    }

    #[test]
    fn a_finding_is_aligned_fits_the_screen_and_is_coloured_only_when_asked() {
        let seen =
            "0.0.0.0:3000 is taken by another program, so that no server can be started on it now";
        let finding =
            Finding::broken("port", seen, "stop that, or choose another port with --listen-port");
        let plain = finding.lines(Some(60), false);
        assert!(plain.lines().all(|line| line.chars().count() <= 60), "{plain}");
        assert!(plain.starts_with("BROKEN   port      0.0.0.0:3000"), "{plain}");
        assert!(plain.contains("\n                   → stop that"), "{plain}");
        assert!(!plain.contains('\u{1b}'));
        let coloured = finding.lines(Some(60), true);
        assert_eq!(coloured.replace("\u{1b}[1;31m", "").replace("\u{1b}[0m", ""), plain);
        assert_eq!(finding.lines(None, false).lines().count(), 2);
    }

    #[test]
    fn the_conclusion_counts_what_is_broken_and_what_could_be_better() {
        let (fine, better) = (Finding::fine("a", ""), Finding::warning("b", "", ""));
        let broken = Finding::broken("c", "", "");
        assert_eq!(conclusion(std::slice::from_ref(&fine)), "Nothing is broken.");
        assert_eq!(
            conclusion(&[fine, better.clone(), better, broken]),
            "1 thing is broken; 2 could be better."
        );
    }
}
