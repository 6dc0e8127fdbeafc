//! Restricts the current thread, and the processes that it starts, with Landlock and seccomp.

use std::{collections::BTreeMap, env, io};

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};

use super::{FileRules, NetworkAccess};

/// The newest version of Landlock whose restrictions are used. Older kernels apply those that they know.
const LANDLOCK: ABI = ABI::V6;

/// System calls that create sockets or take those of other processes. A pair of sockets remains allowed: it connects a
/// plugin only with its own processes.
const NETWORK_CALLS: [i64; 3] = [
    libc::SYS_socket,
    libc::SYS_io_uring_setup,
    libc::SYS_pidfd_getfd,
];

/// The bit that marks calls of the x32 interface on `x86_64`, which have the same numbers.
#[cfg(target_arch = "x86_64")]
const X32_CALL: i64 = 0x4000_0000;

/// Capabilities that a plugin of a server of the superuser does not get. With some of them, it could read the memory and
/// the environment of the server despite Landlock, or control the machine.
const DROPPED_CAPABILITIES: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_BOOT)
    .union(CapabilitySet::SYS_MODULE)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::SYS_RAWIO)
    .union(CapabilitySet::SYS_TIME);

/// Drops capabilities of the current thread. Landlock prevents that a program that it starts gains them again.
fn drop_capabilities() -> io::Result<()> {
    let own = capabilities(None)?;
    let fewer = CapabilitySets {
        effective: own.effective.difference(DROPPED_CAPABILITIES),
        permitted: own.permitted.difference(DROPPED_CAPABILITIES),
        inheritable: own.inheritable.difference(DROPPED_CAPABILITIES),
    };
    if fewer != own {
        set_capabilities(None, fewer)?;
    }
    Ok(())
}

/// Confines the current thread to these files. Returns whether the kernel enforces it.
pub(super) fn confine_files(rules: &FileRules) -> io::Result<bool> {
    drop_capabilities()?;
    let readable = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    let writable = AccessFs::from_all(LANDLOCK)
        & !(AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::IoctlDev);
    let restrict = || -> Result<RestrictionStatus, RulesetError> {
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?;
        for (paths, access) in [(&rules.readable, readable), (&rules.writable, writable)] {
            for path in paths {
                // Not every machine has every path.
                let Ok(file) = PathFd::new(path) else {
                    continue;
                };
                let access = match path.is_dir() {
                    true => access,
                    false => access & file_access(),
                };
                ruleset = ruleset.add_rule(PathBeneath::new(file, access))?;
            }
        }
        ruleset.restrict_self()
    };
    let status = restrict().map_err(io::Error::other)?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Returns the access rights that apply to files that are not folders.
fn file_access() -> BitFlags<AccessFs> {
    AccessFs::from_file(LANDLOCK)
}

/// Refuses system calls of the network to the current thread, if the setting says so.
pub(super) fn confine_network(network: NetworkAccess) -> io::Result<()> {
    match network {
        NetworkAccess::Allow => Ok(()),
        NetworkAccess::Deny => deny(&NETWORK_CALLS),
    }
}

fn deny(calls: &[i64]) -> io::Result<()> {
    let architecture: TargetArch = env::consts::ARCH.try_into().map_err(io::Error::other)?;
    #[cfg(target_arch = "x86_64")]
    let calls = calls.iter().flat_map(|call| [*call, *call | X32_CALL]);
    #[cfg(not(target_arch = "x86_64"))]
    let calls = calls.iter().copied();
    let rules: BTreeMap<i64, Vec<_>> = calls.map(|call| (call, Vec::new())).collect();
    let refusal = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, architecture);
    let program = filter.and_then(TryInto::try_into);
    let program: seccompiler::BpfProgram = program.map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}
