//! Rust source as words, signs and texts with their lines: enough to say what a file names, without comments,
//! test modules or the inside of strings getting in the way.

/// One piece of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// An identifier, keyword or number.
    Word(String),
    /// Any other character of code.
    Sign(char),
    /// The inside of a string literal of any kind.
    Text(String),
}

/// A token and the line it begins on, counted from 1.
pub type Placed = (usize, Token);

/// The tokens of a file, without comments and without `#[cfg(test)]` modules.
pub fn read(source: &str) -> Vec<Placed> {
    let mut reader = Reader { rest: source, line: 1 };
    let mut found = Vec::new();
    while let Some(token) = reader.next() {
        found.push(token);
    }
    without_test_modules(found)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Placed> {
        loop {
            let trimmed = self.rest.trim_start();
            self.advance(self.rest.len() - trimmed.len());
            if self.rest.starts_with("//") {
                self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.skip_block_comment();
            } else {
                break;
            }
        }
        let line = self.line;
        let first = self.rest.chars().next()?;
        if let Some((open, close, escapes)) = self.string_ends() {
            return Some((line, Token::Text(self.take_text(open, &close, escapes))));
        }
        if first == '\'' {
            self.skip_character_or_tick();
            return Some((line, Token::Sign('\'')));
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if is_word(first) {
            let length = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
            let word = self.rest[..length].to_owned();
            self.advance(length);
            return Some((line, Token::Word(word)));
        }
        self.advance(first.len_utf8());
        Some((line, Token::Sign(first)))
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.matches('\n').count();
        self.rest = rest;
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.advance(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.advance(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.advance(self.rest.chars().next().map_or(0, char::len_utf8));
            }
        }
    }

    /// If a string begins here: length of its opening, its closing, and whether backslashes escape.
    fn string_ends(&self) -> Option<(usize, String, bool)> {
        let prefix = ["", "b", "c"]
            .into_iter()
            .find(|p| self.rest.strip_prefix(p).is_some_and(|rest| rest.starts_with('"')));
        if let Some(prefix) = prefix {
            return Some((prefix.len() + 1, "\"".into(), true));
        }
        let prefix = ["r", "br", "cr"].into_iter().find(|p| self.rest.starts_with(p))?;
        let after = &self.rest[prefix.len()..];
        let hashes = after.len() - after.trim_start_matches('#').len();
        after[hashes..]
            .starts_with('"')
            .then(|| (prefix.len() + hashes + 1, format!("\"{}", "#".repeat(hashes)), false))
    }

    fn take_text(&mut self, open: usize, close: &str, escapes: bool) -> String {
        self.advance(open);
        let mut text = String::new();
        while let Some(next) = self.rest.chars().next() {
            if self.rest.starts_with(close) {
                self.advance(close.len());
                break;
            }
            text.push(next);
            self.advance(next.len_utf8());
            if escapes && next == '\\' {
                let escaped = self.rest.chars().next().unwrap_or_default();
                text.push(escaped);
                self.advance(escaped.len_utf8().min(self.rest.len()));
            }
        }
        text
    }

    /// A character literal whole; of a lifetime only the tick.
    fn skip_character_or_tick(&mut self) {
        let mut chars = self.rest.char_indices().skip(1);
        let length = match (chars.next(), chars.next()) {
            (Some((_, '\\')), Some((at, escaped))) => {
                let after = at + escaped.len_utf8();
                self.rest[after..].find('\'').map_or(1, |end| after + end + 1)
            }
            (Some(_), Some((at, '\''))) => at + 1,
            _ => 1,
        };
        self.advance(length);
    }
}

/// Drops `#[cfg(test)] mod NAME { … }`: tests may ask and do what the program may not.
fn without_test_modules(tokens: Vec<Placed>) -> Vec<Placed> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        match end_of_test_module(&tokens[at..]) {
            Some(length) => at += length,
            None => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

fn end_of_test_module(tokens: &[Placed]) -> Option<usize> {
    const OPENING: &str = "# [ cfg ( test ) ] mod";
    let opening: Vec<&str> = OPENING.split(' ').collect();
    let begins = tokens.len() > opening.len() + 2
        && tokens.iter().zip(&opening).all(|((_, token), wanted)| is(token, wanted))
        && is(&tokens[opening.len() + 1].1, "{");
    if !begins {
        return None;
    }
    let mut depth = 0;
    for (index, (_, token)) in tokens.iter().enumerate() {
        depth += i32::from(is(token, "{")) - i32::from(is(token, "}"));
        if depth == 0 && is(token, "}") {
            return Some(index + 1);
        }
    }
    Some(tokens.len())
}

/// Whether a token of code is this word or sign.
pub fn is(token: &Token, wanted: &str) -> bool {
    match token {
        Token::Word(word) => word == wanted,
        Token::Sign(sign) => wanted.len() == sign.len_utf8() && wanted.starts_with(*sign),
        Token::Text(_) => false,
    }
}

/// Lines on which `pattern` stands: words and signs as in Rust, spaces and line breaks as they like. A path is
/// also found as a member of a group: `std::env` in `use std::{env, fs}`.
pub fn find(tokens: &[Placed], pattern: &str) -> Vec<usize> {
    let wanted: Vec<Token> = read(pattern).into_iter().map(|(_, token)| token).collect();
    let matches_at = |at: usize, wanted: &[Token]| {
        tokens.len() >= at + wanted.len()
            && tokens[at..].iter().zip(wanted).all(|((_, token), wanted)| token == wanted)
    };
    let mut lines = Vec::new();
    for at in 0..tokens.len() {
        if matches_at(at, &wanted) {
            lines.push(tokens[at].0);
            continue;
        }
        let Some((last, path)) = wanted.split_last() else { continue };
        let is_path = path.ends_with(&[Token::Sign(':'), Token::Sign(':')]);
        let opens = |(_, token): &Placed| is(token, "{");
        if is_path && matches_at(at, path) && tokens.get(at + path.len()).is_some_and(opens) {
            lines.extend(find_in_group(&tokens[at + path.len()..], last));
        }
    }
    lines
}

/// Line of `member` in a group that opens with the first token, not counting groups inside it.
fn find_in_group(tokens: &[Placed], member: &Token) -> Option<usize> {
    let mut depth = 0;
    let mut before = None;
    for (line, token) in tokens {
        let begins_member = before.is_some_and(|token| is(token, "{") || is(token, ","));
        if depth == 1 && begins_member && token == member {
            return Some(*line);
        }
        depth += i32::from(is(token, "{")) - i32::from(is(token, "}"));
        if depth == 0 {
            return None;
        }
        before = Some(token);
    }
    None
}

#[test]
fn comments_characters_and_test_modules_name_nothing_and_strings_are_texts() {
    let source = "// std::env\n/* a /* std::env */ b */ fn f<'a>(c: &'a str) { let q = ['\"', '\\'', 'x']; }\n\
                  const S: &str = \"std::env \\\" //\"; const R: &str = r#\"a\"std::env\"#;\n\
                  #[cfg(test)]\nmod tests { fn g() { std::env::vars(); } }\nfn last() {}\n";
    let tokens = read(source);
    assert_eq!(find(&tokens, "std::env"), Vec::<usize>::new());
    let texts: Vec<&Placed> =
        tokens.iter().filter(|(_, token)| matches!(token, Token::Text(_))).collect();
    assert_eq!(texts[0], &(3, Token::Text("std::env \\\" //".into())));
    assert_eq!(texts[1], &(3, Token::Text("a\"std::env".into())));
    assert_eq!(find(&tokens, "fn last"), [6]);
}

#[test]
fn paths_are_found_across_line_breaks_and_in_groups() {
    let found = |source: &str| find(&read(source), "std::env");
    assert_eq!(found("use std::env;"), [1]);
    assert_eq!(found("let x =\n    std\n    ::env::vars();"), [2]);
    assert_eq!(found("use std::{\n    fs,\n    env::vars,\n};"), [3]);
    assert_eq!(found("use std::{fs::{env}, io};\nuse other::env;"), Vec::<usize>::new());
    assert_eq!(find(&read("app\n    .db\n    .read()"), ".db"), [2]);
    assert_eq!(find(&read("app.database"), ".db"), Vec::<usize>::new());
}
