//! How long a request may take, where something else ends it soon after.

use std::time::Duration;

/// When a request must be answered, by the monotonic clock: left in its extensions by whoever knows, such as the
/// deadline of an invocation on AWS Lambda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    /// The end.
    pub ends: Duration,
}
