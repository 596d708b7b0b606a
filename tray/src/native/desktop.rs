//! The icon on Windows and macOS. Both want an event loop on the first thread, and everything of the icon on it; what
//! the tray does runs on another.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tao::event::Event as Happening;
use tao::event_loop::{ControlFlow, EventLoopBuilder};
use tray_icon::menu::Menu;
use tray_icon::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};

use super::{Shown, build_menu, change_in_place, hear_menu, note, system};
use crate::log::Log;
use crate::menu::{Face, has_same_shape};
use crate::model::{Action, Event};

/// How long the end of a session waits for the server: Windows calls a program hung after 5 s.
const SESSION_END_WAIT: Duration = Duration::from_millis(4_500);

/// What the tray tells the event loop.
enum News {
    Show(Face),
    Over,
}

/// Runs the event loop here, and `work` beside it, with a function that shows a face. Ends the process when `work`
/// does.
pub fn run(
    events: Sender<Event>,
    log: Log,
    work: impl FnOnce(Box<dyn FnMut(Face)>) + Send + 'static,
) {
    let mut desktop = EventLoopBuilder::<News>::with_user_event().build();
    system::prepare(&mut desktop);
    let shown = Shown::default();
    hear_menu(events.clone(), shown.clone());
    hear_clicks(events.clone());
    let (working, ended) = channel::<()>();
    let to_desktop = desktop.create_proxy();
    let worker = std::thread::Builder::new().name("loop".into()).spawn(move || {
        let faces = to_desktop.clone();
        work(Box::new(move |face| {
            // A loop that has ended shows nothing any more.
            let _ = faces.send_event(News::Show(face));
        }));
        drop(working);
        let _ = to_desktop.send_event(News::Over);
    });
    if let Err(error) = worker {
        log.note(&format!("the tray has no thread to work on: {error}"));
        return;
    }
    let mut icon: Option<Seen> = None;
    desktop.run(move |happening, _, flow| {
        // Each turn says anew what comes next; an end that was asked for stays one.
        if *flow != ControlFlow::Exit {
            *flow = ControlFlow::Wait;
        }
        match happening {
            Happening::UserEvent(News::Show(face)) => {
                let done = match &mut icon {
                    Some(icon) => icon.show(face, &shown),
                    None => Seen::build(face, &shown).map(|built| icon = Some(built)),
                };
                if let Err(why) = done {
                    log.note(&format!("the icon could not be shown: {why}"));
                }
            }
            Happening::UserEvent(News::Over) => {
                // Taken away here: one of a process that merely ended stays until the pointer touches it.
                icon = None;
                *flow = ControlFlow::Exit;
            }
            // Also when the session ends, and then nothing of this process lives much longer.
            Happening::LoopDestroyed => finish(&events, &ended),
            _ => {}
        }
    });
}

/// Lets the work end in order, unless it has: the server is asked to stop.
fn finish(events: &Sender<Event>, ended: &Receiver<()>) {
    if matches!(ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected)) {
        return;
    }
    let _ = events.send(Event::SessionEnds);
    let (Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) =
        ended.recv_timeout(SESSION_END_WAIT);
}

/// A left click that shows no menu does what one most likely wants.
fn hear_clicks(events: Sender<Event>) {
    TrayIconEvent::set_event_handler(Some(move |event| {
        if let TrayIconEvent::Click {
            button: MouseButton::Left,
            button_state: MouseButtonState::Up,
            ..
        } = event
            && !system::LEFT_CLICK_SHOWS_MENU
        {
            let _ = events.send(Event::Chosen(Action::OpenPage));
        }
    }));
}

/// The icon, its menu, and what both show.
struct Seen {
    icon: TrayIcon,
    menu: Menu,
    face: Face,
}

impl Seen {
    fn build(face: Face, shown: &Shown) -> Result<Self, String> {
        let menu = build_menu(&face.menu).map_err(|error| error.to_string())?;
        note(shown, &face.menu);
        let builder = TrayIconBuilder::new()
            .with_id("photosync")
            .with_tooltip(&face.tooltip)
            .with_menu_on_left_click(system::LEFT_CLICK_SHOWS_MENU)
            .with_menu(Box::new(menu.clone()));
        let icon = system::dress(builder, face.mood).build().map_err(|error| error.to_string())?;
        Ok(Self { icon, menu, face })
    }

    fn show(&mut self, face: Face, shown: &Shown) -> Result<(), String> {
        // In place where that can be: a menu that is replaced while somebody reads it closes under the pointer.
        if has_same_shape(&self.face.menu, &face.menu) {
            change_in_place(&self.menu.items(), &self.face.menu, &face.menu);
        } else {
            self.menu = build_menu(&face.menu).map_err(|error| error.to_string())?;
            self.icon.set_menu(Some(Box::new(self.menu.clone())));
        }
        note(shown, &face.menu);
        let before = std::mem::replace(&mut self.face, face);
        self.icon.set_tooltip(Some(&self.face.tooltip)).map_err(|error| error.to_string())?;
        if before.mood != self.face.mood {
            system::dress_again(&self.icon, self.face.mood).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
