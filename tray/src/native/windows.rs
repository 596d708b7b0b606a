//! What only Windows does with its icon in the notification area.
//!
//! An Explorer that starts again tells every window (`TaskbarCreated`); the library's own window hears it and shows the
//! icon again, also when the tray was there before Explorer.

use tao::event_loop::EventLoop;
use tray_icon::{TrayIcon, TrayIconBuilder};

use crate::menu::Mood;

/// Whether a left click shows the menu. Here the right button does, and the left one opens the page.
pub const LEFT_CLICK_SHOWS_MENU: bool = false;

/// Before the loop runs: nothing.
pub fn prepare<T>(_desktop: &mut EventLoop<T>) {}

/// Gives a new icon its picture.
pub fn dress(builder: TrayIconBuilder, mood: Mood) -> TrayIconBuilder {
    match super::picture(mood) {
        Some(picture) => builder.with_icon(picture),
        None => builder,
    }
}

/// Gives an icon another picture.
pub fn dress_again(icon: &TrayIcon, mood: Mood) -> tray_icon::Result<()> {
    icon.set_icon(super::picture(mood))
}
