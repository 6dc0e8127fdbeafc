//! The deadline of a request, for platforms that end requests after a fixed time.

use std::time::Duration;

/// The time by which a request must be answered, by the monotonic clock. The platform adapter stores it in the
/// request's extensions, for example the deadline of an invocation on AWS Lambda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestDeadline {
    /// The deadline.
    pub ends: Duration,
}
