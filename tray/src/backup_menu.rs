//! The submenu of this computer's own backup, as a function of the state.

use crate::menu::{Item, choice};
use crate::model::{Action, Server, State, Who, Work};
use crate::texts::backup::{self as texts, entry};

/// The submenu; `None` where the client program is not installed.
pub fn of(state: &State) -> Option<Item> {
    let backup = &state.backup;
    if !backup.has_client {
        return None;
    }
    let mut items = vec![Item::Line(texts::state(backup, state.now.day))];
    if !backup.trouble.is_empty() {
        items.push(Item::Line(texts::trouble(&backup.trouble)));
    }
    if let Who::As(account) = &backup.who {
        items.push(Item::Line(texts::destination(account)));
    }
    items.push(Item::Separator);
    if matches!(backup.who, Who::Nobody) && !backup.folders.is_empty() {
        items.extend(whom(state));
    }
    items.push(match backup.work {
        Work::Running(_) => choice(Action::StopBackup, entry::STOP, true),
        Work::Resting => choice(Action::BackUpNow, entry::NOW, !backup.folders.is_empty()),
    });
    let usual = backup
        .offered()
        .map(|folder| choice(Action::AddThis(folder.to_owned()), &texts::add(folder), true));
    items.extend(usual);
    items.push(choice(Action::AddFolder, entry::ADD, true));
    if !backup.folders.is_empty() {
        items.push(Item::Separator);
    }
    items.extend(backup.folders.iter().map(|folder| Item::Sub {
        text: folder.display().to_string(),
        items: vec![choice(Action::RemoveFolder(folder.clone()), entry::REMOVE, true)],
    }));
    Some(Item::Sub { text: entry::BACKUP.to_owned(), items })
}

/// As whom this computer can be backed up to its own server.
fn whom(state: &State) -> Vec<Item> {
    let runs = matches!(state.server, Server::Running { .. });
    let people = state.status.as_ref().map(|status| status.people.as_slice());
    match people {
        None => Vec::new(),
        Some([]) => vec![Item::Line(entry::PAIR_FIRST.to_owned())],
        Some(people) => people
            .iter()
            .map(|email| choice(Action::SignInAs(email.clone()), &texts::sign_in_as(email), runs))
            .collect(),
    }
}
