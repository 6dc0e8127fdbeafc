//! The processes of an instance: the program and whatever it has started. They are frozen, thawed and killed
//! together, as the sandbox of Lambda is.

use std::{fs, path::PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// The processes that a process has started and those that these have started, itself first.
fn family(root: Pid) -> Vec<Pid> {
    let mut family = vec![root];
    let mut seen = 0;
    while let Some(pid) = family.get(seen).copied() {
        family.extend(children(pid));
        seen += 1;
    }
    family
}

/// A process lists its children by the thread that has started each.
fn children(pid: Pid) -> Vec<Pid> {
    let tasks = PathBuf::from(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let Ok(threads) = fs::read_dir(tasks) else {
        return Vec::new();
    };
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let mut children = Vec::new();
    for list in lists {
        let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        children.extend(pids.filter_map(Pid::from_raw));
    }
    children
}

/// Sends a signal to a process and its family. Parents come first, so that what is stopped starts nothing
/// new; who has gone already needs no signal.
pub(super) fn signal_family(pid: Pid, signal: Signal) {
    for member in family(pid) {
        kill_process(member, signal).ok();
    }
}

/// Ends a family so that nobody can save himself: all are stopped first.
pub(super) fn kill_family(pid: Pid) {
    signal_family(pid, Signal::STOP);
    signal_family(pid, Signal::KILL);
}

/// Asks the program itself to end.
pub(super) fn ask_to_end(pid: Pid) {
    kill_process(pid, Signal::TERM).ok();
}
