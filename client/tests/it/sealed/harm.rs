//! Damage to any one object, of every kind and in every way: it costs the photos that are made of it, each named by its
//! path, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use photosync_client::profile::Profile;
use photosync_client::relay::{Space, Store};
use photosync_protocol::digest::Digest;
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::{Kind, peek};
use serde_json::Value;

use super::{CHEAP, Computer, Home, SECRET, copy_tree, events, name_of, shown};
use crate::places::tree;
use crate::real::{files_below, last_event};
use crate::stand::{noise, write_old};

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flipped,
    Cut,
    Removed,
    /// It has the bytes of another object of its kind, or of another kind if there is none.
    Swapped,
}

const HARMS: [Harm; 4] = [Harm::Flipped, Harm::Cut, Harm::Removed, Harm::Swapped];

impl Harm {
    fn befall(self, path: &Path, others: &[PathBuf]) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Harm::Flipped => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x10;
            }
            Harm::Cut => bytes.truncate(bytes.len() / 2),
            Harm::Removed => return fs::remove_file(path).unwrap(),
            Harm::Swapped => {
                let kind = peek(&bytes).unwrap();
                let read = |path: &PathBuf| fs::read(path).unwrap();
                let other = others.iter().map(read).filter(|other| *other != bytes);
                bytes = other.min_by_key(|other| peek(other).unwrap() != kind).unwrap();
            }
        }
        fs::write(path, bytes).unwrap();
    }
}

/// A small repository: equal files under several names, files of two pieces, two segments.
fn fill(desk: &Computer, place: &[&str]) {
    let (twin, large) = (noise(30_000, 2), noise((4 << 20) + 70_000, 1));
    let files: [(&str, &[u8]); 4] = [
        ("2024/film.mov", &large),
        ("2024/IMG_0001.JPG", &twin),
        ("Kopie 👪/IMG_0001.JPG", &twin),
        ("2023/IMG_0001.JPG", &noise(2000, 3)),
    ];
    for (number, (name, bytes)) in files.into_iter().enumerate() {
        write_old(&desk.photos.join(name), bytes, number as u64 * 60);
    }
    assert_eq!(desk.backup(place)["sent_files"], 4);
    write_old(&desk.photos.join("später/one byte"), b"x", 7);
    assert_eq!(desk.backup(place)["sent_files"], 1);
}

/// Which photos are made of which objects, as a reader with the keys finds it out without index.
fn users(objects: &[PathBuf], profile: &Path, place: &str) -> BTreeMap<String, BTreeSet<PathBuf>> {
    let space = Space::find(&Profile::at(profile.to_owned()), place).unwrap().unwrap();
    let mut users: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for object in objects {
        let (bytes, id) = (fs::read(object).unwrap(), Digest::from_hex(&name_of(object)).unwrap());
        if peek(&bytes) != Ok(Kind::Manifest) {
            continue;
        }
        let manifest = Manifest::open(&bytes, &id, &space.keys).unwrap();
        let path = manifest.claims.device_asset_id.unwrap();
        let path = PathBuf::from(path.strip_prefix("path:").unwrap());
        for object in manifest.chunks.iter().chain([&id]) {
            users.entry(object.to_string()).or_default().insert(path.clone());
        }
    }
    users
}

/// Paths that a run says could not be done.
fn named(events: &[Value]) -> BTreeSet<PathBuf> {
    let failed = events.iter().filter(|event| event["event"] == "file_failed");
    failed.map(|event| PathBuf::from(event["path"].as_str().unwrap())).collect()
}

/// A repository and what was in it before anything happened.
struct Repository<'a> {
    place: &'a [&'a str],
    words: &'a str,
    photos: BTreeMap<PathBuf, (Vec<u8>, u128)>,
    users: BTreeMap<String, BTreeSet<PathBuf>>,
}

impl Repository<'_> {
    /// Restores on a computer that has seen nothing yet and holds it to what may be lost with this object.
    fn require_the_rest(&self, computer: &Computer, object: &str, kind: Kind, harm: Harm) {
        let case = format!("{kind:?} {object} {harm:?}");
        let lost = match kind {
            Kind::Chunk => self.users[object].clone(),
            // What a manifest says, its segment repeats, and the other way round.
            _ => BTreeSet::new(),
        };
        if kind == Kind::Keyring {
            // The words need none.
            let code = computer.refused(&[self.place, &["unlock"]].concat(), &[SECRET]);
            assert!(["damaged", "no_keyring"].contains(&code.as_str()), "{case}: {code}");
            let recover = [self.place, &["recover"], &CHEAP].concat();
            computer.relay(&recover, &[self.words, "a new password"]);
        }
        let back = computer.at.join("back");
        let restore = [self.place, &["restore", back.to_str().unwrap()]].concat();
        let output = computer.try_relay(&restore, &[]);
        let wanted = if lost.is_empty() { 0 } else { 4 };
        assert_eq!(output.status.code(), Some(wanted), "{case}: {}", shown(&output));
        assert_eq!(named(&events(&output)), lost, "{case}: {}", shown(&output));
        let restored = tree(&back);
        let kept = self.photos.iter().filter(|(path, _)| !lost.contains(*path));
        assert!(kept.eq(restored.iter()), "{case}: {:?} came back", restored.keys());
    }

    /// Looks through everything on a computer that knew it whole; all that is harmed is named.
    fn require_named(&self, computer: &Computer, object: &str, kind: Kind, harm: Harm) {
        let case = format!("{kind:?} {object} {harm:?}");
        let output = computer.try_relay(&[self.place, &["verify", "--read"]].concat(), &[]);
        let said = shown(&output);
        let (code, last) = (output.status.code(), last_event(&output));
        match kind {
            Kind::Chunk | Kind::Manifest => {
                assert_eq!(named(&events(&output)), self.users[object], "{case}: {said}");
                assert!(code == Some(4) && last["lost_files"] != 0, "{case}: {said}");
            }
            // The newest one of a folder is not there: that is how a disk looks that was put back to an older state.
            _ if last["event"] == "failed" => {
                assert!(matches!(harm, Harm::Removed), "{case}: {said}");
                assert_eq!((&last["code"], code), (&"rolled_back".into(), Some(76)), "{case}");
            }
            _ => {
                assert_eq!((&last["mended"], code), (&1.into(), Some(0)), "{case}: {said}");
                assert!(said.contains(object), "{case}: {said}");
                let again = computer.relay(&[self.place, &["verify", "--read"]].concat(), &[]);
                assert_eq!(again["mended"], 0, "{case}");
            }
        }
    }
}

fn kind_of(object: &Path) -> Kind {
    peek(&fs::read(object).unwrap()).unwrap()
}

#[test]
fn damage_to_one_object_of_a_folder_costs_the_photos_made_of_it_and_each_is_named() {
    let home = Home::new();
    let (desk, other) = (home.stranger("desk"), home.stranger("other"));
    let disk = home.folder.path().join("disk");
    let place = ["--dir", disk.to_str().unwrap()];
    let words = desk.begin(&place);
    fill(&desk, &place);
    other.relay(&[&place[..], &["unlock"]].concat(), &[SECRET]);
    let objects = files_below(&disk);
    let repository = Repository {
        place: &place,
        words: &words,
        photos: tree(&desk.photos),
        users: users(&objects, &desk.profile, &Store::folder(&disk).name()),
    };
    let whole = home.folder.path().join("whole");
    copy_tree(&disk, &whole);
    let mut cases = 0;
    for object in &objects {
        for harm in HARMS {
            let (name, kind) = (name_of(object), kind_of(object));
            harm.befall(object, &objects);
            // The keys, and nothing of what was there: a keyring has to be opened for them.
            let fresh = home.stranger("fresh");
            if kind != Kind::Keyring {
                copy_tree(&other.profile, &fresh.profile);
            }
            repository.require_the_rest(&fresh, &name, kind, harm);
            let knowing = home.stranger("knowing");
            copy_tree(&desk.profile, &knowing.profile);
            if kind != Kind::Keyring {
                repository.require_named(&knowing, &name, kind, harm);
            }
            for folder in [&fresh.at, &knowing.at, &disk] {
                fs::remove_dir_all(folder).unwrap();
            }
            copy_tree(&whole, &disk);
            cases += 1;
        }
    }
    println!("relay: {cases} times damage to one of {} objects of a folder", objects.len());
    assert_eq!(cases, 4 * (5 + 5 + 2 + 1), "chunks, manifests, segments, keyring");
}

#[test]
fn damage_to_one_object_of_a_server_costs_the_photos_made_of_it_and_each_is_named() {
    let mut home = Home::new();
    let (desk, other) = (home.computer("desk"), home.computer("other"));
    let words = desk.begin(&[]);
    fill(&desk, &[]);
    other.relay(&["unlock"], &[SECRET]);
    home.stop();
    let whole = home.folder.path().join("whole");
    fs::rename(&home.data, &whole).unwrap();
    let name = account_place(&desk);
    let inner = |root: &Path| {
        let accounts = fs::read_dir(root.join("relay")).unwrap();
        let mut accounts = accounts.map(|entry| entry.unwrap().path().join("chunks"));
        files_below(&accounts.find(|chunks| chunks.is_dir()).unwrap())
    };
    let repository = Repository {
        place: &[],
        words: &words,
        photos: tree(&desk.photos),
        users: users(&inner(&whole), &desk.profile, &name),
    };
    let mut cases = 0;
    for number in 0..inner(&whole).len() {
        let data = home.folder.path().join("data");
        copy_tree(&whole, &data);
        let objects = inner(&data);
        let object = &objects[number];
        let (name, kind) = (name_of(object), kind_of(object));
        // Each object in one way, each way for several objects of a kind.
        let harm = HARMS[number % HARMS.len()];
        harm.befall(object, &objects);
        home.start_on(&data);
        let knowing = home.stranger("knowing");
        copy_tree(&desk.profile, &knowing.profile);
        if kind != Kind::Keyring {
            repository.require_named(&knowing, &name, kind, harm);
        }
        let fresh = home.stranger("fresh");
        match kind {
            Kind::Keyring => fresh.login(&home),
            _ => copy_tree(&other.profile, &fresh.profile),
        }
        repository.require_the_rest(&fresh, &name, kind, harm);
        home.stop();
        for folder in [&fresh.at, &knowing.at, &data] {
            fs::remove_dir_all(folder).unwrap();
        }
        cases += 1;
    }
    println!("relay: damage to one of {cases} objects of a server");
    assert_eq!(cases, 5 + 5 + 2 + 1);
}

/// What a computer files the keys of its server's relay under.
fn account_place(computer: &Computer) -> String {
    let text = fs::read_to_string(computer.profile.join("credentials.json")).unwrap();
    let credentials: Value = serde_json::from_str(&text).unwrap();
    format!("account:{}", credentials["account_uuid"].as_str().unwrap())
}
