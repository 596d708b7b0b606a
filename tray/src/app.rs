//! The loop: one event, its effects, and the face if it changed.

use std::sync::mpsc::Receiver;
use std::time::Instant;

use crate::edges::Edges;
use crate::log::Log;
use crate::menu::{Face, face};
use crate::model::{Effect, Event, State, update};
use crate::moment::Moment;

/// Runs until the model wants to end. `show` is called with the first face, and with each that differs from the last.
pub fn run(
    mut state: State,
    events: &Receiver<Event>,
    mut edges: Edges,
    log: &Log,
    mut show: impl FnMut(Face),
) {
    let began = Instant::now();
    let mut shown = None;
    let mut next = Some(Event::Launched);
    loop {
        if let Some(event) = next.take() {
            let now_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let before = state.server.clone();
            state.now = Moment::now();
            let effects: Vec<Effect> = update(&mut state, now_ms, event);
            if state.server != before {
                log.note(&format!("{:?}", state.server));
            }
            let now = face(&state);
            if shown.as_ref() != Some(&now) {
                show(now.clone());
                shown = Some(now);
            }
            for effect in effects {
                if !edges.carry_out(effect) {
                    return;
                }
            }
        }
        next = edges.take_elapsed(Instant::now()).or_else(|| wait(events, edges.next_timer()));
    }
}

/// The next event; `None` when a timer ran out first.
fn wait(events: &Receiver<Event>, until: Option<Instant>) -> Option<Event> {
    let Some(until) = until else {
        // The edges hold a sender: there is always one.
        return events.recv().ok();
    };
    events.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
}
