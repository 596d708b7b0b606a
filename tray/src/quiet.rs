//! Other programs, started without a window of their own.

use std::ffi::OsStr;
use std::process::Command;

/// A program to start. On Windows one that writes lines would open a console window beside this program, which has none.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let command = Command::new(program);
    #[cfg(windows)]
    let command = without_window(command);
    command
}

#[cfg(windows)]
fn without_window(mut command: Command) -> Command {
    /// `CREATE_NO_WINDOW` of `winbase.h`.
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    std::os::windows::process::CommandExt::creation_flags(&mut command, CREATE_NO_WINDOW);
    command
}
