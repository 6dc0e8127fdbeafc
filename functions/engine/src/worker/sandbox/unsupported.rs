//! Systems other than Linux, which have neither Landlock nor seccomp.

use std::io;

use super::{FileRules, NetworkAccess, SandboxSettings};

/// The ids of a process: always those of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum ProcessUser {}

impl ProcessUser {
    pub(super) fn new(_settings: &SandboxSettings, _random: u64) -> Result<Option<Self>, String> {
        Ok(None)
    }

    pub(super) fn user(self) -> u32 {
        match self {}
    }

    pub(super) fn group(self) -> u32 {
        match self {}
    }

    pub(in crate::worker) fn unique_group(self) -> Option<u32> {
        match self {}
    }
}

pub(super) fn limit_capabilities(_user: Option<ProcessUser>) -> io::Result<()> {
    Ok(())
}

pub(super) fn confine_files(_rules: &FileRules) -> io::Result<bool> {
    Ok(false)
}

pub(super) fn confine_processes(_server: u32) -> io::Result<()> {
    Ok(())
}

pub(super) fn confine_network(network: NetworkAccess) -> io::Result<()> {
    match network {
        NetworkAccess::Allow => Ok(()),
        NetworkAccess::Deny => Err(io::ErrorKind::Unsupported.into()),
    }
}
