//! Decisions about other people's accounts. No I/O, no clock.

use photosync_protocol::v2::admin::{Role, UserState};

/// Longest name of a person, in characters.
pub const MAX_NAME_CHARS: usize = 100;

/// Whether an account can be used.
pub fn state_of(is_deleted: bool, is_disabled: bool, has_password: bool) -> UserState {
    match (is_deleted, is_disabled, has_password) {
        (true, ..) => UserState::Deleted,
        (false, true, _) => UserState::Locked,
        (false, false, false) => UserState::Pending,
        (false, false, true) => UserState::Active,
    }
}

/// Whether an account with this role may stop being an administrator who can sign in, when there are `others` of those.
pub fn may_leave(role: &str, others: i64) -> bool {
    role != Role::Admin.as_str() || others > 0
}

/// A name as it is kept: one line, no more than [`MAX_NAME_CHARS`].
pub fn tidy_name(typed: &str) -> String {
    let one_line: String = typed.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    one_line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_administrators_without_another_one_must_stay() {
        assert!(!may_leave("admin", 0));
        assert!(may_leave("admin", 1) && may_leave("creator", 0) && may_leave("viewer", 0));
    }

    #[test]
    fn a_locked_account_without_a_password_is_locked() {
        assert_eq!(state_of(false, true, false), UserState::Locked);
        assert_eq!(state_of(false, false, false), UserState::Pending);
        assert_eq!(state_of(true, true, true), UserState::Deleted);
        assert_eq!(state_of(false, false, true), UserState::Active);
    }

    #[test]
    fn a_name_is_one_line_without_blanks_around_it() {
        assert_eq!(tidy_name("  Ada\r\nLovelace "), "AdaLovelace");
        assert_eq!(tidy_name(&"é".repeat(200)).chars().count(), MAX_NAME_CHARS);
    }
}
