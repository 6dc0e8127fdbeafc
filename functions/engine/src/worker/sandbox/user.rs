//! The user of plugins, if the server runs as root.
//!
//! ```text
//!   thread: SETUID, SETGID, KILL, DAC_READ_SEARCH ── fork ── user and group of the plugin ── exec: DAC_READ_SEARCH
//! ```
//!
//! With another user id, the kernel refuses access of a plugin to the processes, files and sockets of the server. The
//! capability to read all files lets the plugin read its code, its interpreter and its packages wherever root keeps them;
//! Landlock limits it to those. The group id belongs to one process and its descendants alone, and thereby finds them.

use std::{fs, io};

use rustix::{
    process::geteuid,
    thread::{
        CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities,
        capabilities_secure_bits, configure_capability_in_ambient_set, set_capabilities,
        set_capabilities_secure_bits,
    },
};

use super::{SandboxMode, SandboxSettings};

/// The capabilities of a thread that starts a process with another user: to change the user, and to kill the process if
/// its start is cancelled.
const START: CapabilitySet =
    CapabilitySet::SETUID.union(CapabilitySet::SETGID).union(CapabilitySet::KILL);

/// The capabilities of a server that gives a plugin its temporary folder: to change the owner, and to remove what is in it.
const FOLDER: CapabilitySet = CapabilitySet::CHOWN.union(CapabilitySet::DAC_OVERRIDE);

/// The capability that the process keeps, if the server has it.
const READ: CapabilitySet = CapabilitySet::DAC_READ_SEARCH;

/// Capabilities that a plugin does not get if it runs as root like the server. With some of them, it could read the
/// memory and the environment of the server despite Landlock, or control the machine.
const DROPPED: CapabilitySet = CapabilitySet::BPF
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

/// The first number of groups of processes. No system assigns groups from here on.
const FIRST_GROUP: u32 = 0x4000_0000;

/// The ids of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) struct ProcessUser {
    user: u32,
    group: u32,
    /// Whether no other process has the group.
    is_group_unique: bool,
}

impl ProcessUser {
    /// Returns the ids of a new process; `None`: those of the server. `random` chooses its group.
    /// Fails if the server runs as root and can't start processes of another user.
    pub(super) fn new(settings: &SandboxSettings, random: u64) -> Result<Option<Self>, String> {
        let user = settings.user;
        if settings.mode == SandboxMode::Off || user == 0 || !geteuid().is_root() {
            return Ok(None);
        }
        let refusal = |reason: &str| {
            format!(
                "the server runs as root, and can't start plugins as user {user}: {reason}. Start the server as \
                 another user, or let plugins run as root with --plugin-user 0"
            )
        };
        let own = capabilities(None).map_err(|error| refusal(&error.to_string()))?;
        if !own.effective.contains(START.union(FOLDER)) {
            return Err(refusal(
                "it needs the capabilities SETUID, SETGID, KILL, CHOWN and DAC_OVERRIDE",
            ));
        }
        let maps = |file: &str, id| {
            let map = fs::read_to_string(file);
            map.is_ok_and(|map| is_mapped(&map, id))
        };
        if !maps("/proc/self/uid_map", user) || !maps("/proc/self/gid_map", user) {
            return Err(refusal("the user namespace does not have it"));
        }
        let group = FIRST_GROUP | u32::try_from(random >> 34).unwrap_or(0);
        let is_group_unique = maps("/proc/self/gid_map", group);
        Ok(Some(Self {
            user,
            group: if is_group_unique { group } else { user },
            is_group_unique,
        }))
    }

    pub(super) fn user(self) -> u32 {
        self.user
    }

    pub(super) fn group(self) -> u32 {
        self.group
    }

    /// Returns the group, if it belongs to this process and its descendants alone.
    pub(in crate::worker) fn unique_group(self) -> Option<u32> {
        self.is_group_unique.then_some(self.group)
    }
}

/// Limits the capabilities of the current thread, and of a process with these ids that it starts.
pub(super) fn limit_capabilities(user: Option<ProcessUser>) -> io::Result<()> {
    let own = capabilities(None)?;
    if user.is_none() {
        let fewer = CapabilitySets {
            effective: own.effective.difference(DROPPED),
            permitted: own.permitted.difference(DROPPED),
            inheritable: own.inheritable.difference(DROPPED),
        };
        if fewer != own {
            set_capabilities(None, fewer)?;
        }
        return Ok(());
    }
    // Otherwise, the change of the user clears all capabilities. Fails without the capability SETPCAP.
    let bits = capabilities_secure_bits()? | CapabilitiesSecureBits::NO_SETUID_FIXUP;
    let kept = if set_capabilities_secure_bits(bits).is_ok() {
        own.permitted.intersection(READ)
    } else {
        CapabilitySet::empty()
    };
    let permitted = own.permitted.intersection(START.union(kept));
    set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable: kept })?;
    if !kept.is_empty() {
        configure_capability_in_ambient_set(kept, true)?;
    }
    Ok(())
}

/// Returns whether a user namespace with this map has an id.
fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>());
        let (Some(Ok(first)), Some(Ok(length))) = (numbers.next(), numbers.nth(1)) else {
            return false;
        };
        (first..first.saturating_add(length)).contains(&id.into())
    })
}

#[cfg(test)]
mod tests {
    use neap_test_inputs::{InputOrigin, skip};

    use super::*;

    #[test]
    fn a_server_of_root_that_cannot_change_the_user_starts_no_plugins() {
        if !geteuid().is_root() {
            skip(InputOrigin::External, "the user of the tests is not root");
            return;
        }
        let settings = SandboxSettings::default();
        let of_root = SandboxSettings { user: 0, ..settings.clone() };
        // Capabilities belong to a thread.
        let thread = std::thread::spawn(move || {
            let none = CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            };
            set_capabilities(None, none).unwrap();
            (ProcessUser::new(&settings, 1), ProcessUser::new(&of_root, 1))
        });
        let (refused, same) = thread.join().unwrap();
        let text = refused.unwrap_err();
        assert!(text.contains("user 60800: it needs the capabilities"), "{text}");
        assert!(text.ends_with("let plugins run as root with --plugin-user 0"), "{text}");
        assert_eq!(same, Ok(None));
    }

    #[test]
    fn ids_are_in_a_namespace_if_its_map_has_them() {
        let all = "         0          0 4294967295\n";
        assert!(is_mapped(all, 0) && is_mapped(all, 0x7fff_ffff));
        let container = "0 1000 1\n1 100000 65536\n";
        assert!(is_mapped(container, 60_800) && is_mapped(container, 65_536));
        assert!(!is_mapped(container, 65_537) && !is_mapped(container, FIRST_GROUP));
        assert!(!is_mapped("", 0) && !is_mapped("0 0\n", 0));
    }
}
