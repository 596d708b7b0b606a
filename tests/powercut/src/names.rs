//! Stands in front of what opens files and changes directory entries.

use std::ffi::{CStr, c_char, c_int, c_uint};

use libc::{AT_FDCWD, AT_SYMLINK_NOFOLLOW, mode_t};
use photosync_powercut_replay::record::{Kind, Record};

use crate::real;
use crate::recorder::{
    KeepErrno, Place, Recorder, Tree, give_up, kind_of, mode_of, recorder, stat_at, stat_of,
};

/// A path as the caller gave it.
///
/// # Safety
/// The path must be null or end in zero and live as long as the answer is used.
unsafe fn text<'a>(path: *const c_char) -> &'a CStr {
    if path.is_null() {
        return c"";
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(path) }
}

/// Opens a file; logs that it was made or emptied.
fn open_through(dir: c_int, path: &CStr, flags: c_int, open: impl FnOnce() -> c_int) -> c_int {
    let Some(recorder) = recorder() else { return open() };
    let is_unnamed = flags & libc::O_TMPFILE == libc::O_TMPFILE;
    if !is_unnamed && flags & (libc::O_CREAT | libc::O_TRUNC) == 0 {
        let fd = open();
        let _errno = KeepErrno::now();
        if fd >= 0 {
            recorder.check_opened(fd);
        }
        return fd;
    }
    let mut tree = recorder.lock();
    let before = stat_at(dir, path, 0);
    let fd = open();
    let _errno = KeepErrno::now();
    let Some(stat) = stat_of(fd).filter(|stat| recorder.may_record(stat)) else { return fd };
    let (ino, mode) = (stat.st_ino, mode_of(&stat));
    if is_unnamed {
        match before.filter(|stat| tree.directories.contains(&stat.st_ino)) {
            Some(_) => {
                tree.files.insert(ino);
                recorder.append(&tree, &Record::CreateUnnamed { ino, mode }, &[]);
            }
            None => drop(tree.files.remove(&ino)),
        }
        return fd;
    }
    let Some(before) = before else {
        match recorder.place(&tree, dir, path) {
            Some(place) => log_made(recorder, &mut tree, place, &stat, Kind::File, &[]),
            None => drop(tree.files.remove(&ino)),
        }
        return fd;
    };
    let is_emptied = flags & libc::O_TRUNC != 0 && before.st_size > 0;
    if recorder.knows(&tree, fd, &stat) && is_emptied {
        recorder.append(&tree, &Record::Resize { ino, size: 0 }, &[]);
    }
    drop(tree);
    recorder.check_opened(fd);
    fd
}

fn log_made(
    recorder: &Recorder,
    tree: &mut Tree,
    place: Place,
    stat: &libc::stat,
    kind: Kind,
    target: &[u8],
) {
    let ino = stat.st_ino;
    match kind {
        Kind::Directory => {
            tree.files.remove(&ino);
            tree.directories.insert(ino);
        }
        Kind::File | Kind::Symlink => {
            tree.files.insert(ino);
        }
    }
    let Place { dir, name } = place;
    let record = Record::Create { ino, dir, name, kind, mode: mode_of(stat) };
    recorder.append(tree, &record, target);
}

/// Makes a directory or symbolic link and logs it.
fn make_through(
    dir: c_int,
    path: &CStr,
    kind: Kind,
    target: &[u8],
    make: impl FnOnce() -> c_int,
) -> c_int {
    let Some(recorder) = recorder() else { return make() };
    let mut tree = recorder.lock();
    let answer = make();
    if answer == 0 {
        let _errno = KeepErrno::now();
        let place = recorder.place(&tree, dir, path);
        let stat = stat_at(dir, path, AT_SYMLINK_NOFOLLOW);
        if let (Some(place), Some(stat)) = (place, stat) {
            log_made(recorder, &mut tree, place, &stat, kind, target);
        }
    }
    answer
}

/// Removes a name and logs it.
fn remove_through(dir: c_int, path: &CStr, remove: impl FnOnce() -> c_int) -> c_int {
    let Some(recorder) = recorder() else { return remove() };
    let mut tree = recorder.lock();
    let place = recorder.place(&tree, dir, path);
    let before = stat_at(dir, path, AT_SYMLINK_NOFOLLOW);
    let answer = remove();
    if answer == 0 {
        let _errno = KeepErrno::now();
        if let (Some(Place { dir, name }), Some(before)) = (place, before) {
            tree.directories.remove(&before.st_ino);
            recorder.append(&tree, &Record::Unlink { dir, name }, &[]);
        }
    }
    answer
}

/// Renames and logs it; a name that leaves the root counts as removed.
fn rename_through(
    (from_dir, from): (c_int, &CStr),
    (to_dir, to): (c_int, &CStr),
    flags: c_uint,
    rename: impl FnOnce() -> c_int,
) -> c_int {
    let Some(recorder) = recorder() else { return rename() };
    let mut tree = recorder.lock();
    let places = (recorder.place(&tree, from_dir, from), recorder.place(&tree, to_dir, to));
    let replaced = stat_at(to_dir, to, AT_SYMLINK_NOFOLLOW);
    let answer = rename();
    if answer != 0 {
        return answer;
    }
    let _errno = KeepErrno::now();
    let is_exchange = flags & libc::RENAME_EXCHANGE != 0;
    let record = match places {
        (None, None) => return answer,
        (None, Some(_)) => give_up("a file was moved into the recorded folder from outside"),
        (Some(_), None) if is_exchange => give_up("a file changed places with one outside"),
        (Some(Place { dir, name }), None) => Record::Unlink { dir, name },
        (Some(from), Some(to)) if is_exchange => {
            Record::Exchange { from_dir: from.dir, from: from.name, to_dir: to.dir, to: to.name }
        }
        (Some(from), Some(to)) => {
            if let Some(replaced) = replaced.filter(|stat| kind_of(stat) == libc::S_IFDIR) {
                tree.directories.remove(&replaced.st_ino);
            }
            Record::Rename { from_dir: from.dir, from: from.name, to_dir: to.dir, to: to.name }
        }
    };
    recorder.append(&tree, &record, &[]);
    answer
}

/// Gives a file a second name and logs it.
fn link_through((dir, path): (c_int, &CStr), link: impl FnOnce() -> c_int) -> c_int {
    let Some(recorder) = recorder() else { return link() };
    let tree = recorder.lock();
    let answer = link();
    if answer == 0 {
        let _errno = KeepErrno::now();
        let stat = stat_at(dir, path, AT_SYMLINK_NOFOLLOW);
        if let (Some(place), Some(stat)) = (recorder.place(&tree, dir, path), stat) {
            if !tree.files.contains(&stat.st_ino) {
                give_up("a file was linked into the recorded folder from outside");
            }
            let Place { dir, name } = place;
            recorder.append(&tree, &Record::Link { ino: stat.st_ino, dir, name }, &[]);
        }
    }
    answer
}

macro_rules! names {
    ($(fn $name:ident($($argument:ident: $type:ty),*) through $function:ident($($with:expr),*);)*) => {$(
        /// Stands in front of the C library's function of this name.
        ///
        /// # Safety
        /// As the C library's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            // SAFETY: the caller's own arguments are passed on as they came, and paths are read
            // while the caller waits.
            unsafe { $function($($with,)* || real::$name($($argument),*)) }
        }
    )*};
}

names! {
    fn open(path: *const c_char, flags: c_int, mode: mode_t)
        through open_through(AT_FDCWD, text(path), flags);
    fn open64(path: *const c_char, flags: c_int, mode: mode_t)
        through open_through(AT_FDCWD, text(path), flags);
    fn openat(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t)
        through open_through(dir, text(path), flags);
    fn openat64(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t)
        through open_through(dir, text(path), flags);
    fn creat(path: *const c_char, mode: mode_t)
        through open_through(AT_FDCWD, text(path), libc::O_CREAT | libc::O_TRUNC);
    fn creat64(path: *const c_char, mode: mode_t)
        through open_through(AT_FDCWD, text(path), libc::O_CREAT | libc::O_TRUNC);
    fn mkdir(path: *const c_char, mode: mode_t)
        through make_through(AT_FDCWD, text(path), Kind::Directory, &[]);
    fn mkdirat(dir: c_int, path: *const c_char, mode: mode_t)
        through make_through(dir, text(path), Kind::Directory, &[]);
    fn symlink(target: *const c_char, path: *const c_char)
        through make_through(AT_FDCWD, text(path), Kind::Symlink, text(target).to_bytes());
    fn symlinkat(target: *const c_char, dir: c_int, path: *const c_char)
        through make_through(dir, text(path), Kind::Symlink, text(target).to_bytes());
    fn unlink(path: *const c_char) through remove_through(AT_FDCWD, text(path));
    fn unlinkat(dir: c_int, path: *const c_char, flags: c_int)
        through remove_through(dir, text(path));
    fn remove(path: *const c_char) through remove_through(AT_FDCWD, text(path));
    fn rmdir(path: *const c_char) through remove_through(AT_FDCWD, text(path));
    fn rename(from: *const c_char, to: *const c_char)
        through rename_through((AT_FDCWD, text(from)), (AT_FDCWD, text(to)), 0);
    fn renameat(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char)
        through rename_through((from_dir, text(from)), (to_dir, text(to)), 0);
    fn renameat2(
        from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char, flags: c_uint
    ) through rename_through((from_dir, text(from)), (to_dir, text(to)), flags);
    fn link(from: *const c_char, to: *const c_char) through link_through((AT_FDCWD, text(to)));
    fn linkat(
        from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char, flags: c_int
    ) through link_through((to_dir, text(to)));
}
