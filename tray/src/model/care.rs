//! What the tray looks after for others: devices without a backup, and a computer that must not fall asleep.

use std::collections::BTreeSet;

use photosync_protocol::control::Status;

use super::{Effect, Notice, State};

/// Silence after which nothing is under way any more: 20 s. The computer may sleep within 30 s of the last byte.
pub const QUIET_MS: u64 = 20_000;

/// What is remembered of the bytes that arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Arriving {
    /// Which server counted, and how far: process id and bytes.
    seen: Option<(u32, u64)>,
    moved_at_ms: Option<u64>,
}

impl Arriving {
    /// Takes in what the server counted. The first count says nothing of now.
    pub(super) fn hear(&mut self, now_ms: u64, status: &Status) {
        let now = (status.pid, status.received_bytes);
        let has_grown = self.seen.is_some_and(|(pid, bytes)| pid == now.0 && bytes < now.1);
        if has_grown {
            self.moved_at_ms = Some(now_ms);
        }
        self.seen = Some(now);
    }
}

/// Keeps the computer awake while photos arrive or this computer's are sent; lets it sleep again afterwards.
pub(super) fn keep_awake(state: &mut State, now_ms: u64) -> Vec<Effect> {
    let moved = state.arriving.moved_at_ms.filter(|_| state.status.is_some());
    let arrives = moved.is_some_and(|at| now_ms.saturating_sub(at) < QUIET_MS);
    let wanted = arrives || state.backup.is_moving();
    if wanted == state.keeps_awake {
        return Vec::new();
    }
    state.keeps_awake = wanted;
    vec![Effect::KeepAwake(wanted)]
}

/// Tells of each device that became overdue: once, until it was well again.
pub(super) fn tell_overdue(state: &mut State, status: &Status) -> Vec<Effect> {
    let told = std::mem::take(&mut state.told_overdue);
    let mut effects = Vec::new();
    let mut now = BTreeSet::new();
    for device in &status.overdue {
        if !told.contains(&device.id) {
            effects.push(Effect::Notify(Notice::Overdue(device.clone())));
        }
        now.insert(device.id.clone());
    }
    state.told_overdue = now;
    effects
}
