//! Import jobs: Parquet files of any size that become rows after the upload, as in InfluxDB 3 Enterprise.
//!
//! ```text
//!   POST /api/v3/enterprise/import
//!     body ── piece by piece ──> imports/<id>/file.parquet      crash: a file without job, deleted after a day
//!     footer: rows, columns, times fit the table and the mapping?
//!     job ─────────────────────> imports/<id>/job: queued        answered here
//!   worker of any process
//!     claims the job for a minute, again and again ── reads the file ── writes rows ── stores the number of rows
//!                                                crash: the claim expires, another worker continues after these rows
//!     last row written ────────> imported; the file is deleted
//! ```
//!
//! A batch may be written twice after a crash, which changes nothing, because a row replaces the same point. Rows that
//! a client writes for the same points while the import runs may be replaced, too.

mod columns;
mod job;
mod route;
mod rows;
mod store;
#[cfg(test)]
mod tests;
mod worker;

pub use route::import_router;
pub use worker::{ImportSettings, ImportWorker};
