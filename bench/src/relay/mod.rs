//! The bench `relay`: sealing beside what it is made of, and sealed backups beside restic and borg.

mod borg;
mod compare;
mod contest;
mod node;
mod ours;
mod restic;
mod sealing;
mod tree;

use crate::Failure;
use crate::goals::Goals;
use crate::machine;
use crate::options::{RelayOptions, RelayPart};

/// Measures what was asked for and prints it.
pub fn run(options: &RelayOptions) -> Result<(), Failure> {
    let dir = options.dir.canonicalize().map_err(|error| {
        format!("could not find the folder to write in, {}: {error}", options.dir.display())
    })?;
    let options = &RelayOptions { dir, ..options.clone() };
    machine::print(&options.dir, options.small)?;
    let mut goals = Goals::default();
    if options.wants(RelayPart::Box) {
        sealing::compare_boxes(options, &mut goals);
    }
    if options.wants(RelayPart::Pipeline) {
        sealing::compare_pipeline(options, &mut goals);
    }
    if options.wants(RelayPart::Node) {
        node::compare(options, &mut goals)?;
    }
    if options.wants(RelayPart::Photos) || options.wants(RelayPart::Pictures) {
        compare::compare(options, &mut goals)?;
    }
    goals.print();
    Ok(())
}
