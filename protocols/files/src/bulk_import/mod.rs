//! Import jobs: Parquet files of any size that become rows after the upload, as in InfluxDB 3 Enterprise.
//!
//! ```text
//!   POST /api/v3/enterprise/import
//!     body ── piece by piece ──> imports/<id>/file.parquet      crash: a file without job, deleted after a day
//!     footer: rows, columns, times fit the table and the mapping?
//!     job ─────────────────────> imports/<id>/job: queued        answered here
//!   worker of any process
//!     low-water mark above the last claim?   no ── a segment without rows, so that it rises; later again
//!     claims the job for a minute, again and again ── reads the file after the rows up to the mark ── writes rows
//!                                                crash: the claim expires, another worker continues
//!     last row written ────────> imported; the file is deleted
//! ```
//!
//! Each row is stored once, so that it never replaces what clients write after they have seen it. The segment of a batch has
//! the number of rows up to its last one, and its flush records this number in the manifest. All segments of a claim have
//! stamps before the end of the claim. So when the mark is above the last claim, the manifest has the exact number of
//! stored rows, and segments of earlier workers that appear later are void.

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
