//! A pairing offer in the terminal: a picture to scan and a code to type.

use photosync_protocol::v2::session::PairingOffer;
use photosync_server::pairing::rules::show_code;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Black on white whatever the terminal's own colours are: not every reader can read the reverse.
const BLACK_ON_WHITE: &str = "\u{1b}[38;5;16;48;5;231m";
const RESET: &str = "\u{1b}[0m";

/// The offer for people. Without colours, blocks are the light modules: right on a dark terminal or in a file.
pub fn show(offer: &PairingOffer, colours: bool) -> String {
    let minutes = offer.expires_in_s / 60;
    let mut text = picture(&offer.qr, colours).unwrap_or_default();
    text += &format!(
        "\nScan the picture, or type the code:  {}\nBoth work once, for {minutes} minutes.\n",
        show_code(&offer.code)
    );
    text
}

/// Two modules a character, with the four light modules around it that readers need. `None` if the text is too long.
fn picture(text: &str, colours: bool) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let mut renderer = code.render::<Dense1x2>();
    if !colours {
        renderer.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
    }
    let drawn = renderer.quiet_zone(true).build();
    let lines = drawn.lines().map(|line| match colours {
        true => format!("{BLACK_ON_WHITE}{line}{RESET}\n"),
        false => format!("{line}\n"),
    });
    Some(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> PairingOffer {
        let qr = format!(r#"{{"type":"photolynk-local","token":"psp_{}"}}"#, "x".repeat(43));
        PairingOffer { code: "ABCDEFGH".into(), qr, expires_in_s: 300 }
    }

    #[test]
    fn on_a_terminal_the_colours_are_set_and_taken_back_on_every_line_of_the_picture() {
        let shown = show(&offer(), true);
        let drawn: Vec<&str> = shown.lines().filter(|line| line.contains('\u{1b}')).collect();
        assert!(drawn.len() > 15);
        assert!(drawn.iter().all(|l| l.starts_with(BLACK_ON_WHITE) && l.ends_with(RESET)));
        assert!(drawn[0].contains("    "), "a light border");
        assert!(shown.contains("ABCD-EFGH") && shown.contains("5 minutes"), "{shown}");
    }

    #[test]
    fn without_colours_the_border_is_drawn_light() {
        let shown = show(&offer(), false);
        assert!(!shown.contains('\u{1b}'));
        assert!(shown.starts_with("\u{2588}\u{2588}\u{2588}\u{2588}"), "{shown}");
    }
}
