//! Stands in front of what changes the bytes, size or mode of files, and of the flushes.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::MutexGuard;

use libc::{iovec, mode_t, off_t, size_t, ssize_t};
use photosync_powercut_replay::record::Record;

use crate::real;
use crate::recorder::{KeepErrno, Recorder, Tree, give_up, kind_of, recorder, stat_at, stat_of};
use crate::sockets;

/// Where a write begins.
enum At {
    /// At the descriptor's own position.
    Cursor,
    /// At this byte.
    Offset(off_t),
}

/// The first `count` bytes of what a caller gave in parts.
///
/// # Safety
/// `parts` must point to `parts_count` parts that may be read.
pub unsafe fn gather(parts: *const iovec, parts_count: c_int, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0..usize::try_from(parts_count).unwrap_or_default() {
        // SAFETY: the caller promises so many parts.
        let part = unsafe { *parts.add(index) };
        let wanted = part.iov_len.min(count - bytes.len());
        if wanted > 0 {
            // SAFETY: the caller promises that the part may be read.
            let slice = unsafe { std::slice::from_raw_parts(part.iov_base.cast::<u8>(), wanted) };
            bytes.extend_from_slice(slice);
        }
    }
    bytes
}

/// Does a write and logs it; a write on a socket is logged before.
///
/// # Safety
/// `bytes` must give the first so many bytes the real call is about to write.
unsafe fn write_through(
    fd: c_int,
    at: At,
    bytes: impl FnOnce(usize) -> Vec<u8>,
    write: impl FnOnce() -> ssize_t,
) -> ssize_t {
    let Some(recorder) = recorder() else { return write() };
    let Some(stat) = stat_of(fd) else { return write() };
    if kind_of(&stat) == libc::S_IFSOCK {
        sockets::log_answer(recorder, &bytes(sockets::ANSWER_BYTES));
        return write();
    }
    if !recorder.may_record(&stat) {
        return write();
    }
    let tree = recorder.lock();
    if !recorder.knows(&tree, fd, &stat) {
        drop(tree);
        return write();
    }
    let size_before = stat_of(fd).map_or(0, |stat| stat.st_size);
    let written = write();
    let _errno = KeepErrno::now();
    let Ok(count) = usize::try_from(written) else { return written };
    if count > 0 {
        let offset = match at {
            // SAFETY: asks for the position of a descriptor.
            At::Cursor => unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) - written as off_t },
            // SAFETY: asks for the flags of a descriptor. Linux appends then, whatever the offset.
            At::Offset(_) if unsafe { libc::fcntl(fd, libc::F_GETFL) } & libc::O_APPEND != 0 => {
                size_before
            }
            At::Offset(offset) => offset,
        };
        let record = Record::Write { ino: stat.st_ino, offset: offset as u64 };
        recorder.append(&tree, &record, &bytes(count));
    }
    written
}

/// Does a change of an open file and logs what `describe` makes of its success.
fn change(
    fd: c_int,
    change: impl FnOnce() -> c_int,
    describe: impl FnOnce(&Recorder, &Tree, &libc::stat),
) -> c_int {
    let Some(recorder) = recorder() else { return change() };
    let Some(stat) = stat_of(fd).filter(|stat| stat.st_dev == recorder.device) else {
        return change();
    };
    let tree = recorder.lock();
    if !recorder.knows(&tree, fd, &stat) {
        drop(tree);
        return change();
    }
    let before = stat_of(fd).unwrap_or(stat);
    let answer = change();
    if answer == 0 {
        let _errno = KeepErrno::now();
        describe(recorder, &tree, &before);
    }
    answer
}

fn resize(fd: c_int, size: off_t, call: impl FnOnce() -> c_int) -> c_int {
    change(fd, call, |recorder, tree, stat| {
        recorder.append(tree, &Record::Resize { ino: stat.st_ino, size: size as u64 }, &[]);
    })
}

fn set_mode(fd: c_int, mode: mode_t, call: impl FnOnce() -> c_int) -> c_int {
    change(fd, call, |recorder, tree, stat| {
        let record = Record::Mode { ino: stat.st_ino, mode: mode & 0o7777 };
        recorder.append(tree, &record, &[]);
    })
}

fn allocate(
    fd: c_int,
    mode: c_int,
    offset: off_t,
    len: off_t,
    call: impl FnOnce() -> c_int,
) -> c_int {
    change(fd, call, |recorder, tree, stat| {
        let (ino, end) = (stat.st_ino, offset + len);
        let is_size_kept = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        if mode & (libc::FALLOC_FL_COLLAPSE_RANGE | libc::FALLOC_FL_INSERT_RANGE) != 0 {
            give_up("fallocate moved bytes inside a file, which is not modelled");
        }
        if mode & (libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE) != 0 {
            let len = (end.min(stat.st_size) - offset).max(0) as u64;
            let record = Record::Zero { ino, offset: offset as u64, len };
            recorder.append(tree, &record, &[]);
        }
        if !is_size_kept && end > stat.st_size {
            recorder.append(tree, &Record::Resize { ino, size: end as u64 }, &[]);
        }
    })
}

/// Does a change of a file named by its path and logs `record` of its inode.
fn change_named(
    dir: c_int,
    path: *const c_char,
    flags: c_int,
    record: impl FnOnce(u64) -> Record,
    call: impl FnOnce() -> c_int,
) -> c_int {
    let Some(recorder) = recorder() else { return call() };
    let tree = recorder.lock();
    let answer = call();
    if answer == 0 {
        let _errno = KeepErrno::now();
        // SAFETY: the real call took the path, so it is a string that ends in zero.
        let stat = stat_at(dir, unsafe { CStr::from_ptr(path) }, flags);
        let known = stat.filter(|stat| {
            stat.st_dev == recorder.device
                && (tree.files.contains(&stat.st_ino) || tree.directories.contains(&stat.st_ino))
        });
        if let Some(stat) = known {
            recorder.append(&tree, &record(stat.st_ino), &[]);
        }
    }
    answer
}

/// Flushes one file or directory.
fn flush(fd: c_int, call: impl FnOnce() -> c_int) -> c_int {
    let Some(recorder) = recorder() else { return call() };
    let Some(stat) = stat_of(fd).filter(|stat| stat.st_dev == recorder.device) else {
        return call();
    };
    let tree = recorder.lock();
    if !recorder.knows(&tree, fd, &stat) {
        drop(tree);
        return call();
    }
    log_flush(recorder, tree, stat.st_ino, call)
}

/// Flushes everything.
fn flush_all(call: impl FnOnce() -> c_int) -> c_int {
    match recorder() {
        Some(recorder) => log_flush(recorder, recorder.lock(), 0, call),
        None => call(),
    }
}

/// Logs the beginning of a flush, does it without the lock, and logs its good end.
fn log_flush(
    recorder: &Recorder,
    tree: MutexGuard<'_, Tree>,
    ino: u64,
    call: impl FnOnce() -> c_int,
) -> c_int {
    let sync = recorder.next_sync();
    recorder.append(&tree, &Record::SyncStart { sync, ino }, &[]);
    drop(tree);
    let answer = call();
    if answer == 0 {
        let _errno = KeepErrno::now();
        recorder.append(&recorder.lock(), &Record::SyncEnd { sync }, &[]);
    }
    answer
}

/// Copies inside the kernel, and logs what was written by reading it back.
fn copy_through(fd: c_int, to_offset: Option<off_t>, copy: impl FnOnce() -> ssize_t) -> ssize_t {
    let at = to_offset.map_or(At::Cursor, At::Offset);
    let cursor = || {
        // SAFETY: asks for the position of a descriptor.
        unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) }
    };
    let start = to_offset.unwrap_or_else(cursor);
    let read_back = |count: usize| {
        let mut bytes = vec![0; count];
        let path = format!("/proc/self/fd/{fd}\0");
        // SAFETY: the path ends in zero; the buffer has room for `count` bytes; the descriptor is
        // this function's own.
        let read = unsafe {
            let source = real::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC, 0);
            let read = libc::pread(source, bytes.as_mut_ptr().cast(), count, start);
            libc::close(source);
            read
        };
        if usize::try_from(read) != Ok(count) && kind_is_file(fd) {
            give_up("could not read back what was copied into a file");
        }
        bytes
    };
    // SAFETY: `read_back` gives what is in the file after the copy. On a socket it gives zeros: a
    // body, which names no request.
    unsafe { write_through(fd, at, read_back, copy) }
}

fn kind_is_file(fd: c_int) -> bool {
    stat_of(fd).is_some_and(|stat| kind_of(&stat) == libc::S_IFREG)
}

/// One buffer as a function from a count to its first bytes.
fn first_of(bytes: *const c_void, count: size_t) -> impl FnOnce(usize) -> Vec<u8> {
    move |wanted| {
        let part = iovec { iov_base: bytes.cast_mut(), iov_len: count };
        // SAFETY: the interposed call was given `count` readable bytes.
        unsafe { gather(&raw const part, 1, wanted) }
    }
}

/// Several buffers as a function from a count to their first bytes.
fn first_of_parts(parts: *const iovec, count: c_int) -> impl FnOnce(usize) -> Vec<u8> {
    // SAFETY: the interposed call was given `count` readable parts.
    move |wanted| unsafe { gather(parts, count, wanted) }
}

macro_rules! writes {
    ($(fn $name:ident($fd:ident $(, $argument:ident: $type:ty)*) at $at:expr, from $bytes:expr;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($fd: c_int $(, $argument: $type)*) -> ssize_t {
            // SAFETY: the caller's own arguments are passed on as they came.
            unsafe { write_through($fd, $at, $bytes, || real::$name($fd $(, $argument)*)) }
        }
    )*};
}

writes! {
    fn write(fd, bytes: *const c_void, count: size_t) at At::Cursor, from first_of(bytes, count);
    fn pwrite(fd, bytes: *const c_void, count: size_t, offset: off_t)
        at At::Offset(offset), from first_of(bytes, count);
    fn pwrite64(fd, bytes: *const c_void, count: size_t, offset: off_t)
        at At::Offset(offset), from first_of(bytes, count);
    fn writev(fd, parts: *const iovec, count: c_int)
        at At::Cursor, from first_of_parts(parts, count);
    fn pwritev(fd, parts: *const iovec, count: c_int, offset: off_t)
        at At::Offset(offset), from first_of_parts(parts, count);
    fn pwritev64(fd, parts: *const iovec, count: c_int, offset: off_t)
        at At::Offset(offset), from first_of_parts(parts, count);
    fn pwritev2(fd, parts: *const iovec, count: c_int, offset: off_t, flags: c_int)
        at at_or_cursor(offset), from first_of_parts(parts, count);
    fn pwritev64v2(fd, parts: *const iovec, count: c_int, offset: off_t, flags: c_int)
        at at_or_cursor(offset), from first_of_parts(parts, count);
}

/// `pwritev2` writes at the descriptor's position when the offset is -1.
fn at_or_cursor(offset: off_t) -> At {
    if offset < 0 { At::Cursor } else { At::Offset(offset) }
}

macro_rules! calls {
    ($(fn $name:ident($($argument:ident: $type:ty),*) through $function:path, with ($($with:expr),*);)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            // SAFETY: the caller's own arguments are passed on as they came.
            $function($($with,)* || unsafe { real::$name($($argument),*) })
        }
    )*};
}

calls! {
    fn ftruncate(fd: c_int, size: off_t) through resize, with (fd, size);
    fn ftruncate64(fd: c_int, size: off_t) through resize, with (fd, size);
    fn fallocate(fd: c_int, mode: c_int, offset: off_t, len: off_t)
        through allocate, with (fd, mode, offset, len);
    fn fallocate64(fd: c_int, mode: c_int, offset: off_t, len: off_t)
        through allocate, with (fd, mode, offset, len);
    fn posix_fallocate(fd: c_int, offset: off_t, len: off_t)
        through allocate, with (fd, 0, offset, len);
    fn posix_fallocate64(fd: c_int, offset: off_t, len: off_t)
        through allocate, with (fd, 0, offset, len);
    fn truncate(path: *const c_char, size: off_t) through change_named,
        with (libc::AT_FDCWD, path, 0, |ino| Record::Resize { ino, size: size as u64 });
    fn truncate64(path: *const c_char, size: off_t) through change_named,
        with (libc::AT_FDCWD, path, 0, |ino| Record::Resize { ino, size: size as u64 });
    fn chmod(path: *const c_char, mode: mode_t) through change_named,
        with (libc::AT_FDCWD, path, 0, |ino| Record::Mode { ino, mode: mode & 0o7777 });
    fn fchmodat(dir: c_int, path: *const c_char, mode: mode_t, flags: c_int)
        through change_named,
        with (dir, path, flags, |ino| Record::Mode { ino, mode: mode & 0o7777 });
    fn fchmod(fd: c_int, mode: mode_t) through set_mode, with (fd, mode);
    fn fsync(fd: c_int) through flush, with (fd);
    fn fdatasync(fd: c_int) through flush, with (fd);
    fn syncfs(fd: c_int) through flush_all, with ();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sync() {
    let call = || {
        // SAFETY: takes nothing.
        unsafe { real::sync() };
        0
    };
    flush_all(call);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_offset: *mut off_t,
    to: c_int,
    to_offset: *mut off_t,
    count: size_t,
    flags: c_uint,
) -> ssize_t {
    // SAFETY: the caller's pointer is either null or may be read.
    let at = unsafe { to_offset.as_ref() }.copied();
    // SAFETY: the caller's own arguments are passed on as they came.
    let call = || unsafe { real::copy_file_range(from, from_offset, to, to_offset, count, flags) };
    copy_through(to, at, call)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile(
    to: c_int,
    from: c_int,
    offset: *mut off_t,
    count: size_t,
) -> ssize_t {
    // SAFETY: the caller's own arguments are passed on as they came.
    copy_through(to, None, || unsafe { real::sendfile(to, from, offset, count) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile64(
    to: c_int,
    from: c_int,
    offset: *mut off_t,
    count: size_t,
) -> ssize_t {
    // SAFETY: the caller's own arguments are passed on as they came.
    copy_through(to, None, || unsafe { real::sendfile64(to, from, offset, count) })
}
