//! Errors of runs.

use std::time::Duration;

/// An error of a run, with a message for the plugin's author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum RunError {
    #[error("the Python interpreter '{python}' can't be started: {reason}")]
    NoPython { python: String, reason: String },
    /// The plugin raised an exception, lacks its function, or can't be loaded.
    #[error("{text}")]
    Plugin {
        /// The message of InfluxDB 3 Core: for an exception, its type and its message.
        text: String,
        /// The traceback of the exception.
        traceback: Option<String>,
    },
    #[error("the plugin ran for longer than the wall time limit of {} and was stopped", humantime::format_duration(*.0))]
    WallTime(Duration),
    #[error("the plugin used more than the CPU time limit of {} and was stopped", humantime::format_duration(*.0))]
    CpuTime(Duration),
    #[error("the plugin reached the memory limit of {bytes} bytes: {text}")]
    Memory {
        bytes: u64,
        /// How the limit was detected.
        text: String,
    },
    #[error(
        "the plugin's log, lines and response exceeded the output limit of {0} bytes, and it was stopped"
    )]
    Output(usize),
    /// The plugin started too many processes and was killed with them.
    #[error("the plugin had more processes than the limit of {0} and was stopped")]
    Processes(usize),
    #[error("the plugin's process ended during the run: {0}")]
    Exited(String),
    /// The plugin's process sent an invalid frame and was killed.
    #[error("the plugin's process violated the protocol: {0}")]
    Protocol(String),
    #[error("{0} runs of this trigger are waiting already")]
    Busy(usize),
    /// All processes are busy, or none starts in time. The plugin did not start.
    #[error("no process was ready for the plugin within {}", humantime::format_duration(*.0))]
    NoProcess(Duration),
    /// The server is stopping, the trigger was disabled or deleted, or the client of the request disconnected.
    #[error(
        "the run was stopped because the server shuts down, the trigger was disabled, or its client disconnected"
    )]
    Stopping,
}
