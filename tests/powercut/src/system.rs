//! Stands in front of `syscall`: the numbers that change files go to the functions of this crate,
//! and ways around it are refused as unknown to the kernel.

use std::ffi::c_long;

use crate::real;
use crate::recorder::{recorder, set_errno};
use crate::{files, names};

/// Seven arguments travel in the same places whether the C declaration says `...` or not.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    // SAFETY: the caller's own arguments are passed on, in the types the kernel gives them.
    unsafe {
        if recorder().is_none() {
            return real::syscall(number, a, b, c, d, e, f);
        }
        match number {
            libc::SYS_renameat2 => {
                let (from, to) = (b as *const _, d as *const _);
                c_long::from(names::renameat2(a as i32, from, c as i32, to, e as u32))
            }
            libc::SYS_openat => {
                c_long::from(names::openat(a as i32, b as *const _, c as i32, d as u32))
            }
            libc::SYS_copy_file_range => files::copy_file_range(
                a as i32,
                b as *mut _,
                c as i32,
                d as *mut _,
                e as usize,
                f as u32,
            ) as c_long,
            libc::SYS_fsync => c_long::from(files::fsync(a as i32)),
            libc::SYS_fdatasync => c_long::from(files::fdatasync(a as i32)),
            libc::SYS_io_uring_setup | libc::SYS_openat2 => {
                set_errno(libc::ENOSYS);
                -1
            }
            _ => real::syscall(number, a, b, c, d, e, f),
        }
    }
}
