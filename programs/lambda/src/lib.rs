//! Neap's functions on AWS Lambda: they pass events to the routers and jobs of `functions/`.
//!
//! | binary | events | purpose |
//! |---|---|---|
//! | `neap-lambda-write` | HTTP | accepts writes; changes databases, tables, caches, and tokens |
//! | `neap-lambda-query` | HTTP, tasks of other invocations | answers queries |
//! | `neap-lambda-compact` | schedules, flush and merge orders from a queue | flushes, merges, collects garbage |
//! | `neap-lambda-engine` | HTTP, schedules, notifications of new segments | runs plugins |
//!
//! A binary reads all its options from the environment. `--print-interface` prints them together with the other facts
//! that a deployment needs.

#[cfg(feature = "compact")]
pub mod compact;
#[cfg(feature = "engine")]
pub mod engine;
pub mod http;
#[cfg(feature = "write")]
mod http_service;
pub mod interface;
pub mod logging;
pub mod options;
#[cfg(feature = "query")]
pub mod query;
pub mod runtime;
mod shutdown;
#[cfg(any(feature = "compact", feature = "query"))]
mod signed_requests;
pub mod store;
#[cfg(feature = "write")]
pub mod write;

/// Version of Neap.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Git revision of the binary, or zeros if the build did not set `NEAP_REVISION`.
pub const REVISION: &str = match option_env!("NEAP_REVISION") {
    Some(revision) => revision,
    None => "0000000",
};
