//! The power fails while several computers seal: see [`super::super::power_cut`] for how.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use photosync_powercut_replay::{Cut, Recording};
use photosync_tests::http::Client;
use photosync_tests::relay::chunk_id;
use photosync_tests::server::find_binary;

use super::super::power_cut::{Moment, agree, look_at, read_tree, start_recorded};
use super::super::torture::process::{Running, Started, check, serve_command, start};
use super::super::torture::{Dice, binaries, list_below, random_seed, scratch_folder};
use super::{Load, Owner, Step, keyring, round};

/// Computers that seal at once.
const WRITERS: u64 = 3;
/// Rounds of each.
const ROUNDS: u64 = 6;
/// Cuts besides those at every answer.
const RANDOM_CUTS: u64 = 90;

/// Every computer's steps, in its order; the first one changes the keyring as well.
fn plan(seed: u64) -> Vec<Vec<Step>> {
    let mut dice = Dice(seed);
    let mut steps = |writer| {
        let mut steps = Vec::new();
        for sequence in 1..=ROUNDS {
            if writer == 0 {
                steps.push(keyring(&mut dice, sequence));
            }
            steps.extend(round(&mut dice, writer, sequence));
        }
        steps
    };
    (0..WRITERS).map(&mut steps).collect()
}

fn send_all(server: &Running, owner: &Owner, plan: &[Vec<Step>]) {
    std::thread::scope(|scope| {
        for steps in plan {
            scope.spawn(move || {
                let mut client = Client::new(server.address);
                for step in steps {
                    owner.require_sent(&mut client, step).expect("an answer of success");
                }
            });
        }
    });
}

/// Without its database, too, a server has to know the places of what was answered.
fn require_noted<'a>(
    left: &Path,
    mut promised: impl Iterator<Item = &'a Step>,
) -> Result<(), String> {
    let mut text = String::new();
    for account in std::fs::read_dir(left.join("relay")).map_err(|error| error.to_string())? {
        let path = account.map_err(|error| error.to_string())?.path().join(".chains.jsonl");
        text += &std::fs::read_to_string(path).unwrap_or_default();
    }
    let is_noted = |step: &Step| match &step.load {
        Load::Segment { object, .. } | Load::Keyring { object, .. } => {
            text.lines().any(|line| line.contains(&chunk_id(object)) && line.ends_with('}'))
        }
        _ => true,
    };
    match promised.find(|step| !is_noted(step)) {
        Some(step) => Err(format!("the place of {} was answered and is not noted", step.id)),
        None => Ok(()),
    }
}

/// Starts a server on what a cut left and holds it to every answer until then; what was not answered is sent again.
fn judge(
    left: &Path,
    owner: &Owner,
    plan: &[Vec<Step>],
    is_promised: impl Fn(&Step) -> bool + Copy,
    is_thorough: bool,
) -> Result<(), String> {
    require_noted(left, plan.iter().flatten().filter(|step| is_promised(step)))?;
    let binary = find_binary().map_err(|error| error.to_string())?;
    let mut command = serve_command(&binaries::fault_server()?, left);
    command.env("PHOTOSYNC_FAULT", "boot_id:1+:eio");
    let server = start(command, &left.with_extension("stderr"))?.ready()?;
    if let Some(staged) = list_below(&left.join("relay"), ".staging")?.first() {
        return Err(format!("{} is left after a restart", staged.display()));
    }
    let mut client = Client::new(server.address);
    let all = plan.iter().flatten();
    owner.require_kept(&mut client, all.clone().filter(|step| is_promised(step)), all.clone())?;
    if !is_thorough {
        server.kill();
        return Ok(());
    }
    agree(&binary, left)?;
    for steps in plan {
        for step in steps.iter().filter(|step| !is_promised(step)) {
            owner.require_sent(&mut client, step)?;
        }
    }
    owner.require_kept(&mut client, all.clone(), all)?;
    drop(client);
    server.stop()?;
    check(&binary, left)
}

#[test]
fn what_was_sealed_and_answered_survives_a_power_cut_at_any_moment() {
    let (began, seed) = (Instant::now(), random_seed());
    let scratch = scratch_folder().expect("a folder");
    let (data, log) = (scratch.path().join("data"), scratch.path().join("run.log"));
    let binary = find_binary().expect("the server");
    let first = start(serve_command(&binary, &data), &log.with_extension("first"));
    let server = first.and_then(Started::ready).expect("a first start");
    let owner = Owner::sign_up(server.address);
    server.stop().expect("a clean stop");

    let plan = plan(seed);
    let server = start_recorded(&data, &log);
    send_all(&server, &owner, &plan);
    server.stop().expect("a clean stop");
    let mut recording = Recording::open(&log).expect("the recording");
    let whole = scratch.path().join("whole");
    recording.materialise(recording.len(), &Cut::KeepEverything, &whole).expect("the folder");
    assert_eq!(read_tree(&whole), read_tree(&data), "the recorder must have seen everything");

    let mut answered = HashMap::new();
    for step in plan.iter().flatten() {
        let answers = recording.find_answers_with_status_2xx(&step.id);
        let answer = answers.first().unwrap_or_else(|| panic!("{} was not answered", step.id));
        answered.insert(step.id.clone(), answer.position);
    }
    let mut dice = Dice(!seed);
    let mut moments: Vec<Moment> = Vec::new();
    for position in answered.values() {
        moments.push((*position, Cut::Strict));
        let beside = (position + dice.below(9) as usize).saturating_sub(4).min(recording.len());
        moments.push((beside, Cut::Random(dice.below(u64::MAX))));
    }
    for _ in 0..RANDOM_CUTS {
        let position = dice.below(recording.len() as u64 + 1) as usize;
        let random = Cut::Random(dice.below(u64::MAX));
        moments.push((position, if dice.below(3) == 0 { Cut::Strict } else { random }));
    }
    moments.sort_by_key(|(position, _)| *position);
    let failures = look_at(&moments, &recording, scratch.path(), |left, position, number| {
        let is_promised = |step: &Step| answered[&step.id] <= position;
        judge(left, &owner, &plan, is_promised, number.is_multiple_of(8))
    });
    println!(
        "crash: {} power cuts of {} records and {} requests with sealed bytes, {:.1} s",
        moments.len(),
        recording.len(),
        answered.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(moments.len() >= 200, "{} cuts are too few", moments.len());
    assert!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n"));
}
