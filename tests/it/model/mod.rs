//! Two devices of one person take, edit and delete photos, are installed anew, lose the network, and the server is
//! restarted, in any order. After every step the server holds exactly what a model in memory says. A failing sequence
//! is made as short as it gets before it is shown.
//!
//! The rules of the model: what a device backed up is held for ever, whatever a device deletes later; a backup that
//! was cut off may have stored some of the device's photos and nothing else; a finished one has settled all of them,
//! sends no photo twice, and the next question is answered with "nothing changed".
//!
//! The devices here speak a wire of their own; in [`product`] they run the product's client.

mod app;
mod device;
mod product;
mod shrink;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use photosync_tests::proxy::{Cut, FaultProxy, Plan};
use photosync_tests::seeded::Dice;

use crate::stand::{Person, Stand};
use device::{Device, Photo};
use shrink::shrunk;

/// Sequences and their length: 10,000 steps together.
const SEQUENCES: u64 = 10;
const STEPS: usize = 1000;

/// Places for photos on one device, and different photos in the world: few, so that devices often have the same.
const SLOTS: u64 = 12;
const PHOTOS: u64 = 60;

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A photo comes to a place of a device, or replaces the one there.
    Put { device: usize, slot: u64, photo: Photo },
    /// The photo of a place is deleted on the device.
    Delete { device: usize, slot: u64 },
    /// The device backs up over a network of this kind.
    BackUp { device: usize, network: Network },
    /// The app is installed anew: it signs in as a device the server has not seen, photos are where they were.
    Reinstall { device: usize },
    /// The server stops and starts; or is killed and starts.
    Restart { killed: bool },
}

/// What happens to the backup's connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Network {
    Good,
    CutUp(u64),
    CutDown(u64),
    LostAnswers(u64),
}

impl fmt::Debug for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Put { device, slot, photo } => {
                write!(out, "Put {{ device: {device}, slot: {slot}, photo: {photo} }}")
            }
            Step::Delete { device, slot } => {
                write!(out, "Delete {{ device: {device}, slot: {slot} }}")
            }
            Step::BackUp { device, network } => {
                let network = match network {
                    Network::Good => "Good".to_owned(),
                    Network::CutUp(at) => format!("CutUp({at})"),
                    Network::CutDown(at) => format!("CutDown({at})"),
                    Network::LostAnswers(at) => format!("LostAnswers({at})"),
                };
                write!(out, "BackUp {{ device: {device}, network: Network::{network} }}")
            }
            Step::Reinstall { device } => write!(out, "Reinstall {{ device: {device} }}"),
            Step::Restart { killed } => write!(out, "Restart {{ killed: {killed} }}"),
        }
    }
}

fn random_steps(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    (0..STEPS)
        .map(|_| {
            let device = usize::try_from(dice.below(2)).unwrap_or(0);
            let slot = dice.below(SLOTS);
            match dice.below(1000) {
                0..450 => Step::Put { device, slot, photo: dice.below(PHOTOS) },
                450..700 => Step::Delete { device, slot },
                700..992 => {
                    let network = match dice.below(6) {
                        0 => Network::CutUp(dice.below(12_000)),
                        1 => Network::CutDown(dice.below(2_500)),
                        2 => Network::LostAnswers(dice.below(12_000)),
                        _ => Network::Good,
                    };
                    Step::BackUp { device, network }
                }
                992..997 => Step::Reinstall { device },
                _ => Step::Restart { killed: dice.below(2) == 0 },
            }
        })
        .collect()
}

/// The server, somebody new, her two devices, and what the model says of them.
struct World<'a> {
    stand: &'a Stand,
    person: Person,
    proxy: FaultProxy,
    plan: Arc<Mutex<Plan>>,
    devices: Vec<Device>,
    photos: [BTreeMap<u64, Photo>; 2],
    held: BTreeSet<Photo>,
    /// Sent over a connection that was cut: held, or not, or in a moment.
    perhaps: BTreeSet<Photo>,
}

impl World<'_> {
    fn new(stand: &Stand) -> World<'_> {
        let person = stand.person();
        let plan = Arc::new(Mutex::new(Plan::pass()));
        let of_connection = plan.clone();
        let planner = move |_| of_connection.lock().expect("a plan").clone();
        let proxy = FaultProxy::start(stand.address(), planner).expect("a proxy");
        let devices = (0..2).map(|_| Device::sign_in(stand, &person)).collect();
        let photos = [BTreeMap::new(), BTreeMap::new()];
        World {
            stand,
            person,
            proxy,
            plan,
            devices,
            photos,
            held: BTreeSet::new(),
            perhaps: BTreeSet::new(),
        }
    }

    fn apply(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Put { device, slot, photo } => {
                self.photos[device].insert(slot, photo);
                Ok(())
            }
            Step::Delete { device, slot } => {
                self.photos[device].remove(&slot);
                Ok(())
            }
            Step::BackUp { device, network } => self.back_up(device, network),
            Step::Reinstall { device } => {
                self.devices[device] = Device::sign_in(self.stand, &self.person);
                Ok(())
            }
            Step::Restart { killed } => {
                match killed {
                    true => self.stand.kill(),
                    false => self.stand.stop(),
                }
                self.stand.start();
                self.proxy.set_target(self.stand.address());
                self.require_held("after a restart")
            }
        }
    }

    fn back_up(&mut self, device: usize, network: Network) -> Result<(), String> {
        *self.plan.lock().expect("a plan") = match network {
            Network::Good => Plan::pass(),
            Network::CutUp(at) => Plan::cut_up(at, Cut::Reset),
            Network::CutDown(at) => Plan::cut_down(at, Cut::Reset),
            Network::LostAnswers(at) => Plan::lose_answers(at, Some(Cut::Reset)),
        };
        let mine: BTreeSet<Photo> = self.photos[device].values().copied().collect();
        match self.devices[device].back_up(self.proxy.address(), &mine) {
            Ok(sent) => {
                let again: Vec<&Photo> = sent.intersection(&self.held).collect();
                if !again.is_empty() {
                    return Err(format!("photos {again:?} were held and sent again"));
                }
                self.held.extend(&mine);
                self.require_held("after a backup")
            }
            Err(device::Stopped::Network(_)) if network != Network::Good => {
                self.perhaps.extend(&mine);
                self.require_held("after a cut")
            }
            Err(stopped) => Err(stopped.to_string()),
        }
    }

    fn require_held(&mut self, when: &str) -> Result<(), String> {
        let now = device::held_by(&self.person.at(self.stand))?;
        let most: BTreeSet<Photo> = self.held.union(&self.perhaps).copied().collect();
        if now.is_superset(&self.held) && now.is_subset(&most) {
            self.held = now;
            return Ok(());
        }
        let lost: Vec<&Photo> = self.held.difference(&now).collect();
        let strange: Vec<&Photo> = now.difference(&most).collect();
        Err(format!("{when}: photos {lost:?} are lost, and nobody sent {strange:?}"))
    }
}

/// Plays the steps with somebody new; returns how many photos are held in the end. The error names the step and what
/// is wrong.
fn play(stand: &Stand, steps: &[Step]) -> Result<usize, String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(stand);
        for (number, step) in steps.iter().enumerate() {
            world.apply(*step).map_err(|wrong| format!("step {number} ({step:?}): {wrong}"))?;
        }
        // Bytes, not only digests: everything is read back once.
        let person = world.person.at(stand);
        world.require_held("in the end")?;
        let found: BTreeSet<Vec<u8>> = person.library().into_values().collect();
        let wanted: BTreeSet<Vec<u8>> =
            world.held.iter().map(|photo| device::bytes_of(*photo)).collect();
        match found == wanted {
            true => Ok(found.len()),
            false => Err(format!("{} files come back, {} are held", found.len(), wanted.len())),
        }
    }));
    played.unwrap_or_else(|_| Err("a request had no answer (see above)".to_owned()))
}

#[test]
fn ten_thousand_random_steps_of_two_devices_end_as_the_model_says() {
    let stand = Stand::new(&[]);
    for seed in 0..SEQUENCES {
        let steps = random_steps(seed);
        let wrong = match play(&stand, &steps) {
            Ok(held) => {
                assert!(held as u64 > PHOTOS / 2, "seed {seed} proves little: {held} photos held");
                continue;
            }
            Err(wrong) => wrong,
        };
        let shortest = shrunk(&steps, |fewer| play(&stand, fewer).is_err());
        let still = play(&stand, &shortest);
        panic!(
            "seed {seed}: {wrong}\nThe shortest sequence that fails ({still:?}):\n{shortest:#?}"
        );
    }
    stand.require_agreement();
}
