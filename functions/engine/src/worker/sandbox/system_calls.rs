//! Refuses system calls to the current thread, and to the processes that it starts, with seccomp.
//!
//! Landlock and user ids do not cover all calls that name another process: a process may change the limits, the priority
//! and the processors of each process of the same user. A filter can compare numbers, but it does not know the id of the
//! process that starts later. Such calls are therefore allowed with the id 0 only, which means the caller.

use std::{collections::BTreeMap, env, io};

use rustix::process::{Pid, getpgid};
use seccompiler::{
    BackendError, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::NetworkAccess;

/// The refused calls, each with the arguments for which it is refused. Without arguments, it is always refused.
type RefusedCalls = BTreeMap<i64, Vec<SeccompRule>>;

/// System calls that create sockets. A pair of sockets remains allowed: it connects a plugin only with its own
/// processes.
const NETWORK_CALLS: [i64; 2] = [libc::SYS_socket, libc::SYS_io_uring_setup];

/// System calls that read, change or measure other processes, or open files without a path.
const FOREIGN_CALLS: [i64; 9] = [
    libc::SYS_kcmp,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
];

/// System calls that change the process in the first argument.
const CHANGING_CALLS: [i64; 6] = [
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
];

/// System calls that change the processes in the second argument, with the kind in the first argument that means all
/// processes of a user.
const PRIORITY_CALLS: [(i64, u32); 2] = [(libc::SYS_setpriority, 2), (libc::SYS_ioprio_set, 3)];

/// System calls that send a signal to the process in the first argument, or prepare it. The id -1 means all processes.
const SIGNAL_CALLS: [i64; 6] = [
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_tgkill,
    libc::SYS_tkill,
];

/// The bit that marks calls of the x32 interface on `x86_64`. Most have the numbers of other calls.
#[cfg(target_arch = "x86_64")]
const X32_CALL: i64 = 0x4000_0000;

/// The calls above that have other numbers in the x32 interface: `ptrace`, `rt_sigqueueinfo`, `move_pages`,
/// `rt_tgsigqueueinfo`, `process_vm_readv` and `process_vm_writev`.
#[cfg(target_arch = "x86_64")]
const X32_NUMBERS: [i64; 6] = [521, 524, 533, 536, 539, 540];

/// Refuses system calls that reach other processes, and those that send signals to the process `server`.
pub(super) fn confine_processes(server: u32) -> io::Result<()> {
    deny(process_calls(server).map_err(io::Error::other)?, libc::EPERM)
}

/// Refuses system calls of the network, if the setting says so.
pub(super) fn confine_network(network: NetworkAccess) -> io::Result<()> {
    match network {
        NetworkAccess::Allow => Ok(()),
        NetworkAccess::Deny => {
            let calls = NETWORK_CALLS.map(|call| (call, Vec::new()));
            deny(calls.into(), libc::EACCES)
        }
    }
}

fn process_calls(server: u32) -> Result<RefusedCalls, BackendError> {
    let is = |argument, value: u32| condition(argument, SeccompCmpOp::Eq, value);
    let is_not = |argument, value: u32| condition(argument, SeccompCmpOp::Ne, value);
    let rule = |conditions| SeccompRule::new(conditions);
    let mut calls: RefusedCalls = FOREIGN_CALLS.map(|call| (call, Vec::new())).into();
    for call in CHANGING_CALLS {
        calls.insert(call, vec![rule(vec![is_not(0, 0)?])?]);
    }
    // Reading the limits of a process changes nothing: the pointer to new limits is null.
    let is_change = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
    calls.insert(libc::SYS_prlimit64, vec![rule(vec![is_not(0, 0)?, is_change])?]);
    for (call, all_of_user) in PRIORITY_CALLS {
        calls.insert(call, vec![rule(vec![is_not(1, 0)?])?, rule(vec![is(0, all_of_user)?])?]);
    }
    // A negative id means the processes of a group.
    let leader = i32::try_from(server).ok().and_then(Pid::from_raw);
    let group = getpgid(leader).map_or(server, |group| group.as_raw_pid().unsigned_abs());
    let targets = [server, u32::MAX, server.wrapping_neg(), group.wrapping_neg()];
    for call in SIGNAL_CALLS {
        let rules = targets.map(|target| rule(vec![is(0, target)?]));
        calls.insert(call, rules.into_iter().collect::<Result<_, _>>()?);
    }
    Ok(calls)
}

/// Compares an argument of 32 bits.
fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u32,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value.into())
}

/// Applies a filter to the current thread, which also prevents that a program that it starts gains privileges.
fn deny(calls: RefusedCalls, error: i32) -> io::Result<()> {
    let architecture: TargetArch = env::consts::ARCH.try_into().map_err(io::Error::other)?;
    #[cfg(target_arch = "x86_64")]
    let calls = with_x32(calls);
    let refusal = SeccompAction::Errno(error.unsigned_abs());
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, refusal, architecture);
    let compiled: Result<seccompiler::BpfProgram, _> = filter.and_then(TryInto::try_into);
    let program = compiled.map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

#[cfg(target_arch = "x86_64")]
fn with_x32(calls: RefusedCalls) -> RefusedCalls {
    let same = calls.iter().map(|(call, rules)| (call | X32_CALL, rules.clone()));
    let renumbered = X32_NUMBERS.map(|call| (call | X32_CALL, Vec::new()));
    let mut all: RefusedCalls = same.chain(renumbered).collect();
    all.extend(calls);
    all
}
