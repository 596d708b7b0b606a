//! The walls around the worker: limits of memory, time and files; no paths (Landlock); few system calls (seccomp).
//!
//! No namespaces, so that it works inside the service's sandbox and in containers too. On Linux the limits and the filter
//! must hold, or nothing is read; Landlock is missing on old kernels, and what opens no files does without it.

use std::fs::File;
use std::io;
use std::path::Path;

/// Address space of the worker.
pub const MEMORY_BYTES: u64 = 512 * 1024 * 1024;
/// Time on a processor.
const CPU_S: u64 = 20;

/// What is left of it after the signal that it is over.
#[cfg(unix)]
const CPU_GRACE_S: u64 = 5;

/// How much of the machine another program may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Address space.
    pub memory_bytes: u64,
    /// Seconds on a processor, all its threads together.
    pub cpu_s: u64,
    /// Longest file that it writes.
    pub file_bytes: u64,
}

impl Default for Bounds {
    /// For one picture: decoders keep several, and their libraries are large.
    fn default() -> Self {
        Self { memory_bytes: 1536 * 1024 * 1024, cpu_s: CPU_S, file_bytes: 256 * 1024 * 1024 }
    }
}

/// The original, however standard input is buffered.
pub fn standard_input() -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    }
    #[cfg(windows)]
    {
        use std::os::windows::io::AsHandle;
        io::stdin().as_handle().try_clone_to_owned().map(File::from)
    }
}

/// From here on this process reads its standard input, writes its standard output, and does nothing else.
pub fn shut() -> io::Result<()> {
    be_polite();
    limit(16, Bounds { memory_bytes: MEMORY_BYTES, cpu_s: CPU_S, file_bytes: 0 })?;
    #[cfg(target_os = "linux")]
    linux::shut()?;
    Ok(())
}

/// Becomes another program in a jail of its own: it reads its libraries and standard input, and writes into one folder.
/// Comes back only if that failed.
pub fn become_program(
    program: &Path,
    arguments: &[String],
    folder: Option<&Path>,
    bounds: Bounds,
) -> io::Result<()> {
    be_polite();
    limit(64, bounds)?;
    #[cfg(target_os = "linux")]
    linux::shut_tool(program, folder)?;
    #[cfg(not(target_os = "linux"))]
    let _ = folder;
    let mut command = std::process::Command::new(program);
    // Nothing of the server's environment is its business.
    command.args(arguments).env_clear();
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        let error = command.exec();
        Err(io::Error::new(error.kind(), format!("could not run {}: {error}", program.display())))
    }
    #[cfg(not(unix))]
    {
        let status = command.status()?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("{} failed: {status}", program.display()))),
        }
    }
}

/// Others come first. The sandbox of the service forbids it, and the kernel shares out fairly then.
fn be_polite() {
    #[cfg(unix)]
    let _ = rustix::process::nice(10);
}

#[cfg(unix)]
fn limit(files: u64, bounds: Bounds) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let wanted = [
        (Resource::As, bounds.memory_bytes),
        (Resource::Cpu, bounds.cpu_s),
        (Resource::Nofile, files),
        (Resource::Fsize, bounds.file_bytes),
        (Resource::Core, 0),
    ];
    for (resource, most) in wanted {
        // The last seconds are for ending by the signal that says why; after them it is killed without one.
        let grace = if resource == Resource::Cpu { CPU_GRACE_S } else { 0 };
        let limit = Rlimit { current: Some(most), maximum: Some(most.saturating_add(grace)) };
        let set = setrlimit(resource, limit);
        // Other systems have not every limit.
        if cfg!(target_os = "linux") {
            set?;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn limit(_files: u64, _bounds: Bounds) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::AsFd;
    use std::path::Path;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
        RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    };

    /// The newest rules this knows; older kernels get what they have of it.
    const NEWEST: ABI = ABI::V5;

    fn refused(error: impl std::fmt::Display) -> io::Error {
        io::Error::other(format!("could not shut the jail: {error}"))
    }

    pub fn shut() -> io::Result<()> {
        rules()?.restrict_self().map_err(refused)?;
        filter::install_allowed()
    }

    pub fn shut_tool(program: &Path, folder: Option<&Path>) -> io::Result<()> {
        let read = AccessFs::from_read(NEWEST);
        let mut rules = rules()?;
        // Where programs and their libraries lie, on every kind of system.
        let places = ["/usr", "/lib", "/lib64", "/bin", "/opt", "/nix/store", "/etc/ld.so.cache"];
        let places = places.into_iter().map(Path::new).chain(program.parent());
        for place in places {
            let Ok(opened) = PathFd::new(place) else { continue };
            // For a file, rights of folders mean nothing, and are left out.
            let is_folder = place.is_dir();
            let access = if is_folder { read } else { AccessFs::from_file(NEWEST) & read };
            rules = rules.add_rule(PathBeneath::new(opened, access)).map_err(refused)?;
        }
        let standard_input = io::stdin();
        let original = PathBeneath::new(standard_input.as_fd(), AccessFs::ReadFile);
        rules = rules.add_rule(original).map_err(refused)?;
        for device in ["/dev/null", "/dev/urandom", "/dev/zero"] {
            let Ok(opened) = PathFd::new(device) else { continue };
            let access = AccessFs::ReadFile | AccessFs::WriteFile;
            rules = rules.add_rule(PathBeneath::new(opened, access)).map_err(refused)?;
        }
        if let Some(folder) = folder {
            let opened = PathFd::new(folder).map_err(refused)?;
            let access = AccessFs::ReadFile
                | AccessFs::ReadDir
                | AccessFs::WriteFile
                | AccessFs::MakeReg
                | AccessFs::RemoveFile
                | AccessFs::Truncate;
            rules = rules.add_rule(PathBeneath::new(opened, access)).map_err(refused)?;
        }
        rules.restrict_self().map_err(refused)?;
        filter::install_forbidden()
    }

    fn rules() -> io::Result<RulesetCreated> {
        let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
        let rules = rules.handle_access(AccessFs::from_all(NEWEST)).map_err(refused)?;
        let rules = rules.handle_access(AccessNet::from_all(NEWEST)).map_err(refused)?;
        rules.create().map_err(refused)
    }

    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
    mod filter {
        use std::collections::BTreeMap;
        use std::io;

        use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

        use super::refused;

        #[cfg(target_arch = "x86_64")]
        const PROCESSOR: TargetArch = TargetArch::x86_64;
        #[cfg(target_arch = "aarch64")]
        const PROCESSOR: TargetArch = TargetArch::aarch64;
        #[cfg(target_arch = "riscv64")]
        const PROCESSOR: TargetArch = TargetArch::riscv64;

        /// What decoding takes: the open files, memory, and the end.
        const ALLOWED: &[i64] = &[
            libc::SYS_read,
            libc::SYS_readv,
            libc::SYS_pread64,
            libc::SYS_write,
            libc::SYS_writev,
            libc::SYS_lseek,
            libc::SYS_fstat,
            libc::SYS_newfstatat,
            libc::SYS_statx,
            libc::SYS_fcntl,
            libc::SYS_close,
            libc::SYS_mmap,
            libc::SYS_munmap,
            libc::SYS_mremap,
            libc::SYS_mprotect,
            libc::SYS_madvise,
            libc::SYS_brk,
            libc::SYS_futex,
            libc::SYS_getrandom,
            libc::SYS_clock_gettime,
            libc::SYS_sched_yield,
            libc::SYS_sched_getaffinity,
            libc::SYS_getpid,
            libc::SYS_gettid,
            libc::SYS_tgkill,
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigreturn,
            libc::SYS_sigaltstack,
            libc::SYS_restart_syscall,
            libc::SYS_exit,
            libc::SYS_exit_group,
        ];

        /// What no decoder needs, and somebody who took one over would like to have.
        const FORBIDDEN: &[i64] = &[
            libc::SYS_socket,
            libc::SYS_socketpair,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_accept,
            libc::SYS_accept4,
            libc::SYS_sendto,
            libc::SYS_sendmsg,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_open,
            libc::SYS_pidfd_getfd,
            libc::SYS_kill,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_chroot,
            libc::SYS_init_module,
            libc::SYS_kexec_load,
            libc::SYS_reboot,
        ];

        pub fn install_allowed() -> io::Result<()> {
            let forbidden = SeccompAction::Errno(libc::EPERM as u32);
            install(ALLOWED, forbidden, SeccompAction::Allow)
        }

        pub fn install_forbidden() -> io::Result<()> {
            let forbidden = SeccompAction::Errno(libc::EPERM as u32);
            install(FORBIDDEN, SeccompAction::Allow, forbidden)
        }

        fn install(calls: &[i64], others: SeccompAction, these: SeccompAction) -> io::Result<()> {
            let rules: BTreeMap<i64, Vec<_>> =
                calls.iter().map(|call| (*call, Vec::new())).collect();
            let filter = SeccompFilter::new(rules, others, these, PROCESSOR).map_err(refused)?;
            let program = BpfProgram::try_from(filter).map_err(refused)?;
            seccompiler::apply_filter(&program).map_err(refused)
        }
    }

    /// No filter is made for other processors; limits and Landlock hold there.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
    mod filter {
        pub fn install_allowed() -> std::io::Result<()> {
            Ok(())
        }

        pub fn install_forbidden() -> std::io::Result<()> {
            Ok(())
        }
    }
}
