//! Stories of this computer's own backup, of devices without one, and of staying awake.

#[cfg(unix)]
use std::os::unix::ffi::OsStrExt;

use photosync_protocol::control::OverdueDevice;

use super::super::backup::{Progress, Who, Work};
use super::*;

fn account(url: &str) -> Account {
    let is_here = url.contains("127.0.0.1");
    let (email, fingerprint) = ("ada@example.org".into(), "key".into());
    Account { email, url: url.into(), fingerprint, is_here, is_sealed: false }
}

fn people(emails: &[&str]) -> Status {
    Status { people: emails.iter().map(ToString::to_string).collect(), ..status(3000) }
}

fn done(files: u64) -> Event {
    Event::BackupEnded(RunEnd { code: Some(0), files, is_complete: true, ..RunEnd::default() })
}

fn refused(code: i32, words: &str) -> Event {
    Event::BackupEnded(RunEnd { code: Some(code), words: words.into(), ..RunEnd::default() })
}

fn begun(effects: &[Effect]) -> Option<Vec<PathBuf>> {
    effects.iter().find_map(|effect| match effect {
        Effect::BackUp { folders, .. } => Some(folders.clone()),
        _ => None,
    })
}

impl Story {
    /// A server that runs, and a client program.
    fn with_client() -> Self {
        let mut story = Self::running();
        story.state.backup.has_client = true;
        story
    }

    /// The same, signed in at that address, with one folder whose first run is under way.
    fn backing_up(url: &str) -> Self {
        let mut story = Self::with_client();
        story.tell(Event::FoldersChosen(vec!["/photos".into()]));
        let effects = story.tell(Event::Client(Some(account(url))));
        assert_eq!(begun(&effects), Some(vec!["/photos".into()]));
        story
    }
}

const HERE: &str = "https://127.0.0.1:3000";
const ELSEWHERE: &str = "https://192.168.1.9:3000";

#[test]
fn a_folder_that_was_chosen_is_kept_and_backed_up_as_the_only_person_there_is() {
    let mut story = Story::with_client();
    story.tell(Event::Said(people(&["ada@example.org"])));
    assert_eq!(story.tell(Event::Chosen(Action::AddFolder)), [Effect::ChooseFolders]);
    assert!(story.tell(Event::Chosen(Action::AddFolder)).is_empty(), "one dialog at a time");
    let effects = story.tell(Event::FoldersChosen(vec!["/photos".into()]));
    let kept = Kept { folders: vec!["/photos".into()], ..Kept::default() };
    assert_eq!(effects, [Effect::Keep(kept), Effect::AskClient]);
    let effects = story.tell(Event::Client(None));
    let email = "ada@example.org".to_owned();
    assert_eq!(effects, [Effect::SignIn { email, port: 3000 }]);
    let effects = story.tell(Event::Client(Some(account(HERE))));
    assert_eq!(begun(&effects), Some(vec!["/photos".into()]));
    story.state.now = Moment { day: 5, minute: 60 };
    let effects = story.tell(done(12));
    let complete = Complete { at: Moment { day: 5, minute: 60 }, files: 12 };
    assert_eq!(story.state.backup.last, Some(complete));
    assert!(matches!(&effects[0], Effect::Keep(kept) if kept.last_complete == Some(complete)));
    assert!(matches!(effects[1], Effect::After(EVERY_MS, Timer::BackUp, _)));
}

#[test]
fn with_several_people_somebody_chooses_and_with_none_the_first_account_is_waited_for() {
    let mut story = Story::with_client();
    story.tell(Event::Said(people(&["ada@example.org", "ben@example.org"])));
    story.tell(Event::FoldersChosen(vec!["/photos".into()]));
    assert!(story.tell(Event::Client(None)).is_empty());
    let effects = story.tell(Event::Chosen(Action::SignInAs("ben@example.org".into())));
    assert_eq!(effects, [Effect::SignIn { email: "ben@example.org".into(), port: 3000 }]);

    let mut story = Story::with_client();
    story.tell(Event::FoldersChosen(vec!["/photos".into()]));
    assert!(story.tell(Event::Client(None)).is_empty());
    let effects = story.tell(Event::Said(people(&["ada@example.org"])));
    assert_eq!(effects, [Effect::SignIn { email: "ada@example.org".into(), port: 3000 }]);
    story.tell(Event::NotSignedIn("the code was refused".into()));
    let again = story.tell(Event::Said(people(&["ada@example.org"])));
    assert!(again.is_empty(), "a refusal is not tried again every second");
    assert_eq!(story.state.backup.trouble, "the code was refused");
}

#[test]
fn nothing_begins_before_this_computers_server_runs_but_another_server_needs_it_not() {
    let kept = Kept { folders: vec!["/photos".into()], ..Kept::default() };
    let start = |url: &str| {
        let state = State::new(false, None).remembering(kept.clone(), true, Vec::new());
        let mut story = Story { state, now_ms: 0 };
        assert_eq!(story.tell(Event::Launched), [Effect::Follow, Effect::AskClient]);
        let effects = story.tell(Event::Client(Some(account(url))));
        (story, effects)
    };
    let (mut story, effects) = start(HERE);
    assert_eq!(begun(&effects), None);
    story.tell(Event::NobodyThere);
    assert_eq!(
        begun(&story.tell(Event::Ready(ready(3000)))),
        None,
        "which one it is, is not known yet"
    );
    assert!(begun(&story.tell(Event::Attached(status(3000)))).is_some());
    assert!(begun(&start(ELSEWHERE).1).is_some());
}

#[test]
fn the_same_server_at_another_port_is_signed_in_to_again_and_another_one_never() {
    let mut story = Story::with_client();
    story.tell(Event::FoldersChosen(vec!["/photos".into()]));
    let old = account("https://127.0.0.1:4000");
    let effects = story.tell(Event::Client(Some(old.clone())));
    assert_eq!(effects, [Effect::SignIn { email: old.email.clone(), port: 3000 }]);
    assert!(begun(&story.tell(Event::Client(Some(account(HERE))))).is_some());

    let mut story = Story::with_client();
    story.tell(Event::FoldersChosen(vec!["/photos".into()]));
    let other = Account { fingerprint: "another key".into(), ..old };
    assert!(begun(&story.tell(Event::Client(Some(other)))).is_some());
}

#[test]
fn a_run_follows_an_hour_after_the_last_and_a_timer_of_before_begins_none() {
    let mut story = Story::backing_up(HERE);
    let Some(Effect::After(EVERY_MS, Timer::BackUp, first)) = story.tell(done(1)).pop() else {
        panic!("no timer");
    };
    assert_eq!(story.tell(Event::Chosen(Action::BackUpNow)), [Effect::AskClient]);
    let sealed = Account { is_sealed: true, ..account(HERE) };
    let effects = story.tell(Event::Client(Some(sealed)));
    let folders = vec![PathBuf::from("/photos")];
    assert_eq!(effects, [Effect::BackUp { folders, sealed: true }], "begun in a terminal since");
    story.tell(done(1));
    assert!(begun(&story.tell(Event::Elapsed(Timer::BackUp, first))).is_none());
    assert!(begun(&story.tell(Event::Elapsed(Timer::BackUp, first + 1))).is_some());
}

#[test]
fn a_server_out_of_reach_is_tried_again_when_the_network_changes() {
    let mut story = Story::backing_up(ELSEWHERE);
    let effects = story.tell(refused(68, "192.168.1.9 does not answer"));
    assert!(matches!(effects[..], [Effect::After(AGAIN_MS, Timer::BackUp, _)]), "{effects:?}");
    assert_eq!(story.state.backup.trouble, "192.168.1.9 does not answer");
    let address = Address { ip: "192.168.1.5".parse().unwrap(), interface: "eth0".into() };
    assert!(begun(&story.tell(Event::Addresses(vec![address.clone()]))).is_some());
    story.tell(done(1));
    assert_eq!(story.state.backup.trouble, "");
    assert!(begun(&story.tell(Event::Addresses(vec![]))).is_none(), "all is well");
}

#[test]
fn a_run_that_this_computers_server_left_alone_is_made_up_for_when_it_is_back() {
    let mut story = Story::backing_up(HERE);
    story.tell(Event::Detached);
    assert!(begun(&story.tell(refused(68, "127.0.0.1 does not answer"))).is_none());
    assert!(begun(&story.tell(Event::Attached(status(3000)))).is_some());
}

#[test]
fn a_refused_sign_in_is_told_once_and_can_be_mended_from_the_menu() {
    let mut story = Story::backing_up(HERE);
    story.tell(Event::Said(people(&["ada@example.org"])));
    let effects = story.tell(refused(77, "the session has ended"));
    let notice = Notice::BackupStopped("the session has ended".into());
    assert_eq!(notices(&effects), [&notice]);
    let effects = story.tell(Event::Chosen(Action::SignInAs("ada@example.org".into())));
    assert_eq!(effects, [Effect::SignIn { email: "ada@example.org".into(), port: 3000 }]);
}

#[test]
fn what_a_run_left_is_said_and_it_counts_as_no_complete_backup() {
    let mut story = Story::backing_up(HERE);
    let end = RunEnd { code: Some(4), files: 3, failed_files: 2, ..RunEnd::default() };
    story.tell(Event::BackupEnded(end));
    assert_eq!(story.state.backup.trouble, "2 files could not be backed up; the log names them");
    let disk = vec![PathBuf::from("/media/disk")];
    story.tell(Event::Chosen(Action::BackUpNow));
    let end =
        RunEnd { code: Some(0), files: 3, is_complete: true, missing: disk, ..RunEnd::default() };
    story.tell(Event::BackupEnded(end));
    assert_eq!(story.state.backup.trouble, "/media/disk is not there");
    assert_eq!(story.state.backup.last, None);
}

#[test]
fn a_folder_inside_another_is_backed_up_once_and_one_that_is_removed_ends_its_run() {
    let mut story = Story::backing_up(HERE);
    story.tell(Event::FoldersChosen(vec!["/photos/2026".into(), "/a/b".into(), "/a".into()]));
    assert_eq!(story.state.backup.folders, [PathBuf::from("/photos"), "/a".into()]);
    let effects = story.tell(Event::Chosen(Action::RemoveFolder("/photos".into())));
    assert_eq!(effects[1..], [Effect::StopBackup]);
    let effects = story.tell(refused(130, "interrupted"));
    assert_eq!(begun(&effects), Some(vec!["/a".into()]));
    assert_eq!(story.state.backup.trouble, "");
}

#[test]
fn quitting_ends_a_backup_in_order() {
    let mut story = Story::backing_up(ELSEWHERE);
    let effects = story.tell(Event::Chosen(Action::Quit));
    assert_eq!(effects[..2], [Effect::StopBackup, Effect::StopOurs]);
}

#[test]
fn a_device_that_becomes_overdue_is_told_once_until_it_was_well() {
    let device = OverdueDevice {
        id: "d1".into(),
        name: "Anna's phone".into(),
        email: "anna@example.org".into(),
        days: 9,
        is_first: false,
    };
    let late = Status { overdue: vec![device.clone()], ..status(3000) };
    let mut story = Story::running();
    let effects = story.tell(Event::Said(late.clone()));
    assert_eq!(notices(&effects), [&Notice::Overdue(device.clone())]);
    let Effect::Keep(kept) = effects[0].clone() else { panic!("not kept: {effects:?}") };
    let older = OverdueDevice { days: 10, ..device.clone() };
    let still = Status { overdue: vec![older], ..status(3000) };
    assert!(story.tell(Event::Said(still)).is_empty());

    // Not again after another start of the tray either.
    let state = State::new(false, None).remembering(kept, false, Vec::new());
    let mut next = Story { state, now_ms: 0 };
    next.tell(Event::Launched);
    assert!(next.tell(Event::Attached(late.clone())).is_empty());

    story.tell(Event::Said(status(3000)));
    assert_eq!(notices(&story.tell(Event::Said(late))), [&Notice::Overdue(device)]);
}

#[test]
fn the_computer_stays_awake_while_bytes_arrive_and_sleeps_within_30_s_of_the_last() {
    let bytes = |received_bytes| Event::Said(Status { received_bytes, ..status(3000) });
    let mut story = Story::running();
    assert!(story.tell(bytes(500)).contains(&Effect::KeepAwake(true)));
    story.now_ms = QUIET_MS - 1_000;
    assert!(story.tell(bytes(500)).is_empty());
    story.now_ms = QUIET_MS;
    assert_eq!(story.tell(bytes(500)), [Effect::KeepAwake(false)]);

    // What another server counted before says nothing of now.
    let restarted = Status { pid: 8, received_bytes: 900, ..status(3000) };
    assert!(story.tell(Event::Said(restarted.clone())).is_empty());
    let grown = Status { received_bytes: 901, ..restarted };
    assert_eq!(story.tell(Event::Said(grown)), [Effect::KeepAwake(true)]);
    // A server that is gone receives nothing.
    assert!(story.tell(Event::Detached).contains(&Effect::KeepAwake(false)));
}

#[test]
fn a_backup_of_this_computer_keeps_it_awake_only_while_there_is_something_to_send() {
    let mut story = Story::backing_up(HERE);
    assert_eq!(story.state.backup.work, Work::Running(Progress::default()));
    let said = |done_files| Event::BackupSaid(Progress { done_files, total_files: 2 });
    assert_eq!(story.tell(said(0)), [Effect::KeepAwake(true)]);
    assert_eq!(story.tell(said(2)), [Effect::KeepAwake(false)]);
    story.tell(said(1));
    assert!(story.tell(done(2)).contains(&Effect::KeepAwake(false)));
    assert!(matches!(story.state.backup.who, Who::As(_)));
}

#[test]
fn a_sealed_part_that_is_refused_is_said_and_the_backups_go_on() {
    let mut story = Story::backing_up(HERE);
    story.tell(Event::Said(people(&["ada@example.org"])));
    let words = "the keys are out of date";
    let end = RunEnd {
        code: Some(77),
        files: 3,
        words: words.into(),
        is_sealed_part_only: true,
        ..RunEnd::default()
    };
    let effects = story.tell(Event::BackupEnded(end));
    assert_eq!(notices(&effects), [&Notice::BackupStopped(words.into())]);
    assert_eq!(story.state.backup.trouble, words);
    assert_eq!(story.state.backup.last, None, "not everything was done");
    assert_eq!(story.state.backup.who, Who::As(account(HERE)));
    let Some(&Effect::After(EVERY_MS, Timer::BackUp, round)) = effects.last() else {
        panic!("no timer: {effects:?}")
    };
    assert!(begun(&story.tell(Event::Elapsed(Timer::BackUp, round))).is_some());
}

#[test]
fn who_had_an_account_elsewhere_is_signed_in_here_by_a_person_only() {
    let only = || Event::Said(people(&["ada@example.org"]));
    let add = |folder: &str| Event::FoldersChosen(vec![folder.into()]);
    // Refused by its server.
    let mut story = Story::backing_up(ELSEWHERE);
    story.tell(only());
    story.tell(refused(77, "the session has ended"));
    assert_eq!(story.tell(add("/more")).len(), 1, "it is kept, and that is all");
    assert_eq!(story.state.backup.trouble, "the session has ended");
    assert!(story.tell(only()).is_empty());
    // Its credentials are gone from the key store, before this tray knew of an account, and they stay gone.
    let mut lost = Story::with_client();
    lost.tell(only());
    lost.tell(add("/photos"));
    let gone = || Event::SignInLost("no credentials any more".into());
    assert!(lost.tell(gone()).is_empty());
    assert_eq!(lost.tell(Event::Chosen(Action::BackUpNow)), [Effect::AskClient]);
    assert!(lost.tell(gone()).is_empty());
    assert_eq!(lost.state.backup.trouble, "no credentials any more");
    // Signed out in a terminal.
    let mut out = Story::backing_up(ELSEWHERE);
    out.tell(only());
    out.tell(done(1));
    out.tell(Event::Chosen(Action::BackUpNow));
    assert!(out.tell(Event::Client(None)).is_empty());
    // A backup was complete before this tray began.
    let last = Some(Complete { at: Moment::default(), files: 1 });
    let kept = Kept { folders: vec!["/photos".into()], last_complete: last, ..Kept::default() };
    let mut before = Story::running();
    before.state = before.state.remembering(kept, true, Vec::new());
    before.tell(only());
    before.tell(Event::Chosen(Action::BackUpNow));
    assert!(before.tell(Event::Client(None)).is_empty());
    for mut story in [story, lost, out, before] {
        let effects = story.tell(Event::Chosen(Action::SignInAs("ada@example.org".into())));
        assert_eq!(effects, [Effect::SignIn { email: "ada@example.org".into(), port: 3000 }]);
    }
}

#[test]
fn a_question_that_failed_is_asked_again_after_a_while_or_when_the_network_changes() {
    let locked = || Event::NotTold("the key store is locked".into());
    let mut story = Story::with_client();
    story.tell(Event::FoldersChosen(vec!["/photos".into()]));
    let again = |story: &mut Story| {
        let effects = story.tell(locked());
        let [Effect::After(AGAIN_MS, Timer::BackUp, round)] = effects[..] else {
            panic!("{effects:?}")
        };
        round
    };
    let round = again(&mut story);
    assert_eq!(story.state.backup.who, Who::Unknown);
    assert_eq!(story.state.backup.trouble, "the key store is locked");
    assert!(story.tell(Event::Said(people(&["ada@example.org"]))).is_empty(), "nobody is known");
    assert_eq!(story.tell(Event::Elapsed(Timer::BackUp, round)), [Effect::AskClient]);
    again(&mut story);
    let address = Address { ip: "192.168.1.5".parse().unwrap(), interface: "eth0".into() };
    assert_eq!(story.tell(Event::Addresses(vec![address])), [Effect::AskClient]);
    assert!(begun(&story.tell(Event::Client(Some(account(HERE))))).is_some());
    assert_eq!(story.state.backup.trouble, "");
}

#[cfg(unix)]
#[test]
fn a_folder_whose_name_is_not_unicode_is_refused_and_the_others_are_kept() {
    let unnamed: PathBuf = std::ffi::OsStr::from_bytes(b"/photos/\xff").into();
    let mut story = Story::with_client();
    let effects = story.tell(Event::FoldersChosen(vec![unnamed.clone(), "/photos".into()]));
    assert_eq!(notices(&effects), [&Notice::UnnamedFolder(unnamed.clone())]);
    assert_eq!(story.state.backup.folders, [PathBuf::from("/photos")]);
    assert!(effects.contains(&Effect::AskClient));

    let mut story = Story::with_client();
    let effects = story.tell(Event::Chosen(Action::AddThis(unnamed.clone())));
    assert_eq!(effects, [Effect::Notify(Notice::UnnamedFolder(unnamed))]);
}

#[test]
fn no_backup_begins_once_the_tray_ends() {
    let mut story = Story::backing_up(ELSEWHERE);
    story.tell(Event::Chosen(Action::RemoveFolder("/photos".into())));
    story.tell(Event::FoldersChosen(vec!["/more".into()]));
    story.tell(Event::Chosen(Action::Quit));
    let effects = story.tell(refused(130, "interrupted"));
    assert!(matches!(effects[..], [Effect::After(..)]), "{effects:?}");
}
