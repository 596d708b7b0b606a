//! Stands in front of what sends bytes on sockets. An answer is logged before it is sent.

use std::ffi::{c_int, c_uint, c_void};

use libc::{iovec, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t};
use photosync_powercut_replay::record::Record;

use crate::files::gather;
use crate::real;
use crate::recorder::{KeepErrno, Recorder, recorder};

/// Bytes kept of each answer: a status line and a page of security headers fit before the
/// `X-Request-Id`.
pub const ANSWER_BYTES: usize = 2048;

/// Logs the first bytes of an answer.
pub fn log_answer(recorder: &Recorder, bytes: &[u8]) {
    if !bytes.is_empty() {
        recorder.append(&recorder.lock(), &Record::Answer, bytes);
    }
}

/// Logs what is about to be sent in parts.
///
/// # Safety
/// `parts` must point to `count` parts that may be read.
unsafe fn log_parts(parts: *const iovec, count: c_int) {
    if let Some(recorder) = recorder() {
        let _errno = KeepErrno::now();
        // SAFETY: the caller's promise.
        log_answer(recorder, &unsafe { gather(parts, count, ANSWER_BYTES) });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn send(fd: c_int, bytes: *const c_void, count: size_t, flags: c_int) -> ssize_t {
    let part = iovec { iov_base: bytes.cast_mut(), iov_len: count };
    // SAFETY: the caller's own arguments are passed on as they came.
    unsafe {
        log_parts(&raw const part, 1);
        real::send(fd, bytes, count, flags)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendto(
    fd: c_int,
    bytes: *const c_void,
    count: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_len: socklen_t,
) -> ssize_t {
    let part = iovec { iov_base: bytes.cast_mut(), iov_len: count };
    // SAFETY: the caller's own arguments are passed on as they came.
    unsafe {
        log_parts(&raw const part, 1);
        real::sendto(fd, bytes, count, flags, to, to_len)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's own arguments are passed on as they came; the message may be read.
    unsafe {
        log_parts((*message).msg_iov, (*message).msg_iovlen as c_int);
        real::sendmsg(fd, message, flags)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's own arguments are passed on as they came; so many messages may be read.
    unsafe {
        for index in 0..count as usize {
            let message = &(*messages.add(index)).msg_hdr;
            log_parts(message.msg_iov, message.msg_iovlen as c_int);
        }
        real::sendmmsg(fd, messages, count, flags)
    }
}
