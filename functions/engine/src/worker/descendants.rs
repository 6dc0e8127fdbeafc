//! Finds the processes that a plugin starts, by a mark that they inherit from the plugin's process and that no other process has: a
//! group id, or else an environment variable.

use std::{fs, path::Path, sync::Arc};

use rustix::process::{Pid, Signal, kill_process};

/// The name of the variable.
const VARIABLE: &str = "NEAP_PLUGIN_PROCESS";

/// Marks a plugin's process and its descendants.
#[derive(Clone, Debug)]
pub(super) struct ProcessMarker {
    /// The value of the variable.
    pub(super) value: Arc<str>,
    /// The group id, which processes can't leave. The server may be unable to read the environment of processes that
    /// have one, because they belong to another user.
    pub(super) group: Option<u32>,
}

impl ProcessMarker {
    /// Returns the environment variable of the processes.
    pub(super) fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.value)
    }

    /// Returns whether the process with this folder in `/proc` has the marker.
    fn is_on(&self, process: &Path) -> bool {
        let Some(group) = self.group else {
            let entry = format!("{VARIABLE}={}", self.value).into_bytes();
            // The environment of a zombie is empty.
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            return environment.split(|byte| *byte == 0).any(|variable| variable == entry);
        };
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("Gid:"));
        let has_group =
            ids.and_then(|ids| ids.split_whitespace().next()?.parse().ok()) == Some(group);
        has_group && !status.contains("\nState:\tZ")
    }
}

/// Maximum number of scans while processes are found, because a process that is being killed may have started another
/// one.
const MAX_SCANS: usize = 20;

/// The resource usage of a plugin's descendants, without the first process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DescendantUsage {
    pub(super) count: usize,
    /// Resident memory; shared pages are counted for each process.
    pub(super) resident_bytes: u64,
}

/// Counts the processes with this marker, except `first`. Finds none on systems without `/proc`.
pub(super) fn count(marker: &ProcessMarker, first: Pid) -> DescendantUsage {
    let mut found = DescendantUsage::default();
    for pid in marked(marker).filter(|pid| *pid != first) {
        found.count += 1;
        found.resident_bytes += resident_bytes(pid).unwrap_or(0);
    }
    found
}

fn resident_bytes(pid: Pid) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Kills all processes with this marker.
pub(super) fn kill(marker: &ProcessMarker) {
    for _ in 0..MAX_SCANS {
        let mut found = false;
        for pid in marked(marker) {
            // Signalling an ended process fails, which is fine.
            found |= kill_process(pid, Signal::KILL).is_ok();
        }
        if !found {
            return;
        }
    }
}

fn marked(marker: &ProcessMarker) -> impl Iterator<Item = Pid> {
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    folders.filter_map(|folder| {
        let pid = Pid::from_raw(folder.file_name().to_str()?.parse().ok()?)?;
        marker.is_on(&folder.path()).then_some(pid)
    })
}
