//! Why a run did not succeed.

use std::time::Duration;

/// Why a run did not succeed, in words for the plugin's author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The interpreter does not start.
    #[error("the Python interpreter '{python}' can't be started: {reason}")]
    NoPython {
        /// The interpreter.
        python: String,
        /// Why.
        reason: String,
    },
    /// The plugin raised an exception, lacks its function, or can't be loaded.
    #[error("{text}")]
    Plugin {
        /// What InfluxDB 3 Core says: for an exception its type and its message.
        text: String,
        /// Where it was raised.
        traceback: Option<String>,
    },
    /// It took too long and was killed.
    #[error("the plugin ran for longer than the wall time limit of {} and was stopped", humantime::format_duration(*.0))]
    WallTime(Duration),
    /// It computed for too long and was killed.
    #[error("the plugin used more than the CPU time limit of {} and was stopped", humantime::format_duration(*.0))]
    CpuTime(Duration),
    /// It asked for more memory than it may have.
    #[error("the plugin reached the memory limit of {bytes} bytes: {text}")]
    Memory {
        /// The limit.
        bytes: u64,
        /// How it showed.
        text: String,
    },
    /// It logged, queued or answered too much and was killed.
    #[error(
        "the plugin's log, lines and response exceeded the output limit of {0} bytes, and it was stopped"
    )]
    Output(usize),
    /// It started too many processes and was killed with them.
    #[error("the plugin had more processes than the limit of {0} and was stopped")]
    Processes(usize),
    /// Its process ended in the middle of the run.
    #[error("the plugin's process ended during the run: {0}")]
    Exited(String),
    /// Its process said something that can't be understood, and was killed.
    #[error("the plugin's process broke the connection to the database: {0}")]
    Protocol(String),
    /// Too many runs of this trigger wait already.
    #[error("{0} runs of this trigger are waiting already")]
    Busy(usize),
    /// All processes are busy, or none starts in time: nothing of the plugin has run.
    #[error("no process was ready for the plugin within {}", humantime::format_duration(*.0))]
    NoPlace(Duration),
    /// The server stops, or the trigger was disabled or deleted.
    #[error("the run was stopped because the server shuts down or the trigger was disabled")]
    Stopping,
}
