//! The recorder itself: the log, and which inodes lie below the root.
//!
//! Used by every interposed function. The rule: whoever holds [`Tree`] holds the order of the log.

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use photosync_powercut_replay::record::Record;

use crate::real;

/// The one recorder of this process; empty until the program is loaded, and for good when nothing
/// is to be recorded.
pub static RECORDER: OnceLock<Recorder> = OnceLock::new();

/// The recorder, if this process is recorded and is not a fork of one that is.
pub fn recorder() -> Option<&'static Recorder> {
    let recorder = RECORDER.get()?;
    // SAFETY: takes nothing and cannot fail.
    let pid = unsafe { libc::getpid() };
    (pid == recorder.pid).then_some(recorder)
}

/// Ends the process with a message: a log with a hole proves nothing.
pub fn give_up(problem: &str) -> ! {
    let line = format!("photosync-powercut: {problem}\n");
    // SAFETY: pointer and length are those of a living string; `abort` does not return. The name
    // `write` would lead into the recorder, which lets everything but files and sockets pass.
    unsafe {
        libc::syscall(libc::SYS_write, 2, line.as_ptr(), line.len());
        libc::abort()
    }
}

/// Keeps `errno` as the real call left it, whatever the recorder does afterwards.
pub struct KeepErrno(c_int);

impl KeepErrno {
    /// Remembers the present value.
    pub fn now() -> Self {
        // SAFETY: the address is that of this thread's `errno`.
        Self(unsafe { *libc::__errno_location() })
    }
}

impl Drop for KeepErrno {
    fn drop(&mut self) {
        set_errno(self.0);
    }
}

/// Sets this thread's `errno`.
pub fn set_errno(value: c_int) {
    // SAFETY: the address is that of this thread's `errno`.
    unsafe { *libc::__errno_location() = value };
}

/// What `fstat` says of a descriptor; `None` when it names nothing.
pub fn stat_of(fd: c_int) -> Option<libc::stat> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: the pointer has room for the answer, which is read only after success.
    unsafe { (libc::fstat(fd, stat.as_mut_ptr()) == 0).then(|| stat.assume_init()) }
}

/// What `fstatat` says of a path; `None` when it names nothing.
pub fn stat_at(dir: c_int, path: &CStr, flags: c_int) -> Option<libc::stat> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: the path ends in zero; the pointer has room for the answer, which is read only after
    // success.
    unsafe {
        let answer = libc::fstatat(dir, path.as_ptr(), stat.as_mut_ptr(), flags);
        (answer == 0).then(|| stat.assume_init())
    }
}

/// The kind of object a mode stands for (`S_IFREG`, …).
pub fn kind_of(stat: &libc::stat) -> libc::mode_t {
    stat.st_mode & libc::S_IFMT
}

/// The permission bits.
pub fn mode_of(stat: &libc::stat) -> u32 {
    stat.st_mode & 0o7777
}

/// Inodes below the root.
#[derive(Debug, Default)]
pub struct Tree {
    /// Inode numbers of directories.
    pub directories: HashSet<u64>,
    /// Inode numbers of files and symbolic links.
    pub files: HashSet<u64>,
}

/// A name in a directory below the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Inode number of the directory.
    pub dir: u64,
    /// The name.
    pub name: Vec<u8>,
}

/// The log of this process.
#[derive(Debug)]
pub struct Recorder {
    /// The recorded folder, without symbolic links.
    pub root: PathBuf,
    /// Its file system.
    pub device: u64,
    log_fd: c_int,
    pid: libc::pid_t,
    tree: Mutex<Tree>,
    syncs: AtomicU64,
}

impl Recorder {
    /// A recorder of `root` that appends to `log_fd`.
    pub fn new(root: PathBuf, device: u64, log_fd: c_int) -> Self {
        // SAFETY: takes nothing and cannot fail.
        let pid = unsafe { libc::getpid() };
        let (tree, syncs) = (Mutex::default(), AtomicU64::new(1));
        Self { root, device, log_fd, pid, tree, syncs }
    }

    /// Takes the lock that orders the log.
    pub fn lock(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next number of a flush.
    pub fn next_sync(&self) -> u64 {
        self.syncs.fetch_add(1, Ordering::Relaxed)
    }

    /// Appends a record with its data. The tree is proof that the caller holds the lock.
    pub fn append(&self, _order: &Tree, record: &Record, data: &[u8]) {
        let Ok(data_len) = u32::try_from(data.len()) else {
            give_up("one call wrote more than 4 GiB");
        };
        let head = record.to_head(data_len);
        self.append_bytes(&head, data);
    }

    /// Appends two pieces, as one where the system allows it.
    pub fn append_bytes(&self, mut first: &[u8], mut second: &[u8]) {
        while !first.is_empty() || !second.is_empty() {
            let parts = [first, second].map(|part| libc::iovec {
                iov_base: part.as_ptr().cast_mut().cast::<c_void>(),
                iov_len: part.len(),
            });
            // SAFETY: both parts are living slices with their lengths; they are only read.
            let written = unsafe { real::writev(self.log_fd, parts.as_ptr(), 2) };
            let Ok(written) = usize::try_from(written) else {
                let error = std::io::Error::last_os_error();
                if error.kind() == std::io::ErrorKind::Interrupted {
                    continue;
                }
                give_up(&format!("could not append to the log: {error}"));
            };
            let of_first = written.min(first.len());
            first = &first[of_first..];
            second = &second[written - of_first..];
        }
    }

    /// Whether a descriptor is a regular file on the recorded file system, by its `fstat`.
    pub fn may_record(&self, stat: &libc::stat) -> bool {
        kind_of(stat) == libc::S_IFREG && stat.st_dev == self.device
    }

    /// Whether an open file is one of ours.
    ///
    /// Inode numbers are used again: a file made outside the root with the number of one that was
    /// removed is forgotten by `forget_if_outside`. A file below the root that is *not* known was
    /// made unseen, which ends the process.
    pub fn knows(&self, tree: &Tree, fd: c_int, stat: &libc::stat) -> bool {
        if tree.files.contains(&stat.st_ino) || tree.directories.contains(&stat.st_ino) {
            return true;
        }
        if stat.st_nlink > 0
            && let Some(path) = path_of(fd)
            && path.starts_with(&self.root)
        {
            self.give_up_unseen(&path);
        }
        false
    }

    /// After a file was opened without being made: forgets it if it only has the number of one of
    /// ours, and ends the process if it is one of ours that was made unseen.
    pub fn check_opened(&self, fd: c_int) {
        let Some(stat) = stat_of(fd).filter(|stat| self.may_record(stat)) else { return };
        let mut tree = self.lock();
        if self.knows(&tree, fd, &stat) && path_of(fd).is_some_and(|path| self.is_outside(&path)) {
            tree.files.remove(&stat.st_ino);
        }
    }

    fn is_outside(&self, path: &Path) -> bool {
        !path.starts_with(&self.root)
    }

    fn give_up_unseen(&self, path: &Path) -> ! {
        give_up(&format!(
            "{} was made behind the recorder's back (by a raw system call, fopen or mkstemp); \
             rustix needs its feature `use-libc`",
            path.display()
        ))
    }

    /// The place a path names, if its directory lies below the root.
    pub fn place(&self, tree: &Tree, dir: c_int, path: &CStr) -> Option<Place> {
        let (parent, name) = split(path.to_bytes())?;
        let parent = CString::new(parent).ok()?;
        let stat = stat_at(dir, &parent, 0)?;
        if stat.st_dev != self.device {
            return None;
        }
        if tree.directories.contains(&stat.st_ino) {
            return Some(Place { dir: stat.st_ino, name: name.to_vec() });
        }
        if let Some(path) = full_path(dir, &parent)
            && path.starts_with(&self.root)
        {
            self.give_up_unseen(&path);
        }
        None
    }
}

/// Splits a path into its directory and its last name; `None` when the last part is no name.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = path.iter().rposition(|byte| *byte != b'/')? + 1;
    let path = &path[..end];
    let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (&path[..1], &path[1..]),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&b"."[..], path),
    };
    (name != b"." && name != b"..").then_some((parent, name))
}

/// The path by which the kernel knows an open descriptor.
pub fn path_of(fd: c_int) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()
}

/// A path without symbolic links, relative to an open directory.
fn full_path(dir: c_int, path: &CStr) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let path = match dir {
        libc::AT_FDCWD => path.to_owned(),
        _ => path_of(dir)?.join(path),
    };
    std::fs::canonicalize(path).ok()
}
