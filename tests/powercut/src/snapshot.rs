//! Begins the recording when the library is loaded: describes what the folder already holds.
//!
//! Runs before `main`, on the only thread there is; nothing is recorded until it is done.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use photosync_powercut_replay::launch::{LOG_VARIABLE, ROOT_VARIABLE};
use photosync_powercut_replay::record::{Kind, MAGIC, Record};

use crate::recorder::{RECORDER, Recorder, Tree, give_up};

/// Bytes of an existing file per record.
const PIECE_BYTES: usize = 1024 * 1024;

/// The loader calls this when it has loaded the library.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

extern "C" fn begin() {
    let (Some(root), Some(log)) = (std::env::var_os(ROOT_VARIABLE), std::env::var_os(LOG_VARIABLE))
    else {
        return;
    };
    leave_environment();
    let (root, log) = (PathBuf::from(root), PathBuf::from(log));
    match start(&root, &log) {
        // Nothing else sets it: the loader calls this once.
        Ok(recorder) => drop(RECORDER.set(recorder)),
        Err(error) => give_up(&format!(
            "could not begin to record {} into {}: {error}",
            root.display(),
            log.display()
        )),
    }
}

/// Takes the recorder out of the environment of children: they would write into the same log.
fn leave_environment() {
    let preloaded = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    let is_other = |name: &&[u8]| !name.is_empty() && !name.ends_with(b"photosync_powercut.so");
    let names = preloaded.as_bytes().split(|byte| matches!(byte, b':' | b' '));
    let others: Vec<&[u8]> = names.filter(is_other).collect();
    let others = others.join(&b':');
    // SAFETY: the loader runs this before `main`, when there is no other thread.
    unsafe {
        std::env::remove_var(ROOT_VARIABLE);
        std::env::remove_var(LOG_VARIABLE);
        match others.is_empty() {
            true => std::env::remove_var("LD_PRELOAD"),
            false => std::env::set_var("LD_PRELOAD", std::ffi::OsStr::from_bytes(&others)),
        }
    }
}

fn start(root: &Path, log: &Path) -> io::Result<Recorder> {
    std::fs::create_dir_all(root)?;
    let root = root.canonicalize()?;
    let file = OpenOptions::new().append(true).create_new(true).open(log)?;
    if log.canonicalize()?.starts_with(&root) {
        return Err(io::Error::other("the log lies below the recorded folder"));
    }
    let metadata = root.metadata()?;
    let recorder = Recorder::new(root.clone(), metadata.dev(), file.into_raw_fd());
    recorder.append_bytes(MAGIC, &[]);
    let mut tree = recorder.lock();
    tree.directories.insert(metadata.ino());
    recorder.append(&tree, &Record::Root { ino: metadata.ino() }, &[]);
    describe(&recorder, &mut tree, &root, metadata.ino())?;
    recorder.append(&tree, &Record::Started, &[]);
    drop(tree);
    Ok(recorder)
}

/// Describes everything below an existing folder.
fn describe(recorder: &Recorder, tree: &mut Tree, path: &Path, dir: u64) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let (ino, path) = (metadata.ino(), entry.path());
        let name = entry.file_name().as_bytes().to_vec();
        if metadata.dev() != recorder.device {
            return Err(io::Error::other(format!("{} is another file system", path.display())));
        }
        let is_second_name = tree.files.contains(&ino);
        if is_second_name {
            recorder.append(tree, &Record::Link { ino, dir, name }, &[]);
            continue;
        }
        let mode = metadata.mode() & 0o7777;
        let create = |kind| Record::Create { ino, dir, name: name.clone(), kind, mode };
        if metadata.is_dir() {
            tree.directories.insert(ino);
            recorder.append(tree, &create(Kind::Directory), &[]);
            describe(recorder, tree, &path, ino)?;
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(&path)?;
            tree.files.insert(ino);
            recorder.append(tree, &create(Kind::Symlink), target.as_os_str().as_bytes());
        } else if metadata.is_file() {
            tree.files.insert(ino);
            recorder.append(tree, &create(Kind::File), &[]);
            append_content(recorder, tree, &mut File::open(&path)?, ino)?;
        }
    }
    Ok(())
}

/// Appends what a file holds.
fn append_content(recorder: &Recorder, tree: &Tree, file: &mut File, ino: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        recorder.append(tree, &Record::Write { ino, offset }, &piece[..count]);
        offset += count as u64;
    }
}
