//! The kit as one page: SVG that every browser prints.
//!
//! 210 mm wide and 279 mm high: the width of A4 and the height of US Letter, so that it fits both as it is. Black and
//! grey on white, for any printer.

use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

use super::Kit;
use crate::error::{Error, Result};

const WIDTH: f64 = 210.0;
const HEIGHT: f64 = 279.0;
/// Millimetres on both sides that nothing is drawn on; no printer needs more than 7.
const MARGIN: f64 = 20.0;
const INK: &str = "#14213d";
const GREY: &str = "#5c677d";
const HAIR: &str = "#c5cad3";
const SANS: &str = "'Helvetica Neue',Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif";
const MONO: &str = "Menlo,Consolas,'Liberation Mono','DejaVu Sans Mono','Courier New',monospace";
/// Side of the picture with its light border, millimetres: with 65 modules each is 0.8 mm, which any phone reads.
const QR_MM: f64 = 52.0;
/// Light modules around a QR code that readers need (ISO/IEC 18004 §6.3.8).
const QUIET: usize = 4;

/// What is drawn so far, and how far down. Millimetres.
struct Page {
    svg: Zeroizing<String>,
    y: f64,
}

impl Kit {
    /// The page.
    pub(super) fn page(&self) -> Result<Zeroizing<String>> {
        // Room for everything: a string that grows leaves copies of the words behind.
        let mut page = Page { svg: Zeroizing::new(String::with_capacity(256 << 10)), y: 0.0 };
        page.begin();
        page.head(self);
        page.words(self)?;
        page.place(self);
        page.steps(self);
        page.checks();
        page.foot();
        page.svg.push_str("</svg>\n");
        Ok(page.svg)
    }
}

impl Page {
    fn begin(&mut self) {
        let open = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}mm\" height=\"{HEIGHT}mm\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\">\n<title>PhotoSync recovery kit</title>\n\
             <style>@page{{margin:0}}text{{font-family:{SANS};fill:{INK}}}.m{{font-family:{MONO}}}.g{{fill:{GREY}}}\
             .b{{font-weight:700}}</style>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
        );
        self.svg.push_str(&open);
    }

    /// One line of text with its base line at `y`; `size` in millimetres.
    fn text(&mut self, x: f64, y: f64, size: f64, class: &str, text: &str) {
        let line = format!(
            "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{size}\" class=\"{class}\" xml:space=\"preserve\">"
        );
        self.svg.push_str(&line);
        escape(text, &mut self.svg);
        self.svg.push_str("</text>\n");
    }

    /// Lines of at most `columns` characters from the current height on.
    fn lines(&mut self, x: f64, size: f64, class: &str, columns: usize, text: &str) {
        for line in broken(text, columns) {
            self.text(x, self.y, size, class, &line);
            self.y += size * 1.42;
        }
    }

    fn heading(&mut self, text: &str) {
        self.text(MARGIN, self.y, 4.8, "b", text);
        self.y += 7.4;
    }

    fn head(&mut self, kit: &Kit) {
        // A key: a ring, a shaft, two teeth.
        let key = format!(
            "<g fill=\"none\" stroke=\"{INK}\" stroke-width=\"1.5\" stroke-linecap=\"round\">\
             <circle cx=\"25.2\" cy=\"26.6\" r=\"4.4\"/><path d=\"M29.6 26.6H41M36.4 26.6v3.4M40.4 26.6v4.6\"/></g>\n"
        );
        self.svg.push_str(&key);
        self.text(46.0, 29.4, 9.4, "b", "Recovery kit");
        let made = format!("PhotoSync sealed backup  ·  {}", kit.day);
        self.text(46.2, 35.4, 3.5, "g", &made);
        let rule = format!(
            "<path d=\"M{MARGIN} 41.5H{}\" stroke=\"{INK}\" stroke-width=\"0.7\"/>\n",
            WIDTH - MARGIN
        );
        self.svg.push_str(&rule);
        self.y = 49.5;
        self.lines(
            MARGIN,
            3.8,
            "",
            84,
            "These 24 words open your sealed backup when its password is lost and every computer is gone. \
             Whoever has the words and the sealed files can read every photo in it, and without the words or the \
             password nobody can, neither we nor the server.",
        );
        self.y += 0.8;
        self.lines(
            MARGIN,
            3.8,
            "b",
            77,
            "Keep it with your passport: never beside the backup, never as a photo.",
        );
    }

    fn words(&mut self, kit: &Kit) -> Result<()> {
        const COLUMNS: usize = 3;
        let top = self.y + 2.4;
        let words: Vec<&str> = kit.words.split(' ').collect();
        let rows = words.len().div_ceil(COLUMNS);
        let (cell_width, cell_height) = (37.6, 7.8);
        let box_height = QR_MM + 16.0;
        let frame = format!(
            "<rect x=\"{MARGIN}\" y=\"{top:.2}\" width=\"{}\" height=\"{box_height}\" rx=\"3\" fill=\"none\" \
             stroke=\"{INK}\" stroke-width=\"0.5\"/>\n",
            WIDTH - 2.0 * MARGIN
        );
        self.svg.push_str(&frame);
        let first = top + (box_height - cell_height * rows as f64) / 2.0;
        for (index, word) in words.iter().enumerate() {
            let x = MARGIN + 5.0 + (index / rows) as f64 * cell_width;
            let y = first + (index % rows) as f64 * cell_height;
            let rule = format!(
                "<path d=\"M{x:.2} {:.2}h{:.2}\" stroke=\"{HAIR}\" stroke-width=\"0.25\"/>\n",
                y + cell_height - 0.6,
                cell_width - 4.0
            );
            self.svg.push_str(&rule);
            let number = format!("{:>2}", index + 1);
            self.text(x, y + 5.4, 3.2, "m g", &number);
            self.text(x + 5.6, y + 5.5, 4.5, "m b", word);
        }
        let left = WIDTH - MARGIN - QR_MM - 3.0;
        self.picture(kit, left, top + 1.4)?;
        let said = [
            "The same words as plain text,",
            "in capitals. Scan it only with",
            "a device of your own.",
        ];
        for (line, said) in said.into_iter().enumerate() {
            let y = top + QR_MM + 4.4 + line as f64 * 3.7;
            self.text(left + 3.4, y, 2.7, "g", said);
        }
        self.y = top + box_height + 9.5;
        Ok(())
    }

    /// The words as a QR code. Capitals and blanks need less room than other text, which pays for more redundancy: up to a
    /// quarter of the picture may be stained.
    fn picture(&mut self, kit: &Kit, x: f64, y: f64) -> Result<()> {
        let text = Zeroizing::new(kit.words.to_uppercase());
        let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::Q)
            .map_err(|cause| Error::unexpected(format!("could not draw the words: {cause}")))?;
        let (side, dark) = (code.width(), Zeroizing::new(bytes_of(&code)));
        let module = QR_MM / (side + 2 * QUIET) as f64;
        let open = format!(
            "<path transform=\"translate({x:.3} {y:.3}) scale({module:.5})\" fill=\"#000\" shape-rendering=\"crispEdges\" d=\""
        );
        self.svg.push_str(&open);
        for row in 0..side {
            let mut column = 0;
            while column < side {
                let run = (column..side).take_while(|at| dark[row * side + at] == 1).count();
                if run > 0 {
                    let drawn = format!("M{} {}h{run}v1h-{run}z", column + QUIET, row + QUIET);
                    self.svg.push_str(&drawn);
                }
                column += run.max(1);
            }
        }
        self.svg.push_str("\"/>\n");
        Ok(())
    }

    fn place(&mut self, kit: &Kit) {
        self.heading("Where the sealed backup is");
        let what = if kit.account.is_some() { "Server" } else { "Folder" };
        let rows = [(what, Some(&kit.place)), ("Account", kit.account.as_ref())];
        for (name, value) in rows {
            let Some(value) = value else { continue };
            self.text(MARGIN, self.y, 3.5, "g", name);
            // Three lines: what is longer than that nobody types, and the steps have to stay on the page.
            let is_whole = value.chars().count() <= 3 * 68;
            let shown: String = value.chars().take(3 * 68 - 1).collect();
            let shown = if is_whole { value.clone() } else { format!("{shown}…") };
            self.lines(MARGIN + 20.0, 3.5, "m", 68, &shown);
            self.y += 0.6;
        }
        self.text(MARGIN, self.y, 3.5, "g", "Also at");
        let blank = format!(
            "<path d=\"M{} {:.2}H{}\" stroke=\"{GREY}\" stroke-width=\"0.25\"/>\n",
            MARGIN + 20.0,
            self.y + 0.8,
            WIDTH - MARGIN
        );
        self.svg.push_str(&blank);
        self.y += 12.0;
    }

    fn steps(&mut self, kit: &Kit) {
        const DISK: &str = "Install the program photosync on a computer that you trust, and connect the disk with the \
                            folder above. FOLDER is wherever it is then.";
        const WORDS: &str = "Type the 24 words in their order, then choose a new password.";
        const BACK: &str =
            "Every photo comes back into the folder Restored, with its name and its date.";
        self.heading("How to get everything back");
        let commands = kit.commands();
        // Each with the number of the command that belongs to it.
        let steps = match kit.account {
            Some(_) => [
                ("Install the program photosync on a computer that you trust, and sign in.", 0),
                (WORDS, 1),
                (BACK, 2),
            ],
            None => [(DISK, usize::MAX), (WORDS, 0), (BACK, 1)],
        };
        for (number, (said, command)) in steps.iter().enumerate() {
            let circle = format!(
                "<circle cx=\"{:.2}\" cy=\"{:.2}\" r=\"2.6\" fill=\"{INK}\"/><text x=\"{:.2}\" y=\"{:.2}\" font-size=\"3.3\" \
                 text-anchor=\"middle\" style=\"fill:#fff;font-weight:700\">{}</text>\n",
                MARGIN + 2.6,
                self.y - 1.2,
                MARGIN + 2.6,
                self.y,
                number + 1
            );
            self.svg.push_str(&circle);
            self.lines(MARGIN + 9.0, 3.7, "", 84, said);
            if let Some(command) = commands.get(*command) {
                self.lines(MARGIN + 9.0, 3.5, "m b", 75, command);
            }
            self.y += 2.6;
        }
    }

    /// Lines to fill in by hand: paper that nobody looks at fades, and words that nobody tried may be mistyped.
    fn checks(&mut self) {
        self.y = self.y.max(HEIGHT - 44.0) + 2.0;
        self.text(MARGIN, self.y, 3.5, "g", "Tried with photosync relay kit on");
        for column in 0..3 {
            let x = MARGIN + 71.0 + f64::from(column) * 34.0;
            let line = format!(
                "<path d=\"M{x} {:.2}h31\" stroke=\"{GREY}\" stroke-width=\"0.25\"/>\n",
                self.y + 0.8
            );
            self.svg.push_str(&line);
        }
        self.y += 7.0;
    }

    fn foot(&mut self) {
        let bottom = self.y.max(HEIGHT - 31.0);
        let rule = format!(
            "<path d=\"M{MARGIN} {bottom}H{}\" stroke=\"{HAIR}\" stroke-width=\"0.3\"/>\n",
            WIDTH - MARGIN
        );
        self.svg.push_str(&rule);
        self.y = bottom + 5.0;
        self.lines(
            MARGIN,
            2.7,
            "g",
            123,
            "For experts: the words are BIP-39 (English, 256 bits and a checksum of 8), read without regard to capitals and blanks. \
             The square is a QR code of the words with blanks between them, error correction Q. Should PhotoSync itself be gone: its \
             file docs/FORMAT.md describes every byte, and tests/reader restores a folder of sealed objects from these words alone.",
        );
    }
}

fn bytes_of(code: &QrCode) -> Vec<u8> {
    code.to_colors().iter().map(|colour| u8::from(*colour == Color::Dark)).collect()
}

/// Text between tags; a control character, which XML cannot say, becomes a mark.
fn escape(text: &str, into: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            letter if letter.is_control() => into.push('\u{fffd}'),
            letter => into.push(letter),
        }
    }
}

/// Lines of at most so many characters, broken between words; a longer word is cut where the line ends.
fn broken(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        let line = lines.last_mut().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + rest.len() <= columns {
            lines.last_mut().into_iter().for_each(|line| line.push(' '));
        } else if line > 0 {
            lines.push(String::new());
        }
        while rest.len() > columns {
            let after = rest.split_off(columns);
            lines.last_mut().into_iter().for_each(|line| line.extend(&rest));
            lines.push(String::new());
            rest = after;
        }
        lines.last_mut().into_iter().for_each(|line| line.extend(&rest));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::tests::kit;
    use super::*;

    #[test]
    fn the_page_has_every_word_in_text_and_stays_one_page() {
        for (account, place) in [
            (Some("ada@example.org"), "https://nas.example.org:3000".to_owned()),
            (None, format!("/media/{}/<&>", "a long name ".repeat(40))),
        ] {
            let kit = kit(account, &place);
            let page = kit.page().unwrap();
            for word in kit.words.split(' ') {
                assert!(page.contains(&format!(">{word}</text>")), "{word}");
            }
            assert!(page.ends_with("</svg>\n") && !page.contains("<&>"));
            let lowest = page.match_indices(" y=\"").map(|(at, mark)| {
                let number = page[at + mark.len()..].split('"').next().unwrap_or_default();
                number.parse::<f64>().unwrap()
            });
            let lowest = lowest.fold(0.0, f64::max);
            assert!(lowest < HEIGHT - 10.0, "{lowest} mm");
        }
    }

    #[test]
    fn a_long_word_is_cut_and_short_ones_are_not() {
        assert_eq!(broken("ab cd efghijkl", 5), ["ab cd", "efghi", "jkl"]);
        assert_eq!(broken("", 5), [""]);
    }
}
