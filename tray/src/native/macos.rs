//! What only macOS does with its icon in the menu bar.

use tao::event_loop::EventLoop;
use tao::platform::macos::{ActivationPolicy, EventLoopExtMacOS};
use tray_icon::{TrayIcon, TrayIconBuilder};

use crate::menu::Mood;

/// Whether a left click shows the menu. Here every click does.
pub const LEFT_CLICK_SHOWS_MENU: bool = true;

/// Before the loop runs: no place in the Dock, no menu of a program.
pub fn prepare<T>(desktop: &mut EventLoop<T>) {
    desktop.set_activation_policy(ActivationPolicy::Accessory);
}

/// Gives a new icon its shape, which the menu bar colours.
pub fn dress(builder: TrayIconBuilder, mood: Mood) -> TrayIconBuilder {
    match super::shape(mood) {
        Some(shape) => builder.with_icon_templated(shape),
        None => builder,
    }
}

/// Gives an icon another shape.
pub fn dress_again(icon: &TrayIcon, mood: Mood) -> tray_icon::Result<()> {
    icon.set_icon_templated(super::shape(mood))
}
