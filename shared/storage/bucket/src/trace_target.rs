//! The name that the spans of traced requests share.

/// The target of the spans that show the steps of a request. They have the lowest level, so that they cost nothing unless a
/// process exports them.
pub const TRACE_TARGET: &str = "neap_trace";
