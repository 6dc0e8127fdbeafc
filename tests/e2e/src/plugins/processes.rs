//! The processes that run plugins.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// Returns the descendants of a server with this plugin folder, including those with another parent. They are found by
/// the folder in their environment.
pub(super) fn of(folder: &Path) -> Vec<Pid> {
    let marker = format!("PLUGIN_DIR={}", folder.display());
    let entries = fs::read_dir("/proc").unwrap();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let own = numbers.filter(|number: &i32| {
        let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|variable| variable == marker.as_bytes()) && !is_dead(*number)
    });
    own.filter_map(Pid::from_raw).collect()
}

/// Whether a process is a zombie.
fn is_dead(number: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with(['Z', 'X']));
    state.unwrap_or(true)
}

/// Kills a process with `SIGKILL`.
pub(super) fn kill(process: Pid) {
    // It may already have ended.
    kill_process(process, Signal::KILL).ok();
}
