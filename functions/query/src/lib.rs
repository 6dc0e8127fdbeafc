//! The query function: SQL over the databases of a bucket.
//!
//! ```text
//!   request -> database by name -> snapshot -> plan -> scan -> rows -> JSON, CSV, Parquet, ...
//!                                  |                   |
//!                                  catalog, manifest,  sections that can hold an answer, read by exact
//!                                  tail: one round     ranges; the tail from memory; folded where they
//!                                  trip                overlap in time
//! ```
//!
//! [`QueryEngine`] answers a [`QueryRequest`] with [`Rows`]; [`router`] is the same over HTTP, as InfluxDB 3
//! has it. One statement is not a query: `DELETE FROM table WHERE ...` becomes a condition on time and tags,
//! which a [`RowDeleter`](neap_row_delete::RowDeleter) puts into the order of writes. Nothing is kept but caches of what never changes, each with a bound in bytes.

mod as_of;
mod caches;
mod databases;
mod delete;
mod engine;
mod error;
mod executor;
pub mod format;
mod http;
mod influxql;
mod interrupt;
mod job;
mod log;
mod parameters;
mod patterns;
mod plugins;
mod request;
mod rows;
mod scan;
mod session;
mod settings;
mod statement;
mod system;
mod totals;
mod unsupported;

pub use caches::CacheStats;
pub use engine::{MemoryStats, QueryEngine};
pub use error::{QueryError, QueryErrorKind};
pub use executor::Executor;
pub use http::router;
pub use parameters::Parameters;
pub use plugins::{PluginFile, PluginFiles, PluginFilesError};
pub use request::{Language, QueryRequest};
pub use rows::{Batches, Rows};
pub use scan::DataCacheStats;
pub use settings::QuerySettings;
pub use totals::QueryStats;

#[cfg(test)]
mod tests;
