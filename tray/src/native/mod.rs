//! The icon in the panel. Everything that differs between systems is in here.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub use linux::run;

#[cfg(not(target_os = "linux"))]
compile_error!("the icon of this system is not built yet: only Linux is");

use tray_icon::menu::{CheckMenuItem, IsMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu};

use crate::menu::{Item, Mood};
use crate::model::Action;

/// Which action an id of the native menu stands for: its place in the list of all choices, from the top.
type Choices = Vec<Action>;

/// Builds the native menu, and says what its ids stand for.
fn build_menu(items: &[Item]) -> Result<(Menu, Choices), tray_icon::menu::Error> {
    let (menu, mut choices) = (Menu::new(), Vec::new());
    for item in items {
        menu.append(build_item(item, &mut choices)?.as_ref())?;
    }
    Ok((menu, choices))
}

fn build_item(
    item: &Item,
    choices: &mut Choices,
) -> Result<Box<dyn IsMenuItem>, tray_icon::menu::Error> {
    let mut id_of = |action: &Action| {
        choices.push(action.clone());
        (choices.len() - 1).to_string()
    };
    Ok(match item {
        Item::Line(text) => Box::new(MenuItem::new(literal(text), false, None)),
        Item::Entry { action, text, enabled } => {
            Box::new(MenuItem::with_id(id_of(action), literal(text), *enabled, None))
        }
        Item::Check { action, text, on } => {
            Box::new(CheckMenuItem::with_id(id_of(action), literal(text), true, *on, None))
        }
        Item::Sub { text, items } => {
            let sub = Submenu::new(literal(text), true);
            for item in items {
                sub.append(build_item(item, choices)?.as_ref())?;
            }
            Box::new(sub)
        }
        Item::Separator => Box::new(PredefinedMenuItem::separator()),
    })
}

/// A text in which `&` marks no shortcut.
fn literal(text: &str) -> String {
    text.replace('&', "&&")
}

/// The picture of a mood, as it was drawn (`assets/*.svg`).
fn picture(mood: Mood) -> Option<tray_icon::Icon> {
    let bytes: &[u8] = match mood {
        Mood::Well => include_bytes!("../../assets/icon-well.png"),
        Mood::Resting => include_bytes!("../../assets/icon-resting.png"),
        Mood::Attention => include_bytes!("../../assets/icon-attention.png"),
    };
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().ok()?;
    let mut pixels = vec![0; reader.output_buffer_size()?];
    let frame = reader.next_frame(&mut pixels).ok()?;
    tray_icon::Icon::from_rgba(pixels, frame.width, frame.height).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mood_has_a_picture() {
        for mood in [Mood::Well, Mood::Resting, Mood::Attention] {
            assert!(picture(mood).is_some(), "{mood:?}");
        }
    }
}
