//! Stories of taking over the photos of the server that came before.

use super::*;

fn offered() -> Story {
    let mut story = Story::running();
    story.state = story.state.offering(Some("/old".into()));
    story
}

fn copied(code: Option<i32>, report: &str, words: &str) -> Event {
    Event::ImportEnded(ImportEnd { code, report: report.into(), words: words.into() })
}

#[test]
fn the_server_stops_the_photos_are_copied_the_server_starts_and_it_is_not_offered_again() {
    let mut story = offered();
    assert_eq!(story.tell(Event::Chosen(Action::Import))[0], Effect::StopOurs);
    assert_eq!(story.tell(ended(Some(0), "")), [Effect::Import("/old".into())]);
    assert!(story.tell(Event::Chosen(Action::Import)).is_empty(), "once at a time");
    assert!(story.tell(Event::Chosen(Action::Stop)).is_empty(), "there is no server to stop");
    story.tell(Event::ImportSaid { done_files: 1_000, total_files: 1_500 });
    let wanted = Server::Importing { done_files: 1_000, total_files: 1_500 };
    assert_eq!(story.state.server, wanted);
    let effects = story.tell(copied(Some(0), "ada: 1500 files", ""));
    assert!(matches!(&effects[0], Effect::Keep(kept) if kept.imported == Some("/old".into())));
    assert_eq!(notices(&effects), [&Notice::Imported("ada: 1500 files".into())]);
    assert_eq!(effects.last(), Some(&Effect::Follow));
    assert!(has_start(&story.tell(Event::NobodyThere)));
    assert_eq!(story.state.old_data, None);

    let Effect::Keep(kept) = effects[0].clone() else { panic!("not kept") };
    let next = State::new(false, None).remembering(kept, false, Vec::new());
    assert_eq!(next.offering(Some("/old".into())).old_data, None);
}

#[test]
fn a_copy_that_failed_or_left_something_is_offered_again_and_the_server_runs() {
    let of_part = Notice::ImportedInPart("2 things need you".into());
    let failed = Notice::ImportFailed("the disk is full".into());
    let cases = [
        (copied(Some(3), "2 things need you", ""), of_part),
        (copied(Some(74), "", "the disk is full"), failed.clone()),
        (copied(None, "", "the disk is full"), failed),
    ];
    for (end, notice) in cases {
        let mut story = offered();
        story.tell(Event::Chosen(Action::Import));
        story.tell(ended(Some(0), ""));
        let effects = story.tell(end);
        assert_eq!(effects, [Effect::Notify(notice), Effect::Follow]);
        assert!(has_start(&story.tell(Event::NobodyThere)));
        assert_eq!(story.state.old_data, Some("/old".into()));
    }
}

#[test]
fn a_stopped_server_is_no_reason_to_wait_and_quitting_ends_the_copy() {
    let mut story = offered();
    story.tell(Event::Chosen(Action::Stop));
    story.tell(ended(Some(0), ""));
    assert_eq!(story.tell(Event::Chosen(Action::Import)), [Effect::Import("/old".into())]);
    assert_eq!(story.tell(Event::Chosen(Action::Quit)), [Effect::StopImport, Effect::Exit]);
}
