//! The smallest program with an icon and a menu by the same libraries as `photosync-tray`: what `scripts/bench tray`
//! compares it with. It shows one entry and waits until it is ended.

use tray_icon::menu::{Menu, MenuItem};
use tray_icon::{Icon, TrayIconBuilder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const SIDE: u32 = 48;
    let menu = Menu::new();
    menu.append(&MenuItem::new("Quit", true, None))?;
    let pixels = vec![255; (SIDE * SIDE * 4) as usize];
    let _icon = TrayIconBuilder::new()
        .with_id("bare")
        .with_title("Bare")
        .with_icon(Icon::from_rgba(pixels, SIDE, SIDE)?)
        .with_menu(Box::new(menu))
        .build()?;
    loop {
        std::thread::park();
    }
}
