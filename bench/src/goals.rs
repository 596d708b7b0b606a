//! The project's goals beside the figures of this run: reached or not, and how far off. Never an error.

use crate::table::{Table, figure};

/// Which side of the target is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The figure should be the target or more.
    AtLeast,
    /// The figure should be the target or less.
    AtMost,
}

/// One goal and what was found.
#[derive(Debug)]
struct Goal {
    what: String,
    direction: Direction,
    target: f64,
    /// None when it was not measured.
    found: Option<f64>,
    unit: &'static str,
}

/// All goals of a run, in the order in which they were judged.
#[derive(Debug, Default)]
pub struct Goals {
    goals: Vec<Goal>,
}

impl Goals {
    /// Notes a goal and prints it at once, below the table it belongs to.
    pub fn judge(
        &mut self,
        what: impl Into<String>,
        direction: Direction,
        target: f64,
        unit: &'static str,
        found: Option<f64>,
    ) {
        let goal = Goal { what: what.into(), direction, target, found, unit };
        println!(
            "  goal: {}: {} {}, found {}: {}",
            goal.what,
            goal.sign(),
            goal.target_text(),
            goal.found_text(),
            goal.verdict()
        );
        self.goals.push(goal);
    }

    /// Prints every goal once more, together.
    pub fn print(&self) {
        if self.goals.is_empty() {
            return;
        }
        let mut table = Table::new("Goals", &["goal", "target", "found", "verdict"]);
        for goal in &self.goals {
            table.row([
                goal.what.clone(),
                format!("{} {}", goal.sign(), goal.target_text()),
                goal.found_text(),
                goal.verdict(),
            ]);
        }
        table.print();
    }
}

impl Goal {
    fn sign(&self) -> &'static str {
        match self.direction {
            Direction::AtLeast => ">=",
            Direction::AtMost => "<=",
        }
    }

    fn target_text(&self) -> String {
        format!("{}{}", figure(self.target), self.unit)
    }

    fn found_text(&self) -> String {
        self.found.map_or("-".into(), |found| format!("{}{}", figure(found), self.unit))
    }

    fn verdict(&self) -> String {
        let Some(found) = self.found else {
            return "not judged".into();
        };
        let reached = match self.direction {
            Direction::AtLeast => found >= self.target,
            Direction::AtMost => found <= self.target,
        };
        let word = if reached { "reached" } else { "not reached" };
        if self.target == 0.0 {
            return word.into();
        }
        let distance = (found / self.target - 1.0) * 100.0;
        format!("{word} ({distance:+.0} %)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(direction: Direction, found: Option<f64>) -> String {
        Goal { what: String::new(), direction, target: 100.0, found, unit: "" }.verdict()
    }

    #[test]
    fn the_distance_is_signed_and_the_target_itself_is_good_enough() {
        assert_eq!(verdict(Direction::AtLeast, Some(90.0)), "not reached (-10 %)");
        assert_eq!(verdict(Direction::AtMost, Some(90.0)), "reached (-10 %)");
        assert_eq!(verdict(Direction::AtMost, Some(100.0)), "reached (+0 %)");
        assert_eq!(verdict(Direction::AtMost, None), "not judged");
    }
}
