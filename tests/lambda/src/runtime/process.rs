//! The processes of an instance: the program and its descendants. They are frozen, thawed, and killed together, like
//! the sandbox of Lambda.

use std::{fs, path::PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// Returns a process and all its descendants, parents first.
fn process_tree(root: Pid) -> Vec<Pid> {
    let mut family = vec![root];
    let mut seen = 0;
    while let Some(pid) = family.get(seen).copied() {
        family.extend(children(pid));
        seen += 1;
    }
    family
}

/// Returns the children of a process. Linux lists them by the thread that started them.
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

/// Sends a signal to a process and its descendants. Parents come first, so that stopped processes start no new ones.
/// Processes that have ended are ignored.
pub(super) fn signal_process_tree(pid: Pid, signal: Signal) {
    for member in process_tree(pid) {
        kill_process(member, signal).ok();
    }
}

/// Kills a process and its descendants. All of them are stopped first, so that none can start a new process.
pub(super) fn kill_process_tree(pid: Pid) {
    signal_process_tree(pid, Signal::STOP);
    signal_process_tree(pid, Signal::KILL);
}

/// Sends SIGTERM to the program.
pub(super) fn terminate(pid: Pid) {
    kill_process(pid, Signal::TERM).ok();
}
