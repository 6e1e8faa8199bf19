//! What this process may do to the machine: read one pipe, write another, take memory up to a limit, start threads.
//!
//! Lives here: everything that gives up a right, and why. Does not live here: the media. A stranger's bytes reach
//! FFmpeg's decoder in this process; what a fault in it could do ends here.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::io;

/// Why the process could not shut itself in. It does not work outside.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    #[error("{what}: {fault}")]
    System { what: &'static str, fault: io::Error },
    #[error("the system call filter cannot be installed: {0}")]
    Filter(String),
}

/// Gives up everything but the pipes. Before any thread is started: threads inherit it.
pub(crate) fn enter(memory_limit_mib: u64, has_seccomp: bool) -> Result<(), SandboxError> {
    die_with_parent()?;
    close_what_was_inherited()?;
    limit(libc::RLIMIT_CORE, 0, "no core dumps")?;
    if memory_limit_mib > 0 {
        limit(libc::RLIMIT_AS, memory_limit_mib.saturating_mul(1 << 20), "the memory limit")?;
    }
    share_one_arena();
    if has_seccomp {
        let filter = filter().map_err(|fault| SandboxError::Filter(fault.to_string()))?;
        // Sets no_new_privs as well.
        seccompiler::apply_filter(&filter).map_err(|fault| SandboxError::Filter(fault.to_string()))?;
    }
    Ok(())
}

fn checked(what: &'static str, result: libc::c_int) -> Result<(), SandboxError> {
    match result {
        0 => Ok(()),
        _ => Err(SandboxError::System { what, fault: io::Error::last_os_error() }),
    }
}

/// A parent killed with SIGKILL closes its pipe too, but a process that is deep in an encoder notices late.
fn die_with_parent() -> Result<(), SandboxError> {
    // SAFETY: prctl with these options takes plain numbers and touches no memory of ours.
    let (signal, privileges) = unsafe {
        (
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0),
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, 0, 0, 0),
        )
    };
    checked("the parent's death cannot be heard of", signal)?;
    checked("privileges cannot be given up", privileges)
}

/// The parent's sockets are none of ours.
fn close_what_was_inherited() -> Result<(), SandboxError> {
    // SAFETY: closes descriptors this process has opened none of: nothing here owns one above 2 at this point, and the
    // call takes plain numbers.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    match result {
        0 => Ok(()),
        // A kernel before 5.9 has no such call; std opens everything close-on-exec, so there is nothing then either.
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        _ => Err(SandboxError::System {
            what: "inherited descriptors stay open",
            fault: io::Error::last_os_error(),
        }),
    }
}

fn limit(resource: libc::__rlimit_resource_t, most: u64, what: &'static str) -> Result<(), SandboxError> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the pointer is to a whole rlimit on this stack, read during the call.
    checked(what, unsafe { libc::setrlimit(resource, &limit) })
}

/// One malloc arena: others take 64 MiB each of the address space that is limited above, and to give memory back glibc
/// opens `/proc/sys/vm/overcommit_memory` for them (arena.c), which is not allowed here.
fn share_one_arena() {
    // SAFETY: mallopt takes plain numbers; no other thread is running yet.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// The system calls that memory, threads and two pipes need. Anything else ends the process: there is no call a sane
/// decoder makes beside these.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    const ALWAYS: &[libc::c_long] = &[
        // The pipes.
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_poll,
        // Memory.
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        // Threads.
        libc::SYS_clone3,
        libc::SYS_futex,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_membarrier,
        libc::SYS_exit,
        libc::SYS_exit_group,
        // Signals: what a thread sets up for its stack's guard, and how abort() ends.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_tgkill,
        libc::SYS_restart_syscall,
        // Time and randomness (hash maps).
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_getrandom,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALWAYS.iter().map(|call| (*call, Vec::new())).collect();
    let argument =
        |index, compare, value| SeccompCondition::new(index, SeccompCmpArgLen::Qword, compare, value);
    // Nothing becomes executable.
    let not_executable = argument(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)?;
    rules.insert(libc::SYS_mmap, vec![SeccompRule::new(vec![not_executable.clone()])?]);
    rules.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![not_executable])?]);
    // A thread's name, and no other prctl.
    let names = argument(0, SeccompCmpOp::Eq, libc::PR_SET_NAME as u64)?;
    rules.insert(libc::SYS_prctl, vec![SeccompRule::new(vec![names])?]);
    // Threads (CLONE_THREAD), where clone3 is not there; never a process.
    let threads = argument(0, SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64), libc::CLONE_THREAD as u64)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![threads])?]);
    // Asking for limits (a thread's stack size), not setting them.
    let asking = argument(2, SeccompCmpOp::Eq, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![asking])?]);
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?.try_into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_filter_compiles_for_this_machine() {
        assert!(super::filter().is_ok_and(|filter| !filter.is_empty()));
    }
}
