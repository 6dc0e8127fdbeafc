//! The exit status of a process.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use rustix::process::Signal;

pub(super) fn describe(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return match status.code() {
            Some(70 | 71) => "it closed the connection to the database".to_owned(),
            code => format!("exit status {}", code.unwrap_or(-1)),
        };
    };
    let names = [
        (Signal::SEGV, " (segmentation fault)"),
        (Signal::ABORT, " (aborted)"),
        (Signal::BUS, " (bus error)"),
        (Signal::ILL, " (illegal instruction)"),
        (Signal::FPE, " (arithmetic error)"),
        (Signal::KILL, " (killed, perhaps for want of memory on this machine)"),
        (Signal::TERM, " (terminated)"),
    ];
    let name = names
        .iter()
        .find(|(known, _)| known.as_raw() == signal)
        .map_or("", |(_, name)| name);
    format!("signal {signal}{name}")
}

/// Returns whether the kernel killed the process for exceeding its CPU time.
pub(super) fn is_cpu_limit_signal(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::XCPU.as_raw())
}
