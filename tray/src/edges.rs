//! Carries out what the model wants, and brings back what became of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::log::Log;
use crate::login::Login;
use crate::model::{Effect, Event, Notice, Timer};
use crate::server_process::{Program, Started};
use crate::{control, texts};

/// Stack of a thread that does one thing: little where that is our own code and D-Bus, the usual where the system's
/// shell and its notifications run on it.
const STACK_BYTES: usize = if cfg!(target_os = "linux") { 128 * 1024 } else { 1024 * 1024 };

/// The world as this process reaches it.
pub struct Edges {
    events: Sender<Event>,
    program: Program,
    login: Option<Login>,
    ours: Option<Started>,
    clipboard: Option<arboard::Clipboard>,
    timers: Vec<(Instant, Timer, u64)>,
}

impl Edges {
    /// For a server program; `login` arranges the start with the session.
    pub fn new(events: Sender<Event>, program: Program, login: Option<Login>) -> Self {
        Self { events, program, login, ours: None, clipboard: None, timers: Vec::new() }
    }

    /// When the next timer runs out.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.iter().map(|(at, ..)| *at).min()
    }

    /// Takes a timer that has run out.
    pub fn take_elapsed(&mut self, now: Instant) -> Option<Event> {
        let place = self.timers.iter().position(|(at, ..)| *at <= now)?;
        let (_, timer, round) = self.timers.swap_remove(place);
        Some(Event::Elapsed(timer, round))
    }

    /// Carries out one effect; false if it is the end.
    pub fn carry_out(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::Follow => self.in_background("follow", follow),
            Effect::StartServer => match self.program.start(&self.events) {
                Ok(started) => self.ours = Some(started),
                Err(error) => self.report(Event::NotStarted(error.to_string())),
            },
            Effect::StopOurs => self.stop_ours(),
            Effect::StopOther => self.in_background("stop", |program, _| {
                if let Err(error) = control::stop(&program.data_dir) {
                    program.log.note(&format!("the server could not be asked to stop: {error}"));
                }
            }),
            Effect::KillOurs => {
                if let Some(Err(error)) = self.ours.as_ref().map(Started::kill) {
                    self.log().note(&format!("the server could not be ended: {error}"));
                }
            }
            Effect::FindPortOwner(port) => self.in_background("port", move |_, events| {
                let _ = events.send(Event::PortOwner(crate::port_owner::find(port)));
            }),
            Effect::After(after_ms, timer, round) => {
                self.timers.push((Instant::now() + Duration::from_millis(after_ms), timer, round));
            }
            Effect::Copy(text) => self.copy(text),
            Effect::OpenPairing => self.in_background("pair", |program, _| {
                let opened =
                    control::open_pair_page(&program.data_dir).and_then(open::that_detached);
                if let Err(error) = opened {
                    program.log.note(&format!("the page for pairing could not be opened: {error}"));
                }
            }),
            Effect::OpenPage(port) => self.open(format!("http://127.0.0.1:{port}/").into()),
            Effect::OpenPhotos => self.open(self.program.data_dir.join("uploads")),
            Effect::OpenLog => self.open(self.log().path().to_owned()),
            Effect::SetLogin(on) => self.set_login(on),
            Effect::Notify(notice) => self.notify(&notice),
            Effect::Exit => return false,
        }
        true
    }

    fn log(&self) -> &Log {
        &self.program.log
    }

    fn report(&self, event: Event) {
        // The receiver is this process's own loop: it ends last.
        let _ = self.events.send(event);
    }

    /// Whatever may wait runs beside the loop.
    fn in_background(
        &self,
        name: &str,
        work: impl FnOnce(&Program, &Sender<Event>) + Send + 'static,
    ) {
        let (program, events) = (self.program.clone(), self.events.clone());
        let started = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || work(&program, &events));
        if let Err(error) = started {
            self.log().note(&format!("a thread could not be started: {error}"));
        }
    }

    fn stop_ours(&self) {
        let Some(ours) = self.ours.clone() else { return };
        self.in_background("stop", move |program, _| {
            if let Err(error) = ours.ask_to_stop(&program.data_dir) {
                program.log.note(&format!("the server could not be asked to stop: {error}"));
            }
        });
    }

    fn copy(&mut self, text: String) {
        // Kept open: on some systems a copied text lives only as long as the program that copied it.
        if self.clipboard.is_none() {
            self.clipboard = arboard::Clipboard::new().ok();
        }
        let copied = self.clipboard.as_mut().map(|clipboard| clipboard.set_text(text.clone()));
        let event = match copied {
            Some(Ok(())) => Event::Copied(text),
            _ => Event::NotCopied(text),
        };
        self.report(event);
    }

    fn open(&self, what: PathBuf) {
        self.in_background("open", move |program, _| {
            if let Err(error) = open::that_detached(&what) {
                program.log.note(&format!("{} could not be opened: {error}", what.display()));
            }
        });
    }

    fn set_login(&self, on: bool) {
        let Some(login) = &self.login else { return };
        if let Err(error) = login.set(on) {
            self.log().note(&format!("the start at login could not be changed: {error}"));
        }
        self.report(Event::StartsAtLogin(Some(login.is_on())));
    }

    fn notify(&self, notice: &Notice) {
        let (title, text) = texts::notice(notice);
        self.log().note(&format!("{title}: {text}"));
        // A bus without a notification service answers late or never.
        self.in_background("notify", move |program, _| {
            if let Err(error) = show(&title, &text) {
                program.log.note(&format!("the notification could not be shown: {error}"));
            }
        });
    }
}

/// Shows a notification as the system has them: over D-Bus, in the Notification Centre, or as a toast.
pub fn show(title: &str, text: &str) -> Result<(), String> {
    let mut bubble = notify_rust::Notification::new();
    bubble.appname(texts::PRODUCT).summary(title).body(text);
    #[cfg(target_os = "linux")]
    bubble.icon("photosync");
    #[cfg(windows)]
    bubble.app_id(crate::registry::name_notifications().map_err(|error| error.to_string())?);
    bubble.show().map(drop).map_err(|error| error.to_string())
}

/// Follows the status of whichever server holds the data.
fn follow(program: &Program, events: &Sender<Event>) {
    let mut is_first = true;
    let log = Arc::new(program.log.clone());
    let followed = control::follow(&program.data_dir, |status| {
        let event = if std::mem::take(&mut is_first) {
            Event::Attached(status)
        } else {
            Event::Said(status)
        };
        let _ = log.turn();
        events.send(event).is_ok()
    });
    let event = match followed {
        Ok(()) if !is_first => Event::Detached,
        _ => Event::NobodyThere,
    };
    let _ = events.send(event);
}
