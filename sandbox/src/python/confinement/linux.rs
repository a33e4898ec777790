//! Linux: Landlock says which files are there, seccomp which system calls. Both need no privilege and hold for root
//! too, in containers too. Landlock is set on the thread that starts the process and inherited; the process sets the
//! filter on itself, since starting it takes calls that it must not have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::LazyLock;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::python::{Python, Unavailable};

/// Where dynamic linkers and shared libraries are. What is not there is skipped.
const LIBRARIES: [&str; 6] =
    ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo"];
/// May be written: what is printed goes there.
const NULL: &str = "/dev/null";

/// What starts Python: Python itself.
pub(in crate::python) fn launcher(python: &Python) -> (PathBuf, Vec<String>) {
    (python.executable.clone(), Vec::new())
}

/// Starts a process that sees no files but Python's.
pub(in crate::python) fn spawn(python: &Python, mut command: Command) -> Result<Child, Unavailable> {
    // Landlock holds for a thread and what it starts: so a thread of its own, which then ends.
    std::thread::scope(|scope| {
        let started = scope.spawn(|| {
            see_only(python).map_err(|error| Unavailable::NoConfinement(error.to_string()))?;
            command.spawn().map_err(|error| Unavailable::NoProcess(error.to_string()))
        });
        started.join().unwrap_or_else(|_| Err(Unavailable::NoProcess("its thread ended".into())))
    })
}

fn see_only(python: &Python) -> Result<(), landlock::RulesetError> {
    let read = AccessFs::from_read(ABI::V1);
    // Files need Landlock's first version; later ones add to it where the kernel has them: truncation, devices, and
    // no signals to processes outside.
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .scope(Scope::Signal)?
        .create()?;
    let own = python.libraries.iter().chain([&python.executable]).map(PathBuf::as_path);
    for path in own.chain(LIBRARIES.iter().map(Path::new)) {
        if let Ok(opened) = PathFd::new(path) {
            let of_files = if path.is_dir() { read } else { read & AccessFs::from_file(ABI::V1) };
            rules = rules.add_rule(PathBeneath::new(opened, of_files))?;
        }
    }
    if let Ok(opened) = PathFd::new(NULL) {
        rules = rules.add_rule(PathBeneath::new(opened, AccessFs::ReadFile | AccessFs::WriteFile))?;
    }
    rules.restrict_self()?;
    Ok(())
}

/// The filter of system calls: its instructions as hexadecimal digits, as the kernel wants them.
pub(in crate::python) fn filter() -> Result<&'static str, Unavailable> {
    static FILTER: LazyLock<Result<String, String>> =
        LazyLock::new(|| instructions().map_err(|error| error.to_string()));
    FILTER.as_deref().map_err(|why| Unavailable::NoConfinement(why.clone()))
}

fn instructions() -> Result<String, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = CALLS.iter().map(|&call| (call, Vec::new())).collect();
    for (call, commands) in CONTROLS {
        let is = |&command: &u64| {
            let is = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, command)?;
            SeccompRule::new(vec![is])
        };
        rules.insert(*call, commands.iter().map(is).collect::<Result<_, _>>()?);
    }
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?;
    let bytes = BpfProgram::try_from(filter)?.into_iter().flat_map(|step| {
        let [a, b] = step.code.to_ne_bytes();
        let [c, d, e, f] = step.k.to_ne_bytes();
        [a, b, step.jt, step.jf, c, d, e, f]
    });
    Ok(bytes.map(|byte| format!("{byte:02x}")).collect())
}

/// Calls of many purposes, with what may be asked by them: copies of descriptors, their flags, whether one is a
/// terminal. Not whose they are: the owner of a socket can be any process, and gets signals.
#[allow(clippy::unnecessary_cast, reason = "their type differs from one C library to another")]
const CONTROLS: &[(i64, &[u64])] = &[
    (
        libc::SYS_fcntl,
        &[
            libc::F_DUPFD as u64,
            libc::F_DUPFD_CLOEXEC as u64,
            libc::F_GETFD as u64,
            libc::F_SETFD as u64,
            libc::F_GETFL as u64,
        ],
    ),
    (libc::SYS_ioctl, &[libc::FIOCLEX as u64, libc::TCGETS as u64, libc::TIOCGWINSZ as u64]),
];

/// What Python needs to compute and to import its own modules. Not among them: anything that makes a process, a
/// thread, a socket or a file, changes one, or concerns another process.
const CALLS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_pselect6,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_write,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];
