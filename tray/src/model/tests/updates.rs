//! Newer versions, as stories.

use super::*;

fn found(version: &str) -> UpdateEnd {
    UpdateEnd { is_done: true, version: Some(version.into()), words: String::new() }
}

fn saying(newer: Option<&str>, version: &str) -> Event {
    let newer_version = newer.map(str::to_owned);
    Event::Said(Status { newer_version, version: version.into(), ..status(3000) })
}

#[test]
fn a_newer_version_is_told_once_and_kept_as_told() {
    let mut story = Story::running();
    let effects = story.tell(saying(Some("2.0.0"), "1"));
    assert_eq!(notices(&effects), [&Notice::Newer("2.0.0".into())]);
    let kept = effects.iter().any(
        |effect| matches!(effect, Effect::Keep(kept) if kept.told_newer.as_deref() == Some("2.0.0")),
    );
    assert!(kept, "{effects:?}");
    assert!(notices(&story.tell(saying(Some("2.0.0"), "1"))).is_empty());
    let effects = story.tell(saying(Some("2.0.1"), "1"));
    assert_eq!(notices(&effects), [&Notice::Newer("2.0.1".into())]);
}

#[test]
fn an_update_is_installed_when_chosen_restarts_nothing_and_is_over_with_the_restart() {
    let mut story = Story::running();
    story.tell(saying(Some("2.0.0"), "1"));
    let effects = story.tell(Event::Chosen(Action::Update("2.0.0".into())));
    assert_eq!(effects, [Effect::Update("2.0.0".into())]);
    assert!(story.tell(Event::Chosen(Action::Update("2.0.0".into()))).is_empty(), "one at a time");
    let effects = story.tell(Event::Updated(found("2.0.0")));
    assert_eq!(effects, [Effect::Notify(Notice::UpdateInstalled("2.0.0".into()))]);
    assert_eq!(story.state.updates.work, UpdateWork::Installed("2.0.0".into()));
    story.tell(saying(Some("2.0.0"), "1"));
    assert_eq!(story.state.updates.work, UpdateWork::Installed("2.0.0".into()), "not restarted");
    story.tell(saying(None, "2.0.0"));
    assert_eq!(
        (&story.state.updates.work, &story.state.updates.newer),
        (&UpdateWork::Nothing, &None)
    );
}

#[test]
fn a_refused_update_says_why_and_can_be_chosen_again() {
    let mut story = Story::running();
    story.tell(Event::Chosen(Action::Update("2.0.0".into())));
    let end = UpdateEnd { words: "it was installed by a package".into(), ..UpdateEnd::default() };
    let effects = story.tell(Event::Updated(end));
    assert_eq!(notices(&effects), [&Notice::NotUpdated("it was installed by a package".into())]);
    assert_eq!(story.tell(Event::Chosen(Action::Update("2.0.0".into()))).len(), 1);
}

#[test]
fn a_look_that_was_asked_for_is_always_answered() {
    let mut story = Story::running();
    assert_eq!(story.tell(Event::Chosen(Action::CheckUpdate)), [Effect::CheckUpdate]);
    assert!(story.tell(Event::Chosen(Action::CheckUpdate)).is_empty(), "one at a time");
    let none = UpdateEnd { is_done: true, version: None, words: "this is the newest".into() };
    let effects = story.tell(Event::UpdateChecked(none));
    assert_eq!(notices(&effects), [&Notice::Checked("this is the newest".into())]);
    story.tell(Event::Chosen(Action::CheckUpdate));
    let effects = story.tell(Event::UpdateChecked(found("2.0.0")));
    assert_eq!(notices(&effects), [&Notice::Newer("2.0.0".into())]);
    assert_eq!(story.state.updates.newer.as_deref(), Some("2.0.0"));
}
