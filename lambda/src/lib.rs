//! The functions on AWS Lambda: the routers and jobs of `functions/`, with events in place of connections.
//!
//! | binary | events | what it does |
//! |---|---|---|
//! | `neap-lambda-write` | HTTP | takes writes, and changes databases, tables, caches, tokens |
//! | `neap-lambda-query` | HTTP | answers queries |
//! | `neap-lambda-compact` | schedules, merge orders of a queue | flushes, merges, collects garbage |
//! | `neap-lambda-engine` | HTTP, schedules, notifications of new segments | runs plugins |
//!
//! All that a binary needs comes from the environment; `--print-interface` shows it, with the rest of what a
//! deployment has to know.

#[cfg(feature = "compact")]
pub mod compact;
#[cfg(feature = "engine")]
pub mod engine;
pub mod http;
pub mod interface;
pub mod logging;
pub mod options;
#[cfg(feature = "query")]
pub mod query;
#[cfg(feature = "write")]
mod serving;
mod shutdown;
pub mod start;
pub mod store;
#[cfg(feature = "write")]
pub mod write;

/// The version of Neap.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The revision that the binary was built from, if the build said so.
pub const REVISION: &str = match option_env!("NEAP_REVISION") {
    Some(revision) => revision,
    None => "0000000",
};
