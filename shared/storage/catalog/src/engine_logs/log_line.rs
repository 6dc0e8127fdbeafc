//! A log line of a plugin.

use serde::{Deserialize, Serialize};

/// Bytes of memory that a line takes in addition to its text.
const LINE_BYTES: usize = 96;

/// A log line of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineLogLine {
    /// When it was logged, in nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// The name of the trigger.
    pub trigger: String,
    /// `INFO`, `WARN` or `ERROR`.
    pub level: String,
    /// The text.
    pub text: String,
}

impl EngineLogLine {
    pub(super) fn bytes(&self) -> usize {
        LINE_BYTES + self.trigger.len() + self.text.len()
    }
}
