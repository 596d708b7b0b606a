//! Whole stories: what happens, and what the tray does about it.

mod backup;
mod import;
mod updates;

use super::*;

/// A tray whose clock the test moves.
struct Story {
    state: State,
    now_ms: u64,
}

fn status(port: u16) -> Status {
    Status {
        version: "1".into(),
        pid: 7,
        port,
        fingerprint: "key".into(),
        accounts: 1,
        stored: 0,
        received_bytes: 0,
        was_reached: false,
        free_bytes: Some(100 << 30),
        people: Vec::new(),
        overdue: Vec::new(),
        newer_version: None,
        backup: Default::default(),
    }
}

fn ready(port: u16) -> Ready {
    let listen = vec![format!("0.0.0.0:{port}"), format!("[::]:{port}")];
    Ready { version: "1".into(), pid: 7, listen, urls: Vec::new(), metrics: None }
}

fn ended(code: Option<i32>, last_words: &str) -> Event {
    Event::Exited(Ended { code, last_words: last_words.into() })
}

impl Story {
    fn new() -> Self {
        Self { state: State::new(false, Some(false)), now_ms: 0 }
    }

    fn tell(&mut self, event: Event) -> Vec<Effect> {
        update(&mut self.state, self.now_ms, event)
    }

    fn elapse(&mut self, timer: Timer) -> Vec<Effect> {
        self.tell(Event::Elapsed(timer, self.state.round))
    }

    /// A server of our own that runs.
    fn running() -> Self {
        let mut story = Self::new();
        story.tell(Event::Launched);
        story.tell(Event::NobodyThere);
        story.tell(Event::Ready(ready(3000)));
        story.tell(Event::Attached(status(3000)));
        story
    }

    /// A server that somebody else started.
    fn adopted() -> Self {
        let mut story = Self::new();
        story.tell(Event::Launched);
        story.tell(Event::Attached(status(3000)));
        story
    }
}

fn notices(effects: &[Effect]) -> Vec<&Notice> {
    let mut notices = Vec::new();
    for effect in effects {
        if let Effect::Notify(notice) = effect {
            notices.push(notice);
        }
    }
    notices
}

fn has_start(effects: &[Effect]) -> bool {
    effects.contains(&Effect::StartServer)
}

#[test]
fn a_tray_starts_the_server_only_if_none_runs() {
    let mut story = Story::new();
    assert_eq!(story.tell(Event::Launched), [Effect::Follow]);
    assert!(has_start(&story.tell(Event::NobodyThere)));

    let mut story = Story::adopted();
    assert!(!has_start(&story.tell(Event::Said(status(3000)))));
    let wanted = Server::Running { port: 3000, is_ours: false, answers: true };
    assert_eq!(story.state.server, wanted);
}

#[test]
fn quitting_ends_the_server_it_started_and_never_another() {
    let mut story = Story::running();
    let effects = story.tell(Event::Chosen(Action::Quit));
    assert_eq!(effects[0], Effect::StopOurs);
    assert!(!effects.contains(&Effect::Exit), "it waits until the server has stopped");
    assert_eq!(story.tell(ended(Some(0), "")), [Effect::Exit]);

    let mut story = Story::adopted();
    assert_eq!(story.tell(Event::Chosen(Action::Quit)), [Effect::Exit]);
    let mut story = Story::adopted();
    assert_eq!(story.tell(Event::SessionEnds), [Effect::Exit]);
}

#[test]
fn a_server_that_does_not_stop_in_time_is_ended() {
    let mut story = Story::running();
    let effects = story.tell(Event::Chosen(Action::Stop));
    assert_eq!(effects[1], Effect::After(STOP_GRACE_MS, Timer::Grace, story.state.round));
    assert_eq!(story.elapse(Timer::Grace), [Effect::KillOurs]);
    assert!(story.tell(ended(None, "")).is_empty());
    assert_eq!(story.state.server, Server::Stopped(None));
}

#[test]
fn a_timer_of_an_earlier_stop_ends_no_later_server() {
    let mut story = Story::running();
    story.tell(Event::Chosen(Action::Restart));
    let round = story.state.round;
    story.tell(ended(Some(0), ""));
    assert!(has_start(&story.tell(Event::NobodyThere)));
    story.tell(Event::Ready(ready(3000)));
    story.tell(Event::Chosen(Action::Stop));
    assert!(story.tell(Event::Elapsed(Timer::Grace, round)).is_empty());
}

#[test]
fn a_crash_is_followed_by_a_start_and_a_loop_of_them_by_a_stop_with_its_last_words() {
    let mut story = Story::running();
    for pause_ms in [500, 1_000, 2_000] {
        let effects = story.tell(ended(Some(101), "panicked"));
        assert_eq!(effects, [Effect::After(pause_ms, Timer::Pause, story.state.round)]);
        story.now_ms += pause_ms;
        assert!(has_start(&story.elapse(Timer::Pause)));
        story.tell(Event::Ready(ready(3000)));
    }
    let effects = story.tell(ended(None, "panicked"));
    let trouble = Trouble::KeepsFailing("panicked".into());
    assert_eq!(notices(&effects), [&Notice::Failed(trouble.clone())]);
    assert_eq!(story.state.server, Server::Stopped(Some(trouble)));
    // A person may try again at once, and gets the whole budget.
    story.tell(Event::Chosen(Action::Start));
    assert!(has_start(&story.tell(Event::NobodyThere)));
    let effects = story.tell(ended(Some(101), "panicked"));
    assert_eq!(effects, [Effect::After(500, Timer::Pause, story.state.round)]);
}

#[test]
fn exit_codes_decide() {
    let case = |code, last_words: &str| {
        let mut story = Story::running();
        let effects = story.tell(ended(Some(code), last_words));
        (story.state.server, effects)
    };
    assert_eq!(case(0, "").0, Server::Stopped(None), "somebody stopped it: it stays stopped");
    assert!(has_start(&case(75, "").1));
    let settings = Server::Stopped(Some(Trouble::Settings("bad port".into())));
    assert_eq!(case(78, "bad port").0, settings);
    assert_eq!(case(64, "bad port").0, settings);
    assert_eq!(case(74, "no disk").0, Server::Stopped(Some(Trouble::Storage("no disk".into()))));
    let (server, effects) = case(69, "error: 0.0.0.0:4000 is taken by another program");
    assert_eq!(server, Server::Stopped(Some(Trouble::PortTaken { port: 4000, owner: None })));
    assert!(effects.contains(&Effect::FindPortOwner(4000)));
    // Somebody else's server was quicker: it is followed, not fought.
    assert_eq!(case(73, "").1, [Effect::Follow]);
}

#[test]
fn who_has_the_port_is_told_once_known() {
    let mut story = Story::running();
    story.tell(ended(Some(69), ""));
    story.tell(Event::PortOwner(Some("nginx (process 9)".into())));
    let known = Trouble::PortTaken { port: 3000, owner: Some("nginx (process 9)".into()) };
    assert_eq!(story.state.server, Server::Stopped(Some(known)));
}

#[test]
fn a_server_of_somebody_else_that_ends_is_not_replaced_but_found_again() {
    let mut story = Story::adopted();
    let effects = story.tell(Event::Detached);
    assert_eq!(story.state.server, Server::Stopped(Some(Trouble::Gone)));
    assert_eq!(effects, [Effect::After(LOOK_AGAIN_MS, Timer::LookAgain, story.state.round)]);
    assert_eq!(story.elapse(Timer::LookAgain), [Effect::Follow]);
    let again = story.tell(Event::NobodyThere);
    assert_eq!(again, [Effect::After(LOOK_AGAIN_MS, Timer::LookAgain, story.state.round)]);
    story.elapse(Timer::LookAgain);
    story.tell(Event::Attached(status(3000)));
    assert!(matches!(story.state.server, Server::Running { is_ours: false, .. }));
}

#[test]
fn stopping_and_restarting_a_server_of_somebody_else_asks_it() {
    let mut story = Story::adopted();
    assert_eq!(story.tell(Event::Chosen(Action::Stop))[0], Effect::StopOther);
    assert!(story.tell(Event::Detached).is_empty());
    assert_eq!(story.state.server, Server::Stopped(None));

    let mut story = Story::adopted();
    story.tell(Event::Chosen(Action::Restart));
    assert_eq!(story.tell(Event::Detached), [Effect::Follow]);
    assert!(has_start(&story.tell(Event::NobodyThere)));

    // It does not stop: it is left to its owner, and never ended.
    let mut story = Story::adopted();
    story.tell(Event::Chosen(Action::Stop));
    assert_eq!(story.elapse(Timer::Grace), [Effect::Follow]);
}

#[test]
fn a_server_that_hangs_is_shown_as_silent_until_it_answers() {
    let mut story = Story::running();
    let effects = story.tell(Event::Detached);
    assert_eq!(effects, [Effect::After(LOOK_AGAIN_MS, Timer::LookAgain, story.state.round)]);
    assert!(matches!(story.state.server, Server::Running { answers: false, is_ours: true, .. }));
    assert_eq!(story.elapse(Timer::LookAgain), [Effect::Follow]);
    story.tell(Event::Attached(status(3000)));
    assert!(matches!(story.state.server, Server::Running { answers: true, is_ours: true, .. }));
}

#[test]
fn the_first_start_says_where_phones_reach_it_and_asks_after_five_minutes() {
    let mut story = Story { state: State::new(true, None), now_ms: 0 };
    let address = Address { ip: "192.168.1.5".parse().unwrap(), interface: "eth0".into() };
    story.tell(Event::Addresses(vec![address]));
    story.tell(Event::Launched);
    story.tell(Event::NobodyThere);
    let effects = story.tell(Event::Ready(ready(3000)));
    assert_eq!(notices(&effects), [&Notice::FirstStart(Some("192.168.1.5".into()))]);
    assert!(effects.contains(&Effect::After(UNREACHED_MS, Timer::Unreached, story.state.round)));
    let mut reached = status(3000);
    assert_eq!(notices(&story.elapse(Timer::Unreached)), [&Notice::Unreached(3000)]);
    reached.was_reached = true;
    story.tell(Event::Said(reached));
    assert!(story.elapse(Timer::Unreached).is_empty());
}

#[test]
fn a_disk_that_fills_up_is_told_once_until_there_was_room() {
    let mut story = Story::running();
    let full = Status { free_bytes: Some(1 << 30), ..status(3000) };
    assert_eq!(notices(&story.tell(Event::Said(full.clone()))), [&Notice::LowSpace(1 << 30)]);
    assert!(story.tell(Event::Said(full.clone())).is_empty());
    story.tell(Event::Said(status(3000)));
    assert_eq!(notices(&story.tell(Event::Said(full))), [&Notice::LowSpace(1 << 30)]);
}

#[test]
fn an_entry_that_is_grey_does_nothing() {
    let mut story = Story::running();
    assert!(story.tell(Event::Chosen(Action::Start)).is_empty());
    assert_eq!(story.tell(Event::Chosen(Action::OpenPage)), [Effect::OpenPage(3000)]);
    story.tell(Event::Chosen(Action::Stop));
    assert!(story.tell(Event::Chosen(Action::Restart)).is_empty());
    assert!(story.tell(Event::Chosen(Action::OpenPage)).is_empty());
    assert!(story.tell(Event::Chosen(Action::Stop)).is_empty(), "once is enough");
}

#[test]
fn the_later_wish_counts_while_it_stops_but_nobody_takes_back_the_end() {
    let mut story = Story::running();
    story.tell(Event::Chosen(Action::Restart));
    story.tell(Event::Chosen(Action::Stop));
    story.tell(ended(Some(0), ""));
    assert_eq!(story.state.server, Server::Stopped(None));

    let mut story = Story::running();
    story.tell(Event::Chosen(Action::Quit));
    story.tell(Event::Chosen(Action::Stop));
    assert_eq!(story.tell(ended(Some(0), "")), [Effect::Exit]);
}
