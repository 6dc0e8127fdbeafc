//! Finds the processes that a plugin starts, by an environment variable that they inherit and that identifies the
//! plugin's process.

use rustix::process::{Pid, Signal, kill_process};

/// The name of the variable.
pub(super) const MARKER: &str = "NEAP_PLUGIN_PROCESS";

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
pub(super) fn count(marker: &str, first: Pid) -> DescendantUsage {
    let mut found = DescendantUsage::default();
    for pid in marked(marker).filter(|pid| *pid != first) {
        found.count += 1;
        found.resident_bytes += resident_bytes(pid).unwrap_or(0);
    }
    found
}

fn resident_bytes(pid: Pid) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Kills all processes with this marker.
pub(super) fn kill(marker: &str) {
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

fn marked(marker: &str) -> impl Iterator<Item = Pid> {
    let entry = format!("{MARKER}={marker}").into_bytes();
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    folders.filter_map(move |folder| {
        let pid = Pid::from_raw(folder.file_name().to_str()?.parse().ok()?)?;
        // The environment of a zombie is empty.
        let environment = std::fs::read(folder.path().join("environ")).ok()?;
        let is_marked = environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == entry);
        is_marked.then_some(pid)
    })
}
