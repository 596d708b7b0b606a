//! A program that a thread waits for and another one may stop, even before it runs.

use std::io;
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One at a time. Whoever begins one says so with [`Self::prepare`] before the thread that runs it.
#[derive(Debug, Default)]
pub struct Task(Mutex<Slot>);

#[derive(Debug, Default)]
struct Slot {
    child: Option<Child>,
    asked_to_stop: bool,
}

impl Task {
    /// Forgets that an earlier one was stopped.
    pub fn prepare(&self) {
        self.slot().asked_to_stop = false;
    }

    /// Takes in the program, which has just begun, and ends it with `end` if it was stopped before that.
    ///
    /// # Errors
    /// It had to be ended and could not; it is held all the same.
    pub fn hold(
        &self,
        child: Child,
        end: impl FnOnce(&mut Child) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut slot = self.slot();
        let asked_to_stop = slot.asked_to_stop;
        let child = slot.child.insert(child);
        if asked_to_stop { end(child) } else { Ok(()) }
    }

    /// Ends it with `end`; one that was prepared and does not run yet, as soon as it does.
    ///
    /// # Errors
    /// It runs and could not be ended.
    pub fn stop(&self, end: impl FnOnce(&mut Child) -> io::Result<()>) -> io::Result<()> {
        let mut slot = self.slot();
        slot.asked_to_stop = true;
        slot.child.as_mut().map_or(Ok(()), end)
    }

    /// Hands the program out, to be waited for, and whether it was asked to stop.
    pub fn take(&self) -> (Option<Child>, bool) {
        let mut slot = self.slot();
        (slot.child.take(), slot.asked_to_stop)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_stop_that_comes_before_the_program_ends_it_and_not_the_one_after_it() {
        let task = Task::default();
        let sleep = || std::process::Command::new("sleep").arg("600").spawn().unwrap();
        task.prepare();
        task.stop(|_| panic!("nothing runs yet")).unwrap();
        task.hold(sleep(), Child::kill).unwrap();
        let (child, asked) = task.take();
        assert!(asked);
        assert_eq!(child.unwrap().wait().unwrap().code(), None, "a signal ended it");

        task.prepare();
        task.hold(sleep(), |_| panic!("it was the one before that was stopped")).unwrap();
        task.stop(Child::kill).unwrap();
        let (child, asked) = task.take();
        assert!(asked);
        assert_eq!(child.unwrap().wait().unwrap().code(), None);
        assert!(task.take().0.is_none(), "nothing is left");
    }
}
