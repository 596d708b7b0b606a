//! Carries out what the model wants, and brings back what became of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use photosync_protocol::control::{PAIR_PAGE_PATH, WEB_PAGE_PATH};

use crate::awake::Awake;
use crate::client_process::{Client, SignedIn};
use crate::control::End;
use crate::folders::{self, Chosen};
use crate::launcher::Launcher;
use crate::log::Log;
use crate::login::Login;
use crate::model::{Effect, Event, ImportEnd, Notice, RunEnd, STOP_GRACE_MS, Timer};
use crate::server_process::{Program, Started};
use crate::task::Task;
use crate::{control, old_data, texts, updater};

/// The world as this process reaches it.
pub struct Edges {
    events: Sender<Event>,
    program: Program,
    client: Client,
    login: Option<Login>,
    awake: Arc<(Mutex<Awake>, AtomicBool)>,
    copying: Arc<Task>,
    /// Until when the silence of a server that stops says nothing.
    patient_until: Arc<Mutex<Option<Instant>>>,
    launcher: Option<Launcher>,
    ours: Option<Started>,
    clipboard: Option<arboard::Clipboard>,
    timers: Vec<(Instant, Timer, u64)>,
}

impl Edges {
    /// For a server program and a client program; `login` arranges the start with the session.
    pub fn new(
        events: Sender<Event>,
        program: Program,
        client: Client,
        login: Option<Login>,
    ) -> Self {
        let (awake, copying, patient_until) = (Arc::default(), Arc::default(), Arc::default());
        Self {
            events,
            program,
            client,
            login,
            awake,
            copying,
            patient_until,
            launcher: None,
            ours: None,
            clipboard: None,
            timers: Vec::new(),
        }
    }

    /// The same with a place among the programs of the desktop.
    pub fn with_launcher(self, launcher: Option<Launcher>) -> Self {
        Self { launcher, ..self }
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
            Effect::Follow => self.follow(),
            Effect::StartServer => match self.program.start(&self.events) {
                Ok(started) => self.ours = Some(started),
                Err(error) => self.report(Event::NotStarted(error.to_string())),
            },
            Effect::StopOurs => self.stop_ours(),
            Effect::StopOther => self.stop_other(),
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
                let opened = control::open_page(&program.data_dir, PAIR_PAGE_PATH)
                    .and_then(open::that_detached);
                if let Err(error) = opened {
                    program.log.note(&format!("the page for pairing could not be opened: {error}"));
                }
            }),
            Effect::OpenPage(port) => self.in_background("page", move |program, _| {
                // Without a way to sign in, as with another user's server, the page asks for a password.
                let signed_in = control::open_page(&program.data_dir, WEB_PAGE_PATH);
                let address = signed_in.unwrap_or_else(|_| format!("http://127.0.0.1:{port}/"));
                if let Err(error) = open::that_detached(address) {
                    program.log.note(&format!("the page could not be opened: {error}"));
                }
            }),
            Effect::OpenPhotos => self.open(self.program.data_dir.join("uploads")),
            Effect::OpenLog => self.open(self.log().path().to_owned()),
            Effect::SetLogin(on) => self.set_login(on),
            Effect::PutLauncher => self.put_launcher(),
            Effect::Notify(notice) => self.notify(&notice),
            Effect::Keep(kept) => {
                if let Err(error) = kept.store(&self.program.data_dir) {
                    self.log().note(&format!("what was chosen could not be kept: {error}"));
                }
            }
            Effect::AskClient => self.with_client(told),
            Effect::SignIn { email, port } => {
                let data_dir = self.program.data_dir.clone();
                self.with_client(move |client| {
                    let signed_in = control::pair_computer(&data_dir, &email)
                        .and_then(|offer| client.sign_in(&offer, port));
                    match signed_in {
                        Ok(()) => told(client),
                        Err(error) => Event::NotSignedIn(error.to_string()),
                    }
                });
            }
            Effect::ChooseFolders => self.in_background("folders", |program, events| {
                let _ = events.send(match folders::choose(&program.log) {
                    Chosen::Folders(folders) => Event::FoldersChosen(folders),
                    Chosen::NoDialog => Event::NoFolderDialog,
                });
            }),
            Effect::BackUp { folders, sealed } => self.back_up(folders, sealed),
            Effect::StopBackup => {
                if let Err(error) = self.client.stop() {
                    self.log().note(&format!("the backup could not be stopped: {error}"));
                }
            }
            Effect::Import(folder) => self.import(folder),
            Effect::StopImport => {
                if let Err(error) = old_data::stop(&self.copying) {
                    self.log().note(&format!("the copy could not be ended: {error}"));
                }
            }
            Effect::CheckUpdate => self.in_background("updates", |program, events| {
                let _ = events.send(Event::UpdateChecked(updater::check(program)));
            }),
            Effect::Update(version) => self.in_background("updates", move |program, events| {
                let _ = events.send(Event::Updated(updater::install(program, &version)));
            }),
            Effect::KeepAwake(wanted) => {
                let awake = self.awake.clone();
                awake.1.store(wanted, Ordering::SeqCst);
                self.in_background("awake", move |program, _| {
                    // Two of these may change places: what is wanted by now counts.
                    let mut hold = awake.0.lock().unwrap_or_else(PoisonError::into_inner);
                    hold.set(awake.1.load(Ordering::SeqCst), &program.log);
                });
            }
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
            // D-Bus calls go deep; of a stack only what was used is memory.
            .stack_size(1024 * 1024)
            .spawn(move || work(&program, &events));
        if let Err(error) = started {
            self.log().note(&format!("a thread could not be started: {error}"));
        }
    }

    /// Asks the client something whose answer is who is signed in.
    fn with_client(&self, ask: impl FnOnce(&Client) -> Event + Send + 'static) {
        let client = self.client.clone();
        self.in_background("client", move |program, events| {
            let event = ask(&client);
            match &event {
                Event::NotSignedIn(why) | Event::SignInLost(why) => {
                    program.log.note(&format!("this computer is not signed in: {why}"));
                }
                Event::NotTold(why) => {
                    program.log.note(&format!("who is signed in could not be told: {why}"));
                }
                _ => {}
            }
            let _ = events.send(event);
        });
    }

    fn back_up(&self, folders: Vec<PathBuf>, sealed: bool) {
        let client = self.client.clone();
        // Here, not in the thread: a stop that comes before it counts.
        client.prepare();
        self.in_background("backup", move |_, events| {
            let told = client.back_up(&folders, sealed, |event| {
                let _ = events.send(event);
            });
            if let Err(error) = told {
                let words = format!("photosync could not be started: {error}");
                let _ = events.send(Event::BackupEnded(RunEnd { words, ..RunEnd::default() }));
            }
        });
    }

    fn import(&self, folder: PathBuf) {
        let copying = self.copying.clone();
        copying.prepare();
        self.in_background("import", move |program, events| {
            let told = old_data::import(program, &folder, &copying, |event| {
                let _ = events.send(event);
            });
            if let Err(error) = told {
                let words = format!("the copy could not be made: {error}");
                let end = ImportEnd { words, ..ImportEnd::default() };
                let _ = events.send(Event::ImportEnded(end));
            }
        });
    }

    fn follow(&self) {
        let patient_until = self.patient_until.clone();
        // It was given to the server before this one.
        *lock(&patient_until) = None;
        self.in_background("follow", move |program, events| {
            follow(program, events, &patient_until)
        });
    }

    fn stop_other(&self) {
        // Whoever waits for a line meanwhile looks at it every 2 s, and has given up when the grace is over.
        let patience = Duration::from_millis(STOP_GRACE_MS).saturating_sub(control::NEXT_WAIT);
        *lock(&self.patient_until) = Some(Instant::now() + patience);
        self.in_background("stop", |program, _| {
            if let Err(error) = control::stop(&program.data_dir) {
                program.log.note(&format!("the server could not be asked to stop: {error}"));
            }
        });
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

    fn put_launcher(&self) {
        match self.launcher.as_ref().map(Launcher::put) {
            Some(Ok(Some(place))) => {
                self.log().note(&format!("put among the programs: {}", place.display()));
            }
            Some(Err(error)) => {
                self.log().note(&format!("not put among the programs: {error}"));
            }
            Some(Ok(None)) | None => {}
        }
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

/// Who is signed in, as the client tells it.
fn told(client: &Client) -> Event {
    match client.who() {
        Ok(SignedIn::As(account)) => Event::Client(Some(account)),
        Ok(SignedIn::Nobody) => Event::Client(None),
        Ok(SignedIn::Lost(why)) => Event::SignInLost(why),
        Err(error) => Event::NotTold(error.to_string()),
    }
}

fn lock(patient_until: &Mutex<Option<Instant>>) -> MutexGuard<'_, Option<Instant>> {
    patient_until.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows the status of whichever server holds the data. The silence of one that somebody else runs and that was asked
/// to stop is not its end: it closes its database. What becomes of it is told by its end, or asked by the timer of the stop.
fn follow(program: &Program, events: &Sender<Event>, patient_until: &Mutex<Option<Instant>>) {
    let mut is_first = true;
    let log = Arc::new(program.log.clone());
    let is_patient = || lock(patient_until).is_some_and(|until| Instant::now() < until);
    let followed = control::follow_patiently(&program.data_dir, is_patient, |status| {
        let event = if std::mem::take(&mut is_first) {
            Event::Attached(status)
        } else {
            Event::Said(status)
        };
        let _ = log.turn();
        events.send(event).is_ok()
    });
    let event = match followed {
        Ok(End::Silent) if lock(patient_until).is_some() => return,
        Ok(_) if !is_first => Event::Detached,
        _ => Event::NobodyThere,
    };
    let _ = events.send(event);
}
